/* What the readers of architectures use: the groups of keys that families share. Internal to formats.
 *
 * All of them leave a value as it is when its key is absent or null, so that an architecture sets its defaults first;
 * sizes that are still 0 then are missing.
 */
#ifndef VKFT_CONFIG_READ_H
#define VKFT_CONFIG_READ_H

#include "formats/config/arch.h"
#include "formats/config/config_keys.h"
#include "formats/config/config_rope.h"

/* vocab_size, hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim,
 * max_position_embeddings. */
bool vkft_config_sizes(const vkft_config_source *in, vkft_config *config);
/* The above, rms_norm_eps, hidden_act, rotary positions: what all of Llama's descendants have. */
bool vkft_config_llama(const vkft_config_source *in, vkft_config *config);
/* norm_eps from this key. */
bool vkft_config_eps(const vkft_config_source *in, const char *key, vkft_config *config);
/* attention_bias, of all four projections. */
bool vkft_config_attention_bias(const vkft_config_source *in, vkft_config *config);
/* Checks the sizes and derives head_dim and attention_scale; every reader needs it before rotary positions are read. */
bool vkft_config_derive(const vkft_config_source *in, vkft_config *config);
/* Flags of the layers whose entry in layer_types is "sliding_attention"; *found tells whether the key was there. */
bool vkft_config_layer_types(const vkft_config_source *in, vkft_config *config, uint8_t sliding_flags, bool *found);
/* Qwen: the layers from max_window_layers on have a sliding window, if use_sliding_window. */
bool vkft_config_late_window(const vkft_config_source *in, vkft_config *config);
/* num_experts or num_local_experts, and num_experts_per_tok; expert_size is the reader's own. Which layers are mixtures
 * is, too. */
bool vkft_config_experts(const vkft_config_source *in, vkft_config *config);
/* What Gemma 2 and 3 have in common, without rotary positions and the pattern of layers. */
void vkft_config_gemma_defaults(vkft_config *config);
bool vkft_config_gemma(const vkft_config_source *in, vkft_config *config);

#endif
