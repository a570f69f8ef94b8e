/* Learning rates against those of transformers, over whole runs: see tests/golden/make_schedule_golden.py.
 *
 * Tolerance: a rate is a handful of double operations, in another order than there, and a cosine. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/train/schedule.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

#define TOLERANCE 1e-14

static const char *const names[VKFT_SCHEDULES] = {
#define SCHEDULE(name) #name,
#include "host/train/schedules.def"
#undef SCHEDULE
};

static vkft_scheduler type_of(const char *name)
{
    for (uint32_t i = 0; i < VKFT_SCHEDULES; i++)
        if (strcmp(names[i], name) == 0)
            return (vkft_scheduler)i;
    fail_msg("no schedule %s", name);
    return VKFT_SCHEDULES;
}

static void check_run(const cJSON *run, double rate, bool *seen)
{
    vkft_err err;
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(run, "type")),
               *kwargs = cJSON_GetStringValue(cJSON_GetObjectItem(run, "kwargs"));
    const cJSON *rates = cJSON_GetObjectItem(run, "rates"), *want;
    vkft_schedule schedule = {.type = type_of(name),
                              .rate = rate,
                              .warmup = (uint64_t)cJSON_GetObjectItem(run, "warmup")->valuedouble,
                              .total = (uint64_t)cJSON_GetArraySize(rates)};
    uint64_t step = 0;
    seen[schedule.type] = true;
    expect_ok(vkft_schedule_parse_args(&schedule, kwargs, &err));
    assert_true(schedule.total > 0);
    cJSON_ArrayForEach(want, rates)
    {
        double got = vkft_learning_rate(&schedule, step);
        if (!(fabs(got - want->valuedouble) <= TOLERANCE * rate))
            fail_msg("%s %s, step %llu of %llu: found %.17g, expected %.17g", name, kwargs, (unsigned long long)step,
                     (unsigned long long)schedule.total, got, want->valuedouble);
        step++;
    }
}

static void test_equals_transformers(void **state)
{
    (void)state;
    cJSON *golden = vkft_test_read_json(VKFT_TEST_DATA "/schedules/golden.json");
    double rate = cJSON_GetObjectItem(golden, "rate")->valuedouble;
    bool seen[VKFT_SCHEDULES] = {0};
    const cJSON *run;
    cJSON_ArrayForEach(run, cJSON_GetObjectItem(golden, "cases")) check_run(run, rate, seen);
    for (uint32_t i = 0; i < VKFT_SCHEDULES; i++)
        assert_true(seen[i]);
    cJSON_Delete(golden);
}

static void test_arguments(void **state)
{
    (void)state;
    static const struct {
        vkft_scheduler type;
        const char *kwargs, *message;
    } wrong[] = {
        {VKFT_SCHEDULE_linear, "num_cycles=2",
         "--lr-scheduler-kwargs: linear has no argument 'num_cycles'; it has: none"},
        {VKFT_SCHEDULE_cosine, "cycles=2", "cosine has no argument 'cycles'; it has: num_cycles"},
        {VKFT_SCHEDULE_cosine_with_restarts, "num_cycles=", "expected num_cycles=X with X at least 0 and below"},
        {VKFT_SCHEDULE_cosine_with_restarts, "num_cycles=two", "found 'num_cycles=two'"},
        {VKFT_SCHEDULE_cosine_with_min_lr, NULL, "either min_lr=X, or min_lr_rate=X as a ratio of --learning-rate"},
        {VKFT_SCHEDULE_cosine_with_min_lr, "min_lr=1e-5,min_lr_rate=0.1", "either min_lr=X"},
        {VKFT_SCHEDULE_cosine_warmup_with_min_lr, "min_lr=nan", "found 'min_lr=nan'"},
        {VKFT_SCHEDULE_polynomial, "lr_end=0.01",
         "lr_end is 0.01, and --learning-rate 0.001; expected a rate that falls"},
        {VKFT_SCHEDULE_inverse_sqrt, "timescale=0", "expected timescale=X with X at least 1"},
        {VKFT_SCHEDULE_warmup_stable_decay, NULL, "warmup_stable_decay needs num_decay_steps=N"},
        {VKFT_SCHEDULE_warmup_stable_decay, "num_decay_steps=3,decay_type=sqrt",
         "expected decay_type=X with X one of linear, cosine, 1-sqrt"},
        {VKFT_SCHEDULE_warmup_stable_decay, "num_decay_steps=3,decay_type=1", "found 'decay_type=1'"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        vkft_err err;
        vkft_schedule schedule = {.type = wrong[i].type, .rate = 1e-3};
        expect_failure(vkft_schedule_parse_args(&schedule, wrong[i].kwargs, &err), wrong[i].message);
    }
}

static void test_warmup_steps(void **state)
{
    (void)state;
    assert_int_equal(vkft_warmup_steps(0.03, 100), 3);
    assert_int_equal(vkft_warmup_steps(0.03, 101), 4);
    assert_int_equal(vkft_warmup_steps(7, 100), 7);
    assert_int_equal(vkft_warmup_steps(0, 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_transformers),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_warmup_steps),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
