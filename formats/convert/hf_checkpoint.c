/* Finding and opening the weights of a checkpoint directory. A single file wins over an index, as in transformers. With
 * an index, the index decides: each tensor is taken from the shard it names, and what shards hold beyond that is not
 * part of the model. */
#include "formats/convert/hf_checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/convert/recognize.h"
#include "runtime/base/json.h"
#include "formats/tensors/pytorch_file.h"
#include "formats/tensors/safetensors.h"
#include "runtime/base/text.h"

#define MAX_INDEX_BYTES 100000000

/* Shards are plain names: an index must not lead out of its directory. */
static bool check_shard_name(const char *index, const cJSON *entry, vkft_err *err)
{
    if (cJSON_IsString(entry) && entry->valuestring[0] && !strpbrk(entry->valuestring, "/\\:"))
        return true;
    char buffer[96];
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: weight_map: tensor '%.200s': found %s, expected the name of a file beside the index", index,
                     entry->string, vkft_json_describe(entry, buffer, sizeof buffer));
}

/* The distinct file names of the weight map, sorted. */
static bool collect_shards(vkft_hf_checkpoint *checkpoint, const char *index, const cJSON *weight_map, vkft_err *err)
{
    size_t entries = (size_t)cJSON_GetArraySize(weight_map);
    const char **names = malloc((entries + 1) * sizeof *names);
    if (!names)
        return vkft_fail_memory(err, "while reading '%s'", checkpoint->dir);
    bool ok = entries || vkft_fail(err, VKFT_ERR_INPUT, "%s: weight_map is empty", index);
    size_t count = 0;
    for (const cJSON *entry = weight_map->child; ok && entry; entry = entry->next) {
        ok = check_shard_name(index, entry, err);
        names[count++] = entry->valuestring;
    }
    if (ok)
        qsort(names, count, sizeof *names, vkft_string_compare);
    checkpoint->shard_names = ok ? calloc(count, sizeof *checkpoint->shard_names) : NULL;
    if (ok && !checkpoint->shard_names)
        ok = vkft_fail_memory(err, "while reading '%s'", checkpoint->dir);
    for (size_t i = 0; ok && i < count; i++) {
        if (i && strcmp(names[i - 1], names[i]) == 0)
            continue;
        char *copy = malloc(strlen(names[i]) + 1);
        if (!copy) {
            ok = vkft_fail_memory(err, "while reading '%s'", checkpoint->dir);
            break;
        }
        checkpoint->shard_names[checkpoint->shard_count++] = strcpy(copy, names[i]);
    }
    free(names);
    return ok;
}

/* By the ending: the format that PyTorch writes, or safetensors. */
static bool open_shard(const char *path, vkft_tensor_file *shard, vkft_err *err)
{
    size_t length = strlen(path);
    bool pickle = length > 4 && strcmp(path + length - 4, ".bin") == 0;
    return pickle ? vkft_pytorch_open(path, shard, err) : vkft_safetensors_open(path, shard, err);
}

static bool open_shards(vkft_hf_checkpoint *checkpoint, vkft_err *err)
{
    checkpoint->shards = calloc(checkpoint->shard_count, sizeof *checkpoint->shards);
    if (!checkpoint->shards)
        return vkft_fail_memory(err, "while reading '%s'", checkpoint->dir);
    for (uint32_t i = 0; i < checkpoint->shard_count; i++) {
        char *path = vkft_path_join(checkpoint->dir, checkpoint->shard_names[i]);
        bool ok = path ? open_shard(path, &checkpoint->shards[i], err)
                       : vkft_fail_memory(err, "while reading '%s'", checkpoint->dir);
        if (ok == false && path && !vkft_file_exists(path) && checkpoint->index)
            vkft_fail_context(err, "shard %" PRIu32 " of %" PRIu32 " is missing", i + 1, checkpoint->shard_count);
        free(path);
        if (!ok)
            return false;
    }
    return true;
}

static bool add_tensors(vkft_hf_checkpoint *checkpoint, uint64_t capacity, vkft_err *err)
{
    checkpoint->tensors = calloc((size_t)capacity + 1, sizeof *checkpoint->tensors);
    return checkpoint->tensors || vkft_fail_memory(err, "while reading '%s'", checkpoint->dir);
}

static void add_tensor(vkft_hf_checkpoint *checkpoint, const vkft_tensor_file *shard, const vkft_file_tensor *tensor)
{
    checkpoint->tensors[checkpoint->count++] = (vkft_shard_tensor){.shard = shard, .tensor = tensor};
    checkpoint->total_bytes += tensor->bytes;
}

static bool list_single(vkft_hf_checkpoint *checkpoint, vkft_err *err)
{
    const vkft_tensor_file *shard = &checkpoint->shards[0];
    if (!add_tensors(checkpoint, shard->count, err))
        return false;
    for (uint32_t i = 0; i < shard->count; i++)
        add_tensor(checkpoint, shard, &shard->tensors[i]);
    return true;
}

static int compare_places(const void *a, const void *b)
{
    const vkft_shard_tensor *x = a, *y = b;
    if (x->shard != y->shard)
        return x->shard < y->shard ? -1 : 1; /* one array, in the order of names */
    return x->tensor < y->tensor ? -1 : x->tensor > y->tensor;
}

static int compare_tensor_names(const void *a, const void *b)
{
    const vkft_shard_tensor *x = a, *y = b;
    return strcmp(x->tensor->name, y->tensor->name);
}

static bool check_duplicates(vkft_hf_checkpoint *checkpoint, const char *index, vkft_err *err)
{
    qsort(checkpoint->tensors, checkpoint->count, sizeof *checkpoint->tensors, compare_tensor_names);
    for (uint32_t i = 1; i < checkpoint->count; i++)
        if (compare_tensor_names(&checkpoint->tensors[i - 1], &checkpoint->tensors[i]) == 0)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%.200s' is listed twice", index,
                             checkpoint->tensors[i].tensor->name);
    qsort(checkpoint->tensors, checkpoint->count, sizeof *checkpoint->tensors, compare_places);
    return true;
}

static bool list_indexed(vkft_hf_checkpoint *checkpoint, const char *index, const cJSON *weight_map, vkft_err *err)
{
    if (!add_tensors(checkpoint, (uint64_t)cJSON_GetArraySize(weight_map), err))
        return false;
    for (const cJSON *entry = weight_map->child; entry; entry = entry->next) {
        const char *const name = entry->valuestring;
        char **found = bsearch(&name, checkpoint->shard_names, checkpoint->shard_count, sizeof *checkpoint->shard_names,
                               vkft_string_compare);
        const vkft_tensor_file *shard = &checkpoint->shards[found - checkpoint->shard_names];
        const vkft_file_tensor *tensor = vkft_tensor_file_find(shard, entry->string);
        if (!tensor)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: tensor '%.200s' should be in '%s' but is not there; download both again", index,
                             entry->string, name);
        add_tensor(checkpoint, shard, tensor);
    }
    return check_duplicates(checkpoint, index, err);
}

static bool open_indexed(vkft_hf_checkpoint *checkpoint, const char *name, vkft_err *err)
{
    const cJSON *weight_map = NULL;
    char *index = vkft_path_join(checkpoint->dir, name);
    if (!index)
        return vkft_fail_memory(err, "while reading '%s'", checkpoint->dir);
    checkpoint->index = name;
    cJSON *root = vkft_json_read_object(index, MAX_INDEX_BYTES, err);
    bool ok = root && vkft_json_get_object(root, "weight_map", true, &weight_map, index, err) &&
              collect_shards(checkpoint, index, weight_map, err) && open_shards(checkpoint, err) &&
              list_indexed(checkpoint, index, weight_map, err);
    cJSON_Delete(root);
    free(index);
    return ok;
}

static bool open_single(vkft_hf_checkpoint *checkpoint, const char *name, vkft_err *err)
{
    checkpoint->shard_names = calloc(1, sizeof *checkpoint->shard_names);
    if (!checkpoint->shard_names || !(checkpoint->shard_names[0] = malloc(strlen(name) + 1)))
        return vkft_fail_memory(err, "while reading '%s'", checkpoint->dir);
    strcpy(checkpoint->shard_names[0], name);
    checkpoint->shard_count = 1;
    return open_shards(checkpoint, err) && list_single(checkpoint, err);
}

/* In the order in which transformers looks for them. */
static const struct weights {
    const char *name;
    bool (*open)(vkft_hf_checkpoint *checkpoint, const char *name, vkft_err *err);
} all_weights[] = {{"model.safetensors", open_single},
                   {"model.safetensors.index.json", open_indexed},
                   {"pytorch_model.bin", open_single},
                   {"pytorch_model.bin.index.json", open_indexed}};

/* *weights NULL: there are none. */
static bool find_weights(const char *dir, const struct weights **weights, vkft_err *err)
{
    *weights = NULL;
    for (size_t i = 0; i < sizeof all_weights / sizeof *all_weights; i++) {
        bool found = false;
        char *path = vkft_path_join(dir, all_weights[i].name);
        bool ok = path ? vkft_file_find(path, &found, err) : vkft_fail_memory(err, "while reading '%s'", dir);
        free(path);
        if (!ok)
            return false;
        if (found) {
            *weights = &all_weights[i];
            return true;
        }
    }
    return true;
}

bool vkft_hf_checkpoint_find(const char *dir, bool *found, vkft_err *err)
{
    const struct weights *weights;
    bool ok = find_weights(dir, &weights, err);
    *found = ok && weights;
    return ok;
}

static bool open_weights(vkft_hf_checkpoint *checkpoint, vkft_err *err)
{
    const struct weights *weights;
    if (!find_weights(checkpoint->dir, &weights, err))
        return false;
    return weights ? weights->open(checkpoint, weights->name, err)
                   : vkft_model_fail_directory(checkpoint->dir,
                                               "model.safetensors or pytorch_model.bin, or an index of shards", err);
}

bool vkft_hf_checkpoint_open(const char *dir, vkft_hf_checkpoint *checkpoint, vkft_err *err)
{
    *checkpoint = (vkft_hf_checkpoint){0};
    if (!vkft_directory_exists(dir))
        return vkft_fail(err, VKFT_ERR_IO, "'%s' is not a directory; expected a Hugging Face checkpoint directory",
                         dir);
    checkpoint->dir = malloc(strlen(dir) + 1);
    if (!checkpoint->dir)
        return vkft_fail_memory(err, "while reading '%s'", dir);
    strcpy(checkpoint->dir, dir);
    bool ok = open_weights(checkpoint, err);
    if (!ok)
        vkft_hf_checkpoint_close(checkpoint);
    return ok;
}

void vkft_hf_checkpoint_close(vkft_hf_checkpoint *checkpoint)
{
    for (uint32_t i = 0; i < checkpoint->shard_count; i++) {
        if (checkpoint->shards)
            vkft_tensor_file_close(&checkpoint->shards[i]);
        free(checkpoint->shard_names[i]);
    }
    free(checkpoint->shards);
    free(checkpoint->shard_names);
    free(checkpoint->tensors);
    free(checkpoint->dir);
    *checkpoint = (vkft_hf_checkpoint){0};
}
