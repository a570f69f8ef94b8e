/* Rotary position tables with the scalings that checkpoints use. */
#ifndef VKFT_ROPE_H
#define VKFT_ROPE_H

#include "config.h"

/* Inverse frequencies inv_freq [D/2] in double for a forward whose longest sequence has `length` tokens (only dynamic scaling depends on it).
 *   default: theta^(-2i/D)      linear: that / factor
 *   dynamic: theta' = theta * (factor*L/P - (factor-1))^(D/(D-2)), L = max(length, P), P = max_position
 *   llama3:  long wavelengths divided by factor, short ones kept, smooth in between
 * Source: transformers, modeling_rope_utils. Test: test_rope, test_golden */
void vkft_rope_inv_freq(const vkft_config *config, uint32_t length, double *inv_freq);

/* table [positions, D/2] of (cos, sin) as f32, from angles rounded to f32 as the reference implementation has them. */
void vkft_rope_table(const vkft_config *config, uint32_t length, uint32_t positions, float *table);

#endif
