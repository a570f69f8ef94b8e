/* See prequantized.h. The methods are those that the codecs of the storage types name. */
#include "formats/convert/prequantized.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/parallel.h"
#include "runtime/base/size.h"

#define MAX_FILE_BYTES 67108864

/* What finds the weights of storage type i; NULL: nothing, or an earlier type has the same. */
static const vkft_prequantizer *prequantizer_of(vkft_storage i)
{
    const vkft_prequantizer *prequantizer = vkft_storage_get(i)->codec->prequantizer;
    for (vkft_storage earlier = 0; earlier < i; earlier++)
        if (vkft_storage_get(earlier)->codec->prequantizer == prequantizer)
            return NULL;
    return prequantizer;
}

/* One after the other of all methods, from *at = 0; NULL: there are no more. */
static const vkft_quant_method *next_method(uint32_t *at)
{
    while (*at < VKFT_STORAGE_COUNT * VKFT_MAX_QUANT_METHODS) {
        const vkft_prequantizer *prequantizer = prequantizer_of(*at / VKFT_MAX_QUANT_METHODS);
        const vkft_quant_method *method = prequantizer ? &prequantizer->methods[*at % VKFT_MAX_QUANT_METHODS] : NULL;
        ++*at;
        if (method && method->name)
            return method;
    }
    return NULL;
}

static bool check_named(const void *quantization_config, const char *file, vkft_err *err)
{
    const vkft_quant_method *method;
    const char *name = "unknown";
    char known[100] = "";
    if (!vkft_json_get_string(quantization_config, "quant_method", false, &name, file, err))
        return false;
    for (uint32_t i = 0; (method = next_method(&i));) {
        if (strcmp(method->name, name) == 0)
            return method->check(quantization_config, file, err);
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", known[0] ? ", " : "", method->name);
    }
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: the checkpoint is quantized already (quant_method %.40s); supported are %s: convert the "
                     "original one",
                     file, name, known);
}

static bool check_file(const vkft_quant_method *method, const char *dir, vkft_err *err)
{
    char *path = vkft_path_join(dir, method->file);
    bool ok = path || vkft_fail_memory(err, "while reading '%s'", dir);
    bool found = false;
    ok = ok && vkft_file_find(path, &found, err);
    if (found) {
        cJSON *root = vkft_json_read_object(path, MAX_FILE_BYTES, err);
        ok = root && method->check(root, path, err);
        cJSON_Delete(root);
    }
    free(path);
    return ok;
}

bool vkft_prequantized_check(const char *dir, const void *quantization_config, const char *config, vkft_err *err)
{
    const vkft_quant_method *method;
    if (quantization_config)
        return check_named(quantization_config, config, err);
    for (uint32_t i = 0; (method = next_method(&i));)
        if (method->file && !check_file(method, dir, err))
            return false;
    return true;
}

static bool find(const void *context, const char *name, vkft_shard_tensor *found)
{
    const vkft_hf_checkpoint *checkpoint = context;
    for (uint32_t i = 0; i < checkpoint->shard_count; i++) {
        const vkft_tensor_file *shard = &checkpoint->shards[i];
        *found = (vkft_shard_tensor){shard, vkft_tensor_file_find(shard, name)};
        if (found->tensor)
            return true;
    }
    return false;
}

bool vkft_prequantized_find(const vkft_hf_checkpoint *checkpoint, const vkft_shard_tensor *weight,
                            vkft_prequantized_weight *parts, bool *found, vkft_err *err)
{
    const vkft_tensor_finder finder = {find, checkpoint};
    bool ok = true;
    *found = false;
    for (vkft_storage i = 0; ok && !*found && i < VKFT_STORAGE_COUNT; i++) {
        const vkft_prequantizer *prequantizer = prequantizer_of(i);
        *parts = (vkft_prequantized_weight){0};
        ok = !prequantizer || prequantizer->find(&finder, weight, parts, found, err);
    }
    return ok;
}

/* Rows whose parts are made at a time, and by a thread. */
#define CUT_BYTES ((uint64_t)1 << 25)

typedef struct cutter {
    const vkft_prequantized_weight *w;
    uint64_t first, rows, each, part_bytes[VKFT_PARTS]; /* of a row */
    uint8_t *out[VKFT_PARTS];
} cutter;

static void cut_task(void *context, uint64_t task, uint32_t worker)
{
    const cutter *c = context;
    const uint64_t begin = task * c->each;
    void *part[VKFT_PARTS];
    (void)worker;
    for (uint32_t p = 0; p < VKFT_PARTS; p++)
        part[p] = c->out[p] ? c->out[p] + begin * c->part_bytes[p] : NULL;
    c->w->cut(c->w, c->first + begin, min_u64(c->each, c->rows - begin), part);
}

static bool check_finite(const vkft_prequantized_weight *parts, const vkft_stored *w, uint64_t first, vkft_err *err)
{
    const uint64_t bad = vkft_storage_get(w->storage)->codec->first_not_finite(w);
    return bad == UINT64_MAX ||
           vkft_fail(
               err, VKFT_ERR_INPUT, "%s: tensor '%s': element %" PRIu64 " is not finite; the checkpoint is damaged",
               parts->source[VKFT_PART_DATA].shard->path, parts->source[VKFT_PART_DATA].tensor->name, first + bad);
}

/* Appends one part of all rows, some at a time; the others are made for the check of the first part alone. */
static bool write_part(cutter *c, uint32_t part, uint64_t step, uint32_t threads, vkft_model_writer *writer,
                       uint32_t index, vkft_err *err)
{
    const vkft_stored *w = &c->w->stored;
    for (c->first = 0; c->first < w->rows; c->first += c->rows) {
        c->rows = min_u64(step, w->rows - c->first);
        c->each = ceil_div_u64(c->rows, 4ull * threads);
        vkft_parallel(threads, ceil_div_u64(c->rows, c->each), cut_task, c);
        vkft_stored made = {.storage = w->storage, .rows = c->rows, .cols = w->cols};
        for (uint32_t p = 0; p < VKFT_PARTS; p++)
            made.part[p] = c->out[p];
        if ((part == VKFT_PART_DATA && !check_finite(c->w, &made, c->first * w->cols, err)) ||
            !vkft_model_writer_append(writer, index, part, c->out[part], (size_t)(c->rows * c->part_bytes[part]), err))
            return false;
    }
    return true;
}

/* A weight whose parts are made from its source, in bounded memory: for each part the source is read again. */
static bool write_cut(const vkft_prequantized_weight *parts, uint32_t threads, vkft_model_writer *writer,
                      uint32_t index, vkft_err *err)
{
    const vkft_stored *w = &parts->stored;
    cutter c = {.w = parts};
    bool ok = true;
    vkft_storage_part_bytes(w->storage, 1, w->cols, c.part_bytes);
    const uint64_t step = max_u64(1, min_u64(w->rows, CUT_BYTES / max_u64(1, c.part_bytes[VKFT_PART_DATA])));
    for (uint32_t p = 0; ok && p < VKFT_PARTS; p++)
        ok = !c.part_bytes[p] || (c.out[p] = malloc((size_t)(step * c.part_bytes[p]))) ||
             vkft_fail_memory(err, "while converting '%s'", parts->source[VKFT_PART_DATA].tensor->name);
    for (uint32_t p = 0; ok && p < VKFT_PARTS; p++)
        ok = !c.part_bytes[p] || write_part(&c, p, step, threads, writer, index, err);
    for (uint32_t p = 0; p < VKFT_PARTS; p++)
        free(c.out[p]);
    if (ok)
        vkft_model_writer_end(writer, index, 0);
    const vkft_shard_tensor *source = &parts->source[VKFT_PART_DATA];
    vkft_mapping_drop(&source->shard->mapping, source->tensor->offset, source->tensor->bytes);
    return ok;
}

bool vkft_prequantized_write(const vkft_prequantized_weight *parts, uint32_t threads, vkft_model_writer *writer,
                             uint32_t index, vkft_err *err)
{
    const vkft_stored *w = &parts->stored;
    uint64_t bytes[VKFT_PARTS];
    if (parts->cut)
        return write_cut(parts, vkft_worker_count(threads), writer, index, err);
    if (!check_finite(parts, w, 0, err))
        return false;
    vkft_storage_part_bytes(w->storage, w->rows, w->cols, bytes);
    for (uint32_t part = 0; part < VKFT_PARTS; part++) {
        const vkft_shard_tensor *source = &parts->source[part];
        if (w->part[part] && !vkft_model_writer_append(writer, index, part, w->part[part], (size_t)bytes[part], err))
            return false;
        if (source->tensor)
            vkft_mapping_drop(&source->shard->mapping, source->tensor->offset, source->tensor->bytes);
    }
    vkft_model_writer_end(writer, index, w->offset);
    return true;
}
