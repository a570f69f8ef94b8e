/* Generation: what comes token by token is what the prompt's pass computes, generation_config.json is obeyed as
 * transformers obeys it, and memory is checked before the start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/generate/generate.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/generate/cases.h"
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
    o.model.compute_dtype = VKFT_F32; /* as the golden values */
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
    o.max_new_tokens_given = true;
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

/* A copy of a golden model whose generation_config.json is the text. */
static char *copy_model(const char *name, const char *generation)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    vkft_err err;
    char *dir = vkft_test_directory(), from[512], to[600];
    for (int i = 0; i < 2; i++) {
        snprintf(from, sizeof from, VKFT_TEST_DATA "/golden/%s/model/%s", name, files[i]);
        snprintf(to, sizeof to, "%s/%s", dir, files[i]);
        vkft_test_copy(from, to);
    }
    snprintf(to, sizeof to, "%s/generation_config.json", dir);
    expect_ok(vkft_file_write(to, generation, strlen(generation), &err));
    return dir;
}

/* 60 tokens each, with repetition penalties and forbidden n-grams, also in a decoder with an encoder. */
static void test_greedy_as_transformers(void **state)
{
    (void)state;
    cJSON *cases = vkft_test_read_json(VKFT_TEST_DATA "/generation_cases.json");
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(cases, "greedy"))
    {
        vkft_err err;
        int32_t prompt[16], want[64];
        char *config = cJSON_PrintUnformatted(cJSON_GetObjectItem(item, "config"));
        char *dir = copy_model(cJSON_GetObjectItem(item, "model")->valuestring, config);
        vkft_generate_options o = greedy(dir);
        generated got = {0};
        vkft_generate_result result;
        o.ignore_eos = false;
        o.ids = prompt;
        o.id_count = vkft_test_ids(item, "ids", prompt, 16);
        expect_ok(vkft_generate(&o, &(vkft_generate_observer){.general = {.context = &got}, .token = on_token}, &result,
                                &err));
        uint32_t count = vkft_test_ids(item, "continuation", want, 64);
        assert_int_equal(result.new_tokens, count);
        assert_int_equal(got.count, count);
        for (uint32_t i = 0; i < count; i++)
            if (got.ids[i] != want[i])
                fail_msg("%s: token %u is %d, expected %d", config, i, (int)got.ids[i], (int)want[i]);
        cJSON_free(config);
        vkft_test_remove_directory(dir);
    }
    cJSON_Delete(cases);
}

typedef struct told {
    generated tokens;
    char said[1024];
} told;

static void on_message(void *context, const char *line)
{
    told *t = context;
    size_t length = strlen(t->said);
    snprintf(t->said + length, sizeof t->said - length, "%s\n", line);
}

/* Generates after three tokens with this generation_config.json; the lines that were said are in t->said. */
static bool generate_by(const char *model, const char *config, const vkft_generate_options *change, told *t,
                        vkft_err *err)
{
    static const int32_t prompt[] = {5, 77, 30};
    char *dir = copy_model(model, config);
    vkft_generate_options o = *change;
    vkft_generate_result result;
    o.model.path = dir;
    o.ids = prompt;
    o.id_count = 3;
    *t = (told){0};
    bool ok = vkft_generate(
        &o, &(vkft_generate_observer){.general = {.context = t, .message = on_message}, .token = on_token}, &result,
        err);
    vkft_test_remove_directory(dir);
    return ok;
}

static bool generate_with(const char *config, const vkft_generate_options *change, told *t, vkft_err *err)
{
    return generate_by("llama_gqa", config, change, t, err);
}

static void test_lengths(void **state)
{
    (void)state;
    vkft_err err = {0};
    told t;
    vkft_generate_options o = greedy("");
    static const struct {
        const char *config;
        uint32_t given, want; /* given: --max-new-tokens, 0: not */
    } cases[] = {
        {"{\"max_new_tokens\":7}", 0, 7}, {"{\"max_new_tokens\":7}", 4, 4},
        {"{\"max_length\":12}", 0, 9},    {"{\"max_length\":12,\"max_new_tokens\":11}", 0, 11},
        {"{\"max_length\":12}", 10, 10},  {"{\"max_length\":1e30,\"max_new_tokens\":5}", 0, 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        o.max_new_tokens_given = cases[i].given != 0;
        o.max_new_tokens = cases[i].given ? cases[i].given : 256;
        expect_ok(generate_with(cases[i].config, &o, &t, &err));
        assert_int_equal(t.tokens.count, cases[i].want);
        assert_string_equal(t.said, "");
    }
    o.max_new_tokens_given = false;
    expect_failure(generate_with("{\"max_length\":3}", &o, &t, &err), "max_length in the model's");
    expect_ok(generate_with("{\"max_new_tokens\":200}", &o, &t, &err)); /* of 128 positions */
    assert_int_equal(t.tokens.count, 125);
    assert_string_equal(t.said, "ended after 128 tokens, prompt included: the model has no more positions\n");
}

/* The end is said by a list, and comes no earlier than the model's authors allow. */
static void test_ends(void **state)
{
    (void)state;
    vkft_err err = {0};
    told t, plain;
    char config[256];
    vkft_generate_options o = greedy("");
    expect_ok(generate_with("{\"max_new_tokens\":12}", &o, &plain, &err));
    const int32_t *ids = plain.tokens.ids, eos = ids[6];
    uint32_t first = 0;
    while (ids[first] != eos)
        first++;
    o.ignore_eos = false;
    snprintf(config, sizeof config, "{\"max_new_tokens\":12,\"eos_token_id\":[96,%d]}", (int)eos);
    expect_ok(generate_with(config, &o, &t, &err));
    assert_int_equal(t.tokens.count, first);
    snprintf(config, sizeof config, "{\"max_new_tokens\":12,\"eos_token_id\":[96,%d],\"min_new_tokens\":12}", (int)eos);
    expect_ok(generate_with(config, &o, &t, &err));
    assert_int_equal(t.tokens.count, 12);
}

static void test_what_is_said(void **state)
{
    (void)state;
    vkft_err err = {0};
    told t;
    vkft_generate_options o = greedy("");
    o.max_new_tokens_given = o.top_k_given = true;
    o.max_new_tokens = 2;
    expect_ok(generate_with("{\"num_beams\":4,\"typical_p\":1.0,\"penalty_alpha\":0.6,\"guidance_scale\":null,"
                            "\"token_healing\":false,\"forced_eos_token_id\":2}",
                            &o, &t, &err));
    assert_string_equal(t.said, "ignored in the model's generation_config.json: num_beams, penalty_alpha, "
                                "forced_eos_token_id\n--top-k has no effect: the temperature is 0, so the likeliest "
                                "token is always taken\n");
    o.temperature_given = o.top_k_given = false;
    o.min_p_given = true;
    expect_ok(generate_with("{\"do_sample\":false,\"num_beams\":1}", &o, &t, &err));
    assert_non_null(strstr(t.said, "--min-p has no effect: the model's generation_config.json asks for no sampling"));
    assert_null(strstr(t.said, "ignored"));
    o = greedy("");
    expect_failure(
        generate_with("{\"suppress_tokens\":[],\"no_repeat_ngram_size\":1,\"max_new_tokens\":125}", &o, &t, &err),
        "no token may come after 97 tokens");
}

/* It would be read from past the end of the embedding. */
static void test_a_first_token_outside_the_vocabulary(void **state)
{
    (void)state;
    vkft_err err = {0};
    told t;
    vkft_generate_options o = greedy("");
    o.max_new_tokens_given = true;
    o.max_new_tokens = 2;
    expect_failure(generate_by("flan_t5", "{\"decoder_start_token_id\":2000000000}", &o, &t, &err),
                   "decoder_start_token_id is 2000000000, but the vocabulary has");
}

static void keep_error(void *context, vkft_err *err)
{
    vkft_err *kept = context;
    assert_int_equal(kept->kind, VKFT_ERR_NONE); /* once */
    *kept = *err;
    err->said = true;
}

/* Whoever asked is told while the model is still there, and told once. */
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
    vkft_err first = {0};
    vkft_generate_observer observer = {.general = {.context = &first, .failing = keep_error}};
    assert_false(vkft_generate(&o, &observer, &result, &err));
    assert_int_equal(err.kind, VKFT_ERR_MEMORY);
    assert_non_null(strstr(err.message, "the run needs "));
    assert_string_equal(first.message, err.message);
    assert_true(err.said);
    assert_int_equal(err.advice, VKFT_ADVICE_LESS_MEMORY);
    assert_null(strchr(err.message, '\n'));
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_split_gives_the_same_tokens),
        cmocka_unit_test(test_greedy_as_transformers),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_what_is_said),
        cmocka_unit_test(test_a_first_token_outside_the_vocabulary),
        cmocka_unit_test(test_a_cache_that_does_not_fit),
    };
    return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
