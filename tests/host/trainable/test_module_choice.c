/* Flags that name modules: what PEFT adapts for the same settings (golden/make_module_choice_golden.py), what is
 * written of them, and what is refused. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/trainable/adapters.h"
#include "tests/support/program.h"

#define CASES VKFT_TEST_DATA "/peft/module_choice.json"

static const vkft_adapter_config config = {.r = 4, .lora_alpha = 8};

typedef struct fixture {
    vkft_config config;
    vkft_model model;
} fixture;

static void open_model(fixture *f, const cJSON *golden)
{
    vkft_err err = {0};
    char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(golden, "config"));
    expect_ok(vkft_config_parse(text, strlen(text), "config.json", &f->config, &err));
    expect_ok(vkft_model_init(&f->model, &f->config, NULL, VKFT_STORAGE_f32, false, &err));
    cJSON_free(text);
}

static vkft_module_choice choice_of(const cJSON *flags)
{
    return (vkft_module_choice){
        .target = cJSON_GetStringValue(cJSON_GetObjectItem(flags, "target")),
        .exclude = cJSON_GetStringValue(cJSON_GetObjectItem(flags, "exclude")),
        .layers = cJSON_GetStringValue(cJSON_GetObjectItem(flags, "layers")),
        .layers_pattern = cJSON_GetStringValue(cJSON_GetObjectItem(flags, "layers_pattern")),
        .rank_pattern = cJSON_GetStringValue(cJSON_GetObjectItem(flags, "rank_pattern")),
        .alpha_pattern = cJSON_GetStringValue(cJSON_GetObjectItem(flags, "alpha_pattern")),
    };
}

/* The set has PEFT's modules, each with PEFT's rank and alpha. */
static void check_set(const vkft_adapter_set *set, const cJSON *modules)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_adapted_module *m = &set->modules[i];
        const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(modules, m->name);
        if (!wanted)
            fail_msg("%s has an adapter, and none in PEFT", m->name);
        assert_true(m->r == cJSON_GetArrayItem(wanted, 0)->valuedouble);
        assert_true((double)m->lora_alpha == cJSON_GetArrayItem(wanted, 1)->valuedouble);
    }
    assert_int_equal(set->count, cJSON_GetArraySize(modules));
}

/* What is written selects the same modules again by its names alone, and so in PEFT. */
static void check_written(const vkft_adapter_set *set, const cJSON *modules)
{
    vkft_adapter adapter, back;
    vkft_adapter_set again;
    vkft_err err = {0};
    char *dir = vkft_test_directory();
    float *flat = calloc(vkft_parameter_space_length(&set->layout), sizeof *flat);
    expect_ok(vkft_adapter_set_export(set, flat, "base", &adapter, &err));
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
    expect_ok(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err));
    for (uint32_t i = 0; i < set->model->module_count; i++) {
        const char *name = set->model->modules[i].name;
        bool named;
        expect_ok(vkft_module_targets_find(&back.config.targets, name, &named, &err));
        if (named != cJSON_HasObjectItem(modules, name))
            fail_msg("%s is %snamed by what was written", name, named ? "" : "not ");
    }
    expect_ok(vkft_adapter_set_choose_from(&again, set->model, &back, &err));
    check_set(&again, modules);
    vkft_adapter_set_free(&again);
    vkft_adapter_free(&adapter);
    vkft_adapter_free(&back);
    free(flat);
    vkft_test_remove_directory(dir);
}

static void as_peft_chooses(void **state)
{
    (void)state;
    cJSON *cases = vkft_test_read_json(CASES);
    const cJSON *golden;
    assert_true(cJSON_GetArraySize(cases) >= 15);
    cJSON_ArrayForEach(golden, cases)
    {
        fixture f;
        vkft_adapter_set set;
        vkft_err err = {0};
        open_model(&f, golden);
        const vkft_module_choice choice = choice_of(cJSON_GetObjectItem(golden, "flags"));
        print_message("%s\n", choice.target);
        expect_ok(vkft_adapter_set_choose(&set, &f.model, &vkft_method_lora, &choice, &config, &err));
        check_set(&set, cJSON_GetObjectItem(golden, "modules"));
        check_written(&set, cJSON_GetObjectItem(golden, "modules"));
        vkft_adapter_set_free(&set);
        vkft_model_free(&f.model);
    }
    cJSON_Delete(cases);
}

/* What leaves modules out is written as it was given, and goes on with the adapter. */
static void settings_are_written(void **state)
{
    (void)state;
    static const vkft_module_choice choices[] = {
        {.target = "q_proj,down_proj", .layers = "1,11", .layers_pattern = "layers"},
        {.target = "all-linear", .exclude = ".*\\.mlp\\..*"},
    };
    static const char *const written[][2] = {
        {"{\"target_modules\":[\"down_proj\",\"q_proj\"],\"layers_to_transform\":[1,11],\"layers_pattern\":[\"layers\"]"
         "}",
         "layers_to_transform"},
        {"{\"target_modules\":[\"k_proj\",\"o_proj\",\"q_proj\",\"v_proj\"],\"exclude_modules\":\".*\\\\.mlp\\\\..*\"}",
         "exclude_modules"},
    };
    fixture f;
    vkft_err err = {0};
    cJSON *cases = vkft_test_read_json(CASES);
    open_model(&f, cases->child);
    for (size_t i = 0; i < 2; i++) {
        char *dir = vkft_test_directory(), path[1000];
        vkft_adapter_set set, again;
        vkft_adapter adapter, back;
        expect_ok(vkft_adapter_set_choose(&set, &f.model, &vkft_method_lora, &choices[i], &config, &err));
        float *flat = calloc(vkft_parameter_space_length(&set.layout), sizeof *flat);
        expect_ok(vkft_adapter_set_export(&set, flat, "base", &adapter, &err));
        expect_ok(vkft_adapter_write(dir, &adapter, &err));
        expect_ok(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err));
        expect_ok(vkft_adapter_set_choose_from(&again, &f.model, &back, &err));
        vkft_adapter_free(&adapter);
        expect_ok(vkft_adapter_set_export(&again, flat, "base", &adapter, &err)); /* the second time, as it was read */
        expect_ok(vkft_adapter_write(dir, &adapter, &err));
        snprintf(path, sizeof path, "%s/adapter_config.json", dir);
        cJSON *made = vkft_test_read_json(path), *wanted = cJSON_Parse(written[i][0]);
        for (const cJSON *item = wanted->child; item; item = item->next) {
            char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(made, item->string));
            if (!cJSON_Compare(cJSON_GetObjectItem(made, item->string), item, true))
                fail_msg("%s is %s", item->string, text);
            cJSON_free(text);
        }
        assert_true(cJSON_IsNull(cJSON_GetObjectItem(made, "layers_to_transform")) == (i == 1));
        cJSON_Delete(made);
        cJSON_Delete(wanted);
        vkft_adapter_free(&adapter);
        vkft_adapter_free(&back);
        vkft_adapter_set_free(&set);
        vkft_adapter_set_free(&again);
        free(flat);
        vkft_test_remove_directory(dir);
    }
    vkft_model_free(&f.model);
    cJSON_Delete(cases);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        vkft_module_choice choice;
        const char *message;
    } wrong[] = {
        {{.target = "query"}, "\"query\" matches no linear layer of this model; expected all-linear, q_proj"},
        {{.target = "q_proj,shared"}, "--lora-target-modules: \"shared\" matches no linear layer"},
        {{.target = "(q_proj"}, "'(q_proj' is no regular expression"},
        {{.target = "q_.roj|v_proj"},
         "no linear layer of this model gets an adapter; their names are like model.layers"},
        {{.target = ".*(q_proj|wpe)"}, "the expression matches transformer.wpe too"},
        {{.target = ".*"}, "the expression matches shared too"},
        {{.target = "q_proj", .tokens = "1,x"}, "--trainable-token-indices: found '1,x', expected numbers of tokens"},
        {{.target = "q_proj", .tokens = "[1, 1]"}, "--trainable-token-indices: token 1 is named twice"},
        {{.target = "q_proj", .tokens = "100000000"}, "100000000 is no token of this model"},
        {{.target = "q_proj", .tokens = "{\"q_proj\":[1]}"}, "\"q_proj\" is neither the embedding of this model nor"},
        {{.target = "q_proj,embed_tokens", .tokens = "1"}, "both for model.embed_tokens"},
        {{.target = "q_proj", .save = "embed_tokens", .tokens = "1"}, "model.embed_tokens is already trained whole"},
        {{.target = "q_proj", .tokens = "{\"embed_tokens\":[1],\"model.embed_tokens\":[2]}"}, "embed_tokens twice"},
        {{.target = "q_proj", .exclude = "q_porj"}, "--exclude-modules: \"q_porj\" matches no linear layer"},
        {{.target = "q_proj", .exclude = ".*q_porj"}, "--exclude-modules .*q_porj: the expression matches none"},
        {{.target = "q_proj", .exclude = "q_proj"}, "with what leaves modules out: no linear layer"},
        {{.target = "q_proj", .layers = "12"}, "found '12'; this model's layers have the numbers 0 to 11"},
        {{.target = "q_proj", .layers = "1-3"}, "found '1-3'"},
        {{.target = "q_proj", .layers = "first"}, "found 'first'"},
        {{.target = "q_proj", .layers = ","}, "--layers-to-transform names no layer"},
        {{.target = ".*q_proj", .layers = "1"}, "is an expression; write the numbers of the layers into it"},
        {{.target = "q_proj", .layers_pattern = "layers"}, "--layers-pattern is for --layers-to-transform"},
        {{.target = "q_proj", .layers = "1", .layers_pattern = "blocks"},
         "no linear layer of this model gets an adapter"},
        {{.target = "q_proj", .rank_pattern = "q_proj"}, "--rank-pattern: found 'q_proj', expected NAME=N"},
        {{.target = "q_proj", .rank_pattern = "q_proj=x"}, "--rank-pattern: found 'q_proj=x'"},
        {{.target = "q_proj", .rank_pattern = "=4"}, "--rank-pattern: found '=4'"},
        {{.target = "q_proj", .rank_pattern = "q_proj=0"}, "'q_proj' is 0, expected a whole number from 1 to 65536"},
        {{.target = "q_proj", .rank_pattern = "q_proj=2.5"}, "'q_proj' is 2.5, expected a whole number"},
        {{.target = "q_proj", .alpha_pattern = "q_proj=-1"},
         "--alpha-pattern: 'q_proj' is -1, expected a number above"},
        {{.target = "q_proj", .rank_pattern = "k_proj=4"},
         "\"k_proj\" matches none of the modules that get an adapter"},
        {{.target = "q_proj", .alpha_pattern = "{\"q_proj\":\"x\"}"}, "'q_proj' has no number"},
    };
    fixture f;
    cJSON *cases = vkft_test_read_json(CASES);
    open_model(&f, cases->child);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        vkft_adapter_set set;
        vkft_err err = {0};
        expect_failure(vkft_adapter_set_choose(&set, &f.model, &vkft_method_lora, &wrong[i].choice, &config, &err),
                       wrong[i].message);
    }
    vkft_adapter_set set;
    vkft_err err = {0};
    const vkft_module_choice fine = {.target = "q_proj", .exclude = "lm_head"};
    expect_ok(vkft_adapter_set_choose(&set, &f.model, &vkft_method_lora, &fine, &config, &err));
    assert_int_equal(set.count, 12);
    vkft_adapter_set_free(&set);
    vkft_model_free(&f.model);
    cJSON_Delete(cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_peft_chooses),
        cmocka_unit_test(settings_are_written),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
