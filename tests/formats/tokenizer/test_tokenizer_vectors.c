/* Published vectors of real tokenizers, each from every file form that is there. Needs the shared data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/open_tokenizer.h"
#include "tests/support/program.h"

#define OPT_CONFIG                                                                                                     \
    "{\"add_bos_token\":true,\"bos_token\":\"</s>\",\"eos_token\":\"</s>\",\"unk_token\":\"</"                         \
    "s>\",\"pad_token\":\"<pad>\","                                                                                    \
    "\"tokenizer_class\":\"GPT2Tokenizer\"}"
#define T5_CONFIG "{\"tokenizer_class\":\"T5Tokenizer\"}"

/* The tokenizer of a directory in the shared data; only: of this one file ("tokenizer.model"), or NULL. */
static vkft_tokenizer *open_shared(const char *data, const char *name, const char *only, const char *config)
{
    char path[512];
    cJSON *names = only ? cJSON_CreateObject() : NULL;
    if (only)
        cJSON_AddStringToObject(names, only, only);
    snprintf(path, sizeof path, "%s/tokenizers/%s", data, name);
    vkft_tokenizer *tok = vkft_test_open_tokenizer(path, names, config);
    cJSON_Delete(names);
    return tok;
}

static void replace_all(char *text, const char *what, const char *with)
{
    for (char *at; (at = strstr(text, what));) {
        memmove(at + strlen(with), at + strlen(what), strlen(at + strlen(what)) + 1);
        memcpy(at, with, strlen(with));
    }
}

/* transformers' clean_up_tokenization, which these vectors went through after decoding. */
static void check_clean_decoding(const vkft_tokenizer *tok, const char *name, const cJSON *list, const char *want)
{
    static const char *const steps[][2] = {{" .", "."},     {" ?", "?"},     {" !", "!"},   {" ,", ","},
                                           {" ' ", "'"},    {" n't", "n't"}, {" 'm", "'m"}, {" 's", "'s"},
                                           {" 've", "'ve"}, {" 're", "'re"}};
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_text text = {0};
    const cJSON *id;
    cJSON_ArrayForEach(id, list) assert_true(vkft_ids_push(&ids, id->valueint, &err));
    assert_true(vkft_tokenizer_decode(tok, ids.data, ids.count, false, &text, &err));
    char *clean = calloc(2 * text.length + 1, 1);
    for (size_t i = 0, n = 0; i < text.length; i++) /* a zero byte as the JSON reader keeps it */
        if (text.data[i])
            clean[n++] = text.data[i];
        else
            n += (size_t)sprintf(clean + n, "\xc0\x80");
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        replace_all(clean, steps[i][0], steps[i][1]);
    if (strcmp(clean, want) != 0)
        fail_msg("%s: decoded \"%s\", expected \"%s\"", name, clean, want);
    free(clean);
    vkft_ids_free(&ids);
    vkft_text_free(&text);
}

/* transformers.js: text, ids with special tokens, decoded. */
static void check_transformersjs(const char *data, const char *name, const char *only, const char *vectors, bool clean)
{
    char path[512];
    vkft_tokenizer *tok = open_shared(data, name, only, strcmp(name, "flan-t5-small") == 0 ? T5_CONFIG : NULL);
    snprintf(path, sizeof path, "%s/vectors/transformersjs/%s.json", data, vectors);
    cJSON *root = vkft_test_read_json(path), *item;
    int count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(root, "cases"))
    {
        const cJSON *ids = cJSON_GetObjectItem(item, "ids"), *decoded = cJSON_GetObjectItem(item, "decoded");
        vkft_test_encodes(tok, name, cJSON_GetObjectItem(item, "text"), true, ids);
        if (decoded && clean)
            check_clean_decoding(tok, name, ids, decoded->valuestring);
        else if (decoded)
            vkft_test_decodes(tok, name, ids, decoded);
        count++;
    }
    print_message("%s %s: %d cases\n", name, only ? only : "", count);
    assert_true(count >= 20);
    cJSON_Delete(root);
    vkft_tokenizer_free(tok);
}

static void test_transformersjs(void **state)
{
    (void)state;
    const char *data = vkft_test_shared_data();
    if (!data)
        skip();
    check_transformersjs(data, "gpt2", NULL, "gpt2", true);
    check_transformersjs(data, "llama2", "tokenizer.json", "llama2", false);
    check_transformersjs(data, "flan-t5-small", "spiece.model", "t5-small", true);
}

/* llama.cpp: texts separated by a marker line, ids one line a case. */
static void check_llamacpp(const char *data, const char *name, const char *only, const char *ids_file)
{
    static const char marker[] = "\n__ggml_vocab_test__\n";
    char path[512], *rest = NULL;
    vkft_tokenizer *tok = open_shared(data, name, only, NULL);
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
        vkft_err err = {0};
        vkft_ids ids = {0};
        if (!vkft_tokenizer_encode(tok, text, end ? (size_t)(end - text) : strlen(text), false, &ids, &err))
            fail_msg("%s", err.message);
        vkft_test_same_ids(name, text, &ids, want);
        vkft_ids_free(&ids);
        cJSON_Delete(want);
        text = end ? end + strlen(marker) : NULL;
        line = newline ? newline + 1 : line + strlen(line);
    }
    print_message("%s %s: %d cases\n", name, only ? only : "", count);
    assert_true(count >= 40);
    free(texts);
    free(lines);
    vkft_tokenizer_free(tok);
}

static void test_llamacpp(void **state)
{
    (void)state;
    const char *data = vkft_test_shared_data();
    if (!data)
        skip();
    check_llamacpp(data, "llama2", "tokenizer.json", "llama-spm");
    check_llamacpp(data, "llama2", "tokenizer.model", "llama-spm");
    check_llamacpp(data, "phi-3-mini", NULL, "phi-3");
    check_llamacpp(data, "gpt2", NULL, "gpt-2");
    check_llamacpp(data, "llama3", NULL, "llama-bpe");
    check_llamacpp(data, "qwen2.5", NULL, "qwen2");
}

/* {"cases": [{"tokenizer", "text", "ids", ...}]} of torchtune and transformers; single files are named by their path.
 */
static void check_cases(const char *data, const char *vectors, int at_least)
{
    char path[512];
    snprintf(path, sizeof path, "%s/vectors/%s", data, vectors);
    cJSON *root = vkft_test_read_json(path), *item;
    int count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(root, "cases"))
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(item, "tokenizer")), *config = NULL,
                   *slash = strchr(name, '/');
        bool special = !cJSON_IsFalse(cJSON_GetObjectItem(item, "add_special_tokens"));
        if (strcmp(name, "opt") == 0)
            config = OPT_CONFIG;
        if (cJSON_IsFalse(cJSON_GetObjectItem(item, "add_prefix_space")))
            config = "{\"add_prefix_space\":false,\"add_bos_token\":true,\"bos_token\":\"<s>\"}";
        if (cJSON_GetObjectItem(item, "bos"))
            config = "{\"add_bos_token\":true,\"add_eos_token\":true,\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}";
        bool t5 = strcmp(name, "flan-t5-small") ==
                  0; /* what transformers makes of spiece.model: spaces at the ends do not count */
        cJSON *names = slash || t5 ? cJSON_CreateObject() : NULL;
        if (slash)
            cJSON_AddStringToObject(names, strstr(name, ".json") ? "tokenizer.json" : "tokenizer.model", slash + 1);
        if (t5)
            cJSON_AddStringToObject(names, "spiece.model", "spiece.model");
        if (t5)
            config = T5_CONFIG;
        snprintf(path, sizeof path, "%s/tokenizers/%.*s", data, slash ? (int)(slash - name) : 200, name);
        vkft_tokenizer *tok = vkft_test_open_tokenizer(path, names, config);
        vkft_test_encodes(tok, name, cJSON_GetObjectItem(item, "text"), special, cJSON_GetObjectItem(item, "ids"));
        vkft_tokenizer_free(tok);
        cJSON_Delete(names);
        count++;
    }
    print_message("%s: %d cases\n", vectors, count);
    assert_true(count >= at_least);
    cJSON_Delete(root);
}

static void test_torchtune_and_transformers(void **state)
{
    (void)state;
    const char *data = vkft_test_shared_data();
    if (!data)
        skip();
    check_cases(data, "torchtune.json", 4);
    check_cases(data, "hf_transformers_tests.json", 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_transformersjs), cmocka_unit_test(test_llamacpp),
                                       cmocka_unit_test(test_torchtune_and_transformers)};
    return cmocka_run_group_tests_name("tokenizer vectors", tests, NULL, NULL);
}
