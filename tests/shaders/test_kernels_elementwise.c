/* Rotation, embedding, rows, columns, biases, dropout and the two trivial kernels: forward against a double reference,
 * backward against central differences of that reference, at odd shapes.
 *
 * Tolerances: a handful of f32 roundings (6e-8 each) for elementwise results; row sums of C terms add at most log2(C)/2
 * + C/width/sqrt(C) of them. 2e-6 relative to 1 + |value| holds for all shapes here, and a wrong formula misses it by
 * orders of magnitude.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shaders/core/args.h"
#include "shaders/attention/args.h"
#include "shaders/elementwise/args.h"
#include "shaders/embedding/args.h"
#include "shaders/experts/args.h"
#include "formats/tensors/dtype.h"
#include "tests/support/kernel_test.h"
#include "host/doctor/reference/ops.h"

#define TOLERANCE 2e-6

static void check_rope(const vkft_kernel_fixture *f, uint32_t T, uint32_t H, uint32_t D, uint32_t R)
{
    uint32_t n = T * H * D, half = R / 2, P = 40;
    float *x = vkft_random_array(5, n), *table = malloc(P * R * sizeof *table), *got = malloc(n * sizeof *got);
    uint32_t *position = malloc(T * sizeof *position);
    double *want = malloc(n * sizeof *want);
    for (uint32_t i = 0; i < P * half; i++) {
        table[2 * i] = (float)cos(0.1 * i);
        table[2 * i + 1] = (float)sin(0.1 * i);
    }
    for (uint32_t t = 0; t < T; t++)
        position[t] = (7 * t + 3) % P;
    for (uint32_t i = 0; i < n; i++)
        want[i] = (double)x[i];
    for (uint32_t r = 0; r < T * H; r++)
        for (uint32_t i = 0; i < half; i++) {
            uint32_t at = 2 * (position[r / H] * half + i);
            double c = (double)table[at], s = (double)table[at + 1], a = (double)x[r * D + i],
                   b = (double)x[r * D + half + i];
            want[r * D + i] = a * c - b * s;
            want[r * D + half + i] = b * c + a * s;
        }
    vkft_guarded bx = vkft_guarded_floats(f, x, n), bt = vkft_guarded_floats(f, table, P * R),
                 bp = vkft_guarded_words(f, position, T);
    struct rope_args args = {
        .x = bx.address, .table = bt.address, .position = bp.address, .T = T, .H = H, .D = D, .R = R, .direction = 1};
    vkft_kernel_run(f, VKFT_KERNEL_rope, &args, sizeof args, T * H * half, 1);
    vkft_guarded_read(f, &bx, got);
    vkft_assert_close("rope", got, want, n, TOLERANCE);
    /* A rotation's backward is its transpose, which is its inverse. */
    args.direction = -1;
    vkft_kernel_run(f, VKFT_KERNEL_rope, &args, sizeof args, T * H * half, 1);
    vkft_guarded_read(f, &bx, got);
    for (uint32_t i = 0; i < n; i++)
        want[i] = (double)x[i];
    vkft_assert_close("rope backward", got, want, n, TOLERANCE);
    vkft_guarded *all[] = {&bx, &bt, &bp};
    for (size_t i = 0; i < 3; i++)
        vkft_guarded_free(f, all[i]);
    free(x), free(table), free(got), free(position), free(want);
}

static void test_rope(void **state)
{
    check_rope(*state, 1, 1, 2, 2);
    check_rope(*state, 31, 3, 10, 10);
    check_rope(*state, 31, 3, 10, 4);
    check_rope(*state, 7, 9, 64, 48);
    check_rope(*state, 333, 1, 6, 6);
}

static void check_embedding(const vkft_kernel_fixture *f, vkft_kernel kernel, vkft_dtype dtype, uint32_t T, uint32_t C)
{
    uint32_t V = 29, n = V * C, words = (n * vkft_dtype_bits(dtype) + 31) / 32;
    float *table = vkft_random_array(9, n), *got = malloc(T * C * sizeof *got), *stored = malloc(n * sizeof *stored);
    uint32_t *ids = malloc(T * sizeof *ids), *packed = calloc(words, sizeof *packed);
    double *want = malloc(T * C * sizeof *want);
    vkft_from_f32(dtype, table, n, packed);
    vkft_to_f32(dtype, packed, n, stored);
    for (uint32_t t = 0; t < T; t++) {
        ids[t] = (11 * t + 27) % (V - 1);
        for (uint32_t c = 0; c < C; c++)
            want[t * C + c] = (double)stored[ids[t] * C + c];
    }
    vkft_guarded bt = vkft_guarded_words(f, packed, words), bi = vkft_guarded_words(f, ids, T),
                 by = vkft_guarded_floats(f, NULL, T * C);
    struct embedding_args args = {
        .table = {.data = bt.address, .cols = C}, .ids = bi.address, .y = by.address, .T = T, .C = C, .scale = 1};
    uint64_t threads = T;
    vkft_kernel_run(f, kernel, &args, sizeof args, threads, 1);
    vkft_guarded_read(f, &by, got);
    vkft_assert_close("embedding", got, want, T * C, 0); /* decoding is exact */
    args.add = 1;
    args.offset = 1;
    args.scale = 3;
    vkft_kernel_run(f, kernel, &args, sizeof args, threads, 1);
    vkft_guarded_read(f, &by, got);
    for (uint32_t i = 0; i < T * C; i++)
        want[i] += 3 * (double)stored[(ids[i / C] + 1) * C + i % C];
    vkft_assert_close("embedding added", got, want, T * C, TOLERANCE);
    vkft_guarded *all[] = {&bt, &bi, &by};
    for (size_t i = 0; i < 3; i++)
        vkft_guarded_free(f, all[i]);
    free(table), free(got), free(stored), free(ids), free(packed), free(want);
}

static void test_embedding(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {31, 7}, {3, 333}, {333, 8}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_embedding(*state, VKFT_KERNEL_embedding_f32, VKFT_F32, shapes[i][0], shapes[i][1]);
        check_embedding(*state, VKFT_KERNEL_embedding_f16, VKFT_F16, shapes[i][0], shapes[i][1]);
        check_embedding(*state, VKFT_KERNEL_embedding_bf16, VKFT_BF16, shapes[i][0], shapes[i][1]);
    }
}

static void test_rows(void **state)
{
    const vkft_kernel_fixture *f = *state;
    enum { T = 31, C = 37, ROWS = 9 };
    uint32_t index[ROWS], n = T * C;
    float *src = vkft_random_array(10, n), picked[ROWS * C], scattered[T * C], before[T * C];
    double want[T * C];
    for (uint32_t i = 0; i < ROWS; i++)
        index[i] = (17 * i + 5) % T;
    vkft_guarded bs = vkft_guarded_floats(f, src, n), bi = vkft_guarded_words(f, index, ROWS),
                 bp = vkft_guarded_floats(f, NULL, ROWS * C);
    struct rows_args gather = {.src = bs.address, .index = bi.address, .dst = bp.address, .rows = ROWS, .C = C};
    vkft_kernel_run(f, VKFT_KERNEL_gather_rows, &gather, sizeof gather, ROWS, 1);
    vkft_guarded_read(f, &bp, picked);
    memset(before, 0, sizeof before);
    vkft_guarded bd = vkft_guarded_floats(f, before, n);
    struct rows_args scatter = {.src = bp.address, .index = bi.address, .dst = bd.address, .rows = ROWS, .C = C};
    vkft_kernel_run(f, VKFT_KERNEL_scatter_rows, &scatter, sizeof scatter, ROWS, 1);
    vkft_guarded_read(f, &bd, scattered);
    for (uint32_t i = 0; i < n; i++)
        want[i] = 0;
    for (uint32_t i = 0; i < ROWS; i++)
        for (uint32_t c = 0; c < C; c++) {
            assert_true(picked[i * C + c] == src[index[i] * C + c]);
            want[index[i] * C + c] = (double)src[index[i] * C + c];
        }
    vkft_assert_close("scatter_rows", scattered, want, n, 0);
    vkft_guarded *all[] = {&bs, &bi, &bp, &bd};
    for (size_t i = 0; i < 4; i++)
        vkft_guarded_free(f, all[i]);
    free(src);
}

static void test_philox_reference(void **state)
{
    (void)state;
    /* Known answers published with Random123. */
    uint32_t zero[4] = {0, 0, 0, 0};
    vkft_reference_philox(zero, 0, 0);
    assert_int_equal(zero[0], 0x6627e8d5u);
    assert_int_equal(zero[1], 0xe169c58du);
    assert_int_equal(zero[2], 0xbc57ac4cu);
    assert_int_equal(zero[3], 0x9b00dbd8u);
}

static void test_dropout(void **state)
{
    const vkft_kernel_fixture *f = *state;
    static const uint32_t sizes[] = {1, 31, 333, 40001};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint32_t n = sizes[k], kept = 0;
        float *x = vkft_random_array(11, n), *before = vkft_random_array(12, n), *got = malloc(n * sizeof *got),
              p = 0.25f;
        double *want = malloc(n * sizeof *want), *added = malloc(n * sizeof *added);
        struct step_state step = {.micro_step = 5};
        for (uint32_t i = 0; i < n; i++) {
            bool keep = vkft_reference_dropout_word(0x9abcdef012345678ull, 3, 5, i) >= 0x40000000u;
            kept += keep;
            want[i] = keep ? (double)x[i] / 0.75 : 0;
            added[i] = want[i] + (double)before[i];
        }
        vkft_guarded bx = vkft_guarded_floats(f, x, n), by = vkft_guarded_floats(f, NULL, n),
                     bz = vkft_guarded_floats(f, before, n);
        vkft_guarded bs = vkft_guarded_words(f, (const uint32_t *)(const void *)&step, sizeof step / 4);
        struct dropout_args args = {.x = bx.address,
                                    .y = by.address,
                                    .step = bs.address,
                                    .n = n,
                                    .p = p,
                                    .seed_low = 0x12345678u,
                                    .seed_high = 0x9abcdef0u,
                                    .layer = 3};
        vkft_kernel_run(f, VKFT_KERNEL_dropout, &args, sizeof args, (n + 3) / 4, 1);
        vkft_guarded_read(f, &by, got);
        vkft_assert_close("dropout", got, want, n, TOLERANCE);
        args.y = bz.address;
        args.add = 1;
        vkft_kernel_run(f, VKFT_KERNEL_dropout, &args, sizeof args, (n + 3) / 4, 1);
        vkft_guarded_read(f, &bz, got);
        vkft_assert_close("dropout backward", got, added, n, TOLERANCE);
        if (n > 10000)
            assert_true(fabs((double)kept / n - 0.75) < 5 * sqrt(0.75 * 0.25 / n));
        vkft_guarded *all[] = {&bx, &by, &bz, &bs};
        for (size_t i = 0; i < 4; i++)
            vkft_guarded_free(f, all[i]);
        free(x), free(before), free(got), free(want), free(added);
    }
}

static void test_fill_and_add(void **state)
{
    const vkft_kernel_fixture *f = *state;
    uint32_t n = 1027;
    float *x = vkft_random_array(13, n), *got = malloc(n * sizeof *got);
    double *want = malloc(n * sizeof *want);
    vkft_guarded bx = vkft_guarded_floats(f, x, n), by = vkft_guarded_floats(f, NULL, n);
    struct fill_args fill = {.y = by.address, .n = n, .value = 2.5f};
    vkft_kernel_run(f, VKFT_KERNEL_fill, &fill, sizeof fill, n, 1);
    struct add_args add = {.a = bx.address, .b = by.address, .y = bx.address, .n = n};
    vkft_kernel_run(f, VKFT_KERNEL_add, &add, sizeof add, n, 1);
    vkft_guarded_read(f, &bx, got);
    for (uint32_t i = 0; i < n; i++)
        want[i] = (double)(x[i] + 2.5f);
    vkft_assert_close("add", got, want, n, 0);
    vkft_guarded_free(f, &bx);
    vkft_guarded_free(f, &by);
    free(x), free(got), free(want);
}

static void check_columns(const vkft_kernel_fixture *f, uint32_t T, uint32_t run, uint32_t runs, uint32_t step,
                          uint32_t offset)
{
    uint32_t n = run * runs, ld = offset + step * runs, cells = T * ld;
    float *wide = vkft_random_array(14, cells), *got = malloc(cells * sizeof *got);
    double *want = malloc(cells * sizeof *want);
    vkft_guarded from = vkft_guarded_floats(f, wide, cells), narrow = vkft_guarded_floats(f, NULL, T * n),
                 to = vkft_guarded_floats(f, wide, cells);
    struct copy_columns_args out = {.from = from.address,
                                    .to = narrow.address,
                                    .T = T,
                                    .n = n,
                                    .run = run,
                                    .from_ld = ld,
                                    .from_offset = offset,
                                    .from_step = step,
                                    .to_ld = n,
                                    .to_step = run};
    vkft_kernel_run(f, VKFT_KERNEL_copy_columns, &out, sizeof out, T * n, 1);
    vkft_guarded_read(f, &narrow, got);
    for (uint32_t i = 0; i < T * n; i++)
        want[i] = (double)wide[i / n * ld + offset + i % n / run * step + i % run];
    vkft_assert_close("columns taken out", got, want, T * n, 0);
    /* Back over a copy of the source shifted by one row: only these columns change. */
    struct copy_columns_args back = {.from = narrow.address,
                                     .to = to.address,
                                     .T = T - 1,
                                     .n = n,
                                     .run = run,
                                     .from_ld = n,
                                     .from_offset = n,
                                     .from_step = run,
                                     .to_ld = ld,
                                     .to_offset = offset,
                                     .to_step = step};
    vkft_kernel_run(f, VKFT_KERNEL_copy_columns, &back, sizeof back, (T - 1) * n, 1);
    vkft_guarded_read(f, &to, got);
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t column = i % ld, t = i / ld;
        bool inside = column >= offset && (column - offset) % step < run && t + 1 < T;
        want[i] = (double)wide[inside ? i + ld : i];
    }
    vkft_assert_close("columns put back", got, want, cells, 0);
    vkft_guarded_free(f, &from), vkft_guarded_free(f, &narrow), vkft_guarded_free(f, &to);
    free(wide), free(got), free(want);
}

static void test_columns(void **state)
{
    check_columns(*state, 2, 1, 1, 1, 0);
    check_columns(*state, 31, 7, 1, 7, 13);
    check_columns(*state, 33, 5, 3, 15, 5); /* one part of a projection that is fused head by head */
    check_columns(*state, 3, 333, 1, 401, 0);
}

static void test_bias_rows(void **state)
{
    const vkft_kernel_fixture *f = *state;
    enum { T = 31, C = 37 };
    float *b = vkft_random_array(15, C), *r = vkft_random_array(16, T * C), got[T * C];
    double want[T * C];
    vkft_guarded bb = vkft_guarded_floats(f, b, C), br = vkft_guarded_floats(f, r, T * C),
                 by = vkft_guarded_floats(f, NULL, T * C);
    for (uint32_t add = 0; add < 2; add++) {
        struct bias_rows_args args = {
            .b = bb.address, .r = br.address, .y = by.address, .T = T, .C = C, .add = add, .scale = 0.3f};
        vkft_kernel_run(f, VKFT_KERNEL_bias_rows, &args, sizeof args, T * C, 1);
        vkft_guarded_read(f, &by, got);
        for (uint32_t i = 0; i < T * C; i++)
            want[i] = (double)0.3f * (double)b[i % C] + (add ? (double)r[i] : 0);
        vkft_assert_close("bias_rows", got, want, T * C, TOLERANCE);
    }
    vkft_guarded_free(f, &bb), vkft_guarded_free(f, &br), vkft_guarded_free(f, &by);
    free(b), free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope),      cmocka_unit_test(test_columns),      cmocka_unit_test(test_bias_rows),
        cmocka_unit_test(test_embedding), cmocka_unit_test(test_rows),         cmocka_unit_test(test_philox_reference),
        cmocka_unit_test(test_dropout),   cmocka_unit_test(test_fill_and_add),
    };
    return cmocka_run_group_tests_name("kernels: elementwise", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
