/* Scores of answers beside those of other programs: tests/golden/make_score_golden.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <cmocka.h>

#include "formats/score/score.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static cJSON *golden;

static int read_golden(void **state)
{
    (void)state;
    golden = vkft_test_read_json(VKFT_TEST_DATA "/scores/golden.json");
    return golden ? 0 : 1;
}

static int free_golden(void **state)
{
    (void)state;
    cJSON_Delete(golden);
    return 0;
}

static const char *text_of(const cJSON *row, const char *key)
{
    return cJSON_GetObjectItem(row, key)->valuestring;
}

/* torchmetrics computes in f32. */
static void test_squad(void **state)
{
    const cJSON *row;
    (void)state;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(golden, "rows"))
    {
        vkft_squad_score score;
        const char *answer = text_of(row, "answer"), *reference = text_of(row, "reference");
        const cJSON *want = cJSON_GetObjectItem(row, "squad");
        assert_true(vkft_squad_compare(answer, reference, &score, NULL));
        double exact = want->child->valuedouble, f1 = want->child->next->valuedouble;
        if (100.0 * score.exact != exact || fabs(100 * score.f1 - f1) > 1e-4)
            fail_msg("'%s' for '%s': expected %g, %g; found %d, %g", answer, reference, exact, f1, score.exact,
                     100 * score.f1);
    }
}

static void test_chrf(void **state)
{
    const cJSON *row;
    vkft_chrf corpus = {0};
    (void)state;
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(golden, "rows"))
    {
        vkft_chrf one = {0};
        const char *answer = text_of(row, "answer"), *reference = text_of(row, "reference");
        double want = cJSON_GetObjectItem(row, "chrf")->valuedouble;
        assert_true(vkft_chrf_add(&one, answer, reference, NULL) && vkft_chrf_add(&corpus, answer, reference, NULL));
        if (fabs(vkft_chrf_value(&one) - want) > 1e-9)
            fail_msg("'%s' for '%s': expected %.12g, found %.12g", answer, reference, want, vkft_chrf_value(&one));
    }
    double all = cJSON_GetObjectItem(golden, "corpus_chrf")->valuedouble;
    if (fabs(vkft_chrf_value(&corpus) - all) > 1e-9)
        fail_msg("corpus: expected %.12g, found %.12g", all, vkft_chrf_value(&corpus));
}

/* Without words there are none in common. */
static void test_articles_alone(void **state)
{
    vkft_squad_score score;
    (void)state;
    assert_true(vkft_squad_compare("The", "a", &score, NULL) && score.exact && score.f1 == 0);
}

/* Bytes that are no text are no reason to stop. */
static void test_invalid(void **state)
{
    vkft_squad_score score;
    vkft_chrf chrf = {0};
    (void)state;
    assert_true(vkft_squad_compare("a\xff"
                                   "b",
                                   "a\xff"
                                   "b",
                                   &score, NULL) &&
                score.exact);
    assert_true(vkft_chrf_add(&chrf, "\xff\xfe", "\xff\xfe", NULL) && vkft_chrf_value(&chrf) == 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_squad),
        cmocka_unit_test(test_chrf),
        cmocka_unit_test(test_articles_alone),
        cmocka_unit_test(test_invalid),
    };
    return cmocka_run_group_tests_name("score", tests, read_golden, free_golden);
}
