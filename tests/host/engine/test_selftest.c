/* The self-test of matrix products: a kernel that computes wrong results is found, remembered and not used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "runtime/device_cache.h"
#include "tests/support/gguf/sampled_type.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

typedef struct fixture {
    char *directory, *before, *strategies;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    const char *before = getenv("VKFT_CACHE_DIR");
    f->before = before ? strdup(before) : NULL;
    const char *strategies = getenv("VKFT_STRATEGY");
    f->strategies = strategies ? strdup(strategies) : NULL;
    vkft_test_environment("VKFT_STRATEGY", "panel,direct");
    f->directory = vkft_test_directory();
    vkft_test_environment("VKFT_CACHE_DIR", f->directory);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    vkft_test_environment("VKFT_CACHE_DIR", f->before);
    vkft_test_environment("VKFT_STRATEGY", f->strategies);
    vkft_test_remove_directory(f->directory);
    free(f->before), free(f->strategies), free(f);
    return 0;
}

static vkft_device *open_device(vkft_dtype operands)
{
    vkft_err err;
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    if (!dev || !vkft_gemm_setup(dev, operands, &err))
        fail_msg("%s", err.message);
    return dev;
}

static const char *first_strategy(const vkft_device *dev, vkft_gemm_class class)
{
    return vkft_gemm_of(dev)->usable[class.storage][class.transposed][class.grouped][0]->name;
}

/* Spoils the kernel that multiplies panels of types that are not quantized: its tiles become smaller than the host
 * thinks, so that rows are left out. */
static void spoil(vkft_device *dev)
{
    const vkft_tile t = vkft_gemm_of(dev)->tiles.panel;
    const uint32_t constants[] = {t.rows / 2, t.columns, t.band, 0};
    vkft_kernel_specialize(dev, VKFT_KERNEL_matmul_panel, t.width, 0, constants, 4);
}

static void test_right_kernels(void **state)
{
    (void)state;
    vkft_err err;
    bool all[VKFT_STORAGE_COUNT];
    for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
        all[storage] = vkft_test_sampled_type(storage, 3, 10);
    for (int bf16 = 0; bf16 < 2; bf16++) {
        vkft_device *dev = open_device(bf16 ? VKFT_BF16 : VKFT_F32);
        expect_ok(vkft_gemm_selftest(dev, all, true, &err));
        assert_string_equal(vkft_gemm_of(dev)->notice, "");
        for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
            if (all[storage])
                assert_string_equal(first_strategy(dev, (vkft_gemm_class){storage, true, true}), "panel");
        vkft_device_close(dev);
    }
    vkft_device *dev = open_device(VKFT_F32);
    size_t size;
    char *stored = vkft_device_cache_read(dev, "selftest", &size);
    assert_non_null(stored);
    assert_non_null(strstr(stored, "\npanel nf4_dq nn groups bf16 passed\n"));
    assert_non_null(strstr(stored, "\ndirect f32 nt plain f32 passed\n"));
    assert_null(strstr(stored, "failed"));
    free(stored);
    vkft_device_close(dev);
}

/* A wrong kernel's strategy is left out for the types that it serves, now and when the result is read from the file. */
static void test_wrong_kernel(void **state)
{
    (void)state;
    vkft_err err;
    static const bool storages[VKFT_STORAGE_COUNT] = {[VKFT_STORAGE_bf16] = true, [VKFT_STORAGE_nf4] = true};
    const vkft_gemm_class spoilt = {VKFT_STORAGE_bf16, true, false}, other = {VKFT_STORAGE_nf4, true, false};
    for (int run = 0; run < 2; run++) {
        vkft_device *dev = open_device(VKFT_F32);
        if (run == 0)
            spoil(dev);
        expect_ok(vkft_gemm_selftest(dev, storages, false, &err));
        assert_non_null(strstr(vkft_gemm_of(dev)->notice, "kernel matmul_panel computes wrong results on "));
        assert_non_null(strstr(vkft_gemm_of(dev)->notice, "strategy direct instead of panel"));
        assert_string_equal(first_strategy(dev, spoilt), "direct");
        assert_string_equal(first_strategy(dev, other), "panel");
        vkft_device_close(dev);
    }
    /* Nothing is left when the only strategy fails. */
    vkft_test_environment("VKFT_STRATEGY", "panel");
    vkft_device *dev = open_device(VKFT_F32);
    expect_failure(vkft_gemm_selftest(dev, storages, false, &err), "kernel matmul_panel computes wrong results on ");
    assert_non_null(strstr(err.message, "nothing else can multiply bf16 weights"));
    vkft_device_close(dev);
}

/* The same of strategy tile, whose kernels are one for each storage type. */
static void test_tile(void **state)
{
    (void)state;
    vkft_err err;
    static const bool storages[VKFT_STORAGE_COUNT] = {[VKFT_STORAGE_bf16] = true, [VKFT_STORAGE_nf4_dq] = true};
    vkft_test_environment("VKFT_STRATEGY", "tile,panel,direct");
    vkft_device *dev = open_device(VKFT_F32);
    const vkft_block b = vkft_gemm_of(dev)->tiles.blocks[0];
    if (b.rows / 2 * b.lanes_m >= 19) {
        vkft_device_close(dev);
        print_message("half a block of this device has all rows of the self-test\n");
        skip();
    }
    const uint32_t half[] = {b.rows / 2, b.columns, b.band, 0, b.lanes_m, b.lanes_n, b.depth, 0, 0, 0};
    for (uint32_t i = 0; i < VKFT_KERNEL_VARIANTS; i++)
        vkft_kernel_specialize(dev, vkft_kernel_variant(VKFT_KERNEL_matmul_tile_nt_bf16, i), b.lanes_m * b.lanes_n, 0,
                               half, sizeof half / sizeof *half);
    expect_ok(vkft_gemm_selftest(dev, storages, true, &err));
    assert_non_null(strstr(vkft_gemm_of(dev)->notice, "kernel matmul_tile_nt_bf16 computes wrong results on "));
    assert_non_null(strstr(vkft_gemm_of(dev)->notice, "strategy panel instead of tile"));
    assert_string_equal(first_strategy(dev, (vkft_gemm_class){VKFT_STORAGE_bf16, true, false}), "panel");
    assert_string_equal(first_strategy(dev, (vkft_gemm_class){VKFT_STORAGE_bf16, false, false}), "tile");
    assert_string_equal(first_strategy(dev, (vkft_gemm_class){VKFT_STORAGE_nf4_dq, true, false}), "tile");
    /* Experts' products have kernels of their own. */
    assert_string_equal(first_strategy(dev, (vkft_gemm_class){VKFT_STORAGE_bf16, true, true}), "tile");
    assert_string_equal(first_strategy(dev, (vkft_gemm_class){VKFT_STORAGE_nf4_dq, true, true}), "tile");
    vkft_device_close(dev);
}

/* Results of other kernels than this build's do not count. */
static void test_other_build(void **state)
{
    (void)state;
    vkft_err err;
    static const char other[] = "kernels 0000000000000000\npanel bf16 nt plain f32 failed\n";
    static const bool storages[VKFT_STORAGE_COUNT] = {[VKFT_STORAGE_bf16] = true};
    vkft_device *dev = open_device(VKFT_F32);
    vkft_device_cache_write(dev, "selftest", other, strlen(other));
    expect_ok(vkft_gemm_selftest(dev, storages, false, &err));
    assert_string_equal(vkft_gemm_of(dev)->notice, "");
    assert_string_equal(first_strategy(dev, (vkft_gemm_class){VKFT_STORAGE_bf16, true, false}), "panel");
    vkft_device_close(dev);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_right_kernels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tile, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_build, setup, teardown),
    };
    return cmocka_run_group_tests_name("selftest", tests, NULL, NULL);
}
