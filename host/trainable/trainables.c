/* Adapters or all weights: which of the two is at hand. */
#include "host/trainable/trainables.h"

#include <stdlib.h>
#include <string.h>

const vkft_parameter_space *vkft_trainables_layout(const vkft_trainables *t)
{
    return vkft_trains_all_weights(t) ? &t->all_weights.layout : &t->adapters.layout;
}

uint64_t vkft_trainables_floats(const vkft_trainables *t)
{
    return vkft_parameter_space_length(vkft_trainables_layout(t));
}

uint64_t vkft_trainables_decayed(const vkft_trainables *t)
{
    return vkft_trains_all_weights(t) ? t->all_weights.decayed : t->adapters.decayed;
}

uint64_t vkft_trainables_parameters(const vkft_trainables *t)
{
    return vkft_trains_all_weights(t) ? t->all_weights.parameters : t->adapters.parameters;
}

static int by_offset(const void *a, const void *b)
{
    const vkft_parameter_tensor *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

bool vkft_trainables_tensors(const vkft_trainables *t, vkft_parameter_tensors *tensors, vkft_err *err)
{
    bool full = vkft_trains_all_weights(t);
    uint32_t count = full ? t->all_weights.model->tensor_count : vkft_adapter_set_tensor_count(&t->adapters);
    tensors->count = 0;
    tensors->list = calloc(count + 1ull, sizeof *tensors->list);
    if (!tensors->list)
        return vkft_fail_memory(err, "for the list of what is trained");
    if (full)
        vkft_all_weights_tensors(&t->all_weights, tensors->list);
    else
        vkft_adapter_set_tensors(&t->adapters, tensors->list);
    qsort(tensors->list, count, sizeof *tensors->list, by_offset);
    tensors->list[count].offset = vkft_trainables_floats(t);
    for (uint32_t i = 0; i < count; i++)
        tensors->list[i].floats = tensors->list[i + 1].offset - tensors->list[i].offset;
    tensors->count = count;
    return true;
}

void vkft_trainables_bind(const vkft_trainables *t, const vkft_parameter_space *parameters,
                          const vkft_parameter_space *gradients)
{
    if (vkft_trains_all_weights(t))
        vkft_all_weights_bind(&t->all_weights, parameters, gradients);
    else
        vkft_adapter_set_bind(&t->adapters, parameters, gradients);
}

void vkft_trainables_bind_placeholders(const vkft_trainables *t)
{
    const vkft_parameter_space nowhere =
        vkft_parameter_space_whole(vkft_trainables_floats(t), VKFT_PLACEHOLDER_ADDRESS);
    vkft_trainables_bind(t, &nowhere, &nowhere);
}

void vkft_trainables_free(vkft_trainables *t)
{
    if (vkft_trains_all_weights(t))
        vkft_all_weights_free(&t->all_weights);
    else
        vkft_adapter_set_free(&t->adapters);
}

bool vkft_trainables_write(const vkft_trainables *t, const float *flat, const vkft_model_file *file, const char *base,
                           vkft_dtype dtype, const char *dir, vkft_err *err)
{
    if (vkft_trains_all_weights(t))
        return vkft_all_weights_write(&t->all_weights, flat, file, dtype, dir, err);
    vkft_adapter adapter;
    if (!vkft_adapter_set_export(&t->adapters, flat, base, &adapter, err))
        return false;
    bool ok = vkft_adapter_write(dir, &adapter, err);
    vkft_adapter_free(&adapter);
    return ok;
}

/* Whether `a`, read from files, is what b writes. */
static bool same_modules(const vkft_adapter_set *a, const vkft_adapter_set *b)
{
    bool same = a->method == b->method && a->count == b->count && a->saved_count == b->saved_count &&
                a->tokens_count == b->tokens_count;
    for (uint32_t i = 0; same && i < a->count; i++)
        same = strcmp(a->modules[i].name, b->modules[i].name) == 0 &&
               a->modules[i].r == vkft_adapter_set_written_rank(b, &b->modules[i]);
    for (uint32_t i = 0; same && i < a->tokens_count; i++) {
        const vkft_trained_tokens *x = &a->tokens[i], *y = &b->tokens[i];
        same = x->spec == y->spec && x->count == y->count &&
               memcmp(x->tokens, y->tokens, x->count * sizeof *x->tokens) == 0;
    }
    return same;
}

bool vkft_trainables_read(const vkft_trainables *t, const char *dir, float *flat, vkft_err *err)
{
    if (vkft_trains_all_weights(t))
        return vkft_all_weights_read(&t->all_weights, dir, flat, err);
    vkft_adapter adapter = {0};
    vkft_adapter_set stored = {0};
    bool ok = vkft_adapter_read(dir, vkft_adapter_formats(), &adapter, err) &&
              vkft_adapter_set_choose_from(&stored, t->adapters.model, &adapter, err);
    if (ok && !same_modules(&stored, &t->adapters))
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "%s: the adapter there has other modules, or another rank or kind, than --lora-target-modules, "
                       "--lora-r and --use-dora say",
                       dir);
    ok = ok && vkft_adapter_set_import(&t->adapters, &adapter, flat, err);
    vkft_adapter_set_free(&stored);
    vkft_adapter_free(&adapter);
    return ok;
}
