/* LoRA: y += scale * B A dropout(x), with A [r,in] and B [out,r]; scale = alpha / r, or alpha / sqrt(r) (rsLoRA). The
 * ops compute it: host/engine/ops. Source: Hu et al. 2021; Kalajdzievski 2023 (rsLoRA). Test: test_adapter
 */
#include "host/trainable/methods/lora_private.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

void vkft_lora_shape_a(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols)
{
    *rows = r;
    *cols = linear->w.cols;
}

void vkft_lora_shape_b(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols)
{
    *rows = linear->w.rows;
    *cols = r;
}

void vkft_lora_bind(vkft_linear *linear, const vkft_adapter_config *config, uint32_t index, uint64_t squares,
                    const uint64_t *tensors, const uint64_t *gradients)
{
    (void)squares;
    float r = (float)config->r;
    linear->lora = (vkft_lora){
        .r = config->r,
        .scale = config->use_rslora ? config->lora_alpha / sqrtf(r) : config->lora_alpha / r,
        .dropout = config->lora_dropout,
        .layer = index,
        .A = tensors[0],
        .B = tensors[1],
        .dA = gradients ? gradients[0] : 0,
        .dB = gradients ? gradients[1] : 0,
    };
}

enum { LANES = 16 }; /* columns whose sums stay in registers */

void vkft_lora_merge(const vkft_adapter_merge *merge, uint64_t first, uint64_t rows, float *w)
{
    const vkft_adapter_tensor *A = merge->tensor[0], *B = merge->tensor[1];
    const uint64_t cols = merge->cols, whole = cols - cols % LANES;
    for (uint64_t i = 0; i < rows; i++) {
        const float *b = B->data + (first + i) * B->cols;
        float *row = w + i * cols;
        for (uint64_t j = 0; j < whole; j += LANES) {
            float sum[LANES];
            memcpy(sum, row + j, sizeof sum);
            for (uint64_t k = 0; k < A->rows; k++) {
                const float x = merge->scale * b[k], *a = A->data + k * cols + j;
                for (int lane = 0; lane < LANES; lane++)
                    sum[lane] += x * a[lane];
            }
            memcpy(row + j, sum, sizeof sum);
        }
        for (uint64_t j = whole; j < cols; j++)
            for (uint64_t k = 0; k < A->rows; k++)
                row[j] += merge->scale * b[k] * A->data[k * cols + j];
    }
}

const vkft_adapter_method vkft_method_lora = {
    .name = "LoRA",
    .format = {.peft_type = "LORA",
               .suffixes = {".lora_A.weight", ".lora_B.weight"},
               .embedding = {".lora_embedding_A", ".lora_embedding_B"}},
    .tensor = {{.decays = true, .shape = vkft_lora_shape_a, .init = vkft_lora_init_a},
               {.decays = true, .loraplus = true, .shape = vkft_lora_shape_b, .init = vkft_lora_init_b}},
    .bind = vkft_lora_bind,
    .merge = vkft_lora_merge,
};
