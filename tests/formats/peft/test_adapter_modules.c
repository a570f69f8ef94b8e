/* Adapters whose modules differ: ranks and alphas by name, modules without weights, and what is no adapter of PEFT's.
 * What names match is what PEFT 0.21 says. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/peft/adapter.h"
#include "formats/tensors/safetensors.h"
#include "host/trainable/adapters.h"
#include "runtime/base/json.h"
#include "tests/support/program.h"

#define MODULES 5

static const char *const modules[MODULES] = {"model.layers.1.self_attn.q_proj", "model.layers.11.self_attn.q_proj",
                                             "q_proj", "model.layers.0.mlp.up_proj",
                                             "model.layers.1.mlp.experts.3.up_proj"};

static void patterns(void **state)
{
    (void)state;
    static const struct {
        const char *json, *values; /* of each module, - for none */
    } cases[] = {
        {"{\"q_proj\":2}", "222--"},
        {"{\"proj\":2}", "-----"},
        {"{\"self.attn.q_proj\":2}", "22---"},
        {"{\"model.layers.1.self_attn.q_proj\":2}", "2----"},
        {"{\"layers.1.*q_proj\":2}", "22---"},
        {"{\"^model.*q_proj\":2}", "22---"},
        {"{\".*\\\\.1\\\\..*\":2}", "2---2"},
        {"{\"up|q_proj\":2}", "222--"},
        {"{\"attn.q_proj\":2}", "-----"},
        {"{\"(q|up)_proj\":2}", "22222"},
        {"{\"1.self_attn.q_proj\":2,\"q_proj\":3,\".*\":4}", "23344"},
        {"{}", "-----"},
        {"null", "-----"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[300];
        vkft_module_patterns p = {0};
        vkft_err err = {0};
        snprintf(text, sizeof text, "{\"rank_pattern\":%s}", cases[i].json);
        cJSON *root = cJSON_Parse(text);
        expect_ok(vkft_module_patterns_read(&p, root, "rank_pattern", "x", &err));
        for (uint32_t m = 0; m < MODULES; m++) {
            double value = 0;
            expect_ok(vkft_module_patterns_find(&p, modules[m], &value, &err));
            double expected = cases[i].values[m] == '-' ? 0 : cases[i].values[m] - '0';
            if (value != expected)
                fail_msg("%s: %s has %g, expected %g", cases[i].json, modules[m], value, expected);
        }
        vkft_module_patterns_free(&p);
        cJSON_Delete(root);
    }
}

static void targets(void **state)
{
    (void)state;
    static const struct {
        const char *json, *named;
    } cases[] = {
        {"{\"target_modules\":[\"q_proj\",\"up_proj\"]}", "xxxxx"},
        {"{\"target_modules\":[\"j\"]}", "....."},
        {"{\"target_modules\":\".*layers\\\\.1\\\\..*q_proj\"}", "x...."},
        {"{\"target_modules\":\"q_proj\"}", "..x.."},
        {"{\"target_modules\":[\"q_proj\"],\"exclude_modules\":[\"layers.1.self_attn.q_proj\"]}", ".xx.."},
        {"{\"target_modules\":[\"q_proj\"],\"exclude_modules\":\".*\\\\.11\\\\..*\"}", "x.x.."},
        {"{\"target_modules\":[\"q_proj\",\"up_proj\"],\"layers_to_transform\":[1]}", "x.x.x"},
        {"{\"target_modules\":[\"q_proj\",\"up_proj\"],\"layers_to_transform\":11}", ".xx.."},
        {"{\"target_modules\":[\"up_proj\"],\"layers_to_transform\":[3],\"layers_pattern\":[\"experts\"]}", "....x"},
        {"{\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[1],\"layers_pattern\":\"layers\"}", "x.x.."},
        {"{\"target_modules\":[\"q_proj\",\"up_proj\"],\"layers_to_transform\":[0,1],\"layers_pattern\":[\"h\","
         "\"layers\"]}",
         "x.xxx"},
        {"{\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[]}", "xxx.."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_module_targets t = {0};
        vkft_err err = {0};
        cJSON *root = cJSON_Parse(cases[i].json);
        expect_ok(vkft_module_targets_read(&t, root, "x", &err));
        for (uint32_t m = 0; m < MODULES; m++) {
            bool named;
            expect_ok(vkft_module_targets_find(&t, modules[m], &named, &err));
            if (named != (cases[i].named[m] == 'x'))
                fail_msg("%s: %s is %snamed", cases[i].json, modules[m], named ? "" : "not ");
        }
        vkft_module_targets_free(&t);
        cJSON_Delete(root);
    }
}

/* Expressions in which no group holds a layer's number, or which take the group's place. */
static void layers_without_numbers(void **state)
{
    (void)state;
    static const char *const patterns[] = {"(zz)|layers", "(layers)", "layers)\\\\Q", "layers\\\\.1)(?:(x)?"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        vkft_module_targets t = {0};
        vkft_err err = {0};
        char text[200];
        bool named;
        snprintf(text, sizeof text,
                 "{\"target_modules\":[\"q_proj\"],\"layers_to_transform\":[0,1],\"layers_pattern\":\"%s\"}",
                 patterns[i]);
        cJSON *root = cJSON_Parse(text);
        if (vkft_module_targets_read(&t, root, "x", &err) && vkft_module_targets_find(&t, modules[0], &named, &err) &&
            named)
            fail_msg("%s: a layer's number was found", text);
        vkft_module_targets_free(&t);
        cJSON_Delete(root);
    }
}

/* Steps are bounded, and their number too. */
static void costly_expressions(void **state)
{
    (void)state;
    vkft_module_patterns p = {0};
    vkft_err err = {0};
    double value;
    cJSON *root = cJSON_Parse("{\"rank_pattern\":{\"(.+)+_d\":2}}"), *many = cJSON_CreateObject();
    expect_ok(vkft_module_patterns_read(&p, root, "rank_pattern", "x", &err));
    expect_failure(vkft_module_patterns_find(&p, modules[0], &value, &err), "fails on model.layers.1.self_attn.q_proj");
    vkft_module_patterns_free(&p);
    cJSON *list = cJSON_AddObjectToObject(many, "rank_pattern");
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof key, "(%d)", i);
        cJSON_AddNumberToObject(list, key, 1);
    }
    expect_failure(vkft_module_patterns_read(&p, many, "rank_pattern", "x", &err), "more than 256 regular expressions");
    vkft_module_patterns_free(&p);
    cJSON_Delete(root);
    cJSON_Delete(many);
}

/* PyTorch's file holds the same adapter as the golden case's. */
static void pickled(void **state)
{
    (void)state;
    vkft_adapter a, b;
    vkft_err err = {0};
    expect_ok(vkft_adapter_read(VKFT_TEST_DATA "/golden/lora_patterns/adapter_init", vkft_adapter_formats(), &a, &err));
    expect_ok(vkft_adapter_read(VKFT_TEST_DATA "/adapter_bin", vkft_adapter_formats(), &b, &err));
    assert_true(a.count == b.count && a.count == 28 && a.config.r == b.config.r);
    for (uint32_t i = 0; i < a.count; i++) {
        const vkft_adapter_tensor *t = &a.tensors[i], *same = NULL;
        for (uint32_t k = 0; k < b.count; k++)
            if (strcmp(b.tensors[k].key, t->key) == 0)
                same = &b.tensors[k];
        assert_true(same && same->rows == t->rows && same->cols == t->cols);
        assert_memory_equal(same->data, t->data, (size_t)t->rows * t->cols * sizeof(float));
    }
    vkft_adapter_free(&a);
    vkft_adapter_free(&b);
}

static void touch(const char *dir, const char *name, const char *text)
{
    vkft_err err = {0};
    char *path = vkft_path_join(dir, name);
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    free(path);
}

/* The message is about the cause, and not about what follows from it. */
static void other_adapters(void **state)
{
    (void)state;
    vkft_adapter back;
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *weights = vkft_path_join(dir, "adapter_model.safetensors");
    touch(dir, "config.json", "{}");
    expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err), "is a model (config.json)");
    const vkft_safetensors_spec spec = {.name =
                                            "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector",
                                        .dtype = VKFT_F32,
                                        .dims = 1,
                                        .shape = {1}};
    const float one = 1;
    vkft_safetensors_writer *writer = vkft_safetensors_create(weights, &spec, 1, &err);
    expect_ok(vkft_safetensors_append(writer, &one, sizeof one, &err) && vkft_safetensors_commit(writer, &err));
    touch(dir, "adapter_config.json", "{\"peft_type\":\"LORA\",\"use_qalora\":true,\"r\":1,\"lora_alpha\":1}");
    expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err), "key 'use_qalora': found true");
    touch(dir, "adapter_config.json", "{\"peft_type\":\"LORA\",\"target_parameters\":[\"x\"],\"r\":1}");
    expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err), "key 'target_parameters'");
    remove(weights);
    touch(dir, "adapters.safetensors", "x");
    touch(dir, "adapter_config.json", "{\"fine_tune_type\":\"lora\"}");
    expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err), "an adapter of MLX");
    free(weights);
    vkft_test_remove_directory(dir);
}

/* Gives an adapter of the golden case with `drop` tensors fewer at the end; base: the name of its model. */
static void change_adapter(const char *dir, uint32_t drop, const char *base, void (*change)(vkft_adapter *))
{
    vkft_adapter a;
    vkft_err err = {0};
    expect_ok(vkft_adapter_read(VKFT_TEST_DATA "/golden/lora_patterns/adapter_init", vkft_adapter_formats(), &a, &err));
    uint32_t count = a.count;
    free(a.config.base_model_name_or_path);
    a.config.base_model_name_or_path = strdup(base);
    a.count -= drop;
    if (change)
        change(&a);
    expect_ok(vkft_adapter_write(dir, &a, &err));
    a.count = count;
    vkft_adapter_free(&a);
}

static void make_shape_wrong(vkft_adapter *a)
{
    a->tensors[0].rows = 1;
}

static void make_name_wrong(vkft_adapter *a)
{
    char *layer = strstr(a->tensors[3].key, "layers.0");
    assert_non_null(layer);
    layer[7] = '7';
}

static void make_module_unknown(vkft_adapter *a)
{
    make_name_wrong(a);
    strstr(a->tensors[2].key, "layers.0")[7] = '7';
}

static void expect_eval(const char *dir, int exit_code, const char *part, const char *absent)
{
    vkft_test_result r =
        vkft_test_program("eval --model %s/model --quant fp32 --data %s/ids.jsonl --adapter %s/adapter", dir, dir, dir);
    if (r.exit_code != exit_code || !strstr(r.err, part) || (absent && strstr(r.err, absent)))
        fail_msg("exit %d: %s", r.exit_code, r.err);
    vkft_test_result_free(&r);
}

/* On the model it is for and on others. */
static void on_a_model(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *adapter = vkft_path_join(dir, "adapter"), to[600];
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t f = 0; f < 2; f++) {
        char from[600];
        snprintf(from, sizeof from, VKFT_TEST_DATA "/golden/lora_patterns/model/%s", files[f]);
        snprintf(to, sizeof to, "%s/model/%s", dir, files[f]);
        vkft_test_copy(from, to);
    }
    snprintf(to, sizeof to, "%s/adapter/x", dir);
    vkft_test_copy(VKFT_TEST_DATA "/golden/lora_patterns/model/config.json", to); /* makes the directory */
    touch(dir, "ids.jsonl", "{\"input_ids\":[1,5,6,7]}\n");

    change_adapter(adapter, 0, "org/Model", NULL);
    expect_eval(dir, 0, "data:", "warning");
    change_adapter(adapter, 0, "/c/models--org--MODEL/snapshots/0123/", NULL);
    expect_eval(dir, 0, "data:", "warning");
    change_adapter(adapter, 0, "org/other-model", NULL);
    expect_eval(dir, 0, "warning: the adapter says that it was trained on 'org/other-model', and the model is '", NULL);
    change_adapter(adapter, 4, "org/model", NULL);
    expect_eval(dir, 0,
                "warning: the adapter's configuration names 2 modules that it has no weights for; they stay as they "
                "are: model.layers.1.self_attn.",
                "trained on");
    change_adapter(adapter, 0, "model", make_shape_wrong);
    expect_eval(dir, 1, "lora_A.weight has shape [1,", NULL);
    change_adapter(adapter, 0, "model", make_name_wrong);
    expect_eval(dir, 1, "adapter: model.layers.0.", NULL);
    change_adapter(adapter, 0, "model", make_module_unknown);
    expect_eval(dir, 1,
                "2 of its 28 tensors belong to no linear layer of this model; the first is "
                "base_model.model.model.layers.7.",
                NULL);
    free(adapter);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns),           cmocka_unit_test(targets), cmocka_unit_test(layers_without_numbers),
        cmocka_unit_test(costly_expressions), cmocka_unit_test(pickled), cmocka_unit_test(other_adapters),
        cmocka_unit_test(on_a_model),
    };
    return cmocka_run_group_tests_name("adapter modules", tests, NULL, NULL);
}
