/* Loading of a model's frozen tensors, and the tables by which kernels find its experts. */
#include "host/model/model.h"
#include "host/model/tensor_spec.h"
#include "runtime/base/size.h"

#include <stdlib.h>

/* Fills one buffer after another: the slots from `first` on that fit, at least one. Returns the number after the last.
 */
static uint32_t next_group(const vkft_model *model, uint32_t first, uint64_t limit, uint64_t *bytes)
{
    *bytes = 0;
    uint32_t i = first;
    for (; i < model->slot_count; i++) {
        uint64_t size = vkft_tensor_spec_bytes(&model->slots[i]);
        if (i > first && (model->slots[i].host != model->slots[first].host || *bytes + size > limit))
            break;
        *bytes += size;
    }
    return i;
}

static bool upload(vkft_model *model, vkft_buffer *buffer, uint64_t offset, struct vkft_tensor_spec *slot,
                   const vkft_model_tensor *tensor, vkft_err *err)
{
    vkft_device *dev = model->dev;
    if (slot->vector) {
        *slot->vector = buffer->address + offset;
        uint32_t n = slot->rows * slot->cols;
        float *values = malloc(n * sizeof *values);
        if (!values)
            return vkft_fail_memory(err, "while loading %s", slot->name);
        vkft_model_tensor_decode(tensor, values);
        bool ok = vkft_buffer_write(dev, buffer, offset, values, n * sizeof *values, err);
        free(values);
        return ok;
    }
    vkft_weight *w = slot->weight;
    w->offset = tensor->offset;
    for (uint32_t part = 0; part < VKFT_PARTS; part++) {
        if (!slot->bytes[part])
            continue;
        w->part[part] = buffer->address + offset;
        if (!vkft_buffer_write(dev, buffer, offset, tensor->part[part], tensor->bytes[part], err))
            return false;
        offset += slot->bytes[part];
    }
    return true;
}

bool vkft_model_load(vkft_model *model, vkft_device *dev, const vkft_model_file *file,
                     bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context,
                     vkft_err *err)
{
    model->dev = dev;
    if (model->trained)
        return true;
    uint64_t limit = vkft_device_get_info(dev)->max_allocation_bytes;
    limit = min_u64(limit, VKFT_BUFFER_BYTES);
    model->buffers = calloc(model->slot_count, sizeof *model->buffers);
    if (!model->buffers)
        return vkft_fail_memory(err, "while loading the model");
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
            offset += vkft_tensor_spec_bytes(&model->slots[i]);
            done += vkft_tensor_spec_bytes(&model->slots[i]);
            if (progress && !progress(context, done, total))
                return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while loading the model");
        }
    }
    vkft_model_set_head(model);
    return true;
}

uint64_t vkft_model_expert_table_bytes(const vkft_model *model)
{
    uint64_t bytes = 0;
    for (uint32_t l = 0; l < model->decoder.count; l++)
        bytes += VKFT_EXPERT_SLOTS * vkft_grouped_table_bytes(model->decoder.layers[l].experts[0].groups);
    return bytes;
}

bool vkft_model_write_expert_tables(vkft_model *model, vkft_device *dev, vkft_err *err)
{
    uint64_t bytes = vkft_model_expert_table_bytes(model), at = 0;
    if (!bytes)
        return true;
    char *tables = malloc(bytes);
    bool ok = tables ? vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "experts' tables", &model->expert_tables, err)
                     : vkft_fail_memory(err, "while placing the experts");
    for (uint32_t l = 0; ok && l < model->decoder.count; l++)
        for (uint32_t s = 0; s < VKFT_EXPERT_SLOTS; s++) {
            vkft_grouped_linear *experts = &model->decoder.layers[l].experts[s];
            if (!experts->groups)
                continue;
            vkft_grouped_tables(experts, tables + at);
            experts->tables = model->expert_tables.address + at;
            at += vkft_grouped_table_bytes(experts->groups);
        }
    ok = ok && vkft_buffer_write(dev, &model->expert_tables, 0, tables, bytes, err);
    free(tables);
    return ok;
}
