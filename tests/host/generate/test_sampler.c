/* Tokens drawn from logits: their frequencies, and what temperature 0, top-k, top-p and min-p leave, which is what
 * transformers' logits processors leave. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/generate/sampler.h"
#include "tests/support/generate/cases.h"

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

static float or_off(double said, float off)
{
    return isnan(said) ? off : (float)said;
}

static void test_sampler_processors(void **state)
{
    (void)state;
    cJSON *cases = vkft_test_read_json(VKFT_TEST_DATA "/generation_cases.json");
    const cJSON *item;
    int count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(cases, "filters"))
    {
        float logits[VKFT_TEST_VOCAB];
        int32_t want[VKFT_TEST_VOCAB];
        vkft_candidate candidates[VKFT_TEST_VOCAB];
        vkft_generation_config c = vkft_test_generation_config(item);
        const vkft_sampler sampler = {.temperature = or_off(c.temperature, 1),
                                      .top_p = or_off(c.top_p, 1),
                                      .top_k = (uint32_t)or_off(c.top_k, 50), /* the default there */
                                      .min_p = or_off(c.min_p, 0)};
        uint32_t kept = vkft_test_ids(item, "kept", want, VKFT_TEST_VOCAB);
        assert_int_equal(vkft_test_floats(item, "logits", logits, VKFT_TEST_VOCAB), VKFT_TEST_VOCAB);
        assert_int_equal(vkft_sampler_filter(&sampler, logits, VKFT_TEST_VOCAB, candidates), kept);
        for (uint32_t i = 0; i < kept; i++)
            assert_int_equal(candidates[i].id, want[i]);
        vkft_generation_config_free(&c);
        count++;
    }
    assert_int_equal(count, 36);
    cJSON_Delete(cases);
}

/* A forbidden token is not drawn, whatever the filters say. */
static void test_sampler_forbidden(void **state)
{
    (void)state;
    const float logits[4] = {-INFINITY, 0, -INFINITY, 0};
    vkft_candidate scratch[4];
    const vkft_sampler sampler = {.temperature = 2, .top_p = 1, .top_k = 3, .seed = 3};
    assert_int_equal(vkft_sampler_filter(&sampler, logits, 4, scratch), 2);
    for (uint32_t i = 0; i < 200; i++)
        assert_int_equal(vkft_sample_token(&sampler, logits, 4, i, scratch) % 2, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sampler_distribution),
        cmocka_unit_test(test_sampler_filters),
        cmocka_unit_test(test_sampler_processors),
        cmocka_unit_test(test_sampler_forbidden),
    };
    return cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
}
