/* Writing the native .vkft file (layout: docs/vkft-format.md) as a stream: the header's size follows from what is
 * announced, the data follows tensor by tensor, and the header with its checksums is filled in at the end. Internal to
 * formats. */
#ifndef VKFT_MODEL_WRITER_H
#define VKFT_MODEL_WRITER_H

#include "formats/native/model_layout.h"

typedef struct vkft_model_spec {
    const char *name;
    vkft_storage storage;
    uint32_t dims;
    uint64_t shape[VKFT_MODEL_MAX_DIMS];
} vkft_model_spec;

typedef struct vkft_model_blob_spec {
    const char *name;
    const char *data;
    size_t size;
} vkft_model_blob_spec;

typedef struct vkft_model_writer vkft_model_writer;

/* Everything is borrowed until commit or abandon; info is an object's JSON text. Writes the blobs. */
vkft_model_writer *vkft_model_writer_open(const char *path, const char *source, const char *quantization,
                                          const char *info, const vkft_model_blob_spec *blobs, uint32_t blob_count,
                                          const vkft_model_spec *specs, uint32_t count, vkft_err *err);
/* Appends to one part of a tensor. The parts of a tensor must be written whole and in the order of vkft_part. */
bool vkft_model_writer_append(vkft_model_writer *writer, uint32_t tensor, vkft_part part, const void *data, size_t size,
                              vkft_err *err);
/* Ends a tensor; offset is kept for types that have one. */
void vkft_model_writer_end(vkft_model_writer *writer, uint32_t tensor, float offset);
bool vkft_model_writer_commit(vkft_model_writer *writer, vkft_err *err); /* frees the writer, also on failure */
void vkft_model_writer_abandon(vkft_model_writer *writer);

#endif
