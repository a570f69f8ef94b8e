/* Adapters or all weights: which of the two is at hand. */
#include "host/trainable/trainables.h"

const vkft_parameter_space *vkft_trainables_layout(const vkft_trainables *t)
{
    return t->full.model ? &t->full.layout : &t->lora.layout;
}

uint64_t vkft_trainables_floats(const vkft_trainables *t)
{
    return vkft_parameter_space_length(vkft_trainables_layout(t));
}

uint64_t vkft_trainables_decayed(const vkft_trainables *t)
{
    return t->full.model ? t->full.decayed : t->lora.decayed;
}

uint64_t vkft_trainables_parameters(const vkft_trainables *t)
{
    return t->full.model ? t->full.parameters : t->lora.parameters;
}

void vkft_trainables_bind(const vkft_trainables *t, const vkft_parameter_space *parameters,
                          const vkft_parameter_space *gradients)
{
    if (t->full.model)
        vkft_all_weights_bind(&t->full, parameters, gradients);
    else
        vkft_adapter_set_bind(&t->lora, parameters, gradients);
}

void vkft_trainables_bind_placeholders(const vkft_trainables *t)
{
    const vkft_parameter_space nowhere =
        vkft_parameter_space_whole(vkft_trainables_floats(t), VKFT_PLACEHOLDER_ADDRESS);
    vkft_trainables_bind(t, &nowhere, &nowhere);
}

void vkft_trainables_free(vkft_trainables *t)
{
    vkft_adapter_set_free(&t->lora);
    vkft_all_weights_free(&t->full);
}

bool vkft_trainables_write(const vkft_trainables *t, const float *flat, const vkft_model_file *file, const char *base,
                           vkft_dtype dtype, const char *dir, vkft_err *err)
{
    if (t->full.model)
        return vkft_all_weights_write(&t->full, flat, file, dtype, dir, err);
    vkft_adapter adapter;
    if (!vkft_adapter_set_export(&t->lora, flat, base, &adapter, err))
        return false;
    bool ok = vkft_adapter_write(dir, &adapter, err);
    vkft_adapter_free(&adapter);
    return ok;
}

bool vkft_trainables_read(const vkft_trainables *t, const char *dir, float *flat, vkft_err *err)
{
    if (t->full.model)
        return vkft_all_weights_read(&t->full, dir, flat, err);
    vkft_adapter adapter = {0};
    vkft_adapter_set stored = {0};
    bool ok = vkft_adapter_read(dir, vkft_adapter_formats(), &adapter, err) &&
              vkft_adapter_set_choose_from(&stored, t->lora.model, &adapter, err);
    if (ok &&
        (vkft_parameter_space_length(&stored.layout) != vkft_trainables_floats(t) || stored.count != t->lora.count))
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: the adapter there has other modules than --lora-target-modules", dir);
    ok = ok && vkft_adapter_set_import(&t->lora, &adapter, flat, err);
    vkft_adapter_set_free(&stored);
    vkft_adapter_free(&adapter);
    return ok;
}
