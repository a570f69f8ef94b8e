/* Learning rates against values computed by hand from transformers' formulas; sampling; permutations. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/base/random.h"
#include "host/generate/sampler.h"
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

static void test_permutation(void **state)
{
    (void)state;
    uint32_t order[100], again[100], other[100], seen[100] = {0};
    vkft_random_permutation(42, VKFT_STREAM_SHUFFLE, order, 100);
    vkft_random_permutation(42, VKFT_STREAM_SHUFFLE, again, 100);
    vkft_random_permutation(42, VKFT_STREAM_SHUFFLE + 1, other, 100);
    uint32_t same = 0;
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(order[i], again[i]);
        same += order[i] == other[i];
        seen[order[i]]++;
    }
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_true(same < 20);
}

/* Frequencies of 20000 draws lie within 5 standard deviations of the probabilities. */
static void test_sampler_distribution(void **state)
{
    (void)state;
    const float logits[4] = {0.0f, logf(2.0f), logf(4.0f), logf(1.0f)};
    const double p[4] = {0.125, 0.25, 0.5, 0.125};
    vkft_sampler sampler = {.temperature = 1, .top_p = 1, .seed = 7};
    vkft_candidate scratch[4];
    uint32_t counts[4] = {0};
    const uint32_t n = 20000;
    for (uint32_t i = 0; i < n; i++)
        counts[vkft_sample_token(&sampler, logits, 4, i, scratch)]++;
    for (uint32_t i = 0; i < 4; i++)
        assert_true(fabs(counts[i] - n * p[i]) < 5 * sqrt(n * p[i] * (1 - p[i])));
}

static void test_sampler_filters(void **state)
{
    (void)state;
    const float logits[5] = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f};
    vkft_candidate scratch[5];
    vkft_sampler greedy = {.temperature = 0};
    assert_int_equal(vkft_sample_token(&greedy, logits, 5, 0, scratch), 1);
    vkft_sampler top1 = {.temperature = 1, .top_p = 1, .top_k = 1, .seed = 1};
    vkft_sampler nucleus = {.temperature = 1, .top_p = 0.5f, .seed = 1}; /* ids 1 and 3 have 0.39 each */
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(vkft_sample_token(&top1, logits, 5, i, scratch), 1);
        uint32_t id = vkft_sample_token(&nucleus, logits, 5, i, scratch);
        assert_true(id == 1 || id == 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules),
        cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_sampler_distribution),
        cmocka_unit_test(test_sampler_filters),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
