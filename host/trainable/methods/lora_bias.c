/* LoRA with a bias of B: y += scale * (B A dropout(x) + b), b [out] from zero on, PEFT's lora_bias. It was made for
 * adapters that were extracted from whole models. Test: test_saved_modules, test_ops_linear
 */
#include "host/trainable/methods/lora_private.h"

static void shape(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols)
{
    (void)r;
    *rows = linear->w.rows;
    *cols = 1;
}

static void bind(vkft_linear *linear, const vkft_adapter_config *config, uint32_t index, uint64_t squares,
                 const uint64_t *tensors, const uint64_t *gradients)
{
    vkft_lora_bind(linear, config, index, squares, tensors, gradients);
    linear->lora.bias = tensors[2];
    linear->lora.dbias = gradients ? gradients[2] : 0;
}

static void merge_bias(const vkft_adapter_merge *merge, uint64_t rows, float *bias)
{
    for (uint64_t i = 0; i < rows; i++)
        bias[i] += merge->scale * merge->tensor[2]->data[i];
}

const vkft_adapter_method vkft_method_lora_bias = {
    .name = "lora_bias",
    .format = {.peft_type = "LORA",
               .lora_bias = true,
               .suffixes = {".lora_A.weight", ".lora_B.weight", ".lora_B.bias"},
               .vector = {[2] = true}},
    .tensor = {{.decays = true, .shape = vkft_lora_shape_a, .init = vkft_lora_init_a},
               {.decays = true, .loraplus = true, .shape = vkft_lora_shape_b, .init = vkft_lora_init_b},
               {.loraplus = true, .shape = shape}},
    .bind = bind,
    .merge = vkft_lora_merge,
    .merge_bias = merge_bias,
    .not_for_experts = true,
};
