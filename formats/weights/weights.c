/* See weights.h. */
#include "formats/weights/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/convert/gguf_checkpoint.h"
#include "formats/convert/model_open.h"
#include "formats/tensors/ggml/ggml.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/base/transpose.h"

/* ---- opening ---- */

const char *vkft_weights_blob(const vkft_weights *weights, const char *name, size_t *length)
{
    for (uint32_t i = 0; i < weights->source.blob_count; i++)
        if (strcmp(weights->source.blobs[i].name, name) == 0) {
            *length = weights->source.blobs[i].size;
            return weights->source.blobs[i].data;
        }
    return NULL;
}

/* A weight of the model; NULL: another tensor, or the copy of the embedding that a tied head is. */
static vkft_source_weight *next_weight(vkft_weights *w, const char *written)
{
    vkft_source_weight *weight = &w->list[w->count];
    *weight = (vkft_source_weight){.written = written};
    weight->role = vkft_arch_tensor(&w->source.config, written, weight->name, sizeof weight->name);
    if (weight->role == VKFT_ROLE_NONE)
        weight->name[0] = 0;
    if (weight->role == VKFT_ROLE_TIED_HEAD)
        return NULL;
    weight->swapped = w->source.config.arch->conv1d &&
                      (weight->role == VKFT_ROLE_LINEAR || weight->role == VKFT_ROLE_NEVER_QUANTIZED);
    w->count++;
    return weight;
}

/* Rows and columns from the shape that is known. */
static bool set_matrix(vkft_source_weight *w, const char *file, vkft_err *err)
{
    w->rows = w->dims == 2 ? w->shape[w->swapped] : 1;
    w->cols = w->dims == 2 ? w->shape[!w->swapped] : w->shape[0];
    return !w->name[0] || (w->dims >= 1 && w->dims <= 2 && w->rows && w->cols) ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: tensor '%s' has %u dimensions or is empty; expected a matrix or a vector", file, w->written,
                     w->dims);
}

static bool add_originals(vkft_weights *w, vkft_err *err)
{
    w->list = calloc(w->checkpoint.count + 1ull, sizeof *w->list);
    if (!w->list)
        return vkft_fail_memory(err, "for the weights of '%s'", w->source.path);
    for (uint32_t i = 0; i < w->checkpoint.count; i++) {
        const vkft_shard_tensor *t = &w->checkpoint.tensors[i];
        vkft_source_weight *weight = next_weight(w, t->tensor->name);
        if (!weight)
            continue;
        weight->original = t;
        weight->dims = t->tensor->dims;
        memcpy(weight->shape, t->tensor->shape, sizeof weight->shape);
        if (!set_matrix(weight, t->shard->path, err))
            return false;
        if (weight->name[0] && vkft_storage_of_dtype(t->tensor->dtype) == VKFT_STORAGE_none)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' has type %s, which is not supported here",
                             t->shard->path, t->tensor->name, vkft_dtype_name(t->tensor->dtype));
    }
    return true;
}

static bool add_native(vkft_weights *w, vkft_err *err)
{
    uint32_t count = vkft_model_file_tensor_count(w->file);
    w->list = calloc(count + 1ull, sizeof *w->list);
    if (!w->list)
        return vkft_fail_memory(err, "for the weights of '%s'", vkft_model_file_path(w->file));
    for (uint32_t i = 0; i < count; i++) {
        const vkft_model_tensor *t = vkft_model_file_tensor(w->file, i);
        vkft_source_weight *weight = next_weight(w, t->name);
        if (!weight)
            continue;
        weight->quantized = t;
        weight->dims = t->dims;
        for (uint32_t d = 0; d < t->dims && d < 4; d++)
            weight->shape[d] = t->shape[weight->swapped && t->dims == 2 ? 1 - d : d];
        if (!set_matrix(weight, vkft_model_file_path(w->file), err))
            return false;
        w->only_quantized |= vkft_storage_is_quantized(t->storage);
    }
    return true;
}

/* Adds the quantized forms to the weights that are there. */
static void join_native(vkft_weights *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        const vkft_model_tensor *t = w->list[i].name[0] ? vkft_model_file_find(w->file, w->list[i].name) : NULL;
        if (t && t->elements == w->list[i].rows * w->list[i].cols)
            w->list[i].quantized = t;
    }
}

static bool copy_blobs(vkft_weights *w, vkft_err *err)
{
    for (uint32_t i = 0; i < vkft_model_file_blob_count(w->file) && i < VKFT_MAX_BLOBS; i++) {
        const char *name = vkft_model_file_blob_name(w->file, i);
        size_t size;
        const char *data = vkft_model_file_blob(w->file, name, &size);
        char *copy = malloc(size + 1);
        if (!copy)
            return vkft_fail_memory(err, "for the files of '%s'", vkft_model_file_path(w->file));
        memcpy(copy, data, size);
        copy[size] = 0;
        w->source.blobs[w->source.blob_count++] = (vkft_model_blob_spec){.name = name, .data = copy, .size = size};
    }
    return true;
}

static bool open_native(const char *path, vkft_weights *w, vkft_err *err)
{
    w->file = vkft_model_file_open(path, err);
    if (!w->file)
        return false;
    w->source.config = *vkft_model_file_config(w->file);
    w->source.path = vkft_string_copy(path);
    return (w->source.path || vkft_fail_memory(err, "while reading '%s'", path)) && copy_blobs(w, err) &&
           add_native(w, err);
}

/* Whether the checkpoint itself is quantized, so that conversion knows how to read it. */
static bool is_prequantized(const vkft_weights *w)
{
    size_t length;
    const char *text = vkft_weights_blob(w, "config.json", &length);
    cJSON *root = text ? vkft_json_parse_config(text, length, "config.json", NULL) : NULL;
    bool quantized = vkft_json_member(root, "quantization_config") != NULL;
    cJSON_Delete(root);
    return quantized;
}

static bool open_trained(const char *path, const vkft_convert_options *options, vkft_weights *w, vkft_err *err)
{
    w->file = vkft_model_open(path, options, true, err);
    return w->file != NULL;
}

static bool open_directory(const char *path, const vkft_convert_options *trained, vkft_weights *w, vkft_err *err)
{
    bool own_head = false;
    vkft_convert_options kept = trained ? *trained : (vkft_convert_options){0};
    kept.quant = VKFT_STORAGE_none;
    if (!vkft_source_open(path, &w->source, err))
        return false;
    vkft_config *config = &w->source.config;
    if (config->tie_word_embeddings && !vkft_convert_finds_head(path, config, &own_head, err))
        return false;
    config->tie_word_embeddings = config->tie_word_embeddings && !own_head;
    if (is_prequantized(w))
        return open_trained(path, &kept, w, err) && add_native(w, err);
    if (!vkft_hf_checkpoint_open(path, &w->checkpoint, err) || !add_originals(w, err) ||
        (trained && !open_trained(path, trained, w, err)))
        return false;
    if (trained)
        join_native(w);
    return true;
}

static bool open_gguf(const char *path, const vkft_convert_options *trained, vkft_weights *w, vkft_err *err)
{
    w->is_gguf = true;
    if (!vkft_gguf_checkpoint_open(path, &w->source, &w->checkpoint, err) || !add_originals(w, err) ||
        (trained && !open_trained(path, trained, w, err)))
        return false;
    if (trained)
        join_native(w);
    return true;
}

bool vkft_weights_open(const char *path, const vkft_convert_options *trained, vkft_weights *weights, vkft_err *err)
{
    *weights = (vkft_weights){0};
    vkft_model_kind kind = vkft_model_kind_of(path);
    bool ok = kind == VKFT_MODEL_MISSING      ? vkft_model_fail_missing(path, err)
              : kind == VKFT_MODEL_CHECKPOINT ? open_directory(path, trained, weights, err)
              : kind == VKFT_MODEL_GGUF       ? open_gguf(path, trained, weights, err)
                                              : open_native(path, weights, err);
    if (!ok)
        vkft_weights_close(weights);
    return ok;
}

void vkft_weights_close(vkft_weights *weights)
{
    free(weights->list);
    vkft_hf_checkpoint_close(&weights->checkpoint);
    vkft_source_close(&weights->source);
    vkft_model_file_close(weights->file);
    *weights = (vkft_weights){0};
}

/* ---- reading ---- */

bool vkft_weight_reader_open(const vkft_source_weight *weight, bool quantized, vkft_weight_reader *reader,
                             vkft_err *err)
{
    bool native = weight->quantized && (quantized || !weight->original);
    *reader = (vkft_weight_reader){.weight = weight, .quantized = native};
    const vkft_file_tensor *t = native ? NULL : weight->original->tensor;
    bool transposed = !native && weight->dims == 2 && weight->swapped != t->column_major;
    if (native ? !vkft_storage_is_quantized(weight->quantized->storage) : !transposed)
        return true;
    const uint64_t n = weight->rows * weight->cols;
    reader->whole = malloc((size_t)n * sizeof(float));
    if (!reader->whole)
        return vkft_fail_memory(err, "for tensor '%s'", weight->written);
    if (native) {
        vkft_model_tensor_decode(weight->quantized, reader->whole);
        return true;
    }
    float *lies = malloc((size_t)n * sizeof *lies);
    if (!lies)
        return vkft_fail_memory(err, "for tensor '%s'", weight->written);
    vkft_ggml_to_f32(t->dtype, vkft_tensor_file_data(weight->original->shard, t), n, lies);
    vkft_transpose(lies, weight->cols, weight->rows, sizeof *lies, reader->whole);
    free(lies);
    return true;
}

void vkft_weight_rows(const vkft_weight_reader *reader, uint64_t first, uint64_t rows, float *out)
{
    const vkft_source_weight *w = reader->weight;
    const uint64_t n = rows * w->cols, begin = first * w->cols;
    if (reader->whole) {
        memcpy(out, reader->whole + begin, (size_t)n * sizeof *out);
        return;
    }
    if (reader->quantized) {
        const vkft_dtype type = w->quantized->storage == VKFT_STORAGE_f16    ? VKFT_F16
                                : w->quantized->storage == VKFT_STORAGE_bf16 ? VKFT_BF16
                                                                             : VKFT_F32;
        vkft_to_f32(type, (const uint8_t *)w->quantized->part[VKFT_PART_DATA] + vkft_dtype_bytes(type, begin), n, out);
        return;
    }
    const vkft_file_tensor *t = w->original->tensor;
    const uint8_t *data = vkft_tensor_file_data(w->original->shard, t);
    if (t->interleaved_heads && w->dims == 2)
        for (uint64_t r = 0; r < rows; r++)
            vkft_ggml_to_f32(t->dtype,
                             data + vkft_dtype_bytes(t->dtype, vkft_file_tensor_row(t, w->rows, first + r) * w->cols),
                             w->cols, out + r * w->cols);
    else if (t->interleaved_heads) /* a bias, whose elements are the rows */
        for (uint64_t i = 0; i < n; i++)
            vkft_ggml_to_f32(t->dtype, data + vkft_dtype_bytes(t->dtype, vkft_file_tensor_row(t, n, i)), 1, out + i);
    else
        vkft_ggml_to_f32(t->dtype, data + vkft_dtype_bytes(t->dtype, begin), n, out);
    for (uint64_t i = 0; t->gain_plus_one && i < n; i++)
        out[i] -= 1.0f;
}

void vkft_weight_reader_close(vkft_weight_reader *reader)
{
    const vkft_source_weight *w = reader->weight;
    free(reader->whole);
    if (w && w->original && !reader->quantized)
        vkft_mapping_drop(&w->original->shard->mapping, w->original->tensor->offset, w->original->tensor->bytes);
    *reader = (vkft_weight_reader){0};
}
