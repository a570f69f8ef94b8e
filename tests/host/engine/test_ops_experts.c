/* Mixtures of experts as ops: router, the ways to the experts and back, their linear layers with LoRA, forward and
 * backward together.
 *
 * Tolerance: as in test_ops_linear; sums over a few experts and over the rows of one stay within 1e-5.
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
#define MAX_EXPERTS 9
#define MAX_WIDTH 40

typedef struct mixture {
    uint32_t T, C, F, E, k, r;
    bool normalized, residual;
    float dropout, scale;
    vkft_activation activation;
    const vkft_kernel_fixture *f;
    vkft_buffer tables[3];
    vkft_linear linear[3][MAX_EXPERTS], router;
    vkft_grouped_linear grouped[3];
} mixture;

enum { X, ROUTER, GATE, UP, DOWN, A, B, RESIDUAL };
#define ADAPTED UP /* the layer with LoRA */

static vkft_weight slice(const vkft_operand *o, uint32_t e, uint32_t rows)
{
    uint64_t offset = (uint64_t)e * rows * o->cols * sizeof(float);
    return (vkft_weight){.storage = VKFT_STORAGE_f32,
                         .rows = rows,
                         .cols = o->cols,
                         .part = {o->address + offset},
                         .grad = o->grad ? o->grad + offset : 0};
}

static void set_experts(mixture *m, const vkft_operand *in, bool recording)
{
    for (uint32_t s = 0; s < 3; s++) {
        uint32_t rows = s == 2 ? m->C : m->F;
        for (uint32_t e = 0; e < m->E; e++) {
            m->linear[s][e] = (vkft_linear){.w = slice(&in[GATE + s], e, rows)};
            if (GATE + s == ADAPTED && m->r) {
                vkft_weight a = slice(&in[A], e, m->r), b = slice(&in[B], e, rows);
                m->linear[s][e].lora = (vkft_lora){.r = m->r,
                                                   .scale = 2,
                                                   .dropout = m->dropout,
                                                   .layer = 3,
                                                   .A = a.part[VKFT_PART_DATA],
                                                   .B = b.part[VKFT_PART_DATA],
                                                   .dA = a.grad,
                                                   .dB = b.grad};
            }
        }
        m->grouped[s] = (vkft_grouped_linear){.linear = m->linear[s], .groups = m->E, .tables = m->tables[s].address};
        uint64_t bytes = vkft_grouped_table_bytes(m->E);
        void *tables = malloc(bytes);
        vkft_err err;
        vkft_grouped_tables(&m->grouped[s], tables);
        if (recording)
            assert_true(vkft_buffer_write(m->f->dev, &m->tables[s], 0, tables, bytes, &err));
        free(tables);
    }
}

static vkft_tensor *forward(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context)
{
    (void)loss;
    mixture *m = context;
    set_experts(m, in, g->mode == VKFT_GRAPH_RECORD);
    m->router = (vkft_linear){.w = vkft_operand_weight(&in[ROUTER])};
    vkft_tensor *x = in[X].tensor;
    vkft_routing routing =
        vkft_op_route(g, vkft_op_linear(g, x, &m->router, (vkft_linear_call){0}), m->k, m->normalized, 0);
    vkft_tensor *rows = vkft_op_dispatch(g, x, &routing);
    vkft_tensor *gate = vkft_op_grouped_linear(g, rows, &m->grouped[0], &routing, (vkft_linear_call){0});
    vkft_tensor *up = vkft_op_grouped_linear(g, rows, &m->grouped[1], &routing, (vkft_linear_call){0});
    vkft_tensor *h = vkft_op_expert_gated(g, gate, up, &routing, m->activation);
    vkft_tensor *y = vkft_op_grouped_linear(g, h, &m->grouped[2], &routing, (vkft_linear_call){.scale = m->scale});
    return vkft_op_combine(g, y, &routing, m->residual ? in[RESIDUAL].tensor : NULL, false);
}

/* The k experts of the largest logits, and their weights. */
static void choose(const mixture *m, double *const *in, uint32_t t, uint32_t *chosen, double *weight)
{
    double z[MAX_EXPERTS], all = 0, sum = 0;
    bool taken[MAX_EXPERTS] = {false};
    for (uint32_t e = 0; e < m->E; e++) {
        z[e] = 0;
        for (uint32_t c = 0; c < m->C; c++)
            z[e] += in[ROUTER][e * m->C + c] * in[X][t * m->C + c];
        all += exp(z[e]);
    }
    for (uint32_t j = 0; j < m->k; j++) {
        uint32_t best = m->E;
        for (uint32_t e = 0; e < m->E; e++)
            if (!taken[e] && (best == m->E || z[e] > z[best]))
                best = e;
        taken[best] = true;
        chosen[j] = best;
        weight[j] = exp(z[best]) / all;
        sum += weight[j];
    }
    for (uint32_t j = 0; m->normalized && j < m->k; j++)
        weight[j] /= sum;
}

static double dot(const double *a, const double *b, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* The adapter's part of the up projection for expert e: row is the place of the assignment among all, by expert. */
static double adapter(const mixture *m, double *const *in, uint32_t e, uint32_t row, const double *x, uint32_t f)
{
    double sum = 0, p = (double)m->dropout;
    for (uint32_t j = 0; j < m->r; j++) {
        double z = 0;
        for (uint32_t c = 0; c < m->C; c++) {
            bool keep = p <= 0 || vkft_reference_dropout_word(VKFT_TEST_SEED, 3, VKFT_TEST_MICRO_STEP,
                                                              row * m->C + c) >= (uint32_t)(p * 0x1p32);
            z += keep ? x[c] / (1 - p) * in[A][(e * m->r + j) * m->C + c] : 0;
        }
        sum += 2 * z * in[B][(e * m->F + f) * m->r + j];
    }
    return sum;
}

static void reference(double *const *in, double *y, const void *context)
{
    const mixture *m = context;
    uint32_t *chosen = malloc(m->T * m->k * sizeof *chosen), row = 0;
    double *weight = malloc(m->T * m->k * sizeof *weight), h[MAX_WIDTH];
    for (uint32_t t = 0; t < m->T; t++)
        choose(m, in, t, chosen + t * m->k, weight + t * m->k);
    for (uint32_t i = 0; i < m->T * m->C; i++)
        y[i] = m->residual ? in[RESIDUAL][i] : 0;
    for (uint32_t e = 0; e < m->E; e++)
        for (uint32_t a = 0; a < m->T * m->k; a++) {
            if (chosen[a] != e)
                continue;
            const double *x = in[X] + a / m->k * m->C;
            for (uint32_t f = 0; f < m->F; f++) {
                double gate = dot(x, in[GATE] + (e * m->F + f) * m->C, m->C),
                       up = dot(x, in[UP] + (e * m->F + f) * m->C, m->C);
                h[f] = weight[a] * vkft_reference_activation(m->activation, gate) * (up + adapter(m, in, e, row, x, f));
            }
            for (uint32_t c = 0; c < m->C; c++)
                y[a / m->k * m->C + c] +=
                    (m->scale > 0 ? (double)m->scale : 1) * dot(h, in[DOWN] + (e * m->C + c) * m->F, m->F);
            row++;
        }
    free(chosen);
    free(weight);
}

static void check(const vkft_kernel_fixture *f, const char *name, mixture m, vkft_operand_kind x,
                  vkft_operand_kind weights)
{
    vkft_err err;
    uint32_t r = m.r ? m.r : 1;
    float in = (float)(1 / sqrt((double)m.C)), hidden = (float)(1 / sqrt((double)m.F));
    m.f = f;
    for (uint32_t s = 0; s < 3; s++)
        assert_true(
            vkft_buffer_new(f->dev, vkft_grouped_table_bytes(m.E), VKFT_MEMORY_DEVICE, "tables", &m.tables[s], &err));
    vkft_op_case c = {
        .name = name,
        .rows = m.T,
        .cols = m.C,
        .tolerance = TOLERANCE,
        .forward = forward,
        .reference = reference,
        .context = &m,
        .dropout = true,
        .operands =
            {
                [X] = {"x", x, m.T, m.C, .spread = 1},
                [ROUTER] = {"router", weights, m.E, m.C, .spread = 2 * in},
                [GATE] = {"gate", weights, m.E * m.F, m.C, .spread = in},
                [UP] = {"up", weights, m.E * m.F, m.C, .spread = in},
                [DOWN] = {"down", weights, m.E * m.C, m.F, .spread = hidden},
                [A] = {"A", m.r ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN, m.E * r, m.C, .spread = in},
                [B] = {"B", m.r ? VKFT_OPERAND_PARAMETER : VKFT_OPERAND_FROZEN, m.E * m.F, r, .spread = 1},
                [RESIDUAL] = {"residual", m.residual ? VKFT_OPERAND_TENSOR : VKFT_OPERAND_CONSTANT, m.T, m.C,
                              .spread = 1},
            },
    };
    vkft_check_op(f, &c);
    for (uint32_t s = 0; s < 3; s++)
        vkft_buffer_free(f->dev, &m.tables[s]);
}

static void test_frozen(void **state)
{
    const vkft_operand_kind x = VKFT_OPERAND_TENSOR, frozen = VKFT_OPERAND_FROZEN;
    check(*state, "one expert", (mixture){.T = 1, .C = 1, .F = 1, .E = 1, .k = 1}, x, frozen);
    check(*state, "most without a token", (mixture){.T = 3, .C = 7, .F = 5, .E = 9, .k = 1, .normalized = true}, x,
          frozen);
    check(*state, "parts of the softmax",
          (mixture){.T = 7, .C = 9, .F = 5, .E = 4, .k = 2, .residual = true, .scale = 0.22f}, x, frozen);
    check(*state, "normalized",
          (mixture){.T = 31, .C = 9, .F = 11, .E = 6, .k = 3, .normalized = true, .residual = true}, x, frozen);
    check(*state, "all experts", (mixture){.T = 5, .C = 10, .F = 3, .E = 4, .k = 4, .activation = VKFT_ACT_GELU_TANH},
          x, frozen);
    check(*state, "several tiles and slices", (mixture){.T = 131, .C = 5, .F = 3, .E = 3, .k = 2, .normalized = true},
          x, frozen);
}

static void test_trained(void **state)
{
    const vkft_operand_kind trained = VKFT_OPERAND_PARAMETER;
    check(*state, "trained", (mixture){.T = 13, .C = 7, .F = 5, .E = 5, .k = 2}, VKFT_OPERAND_TENSOR, trained);
    check(*state, "trained, normalized",
          (mixture){.T = 37, .C = 9, .F = 12, .E = 3, .k = 2, .normalized = true, .residual = true},
          VKFT_OPERAND_TENSOR, trained);
    check(*state, "trained, x constant", (mixture){.T = 13, .C = 8, .F = 5, .E = 4, .k = 1}, VKFT_OPERAND_CONSTANT,
          trained);
}

static void test_lora(void **state)
{
    const vkft_operand_kind frozen = VKFT_OPERAND_FROZEN;
    check(*state, "lora", (mixture){.T = 31, .C = 9, .F = 7, .E = 4, .k = 2, .r = 3}, VKFT_OPERAND_TENSOR, frozen);
    check(*state, "lora, dropout",
          (mixture){.T = 23, .C = 9, .F = 7, .E = 4, .k = 2, .r = 2, .dropout = 0.25f, .normalized = true},
          VKFT_OPERAND_TENSOR, frozen);
    check(*state, "lora, dropout, x constant",
          (mixture){.T = 13, .C = 9, .F = 7, .E = 3, .k = 1, .r = 4, .dropout = 0.5f}, VKFT_OPERAND_CONSTANT, frozen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_frozen), cmocka_unit_test(test_trained),
                                       cmocka_unit_test(test_lora)};
    return cmocka_run_group_tests_name("ops: experts", tests, vkft_op_setup, vkft_kernel_teardown);
}
