/* Learning rates against values computed by hand from transformers' formulas. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/train/schedule.h"

static void near(double got, double want)
{
    if (fabs(got - want) > 1e-15)
        fail_msg("got %.17g, want %.17g", got, want);
}

static void test_schedules(void **state)
{
    (void)state;
    near(vkft_learning_rate(VKFT_SCHEDULE_LINEAR, 1.0, 0, 2, 10), 0.0);
    near(vkft_learning_rate(VKFT_SCHEDULE_LINEAR, 1.0, 1, 2, 10), 0.5);
    near(vkft_learning_rate(VKFT_SCHEDULE_LINEAR, 1.0, 2, 2, 10), 1.0);
    near(vkft_learning_rate(VKFT_SCHEDULE_LINEAR, 1.0, 6, 2, 10), 0.5);
    near(vkft_learning_rate(VKFT_SCHEDULE_LINEAR, 1.0, 9, 2, 10), 0.125);
    near(vkft_learning_rate(VKFT_SCHEDULE_COSINE, 2.0, 6, 2, 10), 1.0);
    near(vkft_learning_rate(VKFT_SCHEDULE_COSINE, 1.0, 4, 2, 10), 0.5 * (1 + cos(0.25 * 3.141592653589793)));
    near(vkft_learning_rate(VKFT_SCHEDULE_CONSTANT, 3.0, 0, 5, 10), 3.0);
    near(vkft_learning_rate(VKFT_SCHEDULE_CONSTANT_WITH_WARMUP, 3.0, 1, 3, 10), 1.0);
    near(vkft_learning_rate(VKFT_SCHEDULE_CONSTANT_WITH_WARMUP, 3.0, 7, 3, 10), 3.0);
    assert_int_equal(vkft_warmup_steps(0.03, 100), 3);
    assert_int_equal(vkft_warmup_steps(0.03, 101), 4);
    assert_int_equal(vkft_warmup_steps(7, 100), 7);
    assert_int_equal(vkft_warmup_steps(0, 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
