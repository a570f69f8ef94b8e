/* The matrices of LoRA, for methods that have them too. */
#ifndef VKFT_LORA_PRIVATE_H
#define VKFT_LORA_PRIVATE_H

#include "host/trainable/method.h"

void vkft_lora_shape_a(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols); /* [r,in] */
void vkft_lora_shape_b(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols); /* [out,r] */
bool vkft_lora_init_a(const vkft_adapter_start *start, uint32_t rows, uint32_t cols, float *values);
bool vkft_lora_init_b(const vkft_adapter_start *start, uint32_t rows, uint32_t cols, float *values);
void vkft_lora_bind(vkft_linear *linear, const vkft_adapter_config *config, uint32_t index, uint64_t squares,
                    const uint64_t *tensors, const uint64_t *gradients);

/* W += scale * B A */
void vkft_lora_merge(const vkft_adapter_merge *merge, uint64_t first, uint64_t rows, float *w);

#endif
