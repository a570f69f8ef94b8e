/* The linear layer with bias, residual, scale, LoRA and dropout, and the output layer's loss, forward and backward.
 *
 * Tolerance: weights are 1/sqrt(K), so a product of K terms has order 1 and its error is a random walk of K roundings
 * of that order (6e-8 sqrt(K) ~ 1e-6 for K = 333) plus a few; gradients sum up to 31 rows of them. 1e-5 is ten times
 * that.
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

#define TOLERANCE 1e-5

typedef struct linear_context {
    uint32_t T, in, out, r;
    bool bias, residual, same; /* same: the residual is x itself */
    float scale, lora_scale, dropout;
    bool lora_bias, origin, vera;
    enum { NO_IA3, OUTPUT_IA3, INPUT_IA3 } ia3;
    bool dora;
    double *norm; /* DoRA: of the rows of W + lora_scale B A, constants of the gradient */
    vkft_linear linear;
} linear_context;

enum { X, W, BIAS, RESIDUAL, A, B, MAGNITUDE, SQUARES, LORA_BIAS, A0, B0, L, VERA_B, VERA_D };

static vkft_tensor *linear_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    linear_context *k = context;
    k->linear = (vkft_linear){.w = vkft_operand_weight(&in[W])};
    if (k->bias)
        k->linear.bias = in[BIAS].address;
    if (k->r)
        k->linear.lora = (vkft_lora){.r = k->r,
                                     .scale = k->lora_scale,
                                     .dropout = k->dropout,
                                     .layer = 3,
                                     .A = in[A].address,
                                     .B = in[B].address,
                                     .dA = in[A].grad,
                                     .dB = in[B].grad};
    if (k->ia3)
        k->linear.ia3 = (vkft_ia3){.l = in[L].address ? in[L].address : VKFT_PLACEHOLDER_ADDRESS,
                                   .dl = in[L].grad,
                                   .input = k->ia3 == INPUT_IA3};
    if (k->lora_bias) {
        k->linear.lora.bias = in[LORA_BIAS].address ? in[LORA_BIAS].address : VKFT_PLACEHOLDER_ADDRESS;
        k->linear.lora.dbias = in[LORA_BIAS].grad;
    }
    if (k->vera) {
        k->linear.lora.b = in[VERA_B].address ? in[VERA_B].address : VKFT_PLACEHOLDER_ADDRESS;
        k->linear.lora.d = in[VERA_D].address;
        k->linear.lora.db = in[VERA_B].grad;
        k->linear.lora.dd = in[VERA_D].grad;
    }
    if (k->origin) {
        k->linear.lora.A0 = in[A0].address ? in[A0].address : VKFT_PLACEHOLDER_ADDRESS;
        k->linear.lora.B0 = in[B0].address;
    }
    if (k->dora) {
        k->linear.lora.magnitude = in[MAGNITUDE].address ? in[MAGNITUDE].address : VKFT_PLACEHOLDER_ADDRESS;
        k->linear.lora.dmagnitude = in[MAGNITUDE].grad;
        k->linear.lora.squares = in[SQUARES].address;
    }
    vkft_tensor *residual = k->same ? in[X].tensor : k->residual ? in[RESIDUAL].tensor : NULL;
    return vkft_op_linear(g, in[X].tensor, &k->linear, (vkft_linear_call){.residual = residual, .scale = k->scale});
}

/* dropout(x[t,c]) */
static double dropped(const linear_context *k, double *const *in, uint32_t t, uint32_t c)
{
    double p = (double)k->dropout;
    uint32_t i = t * k->in + c;
    bool keep =
        p <= 0 || vkft_reference_dropout_word(VKFT_TEST_SEED, 3, VKFT_TEST_MICRO_STEP, i) >= (uint32_t)(p * 0x1p32);
    return keep ? in[X][i] / (1 - p) : 0;
}

/* What the origin takes off: (B0 A0 x[t])[o] */
static double origin(const linear_context *k, double *const *in, uint32_t t, uint32_t o)
{
    double sum = 0;
    for (uint32_t j = 0; k->origin && j < k->r; j++)
        for (uint32_t c = 0; c < k->in; c++)
            sum += in[B0][o * k->r + j] * in[A0][j * k->in + c] * in[X][t * k->in + c];
    return sum;
}

/* z[t] = A dropout(x[t]), times d with VeRA */
static void lora_rank(const linear_context *k, double *const *in, uint32_t t, double *z)
{
    for (uint32_t j = 0; j < k->r; j++) {
        z[j] = 0;
        for (uint32_t c = 0; c < k->in; c++)
            z[j] += dropped(k, in, t, c) * in[A][j * k->in + c] * (k->vera ? in[VERA_D][j] : 1);
    }
}

/* Of the values that the operands have first; later ones differ in what the gradient is taken of. */
static void find_norms(const linear_context *k, double *const *in)
{
    for (uint32_t o = 0; o < k->out && k->dora && k->norm[o] == 0; o++) {
        for (uint32_t c = 0; c < k->in; c++) {
            double w = in[W][o * k->in + c];
            for (uint32_t j = 0; j < k->r; j++)
                w += (double)k->lora_scale * in[B][o * k->r + j] * in[A][j * k->in + c];
            k->norm[o] += w * w;
        }
        k->norm[o] = sqrt(k->norm[o]);
    }
}

static void linear_reference(double *const *in, double *y, const void *context)
{
    const linear_context *k = context;
    double scale = k->scale > 0 ? (double)k->scale : 1, z[16];
    find_norms(k, in);
    for (uint32_t t = 0; t < k->T; t++) {
        lora_rank(k, in, t, z);
        for (uint32_t o = 0; o < k->out; o++) {
            double sum = k->bias ? in[BIAS][o] : 0, factor = k->dora ? in[MAGNITUDE][o] / k->norm[o] : 1;
            for (uint32_t c = 0; c < k->in; c++)
                sum += (in[X][t * k->in + c] + (factor - 1) * dropped(k, in, t, c)) * in[W][o * k->in + c] *
                       (k->ia3 == INPUT_IA3 ? in[L][c] : 1);
            sum *= k->ia3 == OUTPUT_IA3 ? in[L][o] : 1;
            for (uint32_t j = 0; j < k->r; j++)
                sum += factor * (double)k->lora_scale * z[j] * in[B][o * k->r + j] * (k->vera ? in[VERA_B][o] : 1);
            sum += (double)k->lora_scale * ((k->lora_bias ? in[LORA_BIAS][o] : 0) - origin(k, in, t, o));
            uint32_t at = t * k->out + o;
            y[at] = scale * sum + (k->same ? in[X][at] : k->residual ? in[RESIDUAL][at] : 0);
        }
    }
}

static void check_linear(const vkft_kernel_fixture *f, const char *name, linear_context k)
{
    uint32_t r = k.r ? k.r : 1;
    vkft_operand_kind kind = k.r && !k.vera ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN;
    float spread = (float)(1 / sqrt((double)k.in)), *w = vkft_random_array(77, k.out * k.in),
          *squares = calloc(k.out, sizeof *squares);
    double norm[64] = {0};
    k.norm = norm;
    for (uint32_t i = 0; i < k.out * k.in; i++) {
        w[i] *= spread;
        squares[i / k.in] += w[i] * w[i];
    }
    vkft_op_case c = {
        .name = name,
        .rows = k.T,
        .cols = k.out,
        .tolerance = TOLERANCE,
        .forward = linear_forward,
        .reference = linear_reference,
        .context = &k,
        .dropout = true,
        .operands =
            {
                [X] = {"x", VKFT_OPERAND_TENSOR, k.T, k.in, .spread = 1},
                [W] = {"w", VKFT_OPERAND_FROZEN, k.out, k.in, .values = w},
                [BIAS] = {"bias", VKFT_OPERAND_FROZEN, 1, k.out, .spread = 1},
                [RESIDUAL] = {"residual", k.residual ? VKFT_OPERAND_TENSOR : VKFT_OPERAND_CONSTANT, k.T, k.out,
                              .spread = 1},
                [A] = {"A", kind, r, k.in, .spread = spread},
                [B] = {"B", kind, k.out, r, .spread = 1},
                [MAGNITUDE] = {"magnitude", k.dora ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN, 1, k.out,
                               .spread = 1},
                [SQUARES] = {"squares", VKFT_OPERAND_FROZEN, 1, k.out, .values = squares},
                [LORA_BIAS] = {"bias of B", k.lora_bias ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN, 1, k.out,
                               .spread = 1},
                [A0] = {"A0", VKFT_OPERAND_FROZEN, r, k.in, .spread = spread},
                [B0] = {"B0", VKFT_OPERAND_FROZEN, k.out, r, .spread = 1},
                [L] = {"l", k.ia3 ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN, 1, k.ia3 == INPUT_IA3 ? k.in : k.out,
                       .spread = 1},
                [VERA_B] = {"b", k.vera ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN, 1, k.out, .spread = 1},
                [VERA_D] = {"d", k.vera ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN, 1, r, .spread = 1},
            },
    };
    vkft_check_op(f, &c);
    free(w);
    free(squares);
}

static void test_linear(void **state)
{
    check_linear(*state, "1x1", (linear_context){.T = 1, .in = 1, .out = 1});
    check_linear(*state, "plain", (linear_context){.T = 31, .in = 37, .out = 13});
    check_linear(*state, "bias", (linear_context){.T = 3, .in = 333, .out = 5, .bias = true});
    check_linear(*state, "bias, scale", (linear_context){.T = 31, .in = 7, .out = 31, .bias = true, .scale = 0.22f});
    check_linear(*state, "residual", (linear_context){.T = 31, .in = 7, .out = 9, .residual = true});
    check_linear(*state, "bias, residual, scale",
                 (linear_context){.T = 7, .in = 31, .out = 33, .bias = true, .residual = true, .scale = 0.22f});
    check_linear(*state, "x is the residual",
                 (linear_context){.T = 5, .in = 11, .out = 11, .same = true, .scale = 1.5f});
}

static void test_lora(void **state)
{
    check_linear(*state, "lora", (linear_context){.T = 31, .in = 37, .out = 13, .r = 3, .lora_scale = 2});
    check_linear(
        *state, "lora, all",
        (linear_context){
            .T = 13, .in = 37, .out = 31, .r = 4, .lora_scale = 0.5f, .bias = true, .residual = true, .scale = 0.22f});
    check_linear(*state, "lora, dropout",
                 (linear_context){.T = 31, .in = 13, .out = 7, .r = 5, .lora_scale = 2, .dropout = 0.25f});
    check_linear(*state, "lora, dropout, all",
                 (linear_context){.T = 13,
                                  .in = 31,
                                  .out = 31,
                                  .r = 2,
                                  .lora_scale = 2,
                                  .dropout = 0.5f,
                                  .bias = true,
                                  .same = true,
                                  .scale = 0.3f});
}

static void test_lora_bias_and_origin(void **state)
{
    check_linear(*state, "lora_bias",
                 (linear_context){.T = 31, .in = 37, .out = 13, .r = 3, .lora_scale = 2, .lora_bias = true});
    check_linear(*state, "origin",
                 (linear_context){.T = 31, .in = 37, .out = 13, .r = 3, .lora_scale = 2, .origin = true});
    check_linear(*state, "lora_bias, origin, dropout, all",
                 (linear_context){.T = 13,
                                  .in = 31,
                                  .out = 31,
                                  .r = 2,
                                  .lora_scale = 2,
                                  .dropout = 0.5f,
                                  .bias = true,
                                  .same = true,
                                  .scale = 0.3f,
                                  .lora_bias = true,
                                  .origin = true});
}

static void test_ia3(void **state)
{
    for (int input = 0; input < 2; input++) {
        linear_context k = {.T = 31, .in = 37, .out = 13, .ia3 = input ? INPUT_IA3 : OUTPUT_IA3};
        check_linear(*state, input ? "ia3 of the input" : "ia3 of the output", k);
        k.bias = k.residual = true;
        k.scale = 0.22f;
        k.in = 333;
        check_linear(*state, input ? "ia3 of the input, all" : "ia3 of the output, all", k);
        k = (linear_context){.T = 1, .in = 11, .out = 11, .same = true, .ia3 = k.ia3};
        check_linear(*state, input ? "ia3 of the input, x is the residual" : "ia3, x is the residual", k);
    }
}

static void test_vera(void **state)
{
    linear_context k = {.T = 1, .in = 1, .out = 1, .r = 1, .lora_scale = 1, .vera = true};
    check_linear(*state, "vera, 1x1", k);
    k = (linear_context){.T = 31, .in = 37, .out = 13, .r = 15, .lora_scale = 1, .vera = true};
    check_linear(*state, "vera", k);
    k.bias = k.residual = true;
    k.scale = 0.22f;
    check_linear(*state, "vera, all", k);
    k = (linear_context){
        .T = 13, .in = 31, .out = 31, .r = 7, .lora_scale = 1, .dropout = 0.5f, .same = true, .vera = true};
    check_linear(*state, "vera, dropout, x is the residual", k);
}

static void test_dora(void **state)
{
    /* s small, so that the square of W + s B A is no small difference of large numbers */
    check_linear(*state, "dora, 1x1",
                 (linear_context){.T = 1, .in = 1, .out = 1, .r = 1, .lora_scale = 0.125f, .dora = true});
    check_linear(*state, "dora", (linear_context){.T = 31, .in = 37, .out = 13, .r = 3, .lora_scale = 2, .dora = true});
    check_linear(*state, "dora, all",
                 (linear_context){.T = 13,
                                  .in = 37,
                                  .out = 31,
                                  .r = 9,
                                  .lora_scale = 0.5f,
                                  .bias = true,
                                  .residual = true,
                                  .scale = 0.22f,
                                  .dora = true});
    check_linear(
        *state, "dora, dropout",
        (linear_context){.T = 31, .in = 13, .out = 7, .r = 5, .lora_scale = 2, .dropout = 0.25f, .dora = true});
    check_linear(*state, "dora, dropout, all",
                 (linear_context){.T = 13,
                                  .in = 31,
                                  .out = 31,
                                  .r = 2,
                                  .lora_scale = 2,
                                  .dropout = 0.5f,
                                  .bias = true,
                                  .same = true,
                                  .scale = 0.3f,
                                  .dora = true});
}

/* Two layers of one input, as gate and up: products whose order does not matter have no barrier between them. */
typedef struct pair_context {
    vkft_linear first, second;
    uint32_t launches, barriers; /* of the forward pass */
} pair_context;

enum { PAIR_X, W1, A1, B1, W2, A2, B2, OPERANDS };
#define PAIR_T 5u
#define PAIR_IN 37u
#define PAIR_OUT 13u
#define PAIR_R 3u

static vkft_linear pair_linear(const vkft_operand *w, const vkft_operand *a, const vkft_operand *b)
{
    return (vkft_linear){
        .w = vkft_operand_weight(w),
        .lora = {.r = PAIR_R, .scale = 1, .A = a->address, .B = b->address, .dA = a->grad, .dB = b->grad}};
}

static vkft_tensor *pair_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    pair_context *k = context;
    k->first = pair_linear(&in[W1], &in[A1], &in[B1]);
    k->second = pair_linear(&in[W2], &in[A2], &in[B2]);
    vkft_tensor *a = vkft_op_linear(g, in[PAIR_X].tensor, &k->first, (vkft_linear_call){0});
    vkft_tensor *b = vkft_op_linear(g, in[PAIR_X].tensor, &k->second, (vkft_linear_call){0});
    if (g->cmds) {
        k->launches = vkft_commands_launch_count(g->cmds);
        k->barriers = vkft_commands_barrier_count(g->cmds);
    }
    return vkft_op_add(g, a, b);
}

static void pair_reference(double *const *in, double *y, const void *context)
{
    (void)context;
    for (uint32_t i = 0; i < PAIR_T * PAIR_OUT; i++)
        y[i] = 0;
    for (uint32_t t = 0; t < PAIR_T; t++)
        for (uint32_t o = 0; o < PAIR_OUT; o++)
            for (uint32_t c = 0; c < PAIR_IN; c++)
                for (uint32_t which = W1; which < OPERANDS; which += 3) {
                    double w = in[which][o * PAIR_IN + c];
                    for (uint32_t j = 0; j < PAIR_R; j++)
                        w += in[which + 2][o * PAIR_R + j] * in[which + 1][j * PAIR_IN + c];
                    y[t * PAIR_OUT + o] += in[PAIR_X][t * PAIR_IN + c] * w;
                }
}

static void test_independent_products(void **state)
{
    const vkft_kernel_fixture *f = *state;
    const float spread = (float)(1 / sqrt((double)PAIR_IN));
    pair_context k = {0};
    vkft_op_case c = {
        .name = "a pair",
        .rows = PAIR_T,
        .cols = PAIR_OUT,
        .tolerance = TOLERANCE,
        .forward = pair_forward,
        .reference = pair_reference,
        .context = &k,
        .operands =
            {
                [PAIR_X] = {"x", VKFT_OPERAND_TENSOR, PAIR_T, PAIR_IN, .spread = 1},
                [W1] = {"w1", VKFT_OPERAND_FROZEN, PAIR_OUT, PAIR_IN, .spread = spread},
                [A1] = {"A1", VKFT_OPERAND_PARAMETER, PAIR_R, PAIR_IN, .spread = spread},
                [B1] = {"B1", VKFT_OPERAND_PARAMETER, PAIR_OUT, PAIR_R, .spread = 1},
                [W2] = {"w2", VKFT_OPERAND_FROZEN, PAIR_OUT, PAIR_IN, .spread = spread},
                [A2] = {"A2", VKFT_OPERAND_PARAMETER, PAIR_R, PAIR_IN, .spread = spread},
                [B2] = {"B2", VKFT_OPERAND_PARAMETER, PAIR_OUT, PAIR_R, .spread = 1},
            },
    };
    vkft_check_op(f, &c);
    /* x W1 and x A1; then z1 B1, x W2 and x A2; then z2 B2. */
    assert_int_equal(k.launches, 6);
    assert_int_equal(k.barriers, 3);
    /* Backward: dz and dB; dA and dx; the rest of dx beside the next one's dz and dB; dA and dx; the rest of dx. Its
     * other launches are not products. */
    assert_int_equal(vkft_commands_launch_count(f->cmds), 6 + 1 + 10 + 3);
    assert_int_equal(vkft_commands_barrier_count(f->cmds), 3 + 1 + 5 + 3);
}

static uint64_t target_address, weight_address;

typedef struct head_context {
    uint32_t rows, C, V;
    vkft_head head;
    const uint32_t *target;
    uint64_t logits_bytes; /* at a time; 0: the usual */
} head_context;

static vkft_tensor *loss_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    head_context *k = context;
    k->head.w = vkft_operand_weight(&in[W]);
    g->pass.logits_bytes = k->logits_bytes;
    vkft_op_linear_cross_entropy(g, in[X].tensor, &k->head, target_address, weight_address, loss, true);
    return NULL;
}

/* The logits of row t. */
static void head_row(const head_context *k, double *const *in, uint32_t t, double *z)
{
    for (uint32_t v = 0; v < k->V; v++) {
        double sum = 0;
        for (uint32_t c = 0; c < k->C; c++)
            sum += in[X][t * k->C + c] * in[W][v * k->C + c];
        z[v] = vkft_reference_softcap((double)k->head.scale * sum, (double)k->head.softcap);
    }
}

static void loss_reference(double *const *in, double *y, const void *context)
{
    const head_context *k = context;
    double *z = malloc(k->V * sizeof *z);
    for (uint32_t t = 0; t < k->rows; t++) {
        head_row(k, in, t, z);
        y[t] = vkft_reference_cross_entropy(z, k->V, k->target[t]);
    }
    free(z);
}

static void check_loss(const vkft_kernel_fixture *f, const char *name, head_context k)
{
    uint32_t *target = malloc(k.rows * sizeof *target);
    for (uint32_t t = 0; t < k.rows; t++)
        target[t] = (7919u * t + 5) % k.V;
    k.target = target;
    vkft_guarded bt = vkft_guarded_words(f, target, k.rows), bw = vkft_test_row_weights(f, k.rows);
    target_address = bt.address;
    weight_address = bw.address;
    vkft_op_case c = {
        .name = name,
        .rows = k.rows,
        .cols = 1,
        .tolerance = TOLERANCE,
        .forward = loss_forward,
        .reference = loss_reference,
        .context = &k,
        .operands = {[X] = {"x", VKFT_OPERAND_TENSOR, k.rows, k.C, .spread = 1},
                     [W] = {"w", VKFT_OPERAND_FROZEN, k.V, k.C, .spread = (float)(2 / sqrt((double)k.C))}},
    };
    vkft_check_op(f, &c);
    vkft_guarded_free(f, &bt);
    vkft_guarded_free(f, &bw);
    free(target);
}

static void test_loss(void **state)
{
    check_loss(*state, "one row", (head_context){.rows = 1, .C = 1, .V = 3, .head = {.scale = 1}});
    check_loss(*state, "loss", (head_context){.rows = 31, .C = 7, .V = 333, .head = {.scale = 1}});
    check_loss(*state, "loss, scale", (head_context){.rows = 7, .C = 31, .V = 37, .head = {.scale = 0.125f}});
    check_loss(*state, "loss, softcap",
               (head_context){.rows = 31, .C = 7, .V = 37, .head = {.scale = 3, .softcap = 2}});
}

/* A vocabulary so large that rows go in chunks of 16. */
static void test_loss_chunks(void **state)
{
    check_loss(*state, "chunks",
               (head_context){.rows = 18, .C = 1, .V = VKFT_LOGITS_BYTES / 4 / 16 - 5, .head = {.scale = 1}});
    for (uint32_t rows = 17; rows <= 40; rows += 23) /* two chunks, and one with room to spare */
        check_loss(*state, "chunks by memory",
                   (head_context){
                       .rows = 31, .C = 7, .V = 333, .head = {.scale = 1}, .logits_bytes = rows * 333 * sizeof(float)});
}

static void test_logits(void **state)
{
    const vkft_kernel_fixture *f = *state;
    enum { ROWS = 3, C = 31, V = 333 };
    float *x = vkft_random_array(1, ROWS * C), *w = vkft_random_array(2, V * C), got[ROWS * V];
    double *in[2] = {vkft_reference_widen(x, ROWS * C), vkft_reference_widen(w, V * C)}, want[ROWS * V];
    vkft_guarded bx = vkft_guarded_floats(f, x, ROWS * C), bw = vkft_guarded_floats(f, w, V * C);
    for (int cap = 0; cap < 2; cap++) {
        head_context k = {.rows = ROWS, .C = C, .V = V, .head = {.scale = 0.5f, .softcap = cap ? 3.0f : 0.0f}};
        k.head.w = (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = V, .cols = C, .part = {bw.address}};
        vkft_guarded bz = vkft_guarded_floats(f, NULL, ROWS * V);
        vkft_graph g;
        vkft_err err;
        assert_true(vkft_graph_init(&g));
        vkft_graph_set_device(&g, f->dev, 0, 0);
        vkft_commands_reset(f->cmds);
        vkft_graph_begin_record(&g, f->cmds, 0);
        vkft_op_logits(&g, vkft_tensor_at(&g, bx.address, VKFT_F32, ROWS, C), &k.head, bz.address);
        assert_true(vkft_commands_run(f->cmds, &err));
        vkft_guarded_read(f, &bz, got);
        for (uint32_t t = 0; t < ROWS; t++)
            head_row(&k, in, t, want + t * V);
        vkft_assert_close("logits", got, want, ROWS * V, TOLERANCE);
        vkft_guarded_free(f, &bz);
        vkft_graph_free(&g);
    }
    vkft_guarded_free(f, &bx);
    vkft_guarded_free(f, &bw);
    free(x), free(w), free(in[0]), free(in[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear),
                                       cmocka_unit_test(test_lora),
                                       cmocka_unit_test(test_lora_bias_and_origin),
                                       cmocka_unit_test(test_ia3),
                                       cmocka_unit_test(test_vera),
                                       cmocka_unit_test(test_dora),
                                       cmocka_unit_test(test_independent_products),
                                       cmocka_unit_test(test_loss),
                                       cmocka_unit_test(test_loss_chunks),
                                       cmocka_unit_test(test_logits)};
    return cmocka_run_group_tests_name("ops: linear", tests, vkft_op_setup, vkft_kernel_teardown);
}
