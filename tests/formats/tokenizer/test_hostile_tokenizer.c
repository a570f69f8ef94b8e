/* tokenizer.json from a stranger: what would cut characters, run for ever or fill the memory is refused, or an error of
 * the text; and what the bounds let through is computed as before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/tokenizer/tokenizer.h"
#include "runtime/base/random.h"

#define BPE(flags)                                                                                                     \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"<unk>\":0,\"a\":1,\"b\":2,\"l\":3,\"x\":4,\" \":5,\"h\":6,\"e\":7,"      \
    "\"ll\":8,\"o\":9,\"\\u2581\":10},\"merges\":[\"l l\"]" flags "}"
#define UNIGRAM                                                                                                        \
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"a\",-1],[\"b\",-1],[\"aa\",-1.5]]}"
#define SPLIT(regex)                                                                                                   \
    "\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\"}"
#define REPLACE(pattern, content) "{\"type\":\"Replace\",\"pattern\":{" pattern "},\"content\":\"" content "\"}"
#define TEN(part) part "," part "," part "," part "," part "," part "," part "," part "," part "," part

static vkft_tokenizer *open_json(const char *json)
{
    vkft_err err = {0};
    vkft_tokenizer *tok = vkft_tokenizer_new(json, strlen(json), NULL, 0, "evil/tokenizer.json", &err);
    if (!tok)
        fail_msg("%.200s: %s", json, err.message);
    return tok;
}

/* The ids of a text, as words; or the error after "error: ". */
static char *encoded(const char *json, const char *text, size_t length)
{
    static char words[4096];
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_tokenizer *tok = open_json(json);
    size_t n = 0;
    words[0] = 0;
    if (vkft_tokenizer_encode(tok, text, length, true, &ids, &err))
        for (uint32_t i = 0; i < ids.count && n < 4000; i++)
            n += (size_t)snprintf(words + n, sizeof words - n, i ? " %d" : "%d", ids.data[i]);
    else
        snprintf(words, sizeof words, "error: %s", err.message);
    vkft_ids_free(&ids);
    vkft_tokenizer_free(tok);
    return words;
}

static void gives(const char *json, const char *text, const char *want)
{
    assert_string_equal(encoded(json, text, strlen(text)), want);
}

static void refused(const char *json, const char *part)
{
    vkft_err err = {0};
    vkft_tokenizer *tok = vkft_tokenizer_new(json, strlen(json), NULL, 0, "evil/tokenizer.json", &err);
    if (tok || !strstr(err.message, part) || !strstr(err.message, "evil/tokenizer.json"))
        fail_msg("%.200s: found \"%s\", expected a refusal with \"%s\"", json, tok ? "a tokenizer" : err.message, part);
    vkft_tokenizer_free(tok);
}

/* One byte of a character: a piece that is no text. */
static void test_bytes_of_characters(void **state)
{
    (void)state;
    refused("{" SPLIT("\\\\C") "," BPE(",\"unk_token\":\"<unk>\"") "}", "\\C");
    refused("{" SPLIT("a\\\\Cb|(?<=x)\\\\C") "," UNIGRAM "}", "\\C");
    refused("{\"normalizer\":" REPLACE("\"Regex\":\"\\\\C\"", "a") "," BPE("") "}", "normalizer");
    refused("{\"decoder\":" REPLACE("\"Regex\":\"\\\\C\"", "a") "," BPE("") "}", "decoder");
    refused("{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"ab\"}," BPE("") "}", "not one character");
    refused("{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\"}," BPE("") "}", "not one character");
    gives("{" SPLIT("\\\\X") "," BPE(",\"unk_token\":\"<unk>\"") "}", "\xc3\xa9l\xc3\xa9", "0 3 0");
}

/* Expressions at PCRE2's limits: more stack where that is enough, else an error, and never "no match". */
static void test_limits_of_expressions(void **state)
{
    (void)state;
    size_t n = 10000;
    char *text = malloc(n + 8);
    for (size_t i = 0; i < n; i++)
        text[i] = i % 2 ? 'b' : 'a';
    memcpy(text + n, " hello", 7);
    vkft_tokenizer *tok = open_json("{" SPLIT("(?:a|b)*c|l") "," BPE("") "}"),
                   *plain = open_json("{" SPLIT("l") "," BPE("") "}");
    vkft_err err = {0};
    vkft_ids ids = {0}, want = {0};
    assert_true(vkft_tokenizer_encode(tok, text, n + 6, true, &ids, &err));
    assert_true(vkft_tokenizer_encode(plain, text, n + 6, true, &want, &err));
    assert_int_equal(ids.count, want.count);
    assert_memory_equal(ids.data, want.data, ids.count * sizeof *ids.data);
    /* "ll" is a token that only an expression which finds "l" takes apart */
    assert_memory_equal(ids.data + ids.count - 3, ((const int32_t[]){3, 3, 9}), 12);
    vkft_ids_free(&ids);
    vkft_ids_free(&want);
    vkft_tokenizer_free(tok);
    vkft_tokenizer_free(plain);
    free(text);

    static const char run[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx l";
    char *words = encoded("{" SPLIT("(x+x+)+y|l") "," BPE("") "}", run, strlen(run));
    assert_non_null(strstr(words, "error: evil/tokenizer.json: pre_tokenizer"));
    assert_non_null(strstr(words, "\"(x+x+)+y|l\""));
    assert_non_null(strstr(words, "limit"));
    words = encoded("{\"normalizer\":" REPLACE("\"Regex\":\"(x+x+)+y|l\"", "a") "," BPE("") "}", run, strlen(run));
    assert_non_null(strstr(words, "error: evil/tokenizer.json: normalizer"));

    vkft_text out = {0};
    tok = open_json("{\"decoder\":" REPLACE("\"Regex\":\"(x+x+)+y|l\"",
                                            "a") ",\"added_tokens\":[{\"id\":11,\"content\":"
                                                 "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}]," BPE("") "}");
    assert_false(vkft_tokenizer_decode(tok, (const int32_t[]){11}, 1, false, &out, &err));
    assert_non_null(strstr(err.message, "evil/tokenizer.json: decoder"));
    vkft_text_free(&out);
    vkft_tokenizer_free(tok);
}

/* What stages make of a text is bounded by its length. */
static void test_growth(void **state)
{
    (void)state;
    char json[8192], content[1001];
    memset(content, 'a', sizeof content - 1);
    content[1000] = 0;
    snprintf(json, sizeof json, "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[%s,%s,%s,%s,%s]}," BPE("") "}",
             "{\"type\":\"NFC\"}", "{\"type\":\"Prepend\",\"prepend\":\"b\"}", "{\"type\":\"Lowercase\"}",
             REPLACE("\"String\":\" \"", "\\u2581"), "{\"type\":\"Strip\"}");
    gives(json, "L a", "2 3 10 1");
    for (int prepend = 0; prepend < 2; prepend++) {
        snprintf(json, sizeof json,
                 prepend ? "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":"
                           "\"%s\"},%s]}," BPE("") "}"
                         : "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\",\"pattern\":{"
                           "\"String\":\"a\"},\"content\":\"%s\"},%s]}," BPE("") "}",
                 content, REPLACE("\"Regex\":\"a\"", "bbbbbbbbbb"));
        gives(json, "a", "error: a text grows beyond 1100 bytes");
    }
    /* every byte of this alphabet becomes two, step by step */
    char *words = encoded(
        "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" TEN("{\"type\":\"ByteLevel\"}") "," TEN(
            "{\"type\":\"ByteLevel\"}") "," TEN("{\"type\":\"ByteLevel\"}") "]}," BPE(",\"unk_token\":\"<unk>\"") "}",
        "\xc3\xa9", 2);
    assert_string_equal(words, "error: pre_tokenizer: a text grows beyond 1200 bytes");
    refused("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" TEN(TEN("{\"type\":\"NFC\"}")) "]}," BPE("") "}",
            "more than 64 steps");
    refused("{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[" TEN(
                TEN("{\"type\":\"WhitespaceSplit\"}")) "]}," BPE("") "}",
            "more than 64 steps");
    refused("{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[" TEN(TEN("{\"type\":\"Fuse\"}")) "]}," BPE("") "}",
            "more than 64 steps");
    refused("{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" TEN(
                TEN("{\"Sequence\":{\"id\":\"A\"}}")) "]}," BPE("") "}",
            "more than 64 parts");

    vkft_err err = {0};
    vkft_text out = {0};
    snprintf(json, sizeof json,
             "{\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},"
             "\"content\":\"%s\"},%s]}," BPE("") "}",
             content, REPLACE("\"String\":\"a\"", "bbbbbbbbbb"));
    vkft_tokenizer *tok = open_json(json);
    assert_false(vkft_tokenizer_decode(tok, (const int32_t[]){1}, 1, false, &out, &err));
    assert_non_null(strstr(err.message, "grows beyond"));
    vkft_text_free(&out);
    vkft_tokenizer_free(tok);
}

/* A token as long as a text would be compared with all of it at each of its bytes. */
static void test_long_tokens(void **state)
{
    (void)state;
    char *json = malloc(4096), *token = malloc(1100);
    memset(token, 'a', 1099);
    token[1024] = 0;
    snprintf(json, 4096, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"%s\",-1]]}}",
             token);
    vkft_tokenizer_free(open_json(json));
    snprintf(json, 4096, "{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],[\"%sa\",-1]]}}",
             token);
    refused(json, "a token has 1025 bytes; at most 1024");
    free(token);
    free(json);
}

/* The longest added token, of many that begin alike, against a search of all. */
static void test_added_tokens(void **state)
{
    (void)state;
    enum { TOKENS = 300, LENGTH = 400 };
    static char tokens[TOKENS][8];
    vkft_text json = {0};
    char item[128];
    assert_true(vkft_text_append(&json, "{\"added_tokens\":[", 17, NULL));
    for (uint32_t i = 0; i < TOKENS; i++) {
        uint32_t n = 1 + (uint32_t)(vkft_random_bits(1, i, 0) % 6);
        for (uint32_t k = 0; k < n; k++)
            tokens[i][k] = (char)('p' + vkft_random_bits(2, i, k) % 2);
        int size = snprintf(item, sizeof item, "%s{\"id\":%u,\"content\":\"%s\",\"normalized\":false}", i ? "," : "",
                            20 + i, tokens[i]);
        assert_true(vkft_text_append(&json, item, (size_t)size, NULL));
    }
    assert_true(vkft_text_append(&json, "]," BPE(",\"unk_token\":\"<unk>\"") "}",
                                 strlen("]," BPE(",\"unk_token\":\"<unk>\"") "}"), NULL));
    char text[LENGTH + 1] = {0};
    for (uint32_t i = 0; i < LENGTH; i++)
        text[i] = "ppppppqqqqqx"[vkft_random_bits(3, i, 0) % 12];
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_tokenizer *tok = open_json(json.data);
    assert_true(vkft_tokenizer_encode(tok, text, LENGTH, true, &ids, &err));
    uint32_t at = 0;
    for (uint32_t i = 0; i < ids.count; i++) {
        int32_t best = -1;
        for (int32_t k = 0; k < TOKENS; k++)
            if (strncmp(text + at, tokens[k], strlen(tokens[k])) == 0 &&
                (best < 0 || strlen(tokens[k]) > strlen(tokens[best])))
                best = k;
        assert_int_equal(ids.data[i], best < 0 ? 4 : 20 + best);
        at += best < 0 ? 1 : (uint32_t)strlen(tokens[best]);
    }
    assert_int_equal(at, LENGTH);
    vkft_ids_free(&ids);
    vkft_tokenizer_free(tok);
    vkft_text_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bytes_of_characters),
                                       cmocka_unit_test(test_limits_of_expressions), cmocka_unit_test(test_growth),
                                       cmocka_unit_test(test_long_tokens), cmocka_unit_test(test_added_tokens)};
    return cmocka_run_group_tests_name("hostile tokenizer", tests, NULL, NULL);
}
