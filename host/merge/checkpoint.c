/* A merged model as a checkpoint directory of transformers. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/safetensors.h"
#include "host/merge/merge.h"
#include "runtime/base/directory.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"
#include "runtime/base/transpose.h"

#define SHARD_BYTES 5000000000u /* as transformers 4 cuts them */
#define INDEX "model.safetensors.index.json"

typedef struct output {
    vkft_merge *merge;
    const char *dir;
    vkft_dtype dtype;
    uint32_t *shard; /* of each weight */
    uint32_t shards;
    uint64_t bytes;
    vkft_safetensors_writer *writer;
    vkft_err *err;

    /* the weight at work */
    const vkft_source_weight *weight;
    uint8_t *encoded;
    float *whole; /* of a matrix that a checkpoint has transposed */
    size_t room;
} output;

/* Tensors that are none of the model's stay as they are, codes too. */
static vkft_dtype dtype_of(const output *o, const vkft_source_weight *w)
{
    return w->name[0] || !w->original ? o->dtype : w->original->tensor->dtype;
}

static uint64_t bytes_of(const output *o, const vkft_source_weight *w)
{
    return w->name[0] || !w->original ? w->rows * w->cols * vkft_dtype_bits(o->dtype) / 8 : w->original->tensor->bytes;
}

static bool plan_shards(output *o)
{
    uint64_t filled = 0;
    const vkft_weights *weights = &o->merge->weights;
    o->shard = calloc(weights->count + 1ull, sizeof *o->shard);
    if (!o->shard)
        return vkft_fail_memory(o->err, "while writing '%s'", o->dir);
    for (uint32_t i = 0; i < weights->count; i++) {
        uint64_t bytes = bytes_of(o, &weights->list[i]);
        if (filled && filled + bytes > SHARD_BYTES) {
            o->shards++;
            filled = 0;
        }
        o->shard[i] = o->shards;
        filled += bytes;
        o->bytes += bytes;
    }
    o->shards++;
    return true;
}

static void shard_name(const output *o, uint32_t shard, char name[64])
{
    if (o->shards == 1)
        snprintf(name, 64, "model.safetensors");
    else
        snprintf(name, 64, "model-%05" PRIu32 "-of-%05" PRIu32 ".safetensors", shard + 1, o->shards);
}

static bool take_rows(void *context, const float *values, uint64_t first, uint64_t rows, vkft_err *err)
{
    output *o = context;
    const vkft_source_weight *w = o->weight;
    const uint64_t n = rows * w->cols;
    if (w->swapped && w->dims == 2) {
        memcpy(o->whole + first * w->cols, values, (size_t)n * sizeof *values);
        return true;
    }
    size_t bytes = (size_t)(n * vkft_dtype_bits(o->dtype) / 8);
    if (bytes > o->room) {
        uint8_t *more = realloc(o->encoded, bytes);
        if (!more)
            return vkft_fail_memory(err, "while writing '%s'", o->dir);
        o->encoded = more;
        o->room = bytes;
    }
    vkft_from_f32(o->dtype, values, n, o->encoded);
    for (uint64_t i = 0; i < n; i++)
        if (values[i] - values[i] != 0 || (o->dtype == VKFT_F16 && !(values[i] < 65520 && values[i] > -65520)))
            return vkft_fail(err, VKFT_ERR_INPUT, "tensor '%s': a merged value is %g, which does not fit %s",
                             w->written, (double)values[i], vkft_dtype_name(o->dtype));
    return vkft_safetensors_append(o->writer, o->encoded, bytes, err);
}

/* A whole matrix as [in,out]. */
static bool write_swapped(output *o)
{
    vkft_source_weight as_stored = *o->weight;
    const uint64_t n = as_stored.rows * as_stored.cols;
    float *transposed = malloc((size_t)n * sizeof *transposed);
    if (!transposed)
        return vkft_fail_memory(o->err, "while writing '%s'", o->dir);
    vkft_transpose(o->whole, as_stored.rows, as_stored.cols, sizeof *transposed, transposed);
    as_stored.swapped = false;
    o->weight = &as_stored;
    bool ok = take_rows(o, transposed, 0, as_stored.rows, o->err);
    free(transposed);
    return ok;
}

static bool write_weight(output *o, const vkft_source_weight *w)
{
    o->weight = w;
    if (!w->name[0] && w->original)
        return vkft_safetensors_append(o->writer, vkft_tensor_file_data(w->original->shard, w->original->tensor),
                                       (size_t)w->original->tensor->bytes, o->err);
    bool swapped = w->swapped && w->dims == 2;
    o->whole = swapped ? malloc((size_t)(w->rows * w->cols) * sizeof *o->whole) : NULL;
    bool ok = !swapped || o->whole || vkft_fail_memory(o->err, "while writing '%s'", o->dir);
    ok = ok && vkft_merge_weight(o->merge, w, 1, take_rows, o, o->err) && (!swapped || write_swapped(o));
    free(o->whole);
    o->whole = NULL;
    return ok;
}

static bool write_shard(output *o, uint32_t shard)
{
    const vkft_weights *weights = &o->merge->weights;
    vkft_safetensors_spec *specs = calloc(weights->count + 1ull, sizeof *specs);
    uint32_t count = 0;
    char name[64];
    shard_name(o, shard, name);
    char *path = vkft_path_join(o->dir, name);
    for (uint32_t i = 0; specs && i < weights->count; i++) {
        const vkft_source_weight *w = &weights->list[i];
        if (o->shard[i] != shard)
            continue;
        specs[count] = (vkft_safetensors_spec){.name = w->written, .dtype = dtype_of(o, w), .dims = w->dims};
        memcpy(specs[count++].shape, w->shape, sizeof w->shape);
    }
    bool ok = (specs && path) || vkft_fail_memory(o->err, "while writing '%s'", o->dir);
    o->writer = ok ? vkft_safetensors_create(path, specs, count, o->err) : NULL;
    ok = o->writer != NULL;
    for (uint32_t i = 0; ok && i < weights->count; i++)
        ok = o->shard[i] != shard || write_weight(o, &weights->list[i]);
    if (ok)
        ok = vkft_safetensors_commit(o->writer, o->err);
    else
        vkft_safetensors_abandon(o->writer);
    free(specs);
    free(path);
    return ok;
}

static bool write_text(const output *o, const char *name, const char *text, size_t size)
{
    char *path = vkft_path_join(o->dir, name), *parent = path ? vkft_path_parent(path) : NULL;
    bool ok = parent || vkft_fail_memory(o->err, "while writing '%s'", o->dir);
    ok = ok && vkft_directory_create(parent, o->err) && vkft_file_write(path, text, size, o->err);
    free(path);
    free(parent);
    return ok;
}

static bool write_json(const output *o, const char *name, cJSON *root)
{
    char *text = root ? cJSON_Print(root) : NULL;
    bool ok = text ? write_text(o, name, text, strlen(text)) : vkft_fail_memory(o->err, "while writing '%s'", o->dir);
    cJSON_free(text);
    cJSON_Delete(root);
    return ok;
}

static bool write_index(const output *o)
{
    const vkft_weights *weights = &o->merge->weights;
    if (o->shards == 1)
        return true;
    cJSON *root = cJSON_CreateObject(), *metadata = cJSON_AddObjectToObject(root, "metadata");
    bool ok = cJSON_AddNumberToObject(metadata, "total_size", (double)o->bytes) != NULL;
    cJSON *map = cJSON_AddObjectToObject(root, "weight_map");
    for (uint32_t i = 0; ok && i < weights->count; i++) {
        char name[64];
        shard_name(o, o->shard[i], name);
        ok = cJSON_AddStringToObject(map, weights->list[i].written, name) != NULL;
    }
    if (!ok) {
        cJSON_Delete(root);
        root = NULL;
    }
    return write_json(o, INDEX, root);
}

/* Numbers as they are written: 3.0 must not become 3, which transformers refuses where a float belongs. */
static void keep_spelling(cJSON *value)
{
    cJSON *item;
    if (cJSON_IsNumber(value) && value->valuestring)
        value->type = cJSON_Raw;
    cJSON_ArrayForEach(item, value) keep_spelling(item);
}

/* Whether embedding and head are two matrices here, whatever config.json says. */
static bool is_untied(const vkft_weights *weights)
{
    const vkft_config *config = &weights->source.config;
    char head[300];
    snprintf(head, sizeof head, "%s.weight", config->arch->head);
    for (uint32_t i = 0; i < weights->count; i++)
        if (strcmp(weights->list[i].name, head) == 0)
            return !config->tie_word_embeddings && !config->multimodal_type[0];
    return false;
}

static bool put(cJSON *object, const char *key, cJSON *item)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    return item && cJSON_AddItemToObject(object, key, item);
}

/* config.json without what is said of quantization, with the new type. A .vkft file has the language model alone. */
static bool write_config(const output *o)
{
    const vkft_weights *weights = &o->merge->weights;
    size_t length;
    const char *text = vkft_weights_blob(weights, "config.json", &length);
    if (!text)
        return vkft_fail(o->err, VKFT_ERR_INPUT, "'%s' has no config.json", weights->source.path);
    bool alone = weights->source.config.multimodal_type[0] && !weights->checkpoint.count;
    char *made = alone ? vkft_config_language_model(text, length, "config.json", o->err) : vkft_string_copy(text);
    cJSON *root = made ? vkft_json_parse_exact(made, strlen(made), "config.json", 1, o->err) : NULL;
    free(made);
    if (!root)
        return vkft_fail_context(o->err, "'%s'", weights->source.path);
    const char *dtype = o->dtype == VKFT_F16 ? "float16" : o->dtype == VKFT_BF16 ? "bfloat16" : "float32";
    bool ok = vkft_json_keep_last(root);
    keep_spelling(root);
    cJSON_DeleteItemFromObjectCaseSensitive(root, "quantization_config");
    if (ok && vkft_json_member(root, "torch_dtype")) /* as transformers 4 spells it */
        ok = put(root, "torch_dtype", cJSON_CreateString(dtype));
    else
        ok = ok && put(root, "dtype", cJSON_CreateString(dtype));
    if (ok && is_untied(weights) && cJSON_IsTrue(vkft_json_member(root, "tie_word_embeddings")))
        ok = put(root, "tie_word_embeddings", cJSON_CreateFalse());
    if (!ok) {
        cJSON_Delete(root);
        root = NULL;
    }
    return write_json(o, "config.json", root);
}

static bool write_files(output *o)
{
    const vkft_source *source = &o->merge->weights.source;
    bool ok = plan_shards(o);
    for (uint32_t i = 0; ok && i < o->shards; i++)
        ok = write_shard(o, i);
    ok = ok && write_index(o) && write_config(o);
    if (o->merge->weights.is_gguf)
        vkft_observer_say(
            &o->merge->options.observer,
            "the tokenizer's files are made from the GGUF file's keys: that texts begin with a bos token is "
            "said in tokenizer_config.json alone (add_bos_token)");
    for (uint32_t i = 0; ok && i < source->blob_count; i++)
        ok = strcmp(source->blobs[i].name, "config.json") == 0 ||
             write_text(o, source->blobs[i].name, source->blobs[i].data, source->blobs[i].size);
    return ok;
}

typedef struct visit {
    const char *dir;
    bool unfinished; /* left by a merge that was killed: may also hold files that were being written */
    vkft_err *err;
} visit;

/* Whether a merged model, or any checkpoint, has a file of this name. */
static bool is_part(void *context, const char *name)
{
    const visit *v = context;
    bool weights = strncmp(name, "model", 5) == 0 && (vkft_string_ends_with(name, ".safetensors") ||
                                                      vkft_string_ends_with(name, ".safetensors.index.json"));
    bool unfinished = v->unfinished && vkft_string_ends_with(name, ".tmp");
    return weights || unfinished || vkft_source_is_small_file(name) || strcmp(name, "additional_chat_templates") == 0 ||
           vkft_fail(
               v->err, VKFT_ERR_INPUT,
               "'%s' holds '%s', which is no part of a merged model; --overwrite replaces a directory with such a "
               "model alone",
               v->dir, name);
}

static bool check_place(const char *dir, const char *model, bool replace, vkft_err *err)
{
    visit v = {dir, false, err};
    if (vkft_os_is_same(dir, model))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: is the model that is merged; expected another directory to write",
                         dir);
    if (vkft_file_exists(dir))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: is a file; expected the name of a directory to write", dir);
    if (!vkft_directory_exists(dir))
        return true;
    if (!replace)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: exists; --overwrite replaces it", dir);
    return vkft_directory_list(dir, is_part, &v, err);
}

/* Removes what a merge that was killed has left there, and nothing else. */
static bool clear(const char *work, vkft_err *err)
{
    visit v = {work, true, err};
    return !vkft_directory_exists(work) ||
           (vkft_directory_list(work, is_part, &v, err) && vkft_directory_remove(work, err));
}

bool vkft_merge_write_checkpoint(vkft_merge *merge, const char *dir, vkft_dtype dtype, bool replace, vkft_err *err)
{
    vkft_text work = {0};
    if (!check_place(dir, merge->options.model, replace, err))
        return false;
    char *to = vkft_string_copy(dir);
    size_t length = to ? strlen(to) : 0;
    while (length > 1 && vkft_os_is_separator(to[length - 1]))
        to[--length] = 0;
    bool ok = to || vkft_fail_memory(err, "while writing '%s'", dir);
    ok = ok && vkft_text_append(&work, to, length, err) && vkft_text_append(&work, ".tmp", 4, err) &&
         clear(work.data, err);
    output o = {.merge = merge, .dir = work.data, .dtype = dtype, .err = err};
    bool made = ok && vkft_directory_create(work.data, err);
    ok = made && write_files(&o) && (!replace || vkft_directory_remove(to, err)) &&
         vkft_directory_rename(work.data, to, err);
    if (made && !ok)
        vkft_directory_remove(work.data, NULL);
    free(to);
    free(o.encoded);
    free(o.shard);
    vkft_text_free(&work);
    return ok;
}
