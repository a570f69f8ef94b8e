/* The summary of a run: in the terminal, in vkft.json, on the page, and in README.md, the model card beside the result.
 * Others' reading of the card is in tests/golden/check_card.py. */
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
#define FLAGS "--batch-size 1 --gradient-accumulation-steps 1 --save-strategy no"

static void write_rows(const char *name, int count)
{
    static const char row[] = "{\"prompt\": \"one two\", \"completion\": \" three\"}\n";
    char text[2000] = "";
    vkft_err err;
    for (int i = 0; i < count; i++)
        strcat(text, row);
    const char *path = vkft_test_in(name);
    char *parent = vkft_path_parent(path);
    expect_ok(vkft_directory_create(parent, &err));
    free(parent);
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
}

static void copy_model(const char *to)
{
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char from[600], path[700];
        snprintf(from, sizeof from, BUNDLED "/%s", files[i]);
        snprintf(path, sizeof path, "%s/%s", vkft_test_in(to), files[i]);
        vkft_test_copy(from, path);
    }
}

static void expect_part(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected '%s' in: %s", part, text);
}

static void test_everywhere(void **state)
{
    (void)state;
    char page[600];
    write_rows("rows.jsonl", 10);
    vkft_test_result r = vkft_test_program(
        "train --model " BUNDLED " --data %s --output-dir %s --max-steps 3 --val-split 0.2 --eval-steps 1 " FLAGS,
        vkft_test_in("rows.jsonl"), vkft_test_in("out"));
    assert_int_equal(r.exit_code, 0);
    static const char *const said[] = {
        "\ndone\n  trained     LoRA adapter, r 16, alpha 32, on 28 modules: ",
        "\n  data        rows.jsonl: 8 samples of prompt/completion, ",
        "\n  validation  2 samples, held out of the data\n",
        "\n  length      3 of 3 steps of 1 samples, 0.375 epochs, ",
        "\n  best        step ",
        "\n  next        ",
    };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        expect_part(r.err, said[i]);
    cJSON *record = vkft_test_read_json(vkft_test_in("out/vkft.json")), *line,
          *lines = cJSON_GetObjectItemCaseSensitive(record, "summary");
    char *card = vkft_test_read(vkft_test_in("out/README.md"), NULL);
    snprintf(page, sizeof page, "%s", vkft_test_in("page.html"));
    vkft_test_program_ok("plot %s -o %s", vkft_test_in("out"), page);
    char *html = vkft_test_read(page, NULL);
    assert_true(cJSON_GetArraySize(lines) >= 9);
    cJSON_ArrayForEach(line, lines)
    {
        char text[600];
        snprintf(text, sizeof text, "\n  %-11s %s\n", line->string, line->valuestring);
        expect_part(r.err, text);
        snprintf(text, sizeof text, "\n| %s | %s |\n", line->string, line->valuestring);
        expect_part(card, text);
        snprintf(text, sizeof text, "<tr><th>%s</th><td>%s</td></tr>", line->string, line->valuestring);
        expect_part(html, text);
    }
    static const char metadata[] = "---\nlibrary_name: peft\npipeline_tag: text-generation\ntags:\n- lora\n- sft\n- "
                                   "vkft\n---\n\n# Adapter for model\n";
    assert_int_equal(strncmp(card, metadata, strlen(metadata)), 0);
    assert_null(strstr(card, vkft_test_folder())); /* nor any other path of this machine */
    assert_null(strstr(card, VKFT_PROJECT_DIR));
    cJSON_Delete(record);
    free(card);
    free(html);
    vkft_test_result_free(&r);
}

/* A model in the hub's cache has a name there; names of files are no markup. */
static void test_names(void **state)
{
    (void)state;
    const bool foreign = vkft_test_program_is_foreign(); /* Windows has no such names of files */
    const char *data = foreign ? "a_b.jsonl" : "a|b_*<i>.jsonl";
    copy_model("models--some-owner--a_Model-1.5/snapshots/0123abcd");
    write_rows(data, 3);
    vkft_test_program_ok("train --model %s --data '%s' --output-dir %s --max-steps 1 --use-dora " FLAGS,
                         vkft_test_in("models--some-owner--a_Model-1.5/snapshots/0123abcd"), vkft_test_in(data),
                         vkft_test_in("named"));
    char *card = vkft_test_read(vkft_test_in("named/README.md"), NULL);
    expect_part(card, "---\nbase_model: some-owner/a_Model-1.5\nbase_model_relation: adapter\nlibrary_name: peft\n");
    expect_part(card, "tags:\n- lora\n- dora\n- sft\n- vkft\n---\n");
    expect_part(card, "\n# Adapter for some-owner/a\\_Model-1.5\n");
    expect_part(card,
                foreign ? "| data | a\\_b.jsonl: 3 samples of" : "| data | a\\|b\\_\\*\\<i\\>.jsonl: 3 samples of");
    expect_part(card, "AutoModelForCausalLM.from_pretrained(\"some-owner/a_Model-1.5\"), \".\")");
    expect_part(card, "| next | hold data out with --val-split");
    free(card);
}

static void test_all_weights(void **state)
{
    (void)state;
    write_rows("few.jsonl", 3);
    vkft_test_program_ok("train --model " BUNDLED " --data %s --output-dir %s --max-steps 1 --fine-tune-type full "
                         "--quant fp32 " FLAGS,
                         vkft_test_in("few.jsonl"), vkft_test_in("full"));
    char *card = vkft_test_read(vkft_test_in("full/README.md"), NULL);
    expect_part(card, "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags:\n- sft\n- vkft\n---\n");
    expect_part(card, "\n# Fine-tuned model\n");
    expect_part(card, "| trained | all weights: ");
    expect_part(card, "model = AutoModelForCausalLM.from_pretrained(\".\")");
    free(card);
}

/* Training on a few rows until the others are forgotten: stopped early, and the advice is about over-fitting. */
static void test_stopped_early(void **state)
{
    (void)state;
    vkft_err err;
    static const char valid[] = "{\"prompt\": \"one two\", \"completion\": \" something else entirely\"}\n";
    write_rows("data/train.jsonl", 2);
    expect_ok(vkft_file_write(vkft_test_in("data/valid.jsonl"), valid, strlen(valid), &err));
    vkft_test_result r = vkft_test_program("train --model " BUNDLED " --data %s --output-dir %s --max-steps 40 "
                                           "--eval-steps 4 --early-stopping-patience 2 --learning-rate 0.02 " FLAGS,
                                           vkft_test_in("data"), vkft_test_in("early"));
    assert_int_equal(r.exit_code, 0);
    expect_part(r.err, "\n  stopped     ");
    expect_part(r.err, "\n  validation  1 samples of the valid file\n");
    expect_part(r.err, "\n  next        the validation loss rose again, to ");
    expect_part(r.err, "the result is that of this step\n");
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everywhere),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_all_weights),
        cmocka_unit_test(test_stopped_early),
    };
    return cmocka_run_group_tests_name("card", tests, vkft_test_folder_set_up, vkft_test_folder_tear_down);
}
