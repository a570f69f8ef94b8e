/* Gradients of everything that full fine-tuning trains: weights, biases, gains, embedding tables, the output layer,
 * each on top of what the gradient memory held, with and without a gradient of the input.
 *
 * Tolerance: values of order 1 and gradients that are sums of up to 333 products of order 1; a random walk of their
 * roundings is 2e-5 at most, relative to 1 + the result of order 10.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/kernels/op_test.h"
#include "host/doctor/reference/ops.h"
#include "runtime/base/size.h"

#define TOLERANCE 1e-5

static vkft_operand_kind kind_of(bool trained)
{
    return trained ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN;
}

static vkft_operand_kind input_kind(bool gradient)
{
    return gradient ? VKFT_OPERAND_TENSOR : VKFT_OPERAND_CONSTANT;
}

typedef struct linear_context {
    uint32_t T, in, out;
    bool input, weight, bias; /* what gets a gradient */
    bool residual;
    float scale;
    vkft_linear linear;
} linear_context;

static vkft_tensor *linear_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    linear_context *k = context;
    k->linear = (vkft_linear){.w = vkft_operand_weight(&in[1]), .bias = in[2].address, .dbias = in[2].grad};
    return vkft_op_linear(g, in[0].tensor, &k->linear,
                          (vkft_linear_call){.residual = k->residual ? in[3].tensor : NULL, .scale = k->scale});
}

static void linear_reference(double *const *in, double *y, const void *context)
{
    const linear_context *k = context;
    for (uint32_t t = 0; t < k->T; t++)
        for (uint32_t o = 0; o < k->out; o++) {
            double sum = in[2][o];
            for (uint32_t c = 0; c < k->in; c++)
                sum += in[0][t * k->in + c] * in[1][o * k->in + c];
            y[t * k->out + o] = (double)k->scale * sum + (k->residual ? in[3][t * k->out + o] : 0);
        }
}

static void check_linear(const vkft_kernel_fixture *f, const char *name, linear_context k)
{
    vkft_op_case c = {.name = name,
                      .rows = k.T,
                      .cols = k.out,
                      .tolerance = TOLERANCE,
                      .forward = linear_forward,
                      .reference = linear_reference,
                      .context = &k,
                      .operands = {{"x", input_kind(k.input), k.T, k.in, .spread = 1},
                                   {"w", kind_of(k.weight), k.out, k.in, .spread = (float)(1 / sqrt((double)k.in))},
                                   {"bias", kind_of(k.bias), 1, k.out, .spread = 1},
                                   {"residual", input_kind(k.residual), k.T, k.out, .spread = 1}}};
    vkft_check_op(f, &c);
}

static void test_linear(void **state)
{
    check_linear(*state, "1x1",
                 (linear_context){.T = 1, .in = 1, .out = 1, .input = true, .weight = true, .bias = true, .scale = 1});
    check_linear(
        *state, "all",
        (linear_context){.T = 31, .in = 37, .out = 13, .input = true, .weight = true, .bias = true, .scale = 1});
    check_linear(
        *state, "long",
        (linear_context){.T = 333, .in = 7, .out = 5, .input = true, .weight = true, .bias = true, .scale = 0.3f});
    check_linear(*state, "weight alone", (linear_context){.T = 31, .in = 7, .out = 9, .weight = true, .scale = 2});
    check_linear(*state, "bias alone", (linear_context){.T = 70, .in = 7, .out = 9, .bias = true, .scale = 2});
    check_linear(
        *state, "residual",
        (linear_context){
            .T = 31, .in = 7, .out = 9, .input = true, .weight = true, .bias = true, .residual = true, .scale = 0.22f});
}

typedef struct norm_context {
    uint32_t T, heads;
    vkft_reference_norm norm;
    bool input, gain, bias;
    vkft_norm param;
} norm_context;

static vkft_tensor *norm_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    norm_context *k = context;
    bool bias = k->norm.layernorm;
    k->param = (vkft_norm){.layernorm = k->norm.layernorm,
                           .gain = in[1].address,
                           .bias = bias ? in[2].address : 0,
                           .width = k->norm.C,
                           .eps = (float)k->norm.eps,
                           .gain_offset = (float)k->norm.gain_offset,
                           .dgain = in[1].grad,
                           .dbias = bias ? in[2].grad : 0};
    return vkft_op_norm(g, in[0].tensor, &k->param);
}

static void norm_reference(double *const *in, double *y, const void *context)
{
    const norm_context *k = context;
    for (uint32_t at = 0; at < k->T * k->heads * k->norm.C; at += k->norm.C)
        vkft_reference_norm_row(&k->norm, in[0] + at, in[1], k->norm.layernorm ? in[2] : NULL, y + at);
}

static void check_norm(const vkft_kernel_fixture *f, const char *name, norm_context k)
{
    uint32_t C = k.norm.C;
    k.norm.eps = 0x1p-17;
    vkft_op_case c = {.name = name,
                      .rows = k.T,
                      .cols = k.heads * C,
                      .tolerance = TOLERANCE,
                      .forward = norm_forward,
                      .reference = norm_reference,
                      .context = &k,
                      .operands = {{"x", input_kind(k.input), k.T, k.heads * C, .spread = 1},
                                   {"gain", kind_of(k.gain), 1, C, .spread = 1},
                                   {"bias", kind_of(k.bias), 1, C, .spread = 1}}};
    vkft_check_op(f, &c);
}

static void test_norm(void **state)
{
    check_norm(*state, "rmsnorm", (norm_context){.T = 31, .heads = 1, .norm = {.C = 37}, .input = true, .gain = true});
    check_norm(*state, "rmsnorm of heads",
               (norm_context){.T = 67, .heads = 3, .norm = {.C = 7, .gain_offset = 1}, .input = true, .gain = true});
    check_norm(*state, "gain alone", (norm_context){.T = 333, .heads = 1, .norm = {.C = 5}, .gain = true});
    check_norm(
        *state, "layernorm",
        (norm_context){
            .T = 31, .heads = 1, .norm = {.layernorm = true, .C = 37}, .input = true, .gain = true, .bias = true});
    check_norm(
        *state, "layernorm of heads",
        (norm_context){
            .T = 13, .heads = 3, .norm = {.layernorm = true, .C = 11}, .input = true, .gain = true, .bias = true});
    check_norm(*state, "bias alone",
               (norm_context){.T = 40, .heads = 1, .norm = {.layernorm = true, .C = 13}, .bias = true});
}

/* Token and position tables, then the output layer, which may be the token table again. */
typedef struct model_context {
    uint32_t T, C, V, P, offset;
    bool words, places, head, tied;
    bool changed; /* noise on the embedding, label smoothing and z-loss */
    const uint32_t *id, *position, *target;
    uint64_t ids, positions, targets, weights;
    vkft_sequence samples; /* of SAMPLE tokens, which the noise asks for */
    vkft_weight word_table, place_table;
    vkft_head output;
} model_context;

enum { WORDS, PLACES, HEAD, SAMPLE = 5 };
static const vkft_reference_loss plain = {.softcap = 3},
                                 changed = {.softcap = 3, .smoothing = (double)0.2f, .z_loss = (double)0.03f};
#define NOISE 1.5f

static vkft_tensor *model_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    model_context *k = context;
    k->word_table = vkft_operand_weight(&in[WORDS]);
    k->place_table = vkft_operand_weight(&in[PLACES]);
    k->output = (vkft_head){.w = vkft_operand_weight(&in[k->tied ? WORDS : HEAD]), .scale = 0.7f, .softcap = 3};
    if (k->changed) {
        g->pass.label_smoothing = (float)changed.smoothing;
        g->pass.z_loss = (float)changed.z_loss;
        g->pass.noise = NOISE;
    }
    const vkft_embedding words = {.table = &k->word_table};
    vkft_tensor *x = vkft_op_embedding(g, &words, k->ids, k->T, 2.0f);
    vkft_op_noise(g, x, &k->samples, 0.5f);
    vkft_op_embedding_add(g, x, &k->place_table, k->positions, k->offset);
    vkft_op_linear_cross_entropy(g, x, &k->output, k->targets, k->weights, loss, x->needs_grad || k->output.w.grad);
    return NULL;
}

/* The noise of element i, as its definition says: the upper 24 bits of its word, in [-1, 1). */
static double uniform(uint32_t i)
{
    return (vkft_reference_dropout_word(VKFT_TEST_SEED, UINT32_MAX, VKFT_TEST_MICRO_STEP, i) >> 8) * 0x1p-23 - 1;
}

static void model_reference(double *const *in, double *y, const void *context)
{
    const model_context *k = context;
    const double *head = in[k->tied ? WORDS : HEAD];
    double *z = malloc(k->V * sizeof *z), *capped = malloc(2 * k->V * sizeof *capped);
    for (uint32_t t = 0; t < k->T; t++) {
        uint32_t start = t - t % SAMPLE, length = start + SAMPLE > k->T ? k->T - start : SAMPLE;
        double noise = k->changed ? 0.5 * (double)NOISE / sqrt((double)length * k->C) : 0;
        for (uint32_t v = 0; v < k->V; v++) {
            double sum = 0;
            for (uint32_t c = 0; c < k->C; c++)
                sum += (2 * in[WORDS][k->id[t] * k->C + c] + noise * uniform(t * k->C + c) +
                        in[PLACES][(k->position[t] + k->offset) * k->C + c]) *
                       head[v * k->C + c];
            z[v] = (double)k->output.scale * sum;
        }
        y[t] = vkft_reference_loss_backward(k->changed ? &changed : &plain, z, k->V, k->target[t], 1, capped,
                                            capped + k->V);
    }
    free(z);
    free(capped);
}

static void check_model(const vkft_kernel_fixture *f, const char *name, model_context k)
{
    uint32_t id[64], position[64], target[64], range[128], seen[128], places = 8;
    k.P = places + k.offset;
    for (uint32_t t = 0; t < k.T; t++) {
        id[t] = (t * t + 3 * t) % k.V; /* repeats, and leaves ids out */
        position[t] = t % places;
        target[t] = (5 * t + 1) % k.V;
        range[2 * t] = t - t % SAMPLE;
        seen[2 * t] = t;
        range[2 * t + 1] = t + 1;
        seen[2 * t + 1] = min_u32(t - t % SAMPLE + SAMPLE, k.T);
    }
    vkft_guarded bi = vkft_guarded_words(f, id, k.T), bp = vkft_guarded_words(f, position, k.T),
                 bt = vkft_guarded_words(f, target, k.T), bw = vkft_test_row_weights(f, k.T),
                 br = vkft_guarded_words(f, range, 2 * k.T), bs = vkft_guarded_words(f, seen, 2 * k.T);
    k.id = id, k.position = position, k.target = target;
    k.samples = (vkft_sequence){.query_range = br.address, .key_range = bs.address};
    k.ids = bi.address, k.positions = bp.address, k.targets = bt.address, k.weights = bw.address;
    vkft_op_case c = {.name = name,
                      .rows = k.T,
                      .cols = 1,
                      .tolerance = TOLERANCE,
                      .forward = model_forward,
                      .reference = model_reference,
                      .context = &k,
                      .operands = {[WORDS] = {"words", kind_of(k.words), k.V, k.C, .spread = 0.5f},
                                   [PLACES] = {"places", kind_of(k.places), k.P, k.C, .spread = 0.5f},
                                   [HEAD] = {"head", kind_of(k.head && !k.tied), k.V, k.C, .spread = 0.5f}}};
    vkft_check_op(f, &c);
    vkft_guarded_free(f, &bi);
    vkft_guarded_free(f, &bp);
    vkft_guarded_free(f, &bt);
    vkft_guarded_free(f, &bw);
    vkft_guarded_free(f, &br);
    vkft_guarded_free(f, &bs);
}

static void test_embedding_and_head(void **state)
{
    check_model(*state, "one token",
                (model_context){.T = 1, .C = 1, .V = 3, .words = true, .places = true, .head = true});
    check_model(*state, "all",
                (model_context){.T = 31, .C = 13, .V = 37, .offset = 2, .words = true, .places = true, .head = true});
    check_model(*state, "tied", (model_context){.T = 33, .C = 7, .V = 11, .words = true, .places = true, .tied = true});
    check_model(*state, "head alone", (model_context){.T = 31, .C = 7, .V = 37, .head = true});
    check_model(*state, "positions alone", (model_context){.T = 31, .C = 70, .V = 5, .offset = 2, .places = true});
    check_model(
        *state, "all, noise and another loss",
        (model_context){
            .T = 33, .C = 13, .V = 37, .offset = 2, .words = true, .places = true, .head = true, .changed = true});
    check_model(*state, "words alone", (model_context){.T = 60, .C = 9, .V = 64, .words = true});
}

/* Two layers with everything trained: gradients reach the first through the second. */
typedef struct stack {
    vkft_linear first, second;
    vkft_norm norm;
} stack;

static vkft_tensor *stack_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    stack *k = context;
    k->first = (vkft_linear){.w = vkft_operand_weight(&in[1]), .bias = in[2].address, .dbias = in[2].grad};
    k->second = (vkft_linear){.w = vkft_operand_weight(&in[3])};
    k->norm = (vkft_norm){.gain = in[4].address, .width = in[4].cols, .eps = 0x1p-17f, .dgain = in[4].grad};
    vkft_tensor *h = vkft_op_linear(g, vkft_op_norm(g, in[0].tensor, &k->norm), &k->first, (vkft_linear_call){0});
    return vkft_op_linear(g, vkft_op_activation(g, h, VKFT_ACT_GELU_TANH), &k->second,
                          (vkft_linear_call){.residual = in[0].tensor});
}

enum { STACK_T = 13, STACK_C = 7, STACK_F = 11 };

static void stack_reference(double *const *in, double *y, const void *context)
{
    (void)context;
    const vkft_reference_norm norm = {.C = STACK_C, .eps = 0x1p-17};
    for (uint32_t t = 0; t < STACK_T; t++) {
        double n[STACK_C], h[STACK_F];
        vkft_reference_norm_row(&norm, in[0] + t * STACK_C, in[4], NULL, n);
        for (uint32_t f = 0; f < STACK_F; f++) {
            h[f] = in[2][f];
            for (uint32_t c = 0; c < STACK_C; c++)
                h[f] += n[c] * in[1][f * STACK_C + c];
        }
        for (uint32_t c = 0; c < STACK_C; c++) {
            y[t * STACK_C + c] = in[0][t * STACK_C + c];
            for (uint32_t f = 0; f < STACK_F; f++)
                y[t * STACK_C + c] += vkft_reference_activation(VKFT_ACT_GELU_TANH, h[f]) * in[3][c * STACK_F + f];
        }
    }
}

static void test_stack(void **state)
{
    stack context;
    for (int input = 0; input < 2;
         input++) { /* without a gradient of x the first layer's parameters must still get theirs */
        vkft_op_case c = {.name = "stack",
                          .rows = STACK_T,
                          .cols = STACK_C,
                          .tolerance = TOLERANCE,
                          .forward = stack_forward,
                          .reference = stack_reference,
                          .context = &context,
                          .operands = {{"x", input_kind(input), STACK_T, STACK_C, .spread = 1},
                                       {"first", VKFT_OPERAND_PARAMETER, STACK_F, STACK_C, .spread = 0.4f},
                                       {"bias", VKFT_OPERAND_PARAMETER, 1, STACK_F, .spread = 1},
                                       {"second", VKFT_OPERAND_PARAMETER, STACK_C, STACK_F, .spread = 0.3f},
                                       {"gain", VKFT_OPERAND_PARAMETER, 1, STACK_C, .spread = 1}}};
        vkft_check_op(*state, &c);
    }
}

/* A plan for T tokens must serve every smaller batch, though the slices of a sum over rows do not shrink steadily. */
static void test_plan_serves_less(void **state)
{
    const vkft_kernel_fixture *f = *state;
    enum { T = 2050, C = 64 }; /* a row of partial sums is as long as the plan's alignment */
    const vkft_linear linear = {
        .w = {.storage = VKFT_STORAGE_f32, .rows = C, .cols = C, .part = {4}, .grad = 4}, .bias = 4, .dbias = 4};
    const vkft_norm norm = {.gain = 4, .width = C, .dgain = 4};
    vkft_graph g;
    assert_true(vkft_graph_init(&g));
    vkft_graph_set_device(&g, f->dev, 0, 0);
    for (uint32_t rows = T; rows > 0; rows--) {
        vkft_commands_reset(f->cmds); /* recorded, never run */
        if (rows == T)
            vkft_graph_begin_plan(&g);
        else
            vkft_graph_begin_record(&g, f->cmds, 0);
        g.pass.taping = true;
        vkft_tensor *y = vkft_op_norm(
            &g, vkft_op_linear(&g, vkft_tensor_at(&g, 0, VKFT_F32, rows, C), &linear, (vkft_linear_call){0}), &norm);
        y->grad = vkft_tensor_at(&g, 0, VKFT_F32, rows, C);
        vkft_tape_backward(&g, 0);
        if (rows == T)
            assert_true(vkft_plan_solve(g.plan));
        if (g.failed)
            fail_msg("a plan for %d rows does not serve %u", T, rows);
    }
    vkft_commands_reset(f->cmds);
    vkft_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear), cmocka_unit_test(test_norm),
                                       cmocka_unit_test(test_embedding_and_head), cmocka_unit_test(test_stack),
                                       cmocka_unit_test(test_plan_serves_less)};
    return cmocka_run_group_tests_name("ops: gradients of parameters", tests, vkft_op_setup, vkft_kernel_teardown);
}
