/* Patterns: literal strings by memchr, regular expressions by PCRE2. */
#include "formats/tokenizer/stages/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/utf8.h"

bool vkft_pattern_regex(vkft_pattern *pattern, const char *expression, const char *where, vkft_err *err)
{
    int code;
    PCRE2_SIZE offset;
    *pattern = (vkft_pattern){0};
    pattern->regex =
        pcre2_compile((PCRE2_SPTR)expression, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &offset, NULL);
    if (!pattern->regex) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: regular expression \"%.100s\": %s at offset %zu", where, expression,
                         (const char *)message, (size_t)offset);
    }
    pcre2_jit_compile(pattern->regex, PCRE2_JIT_COMPLETE); /* where it is not available the interpreter serves */
    return true;
}

bool vkft_pattern_new(vkft_pattern *pattern, const cJSON *json, const char *where, vkft_err *err)
{
    const char *literal = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "String"));
    const char *regex = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "Regex"));
    *pattern = (vkft_pattern){0};
    if (regex)
        return vkft_pattern_regex(pattern, regex, where, err);
    if (!literal)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: pattern has neither \"String\" nor \"Regex\"", where);
    pattern->literal = strdup(literal);
    return pattern->literal || vkft_fail_memory(err, "for the tokenizer");
}

void vkft_pattern_free(vkft_pattern *pattern)
{
    free(pattern->literal);
    pcre2_code_free(pattern->regex);
    *pattern = (vkft_pattern){0};
}

static bool find_literal(const char *literal, const char *text, size_t length, size_t start, size_t *begin, size_t *end)
{
    size_t n = strlen(literal);
    for (size_t i = start; n && i + n <= length; i++) {
        const char *at = memchr(text + i, literal[0], length - n - i + 1);
        if (!at)
            return false;
        i = (size_t)(at - text);
        if (memcmp(at, literal, n) == 0) {
            *begin = i;
            *end = i + n;
            return true;
        }
    }
    return false;
}

bool vkft_pattern_find(const vkft_pattern *pattern, const char *text, size_t length, size_t start, size_t *begin,
                       size_t *end)
{
    if (pattern->literal)
        return find_literal(pattern->literal, text, length, start, begin, end);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    bool found = false;
    while (data && start <= length && !found) {
        int count = pcre2_match(pattern->regex, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK, data, NULL);
        if (count < 0)
            break;
        const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
        *begin = at[0];
        *end = at[1];
        found = *end > *begin;
        size_t step = vkft_utf8_length(text + at[1], length - at[1]);
        start = at[1] + (step ? step : 1); /* only used after an empty match */
    }
    pcre2_match_data_free(data);
    return found;
}
