/* VeRA: y += b * (B (d * (A dropout(x)))), A and B random, the same for all layers and not trained; d [r] and b [out]
 * are. d begins as d_initial, b as zero. The matrices are those of the largest layers, of which others take the first
 * columns of A and rows of B (start/projection.c). The ops compute it: host/engine/ops. Source: Kopiczko et al. 2024.
 * Test: test_ops_linear, test_vera, test_merge, the golden variants vera
 */
#include "host/trainable/method.h"

static void shape_b(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols)
{
    (void)r;
    *rows = linear->w.rows;
    *cols = 1;
}

static void shape_d(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols)
{
    (void)linear;
    *rows = r;
    *cols = 1;
}

static bool init_d(const vkft_adapter_start *start, uint32_t rows, uint32_t cols, float *values)
{
    for (uint32_t i = 0; i < rows * cols; i++)
        values[i] = start->d_initial;
    return true;
}

/* The set knows where A and B are. */
static void bind(vkft_linear *linear, const vkft_adapter_config *config, uint32_t index, uint64_t squares,
                 const uint64_t *tensors, const uint64_t *gradients)
{
    (void)squares;
    linear->lora = (vkft_lora){
        .r = config->r,
        .scale = 1,
        .dropout = config->lora_dropout,
        .layer = index,
        .b = tensors[0],
        .d = tensors[1],
        .db = gradients ? gradients[0] : 0,
        .dd = gradients ? gradients[1] : 0,
    };
}

/* W' = W + b * B (d * A), * by rows. */
static void merge(const vkft_adapter_merge *m, uint64_t first, uint64_t rows, float *w)
{
    const float *b = m->tensor[0]->data, *d = m->tensor[1]->data;
    const uint64_t r = m->tensor[1]->rows;
    for (uint64_t i = 0; i < rows; i++)
        for (uint64_t k = 0; k < r; k++) {
            const float factor = b[first + i] * m->B[(first + i) * r + k] * d[k], *a = m->A + k * m->stride;
            for (uint64_t j = 0; j < m->cols; j++)
                w[i * m->cols + j] += factor * a[j];
        }
}

const vkft_adapter_method vkft_method_vera = {
    .name = "VeRA",
    .format = {.peft_type = "VERA",
               .vera = true,
               .suffixes = {".vera_lambda_b", ".vera_lambda_d"},
               .vector = {true, true}},
    .tensor = {{.decays = true, .loraplus = true, .shape = shape_b},
               {.decays = true, .loraplus = true, .shape = shape_d, .init = init_d}},
    .bind = bind,
    .merge = merge,
    .projection = true,
    .not_for_experts = true,
};
