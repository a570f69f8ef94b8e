/* Tokenizers: golden values, round trips and streaming with the bundled tokenizer, and damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/tokenizer/text_stream.h"
#include "tests/support/open_tokenizer.h"
#include "tests/support/program.h"
#include "runtime/base/random.h"
#include "formats/tokenizer/tokenizer.h"

#define BUNDLED VKFT_PROJECT_DIR "/tools/bundled/model"

static vkft_tokenizer *open_bundled(void)
{
    cJSON *names = cJSON_CreateObject();
    cJSON_AddStringToObject(names, "tokenizer.json", "tokenizer.json");
    vkft_tokenizer *tok = vkft_test_open_tokenizer(BUNDLED, names, NULL);
    cJSON_Delete(names);
    return tok;
}

/* Small tokenizers of every kind and source, against the programs that make_tokenizer_golden.py names. */
static void test_golden(void **state)
{
    (void)state;
    cJSON *sets = vkft_test_read_json(VKFT_TEST_DATA "/tokenizer_cases.json"), *set, *item;
    cJSON_ArrayForEach(set, sets)
    {
        const cJSON *names = cJSON_GetObjectItem(set, "files");
        const char *what = names->child->valuestring;
        char *config = cJSON_PrintUnformatted(cJSON_GetObjectItem(set, "config"));
        vkft_tokenizer *tok = vkft_test_open_tokenizer(VKFT_TEST_DATA "/tokenizers", names, config);
        cJSON_ArrayForEach(item, cJSON_GetObjectItem(set, "cases"))
        {
            const cJSON *ids = cJSON_GetObjectItem(item, "ids"), *decoded = cJSON_GetObjectItem(item, "decoded");
            vkft_test_encodes(tok, what, cJSON_GetObjectItem(item, "text"), true, ids);
            if (decoded)
                vkft_test_decodes(tok, what, ids, decoded);
        }
        cJSON_ArrayForEach(item, cJSON_GetObjectItem(set, "pairs"))
        {
            vkft_err err = {0};
            vkft_ids ids = {0};
            vkft_text a = vkft_test_text(cJSON_GetObjectItem(item, "a")),
                      b = vkft_test_text(cJSON_GetObjectItem(item, "b"));
            assert_true(vkft_tokenizer_encode_pair(tok, a.data, a.length, b.data, b.length, true, &ids, &err));
            vkft_test_same_ids(what, a.data, &ids, cJSON_GetObjectItem(item, "ids"));
            vkft_ids_free(&ids);
            vkft_text_free(&a);
            vkft_text_free(&b);
        }
        free(config);
        vkft_tokenizer_free(tok);
    }
    assert_int_equal(cJSON_GetArraySize(sets), 6);
    cJSON_Delete(sets);
}

static const char *const tricky[] = {
    "Hello world",
    "  two  spaces ",
    "고양이는 생선을 먹어요.",
    "\u1112\u1161\u11ab\u1100\u116e\u11a8",
    "👩‍👩‍👧‍👦 🇰🇷",
    "tab\tand\nnewline\r\n",
    "don't I'LL 12345",
    "\xc3\xa9\xcc\x81",
    "<|end_of_text|>inside<|begin_of_text|>",
    "x",
};

/* Byte-level BPE loses nothing; streamed text is the same and never ends inside a character. */
static void test_round_trip_and_stream(void **state)
{
    (void)state;
    vkft_err err;
    vkft_tokenizer *tok = open_bundled();
    for (size_t i = 0; i < sizeof tricky / sizeof *tricky; i++) {
        vkft_ids ids = {0};
        vkft_text whole = {0}, streamed = {0};
        assert_true(vkft_tokenizer_encode(tok, tricky[i], strlen(tricky[i]), false, &ids, &err));
        assert_true(vkft_tokenizer_decode(tok, ids.data, ids.count, false, &whole, &err));
        assert_string_equal(whole.data, tricky[i]);
        vkft_text_stream *stream = vkft_text_stream_new(tok, false, &err);
        for (uint32_t k = 0; k < ids.count; k++) {
            assert_true(vkft_text_stream_push(stream, ids.data[k], &streamed, &err));
            /* a row of the model that is no token */
            assert_true(vkft_text_stream_push(stream, (int32_t)vkft_tokenizer_vocab_size(tok), &streamed, &err));
            assert_true(streamed.length <= whole.length &&
                        memcmp(streamed.data ? streamed.data : "", whole.data, streamed.length) == 0);
            assert_true(((unsigned char)whole.data[streamed.length] & 0xc0) != 0x80);
        }
        assert_true(vkft_text_stream_finish(stream, &streamed, &err));
        assert_string_equal(streamed.data, whole.data);
        vkft_text_stream_free(stream);
        vkft_ids_free(&ids);
        vkft_text_free(&whole);
        vkft_text_free(&streamed);
    }
    vkft_tokenizer_free(tok);
}

/* Flipped bytes: a clear refusal or a working tokenizer, never a crash (the sanitizers watch). */
static void test_damaged_files(void **state)
{
    (void)state;
    size_t size;
    char *json = vkft_test_read(BUNDLED "/tokenizer.json", &size);
    uint32_t refused = 0;
    for (uint64_t round = 0; round < 60; round++) {
        vkft_err err;
        char *copy = malloc(size + 1);
        memcpy(copy, json, size + 1);
        for (uint64_t k = 0; k < 1 + round % 5; k++) /* the head holds the structure, the rest the vocabulary */
            copy[vkft_random_bits(1, round, k) % (round % 2 ? 2000 : size)] =
                (char)(' ' + vkft_random_bits(2, round, k) % 95);
        vkft_tokenizer *tok = vkft_tokenizer_new(copy, round % 7 ? size : size / 2, NULL, 0, "damaged.json", &err);
        if (tok) {
            vkft_ids ids = {0};
            vkft_text text = {0};
            if (vkft_tokenizer_encode(tok, tricky[round % 10], strlen(tricky[round % 10]), true, &ids, &err))
                (void)vkft_tokenizer_decode(tok, ids.data, ids.count, true, &text, &err);
            vkft_ids_free(&ids);
            vkft_text_free(&text);
        } else {
            refused++;
            assert_non_null(strstr(err.message, "damaged.json"));
        }
        vkft_tokenizer_free(tok);
        free(copy);
    }
    assert_true(refused > 10);
    free(json);
}

static void gives(const char *config, const char *text, const char *want)
{
    cJSON *names = cJSON_CreateObject(), *ids = cJSON_Parse(want), *string = cJSON_CreateString(text);
    cJSON_AddStringToObject(names, "tokenizer.json", "byte_level.json");
    vkft_tokenizer *tok = vkft_test_open_tokenizer(VKFT_TEST_DATA "/tokenizers", names, config);
    vkft_test_encodes(tok, config, string, true, ids);
    vkft_tokenizer_free(tok);
    cJSON_Delete(names);
    cJSON_Delete(string);
    cJSON_Delete(ids);
}

/* Values of `tokenizers` with encode_special_tokens, which transformers sets then. Added tokens that are not special
 * are matched all the same, and what the post-processor adds is added. */
static void test_split_special_tokens(void **state)
{
    (void)state;
    static const char split[] = "{\"split_special_tokens\": true}", whole[] = "{\"split_special_tokens\": false}";
    gives(whole, "a<|begin|>b", "[400, 64, 400, 65]");
    gives(split, "a<|begin|>b", "[400, 64, 27, 91, 65, 68, 70, 262, 91, 29, 65]");
    gives(split, "<|end|> word", "[400, 27, 91, 68, 77, 67, 91, 29, 220, 402]");
    gives(split, "[l]<|begin|>", "[400, 403, 27, 91, 65, 68, 70, 262, 91, 29]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_round_trip_and_stream),
                                       cmocka_unit_test(test_damaged_files),
                                       cmocka_unit_test(test_split_special_tokens)};
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
