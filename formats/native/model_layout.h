/* What reader and writer of the .vkft file share; the layout itself is described in docs/vkft-format.md. Internal to
 * formats.
 */
#ifndef VKFT_MODEL_LAYOUT_H
#define VKFT_MODEL_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensors/storage.h"

#define VKFT_MODEL_MAGIC "VKFT"
#define VKFT_MODEL_VERSION 1
#define VKFT_MODEL_PREFIX 24 /* bytes before the header's text */
#define VKFT_MODEL_ALIGNMENT 256
#define VKFT_MODEL_MAX_HEADER 100000000
#define VKFT_MODEL_MAX_DIMS 4

/* Number of elements, and the bytes of every part; a tensor is stored as a matrix whose rows are its last dimension.
 * false: a product overflows. */
bool vkft_model_part_bytes(vkft_storage storage, uint32_t dims, const uint64_t *shape, uint64_t *elements,
                           uint64_t bytes[VKFT_PARTS]);
/* offset rounded up to the alignment. */
uint64_t vkft_model_align(uint64_t offset);

typedef struct vkft_model_file vkft_model_file; /* model_file.h */

/* The "info" of the header as JSON text: where the file came from. Nothing in it changes what the model computes. */
const char *vkft_model_file_info(const vkft_model_file *file);

#endif
