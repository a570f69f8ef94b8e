/* Bad input from outside: exit code 1, one line on stderr that names the place, and nothing half-written. And the memory plan of --dry-run
 * against what the run holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "directory.h"
#include "expect.h"
#include "file_io.h"
#include "program.h"
#include "tiny_model.h"

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

/* Trains on a data file with this name and content and expects one last line with `part`. */
static void refuses(const fixture *f, const char *name, const char *content, const char *more, const char *part)
{
    vkft_err err;
    char path[600], out[600];
    snprintf(path, sizeof path, "%s/%s", f->dir, name);
    snprintf(out, sizeof out, "%s/out", f->dir);
    expect_ok(vkft_file_write(path, content, strlen(content), &err));
    vkft_test_result r = vkft_test_program("train --model %s --data %s --output-dir %s --max-steps 1 --quant fp32 %s", f->model, path, out, more);
    char *line = strstr(r.err, "vkft: error: ");
    if (r.exit_code != 1 || !line || !strstr(line, part) || strchr(line, '\n') != line + strlen(line) - 1)
        fail_msg("%s: exit code %d, expected one line with \"%s\", got:\n%s", name, r.exit_code, part, r.err);
    char adapter[700];
    snprintf(adapter, sizeof adapter, "%s/adapter_model.safetensors", out);
    assert_false(vkft_file_exists(adapter));
    vkft_test_result_free(&r);
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
    refuses(f, "labels.jsonl", "{\"input_ids\": [1, 2, 3], \"labels\": [1, 2]}\n", "", "labels has 2 values and input_ids 3");
    refuses(f, "masked.jsonl", "{\"input_ids\": [1, 2, 3], \"labels\": [-100, -100, -100]}\n", "", "nothing is left to train on");
    refuses(f, "cut.jsonl", "{\"input_ids\": [1, 2, 3, 4], \"labels\": [-100, -100, -100, 4]}\n", "--max-seq-length 3", "nothing is left to train on");
    refuses(f, "kind.csv", "a,b\n", "", "expected .jsonl");
    refuses(f, "object.json", "{\"input_ids\": [1]}", "", "expected an array");
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
}

/* The device memory that a step holds is what --dry-run says, and does not change from step to step. */
static void test_plan_is_what_runs(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    char path[600];
    static const char rows[] = "{\"input_ids\": [1, 2, 3, 4, 5, 6, 7]}\n{\"input_ids\": [9, 8, 7]}\n{\"input_ids\": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5]}\n";
    snprintf(path, sizeof path, "%s/plan.jsonl", f->dir);
    expect_ok(vkft_file_write(path, rows, strlen(rows), &err));
    static const char *const variants[] = {"--quant fp32", "--quant nf4 --double-quant", "--quant nf4 --no-gradient-checkpointing --lora-dropout 0.1"};
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const char *common = "--max-steps 6 --batch-size 2 --gradient-accumulation-steps 1 --val-split 0.3 --eval-steps 2 --overwrite";
        vkft_test_result r = vkft_test_program("train --dry-run --json --model %s --data %s --output-dir %s/plan %s %s", f->model, path, f->dir,
                                               common, variants[i]);
        cJSON *plan = cJSON_Parse(r.out);
        assert_non_null(plan);
        double planned = cJSON_GetNumberValue(cJSON_GetObjectItem(plan, "device_bytes"));
        vkft_test_program_ok("train --model %s --data %s --output-dir %s/plan %s %s", f->model, path, f->dir, common, variants[i]);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bad_data), cmocka_unit_test(test_bad_settings), cmocka_unit_test(test_plan_is_what_runs)};
    return cmocka_run_group_tests_name("errors", tests, set_up, tear_down);
}
