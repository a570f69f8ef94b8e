/* Layout of a model's tensors. */
#include "host/model/tensor_spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

#define MULTIMODAL_BASE "model.language_model." /* that of the language model inside a multimodal one */

static struct vkft_tensor_spec *add_slot(vkft_model *model, const char *module, const char *suffix, uint32_t rows,
                                         uint32_t cols)
{
    struct vkft_tensor_spec *slot = &model->slots[model->slot_count++];
    slot->rows = rows;
    slot->cols = cols;
    snprintf(slot->name, sizeof slot->name, "%s.%s", module, suffix);
    return slot;
}

static void add_matrix(vkft_model *model, vkft_weight *weight, uint32_t rows, uint32_t cols, bool never_quantized,
                       const char *module)
{
    struct vkft_tensor_spec *slot = add_slot(model, module, "weight", rows, cols);
    slot->weight = weight;
    slot->never_quantized = never_quantized;
}

static void add_vector(vkft_model *model, uint64_t *vector, uint64_t *gradient, uint32_t length, const char *module,
                       const char *suffix)
{
    struct vkft_tensor_spec *slot = add_slot(model, module, suffix, 1, length);
    slot->vector = vector;
    slot->gradient = gradient;
}

static void add_norm(vkft_model *model, vkft_norm *norm, uint32_t width, const char *module)
{
    const vkft_config *c = &model->config;
    *norm =
        (vkft_norm){.layernorm = c->layernorm, .width = width, .eps = c->norm_eps, .gain_offset = c->norm_gain_offset};
    add_vector(model, &norm->gain, &norm->dgain, width, module, "weight");
    if (c->layernorm)
        add_vector(model, &norm->bias, &norm->dbias, width, module, "bias");
}

static void add_linear(vkft_model *model, vkft_linear *linear, uint32_t out, uint32_t in, bool bias,
                       bool never_quantized, const char *name)
{
    vkft_module *module = &model->modules[model->module_count++];
    const char *base = model->arch->base;
    bool inside = model->config.multimodal_type[0] && strncmp(name, base, strlen(base)) == 0;
    snprintf(module->name, sizeof module->name, "%s%s", inside ? MULTIMODAL_BASE : "",
             name + (inside ? strlen(base) : 0));
    module->linear = linear;
    add_matrix(model, &linear->w, out, in, never_quantized, name);
    model->slots[model->slot_count - 1].linear = true;
    if (bias)
        add_vector(model, &linear->bias, &linear->dbias, out, name, "bias");
}

/* "mlp.experts.*.up_proj" with a number. */
static void expert_name(const char *pattern, uint32_t number, char *name, size_t size)
{
    const char *star = strchr(pattern, '*');
    snprintf(name, size, "%.*s%u%s", (int)(star - pattern), pattern, number, star + 1);
}

static void list_experts(vkft_model *model, const vkft_stack_names *names, uint32_t index, vkft_layer *layer)
{
    const vkft_config *c = &model->config;
    for (uint32_t s = 0; s < VKFT_EXPERT_SLOTS; s++) {
        layer->experts[s] = (vkft_grouped_linear){.linear = model->experts + model->expert_count, .groups = c->experts};
        model->expert_count += c->experts;
    }
    for (uint32_t e = 0; e < c->experts; e++)
        for (uint32_t s = 0; s < VKFT_EXPERT_SLOTS; s++) {
            uint32_t out, in;
            char inner[64], module[120];
            vkft_linear_shape(c, VKFT_EXPERT_GATE + s, &out, &in);
            expert_name(names->linear[VKFT_EXPERT_GATE + s], e, inner, sizeof inner);
            snprintf(module, sizeof module, "%s.%u.%s", names->layers, index, inner);
            add_linear(model, &layer->experts[s].linear[e], out, in, false, false, module);
            model->modules[model->module_count - 1].explicit_only = true;
        }
}

static void list_layer(vkft_model *model, const vkft_stack_names *names, uint32_t index, vkft_layer *layer)
{
    const vkft_config *c = &model->config;
    char module[120];
    for (vkft_norm_slot s = 0; s < VKFT_NORM_SLOTS; s++) {
        if (!names->norm[s])
            continue;
        snprintf(module, sizeof module, "%s.%u.%s", names->layers, index, names->norm[s]);
        add_norm(model, &layer->norm[s], vkft_norm_width(c, s), module);
    }
    for (vkft_linear_slot s = 0; s < VKFT_LINEAR_SLOTS; s++) {
        if (!names->linear[s] || s > VKFT_ROUTER || !vkft_linear_present(c, index, s))
            continue;
        uint32_t out, in;
        vkft_linear_shape(c, s, &out, &in);
        snprintf(module, sizeof module, "%s.%u.%s", names->layers, index, names->linear[s]);
        add_linear(model, &layer->linear[s], out, in, vkft_linear_has_bias(c, s), model->arch->never_quantized[s],
                   module);
        model->modules[model->module_count - 1].explicit_only = s == VKFT_ROUTER;
    }
    if (c->layers[index] & VKFT_LAYER_EXPERTS)
        list_experts(model, names, index, layer);
    if (c->rope.dim && !(c->layers[index] & VKFT_LAYER_NO_ROPE))
        layer->rotary = &model->rotary[c->layers[index] & VKFT_LAYER_LOCAL_ROPE ? 1 : 0];
    layer->windowed = c->sliding_window && c->layers[index] & VKFT_LAYER_WINDOW;
}

static void list_stack(vkft_model *model, const vkft_stack_names *names, vkft_stack *stack)
{
    const vkft_config *c = &model->config;
    if (names->relative_bias && stack->count) {
        stack->attention.buckets = c->relative_buckets;
        char module[120];
        snprintf(module, sizeof module, "%s.0.%s", names->layers, names->relative_bias);
        struct vkft_tensor_spec *slot = add_slot(model, module, "weight", c->relative_buckets, c->num_heads);
        slot->vector = &stack->attention.bias;
        slot->gradient = &stack->attention.dbias;
    }
    for (uint32_t i = 0; i < stack->count; i++)
        list_layer(model, names, i, &stack->layers[i]);
    if (stack->count && !c->no_final_norm)
        add_norm(model, &stack->final_norm, c->hidden_size, names->final_norm);
}

static void list_tensors(vkft_model *model)
{
    const vkft_config *c = &model->config;
    const vkft_arch *arch = model->arch;
    uint32_t C = c->hidden_size, E = c->embedding_size;
    add_matrix(model, &model->embedding, c->vocab_size, E, true, arch->embedding);
    model->slots[0].host = !c->tie_word_embeddings;
    if (arch->positions)
        add_matrix(model, &model->positions, c->position_offset + c->max_position, C, true, arch->positions);
    if (E != C)
        add_linear(model, &model->project_in, C, E, false, false, arch->project_in);
    list_stack(model, &arch->encoder, &model->encoder);
    list_stack(model, &arch->decoder, &model->decoder);
    if (E != C)
        add_linear(model, &model->project_out, E, C, false, false, arch->project_out);
    if (!c->tie_word_embeddings)
        add_matrix(model, &model->head.w, c->vocab_size, E, true, arch->head);
}

/* The type that converting a checkpoint would give this matrix. */
static vkft_storage converted_storage(const vkft_model *model, const struct vkft_tensor_spec *slot, vkft_quant quant,
                                      bool double_quant)
{
    switch (quant) {
    case VKFT_QUANT_NF4:
        if (slot->never_quantized)
            break;
        return double_quant ? VKFT_STORAGE_nf4_dq : VKFT_STORAGE_nf4;
    case VKFT_QUANT_BF16: return VKFT_STORAGE_bf16;
    case VKFT_QUANT_FP16: return VKFT_STORAGE_f16;
    case VKFT_QUANT_FP32: return VKFT_STORAGE_f32;
    case VKFT_QUANT_NONE: break;
    }
    return vkft_storage_of_dtype(model->config.dtype);
}

static vkft_storage stored(const vkft_model_tensor *tensor)
{
    if (tensor->dtype == VKFT_NF4)
        return tensor->double_quant ? VKFT_STORAGE_nf4_dq : VKFT_STORAGE_nf4;
    if (tensor->dtype == VKFT_FP4)
        return tensor->double_quant ? VKFT_STORAGE_fp4_dq : VKFT_STORAGE_fp4;
    return vkft_storage_of_dtype(tensor->dtype);
}

static bool shape_matches(const vkft_model_tensor *tensor, const struct vkft_tensor_spec *slot)
{
    if (slot->vector && slot->rows == 1)
        return tensor->dims == 1 && tensor->shape[0] == slot->cols;
    return tensor->dims == 2 && tensor->shape[0] == slot->rows && tensor->shape[1] == slot->cols;
}

/* "[rows, cols]", or "[rows]" with cols 0. */
static void shape_text(char *text, size_t size, uint64_t rows, uint64_t cols)
{
    if (cols)
        snprintf(text, size, "[%llu, %llu]", (unsigned long long)rows, (unsigned long long)cols);
    else
        snprintf(text, size, "[%llu]", (unsigned long long)rows);
}

static bool slot_from_file(struct vkft_tensor_spec *slot, const vkft_model_file *file, vkft_err *err)
{
    const vkft_model_tensor *tensor = vkft_model_file_find(file, slot->name);
    const char *path = vkft_model_file_path(file);
    if (!tensor)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor %s is missing; config.json calls for it", path, slot->name);
    if (!shape_matches(tensor, slot)) {
        char found[48], expected[48];
        if (tensor->dims == 2)
            shape_text(found, sizeof found, tensor->shape[0], tensor->shape[1]);
        else
            snprintf(found, sizeof found, "%u dimensions", tensor->dims);
        if (tensor->dims == 1)
            shape_text(found, sizeof found, tensor->shape[0], 0);
        bool flat = slot->vector && slot->rows == 1;
        shape_text(expected, sizeof expected, flat ? slot->cols : slot->rows, flat ? 0 : slot->cols);
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor %s has shape %s; config.json calls for %s", path, slot->name,
                         found, expected);
    }
    vkft_storage storage = stored(tensor);
    if (tensor->dtype == VKFT_F64 || storage == VKFT_STORAGE_none ||
        (vkft_storage_is_quantized(storage) && (slot->vector || slot->host)))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor %s has type %s; expected F32, F16 or BF16", path, slot->name,
                         vkft_dtype_name(tensor->dtype));
    slot->storage = slot->vector ? VKFT_STORAGE_f32 : storage;
    return true;
}

static void measure(vkft_model *model, struct vkft_tensor_spec *slot)
{
    vkft_storage_part_bytes(slot->storage, slot->rows, slot->cols, slot->bytes); /* 2^64 is far */
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        slot->bytes[part] = round_up(slot->bytes[part], VKFT_BUFFER_ALIGNMENT);
    *(slot->host ? &model->host_bytes : &model->device_bytes) += vkft_tensor_spec_bytes(slot);
    if (slot->weight) {
        *slot->weight = (vkft_weight){.storage = slot->storage, .rows = slot->rows, .cols = slot->cols};
        uint64_t scratch = vkft_matmul_scratch_bytes(slot->rows, slot->cols);
        if (scratch > model->scratch_bytes)
            model->scratch_bytes = scratch;
    }
}

void vkft_model_set_head(vkft_model *model)
{
    if (model->config.tie_word_embeddings)
        model->head.w = model->embedding;
    model->head.scale = model->config.logit_scale;
    model->head.softcap = model->config.logit_softcap;
}

bool vkft_model_is_expert(const vkft_model *model, const vkft_linear *linear)
{
    uintptr_t begin = (uintptr_t)model->experts, at = (uintptr_t)linear;
    return at >= begin && at < begin + model->expert_count * sizeof *linear;
}

/* One kernel multiplies all experts of a layer. */
static bool check_experts(const vkft_model *model, vkft_err *err)
{
    for (uint32_t i = 0; i < model->module_count && model->expert_count; i++) {
        const vkft_module *module = &model->modules[i];
        if (!vkft_model_is_expert(model, module->linear))
            continue;
        size_t number = (size_t)(module->linear - model->experts), first = number - number % model->config.experts;
        const vkft_weight *w = &module->linear->w, *other = &model->experts[first].w;
        if (w->storage != other->storage)
            return vkft_fail(
                err, VKFT_ERR_INPUT,
                "tensor %s.weight is stored as %s and that of the layer's first expert as %s; expected one type",
                module->name, vkft_storage_get(w->storage)->label, vkft_storage_get(other->storage)->label);
    }
    return true;
}

bool vkft_model_init(vkft_model *model, const vkft_config *config, const vkft_model_file *file, vkft_quant quant,
                     bool double_quant, bool trained, vkft_err *err)
{
    memset(model, 0, sizeof *model);
    model->config = *config;
    model->arch = config->arch;
    if (file && config->tied_unless_stored) {
        char head[128];
        snprintf(head, sizeof head, "%s.weight", config->arch->head);
        model->config.tie_word_embeddings = !vkft_model_file_find(file, head);
    }
    model->cross_attention = model->decoder.attention = model->encoder.attention = (vkft_attention_shape){
        .Hq = config->num_heads,
        .Hk = config->num_kv_heads,
        .D = config->head_dim,
        .scale = config->attention_scale,
        .softcap = config->attention_softcap,
    };
    model->rotary[0].dim = config->rope.dim;
    model->rotary[1].dim = config->local_rope.dim;
    model->decoder.count = config->num_layers;
    model->encoder.count = config->encoder_layers;
    size_t layers = (size_t)config->num_layers + config->encoder_layers,
           experts = layers * config->experts * VKFT_EXPERT_SLOTS;
    model->decoder.layers = calloc(config->num_layers, sizeof *model->decoder.layers);
    model->encoder.layers = calloc(config->encoder_layers + 1ull, sizeof *model->encoder.layers);
    model->experts = calloc(experts + 1, sizeof *model->experts);
    model->modules = calloc(layers * VKFT_LINEAR_SLOTS + experts + 2, sizeof *model->modules);
    model->slots = calloc(layers * 2 * (VKFT_LINEAR_SLOTS + VKFT_NORM_SLOTS) + experts + 11, sizeof *model->slots);
    if (!model->decoder.layers || !model->encoder.layers || !model->experts || !model->modules || !model->slots) {
        vkft_fail_memory(err, "while laying out the model");
        goto fail;
    }
    list_tensors(model);
    for (uint32_t i = 0; i < model->slot_count; i++) {
        struct vkft_tensor_spec *slot = &model->slots[i];
        if (file) {
            if (!slot_from_file(slot, file, err))
                goto fail;
        } else {
            slot->storage = slot->vector ? VKFT_STORAGE_f32 : converted_storage(model, slot, quant, double_quant);
        }
        if (trained && vkft_storage_is_quantized(slot->storage)) {
            vkft_fail(err, VKFT_ERR_INPUT,
                      "tensor %s is quantized (%s), and all weights are to be trained; use --quant fp32 with the "
                      "original checkpoint",
                      slot->name, vkft_storage_get(slot->storage)->label);
            goto fail;
        }
        if (trained) { /* lies with the optimizer's state */
            slot->storage = VKFT_STORAGE_f32;
            slot->host = false;
        }
        measure(model, slot);
    }
    if (!check_experts(model, err))
        goto fail;
    model->trained = trained;
    if (trained)
        model->device_bytes = model->host_bytes = 0;
    vkft_model_set_head(model);
    return true;
fail:
    vkft_model_free(model);
    return false;
}

bool vkft_model_is_quantized(const vkft_model *model)
{
    for (uint32_t i = 0; i < model->slot_count; i++)
        if (vkft_storage_is_quantized(model->slots[i].storage))
            return true;
    return false;
}

bool vkft_model_setup_kernels(const vkft_model *model, vkft_device *dev, vkft_dtype operands, uint32_t positions,
                              bool training, vkft_err *err)
{
    const vkft_config *c = &model->config;
    const vkft_caps *caps = vkft_device_get_caps(dev);
    /* attention_dkv iterates over all query heads of a key head; the forward pass over one. */
    uint32_t heads = training ? c->num_heads / c->num_kv_heads : 1;
    uint64_t limit = vkft_attention_iterations(caps) / heads * VKFT_ATTENTION_BLOCK;
    if (caps->loop_limit && positions > limit)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s cannot run this model on samples of more than %llu tokens, and the longest has %u; lower "
                         "--max-seq-length, or use a GPU",
                         vkft_device_get_info(dev)->name, (unsigned long long)limit, positions);
    vkft_ops_setup(dev, &(vkft_ops_constants){.head_dim = c->head_dim,
                                              .softcap = c->attention_softcap > 0,
                                              .relative = c->relative_buckets > 0,
                                              .longest_walk = (uint64_t)positions * heads,
                                              .operands = operands});
    return true;
}

void vkft_model_free(vkft_model *model)
{
    for (uint32_t i = 0; i < model->buffer_count; i++)
        vkft_buffer_free(model->dev, &model->buffers[i]);
    free(model->buffers);
    free(model->slots);
    vkft_buffer_free(model->dev, &model->expert_tables);
    free(model->experts);
    free(model->decoder.layers);
    free(model->encoder.layers);
    free(model->modules);
    memset(model, 0, sizeof *model);
}
