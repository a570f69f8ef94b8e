/* Special tokens and templates from whichever of a checkpoint's small files names them, and what follows from them for
 * prompts and completions. The tokenizer puts a space before a text, as SentencePiece models do; ids are below. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/chat/model_text.h"
#include "formats/dataset/dataset.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static const char tokenizer_json[] =
    "{\"added_tokens\": [{\"id\": 1, \"content\": \"<s>\", \"special\": true, \"normalized\": false}, {\"id\": 2, "
    "\"content\": \"</s>\", \"special\": true, \"normalized\": false}],"
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"▁\"}, "
    "{\"type\": "
    "\"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"▁\"}]},"
    "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", \"pattern\": {\"String\": \"▁\"}, "
    "\"content\": \" \"}, {\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, \"stop\": 0}]},"
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"<unk>\", \"merges\": [\"▁ a\"], \"vocab\": {\"<unk>\": 0, "
    "\"<s>\": "
    "1, \"</s>\": 2, \"▁\": 3, \"a\": 4, \"b\": 5, \":\": 6, \"▁a\": 7, \"<\": 8, \">\": 9, \"e\": 10}}}";
#define BOTH "{% for m in messages %}{{ bos_token }}{{ m.content }}{{ eos_token }}{% endfor %}"
#define WITH(more) "{\"chat_template\": \"" BOTH "\", " more "}"

typedef struct small {
    const char *name, *text;
} small;

/* A checkpoint's directory with these files beside tokenizer.json. */
static void open_model(const small *files, size_t count, vkft_model_text *text)
{
    vkft_err err;
    char *dir = vkft_test_directory(), path[600];
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    expect_ok(vkft_file_write(path, tokenizer_json, sizeof tokenizer_json - 1, &err));
    for (size_t i = 0; i < count; i++) {
        if (strchr(files[i].name, '/')) {
            snprintf(path, sizeof path, "%s/additional_chat_templates", dir);
            expect_ok(vkft_directory_create(path, &err));
        }
        snprintf(path, sizeof path, "%s/%s", dir, files[i].name);
        expect_ok(vkft_file_write(path, files[i].text, strlen(files[i].text), &err));
    }
    expect_ok(vkft_model_text_open(dir, NULL, text, &err));
    vkft_test_remove_directory(dir);
}
#define OPEN(text, ...)                                                                                                \
    do {                                                                                                               \
        const small files[] = {__VA_ARGS__};                                                                           \
        open_model(files, sizeof files / sizeof *files, text);                                                         \
    } while (0)

static void expect_rendered(const vkft_model_text *text, const char *tools, const char *expected)
{
    vkft_err err;
    vkft_jinja_output out = {0};
    cJSON *messages = cJSON_Parse("[{\"role\": \"user\", \"content\": \"ab\"}]"),
          *list = tools ? cJSON_Parse(tools) : NULL;
    const vkft_conversation c = {.messages = messages, .tools = list};
    expect_ok(vkft_chat_template_render(text->chat, &c, false, &out, &err));
    assert_string_equal(out.text.data, expected);
    vkft_jinja_output_free(&out);
    cJSON_Delete(messages);
    cJSON_Delete(list);
}

static void test_special_tokens(void **state)
{
    vkft_model_text text;
    (void)state;
    OPEN(&text, {"tokenizer_config.json", WITH("\"tokenizer_class\": \"PreTrainedTokenizerFast\"")},
         {"special_tokens_map.json", "{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\"}}"});
    expect_rendered(&text, NULL, "<s>ab</s>");
    assert_int_equal(vkft_tokenizer_eos_id(text.tokenizer), 2);
    vkft_model_text_free(&text);
    OPEN(&text, {"tokenizer_config.json", WITH("\"tokenizer_class\": \"LlamaTokenizerFast\"")});
    expect_rendered(&text, NULL, "<s>ab</s>");
    vkft_model_text_free(&text);
    OPEN(&text, {"tokenizer_config.json", WITH("\"tokenizer_class\": \"LlamaTokenizer\", \"eos_token\": null")});
    expect_rendered(&text, NULL, "<s>ab");
    vkft_model_text_free(&text);
    OPEN(&text, {"tokenizer_config.json", WITH("\"tokenizer_class\": \"PreTrainedTokenizerFast\"")});
    expect_rendered(&text, NULL, "ab");
    vkft_model_text_free(&text);
    OPEN(&text, {"tokenizer_config.json", WITH("\"x\": 1")}, {"config.json", "{\"model_type\": \"gemma2\"}"});
    expect_rendered(&text, NULL, "<bos>ab<eos>");
    vkft_model_text_free(&text);
}

/* Where both files name a token, the map's counts, but for the way tokenizers have been saved since. */
static void test_files_that_disagree(void **state)
{
    vkft_model_text text;
    (void)state;
    const small map = {"special_tokens_map.json", "{\"eos_token\": \"</s>\"}"};
    OPEN(&text, {"tokenizer_config.json", WITH("\"eos_token\": \"<s>\"")}, map);
    expect_rendered(&text, NULL, "ab</s>");
    assert_int_equal(vkft_tokenizer_eos_id(text.tokenizer), 2);
    vkft_model_text_free(&text);
    OPEN(&text, {"tokenizer_config.json", WITH("\"eos_token\": \"<s>\", \"added_tokens_decoder\": {}")}, map);
    expect_rendered(&text, NULL, "ab<s>");
    assert_int_equal(vkft_tokenizer_eos_id(text.tokenizer), 1);
    vkft_model_text_free(&text);
}

static void test_added_tokens(void **state)
{
    vkft_model_text text;
    vkft_ids ids = {0};
    vkft_err err;
    (void)state;
    OPEN(&text,
         {"tokenizer_config.json", "{\"eos_token\": \"<e>\", \"additional_special_tokens\": [\"<a>\", \"<b>\"]}"},
         {"added_tokens.json", "{\"<e>\": 12}"});
    assert_int_equal(vkft_tokenizer_eos_id(text.tokenizer), 12);
    assert_true(vkft_tokenizer_is_special(text.tokenizer, 12));
    expect_ok(vkft_tokenizer_encode(text.tokenizer, "b<e><a><b>", 10, false, &ids, &err));
    const int32_t expected[] = {3, 5, 12, 13, 14}; /* those without an id get the next free ones */
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.data, expected, sizeof expected);
    vkft_ids_free(&ids);
    vkft_model_text_free(&text);
}

static void test_templates(void **state)
{
    vkft_model_text text;
    (void)state;
    OPEN(&text,
         {"tokenizer_config.json", "{\"chat_template\": \"{{ image_token }}{{ eot_token }}\", \"eot_token\": \"<e>\", "
                                   "\"extra_special_tokens\": {\"image_token\": \"<a>\"}}"});
    expect_rendered(&text, NULL, "<a><e>");
    vkft_model_text_free(&text);
    OPEN(&text, {"chat_template.jinja", "default"}, {"additional_chat_templates/tool_use.jinja", "tools"});
    expect_rendered(&text, NULL, "default");
    expect_rendered(&text, "[{\"type\": \"function\"}]", "tools");
    vkft_model_text_free(&text);
}

static void expect_sample(const vkft_model_text *text, const char *row, const int32_t *ids, uint32_t count,
                          uint32_t trained)
{
    vkft_err err;
    vkft_dataset data;
    char *dir = vkft_test_directory(), path[600];
    const vkft_dataset_options o = {
        .max_seq_length = 64, .mask_prompt = true, .vocab_size = 16, .eos_id = vkft_tokenizer_eos_id(text->tokenizer)};
    snprintf(path, sizeof path, "%s/r.jsonl", dir);
    expect_ok(vkft_file_write(path, row, strlen(row), &err));
    expect_ok(vkft_dataset_open(path, text->tokenizer, &o, &data, &err));
    assert_int_equal(data.samples[0].length, count);
    assert_memory_equal(data.samples[0].ids, ids, count * sizeof *ids);
    assert_int_equal(data.samples[0].trained, trained);
    vkft_dataset_free(&data);
    vkft_test_remove_directory(dir);
}
#define EXPECT_SAMPLE(text, row, trained, ...)                                                                         \
    expect_sample(text, row, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / 4, trained)

/* A completion has the space that the data has and no other, and no prompt ends in EOS. */
static void test_prompt_and_completion(void **state)
{
    vkft_model_text text;
    (void)state;
    for (int i = 0; i < 2; i++) {
        OPEN(&text, {"tokenizer_config.json",
                     i ? "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_bos_token\": true, "
                         "\"add_eos_token\": true}"
                       : "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_bos_token\": true}"});
        EXPECT_SAMPLE(&text, "{\"prompt\": \"b:\", \"completion\": \" a\"}\n", 2, 1, 3, 5, 6, 7, 2);
        EXPECT_SAMPLE(&text, "{\"prompt\": \"b:\", \"completion\": \"a\"}\n", 2, 1, 3, 5, 6, 4, 2);
        EXPECT_SAMPLE(&text, "{\"prompt\": \"b: \", \"completion\": \"a\"}\n", 2, 1, 3, 5, 6, 7, 2);
        EXPECT_SAMPLE(&text, "{\"prompt\": \"b: \", \"completion\": \"b\"}\n", 2, 1, 3, 5, 6, 3, 5, 2);
        vkft_model_text_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_tokens),        cmocka_unit_test(test_files_that_disagree),
        cmocka_unit_test(test_added_tokens),          cmocka_unit_test(test_templates),
        cmocka_unit_test(test_prompt_and_completion),
    };
    return cmocka_run_group_tests_name("model_text", tests, NULL, NULL);
}
