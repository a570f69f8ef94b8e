/* How long work is repeated, and what is made of its times: with times that the test makes up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/bench/measure.h"
#include "tests/support/expect.h"

typedef struct script {
    const double *ms; /* of each run; the last one for all that follow */
    uint32_t count, runs, fail_at;
} script;

static bool run(void *context, double *wall_ms, double *cpu_ms, vkft_err *err)
{
    script *s = context;
    uint32_t i = s->runs++;
    if (s->fail_at && s->runs == s->fail_at)
        return vkft_fail(err, VKFT_ERR_DEVICE, "lost");
    *wall_ms = s->ms[i < s->count ? i : s->count - 1];
    *cpu_ms = 2 * *wall_ms;
    return true;
}

static vkft_bench_timing measure(script *s, const vkft_bench_plan *plan)
{
    vkft_err err;
    vkft_bench_timing t;
    const vkft_bench_work work = {s, run};
    expect_ok(vkft_bench_measure(plan, &work, &t, &err));
    assert_int_equal(s->runs, t.warm_up_runs + t.runs * t.repetitions);
    return t;
}

static void test_warm_up(void **state)
{
    (void)state;
    static const double settles[] = {500, 300, 200, 150, 102, 101, 100}, constant[] = {100},
                        drifts[] = {100, 110, 121, 133, 146, 160, 176, 200};
    const vkft_bench_plan plan = {.repetitions = 3, .window_ms = 50, .warm_up_ms = 5000};
    script s = {settles, 7, 0, 0};
    vkft_bench_timing t = measure(&s, &plan);
    assert_true(t.steady);
    assert_int_equal(t.warm_up_runs, 6); /* 102 and 101 are the first two that agree */
    assert_int_equal(t.runs, 1);
    assert_true(t.median_ms == 100 && t.cpu_ms == 200 && t.deviation_percent == 0);
    s = (script){constant, 1, 0, 0};
    assert_int_equal(measure(&s, &plan).warm_up_runs, 2);
    /* At its limit it ends, and says so. */
    s = (script){drifts, 8, 0, 0};
    const vkft_bench_plan brief = {.repetitions = 1, .window_ms = 50, .warm_up_ms = 400};
    t = measure(&s, &brief);
    assert_false(t.steady);
    assert_int_equal(t.warm_up_runs, 4);
}

/* Runs that are short are measured several at a time. */
static void test_windows(void **state)
{
    (void)state;
    static const double brief[] = {50, 1};
    const vkft_bench_plan plan = {.repetitions = 4, .window_ms = 20, .warm_up_ms = 5000};
    script s = {brief, 2, 0, 0};
    vkft_bench_timing t = measure(&s, &plan);
    assert_int_equal(t.runs, 20);
    assert_int_equal(t.repetitions, 4);
    assert_true(t.steady && t.median_ms > 0.999 && t.median_ms < 1.001);
}

static void test_limits(void **state)
{
    (void)state;
    static const double slow[] = {1000};
    vkft_bench_plan plan = {.repetitions = 100, .window_ms = 50, .warm_up_ms = 1, .limit_ms = 3500};
    script s = {slow, 1, 0, 0};
    vkft_bench_timing t = measure(&s, &plan);
    assert_int_equal(t.warm_up_runs, 1);
    assert_int_equal(t.repetitions, 4);
    plan.limit_ms = 1; /* a deviation needs two */
    s.runs = 0;
    assert_int_equal(measure(&s, &plan).repetitions, 2);
    plan.repetitions = 1;
    s.runs = 0;
    assert_int_equal(measure(&s, &plan).repetitions, 1);
    vkft_err err;
    const vkft_bench_work work = {&s, run};
    s.runs = 0;
    s.fail_at = 2;
    expect_failure(vkft_bench_measure(&plan, &work, &t, &err), "lost");
}

static void test_statistics(void **state)
{
    (void)state;
    double odd[] = {9, 1, 5}, even[] = {4, 1, 3, 2}, noisy[] = {100, 102, 98, 100, 1000};
    assert_true(vkft_bench_median(odd, 3) == 5);
    assert_true(vkft_bench_median(even, 4) == 2.5);
    double deviation =
        vkft_bench_deviation_percent(noisy, 5); /* distances 0, 2, 2, 0, 900: the outlier is one of them */
    assert_true(deviation > 2.965 && deviation < 2.966);
    double single[] = {7};
    assert_true(vkft_bench_deviation_percent(single, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_warm_up),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_statistics),
    };
    return cmocka_run_group_tests_name("measure", tests, NULL, NULL);
}
