/* A real checkpoint, stories260K of llama2.c: logits, greedy text, and fine-tuning on a real corpus. Skips where the
 * shared data is absent. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/llama2c_tokenizer.h"
#include "tests/support/program.h"

typedef struct fixture {
    const char *data; /* NULL: skip */
    char *dir;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->data = vkft_test_shared_data();
    if (!f->data)
        return 0;
    f->dir = vkft_test_directory();
    static const char *const files[] = {"config.json", "model.safetensors"};
    char from[600], to[600];
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/checkpoints/stories260K/hf/%s", f->data, files[i]);
        snprintf(to, sizeof to, "%s/model/%s", f->dir, files[i]);
        vkft_test_copy(from, to);
    }
    char bin[600];
    snprintf(bin, sizeof bin, "%s/checkpoints/stories260K/tok512.bin", f->data);
    snprintf(to, sizeof to, "%s/model/tokenizer.json", f->dir);
    vkft_llama2c_tokenizer(bin, to);
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    if (f->dir)
        vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

/* The reference program's log-probabilities of its own greedy tokens; it prints 6 decimals, and the bound is the one
 * the format promises. */
static void test_logits(void **state)
{
    const fixture *f = *state;
    if (!f->data)
        skip();
    char path[512];
    snprintf(path, sizeof path, "%s/checkpoints/stories260K/expected_logits.json", f->data);
    cJSON *expected = vkft_test_read_json(path), *row, *ids = cJSON_CreateArray();
    const cJSON *rows = cJSON_GetObjectItem(expected, "rows");
    cJSON_ArrayForEach(row, rows)
        cJSON_AddItemToArray(ids, cJSON_CreateNumber(cJSON_GetNumberValue(cJSON_GetObjectItem(row, "input"))));
    const cJSON *last = cJSON_GetArrayItem(rows, cJSON_GetArraySize(rows) - 1);
    cJSON_AddItemToArray(ids, cJSON_CreateNumber(cJSON_GetNumberValue(cJSON_GetObjectItem(last, "argmax"))));
    char *list = cJSON_PrintUnformatted(ids);
    snprintf(path, sizeof path, "%s/ids.jsonl", f->dir);
    FILE *file = fopen(path, "wb");
    fprintf(file, "{\"input_ids\": %s}\n", list);
    fclose(file);
    vkft_test_program_ok("eval --model %s/model --quant fp32 --data %s/ids.jsonl --per-token %s/out.jsonl", f->dir,
                         f->dir, f->dir);
    snprintf(path, sizeof path, "%s/out.jsonl", f->dir);
    cJSON *got = vkft_test_read_jsonl(path);
    const cJSON *logprobs = cJSON_GetObjectItem(cJSON_GetArrayItem(got, 0), "logprobs");
    double worst = 0;
    int i = 1;
    cJSON_ArrayForEach(row, rows)
    {
        double want = cJSON_GetNumberValue(cJSON_GetObjectItem(row, "logit_max")) -
                      cJSON_GetNumberValue(cJSON_GetObjectItem(row, "logsumexp"));
        worst = fmax(worst, fabs(cJSON_GetNumberValue(cJSON_GetArrayItem(logprobs, i++)) - want));
    }
    print_message("%d log-probabilities within %.1e\n", i - 1, worst);
    assert_true(worst < 1e-4 && i == 65);
    cJSON_free(list);
    cJSON_Delete(ids);
    cJSON_Delete(got);
    cJSON_Delete(expected);
}

static void test_greedy_text(void **state)
{
    const fixture *f = *state;
    if (!f->data)
        skip();
    char path[512];
    snprintf(path, sizeof path, "%s/checkpoints/stories260K/expected_greedy.txt", f->data);
    char *want = vkft_test_read(path, NULL);
    vkft_test_result r = vkft_test_program(
        "generate --model %s/model --quant fp32 --prompt '' --temperature 0 --max-new-tokens 256", f->dir);
    assert_int_equal(r.exit_code, 0);
    size_t n = strlen(want);
    while (n && want[n - 1] == '\n')
        want[--n] = 0;
    if (strncmp(r.out, want, n) != 0)
        fail_msg("got: %s\nwant: %s", r.out, want);
    vkft_test_result_free(&r);
    free(want);
}

static void test_fine_tunes(void **state)
{
    const fixture *f = *state;
    if (!f->data)
        skip();
    char path[512], corpus[512];
    snprintf(path, sizeof path, "%s/corpus.txt", f->dir); /* its first 60 kB are enough to see the loss fall */
    snprintf(corpus, sizeof corpus, "%s/datasets/tinyshakespeare.txt", f->data);
    vkft_test_copy_part(corpus, path, 60000);
    vkft_test_program_ok(
        "train --model %s/model --quant nf4 --data %s --output-dir %s/out --max-seq-length 128 --batch-size 4 "
        "--gradient-accumulation-steps 1 --max-steps 60 --learning-rate 5e-3 --val-split 0.1 --eval-steps 20 "
        "--save-steps 0",
        f->dir, path, f->dir);
    snprintf(path, sizeof path, "%s/out/trainer_log.jsonl", f->dir);
    cJSON *log = vkft_test_read_jsonl(path), *row;
    double first = NAN, last = NAN;
    cJSON_ArrayForEach(row, log)
    {
        const cJSON *loss = cJSON_GetObjectItem(row, "eval_loss");
        if (loss) {
            first = isnan(first) ? loss->valuedouble : first;
            last = loss->valuedouble;
        }
    }
    print_message("validation loss %.4f at step 20, %.4f at step 60\n", first, last);
    assert_true(last < first - 0.05);
    cJSON_Delete(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_logits), cmocka_unit_test(test_greedy_text),
                                       cmocka_unit_test(test_fine_tunes)};
    return cmocka_run_group_tests_name("stories260K", tests, set_up, tear_down);
}
