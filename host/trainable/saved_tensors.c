/* What of the model is trained as it is beside adapters. PEFT's modules_to_save: the head, and the embedding of a
 * decoder alone, a model's only weights that are no linear layer's and are used so often that new tokens need them.
 * PEFT's bias: all biases, or those of adapted layers.
 */
#include <stdio.h>
#include <string.h>

#include "host/model/tensor_spec.h"
#include "host/trainable/adapters_private.h"

/* The tensor's module as PEFT calls it: the first characters of *name, as many as are returned. */
static size_t module_of(const vkft_model *model, const struct vkft_tensor_spec *spec, const char **name)
{
    const char *head = spec->weight == &model->head.w ? model->config->arch->head_module : NULL;
    *name = head ? head : spec->name;
    return head ? strlen(head) : strlen(spec->name) - strlen(spec->vector ? ".bias" : ".weight");
}

/* The tensor whose module ends with this name; NULL: none of those that can be saved. */
static struct vkft_tensor_spec *find_spec(const vkft_model *model, const char *name, size_t length)
{
    for (uint32_t i = 0; i < model->tensor_count; i++) {
        struct vkft_tensor_spec *spec = &model->tensors[i];
        bool possible = spec->weight && (spec->weight == &model->head.w ||
                                         (spec->weight == &model->embedding && model->encoder.count == 0));
        if (!possible)
            continue;
        const char *own;
        size_t module = module_of(model, spec, &own);
        if (length && length <= module && memcmp(own + module - length, name, length) == 0 &&
            (length == module || own[module - length - 1] == '.'))
            return spec;
    }
    return NULL;
}

const char *vkft_saved_tensor_suffix(const vkft_saved_tensor *saved)
{
    return saved->spec->vector ? ".bias" : ".weight";
}

vkft_saved_tensor *vkft_adapter_set_add_saved(vkft_adapter_set *set, struct vkft_tensor_spec *spec)
{
    vkft_saved_tensor *saved = &set->saved[set->saved_count++];
    const char *inside = ""; /* PEFT puts the layer itself into the adapted one */
    for (uint32_t i = 0; spec->vector && i < set->count; i++)
        if (spec->vector == &set->modules[i].linear->bias)
            inside = ".base_layer";
    saved->spec = spec;
    const char *name;
    size_t length = module_of(set->model, spec, &name);
    snprintf(saved->name, sizeof saved->name, "%.*s%s", (int)length, name, inside);
    return saved;
}

/* Whether it is a bias, and not a norm's gain or a table of relative positions. */
static bool is_bias(const struct vkft_tensor_spec *spec)
{
    size_t n = strlen(spec->name);
    return spec->vector && n > 5 && strcmp(spec->name + n - 5, ".bias") == 0;
}

bool vkft_adapter_set_save_biases(vkft_adapter_set *set, vkft_err *err)
{
    const vkft_model *model = set->model;
    uint32_t before = set->saved_count;
    if (set->config.bias == VKFT_BIAS_NONE)
        return true;
    if (model->config->multimodal_type[0])
        return vkft_fail(err, VKFT_ERR_INPUT, "bias: in a multimodal model biases cannot be trained beside an adapter");
    for (uint32_t i = 0; i < model->tensor_count; i++) {
        if (!is_bias(&model->tensors[i]))
            continue;
        const vkft_saved_tensor *saved = vkft_adapter_set_add_saved(set, &model->tensors[i]);
        if (set->config.bias == VKFT_BIAS_LORA_ONLY && !strstr(saved->name, ".base_layer"))
            set->saved_count--;
    }
    return set->saved_count > before ||
           vkft_fail(err, VKFT_ERR_INPUT, "bias %s: %s; leave it out",
                     set->config.bias == VKFT_BIAS_ALL ? "all" : "lora_only",
                     set->config.bias == VKFT_BIAS_ALL ? "this model has no biases" : "no adapted layer has a bias");
}

bool vkft_adapter_set_save(vkft_adapter_set *set, const char *names, vkft_err *err)
{
    const vkft_model *model = set->model;
    for (const char *at = names; *at;) {
        at += strspn(at, "[]\"', ");
        size_t length = strcspn(at, "[]\"', ");
        struct vkft_tensor_spec *spec = find_spec(model, at, length);
        if (!length)
            break;
        if (model->tied)
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "modules_to_save: in this model embedding and head are one matrix, which cannot be "
                "trained beside an adapter; leave it out, or train all weights with --fine-tune-type full");
        if (model->config->multimodal_type[0] || !spec)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "modules_to_save: \"%.*s\" cannot be trained whole beside an adapter in this model; "
                             "expected %s%s, or train all weights with --fine-tune-type full",
                             (int)length, at,
                             model->config->arch->head_module ? model->config->arch->head_module
                                                              : model->config->arch->head,
                             model->encoder.count ? "" : " or embed_tokens");
        for (uint32_t i = 0; i < set->saved_count; i++)
            if (set->saved[i].spec == spec)
                return vkft_fail(err, VKFT_ERR_INPUT, "modules_to_save names \"%.*s\" twice", (int)length, at);
        vkft_adapter_set_add_saved(set, spec);
        at += length;
    }
    return true;
}

bool vkft_adapter_set_read_saved(const vkft_adapter_set *set, const vkft_model_file *file, float *flat, vkft_err *err)
{
    for (uint32_t i = 0; i < set->saved_count; i++) {
        const vkft_model_tensor *tensor = vkft_model_file_find(file, set->saved[i].spec->name);
        if (!vkft_model_file_verify(file, tensor, err))
            return false;
        vkft_model_tensor_decode(tensor, flat + set->saved[i].offset);
    }
    return vkft_adapter_set_read_tokens(set, file, flat, err);
}
