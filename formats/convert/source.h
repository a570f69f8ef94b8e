/* The small files of a checkpoint directory, its name, and a record of its files by which a later run sees whether they
 * changed. Internal to formats. */
#ifndef VKFT_CONVERT_SOURCE_H
#define VKFT_CONVERT_SOURCE_H

#include <cjson/cJSON.h>

#include "formats/config/config.h"
#include "formats/convert/hf_checkpoint.h"
#include "formats/native/model_writer.h"

#define VKFT_MAX_BLOBS 16

typedef struct vkft_source {
    char *path; /* what was opened: the directory, or a GGUF file */
    char *dir;  /* that the files lie in */
    char *name; /* hub id when the directory is one of the hub's cache, else the absolute path */
    char *info; /* JSON: {"source_files": [{"name", "size", "modified_ns", ...}], "notes": ["line", ...]} */
    vkft_config config;
    vkft_model_blob_spec blobs[VKFT_MAX_BLOBS];
    uint32_t blob_count;
    bool files_are_made; /* the small files are made from the keys of a GGUF file */
} vkft_source;

/* Reads the small files and checks config.json. Error: no directory, no config.json, a Git-LFS pointer, a configuration
 * that is not supported or is quantized by a method that is not supported. */
bool vkft_source_open(const char *dir, vkft_source *source, vkft_err *err);
/* Fills name and info; notes: an array of lines. */
bool vkft_source_describe(vkft_source *source, const vkft_hf_checkpoint *checkpoint, const cJSON *notes, vkft_err *err);
void vkft_source_close(vkft_source *source); /* zeroes it */

/* Whether a model keeps a file of this name verbatim, as "tokenizer.json". */
bool vkft_source_is_small_file(const char *name);

/* Whether the files recorded in info are still there, the same ones, unchanged. path: the directory, or a GGUF file. */
bool vkft_source_unchanged(const char *path, const char *info);

/* The lines that info keeps. */
void vkft_source_notes(const char *info, void (*say)(void *context, const char *line), void *context);

#endif
