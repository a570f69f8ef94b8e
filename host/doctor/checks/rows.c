/* Rotation, embeddings, and rows that are gathered and scattered, against double references.
 *
 * Tolerance: a handful of f32 roundings (6e-8 each), relative to 1 + |value|; sums of up to 333 products of order 1, in
 * order, 2e-5. Decoding and copying are exact. Test: test_kernels_elementwise, test_kernels_experts,
 * test_kernels_parameters */
#include <math.h>

#include "formats/tensors/dtype.h"
#include "host/doctor/checks/kernels.h"
#include "host/doctor/reference/matmul.h"
#include "host/doctor/reference/ops.h"
#include "host/engine/matmul/product.h"
#include "shaders/attention/args.h"
#include "shaders/embedding/args.h"
#include "shaders/experts/args.h"
#include "shaders/matmul/args.h"
#include "shaders/optimizer/args.h"

#define TOLERANCE 2e-6
#define SUM_TOLERANCE 2e-5

void vkft_check_rope(vkft_lab *lab, uint32_t T, uint32_t H, uint32_t D, uint32_t R)
{
    enum { P = 40 };
    uint32_t n = T * H * D, half = R / 2;
    vkft_lab_begin(lab, "rope [%u,%u,%u], %u rotated", T, H, D, R);
    vkft_lab_array x = vkft_lab_random(lab, 5, n), table = vkft_lab_output(lab, P * R),
                   position = vkft_lab_output(lab, T);
    for (uint32_t i = 0; i < P * half; i++) {
        table.f[2 * i] = (float)cos(0.1 * i);
        table.f[2 * i + 1] = (float)sin(0.1 * i);
    }
    for (uint32_t t = 0; t < T; t++)
        position.u[t] = (7 * t + 3) % P;
    double *was = vkft_lab_wide(lab, x), *want = vkft_lab_wide(lab, x);
    for (uint32_t r = 0; r < T * H; r++)
        vkft_reference_rope_head(want + r * D, R, table.f + (size_t)position.u[r / H] * R);
    struct rope_args args = {.x = x.address,
                             .table = table.address,
                             .position = position.address,
                             .T = T,
                             .H = H,
                             .D = D,
                             .R = R,
                             .direction = 1};
    vkft_lab_run(lab, VKFT_KERNEL_rope, &args, sizeof args, T * H * half, 1);
    vkft_lab_expect(lab, "x", x, want, TOLERANCE);
    args.direction = -1; /* a rotation's backward is its transpose, which is its inverse */
    vkft_lab_run(lab, VKFT_KERNEL_rope, &args, sizeof args, T * H * half, 1);
    vkft_lab_expect(lab, "dx", x, was, TOLERANCE);
    vkft_lab_end(lab);
}

void vkft_check_embedding(vkft_lab *lab, vkft_storage storage, uint32_t T, uint32_t C)
{
    enum { V = 29 };
    vkft_kernel kernel = vkft_kernel_by_type(VKFT_FAMILY_embedding, storage);
    if (kernel == VKFT_KERNEL_COUNT)
        return;
    vkft_lab_begin(lab, "embedding of %s [%u,%u]", vkft_storage_get(storage)->name, T, C);
    vkft_reference_weight w = vkft_reference_weight_new(storage, V, C, 9);
    if (!w.value) {
        lab->lost = true;
        vkft_fail_memory(&lab->err, "for checks of the kernels");
        return;
    }
    vkft_weight weight = {.storage = storage, .rows = V, .cols = C, .offset = w.offset};
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        if (w.part[part])
            weight.part[part] = vkft_lab_words(lab, w.part[part], w.bytes[part]).address;
    vkft_lab_array ids = vkft_lab_output(lab, T), y = vkft_lab_output(lab, T * C);
    double *want = vkft_lab_doubles(lab, (size_t)T * C);
    for (uint32_t i = 0; i < T * C; i++) {
        ids.u[i / C] = (11 * (i / C) + 27) % (V - 1);
        want[i] = (double)w.value[ids.u[i / C] * C + i % C];
    }
    struct embedding_args args = {
        .table = vkft_weight_ref(&weight), .ids = ids.address, .y = y.address, .T = T, .C = C, .scale = 1};
    vkft_lab_run(lab, kernel, &args, sizeof args, T, 1);
    vkft_lab_expect(lab, "y", y, want, 0);
    args.add = 1;
    args.offset = 1;
    args.scale = 3;
    for (uint32_t i = 0; i < T * C; i++)
        want[i] += 3 * (double)w.value[(ids.u[i / C] + 1) * C + i % C];
    vkft_lab_run(lab, kernel, &args, sizeof args, T, 1);
    vkft_lab_expect(lab, "y added to", y, want, TOLERANCE);
    vkft_lab_end(lab);
    vkft_reference_weight_free(&w);
}

/* Ids repeat, so that a row's gradient has several parts, and most rows have none. */
void vkft_check_embedding_backward(vkft_lab *lab, uint32_t T, uint32_t C, uint32_t offset)
{
    enum { V = 29 };
    uint32_t rows = V + offset;
    vkft_lab_begin(lab, "embedding_backward [%u,%u]", T, C);
    vkft_lab_array ids = vkft_lab_output(lab, T), dy = vkft_lab_random(lab, 6, T * C),
                   dtable = vkft_lab_random(lab, 7, rows * C);
    double *want = vkft_lab_wide(lab, dtable);
    for (uint32_t t = 0; t < T; t++) {
        ids.u[t] = (t * t + 3 * t / 5) % V;
        for (uint32_t c = 0; c < C; c++)
            want[(ids.u[t] + offset) * C + c] += 1.5 * (double)dy.f[t * C + c];
    }
    struct embedding_backward_args args = {.ids = ids.address,
                                           .dy = dy.address,
                                           .dtable = dtable.address,
                                           .T = T,
                                           .C = C,
                                           .offset = offset,
                                           .scale = 1.5f};
    vkft_lab_run(lab, VKFT_KERNEL_embedding_backward, &args, sizeof args, C, 1);
    vkft_lab_expect(lab, "dtable", dtable, want, SUM_TOLERANCE);
    vkft_lab_end(lab);
}

/* Samples of 9 tokens, the last one shorter. */
void vkft_check_noise(vkft_lab *lab, uint32_t T, uint32_t C)
{
    enum { SAMPLE = 9, LAYER = 12 };
    const uint64_t seed = 0x9abcdef012345678ull;
    const struct step_state step = {.micro_step = 5};
    vkft_lab_begin(lab, "noise [%u,%u]", T, C);
    vkft_lab_array x = vkft_lab_random(lab, 9, T * C), query = vkft_lab_output(lab, 2 * T),
                   key = vkft_lab_output(lab, 2 * T), state = vkft_lab_words(lab, &step, sizeof step);
    double *want = vkft_lab_wide(lab, x);
    for (uint32_t t = 0; t < T; t++) {
        uint32_t start = t - t % SAMPLE, end = start + SAMPLE < T ? start + SAMPLE : T;
        query.u[2 * t] = start;
        query.u[2 * t + 1] = t + 1;
        key.u[2 * t] = t;
        key.u[2 * t + 1] = end;
        for (uint32_t i = t * C; i < (t + 1) * C; i++) {
            double u = (vkft_reference_dropout_word(seed, LAYER, step.micro_step, i) >> 8) * 0x1p-23 - 1;
            want[i] += 5 / sqrt((double)(end - start) * C) * u;
        }
    }
    struct noise_args args = {.x = x.address,
                              .query_range = query.address,
                              .key_range = key.address,
                              .step = state.address,
                              .T = T,
                              .C = C,
                              .seed_low = (uint32_t)seed,
                              .seed_high = (uint32_t)(seed >> 32),
                              .layer = LAYER,
                              .alpha = 5};
    vkft_lab_run(lab, VKFT_KERNEL_noise, &args, sizeof args, (T * C + 3) / 4, 1);
    vkft_lab_expect(lab, "x", x, want, TOLERANCE);
    vkft_lab_end(lab);
}

static const uint32_t special[] = {0x3f808000, 0x3f818000, 0xbf808000, 0x3fffffff, 0x7f7fffff, 0x7f800000,
                                   0x7fc00000, 0x7f800001, 0x00000001, 0x80000000, 0x3f80ffff, 0x3f807fff};

/* An even number of elements; ties, both signs, what rounds up to another exponent, infinities and NaN. */
void vkft_check_round_bf16(vkft_lab *lab, uint32_t n)
{
    vkft_lab_begin(lab, "round_bf16, %u elements", n);
    vkft_lab_array x = vkft_lab_random(lab, 10, n), y = vkft_lab_output(lab, n / 2), want = vkft_lab_output(lab, n / 2);
    for (uint32_t i = 0; i < n && i < sizeof special / sizeof *special; i++)
        x.u[i] = special[i];
    vkft_from_f32(VKFT_BF16, x.f, n, want.u);
    struct round_bf16_args args = {.x = x.address, .y = y.address, .n = n};
    vkft_lab_run(lab, VKFT_KERNEL_round_bf16, &args, sizeof args, n / 2, 1);
    vkft_lab_expect_words(lab, "y", y, want.u);
    vkft_lab_end(lab);
}

void vkft_check_stochastic_bf16(vkft_lab *lab, uint32_t runs)
{
    const uint64_t seed = 0x123456789abcdef;
    const uint32_t n = runs * STOCHASTIC_RUN, first = 77;
    const struct step_state step = {.update = 5};
    vkft_lab_begin(lab, "stochastic_bf16, %u elements", n);
    vkft_lab_array x = vkft_lab_random(lab, 10, n), y = vkft_lab_output(lab, n / 2), want = vkft_lab_output(lab, n / 2),
                   z = vkft_lab_output(lab, n), wide = vkft_lab_output(lab, n),
                   state = vkft_lab_words(lab, &step, sizeof step);
    for (uint32_t i = 0; i < n && i < sizeof special / sizeof *special; i++)
        x.u[i] = special[i];
    for (uint32_t i = 0; i < n; i++) {
        uint32_t words[4] = {first + i / STOCHASTIC_RUN, 0, step.update, 1}, q = i % STOCHASTIC_RUN;
        vkft_reference_philox(words, (uint32_t)seed, (uint32_t)(seed >> 32));
        uint32_t random = words[q / 2] >> (q % 2 * 16) & 0xffff, u = x.u[i], half = (u + random) >> 16;
        if ((u & 0x7f800000) == 0x7f800000)
            half = u >> 16 | (u & 0x7fffff ? 0x40 : 0);
        want.u[i / 2] = q % 2 ? want.u[i / 2] | half << 16 : half;
        wide.u[i] = half << 16;
    }
    struct stochastic_bf16_args args = {.x = x.address,
                                        .y = y.address,
                                        .step = state.address,
                                        .n = n,
                                        .first = first,
                                        .seed_low = (uint32_t)seed,
                                        .seed_high = (uint32_t)(seed >> 32)};
    vkft_lab_run(lab, VKFT_KERNEL_stochastic_bf16, &args, sizeof args, runs, 1);
    vkft_lab_expect_words(lab, "y", y, want.u);
    struct widen_bf16_args widen = {.x = y.address, .y = z.address, .n = n};
    vkft_lab_run(lab, VKFT_KERNEL_widen_bf16, &widen, sizeof widen, n / 2, 1);
    vkft_lab_expect_words(lab, "in f32 again", z, wide.u);
    vkft_lab_end(lab);
}

void vkft_check_rows(vkft_lab *lab, uint32_t T, uint32_t C, uint32_t rows)
{
    vkft_lab_begin(lab, "gather_rows and scatter_rows, %u of [%u,%u]", rows, T, C);
    vkft_lab_array src = vkft_lab_random(lab, 10, T * C), index = vkft_lab_output(lab, rows),
                   picked = vkft_lab_output(lab, rows * C), scattered = vkft_lab_random(lab, 11, T * C);
    double *taken = vkft_lab_doubles(lab, (size_t)rows * C), *put = vkft_lab_wide(lab, scattered);
    for (uint32_t i = 0; i < rows * C; i++) {
        uint32_t row = index.u[i / C] = (17 * (i / C) + 5) % T; /* distinct: 17 and T have no common divisor */
        taken[i] = put[row * C + i % C] = (double)src.f[row * C + i % C];
    }
    struct rows_args gather = {.src = src.address, .index = index.address, .dst = picked.address, .rows = rows, .C = C};
    vkft_lab_run(lab, VKFT_KERNEL_gather_rows, &gather, sizeof gather, rows, 1);
    vkft_lab_expect(lab, "rows gathered", picked, taken, 0);
    struct rows_args scatter = {
        .src = picked.address, .index = index.address, .dst = scattered.address, .rows = rows, .C = C};
    vkft_lab_run(lab, VKFT_KERNEL_scatter_rows, &scatter, sizeof scatter, rows, 1);
    vkft_lab_expect(lab, "rows scattered", scattered, put, 0);
    vkft_lab_end(lab);
}

/* Rows of unlike magnitudes, some of which are taken several times. */
void vkft_check_gather_f16(vkft_lab *lab, uint32_t T, uint32_t C, uint32_t rows)
{
    uint32_t ld = vkft_f16_row_length(C);
    if (!vkft_lab_can_run(lab, VKFT_KERNEL_gather_rows_f16))
        return;
    vkft_lab_begin(lab, "gather_rows in f16, %u of [%u,%u]", rows, T, C);
    vkft_lab_array src = vkft_lab_random(lab, 10, T * C), index = vkft_lab_output(lab, rows),
                   copy = vkft_lab_output(lab, rows * C), halves = vkft_lab_output(lab, rows * ld / 2),
                   inverse = vkft_lab_output(lab, rows);
    double *taken = vkft_lab_doubles(lab, (size_t)rows * C);
    for (uint32_t i = 0; i < T * C; i++)
        src.f[i] = ldexpf(src.f[i], -2 * (int)(i / C % 7));
    for (uint32_t i = 0; i < rows * C; i++) {
        index.u[i / C] = (17 * (i / C) + 5) % T;
        taken[i] = (double)src.f[index.u[i / C] * C + i % C];
    }
    struct rows_f16_args args = {.X = src.address,
                                 .Y = halves.address,
                                 .inverse = inverse.address,
                                 .K = C,
                                 .ldx = C,
                                 .ldy = ld,
                                 .index = index.address,
                                 .copy = copy.address};
    vkft_lab_run(lab, VKFT_KERNEL_gather_rows_f16, &args, sizeof args, rows, 1);
    vkft_lab_expect(lab, "rows gathered", copy, taken, 0);
    vkft_lab_expect_f16_rows(lab, "rows gathered", halves, inverse, C, ld, taken, 0);
    vkft_lab_end(lab);
}
