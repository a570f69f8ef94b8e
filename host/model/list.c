/* Lists that grow, and what goes into them. */
#include "host/model/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MULTIMODAL_BASE "model.language_model." /* that of the language model inside a multimodal one */

/* The next of `count` elements, zeroed; NULL: out of memory. */
static void *grow(void **elements, uint32_t *count, uint32_t *capacity, size_t size)
{
    if (*count == *capacity) {
        uint32_t wanted = *capacity ? 2 * *capacity : 64;
        void *larger = realloc(*elements, wanted * size);
        if (!larger)
            return NULL;
        *elements = larger;
        *capacity = wanted;
    }
    void *element = (char *)*elements + *count * size;
    ++*count;
    return memset(element, 0, size);
}

static struct vkft_tensor_spec *add_tensor(vkft_model_list *list, const char *module, const char *suffix, uint32_t rows,
                                           uint32_t cols)
{
    void *tensors = list->tensors;
    struct vkft_tensor_spec *spec = grow(&tensors, &list->tensor_count, &list->tensor_capacity, sizeof *spec);
    list->tensors = tensors;
    if (!spec) {
        list->failed = true;
        return NULL;
    }
    spec->block = list->in_block ? list->blocks : 0;
    spec->rows = rows;
    spec->cols = cols;
    snprintf(spec->name, sizeof spec->name, "%s.%s", module, suffix);
    return spec;
}

struct vkft_tensor_spec *vkft_list_matrix(vkft_model_list *list, vkft_weight *weight, uint32_t rows, uint32_t cols,
                                          bool never_quantized, const char *module)
{
    struct vkft_tensor_spec *spec = add_tensor(list, module, "weight", rows, cols);
    if (spec) {
        spec->weight = weight;
        spec->never_quantized = never_quantized;
    }
    return spec;
}

void vkft_list_table(vkft_model_list *list, uint64_t *table, uint64_t *gradient, uint32_t rows, uint32_t cols,
                     const char *module, const char *suffix)
{
    struct vkft_tensor_spec *spec = add_tensor(list, module, suffix, rows, cols);
    if (spec) {
        spec->vector = table;
        spec->gradient = gradient;
    }
}

void vkft_list_norm(vkft_model_list *list, vkft_norm *norm, uint32_t width, const char *module)
{
    const vkft_config *c = list->config;
    *norm =
        (vkft_norm){.layernorm = c->layernorm, .width = width, .eps = c->norm_eps, .gain_offset = c->norm_gain_offset};
    vkft_list_table(list, &norm->gain, &norm->dgain, 1, width, module, "weight");
    if (c->layernorm)
        vkft_list_table(list, &norm->bias, &norm->dbias, 1, width, module, "bias");
}

/* A module of this name, as PEFT calls it. */
static vkft_module *add_module(vkft_model_list *list, vkft_linear *linear, const char *name)
{
    void *modules = list->modules;
    vkft_module *module = grow(&modules, &list->module_count, &list->module_capacity, sizeof *module);
    list->modules = modules;
    if (!module) {
        list->failed = true;
        return NULL;
    }
    const char *base = list->config->arch->base;
    bool inside = list->config->multimodal_type[0] && strncmp(name, base, strlen(base)) == 0;
    snprintf(module->name, sizeof module->name, "%s%s", inside ? MULTIMODAL_BASE : "",
             name + (inside ? strlen(base) : 0));
    module->linear = linear;
    return module;
}

vkft_module *vkft_list_linear(vkft_model_list *list, vkft_linear *linear, uint32_t out, uint32_t in, bool bias,
                              bool never_quantized, const char *name)
{
    struct vkft_tensor_spec *spec = vkft_list_matrix(list, &linear->w, out, in, never_quantized, name);
    if (spec) /* before the next one moves the list */
        spec->linear = true;
    if (bias)
        vkft_list_table(list, &linear->bias, &linear->dbias, 1, out, name, "bias");
    return add_module(list, linear, name);
}

void vkft_list_outer(vkft_model_list *list, vkft_linear *linear, vkft_token_rows *rows, uint32_t out, uint32_t in,
                     bool head, const char *name)
{
    vkft_module *module = add_module(list, linear, name);
    if (!module)
        return;
    linear->w = (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = out, .cols = in};
    module->explicit_only = true;
    module->embedding = !head;
    module->head = head;
    module->rows = rows;
}

vkft_module *vkft_list_slot(vkft_model_list *list, const vkft_layer *layer, vkft_linear *linear, vkft_linear_slot slot,
                            const char *inner)
{
    uint32_t out, in;
    char name[120];
    vkft_linear_shape(&layer->spec, slot, &out, &in);
    snprintf(name, sizeof name, "%s.%u.%s", list->names->layers, list->layer, inner);
    return vkft_list_linear(list, linear, out, in, vkft_linear_has_bias(&layer->spec, slot),
                            list->config->arch->never_quantized[slot], name);
}

void vkft_list_linears(vkft_model_list *list, vkft_layer *layer, vkft_block_part part)
{
    for (vkft_linear_slot s = 0; s < VKFT_LINEAR_SLOTS; s++)
        if (list->names->linear[s] && vkft_linear_part(s) == part)
            vkft_list_slot(list, layer, &layer->linear[s], s, list->names->linear[s]);
}
