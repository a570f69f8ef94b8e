/* What the files of the GGUF reader share. */
#ifndef VKFT_GGUF_PRIVATE_H
#define VKFT_GGUF_PRIVATE_H

#include "formats/gguf/gguf.h"

/* Of one element; 0: strings and arrays. */
uint32_t vkft_gguf_type_bytes(vkft_gguf_type type);
/* What the format calls a type of tensors that can be read. */
uint32_t vkft_gguf_type_number(vkft_dtype dtype);

#endif
