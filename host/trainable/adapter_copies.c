/* PEFT writes the matrix of an adapted embedding or head into the adapter, and takes it from there. vkft reads the
 * model's, so the two must be the same; nothing is written, because PEFT then takes the model's, too.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/model/tensor_spec.h"
#include "host/trainable/adapters_private.h"

/* The model may have been loaded in another type than it is stored in: half a bit of bf16, and the smallest numbers of
 * f16. */
static bool is_near(float a, float b)
{
    return fabsf(a - b) <= 0x1p-8f * fabsf(b) + 0x1p-24f;
}

static const vkft_adapter_tensor *find_copy(const vkft_adapter *adapter, const vkft_adapted_module *m)
{
    size_t name = strlen(m->name), suffix = strlen(VKFT_ADAPTER_COPY);
    for (uint32_t i = 0; i < adapter->count; i++) {
        const char *key = adapter->tensors[i].key;
        size_t n = strlen(key);
        if (n > name + suffix && strcmp(key + n - suffix, VKFT_ADAPTER_COPY) == 0 &&
            memcmp(key + n - suffix - name, m->name, name) == 0)
            return &adapter->tensors[i];
    }
    return NULL;
}

static bool check_copy(const vkft_adapter_set *set, const vkft_adapted_module *m, const vkft_adapter_tensor *copy,
                       const vkft_model_file *file, vkft_err *err)
{
    const vkft_model *model = set->model;
    const vkft_weight *weight = m->head && !model->tied ? &model->head.w : &model->embedding;
    const vkft_model_tensor *tensor = NULL;
    for (uint32_t i = 0; i < model->tensor_count && !tensor; i++)
        if (model->tensors[i].weight == weight)
            tensor = vkft_model_file_find(file, model->tensors[i].name);
    uint64_t n = (uint64_t)copy->rows * copy->cols, at = 0;
    bool same = copy->rows == weight->rows && copy->cols == weight->cols;
    float *values = same ? malloc(n * sizeof *values) : NULL;
    if (same && !values)
        return vkft_fail_memory(err, "for the model's %s", m->name);
    if (same)
        vkft_model_tensor_decode(tensor, values);
    while (same && at < n && is_near(copy->data[at], values[at]))
        at++;
    free(values);
    return (same && at == n) ||
           vkft_fail(
               err, VKFT_ERR_INPUT,
               "adapter: it brings a matrix of its own for %s, [%u, %u], which is not that of this model; expected an "
               "adapter of this very model, whose vocabulary was not changed",
               m->name, copy->rows, copy->cols);
}

bool vkft_adapter_check_copies(const vkft_adapter_set *set, const vkft_adapter *adapter, const vkft_model_file *file,
                               vkft_err *err)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_adapted_module *m = &set->modules[i];
        const vkft_adapter_tensor *copy = m->embedding || m->head ? find_copy(adapter, m) : NULL;
        if (copy && !check_copy(set, m, copy, file, err))
            return false;
    }
    return true;
}
