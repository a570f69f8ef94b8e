/* Matrix products against sums in double precision: any storage type, any strategy, odd shapes, strides, groups.
 *
 * Tolerance: an f32 sum of K products in any order differs from the exact one by at most (K + 1) u sum|x w| (1 +
 * O(Ku)), u = 2^-24; scale and the addition to Y add two roundings of results no larger than that sum and |Y|. Operands
 * are rounded first as the strategy is said to round them. Test: test_checks */
#include "host/doctor/checks/products.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/doctor/reference/matmul.h"
#include "shaders/matmul/args.h"

#define GROUPS 3u
#define BOUND(K) (((K) + 3.0) * 0x1p-24)
#define BRANCH 0.5f

/* Rows of each group: a third, none, the rest. */
static void make_groups(uint32_t M, uint32_t first[GROUPS + 1], uint32_t table[2 * GROUPS + 2])
{
    const uint32_t rows[GROUPS] = {M / 3, 0, M - M / 3};
    first[0] = table[0] = table[1] = 0;
    for (uint32_t g = 0; g < GROUPS; g++) {
        table[2 * g + 2] = first[g + 1] = first[g] + rows[g];
        table[2 * g + 3] = table[2 * g + 1] + (rows[g] + GROUP_TILE - 1) / GROUP_TILE;
    }
}

typedef struct matrices {
    vkft_reference_weight w[GROUPS];
    vkft_weight placed[GROUPS];
    double *values[GROUPS]; /* as they are multiplied */
} matrices;

static void free_matrices(matrices *m)
{
    for (uint32_t g = 0; g < GROUPS; g++) {
        vkft_reference_weight_free(&m->w[g]);
        free(m->values[g]);
    }
}

/* What the products of this device round operands with weights of this type to, before they multiply. */
static vkft_dtype operands_of(const vkft_gemm *gemm, vkft_storage storage)
{
    return gemm->operands == VKFT_BF16 && vkft_storage_is_quantized(storage) ? VKFT_BF16 : VKFT_F32;
}

static bool make_matrices(vkft_lab *lab, matrices *m, vkft_storage storage, uint32_t count, uint32_t rows,
                          uint32_t cols, vkft_dtype operands)
{
    *m = (matrices){0};
    for (uint32_t g = 0; g < count; g++) {
        vkft_reference_weight *w = &m->w[g];
        *w = vkft_reference_weight_new(storage, rows, cols, 30 + g);
        m->values[g] = w->value ? vkft_reference_operands(operands, w->value, (size_t)rows * cols) : NULL;
        if (!m->values[g])
            return false;
        m->placed[g] = (vkft_weight){.storage = storage, .rows = rows, .cols = cols, .offset = w->offset};
        for (uint32_t part = 0; part < VKFT_PARTS; part++)
            if (w->part[part])
                m->placed[g].part[part] = vkft_lab_words(lab, w->part[part], w->bytes[part]).address;
    }
    return true;
}

/* Element (m,n) of the product by its definition: what is expected of Y, and how far it may be off. z, v: of a branch
 * of r. */
static void reference(const vkft_product_check *c, const vkft_strategy *strategy, bool transposed, const double *x,
                      const double *w, const float *z, const float *v, uint32_t r, uint32_t m, uint32_t K, uint32_t ldx,
                      uint32_t n, double *want, double *bound)
{
    double sum = 0, magnitude = 0, inputs = 0, scale = fabs((double)c->scale), added = c->add ? *want : 0;
    for (uint32_t k = 0; k < K; k++) {
        double term = x[(size_t)m * ldx + k] * w[transposed ? (size_t)n * c->in + k : (size_t)k * c->in + n];
        sum += term;
        magnitude += fabs(term);
        inputs += fabs(x[(size_t)m * ldx + k]);
    }
    for (uint32_t k = 0; k < r; k++) {
        uint32_t N = transposed ? c->out : c->in;
        double input = (double)z[m * r + k] * (double)(BRANCH / c->scale),
               term = input * (double)v[transposed ? n * r + k : k * N + n];
        sum += term;
        magnitude += fabs(term);
        inputs += fabs(input);
    }
    *bound = BOUND(K + r) * (scale * magnitude + fabs(added));
    if (strategy->rounds)
        *bound = 4 * *bound + scale * (0x1p-9 * magnitude + 0x1p-14 * inputs);
    *want = added + (double)c->scale * sum;
}

static void fail_memory(vkft_lab *lab)
{
    lab->lost = true;
    vkft_fail_memory(&lab->err, "for checks of the kernels");
}

void vkft_check_product(vkft_lab *lab, const vkft_strategy *strategy, vkft_gemm_class class,
                        const vkft_product_check *c)
{
    const vkft_gemm *gemm = vkft_gemm_of(lab->dev);
    const uint32_t K = class.transposed ? c->in : c->out, N = class.transposed ? c->out : c->in, M = c->M,
                   ldx = K + c->pad_x, ldy = N + c->pad_y;
    const vkft_dtype operands = operands_of(gemm, class.storage);
    const uint32_t r = !class.grouped && strategy->adds_branch && strategy->adds_branch(gemm) ? c->r : 0;
    const uint64_t scratch_bytes = vkft_product_scratch_bytes(c->out, c->in);
    matrices m;
    vkft_lab_begin(lab, "product %s, %s%s%s%s, %u rows with [%u,%u]", strategy->name,
                   vkft_storage_get(class.storage)->name, class.transposed ? " transposed" : "",
                   class.grouped ? " in groups" : "", operands == VKFT_BF16 ? " in bf16" : "", M, c->out, c->in);
    if (!make_matrices(lab, &m, class.storage, class.grouped ? GROUPS : 1, c->out, c->in, operands)) {
        free_matrices(&m);
        fail_memory(lab);
        return;
    }
    vkft_lab_array x = vkft_lab_random(lab, 3, M * ldx),
                   y = c->add ? vkft_lab_random(lab, 4, M * ldy) : vkft_lab_output(lab, M * ldy);
    uint32_t first[GROUPS + 1] = {0, M, M, M}, table[2 * GROUPS + 2];
    vkft_lab_array z = vkft_lab_random(lab, 9, M * r), v = vkft_lab_random(lab, 10, N * r);
    struct weight_ref refs[GROUPS] = {{0}};
    if (class.grouped) {
        make_groups(M, first, table);
        for (uint32_t g = 0; g < GROUPS; g++)
            refs[g] = vkft_weight_ref(&m.placed[g]);
    }
    vkft_lab_array groups = vkft_lab_words(lab, table, class.grouped ? sizeof table : 0),
                   weights = vkft_lab_words(lab, refs, sizeof refs);
    double *wide = vkft_lab_doubles(lab, x.count), *want = vkft_lab_wide(lab, y),
           *bound = vkft_lab_doubles(lab, y.count);
    for (uint32_t i = 0; i < x.count; i++) {
        if (i % ldx >= K)
            x.f[i] = NAN; /* between the rows there may be anything */
        wide[i] = (double)(operands == VKFT_BF16 ? vkft_bf16_to_f32(vkft_f32_to_bf16(x.f[i])) : x.f[i]);
    }
    for (uint32_t g = 0; g < GROUPS; g++)
        for (uint32_t i = first[g]; i < first[g + 1]; i++)
            for (uint32_t n = 0; n < N; n++)
                reference(c, strategy, class.transposed, wide, m.values[g], z.f, v.f, r, i, K, ldx, n,
                          &want[(size_t)i * ldy + n], &bound[(size_t)i * ldy + n]);
    const vkft_matmul_ctx ctx = {.dev = lab->dev,
                                 .cmds = lab->cmds,
                                 .scratch = vkft_lab_scratch(lab, scratch_bytes),
                                 .scratch_bytes = scratch_bytes};
    const vkft_grouping grouping = {.groups = GROUPS, .rows = M, .max_rows = M, .table = groups.address};
    vkft_lab_record(lab);
    strategy->record(gemm, &ctx,
                     &(vkft_product){.w = &m.placed[0],
                                     .groups = class.grouped ? &grouping : NULL,
                                     .weights = weights.address,
                                     .transposed = class.transposed,
                                     .M = M,
                                     .X = x.address,
                                     .R = c->add ? y.address : 0,
                                     .Y = y.address,
                                     .ldx = ldx,
                                     .ldy = ldy,
                                     .scale = c->scale,
                                     .branch = {.Z = z.address, .V = v.address, .r = r, .scale = BRANCH}});
    vkft_lab_execute(lab);
    for (uint32_t i = 0; i < VKFT_KERNEL_SET_WORDS; i++)
        lab->strategic.bits[i] |= lab->launched.bits[i];
    vkft_lab_expect_rows(lab, "Y", y, N, ldy, want, bound, 1);
    vkft_lab_end(lab);
    free_matrices(&m);
}

/* Rows in f16 for an operand [K,columns], which becomes what they say. */
static vkft_f16_rows round_rows(vkft_lab *lab, vkft_lab_array *x, uint32_t K, uint32_t columns)
{
    uint32_t ld = vkft_f16_row_length(columns);
    vkft_lab_array rows = vkft_lab_output(lab, K * ld / 2), inverse = vkft_lab_output(lab, K);
    memset(rows.u, 0, 2ull * K * ld);
    for (uint32_t k = 0; k < K; k++) {
        inverse.f[k] = ldexpf(1, (int)(k % 5) - 10);
        for (uint32_t i = 0; i < columns; i++) {
            float *value = &x->f[(size_t)k * columns + i];
            uint16_t half = vkft_f32_to_f16(*value / inverse.f[k]);
            rows.u[(k * ld + i) / 2] |= (uint32_t)half << i % 2 * 16;
            *value = vkft_f16_to_f32(half) * inverse.f[k];
        }
    }
    return (vkft_f16_rows){rows.address, inverse.address, ld};
}

void vkft_check_outer(vkft_lab *lab, uint32_t M, uint32_t N, uint32_t K, bool grouped, int in_f16)
{
    const float scale = 2;
    const uint32_t n = M * N, scratch_bytes = 4 * 64 * n;
    if (in_f16 && !vkft_lab_can_run(lab, VKFT_KERNEL_matmul_tn_f16))
        return;
    vkft_lab_begin(lab, "gradient of a matrix [%u,%u]%s%s, %u rows", M, N, grouped ? " in groups" : "",
                   in_f16 ? " in f16" : "", K);
    vkft_lab_array x = vkft_lab_random(lab, 5, K * M), z = vkft_lab_random(lab, 6, K * N), y[GROUPS];
    struct weight_ref refs[GROUPS] = {{0}};
    uint32_t first[GROUPS + 1] = {0, K, K, K}, table[2 * GROUPS + 2] = {0};
    if (grouped)
        make_groups(K, first, table);
    for (uint32_t g = 0; g < GROUPS; g++) {
        y[g] = vkft_lab_random(lab, 7 + g, n);
        refs[g].data = y[g].address;
    }
    vkft_lab_array groups = vkft_lab_words(lab, table, sizeof table), tables = vkft_lab_words(lab, refs, sizeof refs);
    vkft_f16_rows X16 = {0}, Z16 = {0};
    if (in_f16 == 1)
        X16 = round_rows(lab, &x, K, M);
    if (in_f16 == 2)
        Z16 = round_rows(lab, &z, K, N);
    const vkft_matmul_ctx ctx = {.dev = lab->dev,
                                 .cmds = lab->cmds,
                                 .scratch = vkft_lab_scratch(lab, scratch_bytes),
                                 .scratch_bytes = scratch_bytes};
    const vkft_grouping grouping = {.groups = GROUPS, .rows = K, .max_rows = K, .table = groups.address};
    vkft_lab_record(lab);
    vkft_multiply_outer(&ctx, &(vkft_outer_product){.groups = grouped ? &grouping : NULL,
                                                    .M = M,
                                                    .N = N,
                                                    .K = K,
                                                    .X = in_f16 == 1 ? 0 : x.address,
                                                    .Z = in_f16 == 2 ? 0 : z.address,
                                                    .X16 = X16,
                                                    .Z16 = Z16,
                                                    .R = grouped ? 0 : y[0].address,
                                                    .Y = grouped ? tables.address : y[0].address,
                                                    .scale = scale});
    vkft_lab_execute(lab);
    double *want = vkft_lab_doubles(lab, n), *size = vkft_lab_doubles(lab, n);
    for (uint32_t g = 0; g < (grouped ? GROUPS : 1); g++) {
        for (uint32_t i = 0; i < n; i++) {
            double sum = 0, magnitude = fabs((double)y[g].f[i]);
            for (uint32_t k = first[g]; k < first[g + 1]; k++) {
                double term = (double)scale * (double)x.f[(size_t)k * M + i / N] * (double)z.f[(size_t)k * N + i % N];
                sum += term;
                magnitude += fabs(term);
            }
            want[i] = (double)y[g].f[i] + sum;
            size[i] = magnitude;
        }
        vkft_lab_expect_sums(lab, "Y", y[g], want, size, BOUND(K));
    }
    vkft_lab_end(lab);
}
