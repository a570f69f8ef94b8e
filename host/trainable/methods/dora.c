/* DoRA: LoRA whose rows of W + scale * B A are multiplied by m / their norms, m [out] being trained from the norms of
 * W's rows on. The gradient takes the norms for constants. The ops compute it: host/engine/ops. Source: Liu et al.
 * 2024. Test: test_dora
 */
#include "host/trainable/method.h"

#include <math.h>

#include "host/trainable/methods/lora_private.h"

static void shape(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols)
{
    (void)r;
    *rows = linear->w.rows;
    *cols = 1;
}

/* B A is zero: the norms are those of W. */
static bool init(const vkft_adapter_start *start, uint32_t rows, uint32_t cols, float *values)
{
    (void)cols;
    for (uint32_t i = 0; i < rows; i++)
        values[i] = sqrtf(start->squares[i]);
    return true;
}

static void bind(vkft_linear *linear, const vkft_adapter_config *config, uint32_t index, uint64_t squares,
                 const uint64_t *tensors, const uint64_t *gradients)
{
    vkft_lora_bind(linear, config, index, squares, tensors, gradients);
    linear->lora.magnitude = tensors[2];
    linear->lora.dmagnitude = gradients ? gradients[2] : 0;
    linear->lora.squares = squares;
}

static void merge(const vkft_adapter_merge *m, uint64_t first, uint64_t rows, float *w)
{
    vkft_lora_merge(m, first, rows, w);
    for (uint64_t i = 0; i < rows; i++) {
        double squares = 0;
        for (uint64_t j = 0; j < m->cols; j++)
            squares += (double)w[i * m->cols + j] * (double)w[i * m->cols + j];
        const float factor = (float)((double)m->tensor[2]->data[first + i] / sqrt(squares));
        for (uint64_t j = 0; j < m->cols; j++)
            w[i * m->cols + j] *= factor;
    }
}

const vkft_adapter_method vkft_method_dora = {
    .name = "DoRA",
    .format = {.peft_type = "LORA",
               .use_dora = true,
               .suffixes = {".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"},
               .vector = {[2] = true}},
    .tensor = {{.decays = true, .shape = vkft_lora_shape_a, .init = vkft_lora_init_a},
               {.decays = true, .loraplus = true, .shape = vkft_lora_shape_b, .init = vkft_lora_init_b},
               {.decays = true, .loraplus = true, .shape = shape, .init = init}},
    .bind = bind,
    .merge = merge,
    .squares = true,
    .not_for_experts = true,
};
