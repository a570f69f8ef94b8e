/* The tuner: what it chooses by timings that the test makes up, and that choices are kept, shown to products and
 * obeyed. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/engine/matmul/tune.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

/* Milliseconds by strategy and variant; what has no row cannot compute the product. */
typedef struct timing {
    const char *strategy; /* NULL: what is used without a tuner */
    uint32_t variant;
    double ms;
} timing;

typedef struct stopwatch {
    const timing *timings;
    uint32_t calls, stop_after; /* 0: never */
} stopwatch;

static bool made_up(void *context, const vkft_tune_candidate *c, double *ms)
{
    stopwatch *made = context;
    if (made->stop_after && made->calls == made->stop_after)
        return false;
    made->calls++;
    *ms = INFINITY;
    for (const timing *t = made->timings; t->ms > 0; t++)
        if (c->choice.strategy
                ? t->strategy && strcmp(t->strategy, c->choice.strategy->name) == 0 && t->variant == c->choice.variant
                : !t->strategy)
            *ms = t->ms;
    return true;
}

/* Three strategies, the first with three shapes. */
static vkft_gemm make_gemm(const vkft_caps *caps)
{
    vkft_gemm gemm = {.caps = caps, .tiles.block_count = 3};
    const vkft_strategy *list[] = {&vkft_gemm_tile, &vkft_gemm_panel, &vkft_gemm_direct};
    for (int transposed = 0; transposed < 2; transposed++)
        for (int grouped = 0; grouped < 2; grouped++)
            memcpy(gemm.usable[VKFT_STORAGE_nf4][transposed][grouped], list, sizeof list);
    return gemm;
}

static const bool nf4[VKFT_STORAGE_COUNT] = {[VKFT_STORAGE_nf4] = true};

static void expect_choice(const timing *timings, const char *strategy, uint32_t variant)
{
    const vkft_caps caps = {.subgroup_size = 32};
    vkft_gemm gemm = make_gemm(&caps);
    stopwatch made = {.timings = timings};
    vkft_tune_choose(&gemm, nf4, false, made_up, &made);
    assert_int_equal(made.calls, 2 * VKFT_PRODUCT_SIZES * (1 + 3 + 1 + 1));
    for (int transposed = 0; transposed < 2; transposed++)
        for (vkft_product_size size = 0; size < VKFT_PRODUCT_SIZES; size++) {
            const vkft_choice *c = &gemm.choices[VKFT_STORAGE_nf4][transposed][0][size];
            assert_true(c->decided);
            assert_int_equal(c->strategy != NULL, strategy != NULL);
            if (strategy)
                assert_string_equal(c->strategy->name, strategy);
            assert_int_equal(c->variant, variant);
        }
    assert_false(gemm.choices[VKFT_STORAGE_f32][1][0][0].decided);
}

static void test_choices(void **state)
{
    (void)state;
    static const timing second_shape[] = {{NULL, 0, 10},  {"tile", 1, 10}, {"tile", 2, 4},
                                          {"tile", 3, 5}, {"panel", 0, 9}, {0}};
    expect_choice(second_shape, "tile", 2);
    static const timing other[] = {{NULL, 0, 10}, {"tile", 1, 10}, {"panel", 0, 3}, {"direct", 0, 30}, {0}};
    expect_choice(other, "panel", 0);
    /* Within the noise of what is used anyway nothing changes; among others the fastest wins. */
    static const timing close[] = {{NULL, 0, 10}, {"tile", 1, 9.6}, {"panel", 0, 9.7}, {0}};
    expect_choice(close, NULL, 0);
    static const timing two[] = {{NULL, 0, 10}, {"tile", 1, 9.3}, {"panel", 0, 9.2}, {0}};
    expect_choice(two, "panel", 0);
    /* What cannot be timed is not taken, even if nothing can. */
    static const timing none[] = {{0}};
    expect_choice(none, NULL, 0);
}

/* Products of groups are chosen for where the model has some, after plain ones. */
static void test_groups(void **state)
{
    (void)state;
    const vkft_caps caps = {.subgroup_size = 32};
    vkft_gemm gemm = make_gemm(&caps);
    static const timing timings[] = {{NULL, 0, 10}, {"tile", 1, 10}, {"tile", 3, 4}, {0}};
    stopwatch made = {.timings = timings};
    vkft_tune_choose(&gemm, nf4, false, made_up, &made);
    assert_false(gemm.choices[VKFT_STORAGE_nf4][1][1][VKFT_PRODUCT_LARGE].decided);
    made = (stopwatch){.timings = timings};
    vkft_tune_choose(&gemm, nf4, true, made_up, &made);
    assert_int_equal(made.calls, 2 * VKFT_PRODUCT_SIZES * (1 + 3 + 1 + 1));
    for (int transposed = 0; transposed < 2; transposed++)
        for (vkft_product_size size = 0; size < VKFT_PRODUCT_SIZES; size++) {
            const vkft_choice *c = &gemm.choices[VKFT_STORAGE_nf4][transposed][1][size];
            assert_true(c->decided && c->strategy == &vkft_gemm_tile);
            assert_int_equal(c->variant, 3);
        }
}

/* Without time for all candidates of a product it stays undecided, and a later call goes on there. */
static void test_no_time(void **state)
{
    (void)state;
    const vkft_caps caps = {.subgroup_size = 32};
    vkft_gemm gemm = make_gemm(&caps);
    static const timing timings[] = {{NULL, 0, 10}, {"panel", 0, 3}, {0}};
    stopwatch made = {timings, 0, 6 + 3};
    vkft_tune_choose(&gemm, nf4, false, made_up, &made);
    uint32_t decided = 0;
    for (uint32_t i = 0; i < 2 * VKFT_PRODUCT_SIZES; i++)
        decided += gemm.choices[VKFT_STORAGE_nf4][i % 2][0][i / 2].decided;
    assert_int_equal(decided, 1);
    made = (stopwatch){.timings = timings};
    vkft_tune_choose(&gemm, nf4, false, made_up, &made);
    assert_int_equal(made.calls, 6 * (2 * VKFT_PRODUCT_SIZES - 1));
}

/* On this device, forced: the choices are written, read by the next setup, and not timed again. */
static void test_kept(void **state)
{
    (void)state;
    vkft_err err;
    const char *before = getenv("VKFT_CACHE_DIR");
    char *kept = before ? strdup(before) : NULL, *directory = vkft_test_directory();
    vkft_test_environment("VKFT_CACHE_DIR", directory);
    vkft_test_environment("VKFT_STRATEGY", "panel,tile,direct");
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    assert_non_null(dev);
    if (!vkft_device_get_caps(dev)->timestamp_bits)
        skip();
    /* Not without being asked: the strategies are named, and the device may be a software one. */
    expect_ok(vkft_gemm_setup(dev, VKFT_F32, &err));
    expect_ok(vkft_tune(dev, nf4, false, &err));
    assert_null(vkft_tune_results(dev));
    vkft_test_environment("VKFT_TUNE", "1");
    expect_ok(vkft_tune(dev, nf4, false, &err));
    char *first = vkft_tune_results(dev);
    assert_non_null(first);
    assert_non_null(strstr(first, "nf4 nt large f32 "));
    assert_non_null(strstr(first, "nf4 nn few f32 "));
    assert_null(strstr(first, "kernels"));
    assert_null(strstr(first, "groups"));
    expect_ok(vkft_gemm_setup(dev, VKFT_F32, &err));
    expect_ok(vkft_tune(dev, nf4, false, &err));
    assert_true(vkft_gemm_of(dev)->choices[VKFT_STORAGE_nf4][1][0][VKFT_PRODUCT_LARGE].decided);
    char *second = vkft_tune_results(dev);
    assert_string_equal(first, second);
    expect_ok(vkft_tune(dev, nf4, true, &err));
    char *third = vkft_tune_results(dev);
    assert_memory_equal(first, third, strlen(first)); /* what is decided stays */
    assert_non_null(strstr(third, "nf4 nt groups large f32 "));
    assert_non_null(strstr(third, "nf4 nn groups few f32 "));
    free(third);
    vkft_test_environment("VKFT_TUNE", "0");
    expect_ok(vkft_gemm_setup(dev, VKFT_F32, &err));
    expect_ok(vkft_tune(dev, nf4, false, &err));
    assert_false(vkft_gemm_of(dev)->choices[VKFT_STORAGE_nf4][1][0][VKFT_PRODUCT_LARGE].decided);
    free(first), free(second);
    vkft_device_close(dev);
    vkft_test_environment("VKFT_TUNE", NULL);
    vkft_test_environment("VKFT_STRATEGY", NULL);
    vkft_test_environment("VKFT_CACHE_DIR", kept);
    vkft_test_remove_directory(directory);
    free(kept);
}

/* A product takes the choice for its size, if the strategy can compute it, with the chosen shape. */
static void test_obeyed(void **state)
{
    (void)state;
    vkft_err err;
    vkft_test_environment("VKFT_STRATEGY", "panel,tile,direct");
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    assert_non_null(dev);
    expect_ok(vkft_gemm_setup(dev, VKFT_F32, &err));
    vkft_gemm *gemm = vkft_device_attached(dev);
    vkft_commands *cmds = vkft_commands_new(dev, &err);
    const vkft_matmul_ctx ctx = {.dev = dev, .cmds = cmds, .scratch = 256, .scratch_bytes = 1 << 24};
    const vkft_weight w = {.storage = VKFT_STORAGE_nf4, .rows = 64, .cols = 64, .part = {256, 256}};
    const vkft_product product = {.w = &w, .transposed = true, .M = 40, .X = 256, .Y = 256, .scale = 1};
    vkft_multiply(&ctx, &product);
    assert_int_equal(vkft_commands_launch_count(cmds), 2); /* a panel, and the product with it */
    assert_int_equal(vkft_product_size_of(&product), VKFT_PRODUCT_NARROW);
    gemm->choices[VKFT_STORAGE_nf4][1][0][VKFT_PRODUCT_NARROW] = (vkft_choice){&vkft_gemm_tile, 2, true, 1};
    vkft_commands_reset(cmds);
    vkft_multiply(&ctx, &product);
    assert_int_equal(vkft_commands_kernel(cmds, 0), vkft_kernel_variant(VKFT_KERNEL_matmul_tile_nt_nf4, 1));
    /* Few rows do not suit the strategy. */
    gemm->choices[VKFT_STORAGE_nf4][1][0][VKFT_PRODUCT_FEW] = (vkft_choice){&vkft_gemm_tile, 2, true, 1};
    vkft_product few = product;
    few.M = 3;
    vkft_commands_reset(cmds);
    vkft_multiply(&ctx, &few);
    assert_int_equal(vkft_commands_kernel(cmds, 0), VKFT_KERNEL_matmul_nt_nf4);
    /* Groups have choices of their own, for as many rows as a group has on average. */
    const vkft_grouping groups = {.groups = 3, .rows = 90, .max_rows = 90, .table = 256};
    vkft_product grouped = product;
    grouped.groups = &groups;
    grouped.weights = 256;
    grouped.M = 90;
    assert_int_equal(vkft_product_size_of(&grouped), VKFT_PRODUCT_NARROW);
    gemm->choices[VKFT_STORAGE_nf4][1][1][VKFT_PRODUCT_NARROW] = (vkft_choice){&vkft_gemm_tile, 1, true, 1};
    vkft_commands_reset(cmds);
    vkft_multiply(&ctx, &grouped);
    assert_int_equal(vkft_commands_kernel(cmds, 0), vkft_kernel_variant(VKFT_KERNEL_grouped_tile_nt_nf4, 0));
    grouped.M = 24;
    assert_int_equal(vkft_product_size_of(&grouped), VKFT_PRODUCT_FEW);
    vkft_commands_free(cmds);
    vkft_device_close(dev);
    vkft_test_environment("VKFT_STRATEGY", NULL);
}

/* An invocation's loops end somewhere on a software device: longer sums are left to other strategies. */
static void test_long_sums(void **state)
{
    (void)state;
    vkft_caps caps = {
        .software = true, .subgroup_size = 8, .shared_memory_bytes = 32768, .workgroup_invocations = 1024};
    vkft_gemm gemm = {.caps = &caps, .tiles = vkft_tiles_of(&caps)};
    vkft_weight w = {.storage = VKFT_STORAGE_f32, .rows = 64, .cols = 400000, .part = {256}};
    const vkft_product product = {.w = &w, .transposed = true, .M = 40, .X = 256, .Y = 256, .scale = 1};
    assert_true(vkft_gemm_tile.suits(&gemm, NULL, &product));
    caps.loop_limit = 65535;
    assert_true(vkft_gemm_tile.suits(&gemm, NULL, &product)); /* 50,000 steps */
    w.cols = 400001;
    assert_false(vkft_gemm_tile.suits(&gemm, NULL, &product)); /* many more, element by element */
    w.cols = 800000;
    assert_false(vkft_gemm_tile.suits(&gemm, NULL, &product));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choices), cmocka_unit_test(test_groups), cmocka_unit_test(test_no_time),
        cmocka_unit_test(test_kept),    cmocka_unit_test(test_obeyed), cmocka_unit_test(test_long_sums),
    };
    return cmocka_run_group_tests_name("tune", tests, NULL, NULL);
}
