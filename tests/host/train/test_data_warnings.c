/* What is said of data that can be trained on but seldom ought to be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "host/train/training_data.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static void collect(void *context, const char *line)
{
    char *all = context;
    size_t n = strlen(all);
    snprintf(all + n, 4000 - n, "%s\n", line);
}

/* Opens a row with a template that ends answers in `end`; what is said goes to `said`. */
static void open_row(const char *row, const char *end, char said[4000])
{
    vkft_err err;
    vkft_model_text text;
    vkft_dataset data;
    bool found;
    char *dir = vkft_test_directory(), path[600], jinja[600], source[300];
    said[0] = 0;
    snprintf(path, sizeof path, "%s/r.jsonl", dir);
    snprintf(jinja, sizeof jinja, "%s/t.jinja", dir);
    snprintf(source, sizeof source, "{%% for m in messages %%}[{{ m.role }}]{{ m.content }}%s{%% endfor %%}", end);
    expect_ok(vkft_file_write(path, row, strlen(row), &err));
    expect_ok(vkft_file_write(jinja, source, strlen(source), &err));
    expect_ok(vkft_model_text_open(VKFT_PROJECT_DIR "/tools/bundled/model", &(vkft_chat_options){.file = jinja}, &text,
                                   &err));
    const vkft_config config = {.vocab_size = vkft_tokenizer_vocab_size(text.tokenizer)};
    const vkft_data_options o = {.path = path, .max_seq_length = 100, .mask_prompt = true};
    const vkft_observer observer = {.message = collect, .context = said};
    expect_ok(vkft_data_open(&o, "train", &text, &config, &observer, &data, &found, &err));
    vkft_dataset_free(&data);
    vkft_model_text_free(&text);
    vkft_test_remove_directory(dir);
}

#define CHAT(more)                                                                                                     \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"" more      \
    "}]}\n"

static void test_ends(void **state)
{
    char said[4000];
    (void)state;
    open_row(CHAT(""), "<end>", said);
    assert_non_null(strstr(said, "no answer has an end-of-sequence token of the model in it, they end in \">\""));
    open_row(CHAT(""), "{{ eos_token }}", said);
    assert_null(strstr(said, "no answer"));
}

static void test_beginnings(void **state)
{
    char said[4000];
    (void)state;
    open_row("{\"text\": \"<|begin_of_text|>a\"}\n", "", said);
    assert_non_null(strstr(said, "1 of 1 samples begin with the beginning-of-sequence token twice"));
    open_row("{\"text\": \"a\"}\n", "", said);
    assert_null(strstr(said, "twice"));
}

static void test_unknown_to_the_template(void **state)
{
    char said[4000];
    (void)state;
    open_row(CHAT(", \"tool_calls\": [{\"function\": {\"name\": \"f\"}}]"), "{{ eos_token }}", said);
    assert_non_null(strstr(said, "not used: tool_calls of messages (the chat template does not know it)"));
    open_row(CHAT(""), "{{ m.tool_calls }}", said);
    assert_null(strstr(said, "not used"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_ends), cmocka_unit_test(test_beginnings),
                                       cmocka_unit_test(test_unknown_to_the_template)};
    return cmocka_run_group_tests_name("data_warnings", tests, NULL, NULL);
}
