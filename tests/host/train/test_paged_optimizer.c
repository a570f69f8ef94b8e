/* paged_adamw_32bit against adamw, and paged_adamw_8bit against adamw_8bit: the same bits after 20 steps, and when a
 * run of one is resumed with the other, with none of the optimizer's state in device memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/expect.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden/"

typedef struct run_case {
    const char *golden, *flags;
    const char *trained; /* a file of what was trained */
    bool in_8_bits;
} run_case;

#define LORA "--lora-r 4 --lora-dropout 0.1 "
#define LARGE_LORA "--lora-r 256 --lora-dropout 0.1 " /* with tensors of 4096 values */
#define FULL "--fine-tune-type full "

static const run_case cases[] = {
    {"llama_gqa", LORA "--quant fp32", "adapter_model.safetensors", false},
    {"llama_gqa", LORA "--quant nf4", "adapter_model.safetensors", false},
    {"t5", LORA "--quant fp32", "adapter_model.safetensors", false},
    {"t5", LORA "--quant nf4", "adapter_model.safetensors", false},
    {"full_llama", FULL, "model.safetensors", false},
    {"full_t5", FULL, "model.safetensors", false},
    {"full_llama", FULL "--param-dtype bf16", "model.safetensors", false},
    {"llama_gqa", LARGE_LORA "--quant fp32", "adapter_model.safetensors", true},
    {"t5", LARGE_LORA "--quant nf4", "adapter_model.safetensors", true},
    {"full_llama", FULL, "model.safetensors", true},
    {"full_t5", FULL, "model.safetensors", true},
};

static const char *optimizer_of(const run_case *c, bool paged)
{
    if (c->in_8_bits)
        return paged ? "paged_adamw_8bit" : "adamw_8bit";
    return paged ? "paged_adamw_32bit" : "adamw";
}

/* What both optimizers are given; the caller frees the summary. */
static cJSON *train(const char *dir, const run_case *c, const char *optim, const char *out, const char *more)
{
    vkft_test_result r = vkft_test_program(
        "train --model " GOLDEN "%s/model --data " GOLDEN "%s --output-dir %s/%s %s --optim %s --batch-size 2 "
        "--gradient-accumulation-steps 1 --max-steps 20 --learning-rate 1e-3 --save-steps 10 --json "
        "--no-load-best-model-at-end --eval-steps 1000 %s",
        c->golden, c->golden, dir, out, c->flags, optim, more);
    if (r.exit_code != 0)
        fail_msg("%s %s: %s", c->golden, more, r.err);
    cJSON *summary = cJSON_Parse(r.out);
    assert_non_null(summary);
    vkft_test_result_free(&r);
    return summary;
}

static void same_run(const char *dir, const run_case *c, const char *a, const char *b)
{
    char trained[100];
    snprintf(trained, sizeof trained, "checkpoint-20/%s", c->trained);
    vkft_test_same_file(dir, a, b, trained);
    vkft_test_same_file(dir, a, b, "checkpoint-20/optimizer.safetensors");
    vkft_test_same_file(dir, a, b, c->trained);
}

static double number(const cJSON *object, const char *name)
{
    const cJSON *value = cJSON_GetObjectItem(object, name);
    if (!cJSON_IsNumber(value))
        fail_msg("%s is missing", name);
    return value->valuedouble;
}

static cJSON *plan(const run_case *c, const char *optim)
{
    vkft_test_result r = vkft_test_program("train --model " GOLDEN "%s/model --data " GOLDEN
                                           "%s %s --optim %s --batch-size 2 --dry-run --json",
                                           c->golden, c->golden, c->flags, optim);
    assert_int_equal(r.exit_code, 0);
    cJSON *json = cJSON_Parse(r.out);
    vkft_test_result_free(&r);
    return json;
}

/* The plan moves the state from the device to the host, and where the model reads rounded weights those that they are
 * rounded from, and changes nothing else; so does the run by its counter. */
static void check_memory(const run_case *c, const cJSON *adamw, const cJSON *paged)
{
    cJSON *before = plan(c, optimizer_of(c, false)), *after = plan(c, optimizer_of(c, true));
    double bytes = number(before, "optimizer state"), trained = number(before, "trained parameters");
    if (c->in_8_bits && strstr(c->flags, LARGE_LORA)) /* the models that are trained whole are too small */
        assert_true(bytes > 0.5 * trained && bytes < 0.52 * trained);
    else
        assert_true(bytes == 2 * trained);
    assert_null(cJSON_GetObjectItem(after, "optimizer state"));
    assert_true(number(after, "optimizer state (host)") == bytes);
    if (strstr(c->flags, "bf16")) {
        assert_true(number(after, "trained parameters (host)") == trained);
        assert_true(number(before, "bf16 weights") == number(after, "bf16 weights"));
        assert_true(2 * number(before, "bf16 weights") < trained && 2.1 * number(before, "bf16 weights") > trained);
        bytes += trained;
    }
    assert_true(number(after, "device_bytes") == number(before, "device_bytes") - bytes);
    assert_true(number(after, "host_bytes") == number(before, "host_bytes") + bytes);
    assert_true(number(adamw, "peak_memory_bytes") == number(before, "device_bytes"));
    assert_true(number(paged, "peak_memory_bytes") == number(after, "device_bytes"));
    cJSON_Delete(before);
    cJSON_Delete(after);
}

static void test_same_bits_as_adamw(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const run_case *c = &cases[i];
        char *dir = vkft_test_directory(), resume[700];
        cJSON *adamw = train(dir, c, optimizer_of(c, false), "adamw", ""),
              *paged = train(dir, c, optimizer_of(c, true), "paged", "");
        same_run(dir, c, "adamw", "paged");
        if (strstr(c->flags, "nf4") == NULL)
            check_memory(c, adamw, paged);
        cJSON_Delete(adamw);
        cJSON_Delete(paged);
        bool to_paged = i % 2 == 0; /* each way for LoRA and for all weights */
        snprintf(resume, sizeof resume, "--resume-from-checkpoint %s/%s/checkpoint-10", dir,
                 to_paged ? "adamw" : "paged");
        cJSON_Delete(train(dir, c, optimizer_of(c, to_paged), "resumed", resume));
        same_run(dir, c, "adamw", "resumed");
        vkft_test_remove_directory(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits_as_adamw)};
    return cmocka_run_group_tests_name("paged optimizer", tests, NULL, NULL);
}
