/* LoRA over a GGUF file's weights as they are stored: the same losses as over the f32 values that they decode to. The
 * file mixes four types, as vkft merge writes it. An adapter remembers which weights it was trained on, and vkft
 * convert makes the file that training uses. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/native/model_file.h"
#include "host/session/as_trained.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

#define STEPS 4        /* from the second one on, losses have updates in them */
#define TOLERANCE 1e-5 /* the same products of the same values, added in another order at most */

static int make_model(void **state)
{
    vkft_err err = {0};
    vkft_test_folder_set_up(state);
    vkft_tiny_model model = vkft_tiny_model_default();
    model.hidden_size = 256;
    model.intermediate_size = 96; /* blocks of 256 do not fit its rows */
    expect_ok(vkft_directory_create(vkft_test_in("model"), &err));
    vkft_tiny_model_write(&model, vkft_test_in("model"));
    vkft_tiny_model_write_rows(91, vkft_test_in("data.jsonl"));
    return 0;
}

static void train(const char *model, const char *out, const char *flags)
{
    vkft_test_program_ok("train --model %s --data %s --output-dir %s --max-steps %d --batch-size 2 --lora-r 4 "
                         "--learning-rate 1e-2 --seed 3 %s",
                         vkft_test_in(model), vkft_test_in("data.jsonl"), vkft_test_in(out), STEPS, flags);
}

static double number(const cJSON *row, const char *key)
{
    const cJSON *member = vkft_json_member(row, key);
    assert_true(cJSON_IsNumber(member));
    return member->valuedouble;
}

static void compare_losses(const char *one, const char *two)
{
    cJSON *a = vkft_test_read_jsonl(vkft_test_in(one)), *b = vkft_test_read_jsonl(vkft_test_in(two));
    int steps = 0;
    for (const cJSON *x = a->child, *y = b->child; x && y; x = x->next, y = y->next) {
        if (!vkft_json_member(x, "grad_norm"))
            continue;
        steps++;
        if (!(fabs(number(x, "loss") - number(y, "loss")) <= TOLERANCE))
            fail_msg("step %d: the loss is %.9g as stored, %.9g over f32", steps, number(x, "loss"), number(y, "loss"));
    }
    assert_int_equal(steps, STEPS);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

/* With what an adapter is used again. */
static void expect_remembered(const char *out, const char *label)
{
    cJSON *root = vkft_test_read_json(vkft_test_in(out));
    const cJSON *weights = vkft_json_member(vkft_json_member(root, "run"), VKFT_RECORD_WEIGHTS);
    assert_true(cJSON_IsString(weights));
    assert_string_equal(weights->valuestring, label);
    cJSON_Delete(root);
}

/* Which types the converted file has, as a set of bits. */
static uint32_t types_of(const char *name)
{
    vkft_err err = {0};
    uint32_t types = 0;
    vkft_model_file *file = vkft_model_file_open(vkft_test_in(name), &err);
    if (!file)
        fail_msg("%s", err.message);
    assert_string_equal(vkft_model_file_quantization(file), "stored");
    for (uint32_t i = 0; i < vkft_model_file_tensor_count(file); i++) {
        const vkft_model_tensor *t = vkft_model_file_tensor(file, i);
        assert_true(t->dims == 1 || vkft_storage_is_quantized(t->storage));
        types |= t->dims == 1 ? 0 : 1u << t->storage;
    }
    vkft_model_file_close(file);
    return types;
}

#define BIT(type) (1u << VKFT_STORAGE_##type)

static void trains_alike(void **state)
{
    (void)state;
    static const uint32_t types = BIT(q4_k) | BIT(q6_k) | BIT(q5_0) | BIT(q8_0);
    vkft_test_program_ok("merge --model %s --gguf %s --type q4_K_M", vkft_test_in("model"), vkft_test_in("mixed.gguf"));
    train("mixed.gguf", "stored", "");
    train("mixed.gguf", "decoded", "--quant none");
    compare_losses("stored/trainer_log.jsonl", "decoded/trainer_log.jsonl");
    expect_remembered("stored/vkft.json", "stored");
    expect_remembered("decoded/vkft.json", "none");
    assert_int_equal(types_of("mixed-vkft-stored.vkft"), types);

    vkft_test_result r = vkft_test_program("convert %s", vkft_test_in("mixed.gguf"));
    assert_non_null(strstr(r.out, "mixed-vkft-stored.vkft: "));
    vkft_test_result_free(&r);
    vkft_test_program_ok("convert %s -o %s", vkft_test_in("mixed.gguf"), vkft_test_in("named.vkft"));
    assert_int_equal(types_of("named.vkft"), types);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(trains_alike)};
    return cmocka_run_group_tests(tests, make_model, vkft_test_folder_tear_down);
}
