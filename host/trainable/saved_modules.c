/* Modules that are trained whole beside adapters, PEFT's modules_to_save: the head, and the embedding of a decoder
 * alone. They are a model's only weights that are no linear layer's and are used so often that new tokens need them.
 */
#include <stdio.h>
#include <string.h>

#include "host/model/tensor_spec.h"
#include "host/trainable/adapters.h"

/* The tensor whose module ends with this name; NULL: none of those that can be saved. */
static struct vkft_tensor_spec *find_spec(const vkft_model *model, const char *name, size_t length)
{
    for (uint32_t i = 0; i < model->tensor_count; i++) {
        struct vkft_tensor_spec *spec = &model->tensors[i];
        size_t n = strlen(spec->name), module = n > 7 ? n - 7 : 0; /* without ".weight" */
        bool possible = spec->weight && (spec->weight == &model->head.w ||
                                         (spec->weight == &model->embedding && model->encoder.count == 0));
        if (possible && length && length <= module && memcmp(spec->name + module - length, name, length) == 0 &&
            (length == module || spec->name[module - length - 1] == '.'))
            return spec;
    }
    return NULL;
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
                             (int)length, at, model->config->arch->head,
                             model->encoder.count ? "" : " or embed_tokens");
        for (uint32_t i = 0; i < set->saved_count; i++)
            if (set->saved[i].spec == spec)
                return vkft_fail(err, VKFT_ERR_INPUT, "modules_to_save names \"%.*s\" twice", (int)length, at);
        vkft_saved_module *saved = &set->saved[set->saved_count++];
        snprintf(saved->name, sizeof saved->name, "%.*s", (int)strlen(spec->name) - 7, spec->name);
        saved->spec = spec;
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
    return true;
}
