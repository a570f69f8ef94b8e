/* Tokenizers: published vectors, round trips and streaming with the bundled tokenizer, and damaged files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "program.h"
#include "random.h"
#include "tokenizer.h"

#define BUNDLED VKFT_PROJECT_DIR "/tools/bundled/model/tokenizer.json"

static vkft_tokenizer *open_tokenizer(const char *path)
{
    vkft_err err;
    size_t size;
    char *json = vkft_test_read(path, &size);
    vkft_tokenizer *tok = vkft_tokenizer_new(json, size, NULL, 0, path, &err);
    if (!tok)
        fail_msg("%s", err.message);
    free(json);
    return tok;
}

static void check_encoding(const vkft_tokenizer *tok, const char *text, size_t length, bool special, const cJSON *want)
{
    vkft_err err;
    vkft_ids ids = {0};
    if (!vkft_tokenizer_encode(tok, text, length, special, &ids, &err))
        fail_msg("%s", err.message);
    bool same = ids.count == (uint32_t)cJSON_GetArraySize(want);
    for (uint32_t i = 0; same && i < ids.count; i++)
        same = cJSON_GetArrayItem(want, (int)i)->valueint == ids.data[i];
    if (!same)
        fail_msg("\"%s\" has %u ids, other ones than the %d expected", text, ids.count, cJSON_GetArraySize(want));
    vkft_ids_free(&ids);
}

/* transformers.js: text, ids, decoded for Llama 2, with BOS. */
static void test_llama2_vectors(void **state)
{
    (void)state;
    const char *data = vkft_test_shared_data();
    if (!data)
        skip();
    char path[512];
    snprintf(path, sizeof path, "%s/tokenizers/llama2/tokenizer.json", data);
    vkft_tokenizer *tok = open_tokenizer(path);
    snprintf(path, sizeof path, "%s/vectors/transformersjs/llama2.json", data);
    cJSON *root = vkft_test_read_json(path), *cases = cJSON_GetObjectItem(root, "cases"), *item;
    int count = 0;
    cJSON_ArrayForEach(item, cases)
    {
        const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(item, "text"));
        if (!text || strlen(text) == 0 || strcmp(text, "1") == 0) /* "1" is what cJSON keeps of a text with a zero byte */
            continue;
        check_encoding(tok, text, strlen(text), true, cJSON_GetObjectItem(item, "ids"));
        count++;
    }
    print_message("%d cases\n", count);
    assert_true(count > 30);
    cJSON_Delete(root);
    vkft_tokenizer_free(tok);
}

/* llama.cpp: texts separated by a marker line, ids one line a case. */
static void check_llamacpp(const char *data, const char *tokenizer, const char *ids_file)
{
    static const char marker[] = "\n__ggml_vocab_test__\n";
    char path[512], *rest = NULL;
    snprintf(path, sizeof path, "%s/tokenizers/%s/tokenizer.json", data, tokenizer);
    vkft_tokenizer *tok = open_tokenizer(path);
    snprintf(path, sizeof path, "%s/vectors/llamacpp/cases.inp", data);
    char *texts = vkft_test_read(path, NULL), *text = texts;
    snprintf(path, sizeof path, "%s/vectors/llamacpp/%s.out", data, ids_file);
    char *lines = vkft_test_read(path, NULL), *line = lines;
    int count = 0;
    for (; text; count++) {
        char *end = strstr(text, marker), *newline = strchr(line, '\n');
        cJSON *want = cJSON_CreateArray();
        if (newline)
            *newline = 0;
        for (char *number = strtok_r(line, " ", &rest); number; number = strtok_r(NULL, " ", &rest))
            cJSON_AddItemToArray(want, cJSON_CreateNumber(atoi(number)));
        check_encoding(tok, text, end ? (size_t)(end - text) : strlen(text), false, want);
        cJSON_Delete(want);
        text = end ? end + strlen(marker) : NULL;
        line = newline ? newline + 1 : line + strlen(line);
    }
    print_message("%s: %d cases\n", tokenizer, count);
    assert_true(count >= 40);
    free(texts);
    free(lines);
    vkft_tokenizer_free(tok);
}

static void test_llamacpp_vectors(void **state)
{
    (void)state;
    const char *data = vkft_test_shared_data();
    if (!data)
        skip();
    check_llamacpp(data, "llama2", "llama-spm");
    check_llamacpp(data, "phi-3-mini", "phi-3");
}

static const char *const tricky[] = {
    "Hello world", "  two  spaces ", "고양이는 생선을 먹어요.", "\u1112\u1161\u11ab\u1100\u116e\u11a8", "👩‍👩‍👧‍👦 🇰🇷", "tab\tand\nnewline\r\n",
    "don't I'LL 12345", "\xc3\xa9\xcc\x81", "<|end_of_text|>inside<|begin_of_text|>", "x",
};

/* Byte-level BPE loses nothing; streamed text is the same and never ends inside a character. */
static void test_round_trip_and_stream(void **state)
{
    (void)state;
    vkft_err err;
    vkft_tokenizer *tok = open_tokenizer(BUNDLED);
    for (size_t i = 0; i < sizeof tricky / sizeof *tricky; i++) {
        vkft_ids ids = {0};
        vkft_text whole = {0}, streamed = {0};
        assert_true(vkft_tokenizer_encode(tok, tricky[i], strlen(tricky[i]), false, &ids, &err));
        assert_true(vkft_tokenizer_decode(tok, ids.data, ids.count, false, &whole, &err));
        assert_string_equal(whole.data, tricky[i]);
        vkft_text_stream *stream = vkft_text_stream_new(tok, false, &err);
        for (uint32_t k = 0; k < ids.count; k++) {
            assert_true(vkft_text_stream_push(stream, ids.data[k], &streamed, &err));
            assert_true(streamed.length <= whole.length && memcmp(streamed.data ? streamed.data : "", whole.data, streamed.length) == 0);
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
    char *json = vkft_test_read(BUNDLED, &size);
    uint32_t refused = 0;
    for (uint64_t round = 0; round < 60; round++) {
        vkft_err err;
        char *copy = malloc(size + 1);
        memcpy(copy, json, size + 1);
        for (uint64_t k = 0; k < 1 + round % 5; k++) /* the head holds the structure, the rest the vocabulary */
            copy[vkft_random_bits(1, round, k) % (round % 2 ? 2000 : size)] = (char)(' ' + vkft_random_bits(2, round, k) % 95);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_llama2_vectors), cmocka_unit_test(test_llamacpp_vectors),
                                       cmocka_unit_test(test_round_trip_and_stream), cmocka_unit_test(test_damaged_files)};
    return cmocka_run_group_tests_name("tokenizer", tests, NULL, NULL);
}
