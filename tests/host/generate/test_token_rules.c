/* What the rules leave of logits is, bit for bit, what transformers' logits processors leave. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/generate/settings.h"
#include "tests/support/expect.h"
#include "tests/support/generate/cases.h"

#define VOCAB VKFT_TEST_VOCAB

/* The rules of a generation_config.json, for a text that begins with so many tokens. */
static vkft_generation_settings settings_of(const vkft_generation_config *model, uint32_t prompt)
{
    vkft_err err = {0};
    static const vkft_config config = {.eos_count = 2, .eos_token_ids = {2, 7}};
    vkft_generate_options options = vkft_generate_defaults();
    vkft_generation_settings settings;
    const vkft_generation_source source = {
        .options = &options, .model = model, .config = &config, .tokenizer_eos = -1, .tokens = prompt};
    options.max_new_tokens_given = true;
    expect_ok(vkft_generation_settings_choose(&source, &(vkft_observer){0}, &settings, &err));
    return settings;
}

static void test_processors(void **state)
{
    (void)state;
    cJSON *cases = vkft_test_read_json(VKFT_TEST_DATA "/generation_cases.json");
    const cJSON *item;
    int count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(cases, "rules"))
    {
        float logits[VOCAB], want[VOCAB];
        int32_t ids[64];
        vkft_candidate scratch[VOCAB];
        vkft_generation_config config = vkft_test_generation_config(item);
        vkft_generation_settings s =
            settings_of(&config, (uint32_t)cJSON_GetNumberValue(cJSON_GetObjectItem(item, "prompt")));
        s.rules.eos = (vkft_token_list){s.eos, s.eos_count};
        uint32_t length = vkft_test_ids(item, "ids", ids, 64);
        assert_int_equal(vkft_test_floats(item, "logits", logits, VOCAB), VOCAB);
        assert_int_equal(vkft_test_floats(item, "after", want, VOCAB), VOCAB);
        assert_true(vkft_token_rules_apply(&s.rules, ids, length, logits, VOCAB, scratch));
        for (uint32_t i = 0; i < VOCAB; i++)
            if (memcmp(&logits[i], &want[i], sizeof want[i]) != 0)
                fail_msg("case %d: logit %u is %.9g, expected %.9g", count, i, (double)logits[i], (double)want[i]);
        vkft_generation_config_free(&config);
        count++;
    }
    assert_int_equal(count, 44);
    cJSON_Delete(cases);
}

static void test_every_token_forbidden(void **state)
{
    (void)state;
    const int32_t ids[] = {0, 1, 2};
    float logits[3] = {1, 2, 3};
    vkft_candidate scratch[3];
    const vkft_token_rules rules = {.repetition_penalty = 1, .no_repeat_ngram_size = 1};
    assert_false(vkft_token_rules_apply(&rules, ids, 3, logits, 3, scratch));
    logits[1] = 2;
    assert_true(vkft_token_rules_apply(&rules, (const int32_t[]){0, 2}, 2, logits, 3, scratch));
}

/* Numbers that are no tokens, an n-gram longer than anything, and words longer than the text. */
static void test_beyond_bounds(void **state)
{
    (void)state;
    const int32_t ids[] = {1};
    int32_t none[] = {-1, 3, INT32_MAX}, words[] = {5, 1, 2, -1, 9, -1};
    float logits[3] = {-1, -2, -3};
    vkft_candidate scratch[3];
    const vkft_token_rules rules = {.repetition_penalty = 1,
                                    .no_repeat_ngram_size = UINT32_MAX,
                                    .suppress = {none, 3},
                                    .begin_suppress = {none, 3},
                                    .begin = 1,
                                    .bad_words = {words, 6}};
    assert_true(vkft_token_rules_apply(&rules, ids, 1, logits, 3, scratch));
    assert_true(logits[0] == -1 && logits[1] == -2 && logits[2] == -3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processors),
        cmocka_unit_test(test_every_token_forbidden),
        cmocka_unit_test(test_beyond_bounds),
    };
    return cmocka_run_group_tests_name("token_rules", tests, NULL, NULL);
}
