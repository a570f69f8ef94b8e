/* Layout and loading of the frozen weights. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nf4.h"
#include "rope.h"

#define ALIGNMENT 256u
#define WRAPPED_BASE "model.language_model." /* where a multimodal model of transformers 5 has its language model */
#define BUFFER_BYTES (1ull << 30) /* weights are packed into buffers of about this size; drivers cap single ones at 2 to 4 GB */

/* One tensor of the model: a matrix, or a gain or bias, which is always f32 on the device. */
struct vkft_model_slot {
    char name[128];
    vkft_weight *weight;
    uint64_t *vector;
    bool host; /* lives in host memory */
    uint32_t rows, cols;
    vkft_dtype dtype;
    bool double_quant;
    uint64_t data_bytes, absmax_bytes, nested_bytes; /* padded to ALIGNMENT; 0 where absent */
};

static uint64_t padded(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t slot_bytes(const struct vkft_model_slot *slot)
{
    return slot->data_bytes + slot->absmax_bytes + slot->nested_bytes;
}

static struct vkft_model_slot *add_slot(vkft_model *model, const char *module, const char *suffix, uint32_t rows, uint32_t cols)
{
    struct vkft_model_slot *slot = &model->slots[model->slot_count++];
    slot->rows = rows;
    slot->cols = cols;
    snprintf(slot->name, sizeof slot->name, "%s.%s", module, suffix);
    return slot;
}

static void add_matrix(vkft_model *model, vkft_weight *weight, uint32_t rows, uint32_t cols, const char *module)
{
    add_slot(model, module, "weight", rows, cols)->weight = weight;
}

static void add_vector(vkft_model *model, uint64_t *vector, uint32_t length, const char *module, const char *suffix)
{
    add_slot(model, module, suffix, 1, length)->vector = vector;
}

static void add_norm(vkft_model *model, vkft_norm *norm, uint32_t width, const char *module)
{
    const vkft_config *c = &model->config;
    *norm = (vkft_norm){.layernorm = c->layernorm, .width = width, .eps = c->norm_eps, .gain_offset = c->norm_gain_offset};
    add_vector(model, &norm->gain, width, module, "weight");
    if (c->layernorm)
        add_vector(model, &norm->bias, width, module, "bias");
}

static void add_linear(vkft_model *model, vkft_linear *linear, uint32_t out, uint32_t in, bool bias, const char *name)
{
    vkft_module *module = &model->modules[model->module_count++];
    const char *base = model->arch->base;
    bool wrapped = model->config.wrapper[0] && strncmp(name, base, strlen(base)) == 0;
    snprintf(module->name, sizeof module->name, "%s%s", wrapped ? WRAPPED_BASE : "", name + (wrapped ? strlen(base) : 0));
    module->linear = linear;
    add_matrix(model, &linear->w, out, in, name);
    if (bias)
        add_vector(model, &linear->bias, out, name, "bias");
}

static void list_layer(vkft_model *model, uint32_t index)
{
    const vkft_config *c = &model->config;
    vkft_layer *layer = &model->layers[index];
    char module[120];
    for (vkft_norm_slot s = 0; s < VKFT_NORM_SLOTS; s++) {
        if (!model->arch->norm[s])
            continue;
        snprintf(module, sizeof module, "%s.%u.%s", model->arch->layers, index, model->arch->norm[s]);
        add_norm(model, &layer->norm[s], vkft_norm_width(c, s), module);
    }
    for (vkft_linear_slot s = 0; s < VKFT_LINEAR_SLOTS; s++) {
        if (!model->arch->linear[s])
            continue;
        uint32_t out, in;
        vkft_linear_shape(c, s, &out, &in);
        snprintf(module, sizeof module, "%s.%u.%s", model->arch->layers, index, model->arch->linear[s]);
        add_linear(model, &layer->linear[s], out, in, vkft_linear_has_bias(c, s), module);
    }
    if (c->rope.dim && !(c->layers[index] & VKFT_LAYER_NO_ROPE))
        layer->rotary = &model->rotary[c->layers[index] & VKFT_LAYER_LOCAL_ROPE ? 1 : 0];
    layer->windowed = c->sliding_window && c->layers[index] & VKFT_LAYER_WINDOW;
}

static void list_tensors(vkft_model *model)
{
    const vkft_config *c = &model->config;
    const vkft_arch *arch = model->arch;
    uint32_t C = c->hidden_size, E = c->embedding_size;
    add_matrix(model, &model->embedding, c->vocab_size, E, arch->embedding);
    model->slots[0].host = !c->tie_word_embeddings;
    if (arch->positions)
        add_matrix(model, &model->positions, c->position_offset + c->max_position, C, arch->positions);
    if (E != C)
        add_linear(model, &model->project_in, C, E, false, arch->project_in);
    for (uint32_t i = 0; i < c->num_layers; i++)
        list_layer(model, i);
    if (!c->no_final_norm)
        add_norm(model, &model->final_norm, C, arch->final_norm);
    if (E != C)
        add_linear(model, &model->project_out, E, C, false, arch->project_out);
    if (!c->tie_word_embeddings)
        add_matrix(model, &model->head.w, c->vocab_size, E, arch->head);
}

/* The type that converting a checkpoint would give this matrix. */
static vkft_dtype converted_dtype(const vkft_model *model, const struct vkft_model_slot *slot, vkft_quant quant)
{
    bool outside = slot->weight == &model->embedding || slot->weight == &model->positions || slot->weight == &model->head.w;
    switch (quant) {
    case VKFT_QUANT_NF4: return outside ? model->config.dtype : VKFT_NF4;
    case VKFT_QUANT_BF16: return VKFT_BF16;
    case VKFT_QUANT_FP16: return VKFT_F16;
    case VKFT_QUANT_FP32: return VKFT_F32;
    case VKFT_QUANT_NONE: break;
    }
    return model->config.dtype;
}

static bool shape_matches(const vkft_model_tensor *tensor, const struct vkft_model_slot *slot)
{
    if (slot->vector)
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

static bool slot_from_file(struct vkft_model_slot *slot, const vkft_model_file *file, vkft_err *err)
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
        shape_text(expected, sizeof expected, slot->vector ? slot->cols : slot->rows, slot->vector ? 0 : slot->cols);
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor %s has shape %s; config.json calls for %s", path, slot->name,
                         found, expected);
    }
    switch (tensor->dtype) {
    case VKFT_F32: case VKFT_F16: case VKFT_BF16: break;
    case VKFT_NF4:
        if (!slot->vector && !slot->host)
            break;
        /* fall through */
    default:
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor %s has type %s; expected F32, F16 or BF16", path, slot->name,
                         vkft_dtype_name(tensor->dtype));
    }
    slot->dtype = slot->vector ? VKFT_F32 : tensor->dtype;
    slot->double_quant = tensor->double_quant;
    return true;
}

static void measure(vkft_model *model, struct vkft_model_slot *slot)
{
    uint64_t elements = (uint64_t)slot->rows * slot->cols;
    slot->data_bytes = padded((elements * vkft_dtype_bits(slot->dtype) + 7) / 8);
    if (slot->dtype == VKFT_NF4) {
        uint64_t blocks = (elements + VKFT_NF4_BLOCK - 1) / VKFT_NF4_BLOCK;
        uint64_t nested = (blocks + VKFT_NF4_NESTED_BLOCK - 1) / VKFT_NF4_NESTED_BLOCK;
        slot->absmax_bytes = padded(slot->double_quant ? blocks : blocks * sizeof(float));
        slot->nested_bytes = slot->double_quant ? padded(nested * sizeof(float)) : 0;
    }
    *(slot->host ? &model->host_bytes : &model->device_bytes) += slot_bytes(slot);
    if (slot->weight) {
        *slot->weight = (vkft_weight){
            .dtype = slot->dtype, .rows = slot->rows, .cols = slot->cols, .double_quant = slot->double_quant};
        uint64_t scratch = vkft_matmul_scratch_bytes(slot->dtype, slot->rows, slot->cols);
        if (scratch > model->scratch_bytes)
            model->scratch_bytes = scratch;
    }
}

static void set_head(vkft_model *model)
{
    if (model->config.tie_word_embeddings)
        model->head.w = model->embedding;
    model->head.scale = model->config.logit_scale;
    model->head.softcap = model->config.logit_softcap;
}

bool vkft_model_init(vkft_model *model, const vkft_config *config, const vkft_model_file *file, vkft_quant quant,
                     bool double_quant, vkft_err *err)
{
    memset(model, 0, sizeof *model);
    model->config = *config;
    model->arch = config->arch;
    model->attention = (vkft_attention_shape){
        .Hq = config->num_heads, .Hk = config->num_kv_heads, .D = config->head_dim,
        .scale = config->attention_scale, .softcap = config->attention_softcap,
    };
    model->rotary[0].dim = config->rope.dim;
    model->rotary[1].dim = config->local_rope.dim;
    model->layers = calloc(config->num_layers, sizeof *model->layers);
    model->modules = calloc((size_t)config->num_layers * VKFT_LINEAR_SLOTS + 2, sizeof *model->modules);
    model->slots = calloc((size_t)config->num_layers * 2 * (VKFT_LINEAR_SLOTS + VKFT_NORM_SLOTS) + 7, sizeof *model->slots);
    if (!model->layers || !model->modules || !model->slots) {
        vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory while laying out the model");
        goto fail;
    }
    list_tensors(model);
    for (uint32_t i = 0; i < model->slot_count; i++) {
        struct vkft_model_slot *slot = &model->slots[i];
        if (file) {
            if (!slot_from_file(slot, file, err))
                goto fail;
        } else {
            slot->dtype = slot->vector ? VKFT_F32 : converted_dtype(model, slot, quant);
            slot->double_quant = slot->dtype == VKFT_NF4 && double_quant;
        }
        measure(model, slot);
    }
    set_head(model);
    return true;
fail:
    vkft_model_free(model);
    return false;
}

/* Fills one buffer after another: the slots from `first` on that fit, at least one. Returns the number after the last. */
static uint32_t next_group(const vkft_model *model, uint32_t first, uint64_t limit, uint64_t *bytes)
{
    *bytes = 0;
    uint32_t i = first;
    for (; i < model->slot_count; i++) {
        uint64_t size = slot_bytes(&model->slots[i]);
        if (i > first && (model->slots[i].host != model->slots[first].host || *bytes + size > limit))
            break;
        *bytes += size;
    }
    return i;
}

static bool upload(vkft_model *model, vkft_buffer *buffer, uint64_t offset, struct vkft_model_slot *slot,
                   const vkft_model_tensor *tensor, vkft_err *err)
{
    vkft_device *dev = model->dev;
    uint64_t address = buffer->address + offset;
    if (slot->vector) {
        *slot->vector = address;
        float *values = malloc(slot->cols * sizeof *values);
        if (!values)
            return vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory while loading %s", slot->name);
        vkft_to_f32(tensor->dtype, tensor->data, slot->cols, values);
        bool ok = vkft_buffer_write(dev, buffer, offset, values, slot->cols * sizeof *values, err);
        free(values);
        return ok;
    }
    vkft_weight *w = slot->weight;
    w->data = address;
    if (!vkft_buffer_write(dev, buffer, offset, tensor->data, tensor->data_bytes, err))
        return false;
    if (slot->dtype != VKFT_NF4)
        return true;
    w->absmax = address + slot->data_bytes;
    w->absmax_offset = tensor->absmax_offset;
    offset += slot->data_bytes;
    if (!vkft_buffer_write(dev, buffer, offset, tensor->absmax, tensor->absmax_bytes, err))
        return false;
    if (!slot->double_quant)
        return true;
    w->nested_absmax = w->absmax + slot->absmax_bytes;
    offset += slot->absmax_bytes;
    return vkft_buffer_write(dev, buffer, offset, tensor->nested_absmax, tensor->nested_absmax_bytes, err);
}

bool vkft_model_load(vkft_model *model, vkft_device *dev, const vkft_model_file *file,
                     bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context,
                     vkft_err *err)
{
    uint64_t limit = vkft_device_get_info(dev)->max_allocation_bytes;
    limit = limit < BUFFER_BYTES ? limit : BUFFER_BYTES;
    model->dev = dev;
    model->buffers = calloc(model->slot_count, sizeof *model->buffers);
    if (!model->buffers)
        return vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory while loading the model");
    uint64_t done = 0, total = model->device_bytes + model->host_bytes;
    for (uint32_t i = 0; i < model->slot_count;) {
        uint64_t bytes, offset = 0;
        uint32_t end = next_group(model, i, limit, &bytes);
        vkft_buffer *buffer = &model->buffers[model->buffer_count];
        if (!vkft_buffer_new(dev, bytes, model->slots[i].host ? VKFT_MEMORY_HOST : VKFT_MEMORY_DEVICE, "model weights",
                             buffer, err))
            return false;
        model->buffer_count++;
        for (; i < end; i++) {
            const vkft_model_tensor *tensor = vkft_model_file_find(file, model->slots[i].name);
            if (!vkft_model_file_verify(file, tensor, err) ||
                !upload(model, buffer, offset, &model->slots[i], tensor, err))
                return false;
            offset += slot_bytes(&model->slots[i]);
            done += slot_bytes(&model->slots[i]);
            if (progress && !progress(context, done, total))
                return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while loading the model");
        }
    }
    set_head(model);
    return true;
}

void vkft_model_free(vkft_model *model)
{
    for (uint32_t i = 0; i < model->buffer_count; i++)
        vkft_buffer_free(model->dev, &model->buffers[i]);
    free(model->buffers);
    free(model->slots);
    free(model->layers);
    free(model->modules);
    memset(model, 0, sizeof *model);
}

uint64_t vkft_model_rope_bytes(const vkft_model *model, uint32_t positions)
{
    return ((uint64_t)model->rotary[0].dim + model->rotary[1].dim) * positions * sizeof(float);
}

void vkft_model_set_rope(vkft_model *model, uint64_t address, uint32_t positions)
{
    model->rotary[0].table = address;
    model->rotary[1].table = address + (uint64_t)model->rotary[0].dim * positions * sizeof(float);
}

void vkft_model_fill_rope(const vkft_model *model, uint32_t length, uint32_t positions, float *tables)
{
    vkft_rope_table(&model->config.rope, length, positions, tables);
    vkft_rope_table(&model->config.local_rope, length, positions, tables + (uint64_t)model->rotary[0].dim * positions);
}
