/* Training that diverges: what is not finite is never the best, never saved over a good state, and never a result. */
#include "tests/support/run/run_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

/* The first step has no learning rate, the second one far too much. */
#define SECOND_STEP "--max-steps 2 --learning-rate 1e30 --warmup-steps 1 --lr-scheduler-type constant_with_warmup "

static double number_at(const vkft_test_run_fixture *f, const char *name, const char *key)
{
    cJSON *json = vkft_test_read_json(vkft_test_run_at(f, name));
    double value = cJSON_GetNumberValue(cJSON_GetObjectItem(json, key));
    cJSON_Delete(json);
    return value;
}

static void evaluates(const vkft_test_run_fixture *f, const char *adapter)
{
    vkft_test_program_ok("eval --model %s --quant fp32 --adapter %s/%s --data %s", f->model, f->dir, adapter, f->data);
}

/* The evaluation that is not finite is said, and the best stays that of the step before, as does its checkpoint. */
static void never_the_best(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const char *const more[] = {"", "--save-total-limit 1", "--early-stopping-patience 1"};
    char flags[300], out[20];
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) {
        snprintf(out, sizeof out, "best%zu", i);
        snprintf(flags, sizeof flags, SECOND_STEP "--eval-steps 1 --save-steps 1 %s", more[i]);
        char *said = vkft_test_train(f, out, 0, flags);
        assert_non_null(strstr(said, "step 2: validation loss not finite"));
        assert_non_null(strstr(said, "step 1 has the lowest validation loss"));
        assert_true(i != 2 || strstr(said, "stopped early at step 2"));
        free(said);
        snprintf(flags, sizeof flags, "%s/vkft.json", out);
        assert_true(number_at(f, flags, "best_step") == 1);
        snprintf(flags, sizeof flags, "%s/checkpoint-1/vkft_state.json", out);
        vkft_test_run_present(f, flags);
        snprintf(flags, sizeof flags, "%s/checkpoint-2", out);
        vkft_test_run_absent(f, flags);
        snprintf(flags, sizeof flags, "%s/best-1/adapter_model.safetensors", out);
        vkft_test_run_present(f, flags);
        evaluates(f, out);
    }
}

/* Without a best there is nothing to end with: the run fails, and the checkpoint before stays. */
static void never_a_result(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_run_says(vkft_test_train(f, "last", 1,
                                       SECOND_STEP "--eval-steps 1 --save-steps 1 --save-total-limit 1 "
                                                   "--no-load-best-model-at-end"),
                       "checkpoint-1, is of before that");
    vkft_test_run_present(f, "last/checkpoint-1/vkft_state.json");
    vkft_test_run_absent(f, "last/checkpoint-2");
    vkft_test_run_absent(f, "last/adapter_model.safetensors");
    evaluates(f, "last/checkpoint-1");
    /* numbers that are not finite, and such whose products are not */
    static const char *const rates[] = {"1e38", "1e30"};
    for (int i = 0; i < 2; i++) {
        char flags[300];
        snprintf(
            flags, sizeof flags,
            "--max-steps 1 --no-load-best-model-at-end --lr-scheduler-type constant --warmup-steps 0 --eval-strategy "
            "no --save-strategy %s --learning-rate %s",
            i ? "no" : "steps", rates[i]);
        vkft_test_run_says(vkft_test_train(f, "only", 1, flags), "they are not saved; begin again with a lower");
        vkft_test_run_absent(f, "only/adapter_model.safetensors");
        vkft_test_run_absent(f, "only/checkpoint-1");
        vkft_test_run_drop(f, "only");
    }
}

/* A weight that the result's type cannot hold. */
static void beyond_half_precision(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_err err;
    vkft_tiny_model tiny = vkft_tiny_model_default();
    char flags[700];
    tiny.dtype = VKFT_F16;
    expect_ok(vkft_directory_create(vkft_test_run_at(f, "half"), &err));
    vkft_tiny_model_write(&tiny, vkft_test_run_at(f, "half"));
    snprintf(flags, sizeof flags,
             "--model %s/half --fine-tune-type full --max-steps 1 --warmup-steps 0 --lr-scheduler-type constant "
             "--weight-decay 0 --learning-rate 1e5 --compute-dtype fp32", /* f16 cannot compute with them, which is said
                                                                             first */
             f->dir);
    vkft_test_run_says(vkft_test_train(f, "grown", 1, flags), "a weight has grown to");
    vkft_test_run_absent(f, "grown/model.safetensors");
}

/* The loss is finite and its gradient is not: the step is not taken. */
static void gradient_not_finite(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_run_says(
        vkft_test_train(f, "gradient", 1, "--max-steps 3 --save-steps 1 --lora-alpha 1e30 --compute-dtype fp32"),
        "gradient not finite at step 1");
    vkft_test_run_absent(f, "gradient/checkpoint-1");
    vkft_test_run_absent(f, "gradient/adapter_model.safetensors");
}

static void fails_with(const vkft_test_run_fixture *f, const char *command, const char *message)
{
    vkft_test_result r =
        vkft_test_program("%s --model %s --quant fp32 --adapter %s/poisoned", command, f->model, f->dir);
    if (r.exit_code != 1 || !strstr(r.err, message))
        fail_msg("%s: exit code %d\n%s%s", command, r.exit_code, r.err, r.out);
    vkft_test_result_free(&r);
}

/* An adapter with a value that is not finite, or with a scale that makes products infinite. */
static void poisoned_adapters(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_train_ok(f, "good", "--max-steps 2 --learning-rate 1e-2 --warmup-steps 0");
    char eval[700], per_token[900];
    snprintf(eval, sizeof eval, "eval --data %s", f->data);
    snprintf(per_token, sizeof per_token, "%s --per-token %s/tokens.jsonl", eval, f->dir);
    static const struct {
        const char *alpha; /* what the configuration says instead */
        bool poisoned;
        const char *message;
    } cases[] = {{"32", true, "is nan, expected finite weights"}, {"1e38", false, "not finite"}};
    size_t size;
    char *weights = vkft_test_read(vkft_test_run_at(f, "good/adapter_model.safetensors"), &size);
    cJSON *config = vkft_test_read_json(vkft_test_run_at(f, "good/adapter_config.json"));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err;
        static const float nan = NAN;
        vkft_test_run_put(f, "poisoned/adapter_model.safetensors", "");
        if (cases[i].poisoned)
            memcpy(weights + size - sizeof nan, &nan, sizeof nan);
        expect_ok(vkft_file_write(vkft_test_run_at(f, "poisoned/adapter_model.safetensors"), weights, size, &err));
        cJSON_ReplaceItemInObject(config, "lora_alpha", cJSON_Parse(cases[i].alpha));
        char *text = cJSON_Print(config);
        vkft_test_run_put(f, "poisoned/adapter_config.json", text);
        free(text);
        fails_with(f, eval, cases[i].message);
        fails_with(f, per_token, cases[i].message);
        vkft_test_run_absent(f, "tokens.jsonl");
        fails_with(f, "generate --prompt-ids 1,2,3 --max-new-tokens 3", cases[i].message);
        fails_with(f, "generate --prompt-ids 1,2,3 --max-new-tokens 3 --temperature 0", cases[i].message);
        free(weights);
        weights = vkft_test_read(vkft_test_run_at(f, "good/adapter_model.safetensors"), &size);
    }
    static const char *const infinite[] = {"1e308", "-1e39"};
    for (size_t i = 0; i < 2; i++) {
        cJSON_ReplaceItemInObject(config, "lora_alpha", cJSON_Parse(infinite[i]));
        char *text = cJSON_Print(config);
        vkft_test_run_put(f, "poisoned/adapter_config.json", text);
        free(text);
        fails_with(f, eval, "lora_alpha ");
    }
    cJSON_Delete(config);
    free(weights);
}

#define BAD_TOKEN 90u
#define STEPS "--no-shuffle --weight-decay 0.1 --learning-rate 1e-2 --warmup-steps 0 --compute-dtype fp16 "
#define GOOD "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n"
#define GOOD_TOO "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 7]}\n"
#define BAD "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [4, 90, 5]}\n"

/* A model in which one token overflows: Granite multiplies its embedding. */
static void write_overflowing(const vkft_test_run_fixture *f, const char *name)
{
    vkft_err err;
    vkft_tiny_model tiny = vkft_tiny_model_default();
    expect_ok(vkft_directory_create(vkft_test_run_at(f, name), &err));
    vkft_tiny_model_write(&tiny, vkft_test_run_at(f, name));
    char path[900];
    snprintf(path, sizeof path, "%s/model.safetensors", vkft_test_run_at(f, name));
    size_t size;
    char *bytes = vkft_test_read(path, &size);
    uint64_t header;
    static const float large = 3e38f;
    memcpy(&header, bytes, sizeof header);
    cJSON *json = cJSON_ParseWithLength(bytes + 8, header);
    const cJSON *tensor = cJSON_GetObjectItem(json, "model.embed_tokens.weight");
    uint64_t at = (uint64_t)cJSON_GetArrayItem(cJSON_GetObjectItem(tensor, "data_offsets"), 0)->valuedouble;
    memcpy(bytes + 8 + header + at + (size_t)BAD_TOKEN * tiny.hidden_size * sizeof large, &large, sizeof large);
    expect_ok(vkft_file_write(path, bytes, size, &err));
    cJSON_Delete(json);
    free(bytes);
    snprintf(path, sizeof path, "%s/config.json", name);
    cJSON *config = vkft_test_read_json(vkft_test_run_at(f, path));
    cJSON_ReplaceItemInObject(config, "model_type", cJSON_CreateString("granite"));
    cJSON_AddNumberToObject(config, "embedding_multiplier", 10);
    char *text = cJSON_Print(config);
    vkft_test_run_put(f, path, text);
    free(text);
    cJSON_Delete(config);
}

static char *train_f16(const vkft_test_run_fixture *f, const char *out, const char *data, int code, const char *more)
{
    char flags[1900];
    snprintf(flags, sizeof flags, "--model %s/inf --data %s/%s " STEPS "%s", f->dir, f->dir, data, more);
    return vkft_test_train(f, out, code, flags);
}

static void same_adapter(const vkft_test_run_fixture *f, const char *a, const char *b)
{
    char name[100];
    size_t sizes[2];
    char *bytes[2];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/adapter_model.safetensors", i ? b : a);
        bytes[i] = vkft_test_read(vkft_test_run_at(f, name), &sizes[i]);
    }
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(bytes[0], bytes[1], sizes[0]);
    free(bytes[0]);
    free(bytes[1]);
}

/* With products in f16 a step that overflows is skipped, and the run is the one that never saw its batch. */
static void skipped_steps(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char *before = vkft_test_swap_environment("VKFT_STRATEGY", "coop,half,panel,direct");
    write_overflowing(f, "inf");
    vkft_test_run_put(f, "bad/train.jsonl", GOOD BAD GOOD_TOO);
    vkft_test_run_put(f, "good/train.jsonl", GOOD GOOD_TOO);
    vkft_test_run_put(f, "hopeless/train.jsonl", BAD BAD);
    char *said = train_f16(f, "f16", "good", 0, "--max-steps 1");
    bool in_f16 = strstr(said, "computed in fp16") != NULL;
    free(said);
    if (!in_f16) {
        print_message("skipped: this device computes no products in fp16\n");
        free(vkft_test_swap_environment("VKFT_STRATEGY", before));
        free(before);
        skip();
    }
    said = train_f16(f, "skips", "bad", 0, "--max-steps 6 --save-steps 2 --save-total-limit 9");
    assert_non_null(strstr(said, "step 2 is skipped: its loss or gradient is not finite"));
    assert_non_null(strstr(said, "step 5 is skipped"));
    assert_non_null(strstr(said, "2 steps whose loss or gradient was not finite"));
    assert_non_null(strstr(said, "  skipped 2  "));
    free(said);
    assert_true(number_at(f, "skips/vkft.json", "skipped_steps") == 2);
    cJSON *log = vkft_test_read_jsonl(vkft_test_run_at(f, "skips/trainer_log.jsonl"));
    static const double counts[] = {0, 1, 1, 1, 2, 2}, rates[] = {6, 5, 5, 4, 3, 3}; /* sixths of the first rate */
    for (int i = 0; i < 6; i++) {
        const cJSON *row = cJSON_GetArrayItem(log, i), *count = cJSON_GetObjectItem(row, "skipped_steps");
        assert_true((count ? count->valuedouble : 0) == counts[i]);
        assert_true(fabs(cJSON_GetNumberValue(cJSON_GetObjectItem(row, "learning_rate")) - 1e-2 / 6 * rates[i]) < 1e-9);
        assert_true(!cJSON_IsNumber(cJSON_GetObjectItem(row, "grad_norm")) == (i == 1 || i == 4));
    }
    cJSON_Delete(log);
    char resume[900];
    snprintf(resume, sizeof resume, "--max-steps 6 --resume-from-checkpoint %s/skips/checkpoint-2", f->dir);
    free(train_f16(f, "resumed", "bad", 0, resume));
    same_adapter(f, "skips", "resumed");
    free(train_f16(f, "six", "bad", 0, "--max-steps 6 --lr-scheduler-type constant"));
    free(train_f16(f, "four", "good", 0, "--max-steps 4 --lr-scheduler-type constant"));
    same_adapter(f, "six", "four");
    vkft_test_run_put(f, "first/train.jsonl", BAD GOOD);
    free(train_f16(f, "first_one", "first", 0, "--max-steps 3 --save-steps 1"));
    vkft_test_run_says(train_f16(f, "hopeless1", "hopeless", 1, "--max-steps 3"), "not finite in the last 3 steps");
    vkft_test_run_says(train_f16(f, "hopeless2", "hopeless", 1, "--max-steps 30"), "not finite in the last 16 steps");
    vkft_test_run_absent(f, "hopeless1/adapter_model.safetensors");
    free(vkft_test_swap_environment("VKFT_STRATEGY", before));
    free(before);
}

/* In f32 the same batch ends the run. */
static void not_skipped_in_f32(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char flags[900];
    snprintf(flags, sizeof flags, "--model %s/inf --data %s/bad --no-shuffle --max-steps 6 --compute-dtype fp32",
             f->dir, f->dir);
    vkft_test_run_says(vkft_test_train(f, "exact", 1, flags), "not finite at step 2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_the_best),        cmocka_unit_test(never_a_result),
        cmocka_unit_test(beyond_half_precision), cmocka_unit_test(gradient_not_finite),
        cmocka_unit_test(poisoned_adapters),     cmocka_unit_test(skipped_steps),
        cmocka_unit_test(not_skipped_in_f32),
    };
    return cmocka_run_group_tests_name("divergence", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
