/* The runtime below the kernels: submissions, transfers, memory accounts, device choice, the pipeline cache. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shaders/core/args.h"
#include "shaders/elementwise/args.h"
#include "shaders/optimizer/args.h"
#include "runtime/base/directory.h"
#include "tests/support/expect.h"
#include "runtime/base/file.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"
#include "runtime/base/random.h"

/* More workgroups than a device need count along x: an element each, at the borders of the rows and past the last. */
static void test_wide_launch(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    uint32_t width = vkft_kernel_width(f->dev, VKFT_KERNEL_fill), n = (2 * WORKGROUPS_PER_ROW + 5) * width + 1;
    float *got = malloc((n + 3) * sizeof *got);
    vkft_guarded b = vkft_guarded_floats(f, NULL, n);
    struct fill_args fill = {.y = b.address, .n = n, .value = 3};
    struct add_args add = {.a = b.address, .b = b.address, .y = b.address, .n = n};
    vkft_commands_reset(f->cmds);
    vkft_launch(f->cmds, VKFT_KERNEL_fill, &fill, sizeof fill, n, 1, n);
    vkft_launch(f->cmds, VKFT_KERNEL_add, &add, sizeof add, n, 1, n);
    expect_ok(vkft_commands_run(f->cmds, &err));
    vkft_guarded_read(f, &b, got);
    for (uint32_t i = 0; i < n; i++)
        if (got[i] != 6)
            fail_msg("element %u of %u is %g, expected 6", i, n, (double)got[i]);
    vkft_commands_reset(f->cmds);
    vkft_guarded_free(f, &b);
    free(got);
}

/* A launch that is expected to take minutes is cut into many submissions, and gives what a single one gives. */
static void test_long_launch(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    enum { n = 100003 };
    float *x = malloc(n * sizeof *x), *got = malloc(n * sizeof *got);
    vkft_random_floats(1, x, n);
    vkft_guarded bx = vkft_guarded_floats(f, x, n), by = vkft_guarded_floats(f, NULL, n);
    struct add_args twice = {.a = bx.address, .b = bx.address, .y = by.address, .n = n};
    struct add_args again = {.a = by.address, .b = by.address, .y = by.address, .n = n};
    for (int run = 0; run < 3; run++) { /* the rates that were measured cut the second run again */
        vkft_commands_reset(f->cmds);
        vkft_launch(f->cmds, VKFT_KERNEL_add, &twice, sizeof twice, n, 1, 1e11);
        vkft_launch(f->cmds, VKFT_KERNEL_add, &again, sizeof again, n, 1, 1e11);
        expect_ok(vkft_commands_run(f->cmds, &err));
        if (run == 0)
            assert_true(vkft_commands_stats(f->cmds).submissions > 1);
        vkft_guarded_read(f, &by, got);
        for (uint32_t i = 0; i < n; i++)
            assert_true(got[i] == 4 * x[i]);
    }
    vkft_guarded_free(f, &bx);
    vkft_guarded_free(f, &by);
    free(x), free(got);
}

/* The error of a recording stays until the reset, and nothing of the recording runs. */
static void test_recording_error(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    float zero[4] = {0}, got[4];
    vkft_guarded b = vkft_guarded_floats(f, zero, 4);
    struct fill_args fill = {.y = b.address, .n = 4, .value = 1};
    vkft_commands_reset(f->cmds);
    vkft_launch(f->cmds, VKFT_KERNEL_fill, &fill, sizeof fill, UINT64_MAX / 2, 1, 1);
    vkft_launch(f->cmds, VKFT_KERNEL_fill, &fill, sizeof fill, 4, 1, 1);
    expect_failure(vkft_commands_run(f->cmds, &err), "workgroups");
    expect_failure(vkft_commands_run(f->cmds, &err), "fill");
    vkft_guarded_read(f, &b, got);
    assert_memory_equal(got, zero, sizeof zero);
    vkft_commands_reset(f->cmds);
    vkft_launch(f->cmds, VKFT_KERNEL_fill, &fill, sizeof fill, 4, 1, 1);
    expect_ok(vkft_commands_run(f->cmds, &err));
    vkft_guarded_read(f, &b, got);
    assert_true(got[0] == 1 && got[3] == 1);
    vkft_commands_reset(f->cmds);
    vkft_guarded_free(f, &b);
}

/* A kernel that is launched by what its shape does not count is an error, not a launch of another size. */
static void test_launch_by_shape(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    assert_int_equal(vkft_kernel_get_shape(VKFT_KERNEL_fill), VKFT_SHAPE_ELEMENT);
    assert_int_equal(vkft_kernel_get_shape(VKFT_KERNEL_clip), VKFT_SHAPE_ROW);
    assert_int_equal(vkft_kernel_width(f->dev, VKFT_KERNEL_clip), vkft_device_get_caps(f->dev)->subgroup_size);
    assert_true(vkft_kernel_width(f->dev, VKFT_KERNEL_fill) <= vkft_device_get_caps(f->dev)->workgroup_invocations);
    struct fill_args fill = {.n = 4};
    struct clip_args clip = {.n = 1};
    vkft_commands_reset(f->cmds);
    vkft_launch_workgroups(f->cmds, VKFT_KERNEL_fill, &fill, sizeof fill, 4, 1, 1);
    expect_failure(vkft_commands_run(f->cmds, &err), "a launch of fill counts workgroups");
    vkft_commands_reset(f->cmds);
    vkft_launch(f->cmds, VKFT_KERNEL_clip, &clip, sizeof clip, 4, 1, 1);
    expect_failure(vkft_commands_run(f->cmds, &err), "a launch of clip counts invocations");
    vkft_commands_reset(f->cmds);
}

/* Variants of a kernel are pipelines with constants of their own; what asks a kernel about itself takes either. */
static void test_variants(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    const vkft_kernel second = vkft_kernel_variant(VKFT_KERNEL_matmul_tn, 1);
    const uint32_t width = vkft_device_get_caps(f->dev)->subgroup_size, constants[] = {4, 2, 1, 0};
    assert_int_equal(vkft_kernel_row(second), VKFT_KERNEL_matmul_tn);
    assert_string_equal(vkft_kernel_name(second), "matmul_tn");
    assert_int_equal(vkft_kernel_get_shape(second), VKFT_SHAPE_TILE);
    vkft_kernel_specialize(f->dev, VKFT_KERNEL_matmul_tn, width, 0, constants, 4);
    vkft_kernel_specialize(f->dev, second, 2 * width, 0, constants, 4);
    assert_int_equal(vkft_kernel_width(f->dev, VKFT_KERNEL_matmul_tn), width);
    assert_int_equal(vkft_kernel_width(f->dev, second), 2 * width);
    expect_ok(vkft_kernel_prepare(f->dev, VKFT_KERNEL_matmul_tn, &err));
    expect_ok(vkft_kernel_prepare(f->dev, second, &err));
    if (vkft_caps_subgroup_size(vkft_device_get_caps(f->dev), 2 * width, width)) {
        vkft_kernel_specialize(f->dev, second, 2 * width, width, constants, 4);
        expect_ok(vkft_kernel_prepare(f->dev, second, &err));
    }
}

/* A buffer whose memory the host cannot see goes through the staging buffer; more bytes than it holds, at odd places.
 */
static void test_staging(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    const uint64_t size = (130ull << 20) + 12, from = 4, count = size - 8;
    uint8_t *data = malloc(size), *got = malloc(size);
    for (uint64_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    vkft_buffer b;
    expect_ok(vkft_buffer_new(f->dev, size, VKFT_MEMORY_DEVICE, "test", &b, &err));
    b.mapped = NULL; /* as on a card whose memory is not host-visible */
    expect_ok(vkft_buffer_fill(f->dev, &b, 0, size, 0x01020304, &err));
    expect_ok(vkft_buffer_write(f->dev, &b, from, data, count, &err));
    expect_ok(vkft_buffer_read(f->dev, &b, 0, got, size, &err));
    static const uint8_t pattern[4] = {4, 3, 2, 1};
    assert_memory_equal(got, pattern, 4);
    assert_memory_equal(got + from, data, count);
    assert_memory_equal(got + size - 4, pattern, 4);
    assert_true(vkft_memory_get_stats(f->dev).staging_bytes > 0);
    expect_failure(vkft_buffer_write(f->dev, &b, 8, data, size, &err), "beyond its buffer");
    expect_failure(vkft_buffer_read(f->dev, &b, size + 1, got, 0, &err), "beyond its buffer");
    expect_failure(vkft_buffer_fill(f->dev, &b, UINT64_MAX - 3, 8, 0, &err), "beyond its buffer");
    vkft_buffer_free(f->dev, &b);
    free(data), free(got);
}

static void test_memory_accounts(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_memory_stats before = vkft_memory_get_stats(f->dev);
    vkft_buffer a, b;
    expect_ok(vkft_buffer_new(f->dev, 1000, VKFT_MEMORY_DEVICE, "a", &a, &err));
    expect_ok(vkft_buffer_new(f->dev, 77, VKFT_MEMORY_HOST, "b", &b, &err));
    assert_int_equal(a.address % 256, 0);
    assert_non_null(b.mapped);
    vkft_memory_stats held = vkft_memory_get_stats(f->dev);
    assert_int_equal(held.device_bytes, before.device_bytes + 1000);
    assert_int_equal(held.host_bytes, before.host_bytes + 77);
    assert_int_equal(held.allocations, before.allocations + 2);
    vkft_buffer_free(f->dev, &a);
    vkft_buffer_free(f->dev, &a);
    vkft_buffer_free(f->dev, &b);
    vkft_memory_stats after = vkft_memory_get_stats(f->dev);
    assert_int_equal(after.device_bytes, before.device_bytes);
    assert_int_equal(after.host_bytes, before.host_bytes);
    assert_true(after.device_peak_bytes >= before.device_bytes + 1000);
    expect_failure(vkft_buffer_new(f->dev, UINT64_MAX / 2, VKFT_MEMORY_DEVICE, "activations", &a, &err),
                   "activations: cannot allocate");
    assert_int_equal(err.kind, VKFT_ERR_MEMORY);
    expect_failure(vkft_buffer_new(f->dev, 0, VKFT_MEMORY_DEVICE, "nothing", &a, &err), "nothing");
    assert_int_equal(vkft_memory_get_stats(f->dev).device_bytes, before.device_bytes);
}

static void test_device_choice(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    const vkft_device_info *info = vkft_device_get_info(f->dev);
    char index[16], uuid[33];
    snprintf(index, sizeof index, "%u", info->index);
    for (int i = 0; i < 16; i++)
        snprintf(uuid + 2 * i, 3, "%02x", info->uuid[i]);
    const char *const selectors[] = {index, uuid, info->name};
    for (size_t i = 0; i < 3; i++) {
        vkft_device *dev = vkft_device_open(selectors[i], &err);
        if (!dev)
            fail_msg("%s: %s", selectors[i], err.message);
        assert_memory_equal(vkft_device_get_info(dev)->uuid, info->uuid, 16);
        vkft_device_close(dev);
    }
    expect_failure(vkft_device_open("no such card", &err), "no such card");
    expect_failure(vkft_device_open("4096", &err), "4096");
}

/* Runs one kernel on a freshly opened device. */
static void use_device(void)
{
    vkft_err err;
    vkft_kernel_fixture f = {.dev = vkft_device_open(getenv("VKFT_DEVICE"), &err)};
    assert_non_null(f.dev);
    f.cmds = vkft_commands_new(f.dev, &err);
    assert_non_null(f.cmds);
    float got[5];
    vkft_guarded b = vkft_guarded_floats(&f, NULL, 5);
    struct fill_args fill = {.y = b.address, .n = 5, .value = 3};
    vkft_kernel_run(&f, VKFT_KERNEL_fill, &fill, sizeof fill, 5, 1);
    vkft_guarded_read(&f, &b, got);
    assert_true(got[4] == 3);
    vkft_guarded_free(&f, &b);
    vkft_commands_free(f.cmds);
    vkft_device_close(f.dev);
}

static bool find_cache(void *context, const char *name)
{
    if (strncmp(name, "pipelines-", 10) == 0)
        snprintf(context, 300, "%s", name);
    return true;
}

/* A pipeline cache that is damaged in any way is as good as none, and is replaced. */
static void test_damaged_pipeline_cache(void **state)
{
    (void)state;
    vkft_err err;
    char *dir = vkft_test_directory(), *before = getenv("VKFT_CACHE_DIR"), name[300] = "", path[900];
    before = before ? strdup(before) : NULL;
    vkft_test_environment("VKFT_CACHE_DIR", dir);
    use_device();
    expect_ok(vkft_directory_list(dir, find_cache, name, &err));
    assert_true(name[0] != '\0');
    snprintf(path, sizeof path, "%s/%s", dir, name);
    size_t size;
    char *good = vkft_test_read(path, &size), *bad = malloc(size + 1);
    memcpy(bad, good, size);
    bad[size / 2] ^= 1;
    const struct {
        const char *bytes;
        size_t size;
    } damages[] = {{bad, size}, {good, size / 2}, {good, 10}, {"", 0}, {good, size}};
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        expect_ok(vkft_file_write(path, damages[i].bytes, damages[i].size, &err));
        use_device();
        size_t now;
        char *kept = vkft_test_read(path, &now);
        const bool same = now == damages[i].size && memcmp(kept, damages[i].bytes, now) == 0;
        assert_true(
            now > 10 &&
            (!same || i + 1 == sizeof damages / sizeof *damages)); /* NVIDIA's driver makes another one of other size */
        free(kept);
    }
    if (before)
        vkft_test_environment("VKFT_CACHE_DIR", before);
    else
        vkft_test_environment("VKFT_CACHE_DIR", NULL);
    vkft_test_remove_directory(dir);
    free(before), free(good), free(bad);
}

/* What the compiler says of a kernel is there where it was asked for and the driver tells it, and else an error. */
static void test_statistics(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_kernel_statistics statistics;
    if (!vkft_caps_have(vkft_device_get_caps(f->dev), VKFT_CAP_STATISTICS)) {
        expect_failure(vkft_kernel_get_statistics(f->dev, VKFT_KERNEL_fill, &statistics, &err),
                       "says nothing of its kernels: VKFT_STATISTICS must be set");
        return;
    }
    expect_ok(vkft_kernel_get_statistics(f->dev, VKFT_KERNEL_fill, &statistics, &err));
    assert_true(statistics.count > 0 && statistics.list[0].name[0]);
    assert_int_equal(statistics.code != NULL, strcmp(getenv("VKFT_STATISTICS"), "code") == 0);
    free(statistics.code);
}

/* A cache of its own, because what test_long_launch says of a kernel is not true. */
static char *cache;

static int setup(void **state)
{
    cache = vkft_test_directory();
    vkft_test_environment("VKFT_CACHE_DIR", cache);
    return vkft_kernel_setup(state);
}

static int teardown(void **state)
{
    int result = vkft_kernel_teardown(state);
    vkft_test_remove_directory(cache);
    return result;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),    cmocka_unit_test(test_wide_launch),
        cmocka_unit_test(test_long_launch),   cmocka_unit_test(test_recording_error),
        cmocka_unit_test(test_staging),       cmocka_unit_test(test_memory_accounts),
        cmocka_unit_test(test_device_choice), cmocka_unit_test(test_launch_by_shape),
        cmocka_unit_test(test_variants),      cmocka_unit_test(test_damaged_pipeline_cache),
    };
    return cmocka_run_group_tests_name("runtime", tests, setup, teardown);
}
