/* (IA)^3: a layer's output is multiplied by l [out], or its input by l [in] where the layer is one of
 * feedforward_modules; l begins as ones. The ops compute it: host/engine/ops. Source: Liu et al. 2022. Test:
 * test_ops_linear, the golden cases ia3_*
 */
#include <string.h>

#include "host/trainable/method.h"

static void shape(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols)
{
    (void)r;
    *rows = linear->ia3.input ? 1 : linear->w.rows;
    *cols = linear->ia3.input ? linear->w.cols : 1;
}

static bool init(const vkft_adapter_start *start, uint32_t rows, uint32_t cols, float *values)
{
    (void)start;
    for (uint64_t i = 0; i < (uint64_t)rows * cols; i++)
        values[i] = 1;
    return true;
}

static void bind(vkft_linear *linear, const vkft_adapter_config *config, uint32_t index, uint64_t squares,
                 const uint64_t *tensors, const uint64_t *gradients)
{
    (void)config, (void)index, (void)squares;
    linear->ia3.l = tensors[0];
    linear->ia3.dl = gradients ? gradients[0] : 0;
}

/* l of the input is a row, of the output a column. */
static bool is_of_input(const vkft_adapter_merge *m)
{
    return m->tensor[0]->rows == 1;
}

static void merge(const vkft_adapter_merge *m, uint64_t first, uint64_t rows, float *w)
{
    const float *l = m->tensor[0]->data;
    for (uint64_t i = 0; i < rows; i++)
        for (uint64_t j = 0; j < m->cols; j++)
            w[i * m->cols + j] *= is_of_input(m) ? l[j] : l[first + i];
}

static void merge_bias(const vkft_adapter_merge *m, uint64_t rows, float *bias)
{
    for (uint64_t i = 0; i < rows && !is_of_input(m); i++)
        bias[i] *= m->tensor[0]->data[i];
}

const vkft_adapter_method vkft_method_ia3 = {
    .name = "IA3",
    .format = {.peft_type = "IA3", .ia3 = true, .suffixes = {".ia3_l"}},
    .tensor = {{.decays = true, .shape = shape, .init = init}},
    .bind = bind,
    .merge = merge,
    .merge_bias = merge_bias,
    .not_for_experts = true,
};

/* Those of PEFT. */
static const struct {
    const char *model, *targets, *feedforward;
} defaults[] = {
    {"t5", "k,v,wo", "wo"},
    {"gpt2", "c_attn,mlp.c_proj", "mlp.c_proj"},
    {"gpt_neox", "query_key_value,dense_4h_to_h", "dense_4h_to_h"},
    {"opt", "q_proj,k_proj,fc2", "fc2"},
    {"llama", "k_proj,v_proj,down_proj", "down_proj"},
    {"mistral", "k_proj,v_proj,down_proj", "down_proj"},
    {"mixtral", "k_proj,v_proj,w2", "w2"},
    {"gemma2", "q_proj,v_proj,down_proj", "down_proj"},
    {"gemma3_text", "q_proj,v_proj,down_proj", "down_proj"},
    {"qwen2", "q_proj,v_proj,down_proj", "down_proj"},
    {"qwen3", "q_proj,v_proj,down_proj", "down_proj"},
};

bool vkft_ia3_defaults(const char *model_type, const char **targets, const char **feedforward)
{
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (strcmp(defaults[i].model, model_type) == 0) {
            *targets = defaults[i].targets;
            *feedforward = defaults[i].feedforward;
            return true;
        }
    return false;
}

bool vkft_ia3_is_feedforward(const char *names, const char *module)
{
    size_t size = strlen(module);
    for (const char *at = names; *at;) {
        at += strspn(at, "[]\"', ");
        size_t n = strcspn(at, "[]\"', ");
        if (n && n <= size && memcmp(module + size - n, at, n) == 0)
            return true;
        at += n;
    }
    return false;
}
