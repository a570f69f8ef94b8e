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
        {"--lora-target-modules q_proj,v_proj --rank-pattern q_proj=8",
         "has other ranks or alphas; --rank-pattern or --alpha-pattern asks"},
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

/* transformers' hook is on an embedding that T5's stacks do not call. */
static void noise_without_decoder_only(void **state)
{
    (void)state;
    vkft_test_result r =
        vkft_test_program("train --model " VKFT_TEST_DATA "/golden/t5/model --dry-run --neftune-noise-alpha 5");
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "--neftune-noise-alpha: "));
    assert_non_null(strstr(r.err, "has an encoder and a decoder"));
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
    vkft_test_result r = vkft_test_program("eval --model %s/short --data %s", f->dir, f->data);
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.err, "the longest sample has 5 tokens, and the model was made for 4"));
    vkft_test_result_free(&r);
    strcat(flags, " --max-seq-length 4");
    char *said = vkft_test_train(f, "cut", 0, flags);
    assert_null(strstr(said, "was made for"));
    free(said);
}

/* Positions that are scaled reach farther. */
static void scaled_positions(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_err err;
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.max_position = 4;
    tiny.rope_scaling = "{\"rope_type\": \"linear\", \"factor\": 2.0}";
    expect_ok(vkft_directory_create(vkft_test_run_at(f, "scaled"), &err));
    vkft_tiny_model_write(&tiny, vkft_test_run_at(f, "scaled"));
    vkft_test_result r = vkft_test_program("eval --model %s/scaled --data %s", f->dir, f->data);
    assert_int_equal(r.exit_code, 0);
    assert_null(strstr(r.err, "was made for"));
    vkft_test_result_free(&r);
}

/* Flags that do nothing beside others are said when they are given, and only then. Several go into one run. */
static void flags_without_effect(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const struct {
        const char *flags, *notes[12];
    } cases[] = {
        {"--fine-tune-type full --lora-alpha 3 --iters 1 --num-train-epochs 2 --no-mask-prompt --mask-history "
         "--val-split 0.3 --optim sgd --adam-beta1 0.8 --lr-scheduler-type constant --warmup-steps 3",
         {"--lora-r has no effect with --fine-tune-type full", "--lora-alpha has no effect with --fine-tune-type full",
          "--num-train-epochs has no effect with --max-steps", "--mask-history has no effect with --no-mask-prompt",
          "--val-split has no effect: there is a valid file", "--adam-beta1 has no effect with --optim sgd",
          "--warmup-steps has no effect with --lr-scheduler-type constant"}},
        {"--max-steps 1 --double-quant --optim lion --adam-epsilon 1e-6 --eval-strategy epoch --eval-steps 3 "
         "--save-strategy no --save-steps 3 --logging-strategy epoch --logging-steps 3 --report-to none --logging-dir "
         "x "
         "--allow-changes",
         {"--double-quant has no effect without --quant nf4", "--adam-epsilon has no effect with this --optim",
          "--eval-steps has no effect without --eval-strategy steps",
          "--save-steps has no effect without --save-strategy steps",
          "--logging-steps has no effect without --logging-strategy steps",
          "--logging-dir has no effect with --report-to none", "--allow-changes has no effect without"}},
        {"--max-steps 1 --optim adafactor --adam-beta2 0.9 --adam-epsilon 1e-6 --loraplus-lr-embedding 1e-5",
         {"--adam-beta2 has no effect with --optim adafactor", "--adam-epsilon has no effect with this --optim",
          "--loraplus-lr-embedding has no effect without --loraplus-lr-ratio"}},
        {"--max-steps 1 --eval-strategy no --eval-batches 3 --load-best-model-at-end --loraplus-lr-ratio 2 "
         "--loraplus-lr-embedding 1e-5",
         {"--eval-batches has no effect with --eval-strategy no", "--load-best-model-at-end has no effect with",
          "--loraplus-lr-embedding has no effect: no embedding has an adapter"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char flags[600], note[200];
        snprintf(flags, sizeof flags, "%s --overwrite", cases[i].flags);
        char *said = vkft_test_train(f, "idle", 0, flags);
        size_t count = 0, said_count = 0;
        for (; cases[i].notes[count]; count++) {
            snprintf(note, sizeof note, "note: %s", cases[i].notes[count]);
            if (!strstr(said, note))
                fail_msg("%s, expected '%s'", said, note);
        }
        for (const char *at = said; (at = strstr(at, "has no effect")); at++)
            said_count++;
        if (said_count != count)
            fail_msg("%zu notes, expected %zu: %s", said_count, count, said);
        free(said);
    }
    char *said = vkft_test_train(f, "idle", 0,
                                 "--max-steps 1 --no-double-quant --optim lion --adam-beta1 0.8 --eval-steps 1 "
                                 "--save-steps 1 --logging-steps 1 --lr-scheduler-type constant --warmup-steps 0 "
                                 "--overwrite");
    assert_null(strstr(said, "has no effect"));
    free(said);
}

/* In a recipe the line is named. */
static void recipes_without_effect(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char flags[700];
    vkft_test_run_put(f, "r.yaml", "max_steps: 1\nnum_train_epochs: 7\n");
    snprintf(flags, sizeof flags, "-c %s/r.yaml", f->dir);
    vkft_test_run_says(vkft_test_train(f, "recipe", 0, flags), "r.yaml:2: num_train_epochs has no effect with");
}

static void validation_without_data(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_result r = vkft_test_program(
        "train --model %s --data %s --output-dir %s/no-valid --max-steps 1 --eval-steps 1 --eval-batches 2", f->model,
        f->data, f->dir);
    assert_int_equal(r.exit_code, 0);
    if (!strstr(r.err, "note: --eval-steps, --eval-batches: no effect without validation data"))
        fail_msg("%s", r.err);
    vkft_test_result_free(&r);
}

static void other_commands(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_result r =
        vkft_test_program("eval --model %s --data %s --quant fp32 --double-quant --per-token %s/t.jsonl --packing",
                          f->model, f->data, f->dir);
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.err, "note: --double-quant has no effect without --quant nf4"));
    assert_non_null(strstr(r.err, "note: --packing has no effect with --per-token"));
    vkft_test_result_free(&r);
    r = vkft_test_program("generate --model %s --prompt-ids 1,2 --instruction --max-new-tokens 1", f->model);
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.err, "note: --instruction has no effect with --prompt-ids"));
    vkft_test_result_free(&r);
    r = vkft_test_program("convert %s --overwrite", f->model);
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.err, "note: --overwrite has no effect without --output"));
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters_to_go_on_with), cmocka_unit_test(patience_without_validation),
        cmocka_unit_test(nothing_but_warmup),     cmocka_unit_test(longer_than_the_model),
        cmocka_unit_test(scaled_positions),       cmocka_unit_test(flags_without_effect),
        cmocka_unit_test(recipes_without_effect), cmocka_unit_test(validation_without_data),
        cmocka_unit_test(other_commands),         cmocka_unit_test(noise_without_decoder_only),
    };
    return cmocka_run_group_tests_name("settings without effect", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
