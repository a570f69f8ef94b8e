/* How much of each shape is measured in the time that there is. The test says how fast the device is, and stands in for
 * the measurements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/bench/bench.h"
#include "host/bench/kernels/products.h"
#include "host/bench/shapes/steps.h"
#include "tests/support/expect.h"

static struct {
    double gflops;
    vkft_err failure; /* of the shape of this number */
    uint32_t fails_at, count;
    const char *names[32];
    vkft_bench_steps_plan plans[32];
    char said[4000];
} run;

bool __wrap_vkft_bench_probe(vkft_device *dev, vkft_storage storage, double *gflops, vkft_err *err);
bool __wrap_vkft_bench_probe(vkft_device *dev, vkft_storage storage, double *gflops, vkft_err *err)
{
    (void)dev, (void)storage, (void)err;
    *gflops = run.gflops;
    return true;
}

bool __wrap_vkft_bench_steps(const vkft_bench_options *options, const vkft_bench_shape *shape,
                             const vkft_bench_steps_plan *plan, const vkft_bench_observer *observer, double *train_ms,
                             vkft_err *err);
bool __wrap_vkft_bench_steps(const vkft_bench_options *options, const vkft_bench_shape *shape,
                             const vkft_bench_steps_plan *plan, const vkft_bench_observer *observer, double *train_ms,
                             vkft_err *err)
{
    (void)options;
    *train_ms = 0;
    if (run.failure.message[0] && run.count == run.fails_at) {
        *err = run.failure;
        return false;
    }
    run.names[run.count] = shape->name;
    run.plans[run.count++] = *plan;
    observer->general.message(observer->general.context, "(measured)");
    return true;
}

static void on_begin(void *context, const vkft_device_info *info, double cpu_peak)
{
    (void)context, (void)info, (void)cpu_peak;
}

static void on_message(void *context, const char *line)
{
    (void)context;
    strncat(run.said, line, sizeof run.said - strlen(run.said) - 1);
}

static bool bench(double gflops, const char *shapes, double limit, vkft_err *err)
{
    const vkft_err failure = run.failure;
    const uint32_t fails_at = run.fails_at;
    memset(&run, 0, sizeof run);
    run.failure = failure, run.fails_at = fails_at;
    run.gflops = gflops;
    vkft_bench_options o = vkft_bench_defaults();
    o.device = getenv("VKFT_DEVICE");
    o.steps = true;
    o.shapes = shapes;
    o.time_limit = limit;
    o.context = 512;
    o.new_tokens = 64;
    o.repetitions = 5;
    const vkft_bench_observer observer = {.general = {.message = on_message}, .begin = on_begin};
    return vkft_bench_run(&o, &observer, err);
}

/* Seconds that a step of 512 tokens of llama-110m takes, as a speed. */
static double speed_at(double seconds)
{
    const vkft_bench_shape *shape = vkft_bench_shape_find("llama-110m");
    return 6e-9 * (double)vkft_bench_shape_multiplied(shape) * 512 / seconds;
}

static void test_fast_device(void **state)
{
    (void)state;
    vkft_err err = {0};
    expect_ok(bench(1e5, NULL, 180, &err));
    assert_int_equal(run.count, 7);
    for (uint32_t i = 0; i < 7; i++) {
        assert_int_equal(run.plans[i].context, 512);
        assert_int_equal(run.plans[i].measure.repetitions, 5);
    }
    assert_non_null(strstr(run.said, "(measured)"));
}

/* With less time: fewer repetitions, then fewer tokens, then nothing. */
static void test_slow_devices(void **state)
{
    (void)state;
    vkft_err err = {0};
    expect_ok(bench(speed_at(4.5), NULL, 160, &err)); /* 16 steps fill less than the half */
    assert_string_equal(run.names[0], "llama-110m");
    assert_int_equal(run.plans[0].measure.repetitions, 5);
    expect_ok(bench(speed_at(6), NULL, 160, &err)); /* 8 steps less than a third */
    assert_int_equal(run.plans[0].context, 512);
    assert_int_equal(run.plans[0].measure.repetitions, 2);
    expect_ok(bench(speed_at(40), NULL, 160, &err));
    assert_int_equal(run.plans[0].context, 64);
    assert_int_equal(run.plans[0].new_tokens, 16);
    assert_non_null(
        strstr(run.said, "llama-110m: 64 tokens instead of 512, because a step of 512 would take about 40 s"));
    expect_ok(bench(speed_at(90), NULL, 160, &err));
    assert_int_equal(run.count, 0);
    assert_non_null(strstr(run.said, "left out: llama-110m (it would take too long; name it with --shapes"));
}

static void test_named_shapes(void **state)
{
    (void)state;
    vkft_err err = {0};
    char many[32 * 6] = "tiny";
    expect_ok(bench(speed_at(1e4), "llama-8b", 1, &err)); /* in full, whatever the time */
    assert_string_equal(run.names[0], "llama-8b");
    assert_int_equal(run.plans[0].context, 512);
    for (int i = 0; i < 32; i++)
        strcat(many, ",tiny");
    expect_failure(bench(1e5, many, 1, &err), "--shapes: more than 32 names");
}

/* A shape that does not fit memory is left out, unless it is named. */
static void test_no_memory(void **state)
{
    (void)state;
    vkft_err err = {0};
    run.failure = (vkft_err){.kind = VKFT_ERR_MEMORY, .message = "no room"};
    run.fails_at = 6;
    expect_ok(bench(1e5, NULL, 180, &err));
    assert_int_equal(run.count, 6);
    assert_non_null(strstr(run.said, "left out: llama-8b (no room)"));
    run.fails_at = 0;
    expect_failure(bench(1e5, "llama-8b", 180, &err), "llama-8b: no room");
    run.failure.kind = VKFT_ERR_DEVICE;
    expect_failure(bench(1e5, NULL, 180, &err), "llama-110m: no room");
    run.failure = (vkft_err){0};
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fast_device), cmocka_unit_test(test_slow_devices),
                                       cmocka_unit_test(test_named_shapes), cmocka_unit_test(test_no_memory)};
    return cmocka_run_group_tests_name("bench_plan", tests, NULL, NULL);
}
