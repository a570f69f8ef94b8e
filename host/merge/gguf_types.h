/* Which type each tensor of a GGUF file has: the mixtures of llama-quantize without an importance matrix.
 *
 * Source: src/llama-quant.cpp of llama.cpp. Test: against llama-quantize, by tests/golden/check_gguf.py
 */
#ifndef VKFT_GGUF_TYPES_H
#define VKFT_GGUF_TYPES_H

#include "formats/config/config.h"
#include "formats/gguf/model.h"

/* FILE_TYPE(name, number, dtype): number is general.file_type, dtype that of most matrices. */
#define VKFT_GGUF_FILE_TYPES(FILE_TYPE)                                                                                \
    FILE_TYPE("f32", 0, VKFT_F32)                                                                                      \
    FILE_TYPE("f16", 1, VKFT_F16)                                                                                      \
    FILE_TYPE("bf16", 32, VKFT_BF16)                                                                                   \
    FILE_TYPE("q8_0", 7, VKFT_Q8_0)                                                                                    \
    FILE_TYPE("q6_K", 18, VKFT_Q6_K)                                                                                   \
    FILE_TYPE("q4_K_M", 15, VKFT_Q4_K)                                                                                 \
    FILE_TYPE("q4_0", 2, VKFT_Q4_0)

/* What a tensor is there; tied: the embedding is the head, too. cols: the length of its rows. */
vkft_dtype vkft_gguf_dtype_of(uint32_t file_type, const vkft_config *config, bool tied, const vkft_gguf_place *place,
                              uint32_t dims, uint64_t cols);

#endif
