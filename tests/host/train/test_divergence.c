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
    vkft_test_run_says(vkft_test_train(f, "gradient", 1, "--max-steps 3 --save-steps 1 --lora-alpha 1e30"),
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_the_best),        cmocka_unit_test(never_a_result),
        cmocka_unit_test(beyond_half_precision), cmocka_unit_test(gradient_not_finite),
        cmocka_unit_test(poisoned_adapters),
    };
    return cmocka_run_group_tests_name("divergence", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
