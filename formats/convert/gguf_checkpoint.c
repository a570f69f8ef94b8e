/* See gguf_checkpoint.h. */
#include "formats/convert/gguf_checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "formats/gguf/model.h"
#include "runtime/base/text.h"

/* The source owns the text from here. */
static void add_blob(vkft_source *source, const char *name, char **text)
{
    if (!*text)
        return;
    source->blobs[source->blob_count++] = (vkft_model_blob_spec){.name = name, .data = *text, .size = strlen(*text)};
    *text = NULL;
}

static bool make_source(const char *path, const vkft_gguf *gguf, vkft_source *source, vkft_err *err)
{
    vkft_gguf_files files;
    source->path = vkft_string_copy(path);
    source->dir = vkft_path_parent(path);
    source->files_are_made = true;
    if (!source->path || !source->dir)
        return vkft_fail_memory(err, "while reading '%s'", path);
    if (!vkft_gguf_files_make(gguf, &files, err))
        return false;
    bool ok = vkft_config_parse(files.config, strlen(files.config), path, &source->config, err);
    add_blob(source, "config.json", &files.config);
    add_blob(source, "tokenizer.json", &files.tokenizer);
    add_blob(source, "tokenizer_config.json", &files.tokenizer_config);
    return ok;
}

/* Takes the parts over. */
static bool make_checkpoint(const char *path, vkft_gguf *gguf, vkft_hf_checkpoint *checkpoint, vkft_err *err)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < gguf->part_count; i++)
        count += gguf->parts[i].count;
    checkpoint->dir = vkft_string_copy(path);
    checkpoint->shard_names = calloc(gguf->part_count, sizeof *checkpoint->shard_names);
    checkpoint->tensors = calloc((size_t)count + 1, sizeof *checkpoint->tensors);
    bool ok = checkpoint->dir && checkpoint->shard_names && checkpoint->tensors;
    if (!ok)
        return vkft_fail_memory(err, "while reading '%s'", path);
    checkpoint->shard_count = gguf->part_count;
    checkpoint->shards = gguf->parts;
    gguf->parts = NULL;
    gguf->part_count = 0;
    for (uint32_t i = 0; i < checkpoint->shard_count; i++) {
        const vkft_tensor_file *shard = &checkpoint->shards[i];
        checkpoint->shard_names[i] = vkft_string_copy(vkft_path_base(shard->path));
        ok = ok && checkpoint->shard_names[i];
        for (uint32_t t = 0; t < shard->count; t++) {
            checkpoint->tensors[checkpoint->count++] = (vkft_shard_tensor){shard, &shard->tensors[t]};
            checkpoint->total_bytes += shard->tensors[t].bytes;
        }
    }
    return ok || vkft_fail_memory(err, "while reading '%s'", path);
}

bool vkft_gguf_checkpoint_open(const char *path, vkft_source *source, vkft_hf_checkpoint *checkpoint, vkft_err *err)
{
    vkft_gguf gguf;
    *source = (vkft_source){0};
    *checkpoint = (vkft_hf_checkpoint){0};
    if (!vkft_gguf_open(path, &gguf, err))
        return false;
    bool ok = make_source(path, &gguf, source, err) && vkft_gguf_rename(&gguf, &source->config, err) &&
              make_checkpoint(path, &gguf, checkpoint, err);
    vkft_gguf_close(&gguf);
    if (!ok) {
        vkft_source_close(source);
        vkft_hf_checkpoint_close(checkpoint);
    }
    return ok;
}

bool vkft_gguf_checkpoint_is_quantized(const vkft_hf_checkpoint *checkpoint)
{
    for (uint32_t i = 0; i < checkpoint->count; i++)
        if (vkft_dtype_block(checkpoint->tensors[i].tensor->dtype) > 1)
            return true;
    return false;
}

bool vkft_gguf_file_is_quantized(const char *path, bool *quantized, vkft_err *err)
{
    vkft_gguf gguf;
    *quantized = false;
    if (!vkft_gguf_open(path, &gguf, err))
        return false;
    for (uint32_t i = 0; i < gguf.part_count; i++)
        for (uint32_t t = 0; t < gguf.parts[i].count; t++)
            *quantized |= vkft_dtype_block(gguf.parts[i].tensors[t].dtype) > 1;
    vkft_gguf_close(&gguf);
    return true;
}
