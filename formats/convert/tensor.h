/* Streams one tensor from a mapped checkpoint into a .vkft file, converting on the way. Internal to formats. */
#ifndef VKFT_CONVERT_TENSOR_H
#define VKFT_CONVERT_TENSOR_H

#include "formats/convert/hf_checkpoint.h"
#include "formats/native/model_writer.h"

/* Buffers, made once. */
typedef struct vkft_converter vkft_converter;
vkft_converter *vkft_converter_new(uint32_t threads, vkft_err *err);
void vkft_converter_free(vkft_converter *converter);

/* Writes the whole tensor number `index` of the writer in the type that spec asks for. transposed: what is written is
 * the transpose of the matrix as it lies in the file; it is held in memory for that. Error: a value that is not finite,
 * or that overflows the new type (its index is told); whatever writing reports. */
bool vkft_convert_tensor(vkft_converter *converter, const vkft_shard_tensor *source, const vkft_model_spec *spec,
                         vkft_model_writer *writer, uint32_t index, bool transposed, vkft_err *err);

/* Whether both hold the same values in the same order. Up to the first difference, they are read in chunks. */
bool vkft_convert_same_values(const vkft_shard_tensor *a, const vkft_shard_tensor *b);

#endif
