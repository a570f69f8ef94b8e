/* PEFT adapters: what is written, what is read back, and what cannot be applied. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/peft/adapter.h"
#include "runtime/base/json.h"
#include "host/trainable/adapters.h"
#include "tests/support/program.h"
#include "formats/tensors/safetensors.h"

#define A_KEY "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
#define B_KEY "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"
#define MLP_KEY "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"

static float a_data[2 * 3] = {1, 2, 3, 4, 5, 6}, b_data[4 * 2] = {-1, 0.1f, 1e-30f, 3e38f, 0, -0.0f, 7, 8};

static const vkft_adapter_config small = {.r = 4, .lora_alpha = 8};

/* Borrowed parts: never freed as an adapter. */
static vkft_adapter make_adapter(void)
{
    static vkft_adapter_tensor tensors[] = {
        {.key = (char *)A_KEY, .rows = 2, .cols = 3, .data = a_data},
        {.key = (char *)B_KEY, .rows = 4, .cols = 2, .data = b_data},
        {.key = (char *)MLP_KEY, .rows = 2, .cols = 3, .data = a_data},
    };
    static char *modules[] = {(char *)"v_proj", (char *)"q_proj", NULL};
    return (vkft_adapter){
        .config = {.format = &vkft_method_lora.format,
                   .r = 2,
                   .lora_alpha = 16,
                   .lora_dropout = 0.05f,
                   .use_rslora = true,
                   .base_model_name_or_path = (char *)"org/\"base\"",
                   .target_modules = modules},
        .tensors = tensors,
        .count = 3,
    };
}

static cJSON *written_config(const char *dir)
{
    char *path = vkft_path_join(dir, "adapter_config.json");
    cJSON *root = vkft_test_read_json(path);
    free(path);
    return root;
}

static void round_trip(void **state)
{
    (void)state;
    char *dir = vkft_test_directory();
    const vkft_adapter adapter = make_adapter();
    vkft_adapter back;
    vkft_err err = {0};
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
    expect_ok(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err));
    assert_int_equal(back.config.r, 2);
    assert_true(back.config.lora_alpha == 16 && back.config.lora_dropout == 0.05f && back.config.use_rslora);
    assert_string_equal(back.config.base_model_name_or_path, "org/\"base\"");
    assert_string_equal(back.config.target_modules[0], "q_proj");
    assert_string_equal(back.config.target_modules[1], "v_proj");
    assert_null(back.config.target_modules[2]);
    assert_false(back.config.target_all_linear);
    assert_int_equal(back.count, 3);
    for (uint32_t i = 0; i < back.count; i++) {
        const vkft_adapter_tensor *x = &adapter.tensors[i], *y = &back.tensors[i];
        assert_string_equal(x->key, y->key); /* in the order given */
        assert_int_equal(x->rows, y->rows);
        assert_int_equal(x->cols, y->cols);
        assert_memory_equal(x->data, y->data, (size_t)x->rows * x->cols * sizeof(float));
    }
    vkft_adapter_free(&back);
    assert_null(back.tensors);
    vkft_test_remove_directory(dir);
}

/* The keys in PEFT's order and with PEFT's values; unknown keys would make it warn. */
static void config_as_peft_writes_it(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "alpha_pattern",
        "auto_mapping",
        "base_model_name_or_path",
        "bias",
        "fan_in_fan_out",
        "inference_mode",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "lora_alpha",
        "lora_dropout",
        "modules_to_save",
        "peft_type",
        "r",
        "rank_pattern",
        "revision",
        "target_modules",
        "task_type",
        "use_dora",
        "use_rslora",
    };
    char *dir = vkft_test_directory();
    vkft_adapter adapter = make_adapter();
    vkft_err err = {0};
    adapter.config.target_all_linear = true;
    adapter.config.target_modules = NULL;
    adapter.config.base_model_name_or_path = NULL;
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
    cJSON *root = written_config(dir);
    size_t n = 0;
    for (const cJSON *item = root->child; item; item = item->next, n++) {
        assert_true(n < sizeof keys / sizeof *keys);
        assert_string_equal(item->string, keys[n]);
    }
    assert_int_equal(n, sizeof keys / sizeof *keys);
    assert_string_equal(cJSON_GetObjectItem(root, "peft_type")->valuestring, "LORA");
    assert_string_equal(cJSON_GetObjectItem(root, "task_type")->valuestring, "CAUSAL_LM");
    assert_string_equal(cJSON_GetObjectItem(root, "bias")->valuestring, "none");
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(root, "base_model_name_or_path")));
    const cJSON *modules = cJSON_GetObjectItem(root, "target_modules");
    assert_int_equal(cJSON_GetArraySize(modules), 2);
    assert_string_equal(modules->child->valuestring, "q_proj");
    assert_string_equal(modules->child->next->valuestring, "up_proj");
    cJSON_Delete(root);

    char *path = vkft_path_join(dir, "adapter_config.json"), *text = vkft_test_read(path, NULL);
    assert_non_null(strstr(text, "\"lora_alpha\":\t16,"));
    assert_non_null(strstr(text, "\"lora_dropout\":\t0.05,"));
    free(text);
    free(path);
    path = vkft_path_join(dir, "adapter_model.safetensors");
    text = vkft_test_read(path, NULL);
    assert_int_equal(strncmp(text + 8, "{\"__metadata__\":{\"format\":\"pt\"},", 31), 0);
    free(text);
    free(path);
    vkft_test_remove_directory(dir);
}

/* One member of a good configuration replaced (value: JSON text). */
static void change_config(const char *dir, const char *key, const char *value)
{
    vkft_err err = {0};
    const vkft_adapter adapter = make_adapter();
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
    cJSON *root = written_config(dir);
    cJSON_DeleteItemFromObject(root, key);
    if (value)
        cJSON_AddItemToObject(root, key, cJSON_Parse(value));
    char *text = cJSON_Print(root), *path = vkft_path_join(dir, "adapter_config.json");
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    free(path);
    cJSON_free(text);
    cJSON_Delete(root);
}

static void settings_that_change_the_result(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *message;
    } cases[] = {
        {"peft_type", "\"LOHA\"", "key 'peft_type': found the string 'LOHA'"},
        {"peft_type", NULL, "key 'peft_type': found nothing"},
        {"task_type", "\"SEQ_CLS\"", "key 'task_type'"},
        {"bias", "\"boft_only\"",
         "found the string 'boft_only', which this version cannot apply; expected none, all or"},
        {"use_dora", "1", "key 'use_dora'"},
        {"use_qalora", "true", "key 'use_qalora'"},
        {"lora_bias", "1", "key 'lora_bias'"},
        {"modules_to_save", "[1]", "key 'modules_to_save'"},
        {"modules_to_save", "\"lm_head\"", "expected a list of names"},
        {"target_parameters", "[\"x\"]", "expected it to be off; or merge the adapter into its model by PEFT's"},
        {"rank_pattern", "{\"q_proj\":0}", "key 'rank_pattern': 'q_proj' is 0, expected a whole number > 0"},
        {"rank_pattern", "{\"q_proj\":2.5}", "key 'rank_pattern': 'q_proj' is 2.5"},
        {"rank_pattern", "{\"q_proj\":1e9}", "key 'rank_pattern': 'q_proj' is 1e+09"},
        {"rank_pattern", "{\"q_proj\":\"4\"}", "key 'rank_pattern': 'q_proj' has no number"},
        {"rank_pattern", "{\"(q_proj\":4}", "key 'rank_pattern': '(q_proj' is no regular expression"},
        {"alpha_pattern", "{\"q_proj\":1e308}", "key 'alpha_pattern': 'q_proj' has no number"},
        {"alpha_pattern", "[4]", "key 'alpha_pattern'"},
        {"target_modules", "\"*.q_proj\"", "key 'target_modules': '*.q_proj' is no regular expression"},
        {"layer_replication", "[[0,4]]", "key 'layer_replication'"},
        {"trainable_token_indices", "[1,-2]",
         "key 'trainable_token_indices': found the number -2, expected the number"},
        {"trainable_token_indices", "{\"wte\":[]}", "key 'trainable_token_indices': expected numbers of tokens"},
        {"trainable_token_indices", "[3,1,3]", "key 'trainable_token_indices': token 3 is named twice"},
        {"ensure_weight_tying", "true", "key 'ensure_weight_tying'"},
        {"init_lora_weights", "\"pissa_niter_4\"", "path_initial_model_for_weight_conversion"},
        {"r", "0", "expected r > 0"},
        {"r", NULL, "key 'r' is missing"},
        {"r", "\"x\"", "key 'r'"},
        {"lora_alpha", NULL, "key 'lora_alpha' is missing"},
        {"lora_dropout", "1", "0 <= lora_dropout < 1"},
        {"lora_alpha", "1e308", "lora_alpha 1e+308 is too large"},
        {"target_modules", "[1]", "key 'target_modules'"},
    };
    char *dir = vkft_test_directory();
    vkft_adapter back;
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        change_config(dir, cases[i].key, cases[i].value);
        expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err), cases[i].message);
        assert_null(back.tensors);
    }
    vkft_test_remove_directory(dir);
}

static void settings_that_do_not(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } cases[] = {
        {"peft_version", "\"0.21.2\""},
        {"qalora_group_size", "16"},
        {"megatron_core", "\"megatron.core\""},
        {"modules_to_save", "[]"},
        {"init_lora_weights", "\"gaussian\""},
        {"loftq_config", "{}"},
        {"task_type", "null"},
        {"fan_in_fan_out", "true"},
        {"lora_dropout", NULL},
        {"use_rslora", NULL},
        {"base_model_name_or_path", "null"},
        {"target_modules", "\"all-linear\""},
        {"target_modules", "\".*q_proj\""},
        {"something_new", "{\"a\":1}"},
    };
    char *dir = vkft_test_directory();
    vkft_adapter back;
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        change_config(dir, cases[i].key, cases[i].value);
        expect_ok(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err));
        assert_int_equal(back.count, 3);
        assert_true(back.config.target_all_linear || back.config.target_modules[0]);
        vkft_adapter_free(&back);
    }
    vkft_test_remove_directory(dir);
}

static void wrong_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        vkft_dtype dtype;
        uint32_t dims;
        float value;
        const char *message;
    } cases[] = {
        {"base_model.model.lm_head.lora_embedding_C", VKFT_F32, 2, 1, "cannot be applied"},
        {"model.layers.0.q_proj.lora_A.weight", VKFT_F32, 2, 1, "cannot be applied"},
        {"base_model.model.lora_A.weight", VKFT_F32, 2, 1, "cannot be applied"},
        {A_KEY, VKFT_I32, 2, 1, "has dtype I32"},
        {A_KEY, VKFT_F32, 1, 1, "1 dimensions"},
        {A_KEY, VKFT_F32, 2, NAN, "element 0 is nan"},
    };
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "adapter_model.safetensors");
    vkft_adapter back, adapter = make_adapter();
    vkft_err err = {0};
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const vkft_safetensors_spec spec = {
            .name = cases[i].name, .dtype = cases[i].dtype, .dims = cases[i].dims, .shape = {1, 1}};
        vkft_safetensors_writer *writer = vkft_safetensors_create(path, &spec, 1, &err);
        expect_ok(vkft_safetensors_append(writer, &cases[i].value, sizeof cases[i].value, &err));
        expect_ok(vkft_safetensors_commit(writer, &err));
        expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err), cases[i].message);
    }
    free(path);
    vkft_test_remove_directory(dir);
}

static void half_precision(void **state)
{
    (void)state;
    static const vkft_dtype types[] = {VKFT_F16, VKFT_BF16};
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "adapter_model.safetensors");
    vkft_err err = {0};
    for (size_t i = 0; i < 2; i++) {
        const vkft_safetensors_spec spec = {.name = A_KEY, .dtype = types[i], .dims = 2, .shape = {2, 3}};
        uint16_t stored[6];
        vkft_adapter back;
        change_config(dir, "r", "2");
        vkft_from_f32(types[i], a_data, 6, stored);
        vkft_safetensors_writer *writer = vkft_safetensors_create(path, &spec, 1, &err);
        expect_ok(vkft_safetensors_append(writer, stored, sizeof stored, &err));
        expect_ok(vkft_safetensors_commit(writer, &err));
        expect_ok(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err));
        assert_memory_equal(back.tensors[0].data, a_data, sizeof a_data); /* small whole numbers are exact */
        vkft_adapter_free(&back);
    }
    free(path);
    vkft_test_remove_directory(dir);
}

static void missing_files(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "adapter_model.bin");
    const vkft_adapter adapter = make_adapter();
    vkft_adapter back;
    vkft_err err = {0};
    expect_failure(vkft_adapter_read("/does/not/exist", vkft_adapter_formats(), &back, &err), "is not a directory");
    expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err), "adapter_config.json': No such file");
    expect_ok(vkft_adapter_write(dir, &adapter, &err));
    expect_ok(vkft_file_write(path, "PK", 2, &err));
    expect_ok(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err)); /* the other file goes first */
    vkft_adapter_free(&back);
    char *weights = vkft_path_join(dir, "adapter_model.safetensors");
    remove(weights);
    free(weights);
    expect_failure(vkft_adapter_read(dir, vkft_adapter_formats(), &back, &err), "adapter_model.bin");
    expect_failure(vkft_adapter_write("/proc", &adapter, &err), "cannot create");
    free(path);
    vkft_test_remove_directory(dir);
}

/* Which layers of a mixture are adapted: no expert unless it is named, and all of a layer's or none. */
static void mixture_of_experts(void **state)
{
    (void)state;
    static const char config_text[] =
        "{\"model_type\":\"qwen3_moe\",\"hidden_size\":64,\"intermediate_size\":32,\"num_hidden_layers\":3,"
        "\"num_attention_heads\":4,\"vocab_size\":64,\"num_experts\":5,\"num_experts_per_tok\":2,\"mlp_only_layers\":["
        "1]}";
    static const struct {
        const char *targets;
        uint32_t count;
    } cases[] = {{"all-linear", 3 * 4 + 3},
                 {"gate", 2},
                 {"q_proj,down_proj", 3 + 1 + 2 * 5},
                 {"model.layers.2.mlp.experts.0.up_proj", 0}};
    vkft_config config;
    vkft_model model;
    vkft_err err = {0};
    expect_ok(vkft_config_parse(config_text, sizeof config_text - 1, "config.json", &config, &err));
    expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_nf4, false, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_adapter_set set, back;
        vkft_adapter adapter;
        if (!cases[i].count) {
            expect_failure(vkft_adapter_set_choose(&set, &model, &vkft_method_lora,
                                                   &(vkft_module_choice){.target = cases[i].targets}, &small, &err),
                           "have 1 of the layer's 5 experts");
            continue;
        }
        expect_ok(vkft_adapter_set_choose(&set, &model, &vkft_method_lora,
                                          &(vkft_module_choice){.target = cases[i].targets}, &small, &err));
        assert_int_equal(set.count, cases[i].count);
        float *flat = malloc(vkft_parameter_space_length(&set.layout) * sizeof *flat),
              *again = malloc(vkft_parameter_space_length(&set.layout) * sizeof *again);
        expect_ok(vkft_adapter_set_init(&set, 1, flat, &err));
        expect_ok(vkft_adapter_set_export(&set, flat, "base", &adapter, &err));
        expect_ok(vkft_adapter_set_choose_from(&back, &model, &adapter, &err));
        assert_int_equal(vkft_parameter_space_length(&back.layout), vkft_parameter_space_length(&set.layout));
        expect_ok(vkft_adapter_set_import(&back, &adapter, again, &err));
        assert_memory_equal(again, flat, vkft_parameter_space_length(&set.layout) * sizeof *flat);
        free(flat), free(again);
        vkft_adapter_set_free(&back);
        expect_ok(vkft_module_patterns_add(&adapter.config.alpha_pattern, "experts.3.down_proj", 5, &err));
        if (strstr(cases[i].targets, "down_proj"))
            expect_failure(vkft_adapter_set_choose_from(&back, &model, &adapter, &err),
                           "experts.3.down_proj has an adapter with r 4 and lora_alpha 5, and");
        else
            expect_ok(vkft_adapter_set_choose_from(&back, &model, &adapter, &err));
        vkft_adapter_free(&adapter);
        vkft_adapter_set_free(&set);
        vkft_adapter_set_free(&back);
    }
    vkft_model_free(&model);
}

/* Short names would select modules of the vision tower too. */
static void inside_a_multimodal_model(void **state)
{
    (void)state;
    static const char config_text[] =
        "{\"model_type\":\"gemma3\",\"text_config\":{\"model_type\":\"gemma3_text\",\"hidden_size\":64,\"vocab_size\":"
        "64,"
        "\"intermediate_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":4}}";
    static const char base[] = "model.language_model.layers.";
    vkft_config config;
    vkft_model model;
    vkft_adapter_set set;
    vkft_adapter adapter;
    vkft_err err = {0};
    expect_ok(vkft_config_parse(config_text, sizeof config_text - 1, "config.json", &config, &err));
    expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_nf4, false, &err));
    expect_ok(vkft_adapter_set_choose(&set, &model, &vkft_method_lora, &(vkft_module_choice){.target = "all-linear"},
                                      &small, &err));
    float *flat = calloc(vkft_parameter_space_length(&set.layout), sizeof *flat);
    expect_ok(vkft_adapter_set_export(&set, flat, "base", &adapter, &err));
    uint32_t count = 0;
    for (char **name = adapter.config.target_modules; *name; name++, count++)
        assert_int_equal(strncmp(*name, base, sizeof base - 1), 0);
    assert_int_equal(count, 2 * 7);
    free(flat);
    vkft_adapter_free(&adapter);
    vkft_adapter_set_free(&set);
    vkft_model_free(&model);
}

/* Written by PEFT itself. */
static void real_adapter(void **state)
{
    (void)state;
    const char *shared = vkft_test_shared_data();
    if (!shared)
        skip();
    char dir[1024];
    vkft_adapter adapter;
    vkft_err err = {0};
    snprintf(dir, sizeof dir, "%s/adapters/gpt2-tigrinya", shared);
    expect_ok(vkft_adapter_read(dir, vkft_adapter_formats(), &adapter, &err));
    assert_int_equal(adapter.count, 72);
    assert_int_equal(adapter.config.r, 8);
    assert_true(adapter.config.lora_alpha == 32 && adapter.config.lora_dropout == 0.05f);
    assert_string_equal(adapter.config.base_model_name_or_path, "gpt2");
    assert_string_equal(adapter.config.target_modules[0], "c_attn");
    assert_string_equal(adapter.config.target_modules[1], "c_proj");
    vkft_adapter_free(&adapter);
}

/* The same adapter through a model of its shape and back: every tensor byte for byte. */
static void real_adapter_through_a_model(void **state)
{
    (void)state;
    static const char config_text[] =
        "{\"model_type\":\"gpt2\",\"n_embd\":768,\"n_layer\":12,\"n_head\":12,\"vocab_size\":64}";
    const char *shared = vkft_test_shared_data();
    if (!shared)
        skip();
    char from[1024], *to = vkft_test_directory(), path[1100];
    vkft_adapter adapter, back;
    vkft_config config;
    vkft_model model;
    vkft_adapter_set set;
    vkft_err err = {0};
    snprintf(from, sizeof from, "%s/adapters/gpt2-tigrinya", shared);
    expect_ok(vkft_adapter_read(from, vkft_adapter_formats(), &adapter, &err));
    expect_ok(vkft_config_parse(config_text, sizeof config_text - 1, "config.json", &config, &err));
    expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_f32, false, &err));
    expect_ok(vkft_adapter_set_choose_from(&set, &model, &adapter, &err));
    assert_int_equal(set.count, 36);
    float *flat = malloc(vkft_parameter_space_length(&set.layout) * sizeof *flat);
    assert_true(vkft_adapter_set_import(&set, &adapter, flat, &err));
    expect_ok(vkft_adapter_set_export(&set, flat, "gpt2", &back, &err));
    assert_true(back.config.fan_in_fan_out);
    expect_ok(vkft_adapter_write(to, &back, &err));

    vkft_tensor_file before, after;
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", from);
    expect_ok(vkft_safetensors_open(path, &before, &err));
    snprintf(path, sizeof path, "%s/adapter_model.safetensors", to);
    expect_ok(vkft_safetensors_open(path, &after, &err));
    assert_int_equal(before.count, after.count);
    for (uint32_t i = 0; i < before.count; i++) {
        const vkft_file_tensor *a = &before.tensors[i], *b = vkft_tensor_file_find(&after, a->name);
        assert_non_null(b);
        assert_true(a->dtype == b->dtype && a->bytes == b->bytes && a->shape[0] == b->shape[0] &&
                    a->shape[1] == b->shape[1]);
        assert_memory_equal(vkft_tensor_file_data(&before, a), vkft_tensor_file_data(&after, b), a->bytes);
    }
    vkft_tensor_file_close(&before);
    vkft_tensor_file_close(&after);
    vkft_adapter_free(&adapter);
    vkft_adapter_free(&back);
    vkft_adapter_set_free(&set);
    vkft_model_free(&model);
    free(flat);
    vkft_test_remove_directory(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(config_as_peft_writes_it),
        cmocka_unit_test(settings_that_change_the_result),
        cmocka_unit_test(settings_that_do_not),
        cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(half_precision),
        cmocka_unit_test(missing_files),
        cmocka_unit_test(real_adapter),
        cmocka_unit_test(real_adapter_through_a_model),
        cmocka_unit_test(mixture_of_experts),
        cmocka_unit_test(inside_a_multimodal_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
