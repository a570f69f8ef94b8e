/* Bad input from outside: exit code 1, one line on stderr that names the place, and nothing half-written. And the
 * memory plan of --dry-run against what the run holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <cmocka.h>

#include "host/cli/advice.h"
#include "runtime/device.h"
#include "runtime/base/directory.h"
#include "tests/support/expect.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"
#include "tests/support/system/system.h"

typedef struct fixture {
    char *dir;
    char model[512];
} fixture;

static int set_up(void **state)
{
    vkft_err err;
    fixture *f = calloc(1, sizeof *f);
    f->dir = vkft_test_directory();
    snprintf(f->model, sizeof f->model, "%s/model", f->dir);
    expect_ok(vkft_directory_create(f->model, &err));
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, f->model);
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

/* The program ends with exit code 1 and one last line with `part`, and leaves no adapter. */
static void fails(const fixture *f, const char *model, const char *data, const char *more, const char *part)
{
    vkft_test_result r = vkft_test_program(
        "train --model %s --data %s --output-dir %s/out --max-steps 1 --quant fp32 %s", model, data, f->dir, more);
    char *line = strstr(r.err, "vkft: error: ");
    if (r.exit_code != 1 || !line || !strstr(line, part) || strchr(line, '\n') != line + strlen(line) - 1)
        fail_msg("%s, %s %s: exit code %d, expected one line with \"%s\", got:\n%s", model, data, more, r.exit_code,
                 part, r.err);
    char adapter[700];
    snprintf(adapter, sizeof adapter, "%s/out/adapter_model.safetensors", f->dir);
    assert_false(vkft_file_exists(adapter));
    vkft_test_result_free(&r);
}

/* The same with a data file of this name and content. */
static void refuses(const fixture *f, const char *name, const char *content, const char *more, const char *part)
{
    vkft_err err;
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    expect_ok(vkft_file_write(path, content, strlen(content), &err));
    fails(f, f->model, path, more, part);
}

static void test_bad_data(void **state)
{
    const fixture *f = *state;
    refuses(f, "empty.jsonl", "", "", "no sample");
    refuses(f, "blank.jsonl", "\n\n", "", "no sample");
    refuses(f, "json.jsonl", "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [1, 2\n", "", "line 2");
    refuses(f, "keys.jsonl", "{\"question\": \"a\", \"reply\": \"b\"}\n", "", "keys found: question, reply");
    refuses(f, "mixed.jsonl", "{\"input_ids\": [1, 2, 3]}\n{\"text\": \"a\"}\n", "", "line 2");
    refuses(f, "text.jsonl", "{\"text\": \"hello\"}\n", "", "no tokenizer.json");
    refuses(f, "range.jsonl", "{\"input_ids\": [1, 2, 3000]}\n", "", "token id 3000");
    refuses(f, "fraction.jsonl", "{\"input_ids\": [1, 2.5, 3]}\n", "", "input_ids[1]");
    refuses(f, "labels.jsonl", "{\"input_ids\": [1, 2, 3], \"labels\": [1, 2]}\n", "",
            "labels has 2 values and input_ids 3");
    refuses(f, "masked.jsonl", "{\"input_ids\": [1, 2, 3], \"labels\": [-100, -100, -100]}\n", "",
            "nothing is left to train on");
    refuses(f, "cut.jsonl", "{\"input_ids\": [1, 2, 3, 4], \"labels\": [-100, -100, -100, 4]}\n", "--max-seq-length 3",
            "nothing is left to train on");
    refuses(f, "kind.parquet", "a,b\n", "", "expected .jsonl");
    refuses(f, "header.csv", "a,b\n", "", "no sample");
    refuses(f, "quote.csv", "Q,A\nx,\"y\n", "", "line 2: a quote");
    refuses(f, "array.json", "[{\"input_ids\": [1, 2]},\n {\"input_ids\": [1, 2", "", "begins in line 2 is not closed");
    refuses(f, "comma.json", "[{\"input_ids\": [1, 2]}\n{\"input_ids\": [1, 2]}]", "", "line 2: a comma is missing");
    refuses(f, "open.json", "[{\"input_ids\": [1, 2]}\n", "", "the array is not closed");
    refuses(f, "chat.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", "", "no tokenizer");
    refuses(f, "good.jsonl", "{\"input_ids\": [1, 2, 3]}\n", "--chat-template /nonexistent", "/nonexistent");
    refuses(f, "object.json", "{\"version\": [1]}", "", "keys found: version");
    refuses(f, "string.json", "\"text\"", "", "expected an array");
    refuses(f, "half.jsonl", "{\"input_ids\": [1, 2]}\n{\"input_ids\": [3]}\n{\"input_ids\": null}\n", "",
            "more than half: 2 of 3 rows cannot be trained on");
    refuses(f, "stop.jsonl", "{\"input_ids\": [1, 2]}\n{\"input_ids\": [3]}\n", "--on-bad-row error",
            "line 2: this row cannot be trained on: 1 token, 0 of them masked; leave such rows out with --on-bad-row "
            "skip");
    refuses(f, "chosen.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n", "",
            "learn the chosen answers alone with --data-keys completion=chosen");
}

/* A few bad rows are no error; train and data say which they are. */
static void test_bad_rows_are_skipped(void **state)
{
    const fixture *f = *state;
    static const char rows[] = "{\"input_ids\": [1, 2, 3], \"id\": 7}\n{\"input_ids\": [4]}\n{\"input_ids\": [5, 6]}\n"
                               "{\"input_ids\": [5, 6, 7, 8, 9]}\n";
    vkft_err err;
    char path[600];
    snprintf(path, sizeof path, "%s/some.jsonl", f->dir);
    expect_ok(vkft_file_write(path, rows, strlen(rows), &err));
    vkft_test_result r = vkft_test_program("train --model %s --data %s --output-dir %s/some --dry-run --quant fp32",
                                           f->model, path, f->dir);
    assert_int_equal(r.exit_code, 0);
    if (!strstr(r.err, "data: skipped 1 of 4 rows: 1 with nothing to train on (line 2: 1 token, 0 of them masked)") ||
        !strstr(r.err, "data: not used: id"))
        fail_msg("%s", r.err);
    vkft_test_result_free(&r);
    r = vkft_test_program("data %s --model %s --json --max-seq-length 4 --long-rows drop", path, f->model);
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.out, "\"samples\":2,"));
    assert_non_null(strstr(r.out, "\"skipped_rows\":{\"empty\":1,\"too_long\":1},\"unused_keys\":\"id\""));
    vkft_test_result_free(&r);
}

static void test_bad_settings(void **state)
{
    const fixture *f = *state;
    static const char rows[] = "{\"input_ids\": [1, 2, 3]}\n";
    refuses(f, "good.jsonl", rows, "--lora-target-modules query", "matches no linear layer");
    refuses(f, "good.jsonl", rows, "--init-adapter /nonexistent", "/nonexistent");
    refuses(f, "good.jsonl", rows, "--device no-such-device", "matches no device");
    refuses(f, "good.jsonl", rows, "--val-split 0.9", "leaves nothing");
    refuses(f, "good.jsonl", rows, "--output-dir /proc/vkft", "/proc/vkft");
    refuses(f, "good.jsonl", rows, "--compute-dtype bf16", "quantized weights");
}

/* Longer than llvmpipe's loops: with two query heads a key head 120000 tokens. Other drivers have no such limit. */
static void test_too_long_for_software(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    assert_non_null(dev);
    bool limited = vkft_device_get_info(dev)->caps.loop_limit != 0;
    vkft_device_close(dev);
    if (!limited) {
        print_message("skipped: loops have no limit on this device\n");
        skip();
    }
    enum { TOKENS = 120001 };
    char *row = malloc(2 * TOKENS + 32);
    size_t length = (size_t)sprintf(row, "{\"input_ids\": [1");
    for (uint32_t i = 1; i < TOKENS; i++)
        length += (size_t)sprintf(row + length, ",%u", i % 9);
    sprintf(row + length, "]}\n");
    refuses(f, "long.jsonl", row, "--max-seq-length 200000", "more than 120000 tokens, and the longest has 120001");
    free(row);
}

/* A new tiny checkpoint in DIR/name, written into path. */
static void write_model(const fixture *f, const char *name, const vkft_tiny_model *tiny, char path[600])
{
    vkft_err err;
    snprintf(path, 600, "%s/%s", f->dir, name);
    expect_ok(vkft_directory_create(path, &err));
    vkft_tiny_model_write(tiny, path);
}

/* Replaces the first `from` in a text file by `to`. */
static void replace_text(const char *path, const char *from, const char *to)
{
    vkft_err err;
    size_t size;
    char *text = vkft_test_read(path, &size), *at = strstr(text, from), *changed = malloc(size + strlen(to) + 1);
    assert_non_null(at);
    int n = sprintf(changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    expect_ok(vkft_file_write(path, changed, (size_t)n, &err));
    free(text), free(changed);
}

static void test_bad_checkpoints(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    char data[600], model[600], path[700];
    snprintf(data, sizeof data, "%s/tokens.jsonl", f->dir);
    static const char row[] = "{\"input_ids\": [1, 2, 3]}\n";
    expect_ok(vkft_file_write(data, row, strlen(row), &err));
    vkft_tiny_model tiny = vkft_tiny_model_default(), shards = tiny;
    shards.shards = 2;

    fails(f, "/nonexistent/model", data, "", "/nonexistent/model");
    write_model(f, "truncated", &shards, model);
    snprintf(path, sizeof path, "%s/model-00002-of-00002.safetensors", model);
    size_t size;
    char *weights = vkft_test_read(path, &size);
    expect_ok(vkft_file_write(path, weights, size - 1, &err));
    free(weights);
    fails(f, model, data, "", "model-00002-of-00002.safetensors");

    write_model(f, "missing", &shards, model);
    snprintf(path, sizeof path, "%s/model-00001-of-00002.safetensors", model);
    assert_int_equal(remove(path), 0);
    fails(f, model, data, "", "model-00001-of-00002.safetensors");

    write_model(f, "nan", &tiny, model);
    snprintf(path, sizeof path, "%s/model.safetensors", model);
    weights = vkft_test_read(path, &size);
    static const unsigned char nan[4] = {0, 0, 0xc0, 0x7f};
    memcpy(weights + size - 4, nan, 4);
    expect_ok(vkft_file_write(path, weights, size, &err));
    free(weights);
    fails(f, model, data, "", "element 3071 is nan");

    write_model(f, "shape", &tiny, model);
    snprintf(path, sizeof path, "%s/config.json", model);
    replace_text(path, "\"intermediate_size\"", "\"intermediate_size\": 80, \"_\"");
    fails(f, model, data, "", "mlp");

    write_model(f, "architecture", &tiny, model);
    snprintf(path, sizeof path, "%s/config.json", model);
    replace_text(path, "\"model_type\"", "\"model_type\": \"mamba\", \"_\"");
    fails(f, model, data, "", "mamba");
}

static void test_no_device(void **state)
{
    const fixture *f = *state;
    static const char *const names[] = {"VK_DRIVER_FILES", "VK_ICD_FILENAMES"};
    char *before[2];
    for (int i = 0; i < 2; i++) {
        before[i] = vkft_test_swap_environment(names[i], "/nonexistent.json");
    }
    refuses(f, "good.jsonl", "{\"input_ids\": [1, 2, 3]}\n", "", "Vulkan");
    for (int i = 0; i < 2; i++) {
        vkft_test_environment(names[i], before[i]);
        free(before[i]);
    }
}

/* Samples whose activations fill any device that tests run on: the plan is compared with what is free before anything
 * is allocated. */
static void test_too_little_memory(void **state)
{
    const fixture *f = *state;
    vkft_tiny_model wide = vkft_tiny_model_default();
    wide.hidden_size = 2048, wide.intermediate_size = 512, wide.layers = 1, wide.max_position = 4096;
    char model[600];
    write_model(f, "wide", &wide, model);
    char path[600], *text = malloc(3u << 20);
    size_t n = 0;
    for (int row = 0; row < 300; row++) {
        n += (size_t)sprintf(text + n, "{\"input_ids\": [1");
        for (int i = 0; i < 4000; i++)
            n += (size_t)sprintf(text + n, ",2");
        n += (size_t)sprintf(text + n, "]}\n");
    }
    vkft_err err;
    snprintf(path, sizeof path, "%s/long.jsonl", f->dir);
    expect_ok(vkft_file_write(path, text, n, &err));
    free(text);
    fails(f, model, path, "--batch-size 300 --max-seq-length 4096 --no-gradient-checkpointing", "GiB");
}

static bool mount_small(const char *dir, unsigned long flags, const char *how)
{
    return mount("tmpfs", dir, "tmpfs", flags, how) == 0;
}

/* A disk that fills while a checkpoint is written: the run ends with one line, nothing half-written stays, and with
 * space again it goes on. */
static void test_full_disk(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    char data[600], out[600], path[700];
    snprintf(data, sizeof data, "%s/full.jsonl", f->dir);
    snprintf(out, sizeof out, "%s/full", f->dir);
    static const char rows[] = "{\"input_ids\": [1, 2, 3]}\n{\"input_ids\": [4, 5]}\n";
    expect_ok(vkft_file_write(data, rows, strlen(rows), &err));
    expect_ok(vkft_directory_create(out, &err));
    if (!mount_small(out, 0, "size=256k")) {
        print_message("skipped: a small file system cannot be mounted here\n");
        skip();
    }
    const char *flags = "--max-steps 4 --save-steps 2 --lora-r 64 --gradient-accumulation-steps 1 --quant fp32 "
                        "--resume-from-checkpoint auto";
    vkft_test_result r = vkft_test_program("train --model %s --data %s --output-dir %s %s", f->model, data, out, flags);
    snprintf(path, sizeof path, "%s/checkpoint-2", out);
    bool saved = vkft_directory_exists(path), room = mount_small(out, MS_REMOUNT, "size=16m");
    vkft_test_result again =
        vkft_test_program("train --model %s --data %s --output-dir %s %s", f->model, data, out, flags);
    bool saved_again = vkft_directory_exists(path);
    assert_int_equal(umount(out), 0);
    char *line = strstr(r.err, "vkft: error: ");
    if (r.exit_code != 1 || !line || !strstr(line, "checkpoint-2") || strchr(line, '\n') != line + strlen(line) - 1)
        fail_msg("exit code %d:\n%s", r.exit_code, r.err);
    assert_true(room && !saved && saved_again);
    assert_int_equal(again.exit_code, 0);
    vkft_test_result_free(&r);
    vkft_test_result_free(&again);
}

/* Advice is in words of the command's own flags. */
static void test_advice(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    char path[600];
    static const char row[] = "{\"sentence\": \"a\"}\n";
    snprintf(path, sizeof path, "%s/keys.jsonl", f->dir);
    expect_ok(vkft_file_write(path, row, strlen(row), &err));
    fails(f, f->model, path, "", "keys found: sentence; expected text");
    fails(f, f->model, path, "", "(and labels); give other names with --data-keys");

    static const flag flags[] = {{.kind = FLAG_U32, .name = "batch-size"}, {.kind = FLAG_TEXT, .name = "device"}};
    const flag_table one = {.flags = flags, .count = 1}, two = {.flags = flags, .count = 2}, none = {.flags = flags};
    char text[256];
    advice_text(&two, VKFT_ADVICE_LESS_MEMORY, text, sizeof text);
    assert_string_equal(text, "; lower --batch-size or choose another --device");
    advice_text(&one, VKFT_ADVICE_LESS_MEMORY, text, sizeof text);
    assert_string_equal(text, "; lower --batch-size");
    advice_text(&none, VKFT_ADVICE_LESS_MEMORY, text, sizeof text);
    assert_string_equal(text, "");
    advice_text(&two, VKFT_ADVICE_NONE, text, sizeof text);
    assert_string_equal(text, "");
    vkft_fail(&err, VKFT_ERR_MEMORY, "full");
    assert_false(vkft_advise(&err, VKFT_ADVICE_LESS_MEMORY));
    vkft_fail_context(&err, "there");
    assert_int_equal(err.advice, VKFT_ADVICE_LESS_MEMORY);
    vkft_fail(&err, VKFT_ERR_INPUT, "other");
    assert_int_equal(err.advice, VKFT_ADVICE_NONE);
}

/* The device memory that a step holds is what --dry-run says, and does not change from step to step. */
static void test_plan_is_what_runs(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    char path[600];
    static const char rows[] = "{\"input_ids\": [1, 2, 3, 4, 5, 6, 7]}\n{\"input_ids\": [9, 8, 7]}\n{\"input_ids\": "
                               "[3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]}\n";
    snprintf(path, sizeof path, "%s/plan.jsonl", f->dir);
    expect_ok(vkft_file_write(path, rows, strlen(rows), &err));
    static const char *const variants[] = {"--quant fp32", "--quant nf4 --double-quant",
                                           "--quant nf4 --compute-dtype bf16",
                                           "--quant nf4 --no-gradient-checkpointing --lora-dropout 0.1"};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const char *common =
            "--max-steps 6 --batch-size 2 --gradient-accumulation-steps 1 --val-split 0.3 --eval-steps 2 --overwrite";
        vkft_test_result r = vkft_test_program("train --dry-run --json --model %s --data %s --output-dir %s/plan %s %s",
                                               f->model, path, f->dir, common, variants[i]);
        cJSON *plan = cJSON_Parse(r.out);
        assert_non_null(plan);
        double planned = cJSON_GetNumberValue(cJSON_GetObjectItem(plan, "device_bytes"));
        vkft_test_program_ok("train --model %s --data %s --output-dir %s/plan %s %s", f->model, path, f->dir, common,
                             variants[i]);
        snprintf(path, sizeof path, "%s/plan/trainer_log.jsonl", f->dir);
        cJSON *log = vkft_test_read_jsonl(path), *row;
        cJSON_ArrayForEach(row, log)
        {
            const cJSON *held = cJSON_GetObjectItem(row, "memory_bytes");
            if (held && held->valuedouble != planned)
                fail_msg("%s: planned %.0f bytes, held %.0f", variants[i], planned, held->valuedouble);
        }
        snprintf(path, sizeof path, "%s/plan.jsonl", f->dir);
        cJSON_Delete(log);
        cJSON_Delete(plan);
        vkft_test_result_free(&r);
    }
}

static bool is_no_conversion(void *context, const char *name)
{
    (void)context;
    return strstr(name, "vkft-") == NULL;
}

/* A plan without data reads config.json alone, wherever the checkpoint lies; a .vkft file carries its own. */
static void test_plan_converts_nothing(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    vkft_tiny_model tiny = vkft_tiny_model_default();
    char model[600];
    snprintf(model, sizeof model, "%s/my.vkft-runs/model", f->dir);
    expect_ok(vkft_directory_create(model, &err));
    vkft_tiny_model_write(&tiny, model);
    vkft_test_program_ok("train --dry-run --json --model %s", model);
    vkft_test_program_ok("train --dry-run --json --model %s/config.json", model);
    expect_ok(vkft_directory_list(model, is_no_conversion, NULL, &err));
    vkft_test_program_ok("convert %s -o %s/native --quant nf4", model, f->dir);
    vkft_test_program_ok("train --dry-run --json --model %s/native", f->dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bad_data),
                                       cmocka_unit_test(test_bad_rows_are_skipped),
                                       cmocka_unit_test(test_bad_settings),
                                       cmocka_unit_test(test_bad_checkpoints),
                                       cmocka_unit_test(test_too_long_for_software),
                                       cmocka_unit_test(test_no_device),
                                       cmocka_unit_test(test_too_little_memory),
                                       cmocka_unit_test(test_full_disk),
                                       cmocka_unit_test(test_plan_is_what_runs),
                                       cmocka_unit_test(test_plan_converts_nothing),
                                       cmocka_unit_test(test_advice)};
    return cmocka_run_group_tests_name("errors", tests, set_up, tear_down);
}
