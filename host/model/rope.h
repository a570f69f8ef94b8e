/* Rotary position tables with the scalings that checkpoints use. */
#ifndef VKFT_ROPE_H
#define VKFT_ROPE_H

#include "formats/config/config.h"

/* Inverse frequencies inv_freq [d/2], d = rope->dim, in double for a forward whose longest sequence has `length`
 * tokens.
 *   default:  theta^(-2i/d)
 *   linear:   that / factor
 *   dynamic:  theta' = theta * (factor*L/P - (factor-1))^(d/(d-2)), L = max(length, P), P = max_position
 *   llama3:   long wavelengths divided by factor, short ones kept, smooth in between
 *   longrope: theta^(-2i/d) / short_factor[i] up to original_max_position tokens, / long_factor[i] beyond
 *   yarn:     f = theta^(-2i/d) where it makes more than beta_fast rotations over P = original_max_position tokens,
 *             f / factor where it makes fewer than beta_slow, and by a ramp over i in between. The rotations are b at
 *             i(b) = d ln(P / (2 pi b)) / (2 ln theta); truncate rounds the ramp's ends outwards to whole i
 * Source: transformers, modeling_rope_utils; Peng et al. 2023 (YaRN). Test: test_rope, test_golden */
void vkft_rope_inv_freq(const vkft_rope *rope, uint32_t length, double *inv_freq);

/* The smallest length that has the same table as `length`: a table is to be written again when this changes. */
uint32_t vkft_rope_length(const vkft_rope *rope, uint32_t length);

/* table [positions, d/2] of (cos, sin) as f32, from angles rounded to f32 as the reference implementation has them,
 * times attention_factor. */
void vkft_rope_table(const vkft_rope *rope, uint32_t length, uint32_t positions, float *table);

#endif
