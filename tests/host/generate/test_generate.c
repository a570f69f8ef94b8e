/* Generation: what comes token by token is what the prompt's pass computes, and memory is checked before the start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/generate/generate.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

#define PROMPT 300 /* more than one chunk */
#define NEW 40

typedef struct generated {
    int32_t ids[PROMPT + NEW];
    uint32_t count;
} generated;

static void on_token(void *context, int32_t id)
{
    generated *g = context;
    g->ids[g->count++] = id;
}

static vkft_generate_options greedy(const char *dir)
{
    vkft_generate_options o = vkft_generate_defaults();
    o.model.path = dir;
    o.model.device = getenv("VKFT_DEVICE");
    o.model.quant = VKFT_STORAGE_f32;
    o.model.quant_explicit = true;
    o.temperature = 0;
    o.temperature_given = o.ignore_eos = true;
    return o;
}

static void continue_prompt(const char *dir, generated *g, uint32_t tokens)
{
    vkft_err err;
    vkft_generate_options o = greedy(dir);
    int32_t prompt[PROMPT + NEW];
    vkft_generate_result result;
    vkft_generate_observer observer = {.general = {.context = g}, .token = on_token};
    memcpy(prompt, g->ids, g->count * sizeof *prompt);
    o.ids = prompt;
    o.id_count = g->count;
    o.max_new_tokens = tokens;
    expect_ok(vkft_generate(&o, &observer, &result, &err));
    assert_int_equal(result.new_tokens, tokens);
}

/* Each token depends on the keys and values of all before, whether a chunk of the prompt or single steps left them, and
 * in a window on the last ones alone. */
static void test_any_split_gives_the_same_tokens(void **state)
{
    (void)state;
    for (uint32_t window = 0; window <= 24; window += 24) {
        char *dir = vkft_test_directory();
        vkft_tiny_model tiny = vkft_tiny_model_default();
        tiny.max_position = PROMPT + NEW;
        tiny.model_type = window ? "mistral" : "llama";
        tiny.sliding_window = window;
        tiny.deviation = 0.5;
        vkft_tiny_model_write(&tiny, dir);
        generated whole = {.count = PROMPT}, split = {.count = PROMPT};
        for (int32_t i = 0; i < PROMPT; i++)
            whole.ids[i] = split.ids[i] = (7 * i * i + 3 * i) % 96;
        continue_prompt(dir, &whole, NEW);
        for (uint32_t done = 0; done < NEW; done += NEW / 4)
            continue_prompt(dir, &split, NEW / 4);
        assert_int_equal(whole.count, PROMPT + NEW);
        assert_memory_equal(whole.ids, split.ids, sizeof whole.ids);
        bool varied = false;
        for (uint32_t i = PROMPT + 1; i < PROMPT + NEW; i++)
            varied |= whole.ids[i] != whole.ids[PROMPT];
        assert_true(varied);
        vkft_test_remove_directory(dir);
    }
}

static void test_a_cache_that_does_not_fit(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *dir = vkft_test_directory();
    vkft_tiny_model tiny = vkft_tiny_model_default();
    tiny.max_position = 2000000000;
    vkft_tiny_model_write(&tiny, dir);
    vkft_generate_options o = greedy(dir);
    const int32_t prompt[] = {1, 2, 3};
    vkft_generate_result result;
    o.ids = prompt;
    o.id_count = 3;
    o.max_new_tokens = 2000000000;
    assert_false(vkft_generate(&o, &(vkft_generate_observer){0}, &result, &err));
    assert_int_equal(err.kind, VKFT_ERR_MEMORY);
    assert_non_null(strstr(err.message, "the run needs "));
    assert_int_equal(err.advice, VKFT_ADVICE_LESS_MEMORY);
    assert_null(strchr(err.message, '\n'));
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_split_gives_the_same_tokens),
        cmocka_unit_test(test_a_cache_that_does_not_fit),
    };
    return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
