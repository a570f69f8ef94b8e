/* Settings that would do nothing are refused or said, and so are flags for a new adapter where an old one is trained
 * on. */
#include "tests/support/run/run_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

static double member(const vkft_test_run_fixture *f, const char *name, const char *key)
{
    cJSON *config = vkft_test_read_json(vkft_test_run_at(f, name));
    double value = cJSON_GetNumberValue(cJSON_GetObjectItem(config, key));
    cJSON_Delete(config);
    return value;
}

/* --init-adapter goes on with r, alpha and modules of the adapter: what else is asked for is refused, dropout may
 * change. */
static void adapters_to_go_on_with(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const char *const differing[][2] = {
        {"--lora-r 64", "has r 4, alpha 8; --lora-r asks"},
        {"--lora-alpha 1", "has r 4, alpha 8; --lora-alpha asks"},
        {"--use-rslora", "--use-rslora asks"},
        {"--lora-target-modules q_proj", "has 4 modules; --lora-target-modules asks"},
        {"--lora-target-modules all-linear", "has 4 modules; --lora-target-modules asks"},
        {"--lora-target-modules k_proj,v_proj", "--lora-target-modules asks"},
    };
    char flags[800], model[2000];
    snprintf(model, sizeof model, "train --model %s --data %s --quant fp32 --max-steps 1 --output-dir %s/", f->model,
             f->data, f->dir);
    vkft_test_program_ok("%sold --lora-r 4 --lora-alpha 8 --lora-target-modules q_proj,v_proj", model);
    snprintf(flags, sizeof flags, "new --init-adapter %s/old", f->dir);
    for (size_t i = 0; i < sizeof differing / sizeof *differing; i++) {
        vkft_test_result r = vkft_test_program("%s%s %s", model, flags, differing[i][0]);
        if (r.exit_code != 1 || !strstr(r.err, differing[i][1]))
            fail_msg("%s: exit code %d\n%s", differing[i][0], r.exit_code, r.err);
        vkft_test_result_free(&r);
    }
    vkft_test_result r =
        vkft_test_program("%s%s --lora-dropout 0.5 --lora-r 4 --lora-target-modules v_proj,q_proj", model, flags);
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.err, "r 4, alpha 8, dropout 0.5, on 4 modules"));
    assert_null(strstr(r.err, "lora-alpha"));
    assert_null(strstr(r.err, "lora-r 16"));
    vkft_test_result_free(&r);
    assert_true(member(f, "new/adapter_config.json", "r") == 4);
    assert_true(member(f, "new/adapter_config.json", "lora_alpha") == 8);
    assert_true(member(f, "new/adapter_config.json", "lora_dropout") == 0.5);
}

static void patience_without_validation(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_result r = vkft_test_program(
        "train --model %s --data %s --output-dir %s/alone --early-stopping-patience 2", f->model, f->data, f->dir);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "--val-split"));
    vkft_test_result_free(&r);
}

static void nothing_but_warmup(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_run_says(vkft_test_train(f, "warmup", 0, "--max-steps 1"),
                       "the learning rate is 0 in all of the 1 steps");
    char *said = vkft_test_train(f, "warm", 0, "--max-steps 2");
    assert_null(strstr(said, "learning rate is 0"));
    free(said);
}

static void longer_than_the_model(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_err err;
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.max_position = 4;
    char flags[700];
    expect_ok(vkft_directory_create(vkft_test_run_at(f, "short"), &err));
    vkft_tiny_model_write(&tiny, vkft_test_run_at(f, "short"));
    snprintf(flags, sizeof flags, "--model %s/short --max-steps 2", f->dir);
    vkft_test_run_says(vkft_test_train(f, "long", 0, flags),
                       "the longest sample has 5 tokens, and the model was made for 4");
    strcat(flags, " --max-seq-length 4");
    char *said = vkft_test_train(f, "cut", 0, flags);
    assert_null(strstr(said, "was made for"));
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters_to_go_on_with),
        cmocka_unit_test(patience_without_validation),
        cmocka_unit_test(nothing_but_warmup),
        cmocka_unit_test(longer_than_the_model),
    };
    return cmocka_run_group_tests_name("settings without effect", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
