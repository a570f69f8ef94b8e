/* What is trained on an embedding and a head beside their matrices: LoRA, and rows of some tokens, in the embedding,
 * the head or both, and a head whose rows go in chunks. The first token's id repeats, so that gradients are sums.
 *
 * Tolerance: as in test_ops_gradients.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/support/kernels/op_test.h"
#include "host/doctor/reference/ops.h"

#define TOLERANCE 1e-5
enum { WORDS, HEAD, A, B, HEAD_A, HEAD_B, ROWS, LAYER = 3, MAX_T = 40, MAX_V = 100 };

typedef struct context {
    uint32_t T, C, V, r;
    uint32_t own; /* tokens with rows of their own: 3, 6, 9, ... */
    bool lora, head_lora, rows, head_rows, tied;
    float dropout, softcap; /* of the head */
    uint64_t logits_bytes;
    uint32_t ids[MAX_T], targets[MAX_T];
    uint64_t id, target, weight, slots, tokens;
    vkft_weight words;
    vkft_lora on_words;
    vkft_token_rows own_rows;
    vkft_head head;
} context;

static vkft_lora lora_of(const context *k, const vkft_operand *a, const vkft_operand *b, float dropout)
{
    return (vkft_lora){.r = k->r,
                       .scale = 0.6f,
                       .dropout = dropout,
                       .layer = LAYER,
                       .A = a->address,
                       .B = b->address,
                       .dA = a->grad,
                       .dB = b->grad};
}

static vkft_tensor *forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *given)
{
    context *k = given;
    k->words = vkft_operand_weight(&in[WORDS]);
    k->on_words = lora_of(k, &in[A], &in[B], 0.9f); /* no dropout on embeddings */
    k->own_rows = (vkft_token_rows){
        .count = k->own, .rows = in[ROWS].address, .drows = in[ROWS].grad, .slots = k->slots, .tokens = k->tokens};
    k->head = (vkft_head){.w = vkft_operand_weight(&in[k->tied ? WORDS : HEAD]), .scale = 0.7f, .softcap = k->softcap};
    k->head.adapted.w = (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = k->V, .cols = k->C};
    if (k->head_lora)
        k->head.adapted.lora = lora_of(k, &in[HEAD_A], &in[HEAD_B], k->dropout);
    if (k->head_rows)
        k->head.rows = k->own_rows;
    g->pass.logits_bytes = k->logits_bytes;
    const vkft_embedding e = {
        .table = &k->words, .lora = k->lora ? &k->on_words : NULL, .rows = k->rows ? &k->own_rows : NULL};
    vkft_tensor *x = vkft_op_embedding(g, &e, k->id, k->T, 2.0f);
    vkft_op_linear_cross_entropy(g, x, &k->head, k->target, k->weight, loss, true);
    return NULL;
}

/* 1 + the number of the token's own row, or 0. */
static uint32_t slot(const context *k, uint32_t token)
{
    return token && token % 3 == 0 && token / 3 <= k->own ? token / 3 : 0;
}

static double element(const context *k, double *const *in, uint32_t token, uint32_t c)
{
    if (k->rows && slot(k, token))
        return in[ROWS][(slot(k, token) - 1) * k->C + c];
    double x = in[WORDS][token * k->C + c];
    for (uint32_t i = 0; k->lora && i < k->r; i++)
        x += (double)0.6f * in[A][i * k->V + token] * in[B][c * k->r + i];
    return x;
}

static double kept(const context *k, uint32_t i)
{
    double p = (double)k->dropout;
    bool keep = vkft_reference_dropout_word(VKFT_TEST_SEED, LAYER, VKFT_TEST_MICRO_STEP, i) >= (uint32_t)(p * 0x1p32);
    return keep ? 1 / (1 - p) : 0;
}

static void reference(double *const *in, double *y, const void *given)
{
    const context *k = given;
    double z[MAX_V], x[64], a[16];
    for (uint32_t t = 0; t < k->T; t++) {
        for (uint32_t c = 0; c < k->C; c++)
            x[c] = 2 * element(k, in, k->ids[t], c);
        for (uint32_t i = 0; i < k->r; i++) {
            a[i] = 0;
            for (uint32_t c = 0; c < k->C; c++)
                a[i] += in[HEAD_A][i * k->C + c] * x[c] * kept(k, t * k->C + c);
        }
        for (uint32_t v = 0; v < k->V; v++) {
            const double *w = in[k->tied ? WORDS : HEAD] + v * k->C;
            double sum = 0;
            if (k->head_rows && slot(k, v))
                w = in[ROWS] + (slot(k, v) - 1) * k->C;
            for (uint32_t c = 0; c < k->C; c++)
                sum += w[c] * x[c];
            for (uint32_t i = 0; k->head_lora && i < k->r; i++)
                sum += (double)0.6f * a[i] * in[HEAD_B][v * k->r + i];
            z[v] = vkft_reference_softcap((double)0.7f * sum, (double)k->softcap);
        }
        y[t] = vkft_reference_cross_entropy(z, k->V, k->targets[t]);
    }
}

static vkft_operand_kind kind_of(bool trained)
{
    return trained ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN;
}

static void check(const vkft_kernel_fixture *f, const char *name, context k)
{
    uint32_t slots[MAX_V], tokens[MAX_V];
    for (uint32_t v = 0; v < k.V; v++)
        slots[v] = slot(&k, v);
    for (uint32_t i = 0; i < k.own; i++)
        tokens[i] = 3 * (i + 1);
    for (uint32_t t = 0; t < k.T; t++) {
        k.ids[t] = (t * t + 3 * t) % k.V;
        k.targets[t] = (5 * t + 1) % k.V;
    }
    vkft_guarded buffers[] = {vkft_guarded_words(f, k.ids, k.T), vkft_guarded_words(f, k.targets, k.T),
                              vkft_test_row_weights(f, k.T), vkft_guarded_words(f, slots, k.V),
                              vkft_guarded_words(f, tokens, k.own ? k.own : 1)};
    k.id = buffers[0].address, k.target = buffers[1].address, k.weight = buffers[2].address;
    k.slots = buffers[3].address, k.tokens = buffers[4].address;
    bool rows = k.rows || k.head_rows;
    vkft_op_case c = {.name = name,
                      .rows = k.T,
                      .cols = 1,
                      .tolerance = TOLERANCE,
                      .dropout = k.dropout > 0,
                      .forward = forward,
                      .reference = reference,
                      .context = &k,
                      .operands = {[WORDS] = {"words", VKFT_OPERAND_FROZEN, k.V, k.C, .spread = 0.5f},
                                   [HEAD] = {"head", VKFT_OPERAND_FROZEN, k.V, k.C, .spread = 0.5f},
                                   [A] = {"A", kind_of(k.lora), k.r, k.V, .spread = 0.5f},
                                   [B] = {"B", kind_of(k.lora), k.C, k.r, .spread = 0.5f},
                                   [HEAD_A] = {"head's A", kind_of(k.head_lora), k.r, k.C, .spread = 0.5f},
                                   [HEAD_B] = {"head's B", kind_of(k.head_lora), k.V, k.r, .spread = 0.5f},
                                   [ROWS] = {"rows", kind_of(rows), k.own ? k.own : 1, k.C, .spread = 0.5f}}};
    vkft_check_op(f, &c);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        vkft_guarded_free(f, &buffers[i]);
}

static void test_lora(void **state)
{
    check(*state, "embedding", (context){.T = 31, .C = 7, .V = 37, .r = 3, .lora = true});
    check(*state, "embedding, tied", (context){.T = 31, .C = 7, .V = 37, .r = 3, .lora = true, .tied = true});
    check(*state, "1x1", (context){.T = 1, .C = 1, .V = 2, .r = 1, .lora = true, .head_lora = true});
    check(*state, "head alone", (context){.T = 13, .C = 5, .V = 71, .r = 2, .head_lora = true});
    check(*state, "both, softcap",
          (context){.T = 31, .C = 9, .V = 37, .r = 4, .lora = true, .head_lora = true, .softcap = 3});
    check(*state, "both, dropout, chunks",
          (context){.T = 31,
                    .C = 9,
                    .V = 97,
                    .r = 4,
                    .lora = true,
                    .head_lora = true,
                    .dropout = 0.3f,
                    .logits_bytes = 17 * 97 * sizeof(float)});
}

static void test_rows(void **state)
{
    check(*state, "embedding", (context){.T = 31, .C = 7, .V = 37, .r = 1, .own = 11, .rows = true});
    check(*state, "head", (context){.T = 31, .C = 7, .V = 37, .r = 1, .own = 5, .head_rows = true});
    check(*state, "one of both",
          (context){.T = 5, .C = 3, .V = 7, .r = 1, .own = 1, .rows = true, .head_rows = true, .tied = true});
    check(*state, "both, softcap, chunks",
          (context){.T = 33,
                    .C = 9,
                    .V = 97,
                    .r = 1,
                    .own = 13,
                    .rows = true,
                    .head_rows = true,
                    .tied = true,
                    .softcap = 3,
                    .logits_bytes = 17 * 97 * sizeof(float)});
    check(*state, "rows of the head, LoRA on the embedding",
          (context){.T = 31, .C = 7, .V = 37, .r = 3, .own = 4, .lora = true, .head_rows = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lora), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests_name("ops: embeddings and heads", tests, vkft_op_setup, vkft_kernel_teardown);
}
