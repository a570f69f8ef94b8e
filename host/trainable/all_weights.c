/* Layout, checkpoint and gradients of a model whose weights are all trained. */
#include "host/trainable/all_weights.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "host/model/tensor_spec.h"
#include "formats/tensors/safetensors.h"
#include "runtime/base/size.h"
#include "runtime/base/transpose.h"

#define PAD 64u

static uint64_t elements(const struct vkft_tensor_spec *spec)
{
    return (uint64_t)spec->rows * spec->cols;
}

static bool decays(const struct vkft_tensor_spec *spec)
{
    return spec->weight != NULL; /* no decay for the relative-position bias table either */
}

bool vkft_all_weights_layout(vkft_all_weights *set, vkft_model *model, uint64_t max_floats, vkft_err *err)
{
    *set = (vkft_all_weights){.model = model, .offset = calloc(model->tensor_count, sizeof *set->offset)};
    if (!set->offset)
        return vkft_fail_memory(err, "while laying out the weights");
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < model->tensor_count; i++) {
            const struct vkft_tensor_spec *spec = &model->tensors[i];
            if (decays(spec) != (pass == 0))
                continue;
            set->offset[i] = vkft_parameter_space_append(&set->layout, round_up(elements(spec), PAD), max_floats);
            set->parameters += elements(spec);
        }
        if (pass == 0)
            set->decayed = vkft_parameter_space_length(&set->layout);
    }
    return true;
}

void vkft_all_weights_round(vkft_all_weights *set)
{
    set->rounded = true;
    for (uint32_t i = 0; i < set->model->tensor_count; i++) {
        struct vkft_tensor_spec *spec = &set->model->tensors[i];
        if (spec->weight)
            spec->storage = spec->weight->storage = VKFT_STORAGE_bf16;
    }
    vkft_model_set_head(set->model);
}

void vkft_all_weights_free(vkft_all_weights *set)
{
    free(set->offset);
    *set = (vkft_all_weights){0};
}

void vkft_all_weights_tensors(const vkft_all_weights *set, vkft_parameter_tensor *list)
{
    for (uint32_t i = 0; i < set->model->tensor_count; i++) {
        const struct vkft_tensor_spec *spec = &set->model->tensors[i];
        list[i] =
            (vkft_parameter_tensor){.offset = set->offset[i],
                                    .rows = spec->rows,
                                    .cols = spec->cols,
                                    .embedding = spec->weight && !spec->linear && spec->weight != &set->model->head.w,
                                    .hidden = spec->linear && spec->block};
    }
}

void vkft_all_weights_bind(const vkft_all_weights *set, const vkft_parameter_space *parameters,
                           const vkft_parameter_space *gradients)
{
    vkft_model *model = set->model;
    for (uint32_t i = 0; i < model->tensor_count; i++) {
        struct vkft_tensor_spec *spec = &model->tensors[i];
        uint64_t value = vkft_parameter_space_at(parameters, set->offset[i]),
                 grad = gradients ? vkft_parameter_space_at(gradients, set->offset[i]) : 0;
        if (spec->weight) {
            if (set->copies)
                value = vkft_parameter_space_bf16_at(set->copies, set->offset[i]);
            spec->weight->part[VKFT_PART_DATA] = value;
            spec->weight->grad = grad;
        } else {
            *spec->vector = value;
            *spec->gradient = grad;
        }
    }
    vkft_model_set_head(model);
}

bool vkft_all_weights_init(const vkft_all_weights *set, const vkft_model_file *file, float *flat, vkft_err *err)
{
    memset(flat, 0, vkft_parameter_space_length(&set->layout) * sizeof *flat);
    for (uint32_t i = 0; i < set->model->tensor_count; i++) {
        const vkft_model_tensor *tensor = vkft_model_file_find(file, set->model->tensors[i].name);
        if (!vkft_model_file_verify(file, tensor, err))
            return false;
        vkft_model_tensor_decode(tensor, flat + set->offset[i]);
    }
    return true;
}

/* GPT-2's linear layers are stored [in,out]; here they are [out,in]. */
static bool is_transposed(const vkft_all_weights *set, const struct vkft_tensor_spec *spec)
{
    return set->model->config->arch->conv1d && spec->weight && spec->linear;
}

static bool append(const vkft_all_weights *set, uint32_t index, const float *flat, vkft_dtype dtype,
                   vkft_safetensors_writer *writer, vkft_err *err)
{
    const struct vkft_tensor_spec *spec = &set->model->tensors[index];
    const float *values = flat + set->offset[index];
    uint64_t n = elements(spec);
    float *transposed = is_transposed(set, spec) ? malloc(n * sizeof *transposed) : NULL;
    void *stored = malloc(n * sizeof(float));
    bool ok =
        (stored && (transposed || !is_transposed(set, spec))) || vkft_fail_memory(err, "while writing %s", spec->name);
    if (ok && transposed)
        vkft_transpose(values, spec->rows, spec->cols, sizeof *values, transposed);
    if (ok) {
        vkft_from_f32(dtype, transposed ? transposed : values, n, stored);
        ok = vkft_safetensors_append(writer, stored, n * (vkft_dtype_bits(dtype) / 8), err);
    }
    free(transposed);
    free(stored);
    return ok;
}

static bool write_weights(const vkft_all_weights *set, const float *flat, vkft_dtype dtype, const char *path,
                          vkft_err *err)
{
    uint32_t count = set->model->tensor_count;
    vkft_safetensors_spec *specs = calloc(count, sizeof *specs);
    if (!specs)
        return vkft_fail_memory(err, "while writing %s", path);
    for (uint32_t i = 0; i < count; i++) {
        const struct vkft_tensor_spec *spec = &set->model->tensors[i];
        bool transposed = is_transposed(set, spec), flat_vector = spec->vector && spec->rows == 1;
        specs[i] = (vkft_safetensors_spec){
            .name = spec->name,
            .dtype = dtype,
            .dims = flat_vector ? 1 : 2,
            .shape = {transposed || flat_vector ? spec->cols : spec->rows, transposed ? spec->rows : spec->cols}};
    }
    vkft_safetensors_writer *writer = vkft_safetensors_create(path, specs, count, err);
    free(specs);
    bool ok = writer != NULL;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = append(set, i, flat, dtype, writer, err);
    if (ok)
        return vkft_safetensors_commit(writer, err);
    vkft_safetensors_abandon(writer);
    return false;
}

/* *changed: the configuration of what is written, the language model alone with the head that it has; NULL: as it is.
 */
static bool change_config(const vkft_all_weights *set, const char *text, size_t length, const char *name,
                          char **changed, vkft_err *err)
{
    const vkft_config *config = set->model->config;
    *changed = NULL;
    if (config->multimodal_type[0] && !(*changed = vkft_config_language_model(text, length, name, err)))
        return false;
    if (!config->tie_word_embeddings || config->tied_unless_stored || set->model->tied)
        return true;
    char *inner = *changed;
    *changed = vkft_config_untied(inner ? inner : text, inner ? strlen(inner) : length, name, err);
    free(inner);
    return *changed != NULL;
}

/* A small file of the model as it is, but for the configuration. */
static bool write_blob(const vkft_all_weights *set, const vkft_model_file *file, const char *name, const char *dir,
                       vkft_err *err)
{
    size_t length;
    const char *data = vkft_model_file_blob(file, name, &length);
    char *path = vkft_path_join(dir, name), *folder = path ? vkft_path_parent(path) : NULL, *config = NULL;
    bool ok = folder ? vkft_directory_create(folder, err) : vkft_fail_memory(err, "while writing %s", name);
    if (ok && strcmp(name, "config.json") == 0)
        ok = change_config(set, data, length, name, &config, err);
    ok = ok && vkft_file_write(path, config ? config : data, config ? strlen(config) : length, err);
    free(path);
    free(folder);
    free(config);
    return ok;
}

bool vkft_all_weights_write(const vkft_all_weights *set, const float *flat, const vkft_model_file *file,
                            vkft_dtype dtype, const char *dir, vkft_err *err)
{
    char *path = vkft_path_join(dir, "model.safetensors");
    bool ok = path ? write_weights(set, flat, dtype, path, err) : vkft_fail_memory(err, "while writing the weights");
    free(path);
    for (uint32_t i = 0; ok && i < vkft_model_file_blob_count(file); i++)
        ok = write_blob(set, file, vkft_model_file_blob_name(file, i), dir, err);
    return ok;
}

static bool read_weights(const vkft_all_weights *set, const vkft_tensor_file *file, float *flat, vkft_err *err)
{
    memset(flat, 0, vkft_parameter_space_length(&set->layout) * sizeof *flat);
    for (uint32_t i = 0; i < set->model->tensor_count; i++) {
        const struct vkft_tensor_spec *spec = &set->model->tensors[i];
        const vkft_file_tensor *t = vkft_tensor_file_find(file, spec->name);
        bool known = t && (t->dtype == VKFT_F32 || t->dtype == VKFT_F16 || t->dtype == VKFT_BF16);
        if (!known || t->elements != elements(spec))
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: tensor %s is missing or does not fit this model; expected %llu values", file->path,
                             spec->name, (unsigned long long)elements(spec));
        float *values = flat + set->offset[i],
              *stored = is_transposed(set, spec) ? malloc(t->elements * sizeof *stored) : NULL;
        if (is_transposed(set, spec) && !stored)
            return vkft_fail_memory(err, "while reading %s", file->path);
        vkft_to_f32(t->dtype, vkft_tensor_file_data(file, t), t->elements, stored ? stored : values);
        if (stored)
            vkft_transpose(stored, spec->cols, spec->rows, sizeof *stored, values);
        free(stored);
    }
    return true;
}

bool vkft_all_weights_read(const vkft_all_weights *set, const char *dir, float *flat, vkft_err *err)
{
    vkft_tensor_file file;
    char *path = vkft_path_join(dir, "model.safetensors");
    bool ok = path ? vkft_safetensors_open(path, &file, err) : vkft_fail_memory(err, "while reading the weights");
    free(path);
    if (!ok)
        return false;
    ok = read_weights(set, &file, flat, err);
    vkft_tensor_file_close(&file);
    return ok;
}
