/* Adapters or all weights: which of the two is at hand. */
#include "host/trainable/trainables.h"

const vkft_flat *vkft_trained_layout(const vkft_trained *t)
{
    return t->full.model ? &t->full.layout : &t->lora.layout;
}

uint64_t vkft_trained_floats(const vkft_trained *t)
{
    return vkft_flat_length(vkft_trained_layout(t));
}

uint64_t vkft_trained_decayed(const vkft_trained *t)
{
    return t->full.model ? t->full.decayed : vkft_trained_floats(t);
}

uint64_t vkft_trained_parameters(const vkft_trained *t)
{
    return t->full.model ? t->full.parameters : t->lora.parameters;
}

void vkft_trained_bind(const vkft_trained *t, const vkft_flat *parameters, const vkft_flat *gradients)
{
    if (t->full.model)
        vkft_full_bind(&t->full, parameters, gradients);
    else
        vkft_lora_bind(&t->lora, parameters, gradients);
}

void vkft_trained_free(vkft_trained *t)
{
    vkft_lora_free(&t->lora);
    vkft_full_free(&t->full);
}

bool vkft_trained_write(const vkft_trained *t, const float *flat, const vkft_model_file *file, const char *base,
                        vkft_dtype dtype, const char *dir, vkft_err *err)
{
    if (t->full.model)
        return vkft_full_write(&t->full, flat, file, dtype, dir, err);
    vkft_adapter adapter;
    if (!vkft_lora_export(&t->lora, flat, base, &adapter, err))
        return false;
    bool ok = vkft_adapter_write(dir, &adapter, err);
    vkft_adapter_free(&adapter);
    return ok;
}

bool vkft_trained_read(const vkft_trained *t, const char *dir, float *flat, vkft_err *err)
{
    if (t->full.model)
        return vkft_full_read(&t->full, dir, flat, err);
    vkft_adapter adapter = {0};
    vkft_lora_set stored = {0};
    bool ok = vkft_adapter_read(dir, &adapter, err) && vkft_lora_choose_from(&stored, t->lora.model, &adapter, err);
    if (ok && (vkft_flat_length(&stored.layout) != vkft_trained_floats(t) || stored.count != t->lora.count))
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: the adapter there has other modules than --lora-target-modules", dir);
    ok = ok && vkft_lora_import(&t->lora, &adapter, flat, err);
    vkft_lora_free(&stored);
    vkft_adapter_free(&adapter);
    return ok;
}
