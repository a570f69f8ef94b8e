/* NF4 exactly as bitsandbytes computes and stores it (block 64, optional double quantization of absmax in blocks of
 * 256). Source: Dettmers et al. 2023 (QLoRA); the tables are bitsandbytes' own values. Test: test_nf4 */
#ifndef VKFT_NF4_H
#define VKFT_NF4_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensors/storage.h"

#define VKFT_NF4_BLOCK 64
#define VKFT_NF4_NESTED_BLOCK 256

extern const float vkft_nf4_table[16];
extern const float vkft_fp4_table[16]; /* bitsandbytes' FP4: a sign, then 0, 1/192 and six values from 1/6 to 1 */

/* The dynamic maps of bitsandbytes' 8-bit quantization, 256 ascending entries each: signed, map[127] == 0, and of
 * magnitudes alone, map[0] == 0. */
void vkft_dynamic_map(float map[256]);
void vkft_dynamic_map_unsigned(float map[256]);

/* x [n] -> codes [(n+1)/2] and absmax [ceil(n/64)]; the last block may be short. Even index in the high nibble. */
void vkft_nf4_quantize(const float *x, uint64_t n, uint8_t *codes, float *absmax);

/* absmax [blocks] -> quantized [blocks], nested_absmax [ceil(blocks/256)], *offset = mean(absmax). */
void vkft_nf4_double_quantize(const float *absmax, uint64_t blocks, uint8_t *quantized, float *nested_absmax,
                              float *offset);

/* absmax[i] = map[quantized[i]] * nested_absmax[i/256] + offset */
void vkft_nf4_double_dequantize(const uint8_t *quantized, const float *nested_absmax, float offset, uint64_t blocks,
                                float *absmax);

/* y[i] = table[code i] * absmax[i/64] */
void vkft_nf4_dequantize(const uint8_t *codes, const float *absmax, uint64_t n, float *y);
void vkft_fp4_dequantize(const uint8_t *codes, const float *absmax, uint64_t n, float *y);

/* The rows of storage.def. */
extern const vkft_codec vkft_codec_nf4, vkft_codec_nf4_dq, vkft_codec_fp4, vkft_codec_fp4_dq;

#endif
