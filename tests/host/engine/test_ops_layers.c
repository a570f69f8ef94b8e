/* Norms, activations, addition, rotation, the parts of a fused projection, embeddings and attention as ops: forward and
 * backward, alone and in the combinations in which gradients share memory.
 *
 * Tolerance: values and slopes of order 1 after a few tens of f32 roundings (6e-8): 5e-6.
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

#define TOLERANCE 5e-6

typedef struct norm_context {
    uint32_t T, heads;
    vkft_reference_norm norm;
    bool residual; /* x + norm(x), so that x's gradient has two writers */
    vkft_norm param;
} norm_context;

static vkft_tensor *norm_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    norm_context *k = context;
    k->param = (vkft_norm){.layernorm = k->norm.layernorm,
                           .gain = in[1].address,
                           .bias = k->norm.layernorm ? in[2].address : 0,
                           .width = k->norm.C,
                           .eps = (float)k->norm.eps,
                           .gain_offset = (float)k->norm.gain_offset};
    vkft_tensor *y = vkft_op_norm(g, in[0].tensor, &k->param);
    return k->residual ? vkft_op_add(g, in[0].tensor, y) : y;
}

static void norm_reference(double *const *in, double *y, const void *context)
{
    const norm_context *k = context;
    uint32_t n = k->T * k->heads * k->norm.C;
    for (uint32_t at = 0; at < n; at += k->norm.C)
        vkft_reference_norm_row(&k->norm, in[0] + at, in[1], k->norm.layernorm ? in[2] : NULL, y + at);
    for (uint32_t i = 0; k->residual && i < n; i++)
        y[i] += in[0][i];
}

static void check_norm(const vkft_kernel_fixture *f, const char *name, norm_context k)
{
    uint32_t C = k.norm.C;
    k.norm.eps = 0x1p-17; /* exact in f32 */
    vkft_op_case c = {.name = name,
                      .rows = k.T,
                      .cols = k.heads * C,
                      .tolerance = TOLERANCE,
                      .forward = norm_forward,
                      .reference = norm_reference,
                      .context = &k,
                      .operands = {{"x", VKFT_OPERAND_TENSOR, k.T, k.heads * C, .spread = 1},
                                   {"gain", VKFT_OPERAND_FROZEN, 1, C, .spread = 1},
                                   {"bias", VKFT_OPERAND_FROZEN, 1, C, .spread = 1}}};
    vkft_check_op(f, &c);
}

static void test_norm(void **state)
{
    check_norm(*state, "rmsnorm", (norm_context){.T = 31, .heads = 1, .norm = {.C = 37}});
    check_norm(*state, "rmsnorm of heads", (norm_context){.T = 7, .heads = 3, .norm = {.C = 10, .gain_offset = 1}});
    check_norm(*state, "layernorm", (norm_context){.T = 31, .heads = 1, .norm = {.layernorm = true, .C = 37}});
    check_norm(*state, "layernorm of heads", (norm_context){.T = 5, .heads = 3, .norm = {.layernorm = true, .C = 31}});
    check_norm(*state, "x + rmsnorm(x)", (norm_context){.T = 3, .heads = 1, .norm = {.C = 333}, .residual = true});
    check_norm(*state, "x + layernorm(x)",
               (norm_context){.T = 3, .heads = 2, .norm = {.layernorm = true, .C = 31}, .residual = true});
}

typedef struct activation_context {
    vkft_activation activation;
    uint32_t n;
} activation_context;

static vkft_tensor *activation_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    return vkft_op_activation(g, in[0].tensor, ((activation_context *)context)->activation);
}

static void activation_reference(double *const *in, double *y, const void *context)
{
    const activation_context *k = context;
    for (uint32_t i = 0; i < k->n; i++)
        y[i] = vkft_reference_activation(k->activation, in[0][i]);
}

static vkft_tensor *gated_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    return vkft_op_gated(g, in[0].tensor, in[1].tensor, ((activation_context *)context)->activation);
}

static void gated_reference(double *const *in, double *y, const void *context)
{
    const activation_context *k = context;
    for (uint32_t i = 0; i < k->n; i++)
        y[i] = vkft_reference_activation(k->activation, in[0][i]) * in[1][i];
}

static void test_activation(void **state)
{
    enum { T = 31, F = 11 };
    for (vkft_activation a = VKFT_ACT_SILU; a <= VKFT_ACT_RELU; a++) {
        activation_context k = {a, T * F};
        vkft_op_case alone = {.name = "activation",
                              .rows = T,
                              .cols = F,
                              .tolerance = TOLERANCE,
                              .forward = activation_forward,
                              .reference = activation_reference,
                              .context = &k,
                              .operands = {{"x", VKFT_OPERAND_TENSOR, T, F, .spread = 2}}};
        vkft_op_case gated = {.name = "gated",
                              .rows = T,
                              .cols = F,
                              .tolerance = TOLERANCE,
                              .forward = gated_forward,
                              .reference = gated_reference,
                              .context = &k,
                              .operands = {{"gate", VKFT_OPERAND_TENSOR, T, F, .spread = 2},
                                           {"up", VKFT_OPERAND_TENSOR, T, F, .spread = 1}}};
        vkft_check_op(*state, &alone);
        vkft_check_op(*state, &gated);
    }
}

/* Ways in which the operands of an addition come by their gradients. */
typedef enum sharing {
    PLAIN,   /* a + b */
    TWICE,   /* a + a */
    A_FIRST, /* (a + b) + a: a has a gradient when a + b is reached */
    B_FIRST, /* (a + b) + b */
    CHAIN,   /* ((a + b) + c) + (a + c), where memory handed on is added to later */
} sharing;

static vkft_tensor *add_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    vkft_tensor *a = in[0].tensor, *b = in[1].tensor, *c = in[2].tensor;
    switch (*(const sharing *)context) {
    case PLAIN: return vkft_op_add(g, a, b);
    case TWICE: return vkft_op_add(g, a, a);
    case A_FIRST: return vkft_op_add(g, vkft_op_add(g, a, b), a);
    case B_FIRST: return vkft_op_add(g, vkft_op_add(g, a, b), b);
    case CHAIN: break;
    }
    vkft_tensor *ac = vkft_op_add(g, a, c);
    return vkft_op_add(g, vkft_op_add(g, vkft_op_add(g, a, b), c), ac);
}

#define ADD_T 7u
#define ADD_C 13u

static void add_reference(double *const *in, double *y, const void *context)
{
    static const double factor[][3] = {
        [PLAIN] = {1, 1, 0}, [TWICE] = {2, 0, 0}, [A_FIRST] = {2, 1, 0}, [B_FIRST] = {1, 2, 0}, [CHAIN] = {2, 1, 2}};
    const double *k = factor[*(const sharing *)context];
    for (uint32_t i = 0; i < ADD_T * ADD_C; i++)
        y[i] = k[0] * in[0][i] + k[1] * in[1][i] + k[2] * in[2][i];
}

static void test_add(void **state)
{
    static const char *const names[] = {"a + b", "a + a", "(a + b) + a", "(a + b) + b", "((a + b) + c) + (a + c)"};
    for (sharing s = PLAIN; s <= CHAIN; s++)
        for (int frozen = -1; frozen < 3; frozen++) { /* one of the operands may need no gradient */
            vkft_operand_kind kind[3] = {VKFT_OPERAND_TENSOR, s == TWICE ? VKFT_OPERAND_CONSTANT : VKFT_OPERAND_TENSOR,
                                         s == CHAIN ? VKFT_OPERAND_TENSOR : VKFT_OPERAND_CONSTANT};
            if (frozen >= 0)
                kind[frozen] = VKFT_OPERAND_CONSTANT;
            if (s == TWICE && frozen == 0)
                continue;
            vkft_op_case c = {.name = names[s],
                              .rows = ADD_T,
                              .cols = ADD_C,
                              .tolerance = TOLERANCE,
                              .forward = add_forward,
                              .reference = add_reference,
                              .context = &s,
                              .operands = {{"a", kind[0], ADD_T, ADD_C, .spread = 1},
                                           {"b", kind[1], ADD_T, ADD_C, .spread = 1},
                                           {"c", kind[2], ADD_T, ADD_C, .spread = 1}}};
            vkft_check_op(*state, &c);
        }
}

/* [T, H*3*D] interleaved by heads, as in GPT-NeoX: the first two parts added, gated by the third. */
#define COLUMNS_T 5u
#define COLUMNS_H 3u
#define COLUMNS_D 7u

static vkft_tensor *columns_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss, (void)context;
    vkft_tensor *part[3];
    for (uint32_t j = 0; j < 3; j++)
        part[j] = vkft_op_columns(
            g, in[0].tensor,
            (vkft_columns){.offset = j * COLUMNS_D, .width = COLUMNS_D, .step = 3 * COLUMNS_D, .count = COLUMNS_H});
    return vkft_op_gated(g, part[2], vkft_op_add(g, part[0], part[1]), VKFT_ACT_SILU);
}

static void columns_reference(double *const *in, double *y, const void *context)
{
    (void)context;
    for (uint32_t th = 0; th < COLUMNS_T * COLUMNS_H; th++)
        for (uint32_t d = 0; d < COLUMNS_D; d++) {
            const double *x = in[0] + th * 3 * COLUMNS_D + d;
            y[th * COLUMNS_D + d] = vkft_reference_activation(VKFT_ACT_SILU, x[2 * COLUMNS_D]) * (x[0] + x[COLUMNS_D]);
        }
}

static void test_columns(void **state)
{
    vkft_op_case c = {.name = "columns",
                      .rows = COLUMNS_T,
                      .cols = COLUMNS_H * COLUMNS_D,
                      .tolerance = TOLERANCE,
                      .forward = columns_forward,
                      .reference = columns_reference,
                      .operands = {{"x", VKFT_OPERAND_TENSOR, COLUMNS_T, 3 * COLUMNS_H * COLUMNS_D, .spread = 1}}};
    vkft_check_op(*state, &c);
}

typedef struct sequence_context {
    uint32_t T, Hq, Hk, P;
    uint32_t dim;
    float softcap;
    uint32_t *position, *query_range, *key_range;
    vkft_sequence sequence;
    vkft_attention_shape shape;
} sequence_context;

/* q, k, v and the table are operands; q and k are rotated in a copy, since rotation is in place. */
static vkft_tensor *attention_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    sequence_context *k = context;
    vkft_rotary rotary = {in[3].address, k->dim};
    vkft_tensor *x[3];
    for (uint32_t i = 0; i < 3; i++)
        x[i] = vkft_op_columns(g, in[i].tensor, (vkft_columns){.width = in[i].cols, .count = 1});
    vkft_op_rope(g, x[0], VKFT_TEST_HEAD, rotary, &k->sequence);
    vkft_op_rope(g, x[1], VKFT_TEST_HEAD, rotary, &k->sequence);
    return vkft_op_attention(g, x[0], x[1], x[2], &k->shape, &k->sequence);
}

static double *rotated(const double *x, const sequence_context *k, uint32_t H, const double *table)
{
    uint32_t n = k->T * H * VKFT_TEST_HEAD;
    double *y = malloc(n * sizeof *y);
    float angle[VKFT_TEST_HEAD];
    memcpy(y, x, n * sizeof *y);
    for (uint32_t r = 0; r < k->T * H; r++) {
        for (uint32_t i = 0; i < k->dim; i++)
            angle[i] = (float)table[k->position[r / H] * k->dim + i];
        vkft_reference_rope_head(y + r * VKFT_TEST_HEAD, k->dim, angle);
    }
    return y;
}

static void attention_reference(double *const *in, double *y, const void *context)
{
    enum { D = VKFT_TEST_HEAD };
    const sequence_context *k = context;
    double *q = rotated(in[0], k, k->Hq, in[3]), *key = rotated(in[1], k, k->Hk, in[3]), score[64];
    for (uint32_t t = 0; t < k->T; t++)
        for (uint32_t h = 0; h < k->Hq; h++) {
            uint32_t row = t * k->Hq + h, g = h / (k->Hq / k->Hk);
            double total = 0;
            for (uint32_t s = k->query_range[2 * t]; s < k->query_range[2 * t + 1]; s++) {
                score[s] = 0;
                for (uint32_t d = 0; d < D; d++)
                    score[s] += (double)k->shape.scale * q[row * D + d] * key[(s * k->Hk + g) * D + d];
                score[s] = exp(vkft_reference_softcap(score[s], (double)k->softcap));
                total += score[s];
            }
            for (uint32_t d = 0; d < D; d++) {
                y[row * D + d] = 0;
                for (uint32_t s = k->query_range[2 * t]; s < k->query_range[2 * t + 1]; s++)
                    y[row * D + d] += score[s] / total * in[2][(s * k->Hk + g) * D + d];
            }
        }
    free(q), free(key);
}

static void check_attention(const vkft_kernel_fixture *f, const char *name, sequence_context k)
{
    enum { SEQUENCE = 7 };
    uint32_t T = k.T, D = VKFT_TEST_HEAD;
    uint32_t position[64], query_range[128], key_range[128];
    float table[64 * VKFT_TEST_HEAD];
    for (uint32_t t = 0; t < T; t++) {
        uint32_t start = t / SEQUENCE * SEQUENCE, end = start + SEQUENCE < T ? start + SEQUENCE : T;
        position[t] = t - start;
        query_range[2 * t] = start;
        query_range[2 * t + 1] = t + 1;
        key_range[2 * t] = t;
        key_range[2 * t + 1] = end;
    }
    for (uint32_t i = 0; i < SEQUENCE * k.dim / 2; i++) {
        table[2 * i] = (float)cos(0.3 * i);
        table[2 * i + 1] = (float)sin(0.3 * i);
    }
    k.position = position;
    k.query_range = query_range;
    vkft_guarded bp = vkft_guarded_words(f, position, T), bq = vkft_guarded_words(f, query_range, 2 * T);
    vkft_guarded bk = vkft_guarded_words(f, key_range, 2 * T);
    k.sequence = (vkft_sequence){
        .position = bp.address, .query_range = bq.address, .key_range = bk.address, .longest = SEQUENCE};
    k.shape = (vkft_attention_shape){.Hq = k.Hq, .Hk = k.Hk, .D = D, .scale = 0.5f, .softcap = k.softcap};
    vkft_op_case c = {.name = name,
                      .rows = T,
                      .cols = k.Hq * D,
                      .tolerance = TOLERANCE,
                      .forward = attention_forward,
                      .reference = attention_reference,
                      .context = &k,
                      .operands = {{"q", VKFT_OPERAND_TENSOR, T, k.Hq * D, .spread = 1},
                                   {"k", VKFT_OPERAND_TENSOR, T, k.Hk * D, .spread = 1},
                                   {"v", VKFT_OPERAND_TENSOR, T, k.Hk * D, .spread = 1},
                                   {"table", VKFT_OPERAND_FROZEN, SEQUENCE, k.dim, .values = table}}};
    vkft_check_op(f, &c);
    vkft_guarded_free(f, &bp);
    vkft_guarded_free(f, &bq);
    vkft_guarded_free(f, &bk);
}

static void test_attention(void **state)
{
    check_attention(*state, "attention", (sequence_context){.T = 17, .Hq = 4, .Hk = 2, .dim = VKFT_TEST_HEAD});
    check_attention(*state, "attention, softcap, rotation in part",
                    (sequence_context){.T = 11, .Hq = 3, .Hk = 1, .dim = 2, .softcap = 2});
}

typedef struct embedding_context {
    uint32_t T, C, offset;
    uint64_t ids, positions;
    const uint32_t *id, *position;
} embedding_context;

/* x is there for a gradient to have somewhere to go. */
static vkft_tensor *embedding_forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    const embedding_context *k = context;
    vkft_weight words = vkft_operand_weight(&in[1]), places = vkft_operand_weight(&in[2]);
    vkft_tensor *y = vkft_op_embedding(g, &(vkft_embedding){.table = &words}, k->ids, k->T, 3.0f);
    vkft_op_embedding_add(g, y, &places, k->positions, k->offset);
    return vkft_op_add(g, y, in[0].tensor);
}

static void embedding_reference(double *const *in, double *y, const void *context)
{
    const embedding_context *k = context;
    for (uint32_t t = 0; t < k->T; t++)
        for (uint32_t c = 0; c < k->C; c++)
            y[t * k->C + c] =
                in[0][t * k->C + c] + 3 * in[1][k->id[t] * k->C + c] + in[2][(k->position[t] + k->offset) * k->C + c];
}

static void test_embedding(void **state)
{
    enum { T = 31, C = 13, V = 17, P = 9, OFFSET = 2 };
    uint32_t id[T], position[T];
    for (uint32_t t = 0; t < T; t++) {
        id[t] = (5 * t + 3) % (V - 1);
        position[t] = t % (P - OFFSET);
    }
    vkft_guarded bi = vkft_guarded_words(*state, id, T), bp = vkft_guarded_words(*state, position, T);
    embedding_context k = {T, C, OFFSET, bi.address, bp.address, id, position};
    vkft_op_case c = {.name = "embedding",
                      .rows = T,
                      .cols = C,
                      .tolerance = TOLERANCE,
                      .forward = embedding_forward,
                      .reference = embedding_reference,
                      .context = &k,
                      .operands = {{"x", VKFT_OPERAND_TENSOR, T, C, .spread = 1},
                                   {"words", VKFT_OPERAND_FROZEN, V, C, .spread = 1},
                                   {"places", VKFT_OPERAND_FROZEN, P, C, .spread = 1}}};
    vkft_check_op(*state, &c);
    vkft_guarded_free(*state, &bi);
    vkft_guarded_free(*state, &bp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_norm),      cmocka_unit_test(test_activation),
                                       cmocka_unit_test(test_add),       cmocka_unit_test(test_columns),
                                       cmocka_unit_test(test_attention), cmocka_unit_test(test_embedding)};
    return cmocka_run_group_tests_name("ops: layers", tests, vkft_op_setup, vkft_kernel_teardown);
}
