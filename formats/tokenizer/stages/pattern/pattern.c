/* Patterns: literal strings by memchr, regular expressions by PCRE2. */
#include "formats/tokenizer/stages/pattern/pattern.h"

#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/stages/pattern/expression.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"
#include "runtime/base/utf8.h"

/* A match may use this much: of the compiled expression's stack, and of the interpreter's memory. */
#define SMALLEST_STACK (64u << 10)
#define LARGEST_STACK (16u << 20)
#define INTERPRETER_KIB (512u << 10)

bool vkft_pattern_regex(vkft_pattern *pattern, const char *expression, const char *where, vkft_err *err)
{
    int code;
    PCRE2_SIZE offset;
    vkft_text name = {0};
    *pattern = (vkft_pattern){0};
    if (!vkft_text_append(&name, where, strlen(where), err) ||
        !vkft_text_append(&name, ": regular expression \"", strlen(": regular expression \""), err) ||
        !vkft_text_append(&name, expression, strnlen(expression, 100), err) || !vkft_text_append(&name, "\"", 1, err)) {
        vkft_text_free(&name);
        return false;
    }
    pattern->name = name.data;
    vkft_text translated = {0};
    if (!vkft_expression_translate(expression, pattern->name, &translated, err)) {
        vkft_text_free(&translated);
        return false;
    }
    /* \C matches one byte: it would cut characters. PCRE2 10.42 makes possessive what must not be: \P{N}*\P{L}. */
    pattern->regex =
        pcre2_compile((PCRE2_SPTR)translated.data, PCRE2_ZERO_TERMINATED,
                      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_AUTO_POSSESS, &code,
                      &offset, NULL);
    vkft_text_free(&translated);
    if (!pattern->regex) {
        PCRE2_UCHAR message[128];
        pcre2_get_error_message(code, message, sizeof message);
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s", pattern->name, (const char *)message);
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
    free(pattern->name);
    pcre2_code_free(pattern->regex);
    *pattern = (vkft_pattern){0};
}

static void find_literal(const char *literal, const char *text, size_t length, size_t start, vkft_match *match)
{
    size_t n = strlen(literal);
    for (size_t i = start; n && i + n <= length; i++) {
        const char *at = memchr(text + i, literal[0], length - n - i + 1);
        if (!at)
            return;
        i = (size_t)(at - text);
        if (memcmp(at, literal, n) == 0) {
            *match = (vkft_match){i, i + n, true};
            return;
        }
    }
}

/* As pcre2_match. Compiled expressions run on 32 KiB of the machine's stack, which is enough for those of known
 * tokenizers; one that needs more gets a larger stack, and then the interpreter, which takes its memory from the heap.
 */
static int run(const pcre2_code *regex, const char *text, size_t length, size_t start, pcre2_match_data *data)
{
    int count = pcre2_match(regex, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK, data, NULL);
    if (count != PCRE2_ERROR_JIT_STACKLIMIT)
        return count;
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_jit_stack *stack = pcre2_jit_stack_create(SMALLEST_STACK, LARGEST_STACK, NULL);
    count = PCRE2_ERROR_NOMEMORY;
    if (context && stack) {
        pcre2_jit_stack_assign(context, NULL, stack);
        pcre2_set_heap_limit(context, INTERPRETER_KIB);
        count = pcre2_match(regex, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK, data, context);
        if (count == PCRE2_ERROR_JIT_STACKLIMIT)
            count =
                pcre2_match(regex, (PCRE2_SPTR)text, length, start, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, context);
    }
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    return count;
}

static bool fail_match(const vkft_pattern *pattern, int code, size_t length, vkft_err *err)
{
    PCRE2_UCHAR message[128];
    if (code == PCRE2_ERROR_NOMEMORY)
        return vkft_fail_memory(err, "while tokenizing");
    pcre2_get_error_message(code, message, sizeof message);
    return vkft_fail(err, VKFT_ERR_INPUT, "%s cannot be searched for in a text of %zu bytes: %s; simplify it",
                     pattern->name, length, (const char *)message);
}

bool vkft_pattern_next(const vkft_pattern *pattern, const char *text, size_t length, vkft_match *match, vkft_err *err)
{
    const vkft_match last = *match;
    size_t start = last.end;
    *match = (vkft_match){length, length, false};
    if (!length)
        return true;
    if (pattern->literal) {
        find_literal(pattern->literal, text, length, start, match);
        return true;
    }
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (!data)
        return vkft_fail_memory(err, "while tokenizing");
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
    int count = 0;
    while (start <= length && !match->found && (count = run(pattern->regex, text, length, start, data)) >= 0) {
        if (at[0] < start || at[1] < at[0] || at[1] > length) { /* some versions let \K in an assertion do this */
            pcre2_match_data_free(data);
            return vkft_fail(err, VKFT_ERR_INPUT, "%s matches something outside of the text", pattern->name);
        }
        if (!last.found || at[1] > at[0] || at[0] > last.end)
            *match = (vkft_match){at[0], at[1], true};
        else
            start += max_u64(vkft_utf8_step(text + start, length - start), 1);
    }
    pcre2_match_data_free(data);
    return count >= 0 || count == PCRE2_ERROR_NOMATCH || fail_match(pattern, count, length, err);
}
