/* Mixtures of experts: the choice of experts, the order of the assignments, and what is computed for each row.
 *
 * Tolerance: weights are a softmax in f32, rows a few products of values of order 1: 2e-6 relative to 1 + |value|; the
 * gradient of a weight is a sum of F of these, 2e-5. Test: test_kernels_experts */
#include <math.h>
#include <string.h>

#include "host/doctor/checks/kernels.h"
#include "host/doctor/reference/ops.h"
#include "host/engine/matmul/product.h"
#include "shaders/elementwise/args.h"
#include "shaders/experts/args.h"
#include "shaders/matmul/args.h"

#define TOLERANCE 2e-6
#define SUM_TOLERANCE 2e-5

/* One token: the k largest of E logits, their weights, and the gradient of the logits from that of the weights. */
static void route(const float *logits, const float *dweight, uint32_t E, uint32_t k, bool normalize, uint32_t *chosen,
                  double *weight, double *dlogits)
{
    double all = 0, total = 0, along = 0;
    for (uint32_t e = 0; e < E; e++)
        all += exp((double)logits[e]);
    for (uint32_t j = 0; j < k; j++) {
        uint32_t best = UINT32_MAX;
        for (uint32_t e = 0; e < E; e++) {
            bool taken = false;
            for (uint32_t i = 0; i < j; i++)
                taken |= chosen[i] == e;
            if (!taken && (best == UINT32_MAX || logits[e] > logits[best]))
                best = e;
        }
        chosen[j] = best;
        weight[j] = exp((double)logits[best]) / all;
        total += weight[j];
    }
    for (uint32_t j = 0; j < k; j++) {
        weight[j] /= normalize ? total : 1;
        along += weight[j] * (double)dweight[j];
    }
    for (uint32_t e = 0; e < E; e++)
        dlogits[e] = normalize ? 0 : -exp((double)logits[e]) / all * along;
    for (uint32_t j = 0; j < k; j++)
        dlogits[chosen[j]] += weight[j] * ((double)dweight[j] - (normalize ? along : 0));
}

void vkft_check_router(vkft_lab *lab, uint32_t T, uint32_t E, uint32_t k, bool normalize)
{
    vkft_lab_begin(lab, "router, %u of %u experts, %u tokens", k, E, T);
    vkft_lab_array logits = vkft_lab_random(lab, 1, T * E), dweight = vkft_lab_random(lab, 2, T * k),
                   weight = vkft_lab_output(lab, T * k), chosen = vkft_lab_output(lab, T * k),
                   expected = vkft_lab_output(lab, T * k), dlogits = vkft_lab_output(lab, T * E);
    double *weights = vkft_lab_doubles(lab, (size_t)T * k), *slopes = vkft_lab_doubles(lab, (size_t)T * E);
    for (uint32_t t = 0; t < T; t++)
        route(logits.f + t * E, dweight.f + t * k, E, k, normalize, expected.u + t * k, weights + t * k,
              slopes + t * E);
    struct router_args args = {.logits = logits.address,
                               .weight = weight.address,
                               .chosen = chosen.address,
                               .dweight = dweight.address,
                               .dlogits = dlogits.address,
                               .T = T,
                               .E = E,
                               .k = k,
                               .normalize = normalize};
    vkft_lab_run(lab, VKFT_KERNEL_router, &args, sizeof args, T, 1);
    vkft_lab_expect_words(lab, "chosen", chosen, expected.u);
    vkft_lab_expect(lab, "weight", weight, weights, TOLERANCE);
    vkft_lab_run(lab, VKFT_KERNEL_router_backward, &args, sizeof args, T, 1);
    vkft_lab_expect(lab, "dlogits", dlogits, slopes, TOLERANCE);
    vkft_lab_end(lab);
}

/* Assignments sorted by expert, each expert's in their order. */
typedef struct order {
    uint32_t *chosen, *count, *before, *group, *token, *assignment, *row;
} order;

static void sort(const struct experts_args *args, order o)
{
    uint32_t place = 0, tile = 0, E = args->E, A = args->A;
    memset(o.count, 0, 4ull * args->slices * E);
    for (uint32_t a = 0; a < A; a++)
        o.count[a / EXPERT_SLICE * E + o.chosen[a]]++;
    for (uint32_t e = 0; e < E; e++) {
        uint32_t first = place, sum = 0;
        for (uint32_t s = 0; s < args->slices; s++) {
            o.before[s * E + e] = sum;
            sum += o.count[s * E + e];
        }
        o.before[args->slices * E + e] = sum;
        o.group[2 * e] = place;
        o.group[2 * e + 1] = tile;
        for (uint32_t a = 0; a < A; a++)
            if (o.chosen[a] == e) {
                o.row[a] = place;
                o.assignment[place] = a;
                o.token[place++] = a / args->k;
            }
        tile += (place - first + GROUP_TILE - 1) / GROUP_TILE;
    }
    o.group[2 * E] = A;
    o.group[2 * E + 1] = tile;
}

void vkft_check_expert_order(vkft_lab *lab, uint32_t T, uint32_t E, uint32_t k)
{
    uint32_t A = T * k, slices = (A + EXPERT_SLICE - 1) / EXPERT_SLICE, words = 2 * (E + 1);
    vkft_lab_begin(lab, "order of %u assignments to %u experts", A, E);
    vkft_lab_array chosen = vkft_lab_output(lab, A), count = vkft_lab_output(lab, (slices + 1) * E),
                   group = vkft_lab_output(lab, words), token = vkft_lab_output(lab, A),
                   assignment = vkft_lab_output(lab, A), row = vkft_lab_output(lab, A);
    struct experts_args args = {.chosen = chosen.address,
                                .count = count.address,
                                .group = group.address,
                                .token = token.address,
                                .assignment = assignment.address,
                                .row = row.address,
                                .A = A,
                                .E = E,
                                .k = k,
                                .slices = slices};
    for (uint32_t a = 0; a < A; a++)
        chosen.u[a] = (a * a + 3 * a) % 11 % E;
    /* As arrays of the lab: nothing writes them, and so they must stay as they are. */
    order o = {.chosen = chosen.u,
               .count = vkft_lab_output(lab, (slices + 1) * E).u,
               .before = vkft_lab_output(lab, (slices + 1) * E).u,
               .group = vkft_lab_output(lab, words).u,
               .token = vkft_lab_output(lab, A).u,
               .assignment = vkft_lab_output(lab, A).u,
               .row = vkft_lab_output(lab, A).u};
    sort(&args, o);
    memcpy(o.count + slices * E, count.u + slices * E, 4ull * E); /* counting leaves the totals alone */
    vkft_lab_run(lab, VKFT_KERNEL_experts_count, &args, sizeof args, (uint64_t)slices * E, 1);
    vkft_lab_expect_words(lab, "count", count, o.count);
    vkft_lab_run(lab, VKFT_KERNEL_experts_scan, &args, sizeof args, E, 1);
    vkft_lab_expect_words(lab, "count of the slices before", count, o.before);
    vkft_lab_run(lab, VKFT_KERNEL_experts_place, &args, sizeof args, (uint64_t)slices * E, 1);
    vkft_lab_expect_words(lab, "group", group, o.group);
    vkft_lab_expect_words(lab, "token", token, o.token);
    vkft_lab_expect_words(lab, "assignment", assignment, o.assignment);
    vkft_lab_expect_words(lab, "row", row, o.row);
    vkft_lab_end(lab);
}

/* h = w f(gate) up as a function of (gate, up, w), times dh. */
typedef struct gated_context {
    vkft_activation f;
    double dh;
} gated_context;

static double gated_loss(const double *x, const void *context)
{
    const gated_context *k = context;
    return k->dh * x[2] * vkft_reference_activation(k->f, x[0]) * x[1];
}

/* h, and then its gradients in the place of gate and up, in f32 and as rows in f16. */
static void gated_in_f16(vkft_lab *lab, const struct expert_gated_args *args, uint32_t A, vkft_lab_array h,
                         const double *want, vkft_lab_array gate, const double *dgate, vkft_lab_array up,
                         const double *dup)
{
    uint32_t F = args->F, ld = vkft_f16_row_length(F);
    vkft_lab_array rows = vkft_lab_output(lab, A * ld / 2), inverse = vkft_lab_output(lab, A),
                   up_rows = vkft_lab_output(lab, A * ld / 2), up_inverse = vkft_lab_output(lab, A);
    struct gated_f16_args forward = {.gate = args->gate,
                                     .up = args->up,
                                     .h = args->h,
                                     .rows = rows.address,
                                     .inverse = inverse.address,
                                     .T = A,
                                     .n = F,
                                     .ld = ld,
                                     .activation = args->activation,
                                     .weight = args->weight,
                                     .assignment = args->assignment};
    vkft_lab_run(lab, VKFT_KERNEL_expert_gated_f16, &forward, sizeof forward, A, 1);
    vkft_lab_expect(lab, "h", h, want, TOLERANCE);
    vkft_lab_expect_f16_rows(lab, "h", rows, inverse, F, ld, want, TOLERANCE);
    struct gated_backward_f16_args backward = {.dh = args->dh,
                                               .gate = args->gate,
                                               .up = args->up,
                                               .dgate = args->gate,
                                               .dup = args->up,
                                               .dgate_rows = rows.address,
                                               .dgate_inverse = inverse.address,
                                               .dup_rows = up_rows.address,
                                               .dup_inverse = up_inverse.address,
                                               .T = A,
                                               .n = F,
                                               .ld = ld,
                                               .stride = ld,
                                               .activation = args->activation,
                                               .weight = args->weight,
                                               .assignment = args->assignment,
                                               .dweight = args->dweight};
    vkft_lab_run(lab, VKFT_KERNEL_expert_gated_backward_f16, &backward, sizeof backward, A, 1);
    vkft_lab_expect_f16_rows(lab, "dgate", rows, inverse, F, ld, dgate, TOLERANCE);
    vkft_lab_expect_f16_rows(lab, "dup", up_rows, up_inverse, F, ld, dup, TOLERANCE);
    vkft_lab_expect(lab, "dgate", gate, dgate, TOLERANCE);
    vkft_lab_expect(lab, "dup", up, dup, TOLERANCE);
}

void vkft_check_expert_gated(vkft_lab *lab, uint32_t A, uint32_t F, vkft_activation activation, bool f16)
{
    uint32_t n = A * F;
    if (f16 && !vkft_lab_can_run(lab, VKFT_KERNEL_expert_gated_f16))
        return;
    vkft_lab_begin(lab, "expert_gated%s [%u,%u]", f16 ? " in f16" : "", A, F);
    vkft_lab_array gate = vkft_lab_random(lab, 1, n), up = vkft_lab_random(lab, 2, n), dh = vkft_lab_random(lab, 3, n),
                   weight = vkft_lab_random(lab, 4, A), assignment = vkft_lab_output(lab, A),
                   h = vkft_lab_output(lab, n), dweight = vkft_lab_output(lab, A);
    double *want = vkft_lab_doubles(lab, n), *dgate = vkft_lab_doubles(lab, n), *dup = vkft_lab_doubles(lab, n),
           *slopes = vkft_lab_doubles(lab, A);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t a = assignment.u[i / F] = A - 1 - i / F;
        double x[3] = {(double)gate.f[i], (double)up.f[i], (double)weight.f[a]}, slope[3];
        gated_context k = {activation, 1};
        want[i] = gated_loss(x, &k);
        k.dh = (double)dh.f[i];
        vkft_central_differences(gated_loss, &k, x, 3, slope);
        dgate[i] = slope[0];
        dup[i] = slope[1];
        slopes[a] += slope[2];
    }
    struct expert_gated_args args = {.gate = gate.address,
                                     .up = up.address,
                                     .weight = weight.address,
                                     .assignment = assignment.address,
                                     .h = h.address,
                                     .dh = dh.address,
                                     .dweight = dweight.address,
                                     .F = F,
                                     .activation = activation,
                                     .with_weight = 1};
    if (f16) {
        gated_in_f16(lab, &args, A, h, want, gate, dgate, up, dup);
    } else {
        vkft_lab_run(lab, VKFT_KERNEL_expert_gated, &args, sizeof args, A, 1);
        vkft_lab_expect(lab, "h", h, want, TOLERANCE);
        vkft_lab_run(lab, VKFT_KERNEL_expert_gated_backward, &args, sizeof args, A, 1);
        vkft_lab_expect(lab, "dgate", gate, dgate, TOLERANCE);
        vkft_lab_expect(lab, "dup", up, dup, TOLERANCE);
    }
    vkft_lab_expect(lab, "dweight", dweight, slopes, SUM_TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_sum_rows(vkft_lab *lab, uint32_t T, uint32_t C, uint32_t k)
{
    vkft_lab_begin(lab, "sum_rows [%u,%u], %u each", T, C, k);
    vkft_lab_array x = vkft_lab_random(lab, 1, T * k * C), row = vkft_lab_output(lab, T * k),
                   r = vkft_lab_random(lab, 2, T * C), y = vkft_lab_output(lab, T * C);
    double *want = vkft_lab_doubles(lab, (size_t)T * C);
    for (uint32_t i = 0; i < T * k; i++)
        row.u[i] = T * k - 1 - i;
    for (uint32_t add = 0; add < 2; add++) {
        for (uint32_t i = 0; i < T * C; i++) {
            want[i] = add ? (double)r.f[i] : 0;
            for (uint32_t j = 0; j < k; j++)
                want[i] += (double)x.f[row.u[i / C * k + j] * C + i % C];
        }
        struct sum_rows_args args = {
            .x = x.address, .row = row.address, .r = r.address, .y = y.address, .T = T, .C = C, .k = k, .add = add};
        vkft_lab_run(lab, VKFT_KERNEL_sum_rows, &args, sizeof args, T, 1);
        vkft_lab_expect(lab, "y", y, want, SUM_TOLERANCE);
    }
    vkft_lab_end(lab);
}
