/* Regular expressions and pre-tokenizers against the `tokenizers` package (make_expression_golden.py), and what is
 * refused because PCRE2 cannot say it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/tokenizer/stages/normalizer.h"
#include "formats/tokenizer/stages/pre_tokenizer.h"
#include "tests/support/open_tokenizer.h"
#include "tests/support/program.h"

/* {"type": ...} of a case. */
static cJSON *pre_tokenizer_json(const cJSON *test)
{
    cJSON *json = cJSON_CreateObject(), *pattern;
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(test, "type"));
    cJSON_AddStringToObject(json, "type", type ? type : "Split");
    if (type)
        return json;
    pattern = cJSON_AddObjectToObject(json, "pattern");
    cJSON_AddStringToObject(pattern, "Regex", cJSON_GetObjectItem(test, "expression")->valuestring);
    const char *behavior = cJSON_GetStringValue(cJSON_GetObjectItem(test, "behavior"));
    cJSON_AddStringToObject(json, "behavior", behavior ? behavior : "Removed");
    cJSON_AddBoolToObject(json, "invert", cJSON_IsTrue(cJSON_GetObjectItem(test, "invert")));
    return json;
}

static cJSON *pieces_of(const vkft_pre_tokenizer *pre, const cJSON *text)
{
    vkft_err err = {0};
    vkft_text copy = vkft_test_text(text);
    vkft_piece_list pieces = {0};
    cJSON *list = cJSON_CreateArray();
    if (!vkft_pre_tokenizer_apply(pre, &copy, true, &pieces, &err))
        fail_msg("%s", err.message);
    for (uint32_t i = 0; i < pieces.count; i++) {
        char piece[256];
        size_t n = pieces.spans[i].end - pieces.spans[i].begin;
        assert_true(n < sizeof piece);
        memcpy(piece, copy.data + pieces.spans[i].begin, n);
        piece[n] = 0;
        cJSON_AddItemToArray(list, cJSON_CreateString(piece));
    }
    vkft_pieces_free(&pieces);
    vkft_text_free(&copy);
    return list;
}

static void replaces(const cJSON *test)
{
    vkft_err err = {0};
    vkft_normalizers steps = {0};
    const char *expression = cJSON_GetObjectItem(test, "replace")->valuestring;
    cJSON *json = cJSON_CreateObject(), *pattern = cJSON_AddObjectToObject(json, "pattern");
    const cJSON *row;
    cJSON_AddStringToObject(json, "type", "Replace");
    cJSON_AddStringToObject(json, "content", "_");
    cJSON_AddStringToObject(pattern, "Regex", expression);
    assert_true(vkft_normalizers_new(&steps, json, "tokenizer.json", &err));
    cJSON_ArrayForEach(row, cJSON_GetObjectItem(test, "rows"))
    {
        vkft_text text = vkft_test_text(cJSON_GetArrayItem(row, 0)), want = vkft_test_text(cJSON_GetArrayItem(row, 1));
        assert_true(vkft_normalizers_apply(&steps, &text, &err));
        if (text.length != want.length || memcmp(text.data, want.data, text.length) != 0)
            fail_msg("%s: %s, found %s", expression, cJSON_PrintUnformatted(row), text.data);
        vkft_text_free(&text);
        vkft_text_free(&want);
    }
    vkft_normalizers_free(&steps);
    cJSON_Delete(json);
}

static void test_golden(void **state)
{
    (void)state;
    cJSON *cases = vkft_test_read_json(VKFT_TEST_DATA "/expression_cases.json"), *test, *row;
    uint32_t wrong = 0, rows = 0;
    cJSON_ArrayForEach(test, cases)
    {
        if (cJSON_HasObjectItem(test, "replace")) {
            replaces(test);
            continue;
        }
        vkft_err err = {0};
        vkft_pre_tokenizer pre = {0};
        cJSON *json = pre_tokenizer_json(test);
        char *what = cJSON_PrintUnformatted(json);
        if (!vkft_pre_tokenizer_new(&pre, json, "tokenizer.json", &err))
            fail_msg("%s: %s", what, err.message);
        cJSON_ArrayForEach(row, cJSON_GetObjectItem(test, "rows"))
        {
            cJSON *found = pieces_of(&pre, cJSON_GetArrayItem(row, 0));
            bool same = cJSON_Compare(found, cJSON_GetArrayItem(row, 1), true);
            char *a = cJSON_PrintUnformatted(found), *b = cJSON_PrintUnformatted(row);
            if (!same)
                print_error("%s: %s, found %s\n", what, b, a);
            wrong += !same;
            rows++;
            cJSON_free(a);
            cJSON_free(b);
            cJSON_Delete(found);
        }
        cJSON_free(what);
        cJSON_Delete(json);
        vkft_pre_tokenizer_free(&pre);
    }
    assert_true(rows > 2000);
    assert_int_equal(wrong, 0);
    cJSON_Delete(cases);
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const expressions[][2] = {
        {"[\\W]", "\\W or \\H between [ and ]"},
        {"[^\\W_]+", "\\W or \\H between [ and ]"},
        {"x[^\\H]", "\\W or \\H between [ and ]"},
        {"[a&&b]", "&& between [ and ]"},
        {"[a[^b]]", "[^ between [ and ]"},
        {"[[:^alpha:]]", "[:^alpha:]"},
        {"[[:print:]]", "[:print:]"},
        {"a(?i)b", "(?i)"},
        {"\\xE9", "\\xE9"},
        {"\\C", "\\C"},
        {"\\Qa\\E", "\\Q or \\E"},
        {"\\p{Klingon}", "unknown property"},
        {"(a", "missing"},
        {"[a", "missing"},
        {"a\\", "\\ at end"},
    };
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        vkft_err err = {0};
        vkft_pattern pattern;
        bool ok = vkft_pattern_regex(&pattern, expressions[i][0], "f: normalizer", &err);
        if (ok || !strstr(err.message, expressions[i][1]) || !strstr(err.message, expressions[i][0]) ||
            strncmp(err.message, "f: normalizer: regular expression", 33) != 0)
            fail_msg("%s: %s", expressions[i][0], ok ? "accepted" : err.message);
        vkft_pattern_free(&pattern);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
