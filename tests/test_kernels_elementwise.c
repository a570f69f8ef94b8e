/* Norm, rotation, activation, embedding, rows, dropout and the two trivial kernels: forward against a double reference, backward against
 * central differences of that reference, at odd shapes.
 *
 * Tolerances: a handful of f32 roundings (6e-8 each) for elementwise results; row sums of C terms add at most log2(C)/2 + C/width/sqrt(C) of
 * them. 2e-6 relative to 1 + |value| holds for all shapes here, and a wrong formula misses it by orders of magnitude.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "args.h"
#include "dtype.h"
#include "kernel_test.h"

#define TOLERANCE 2e-6

static float *random_array(uint64_t seed, uint32_t n)
{
    float *x = malloc((n + 1ull) * sizeof *x);
    vkft_random_floats(seed, x, n);
    return x;
}

static double *widen(const float *x, uint32_t n)
{
    double *y = malloc((n + 1ull) * sizeof *y);
    for (uint32_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

static void row_forward(const double *x, const float *g, uint32_t C, double eps, double *y)
{
    double squares = 0;
    for (uint32_t c = 0; c < C; c++)
        squares += x[c] * x[c];
    double s = 1 / sqrt(squares / C + eps);
    for (uint32_t c = 0; c < C; c++)
        y[c] = x[c] * s * (double)g[c];
}

typedef struct row_context {
    const float *g, *dy;
    uint32_t C;
    double eps;
} row_context;

static double row_loss(const double *x, const void *context)
{
    const row_context *k = context;
    double *y = malloc(k->C * sizeof *y), loss = 0;
    row_forward(x, k->g, k->C, k->eps, y);
    for (uint32_t c = 0; c < k->C; c++)
        loss += y[c] * (double)k->dy[c];
    free(y);
    return loss;
}

static void check_rmsnorm(const vkft_kernel_fixture *f, uint32_t T, uint32_t C, bool add)
{
    const float eps = 1e-5f;
    uint32_t n = T * C, width = vkft_kernel_width(f->dev, VKFT_KERNEL_rmsnorm);
    float *x = random_array(1, n), *g = random_array(2, C), *dy = random_array(3, n), *before = random_array(4, n);
    float *got = malloc(n * sizeof *got);
    double *wide = widen(x, n), *want = malloc(n * sizeof *want), *slope = malloc(C * sizeof *slope);
    vkft_guarded bx = vkft_guarded_floats(f, x, n), bg = vkft_guarded_floats(f, g, C), bdy = vkft_guarded_floats(f, dy, n);
    vkft_guarded by = vkft_guarded_floats(f, NULL, n), bdx = vkft_guarded_floats(f, add ? before : NULL, n);

    struct rmsnorm_args forward = {.x = bx.address, .g = bg.address, .y = by.address, .T = T, .C = C, .eps = eps};
    vkft_kernel_run(f, VKFT_KERNEL_rmsnorm, &forward, sizeof forward, (uint64_t)T * width, 1);
    for (uint32_t t = 0; t < T; t++)
        row_forward(wide + t * C, g, C, (double)eps, want + t * C);
    vkft_guarded_read(f, &by, got);
    vkft_assert_close("rmsnorm", got, want, n, TOLERANCE);

    struct rmsnorm_backward_args backward = {.dy = bdy.address, .x = bx.address, .g = bg.address, .dx = bdx.address, .T = T, .C = C,
                                             .eps = eps, .add = add};
    vkft_kernel_run(f, VKFT_KERNEL_rmsnorm_backward, &backward, sizeof backward, (uint64_t)T * width, 1);
    uint32_t rows = T < 4 || C < 100 ? T : 4; /* rows are alike; central differences of a long one cost C^2 */
    for (uint32_t t = 0; t < rows; t++) {
        row_context context = {g, dy + t * C, C, (double)eps};
        vkft_central_differences(row_loss, &context, wide + t * C, C, slope);
        for (uint32_t c = 0; c < C; c++)
            want[t * C + c] = slope[c] + (add ? (double)before[t * C + c] : 0);
    }
    vkft_guarded_read(f, &bdx, got);
    /* a row of one element cancels: s^3 x^2 against s, with a large slope for small x */
    vkft_assert_close("rmsnorm_backward", got, want, rows * C, C == 1 ? 1e-4 : TOLERANCE);
    vkft_guarded *all[] = {&bx, &bg, &bdy, &by, &bdx};
    for (size_t i = 0; i < 5; i++)
        vkft_guarded_free(f, all[i]);
    free(x), free(g), free(dy), free(before), free(got), free(wide), free(want), free(slope);
}

static void test_rmsnorm(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {1, 7}, {31, 8}, {3, 64}, {333, 37}, {5, 333}, {2, 1025}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check_rmsnorm(*state, shapes[i][0], shapes[i][1], false);
        check_rmsnorm(*state, shapes[i][0], shapes[i][1], true);
    }
}

static void check_rope(const vkft_kernel_fixture *f, uint32_t T, uint32_t H, uint32_t D)
{
    uint32_t n = T * H * D, half = D / 2, P = 40;
    float *x = random_array(5, n), *table = malloc(P * D * sizeof *table), *got = malloc(n * sizeof *got);
    uint32_t *position = malloc(T * sizeof *position);
    double *want = malloc(n * sizeof *want);
    for (uint32_t i = 0; i < P * half; i++) {
        table[2 * i] = (float)cos(0.1 * i);
        table[2 * i + 1] = (float)sin(0.1 * i);
    }
    for (uint32_t t = 0; t < T; t++)
        position[t] = (7 * t + 3) % P;
    for (uint32_t r = 0; r < T * H; r++)
        for (uint32_t i = 0; i < half; i++) {
            uint32_t at = 2 * (position[r / H] * half + i);
            double c = (double)table[at], s = (double)table[at + 1], a = (double)x[r * D + i], b = (double)x[r * D + half + i];
            want[r * D + i] = a * c - b * s;
            want[r * D + half + i] = b * c + a * s;
        }
    vkft_guarded bx = vkft_guarded_floats(f, x, n), bt = vkft_guarded_floats(f, table, P * D), bp = vkft_guarded_words(f, position, T);
    struct rope_args args = {.x = bx.address, .table = bt.address, .position = bp.address, .T = T, .H = H, .D = D, .direction = 1};
    vkft_kernel_run(f, VKFT_KERNEL_rope, &args, sizeof args, n / 2, 1);
    vkft_guarded_read(f, &bx, got);
    vkft_assert_close("rope", got, want, n, TOLERANCE);
    /* A rotation's backward is its transpose, which is its inverse. */
    args.direction = -1;
    vkft_kernel_run(f, VKFT_KERNEL_rope, &args, sizeof args, n / 2, 1);
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
    check_rope(*state, 1, 1, 2);
    check_rope(*state, 31, 3, 10);
    check_rope(*state, 7, 9, 64);
    check_rope(*state, 333, 1, 6);
}

static double swiglu_loss(const double *x, const void *context)
{
    double dh = (double)*(const float *)context;
    return dh * x[0] / (1 + exp(-x[0])) * x[1];
}

static void test_swiglu(void **state)
{
    const vkft_kernel_fixture *f = *state;
    static const uint32_t sizes[] = {1, 31, 333, 4099};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        uint32_t n = sizes[k];
        float *gate = random_array(6, n), *up = random_array(7, n), *dh = random_array(8, n), *got = malloc(n * sizeof *got);
        double *h = malloc(n * sizeof *h), *dgate = malloc(n * sizeof *dgate), *dup = malloc(n * sizeof *dup);
        for (uint32_t i = 0; i < n; i++) {
            gate[i] *= i % 5 ? 1 : 20; /* saturated on both sides too */
            double x[2] = {(double)gate[i], (double)up[i]}, slope[2];
            h[i] = x[0] / (1 + exp(-x[0])) * x[1];
            vkft_central_differences(swiglu_loss, &dh[i], x, 2, slope);
            dgate[i] = slope[0];
            dup[i] = slope[1];
        }
        vkft_guarded bg = vkft_guarded_floats(f, gate, n), bu = vkft_guarded_floats(f, up, n), bd = vkft_guarded_floats(f, dh, n);
        vkft_guarded bh = vkft_guarded_floats(f, NULL, n);
        struct swiglu_args forward = {.gate = bg.address, .up = bu.address, .h = bh.address, .n = n};
        vkft_kernel_run(f, VKFT_KERNEL_swiglu, &forward, sizeof forward, n, 1);
        vkft_guarded_read(f, &bh, got);
        vkft_assert_close("swiglu", got, h, n, TOLERANCE);
        struct swiglu_backward_args backward = {.dh = bd.address, .gate = bg.address, .up = bu.address, .dgate = bg.address,
                                                .dup = bu.address, .n = n}; /* in place, as training uses it */
        vkft_kernel_run(f, VKFT_KERNEL_swiglu_backward, &backward, sizeof backward, n, 1);
        vkft_guarded_read(f, &bg, got);
        vkft_assert_close("swiglu dgate", got, dgate, n, TOLERANCE);
        vkft_guarded_read(f, &bu, got);
        vkft_assert_close("swiglu dup", got, dup, n, TOLERANCE);
        vkft_guarded *all[] = {&bg, &bu, &bd, &bh};
        for (size_t i = 0; i < 4; i++)
            vkft_guarded_free(f, all[i]);
        free(gate), free(up), free(dh), free(got), free(h), free(dgate), free(dup);
    }
}

static void check_embedding(const vkft_kernel_fixture *f, vkft_kernel kernel, vkft_dtype dtype, uint32_t T, uint32_t C)
{
    uint32_t V = 29, n = V * C, words = (n * vkft_dtype_bits(dtype) + 31) / 32;
    float *table = random_array(9, n), *got = malloc(T * C * sizeof *got), *stored = malloc(n * sizeof *stored);
    uint32_t *ids = malloc(T * sizeof *ids), *packed = calloc(words, sizeof *packed);
    double *want = malloc(T * C * sizeof *want);
    vkft_from_f32(dtype, table, n, packed);
    vkft_to_f32(dtype, packed, n, stored);
    for (uint32_t t = 0; t < T; t++) {
        ids[t] = (11 * t + 28) % V;
        for (uint32_t c = 0; c < C; c++)
            want[t * C + c] = (double)stored[ids[t] * C + c];
    }
    vkft_guarded bt = vkft_guarded_words(f, packed, words), bi = vkft_guarded_words(f, ids, T), by = vkft_guarded_floats(f, NULL, T * C);
    struct embedding_args args = {.table = bt.address, .ids = bi.address, .y = by.address, .T = T, .C = C};
    vkft_kernel_run(f, kernel, &args, sizeof args, (uint64_t)T * vkft_kernel_width(f->dev, kernel), 1);
    vkft_guarded_read(f, &by, got);
    vkft_assert_close("embedding", got, want, T * C, 0); /* decoding is exact */
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
    float *src = random_array(10, n), picked[ROWS * C], scattered[T * C], before[T * C];
    double want[T * C];
    for (uint32_t i = 0; i < ROWS; i++)
        index[i] = (17 * i + 5) % T;
    vkft_guarded bs = vkft_guarded_floats(f, src, n), bi = vkft_guarded_words(f, index, ROWS), bp = vkft_guarded_floats(f, NULL, ROWS * C);
    struct rows_args gather = {.src = bs.address, .index = bi.address, .dst = bp.address, .rows = ROWS, .C = C};
    vkft_kernel_run(f, VKFT_KERNEL_gather_rows, &gather, sizeof gather, (uint64_t)ROWS * vkft_kernel_width(f->dev, VKFT_KERNEL_gather_rows), 1);
    vkft_guarded_read(f, &bp, picked);
    memset(before, 0, sizeof before);
    vkft_guarded bd = vkft_guarded_floats(f, before, n);
    struct rows_args scatter = {.src = bp.address, .index = bi.address, .dst = bd.address, .rows = ROWS, .C = C};
    vkft_kernel_run(f, VKFT_KERNEL_scatter_rows, &scatter, sizeof scatter, (uint64_t)ROWS * vkft_kernel_width(f->dev, VKFT_KERNEL_scatter_rows), 1);
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

/* Philox4x32-10 on the host, written from the paper. */
static void philox(uint32_t counter[4], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * counter[0], p1 = (uint64_t)0xCD9E8D57u * counter[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ counter[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ counter[3] ^ k1, (uint32_t)p0};
        memcpy(counter, next, sizeof next);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

static void test_philox_reference(void **state)
{
    (void)state;
    /* Known answers published with Random123. */
    uint32_t zero[4] = {0, 0, 0, 0};
    philox(zero, 0, 0);
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
        float *x = random_array(11, n), *before = random_array(12, n), *got = malloc(n * sizeof *got), p = 0.25f;
        double *want = malloc(n * sizeof *want), *added = malloc(n * sizeof *added);
        struct step_state step = {.micro_step = 5};
        for (uint32_t i = 0; i < n; i++) {
            uint32_t counter[4] = {i / 4, 3, 5, 0};
            philox(counter, 0x12345678u, 0x9abcdef0u);
            bool keep = counter[i % 4] >= 0x40000000u;
            kept += keep;
            want[i] = keep ? (double)x[i] / 0.75 : 0;
            added[i] = want[i] + (double)before[i];
        }
        vkft_guarded bx = vkft_guarded_floats(f, x, n), by = vkft_guarded_floats(f, NULL, n), bz = vkft_guarded_floats(f, before, n);
        vkft_guarded bs = vkft_guarded_words(f, (const uint32_t *)(const void *)&step, sizeof step / 4);
        struct dropout_args args = {.x = bx.address, .y = by.address, .step = bs.address, .n = n, .p = p, .seed_low = 0x12345678u,
                                    .seed_high = 0x9abcdef0u, .layer = 3};
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
    float *x = random_array(13, n), *got = malloc(n * sizeof *got);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm),   cmocka_unit_test(test_rope), cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_embedding), cmocka_unit_test(test_rows), cmocka_unit_test(test_philox_reference),
        cmocka_unit_test(test_dropout),   cmocka_unit_test(test_fill_and_add),
    };
    return cmocka_run_group_tests_name("kernels: elementwise", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
