/* What a checkpoint has and the model does not take: an own head beside a tied one, tensors that nobody uses. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/config/arch.h"
#include "formats/convert/model_open.h"
#include "formats/tensors/safetensors.h"
#include "host/model/model.h"
#include "host/model/tensor_spec.h"
#include "runtime/base/directory.h"
#include "runtime/base/text.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

#define MAX_EXTRA 16
#define HEAD "lm_head.weight"
#define EMBEDDING "model.embed_tokens.weight"

/* A tensor that is added to a checkpoint: a copy of another one, times `factor`. */
typedef struct extra {
    const char *name, *from;
    float factor;
} extra;

static void write_with(const vkft_tensor_file *file, const extra *extras, uint32_t count, const char *path)
{
    vkft_err err = {0};
    vkft_safetensors_spec *specs = calloc(file->count + count, sizeof *specs);
    for (uint32_t i = 0; i < file->count + count; i++) {
        const vkft_file_tensor *t =
            i < file->count ? &file->tensors[i] : vkft_tensor_file_find(file, extras[i - file->count].from);
        specs[i].name = i < file->count ? t->name : extras[i - file->count].name;
        specs[i].dtype = VKFT_F32;
        specs[i].dims = t->dims;
        memcpy(specs[i].shape, t->shape, t->dims * sizeof *t->shape);
    }
    vkft_safetensors_writer *writer = vkft_safetensors_create(path, specs, file->count + count, &err);
    assert_non_null(writer);
    for (uint32_t i = 0; i < file->count + count; i++) {
        const vkft_file_tensor *t =
            i < file->count ? &file->tensors[i] : vkft_tensor_file_find(file, extras[i - file->count].from);
        float *values = malloc(t->elements * sizeof *values),
              factor = i < file->count ? 1 : extras[i - file->count].factor;
        vkft_to_f32(t->dtype, vkft_tensor_file_data(file, t), t->elements, values);
        for (uint64_t k = 0; k < t->elements; k++)
            values[k] *= factor;
        expect_ok(vkft_safetensors_append(writer, values, t->elements * sizeof *values, &err));
        free(values);
    }
    expect_ok(vkft_safetensors_commit(writer, &err));
    free(specs);
}

/* Adds these tensors to the checkpoint in dir, whose weights are one file in f32. */
static void add_tensors(const char *dir, const extra *extras, uint32_t count)
{
    vkft_err err = {0};
    vkft_tensor_file file;
    char *path = vkft_path_join(dir, "model.safetensors"), *other = vkft_path_join(dir, "other.safetensors");
    expect_ok(vkft_safetensors_open(path, &file, &err));
    write_with(&file, extras, count, other);
    vkft_tensor_file_close(&file);
    vkft_test_copy(other, path);
    remove(other);
    free(path);
    free(other);
}

static void replace_in_config(const char *dir, const char *old, const char *new)
{
    vkft_err err = {0};
    char *path = vkft_path_join(dir, "config.json"), *text = vkft_test_read(path, NULL), *at = strstr(text, old);
    assert_non_null(at);
    size_t size = strlen(text) + strlen(new) + 1;
    char *changed = malloc(size);
    snprintf(changed, size, "%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
    expect_ok(vkft_file_write(path, changed, strlen(changed), &err));
    free(changed);
    free(text);
    free(path);
}

static void collect(void *context, const char *line)
{
    vkft_err err = {0};
    expect_ok(vkft_text_append(context, line, strlen(line), &err) && vkft_text_append(context, "\n", 1, &err));
}

/* The lines about the checkpoint in dir, converted to dir/out.vkft; malloc'ed. */
static char *notes_of(const char *dir, vkft_model_file **file)
{
    vkft_err err = {0};
    const vkft_convert_options options = {.threads = 1};
    char *out = vkft_path_join(dir, "out.vkft");
    vkft_text notes = {0};
    expect_ok(vkft_convert(dir, out, &options, &err));
    *file = vkft_model_file_open(out, &err);
    assert_non_null(*file);
    collect(&notes, "");
    vkft_model_notes(*file, collect, &notes);
    free(out);
    return notes.data;
}

static void expect_notes(const char *dir, const char *expected)
{
    vkft_model_file *file;
    char *notes = notes_of(dir, &file);
    assert_string_equal(notes + 1, expected);
    vkft_model_file_close(file);
    free(notes);
}

static char *tiny(bool tied)
{
    char *dir = vkft_test_directory();
    vkft_tiny_model model = vkft_tiny_model_default();
    model.tied = tied;
    vkft_tiny_model_write(&model, dir);
    return dir;
}

static void copy_golden(const char *name, const char *dir)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    for (size_t f = 0; f < 2; f++) {
        char from[600], to[600];
        snprintf(from, sizeof from, VKFT_TEST_DATA "/golden/%s/model/%s", name, files[f]);
        snprintf(to, sizeof to, "%s/%s", dir, files[f]);
        vkft_test_copy(from, to);
    }
}

/* Every tensor of these files belongs to a model, and the model takes every tensor that was converted. */
static void nothing_of_good_checkpoints(void **state)
{
    (void)state;
    static const char *const cases[] = {"llama_tied", "mistral",       "qwen2",   "qwen3",   "gemma2",    "gemma3",
                                        "phi3",       "smollm3",       "granite", "gpt2",    "gpt_neox",  "opt",
                                        "olmo2",      "opt_post_norm", "t5",      "flan_t5", "qwen3_moe", "mixtral"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = vkft_test_directory();
        copy_golden(cases[i], dir);
        vkft_model_file *file;
        vkft_model model;
        vkft_err err = {0};
        char *notes = notes_of(dir, &file);
        assert_string_equal(notes, "\n");
        expect_ok(vkft_model_init(&model, vkft_model_file_config(file), file, VKFT_STORAGE_none, false, &err));
        assert_int_equal(model.tensor_count, vkft_model_file_tensor_count(file));
        vkft_model_free(&model);
        vkft_model_file_close(file);
        free(notes);
        vkft_test_remove_directory(dir);
    }
}

static void tensors_that_nobody_takes(void **state)
{
    (void)state;
    static const char q[] = "model.layers.0.self_attn.q_proj.weight", norm[] = "model.norm.weight";
    static const extra biases[] = {{"model.layers.0.self_attn.q_proj.bias", norm, 1},
                                   {"model.layers.1.self_attn.q_proj.bias", norm, 1},
                                   {"model.layers.1.mlp.down_proj.bias", norm, 1},
                                   {"model.norm.bias", norm, 1},
                                   {"model.layers.0.input_layernorm.bias", norm, 1}};
    static const extra layer[] = {{"model.layers.2.self_attn.q_proj.weight", q, 1}};
    static const extra line[] = {{"model.layers.1.mlp.experts.0.gate_proj.weight", q, 1}, {"a\nb.weight", q, 1}};
    static const extra buffers[] = {{"model.layers.0.self_attn.rotary_emb.inv_freq", norm, 1},
                                    {"model.layers.0.attn.masked_bias", norm, 1},
                                    {"model.layers.0.self_attn.q_proj.weight.absmax", norm, 1},
                                    {"model.layers.0.mlp.up_proj.input_scale", norm, 1},
                                    {"model.layers.1.self_attn.k_scale", norm, 1}};
    static const struct {
        const extra *extras;
        uint32_t count;
        const char *notes;
    } cases[] = {
        {biases, 5,
         "warning: 5 tensors of the checkpoint belong to no part of this model and are not used: "
         "model.layers.0.self_attn.q_proj.bias, model.layers.1.self_attn.q_proj.bias, "
         "model.layers.1.mlp.down_proj.bias and 2 more\n"},
        {layer, 1,
         "warning: 1 tensor of the checkpoint belongs to no part of this model and is not used: "
         "model.layers.2.self_attn.q_proj.weight\n"},
        {line, 2,
         "warning: 2 tensors of the checkpoint belong to no part of this model and are not used: "
         "model.layers.1.mlp.experts.0.gate_proj.weight, a?b.weight\n"},
        {buffers, 5, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = tiny(false);
        add_tensors(dir, cases[i].extras, cases[i].count);
        expect_notes(dir, cases[i].notes);
        vkft_test_remove_directory(dir);
    }
}

/* Other parts of a multimodal model are one line each. */
static void other_parts(void **state)
{
    (void)state;
    static const char norm[] = "language_model.model.norm.weight";
    const extra extras[] = {{"model.audio_tower.a.weight", norm, 1},
                            {"model.audio_tower.b.weight", norm, 1},
                            {"model.language_model.layers.9.mlp.up_proj.weight", norm, 1}};
    char *dir = vkft_test_directory();
    copy_golden("gemma3_wrapped", dir);
    add_tensors(dir, extras, 3);
    expect_notes(dir, "multi_modal_projector.* (2 tensors) is not used\n"
                      "vision_tower.* (32 tensors) is not used\n"
                      "model.audio_tower.* (2 tensors) is not used\n"
                      "warning: 1 tensor of the checkpoint belongs to no part of this model and is not used: "
                      "model.language_model.layers.9.mlp.up_proj.weight\n");
    vkft_test_remove_directory(dir);
}

#define TIED "\"tie_word_embeddings\": true"
#define UNTIED "\"tie_word_embeddings\": false"

static double eval_loss(const char *model, const char *data, bool own_head)
{
    vkft_test_result r = vkft_test_program("eval --model %s --quant fp32 --data %s/ids.jsonl --json", model, data);
    assert_int_equal(r.exit_code, 0);
    const char *note = strstr(r.err, HEAD " holds other values: it is used");
    assert_true((note != NULL) == own_head);
    assert_true(!note || !strstr(note + 1, HEAD)); /* once */
    cJSON *json = cJSON_Parse(r.out);
    double loss = cJSON_GetNumberValue(cJSON_GetObjectItem(json, "loss"));
    cJSON_Delete(json);
    vkft_test_result_free(&r);
    return loss;
}

static void write_ids(const char *dir)
{
    vkft_err err = {0};
    char *path = vkft_path_join(dir, "ids.jsonl");
    static const char row[] = "{\"input_ids\":[1,5,17,64,3,90,11,12,2]}\n";
    expect_ok(vkft_file_write(path, row, sizeof row - 1, &err));
    free(path);
}

/* As in transformers 5: a head that is stored and differs is the head, whatever config.json says of it. */
static void own_head(void **state)
{
    (void)state;
    char *untied = tiny(false), *own = tiny(false), *equal = tiny(true);
    const extra copy[] = {{HEAD, EMBEDDING, 1}};
    replace_in_config(own, UNTIED, TIED);
    write_ids(untied);
    double expected = eval_loss(untied, untied, false), tied = eval_loss(equal, untied, false);
    assert_true(expected != tied);
    assert_true(eval_loss(own, untied, true) == expected);
    add_tensors(equal, copy, 1);
    assert_true(eval_loss(equal, untied, false) == tied);
    vkft_model_file *file;
    free(notes_of(equal, &file));
    assert_null(vkft_model_file_find(file, HEAD));
    vkft_model_file_close(file);

    /* Trained and written, it is one that every version reads as it is. */
    vkft_test_program_ok(
        "train --model %s --quant fp32 --data %s/ids.jsonl --fine-tune-type full --max-steps 3 --warmup-steps 0 "
        "--output-dir %s/out",
        own, untied, own);
    char *trained = vkft_path_join(own, "out"), *path = vkft_path_join(trained, "config.json");
    cJSON *config = vkft_test_read_json(path);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(config, "tie_word_embeddings")));
    assert_int_equal(cJSON_GetObjectItem(config, "vocab_size")->valueint, 96);
    cJSON_Delete(config);
    assert_true(eval_loss(trained, untied, false) < expected);
    free(path);
    free(trained);
    vkft_test_remove_directory(untied);
    vkft_test_remove_directory(own);
    vkft_test_remove_directory(equal);
}

static double planned(const char *model)
{
    vkft_test_result r = vkft_test_program("train --dry-run --json --quant fp32 --model %s", model);
    assert_int_equal(r.exit_code, 0);
    cJSON *plan = cJSON_Parse(r.out);
    double bytes = cJSON_GetNumberValue(cJSON_GetObjectItem(plan, "device_bytes")) +
                   cJSON_GetNumberValue(cJSON_GetObjectItem(plan, "host_bytes"));
    cJSON_Delete(plan);
    vkft_test_result_free(&r);
    return bytes;
}

/* A plan of a checkpoint is that of the model which it becomes, also where its head is stored although config.json
 * ties it; config.json alone tells nothing of that. */
static void plan_of_own_head(void **state)
{
    (void)state;
    const extra copy[] = {{HEAD, EMBEDDING, 1}};
    for (int own = 0; own < 2; own++) {
        char *dir = tiny(!own), *native = vkft_path_join(dir, "native"), *alone = vkft_path_join(dir, "config.json");
        if (own)
            replace_in_config(dir, UNTIED, TIED);
        else
            add_tensors(dir, copy, 1);
        double plan = planned(dir), plan_alone = planned(alone);
        vkft_test_program_ok("convert %s -o %s --quant fp32", dir, native);
        assert_true(planned(native) == plan);
        assert_true(own ? plan_alone < plan : plan_alone == plan);
        free(native);
        free(alone);
        vkft_test_remove_directory(dir);
    }
}

/* What is the same and what is not. */
static void same_heads(void **state)
{
    (void)state;
    static const struct {
        float factor;
        bool own;
    } cases[] = {{1, false}, {1.0000001f, true}, {-1, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = tiny(true);
        const extra head[] = {{HEAD, EMBEDDING, cases[i].factor}};
        add_tensors(dir, head, 1);
        expect_notes(dir, cases[i].own ? "config.json ties the head to the embedding, but lm_head.weight holds other "
                                         "values: it is used, as in transformers 5\n"
                                       : "");
        vkft_test_remove_directory(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_good_checkpoints),
        cmocka_unit_test(tensors_that_nobody_takes),
        cmocka_unit_test(other_parts),
        cmocka_unit_test(own_head),
        cmocka_unit_test(plan_of_own_head),
        cmocka_unit_test(same_heads),
    };
    return cmocka_run_group_tests_name("notes", tests, NULL, NULL);
}
