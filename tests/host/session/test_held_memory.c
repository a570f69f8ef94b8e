/* `generate` and `eval` as they are: from its start to its close a session holds the bytes of its plan. The linker puts
 * the functions here in place of the session's, so that the sessions that these commands open can be looked at. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/generate/generate.h"
#include "host/session/session.h"
#include "host/train/train.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

#define GOLDEN VKFT_TEST_DATA "/golden/"

/* Of the sessions of one command; compared after its end, when none is open. */
static struct {
    uint32_t starts, closes;
    vkft_memory_plan plan;
    vkft_memory_stats started, ended;
} seen;

bool __real_vkft_session_start(vkft_session *session, const vkft_memory_plan *plan, const vkft_observer *observer,
                               vkft_err *err);
void __real_vkft_session_close(vkft_session *session);
bool __wrap_vkft_session_start(vkft_session *session, const vkft_memory_plan *plan, const vkft_observer *observer,
                               vkft_err *err);
void __wrap_vkft_session_close(vkft_session *session);

bool __wrap_vkft_session_start(vkft_session *session, const vkft_memory_plan *plan, const vkft_observer *observer,
                               vkft_err *err)
{
    if (!__real_vkft_session_start(session, plan, observer, err))
        return false;
    seen.starts++;
    seen.plan = *plan;
    seen.started = vkft_memory_get_stats(session->dev);
    return true;
}

void __wrap_vkft_session_close(vkft_session *session)
{
    seen.closes++;
    if (session->dev)
        seen.ended = vkft_memory_get_stats(session->dev);
    __real_vkft_session_close(session);
}

static void expect_planned(void)
{
    assert_true(seen.starts == 1 && seen.closes == 1);
    assert_int_equal(seen.started.device_bytes, seen.plan.device_bytes);
    assert_int_equal(seen.started.host_bytes, seen.plan.host_bytes);
    assert_int_equal(seen.ended.allocations, seen.started.allocations);
    assert_int_equal(seen.ended.device_peak_bytes, seen.plan.device_bytes);
}

static vkft_model_options model_options(const char *path, vkft_storage quant)
{
    vkft_model_options o = vkft_model_defaults();
    o.path = path;
    o.device = getenv("VKFT_DEVICE");
    o.quant = quant;
    o.quant_explicit = true;
    return o;
}

static void generate(const char *name, vkft_storage quant, bool adapter)
{
    enum { PROMPT = 30 };
    vkft_err err = {0};
    char model[400], init[400];
    int32_t prompt[PROMPT];
    snprintf(model, sizeof model, GOLDEN "%s/model", name);
    snprintf(init, sizeof init, GOLDEN "%s/adapter_init", name);
    for (int32_t i = 0; i < PROMPT; i++)
        prompt[i] = 3 + i;
    vkft_generate_options o = vkft_generate_defaults();
    o.model = model_options(model, quant);
    o.adapter = adapter ? init : NULL;
    o.ids = prompt;
    o.id_count = PROMPT;
    o.max_new_tokens = 12;
    o.ignore_eos = true;
    vkft_generate_result result;
    memset(&seen, 0, sizeof seen);
    expect_ok(vkft_generate(&o, &(vkft_generate_observer){0}, &result, &err));
    assert_int_equal(result.new_tokens, 12);
    expect_planned();
}

static void evaluate(const char *name, vkft_storage quant, bool adapter, const char *per_token)
{
    vkft_err err = {0};
    char model[400], data[400], init[400];
    snprintf(model, sizeof model, GOLDEN "%s/model", name);
    snprintf(data, sizeof data, GOLDEN "%s/valid.jsonl", name);
    snprintf(init, sizeof init, GOLDEN "%s/adapter_init", name);
    const vkft_eval_options o = {.model = model_options(model, quant),
                                 .data = {.path = data, .max_seq_length = 64, .mask_prompt = true},
                                 .adapter = adapter ? init : NULL,
                                 .per_token = per_token,
                                 .batch_size = 2};
    vkft_eval_result result;
    memset(&seen, 0, sizeof seen);
    expect_ok(vkft_eval(&o, &(vkft_observer){0}, &result, &err));
    assert_true(result.tokens > 0);
    expect_planned();
}

static void test_generate(void **state)
{
    (void)state;
    generate("llama_gqa", VKFT_STORAGE_f32, false);
    generate("llama_gqa", VKFT_STORAGE_nf4, true);
    generate("mixtral", VKFT_STORAGE_f32, true);
    generate("t5", VKFT_STORAGE_f32, true); /* its encoder's keys and values are kept too */
}

static void test_eval(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), per_token[600];
    snprintf(per_token, sizeof per_token, "%s/per_token.jsonl", dir);
    evaluate("llama_gqa", VKFT_STORAGE_f32, true, NULL);
    evaluate("llama_gqa", VKFT_STORAGE_nf4, false, NULL);
    evaluate("t5", VKFT_STORAGE_f32, true, NULL);
    evaluate("mixtral", VKFT_STORAGE_nf4, true, per_token); /* each token's experts are kept too */
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_generate), cmocka_unit_test(test_eval)};
    return cmocka_run_group_tests_name("held memory", tests, NULL, NULL);
}
