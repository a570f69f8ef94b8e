/* See prequantized.h. The methods are those that the codecs of the storage types name. */
#include "formats/convert/prequantized.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/json.h"

/* The method of storage type i; NULL: it has none, or an earlier type has the same. */
static const vkft_prequantizer *method_of(vkft_storage i)
{
    const vkft_prequantizer *method = vkft_storage_get(i)->codec->prequantizer;
    for (vkft_storage earlier = 0; earlier < i; earlier++)
        if (vkft_storage_get(earlier)->codec->prequantizer == method)
            return NULL;
    return method;
}

bool vkft_prequantized_check(const void *quantization_config, const char *file, vkft_err *err)
{
    const char *name = "unknown";
    char known[100] = "";
    if (!quantization_config)
        return true;
    if (!vkft_json_get_string(quantization_config, "quant_method", false, &name, file, err))
        return false;
    for (vkft_storage i = 0; i < VKFT_STORAGE_COUNT; i++) {
        const vkft_prequantizer *method = method_of(i);
        if (method && strcmp(method->name, name) == 0)
            return method->check(quantization_config, file, err);
        if (method)
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", known[0] ? ", " : "", method->name);
    }
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: the checkpoint is quantized already (quant_method %.40s); supported are %s: convert the "
                     "original one",
                     file, name, known);
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
        const vkft_prequantizer *method = method_of(i);
        *parts = (vkft_prequantized_weight){0};
        ok = !method || method->find(&finder, weight, parts, found, err);
    }
    return ok;
}

bool vkft_prequantized_write(const vkft_prequantized_weight *parts, vkft_model_writer *writer, uint32_t index,
                             vkft_err *err)
{
    const vkft_stored *w = &parts->stored;
    uint64_t bytes[VKFT_PARTS], bad = vkft_storage_get(w->storage)->codec->first_not_finite(w);
    if (bad != UINT64_MAX)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: tensor '%s': element %" PRIu64 " is not finite; the checkpoint is damaged",
                         parts->source[VKFT_PART_DATA].shard->path, parts->source[VKFT_PART_DATA].tensor->name, bad);
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
