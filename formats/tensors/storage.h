/* How a weight of a model is kept, in .vkft files and in device memory: the rows of storage.def.
 *
 * vkft_dtype (dtype.h) is another thing: the type of the elements of an array in somebody's checkpoint or adapter.
 * A stored weight consists of up to three arrays, its parts. Only a type's codec knows what they mean; everyone else
 * loops over them. A new type is a codec file, a row of storage.def, a file of shaders/matmul/storage and its rows of
 * shaders/kernels.def.
 */
#ifndef VKFT_STORAGE_H
#define VKFT_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensors/dtype.h"

typedef enum vkft_storage {
#define STORAGE(name, header, bits, block, label, flag, super, codec) VKFT_STORAGE_##name,
#include "formats/tensors/storage.def"
#undef STORAGE
    VKFT_STORAGE_COUNT,
    VKFT_STORAGE_none = VKFT_STORAGE_COUNT, /* no type: of kernels that multiply no weight, of what is not converted */
    VKFT_STORAGE_stored                     /* no type: the same, and blocks of a GGUF file are kept, not decoded */
} vkft_storage;

/* The arrays of a weight, in the order in which they lie in a file and enter its checksum. */
typedef enum vkft_part {
    VKFT_PART_DATA,   /* the elements, or their codes */
    VKFT_PART_SCALES, /* of blocks */
    VKFT_PART_SUPER,  /* scales of the scales */
    VKFT_PARTS
} vkft_part;

/* A matrix in host memory; NULL for parts that the type does not have. */
typedef struct vkft_stored {
    vkft_storage storage;
    uint64_t rows, cols;
    const void *part[VKFT_PARTS];
    float offset; /* that the type adds to its scales */
} vkft_stored;

struct vkft_prequantizer;

typedef struct vkft_codec {
    /* What a .vkft header calls the parts past the data, and the offset; NULL: the type has none. */
    const char *part_keys[VKFT_PARTS], *offset_key;
    uint32_t overflow; /* f32 bits of the smallest magnitude that the type cannot hold */
    /* Bytes of a part past the data; NULL where there are none. No overflow while rows * cols has none. */
    uint64_t (*part_bytes)(vkft_part part, uint64_t rows, uint64_t cols);
    /* Codes of n elements, the first of which begins a block, and a scale per block. NULL: the type is only taken from
     * checkpoints that have it. */
    void (*encode)(const float *x, uint64_t n, uint8_t *data, float *scales);
    /* Of types without encode: random bytes in all parts become a weight, finite and below 2^14. NULL: they are one. */
    void (*tame)(void *const part[VKFT_PARTS], const uint64_t bytes[VKFT_PARTS]);
    /* All scales of a matrix to the parts past the data; NULL where there are none. */
    void (*finish)(const float *scales, uint64_t rows, uint64_t cols, void *const part[VKFT_PARTS], float *offset);
    void (*decode)(const vkft_stored *w, float *y); /* y [rows, cols] */
    /* The first element that is not finite; UINT64_MAX: there is none. NULL: elements are checked before they are
     * encoded, since no checkpoint holds this type. */
    uint64_t (*first_not_finite)(const vkft_stored *w);
    bool whole_blocks; /* the parts of a matrix hold whole blocks, the last one too */
    /* Whose checkpoints hold this type, see prequantized.h; NULL: it is only made by conversion. */
    const struct vkft_prequantizer *prequantizer;
} vkft_codec;

typedef struct vkft_storage_type {
    const char *name, *header, *label;
    uint32_t bits, block;
    vkft_storage super;
    const vkft_codec *codec;
} vkft_storage_type;

const vkft_storage_type *vkft_storage_get(vkft_storage storage);

/* Whether what --quant names is no type to convert to. */
static inline bool vkft_storage_keeps(vkft_storage quant)
{
    return quant >= VKFT_STORAGE_COUNT;
}

/* The label of a type, "none" or "stored". */
const char *vkft_quant_label(vkft_storage quant);
/* The type of a label; false: there is none. */
bool vkft_storage_named(const char *label, vkft_storage *storage);
/* What --quant and --double-quant mean together: the type whose scales are quantized too, where there is one. */
vkft_storage vkft_storage_variant(vkft_storage quant, bool super_scales);

/* Whether elements are codes that scales go with. */
bool vkft_storage_is_quantized(vkft_storage storage);
/* The type that keeps elements of F32, F16 or BF16 as they are, and F64 and ggml's blocks as F32; none for other
 * dtypes. */
vkft_storage vkft_storage_of_dtype(vkft_dtype dtype);
/* Bytes of every part; 0 for parts that the type does not have. false: a product overflows. */
bool vkft_storage_part_bytes(vkft_storage storage, uint64_t rows, uint64_t cols, uint64_t bytes[VKFT_PARTS]);

#endif
