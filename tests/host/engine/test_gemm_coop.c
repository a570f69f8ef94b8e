/* What products in f16 launch, for the tiles of a real device. Nothing is run, so that neither such a device
 * nor a compiler that knows cooperative matrices is needed; results are for test_selftest and test_matmul. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

static const vkft_coop_tiles amd = {
    16, 16, 16, 64, 128, true, true, false, {{128, 128, 64, 64}, {64, 64, 32, 64}, {64, 64, 32, 64}}};
static vkft_gemm gemm = {.coop = &amd, .operands = VKFT_F16};
static const vkft_strategy *strategy = &vkft_gemm_coop;

/* What was launched while a test looked. Linked in place of the runtime's functions, which check the device at opening.
 */
static struct {
    bool looking;
    uint32_t count;
    vkft_kernel kernels[16];
    double flops;
} launched;

static void keep(vkft_kernel kernel, double flops)
{
    assert_true(launched.count < sizeof launched.kernels / sizeof *launched.kernels);
    launched.kernels[launched.count++] = kernel;
    if (kernel != VKFT_KERNEL_rows_f16 && kernel != VKFT_KERNEL_matmul_sum)
        launched.flops += flops;
}

void __wrap_vkft_launch(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                        uint64_t threads_x, uint32_t threads_y, double flops);
void __real_vkft_launch(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                        uint64_t threads_x, uint32_t threads_y, double flops);
void __wrap_vkft_launch(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                        uint64_t threads_x, uint32_t threads_y, double flops)
{
    if (launched.looking)
        keep(kernel, flops);
    else
        __real_vkft_launch(cmds, kernel, args, args_bytes, threads_x, threads_y, flops);
}

void __wrap_vkft_launch_workgroups(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                                   uint64_t count_x, uint32_t count_y, double flops);
void __real_vkft_launch_workgroups(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                                   uint64_t count_x, uint32_t count_y, double flops);
void __wrap_vkft_launch_workgroups(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                                   uint64_t count_x, uint32_t count_y, double flops)
{
    if (!launched.looking) {
        __real_vkft_launch_workgroups(cmds, kernel, args, args_bytes, count_x, count_y, flops);
        return;
    }
    assert_true(count_x > 0 && count_y > 0);
    keep(kernel, flops);
}

typedef struct shape {
    uint32_t M, rows, cols; /* of X, and the weight's */
    bool transposed;
} shape;

static void expect_launches(shape s, uint64_t scratch_bytes, uint32_t count)
{
    const vkft_weight w = {
        .storage = VKFT_STORAGE_nf4, .rows = s.rows, .cols = s.cols, .part = {VKFT_PLACEHOLDER_ADDRESS}};
    const vkft_product product = {.w = &w,
                                  .transposed = s.transposed,
                                  .M = s.M,
                                  .X = VKFT_PLACEHOLDER_ADDRESS,
                                  .Y = VKFT_PLACEHOLDER_ADDRESS,
                                  .scale = 1};
    const vkft_matmul_ctx ctx = {.scratch = VKFT_PLACEHOLDER_ADDRESS, .scratch_bytes = scratch_bytes};
    memset(&launched, 0, sizeof launched);
    assert_true(strategy->suits(&gemm, &ctx, &product));
    launched.looking = true;
    strategy->record(&gemm, &ctx, &product);
    launched.looking = false;
    assert_int_equal(launched.count, count);
    assert_true(launched.flops == 2.0 * s.M * s.rows * s.cols);
    assert_int_equal(launched.kernels[0], VKFT_KERNEL_rows_f16);
}

static void test_large_product(void **state)
{
    (void)state;
    expect_launches((shape){2048, 4096, 4096, true}, 64 << 20, 2);
    assert_int_equal(launched.kernels[0], VKFT_KERNEL_rows_f16);
    assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_coop_nt_nf4, VKFT_COOP_LARGE));
    expect_launches((shape){2048, 4096, 4096, false}, 64 << 20, 2);
    assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_coop_nn_nf4, VKFT_COOP_LARGE));
}

/* Too few tiles for the device: K is cut where there is room for the sums of each slice. */
static void test_few_tiles(void **state)
{
    (void)state;
    expect_launches((shape){256, 512, 4096, true}, 64 << 20, 3);
    assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_coop_nt_nf4, VKFT_COOP_SMALL));
    assert_int_equal(launched.kernels[2], VKFT_KERNEL_matmul_sum);
    expect_launches((shape){256, 512, 4096, true}, 256 * (4096 * 2 + 4) + 1024, 2);
    expect_launches((shape){256, 512, 256, true}, 64 << 20, 2); /* K is too short to be cut */
}

/* Scratch of the size that is promised for the weight holds 256 rows: a longer product is computed in parts. */
static void test_parts(void **state)
{
    (void)state;
    uint64_t bytes = vkft_gemm_coop.scratch_bytes(4096, 4096);
    expect_launches((shape){1024, 4096, 4096, true}, bytes, 4 * 2);
    expect_launches((shape){1024, 4096, 4096, true}, bytes - 1, 8 * 2); /* whole tiles */
    expect_launches((shape){1025, 4096, 4096, true}, bytes, 4 * 2 + 3); /* K of a single row is cut */
}

/* Rows that were made before are not converted, and no part of them waits for scratch. */
static void test_rows_in_f16(void **state)
{
    (void)state;
    const vkft_weight w = {.storage = VKFT_STORAGE_nf4, .rows = 4096, .cols = 4096, .part = {VKFT_PLACEHOLDER_ADDRESS}};
    const vkft_product product = {.w = &w,
                                  .transposed = true,
                                  .M = 2048,
                                  .X = VKFT_PLACEHOLDER_ADDRESS,
                                  .Y = VKFT_PLACEHOLDER_ADDRESS,
                                  .f16 = {VKFT_PLACEHOLDER_ADDRESS, VKFT_PLACEHOLDER_ADDRESS, 4096},
                                  .scale = 1};
    const vkft_matmul_ctx ctx = {0};
    memset(&launched, 0, sizeof launched);
    assert_true(vkft_gemm_coop.suits(&gemm, &ctx, &product));
    launched.looking = true;
    vkft_gemm_coop.record(&gemm, &ctx, &product);
    launched.looking = false;
    assert_int_equal(launched.count, 1);
    assert_int_equal(launched.kernels[0], vkft_kernel_variant(VKFT_KERNEL_coop_nt_nf4, VKFT_COOP_LARGE));
}

/* Rows of experts: small tiles where large ones would be half empty, and left to others where there are few rows. */
static void test_groups(void **state)
{
    (void)state;
    static const struct {
        uint32_t groups, M;
        vkft_coop_size size;
    } cases[] = {{8, 4096, VKFT_COOP_LARGE}, {128, 4096, VKFT_COOP_SMALL}, {128, 32768, VKFT_COOP_LARGE}};
    const vkft_weight w = {.storage = VKFT_STORAGE_nf4, .rows = 4096, .cols = 4096, .part = {VKFT_PLACEHOLDER_ADDRESS}};
    const vkft_matmul_ctx ctx = {.scratch = VKFT_PLACEHOLDER_ADDRESS, .scratch_bytes = 1 << 30};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const vkft_grouping groups = {
            .groups = cases[i].groups, .rows = cases[i].M, .max_rows = cases[i].M, .table = VKFT_PLACEHOLDER_ADDRESS};
        vkft_product product = {.w = &w,
                                .groups = &groups,
                                .weights = VKFT_PLACEHOLDER_ADDRESS,
                                .M = cases[i].M,
                                .X = VKFT_PLACEHOLDER_ADDRESS,
                                .Y = VKFT_PLACEHOLDER_ADDRESS,
                                .scale = 1};
        memset(&launched, 0, sizeof launched);
        assert_true(vkft_gemm_coop.suits(&gemm, &ctx, &product));
        launched.looking = true;
        vkft_gemm_coop.record(&gemm, &ctx, &product);
        launched.looking = false;
        assert_int_equal(launched.count, 2);
        assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_grouped_coop_nn_nf4, cases[i].size));
        product.M = DIRECT_MAX_ROWS * cases[i].groups;
        assert_false(vkft_gemm_coop.suits(&gemm, &ctx, &product));
    }
}

static void test_unaligned_weight(void **state)
{
    (void)state;
    expect_launches((shape){2048, 4096, 333, false}, 64 << 20, 2);
    assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_coop_nn_nf4, VKFT_COOP_UNALIGNED));
}

/* The tuner tries each size of tiles, whatever the shape. */
static void test_variants(void **state)
{
    (void)state;
    assert_true(vkft_gemm_coop.possible(&gemm));
    assert_int_equal(vkft_gemm_coop.shapes(&gemm), VKFT_COOP_SIZES);
    for (gemm.variant = 1; gemm.variant <= VKFT_COOP_SIZES; gemm.variant++) {
        expect_launches((shape){2048, 4096, 4096, true}, 64 << 20, 2);
        assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_coop_nt_nf4, gemm.variant - 1));
    }
    gemm.variant = 0;
}

static void test_not_suitable(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err = {0};
    const vkft_weight w = {.storage = VKFT_STORAGE_nf4, .rows = 64, .cols = 64, .part = {VKFT_PLACEHOLDER_ADDRESS}};
    vkft_product product = {.w = &w, .M = 64, .X = VKFT_PLACEHOLDER_ADDRESS, .Y = VKFT_PLACEHOLDER_ADDRESS, .scale = 1};
    vkft_matmul_ctx ctx = {f->dev, f->cmds, VKFT_PLACEHOLDER_ADDRESS, 1 << 20};
    assert_true(vkft_gemm_coop.suits(&gemm, &ctx, &product));
    product.exact = true;
    assert_false(vkft_gemm_coop.suits(&gemm, &ctx, &product));
    product.exact = false;
    product.M = 1; /* a row of generation */
    assert_false(vkft_gemm_coop.suits(&gemm, &ctx, &product));
    product.M = 64;
    ctx.scratch_bytes = 0;
    assert_false(vkft_gemm_coop.suits(&gemm, &ctx, &product));
    vkft_commands_reset(f->cmds);
    vkft_gemm_coop.record(&gemm, &ctx, &product);
    assert_false(vkft_commands_run(f->cmds, &err));
    assert_non_null(strstr(err.message, "without scratch memory"));
    vkft_commands_reset(f->cmds);
    product.exact = true;
    vkft_gemm_coop.record(&gemm, &ctx, &product);
    assert_false(vkft_commands_run(f->cmds, &err));
    assert_non_null(strstr(err.message, "that is to be exact"));
    vkft_commands_reset(f->cmds);
}

/* Without matrix cores, by mixed dot products. */
static void test_dot(void **state)
{
    (void)state;
    const vkft_gemm cores = gemm;
    const vkft_caps rdna2 = {.vendor_id = 0x1002,
                             .set = VKFT_CAP_FP16 | VKFT_CAP_FLOAT_DOT,
                             .workgroup_invocations = 1024,
                             .shared_memory_bytes = 65536};
    gemm = (vkft_gemm){.caps = &rdna2, .tiles = vkft_tiles_of(&rdna2), .operands = VKFT_F16};
    strategy = &vkft_gemm_dot;
    assert_true(strategy->possible(&gemm));
    expect_launches((shape){2048, 4096, 4096, true}, 64 << 20, 2);
    assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_dot_nt_nf4, 0));
    expect_launches((shape){256, 512, 4096, false}, 64 << 20, 2);
    assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_dot_nn_nf4, 1));
    expect_launches((shape){256, 512, 4096, true}, 64 << 20, 3); /* too few tiles: K in slices */
    assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_dot_nt_nf4, 1));
    assert_int_equal(launched.kernels[2], VKFT_KERNEL_matmul_sum);
    expect_launches((shape){2048, 4096, 333, false}, 64 << 20, 2); /* not aligned */
    assert_int_equal(launched.kernels[1], vkft_kernel_variant(VKFT_KERNEL_dot_nn_nf4, VKFT_HALF_BLOCKS));
    gemm.coop = &amd;
    assert_false(strategy->possible(&gemm));
    gemm.coop = NULL;
    gemm.operands = VKFT_F32;
    assert_false(strategy->possible(&gemm));
    strategy = &vkft_gemm_coop;
    gemm = cores;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_large_product), cmocka_unit_test(test_few_tiles),        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_rows_in_f16),   cmocka_unit_test(test_unaligned_weight), cmocka_unit_test(test_variants),
        cmocka_unit_test(test_groups),        cmocka_unit_test(test_not_suitable),     cmocka_unit_test(test_dot)};
    return cmocka_run_group_tests_name("gemm_coop", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
