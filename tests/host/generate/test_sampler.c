/* Tokens drawn from logits: their frequencies, and what temperature 0, top-k and top-p leave. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/generate/sampler.h"

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
        cmocka_unit_test(test_sampler_distribution),
        cmocka_unit_test(test_sampler_filters),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
