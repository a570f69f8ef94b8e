/* What the commands say and print in the cases that no run of training comes to: standard input, results as JSON,
 * inputs of another kind, and plans that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define BUNDLED VKFT_PROJECT_DIR "/tools/bundled/model"
#define IDS_ONLY VKFT_TEST_DATA "/golden/llama_gqa/model" /* without a tokenizer; 97 tokens */

typedef struct fixture {
    char *dir;
} fixture;

static void put(const fixture *f, const char *name, const char *text, size_t size)
{
    char path[600];
    vkft_err err = {0};
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    expect_ok(vkft_file_write(path, text, size, &err));
}

static void put_text(const fixture *f, const char *name, const char *text)
{
    put(f, name, text, strlen(text));
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->dir = vkft_test_directory();
    static const char template[] = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
                                   "{% if add_generation_prompt %}<assistant>{% endif %}";
    put_text(f, "t.jinja", template);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

/* The program's exit code and a part of what it says; `shell` has a %s for the fixture's directory, or none. */
static void says(const fixture *f, const char *shell, int code, const char *part)
{
    char command[1200];
    size_t n = 0;
    for (const char *p = shell; *p && n < sizeof command - 300; p++)
        if (*p == '@')
            n += (size_t)snprintf(command + n, 300, "%s", f->dir);
        else
            command[n++] = *p;
    command[n] = 0;
    vkft_test_result r = vkft_test_program("%s", command);
    if (r.exit_code != code || !strstr(code ? r.err : r.out, part))
        fail_msg("%s: exit code %d, expected %d and \"%s\", found:\n%s%s", command, r.exit_code, code, part, r.out,
                 r.err);
    vkft_test_result_free(&r);
}

static void test_convert(void **state)
{
    const fixture *f = *state;
    says(f, "convert " IDS_ONLY "/config.json", 1, "config.json: is a file; expected the directory of a checkpoint");
    says(f, "convert " IDS_ONLY "/config.json -o @/a.vkft", 1,
         "is not a directory; expected a Hugging Face checkpoint");
    says(f, "convert @/nowhere -o @/a.vkft", 1, "is not a directory; expected a Hugging Face checkpoint");
    says(f, "convert " IDS_ONLY " -o @", 1, "is a directory; expected the name of the .vkft file to write");
    says(f, "convert " IDS_ONLY " -o @/a.vkft --quant fp32 --json", 0, "\"tensors\":21,\"bytes\":177");
    says(f, "convert " IDS_ONLY " -o @/a.vkft --quant fp32", 1, "a.vkft: exists; --overwrite replaces it");
    says(f, "convert " IDS_ONLY " -o @/a.vkft --quant fp32 --overwrite", 0, "a.vkft: 21 tensors, 173");
    says(f, "convert " IDS_ONLY " -o @/a.vkft/b --quant fp32", 1, "a.vkft/b");
}

static void test_template(void **state)
{
    const fixture *f = *state;
    put_text(f, "chat.json", "[{\"role\": \"user\", \"content\": \"hi\"}]");
    put_text(f, "five.json", "5");
    put(f, "zero.json", "[\0]", 3);
    says(f, "template --model " BUNDLED " --chat-template @/t.jinja < @/chat.json", 0, "<user>hi");
    says(f, "template --model " BUNDLED " --chat-template @/t.jinja --generation-prompt --json < @/chat.json", 0,
         "\"text\":\"<user>hi<assistant>\",\"ids\":[");
    says(f, "template --model " IDS_ONLY " --chat-template @/t.jinja --json @/chat.json", 0, "{\"text\":\"<user>hi\"}");
    says(f, "template --model " BUNDLED " < @/chat.json", 1,
         "the model has no chat template; give one with --chat-template FILE");
    says(f, "template --model " BUNDLED " --chat-template @/t.jinja < @/five.json", 1,
         "standard input: expected an array of messages, or an object with \"messages\"");
    says(f, "template --model " BUNDLED " --chat-template @/t.jinja @/five.json", 1,
         "five.json: expected an array of messages");
    says(f, "template --model " BUNDLED " --chat-template @/t.jinja < @/zero.json", 1, "it contains a zero byte");
    if (!vkft_test_program_is_foreign())
        says(f, "template --model " BUNDLED " --chat-template @/t.jinja < @", 1,
             "cannot read standard input: Is a directory");
    if (!vkft_test_program_is_foreign())
        says(f, "template --model " BUNDLED " --chat-template @/t.jinja < /dev/zero", 1,
             "standard input: more than 67108864 bytes");
}

/* Where a template and its variables come from. */
static void test_template_sources(void **state)
{
    const fixture *f = *state;
    char path[600];
    put_text(f, "x.jinja", "{{ x }}{{ y is defined }}");
    put_text(f, "hi.json", "[{\"role\": \"user\", \"content\": \"hi\"}]");
#define TEMPLATE "template --model " BUNDLED " --chat-template @/x.jinja @/hi.json --chat-template-kwargs "
    says(f, TEMPLATE "'{\"x\": [1, \"a\"], \"y\": null}'", 0, "[1, 'a']True");
    says(f, TEMPLATE "'[1]'", 2, "--chat-template-kwargs: expected a JSON object such as");
    says(f, TEMPLATE "'{'", 1, "--chat-template-kwargs: line 1");
    says(f, TEMPLATE "'{\"messages\": []}'", 1, "'messages' is no variable that can be set here");
    snprintf(path, sizeof path, "%s/named/tokenizer.json", f->dir);
    vkft_test_copy(BUNDLED "/tokenizer.json", path);
    put_text(f, "named/chat_template.json", "{\"chat_template\": \"json {{ messages | length }}\"}");
    says(f, "template --model @/named @/hi.json", 0, "json 1");
    put_text(f, "named/chat_template.json", "{}");
    says(f, "template --model @/named @/hi.json", 1, "chat_template.json: no \"chat_template\" in it");
    put_text(f, "named/chat_template.json", "{");
    says(f, "template --model @/named @/hi.json", 1, "chat_template.json: line 1");
    put_text(f, "named/chat_template.json", "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"a\"}]}");
    says(f, "template --model @/named @/hi.json", 1, "the list of chat templates has no \"default\"");
    put_text(f, "named/chat_template.json", "{\"chat_template\": [{\"name\": \"default\"}]}");
    says(f, "template --model @/named @/hi.json", 1, "key 'template' is missing");
}

static void test_prompts(void **state)
{
    const fixture *f = *state;
    put_text(f, "prompt", "Say the word");
    put(f, "zero", "a\0b", 3);
    says(f, "generate --model " BUNDLED " --prompt - --max-new-tokens 1 --temperature 0 --json < @/prompt", 0,
         "\"prompt_tokens\":4");
    says(f, "generate --model " BUNDLED " --prompt - < @/zero", 1, "standard input: it contains a zero byte");
    if (!vkft_test_program_is_foreign())
        says(f, "generate --model " BUNDLED " --prompt - < @", 1, "cannot read standard input: Is a directory");
    says(f, "generate --model " IDS_ONLY " --prompt hi", 1,
         "has no tokenizer.json, so a text prompt cannot be encoded; give --prompt-ids");
    says(f, "generate --model " IDS_ONLY " --prompt-ids 1,x", 2,
         "--prompt-ids: expected token ids separated by commas, found '1,x'");
    says(f, "generate --model " IDS_ONLY " --prompt-ids 1,-2", 2, "--prompt-ids: expected token ids");
    says(f, "generate --model " IDS_ONLY " --prompt-ids 1,97", 1, "token id 97 is outside the vocabulary of 97");
    says(f, "generate --model " IDS_ONLY " --prompt-ids 1 --prompt a", 2, "give either --prompt or --prompt-ids");
    says(f, "generate --model " IDS_ONLY, 2, "give either --prompt or --prompt-ids");
    says(f, "generate --model " IDS_ONLY " --prompt-ids '1, 2' --max-new-tokens 2 --temperature 0", 0, ",");
}

/* The numbers of a file, beside rows and keys that are left out and characters that a terminal would obey. */
static void test_data(void **state)
{
    const fixture *f = *state;
    static const char rows[] = "{\"text\": \"a\\u001b[31mb\\u007fc\", \"source\": 5}\n{\"text\": \"\"}\n"
                               "{\"text\": \"one two\"}\n{\"text\": \"three\"}\n";
    put_text(f, "rows.jsonl", rows);
    says(f, "data @/rows.jsonl --model " BUNDLED " --packing --max-seq-length 64", 0, "skipped    1 of 4 rows: ");
    says(f, "data @/rows.jsonl --model " BUNDLED " --packing --max-seq-length 64", 0, "not used   source\n");
    says(f, "data @/rows.jsonl --model " BUNDLED " --packing --max-seq-length 64", 0,
         "packs      1 of at most 64 tokens, ");
    says(f, "data @/rows.jsonl --model " BUNDLED " --packing --max-seq-length 64 --json", 0, "\"packs\":1");
    says(f, "data @/rows.jsonl --model " BUNDLED " --samples 1", 0, "trained \"<|begin_of_text|>a\\u001b[31mb");
    says(f, "data @/rows.jsonl --model @", 1, "no config.json and no tokenizer in it");
    vkft_test_program_ok("convert %s -o %s/bundled.vkft --quant nf4 --overwrite", BUNDLED, f->dir);
    says(f, "data @/rows.jsonl --model @/bundled.vkft", 0, "samples    3 of text");
    says(f, "data @/rows.jsonl --model @/rows.jsonl", 1, "rows.jsonl");
    /* A tokenizer alone is enough. */
    char path[600];
    snprintf(path, sizeof path, "%s/alone/tokenizer.json", f->dir);
    vkft_test_copy(BUNDLED "/tokenizer.json", path);
    says(f, "data @/rows.jsonl --model @/alone", 0, "samples    3 of text");
    put_text(f, "alone/config.json", "{\"model_type\": \"newer\"}");
    says(f, "data @/rows.jsonl --model @/alone", 0, "samples    3 of text");
    put_text(f, "alone/config.json", "{");
    says(f, "data @/rows.jsonl --model @/alone", 1, "config.json: line 1, column 2: the text ends in the middle");
}

/* A plan that does not fit names a length that does, or says that none does. */
static void test_plans(void **state)
{
    const fixture *f = *state;
    vkft_test_result r = vkft_test_program("devices --json");
    if (r.exit_code != 0)
        print_message("skipped: no Vulkan device here\n");
    bool none = r.exit_code != 0;
    vkft_test_result_free(&r);
    says(f, "train --dry-run --model " BUNDLED " --device nowhere", 0, "no device to compare with: ");
    if (none)
        skip();
    static const char large[] = "{\"model_type\": \"llama\", \"vocab_size\": 1000, \"hidden_size\": 32768, "
                                "\"intermediate_size\": 32768, \"num_hidden_layers\": 400, \"num_attention_heads\": "
                                "256, \"tie_word_embeddings\": true}";
    put_text(f, "large.json", large);
    says(f, "train --dry-run --model " BUNDLED " --batch-size 1", 0, ": fits\n");
    says(f, "train --dry-run --model " BUNDLED " --batch-size 16 --max-seq-length 1000000 --compute-dtype fp32", 0,
         ": does not fit\nthe run needs 15");
    says(f, "train --dry-run --model " BUNDLED " --batch-size 16 --max-seq-length 1000000", 0,
         " GiB free\nwould fit: --batch-size 1 --max-seq-length ");
    says(f, "train --dry-run --offload none --model @/large.json", 0,
         "no --max-seq-length makes it fit; try a smaller model, a lower --lora-r, or another --device");
}

/* Without any driver: what to install, and no empty list as an answer. */
static void test_no_driver(void **state)
{
    const fixture *f = *state;
    static const char *const names[] = {"VK_DRIVER_FILES", "VK_ICD_FILENAMES"};
    char *before[2];
    for (int i = 0; i < 2; i++) {
        before[i] = vkft_test_swap_environment(names[i], "/nonexistent.json");
    }
    says(f, "devices", 1, "Vulkan d");
    says(f, "devices --json", 1, "Vulkan d");
    says(f, "train --dry-run --model " BUNDLED, 0, "no device to compare with: ");
    for (int i = 0; i < 2; i++) {
        vkft_test_environment(names[i], before[i]);
        free(before[i]);
    }
}

/* With validation layers, or the name of what is missing for them. */
static void test_validation(void **state)
{
    (void)state;
    char *before = vkft_test_swap_environment("VKFT_VALIDATE", "1");
    vkft_test_result r = vkft_test_program("devices");
    if (r.exit_code == 1 && !strstr(r.err, "validation") && !strstr(r.err, "no Vulkan"))
        fail_msg("%s", r.err);
    assert_true(r.exit_code <= 1);
    vkft_test_result_free(&r);
    vkft_test_environment("VKFT_VALIDATE", before);
    free(before);
}

/* The speed of a tokenizer, whose ids are summed up: the same text gives the same sum. */
static void test_tokenizer_speed(void **state)
{
    const fixture *f = *state;
    static const char rows[] = "\"one two three\"\n\n\"four\"\n";
    put_text(f, "text.txt", rows);
    says(f, "bench --model " BUNDLED " --tokenizer @/text.txt", 0, "2 documents, 0.00 MB, ");
    says(f, "bench --model " BUNDLED " --tokenizer @/text.txt --json", 0, "{\"documents\":2,\"bytes\":17,\"tokens\":");
    put_text(f, "five.txt", "\"a\"\n5\n");
    says(f, "bench --model " BUNDLED " --tokenizer @/five.txt", 1, "five.txt: line 2: expected a JSON string");
    says(f, "bench --model " BUNDLED " --tokenizer @/nowhere", 1, "nowhere");
    says(f, "bench --model " IDS_ONLY " --tokenizer @/text.txt", 1, "no tokenizer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convert),   cmocka_unit_test(test_template),   cmocka_unit_test(test_template_sources),
        cmocka_unit_test(test_prompts),   cmocka_unit_test(test_data),       cmocka_unit_test(test_plans),
        cmocka_unit_test(test_no_driver), cmocka_unit_test(test_validation), cmocka_unit_test(test_tokenizer_speed),
    };
    return cmocka_run_group_tests_name("command_cases", tests, set_up, tear_down);
}
