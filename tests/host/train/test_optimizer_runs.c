/* paged_adamw_32bit against adamw, and paged_adamw_8bit against adamw_8bit: the same bits after 8 steps, and when a
 * run of one is resumed with the other, with none of the optimizer's state in device memory. And runs with Muon, and
 * with weights in bf16 alone.
 */
#include <math.h>
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

/* With which of the two a run of the other one goes on, too. */
typedef enum resumption { RESUME_NONE, RESUME_PAGED, RESUME_UNPAGED } resumption;

typedef struct run_case {
    const char *golden, *flags;
    const char *trained; /* a file of what was trained */
    bool in_8_bits;
    resumption resumed;
} run_case;

#define LORA "--lora-r 4 --lora-dropout 0.1 "
#define LARGE_LORA "--lora-r 256 --lora-dropout 0.1 " /* with tensors of 4096 values */
#define FULL "--fine-tune-type full "

static const run_case cases[] = {
    {"llama_gqa", LORA "--quant fp32", "adapter_model.safetensors", false, RESUME_PAGED},
    {"t5", LORA "--quant nf4", "adapter_model.safetensors", false, RESUME_NONE},
    {"full_llama", FULL, "model.safetensors", false, RESUME_UNPAGED},
    {"full_t5", FULL, "model.safetensors", false, RESUME_NONE},
    {"full_llama", FULL "--param-dtype bf16", "model.safetensors", false, RESUME_PAGED},
    {"llama_gqa", LARGE_LORA "--quant fp32", "adapter_model.safetensors", true, RESUME_PAGED},
    {"t5", LARGE_LORA "--quant nf4", "adapter_model.safetensors", true, RESUME_NONE},
    {"full_llama", FULL, "model.safetensors", true, RESUME_NONE},
    {"full_t5", FULL, "model.safetensors", true, RESUME_UNPAGED},
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
    vkft_test_result r =
        vkft_test_program("train --model " GOLDEN "%s/model --data " GOLDEN
                          "%s/valid.jsonl --output-dir %s/%s %s --optim %s --batch-size 2 "
                          "--gradient-accumulation-steps 1 --max-steps 8 --learning-rate 1e-3 --save-steps 4 --json "
                          "--eval-strategy no %s",
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
    snprintf(trained, sizeof trained, "checkpoint-8/%s", c->trained);
    vkft_test_same_file(dir, a, b, trained);
    vkft_test_same_file(dir, a, b, "checkpoint-8/optimizer.safetensors");
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
                                           "%s/valid.jsonl %s --optim %s --batch-size 2 --dry-run --json",
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
        bool to_paged = c->resumed == RESUME_PAGED;
        snprintf(resume, sizeof resume, "--resume-from-checkpoint %s/%s/checkpoint-4", dir,
                 to_paged ? "adamw" : "paged");
        if (c->resumed != RESUME_NONE) {
            cJSON_Delete(train(dir, c, optimizer_of(c, to_paged), "resumed", resume));
            same_run(dir, c, "adamw", "resumed");
        }
        vkft_test_remove_directory(dir);
    }
}

/* Of all weights: with Muon, and with weights in bf16 alone, whose updates are rounded by chance. */
#define ROUNDED FULL "--param-dtype bf16 --bf16-stochastic-round "
static const struct {
    run_case run;
    const char *optim;
} full_cases[] = {
    {{"full_llama", FULL, "model.safetensors", false, RESUME_NONE}, "muon"},
    {{"full_llama", ROUNDED, "model.safetensors", false, RESUME_NONE}, "muon"},
    {{"full_t5", ROUNDED, "model.safetensors", false, RESUME_NONE}, "paged_adamw_8bit"},
};

/* It learns, needs the memory that was planned, and goes on from a checkpoint bit for bit. */
static void test_all_weights(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof full_cases / sizeof *full_cases; i++) {
        const run_case *c = &full_cases[i].run;
        const char *optim = full_cases[i].optim;
        char *dir = vkft_test_directory(), resume[700];
        snprintf(resume, sizeof resume, "--resume-from-checkpoint %s/whole/checkpoint-4", dir);
        cJSON *whole = train(dir, c, optim, "whole", ""), *planned = plan(c, optim),
              *resumed = train(dir, c, optim, "resumed", resume);
        same_run(dir, c, "whole", "resumed");
        assert_true(number(whole, "last_loss") < number(whole, "first_loss"));
        assert_true(number(whole, "peak_memory_bytes") == number(planned, "device_bytes"));
        cJSON_Delete(whole);
        cJSON_Delete(planned);
        cJSON_Delete(resumed);
        vkft_test_remove_directory(dir);
    }
}

/* Weights take 2 bytes instead of 4, and nothing else more but the work of one update. */
static void test_memory_of_bf16_alone(void **state)
{
    const run_case exact = {"full_llama", FULL, NULL, false, RESUME_NONE},
                   rounded = {"full_llama", ROUNDED, NULL, false, RESUME_NONE};
    cJSON *before = plan(&exact, "adamw"), *after = plan(&rounded, "adamw");
    double weights = number(after, "bf16 weights"), vectors = number(after, "trained parameters");
    (void)state;
    assert_true(number(before, "trained parameters") == 2 * weights + vectors);
    assert_true(vectors < 0.1 * weights);
    assert_true(number(after, "optimizer state") == number(before, "optimizer state"));
    assert_true(number(after, "gradients") == number(before, "gradients"));
    assert_true(number(after, "device_bytes") ==
                number(before, "device_bytes") - weights + number(after, "optimizer work"));
    cJSON_Delete(before);
    cJSON_Delete(after);
}

/* The loss falls as it does in f32 with steps of 2e-5, with which no weight from 2^-7 on would move if it were rounded
 * to nearest: its neighbours in bf16 are 2^-14 away. These are 19 of 20 weights, whose standard deviation is 0.15. */
static void test_small_steps(void **state)
{
    static const char *const flags[] = {FULL, ROUNDED};
    double fall[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        const run_case c = {"full_llama", flags[i], NULL, false, RESUME_NONE};
        char *dir = vkft_test_directory();
        cJSON *summary = train(dir, &c, "adamw", "run",
                               "--max-steps 20 --batch-size 6 --learning-rate 2e-5 --lr-scheduler-type constant");
        fall[i] = number(summary, "first_loss") - number(summary, "last_loss");
        cJSON_Delete(summary);
        vkft_test_remove_directory(dir);
    }
    print_message("the loss falls by %.6f in f32, by %.6f in bf16 alone\n", fall[0], fall[1]);
    assert_true(fall[0] > 0.1 && fabs(fall[1] - fall[0]) < 0.1 * fall[0]);
}

static void refuses(const char *flags, const char *message)
{
    vkft_test_result r =
        vkft_test_program("train --model " GOLDEN "full_llama/model --data " GOLDEN "full_llama --dry-run %s", flags);
    if (r.exit_code != 1 || !strstr(r.err, message))
        fail_msg("%s: %s", flags, r.err);
    vkft_test_result_free(&r);
}

static void test_what_is_for_all_weights(void **state)
{
    (void)state;
    refuses("--optim muon", "--optim muon is for --fine-tune-type full");
    refuses(FULL "--bf16-stochastic-round", "give --fine-tune-type full and --param-dtype bf16 as well");
    vkft_test_result r = vkft_test_program("train --model " GOLDEN "full_llama/model --data " GOLDEN
                                           "full_llama --dry-run " FULL "--optim muon");
    assert_non_null(strstr(r.err, "muon trains the 14 matrices of blocks"));
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_same_bits_as_adamw), cmocka_unit_test(test_all_weights),
                                       cmocka_unit_test(test_memory_of_bf16_alone), cmocka_unit_test(test_small_steps),
                                       cmocka_unit_test(test_what_is_for_all_weights)};
    return cmocka_run_group_tests_name("runs of optimizers", tests, NULL, NULL);
}
