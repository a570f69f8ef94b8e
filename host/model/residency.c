/* Division of weights into ranges, and their way from the file to the device. */
#include "host/model/residency.h"

#include <stdlib.h>
#include <string.h>

#include "host/model/random_weights.h"

/* Whether the tensor belongs to the range that ends before it. */
static bool continues(const vkft_weight_range *range, const struct vkft_tensor_spec *tensors, uint64_t limit)
{
    const struct vkft_tensor_spec *last = &tensors[range->end - 1], *next = &tensors[range->end];
    return next->block && next->block == last->block && next->host == range->host &&
           range->bytes + vkft_tensor_spec_bytes(next) <= limit;
}

/* The range fills the last buffer on, or begins another. */
static void place_in_buffer(vkft_residency *residency, vkft_weight_range *range, uint64_t limit)
{
    vkft_buffer *last = residency->buffer_count ? &residency->buffers[residency->buffer_count - 1] : NULL;
    vkft_memory_kind kind = range->host ? VKFT_MEMORY_HOST : VKFT_MEMORY_DEVICE;
    if (!last || last->kind != kind || last->size_bytes + range->bytes > limit) {
        last = &residency->buffers[residency->buffer_count++];
        *last = (vkft_buffer){.kind = kind};
    }
    range->buffer = residency->buffer_count - 1;
    range->offset = last->size_bytes;
    last->size_bytes += range->bytes;
}

bool vkft_residency_plan(vkft_residency *residency, const struct vkft_tensor_spec *tensors, uint32_t count,
                         uint64_t limit, vkft_err *err)
{
    *residency = (vkft_residency){.ranges = calloc(count, sizeof *residency->ranges),
                                  .buffers = calloc(count, sizeof *residency->buffers)};
    if (!residency->ranges || !residency->buffers) {
        vkft_residency_free(residency, NULL);
        return vkft_fail_memory(err, "while placing the model's weights");
    }
    for (uint32_t i = 0; i < count;) {
        vkft_weight_range *range = &residency->ranges[residency->range_count++];
        *range = (vkft_weight_range){.first = i, .end = i + 1, .host = tensors[i].host};
        range->bytes = vkft_tensor_spec_bytes(&tensors[i]);
        for (; range->end < count && continues(range, tensors, limit); range->end++)
            range->bytes += vkft_tensor_spec_bytes(&tensors[range->end]);
        place_in_buffer(residency, range, limit);
        i = range->end;
    }
    return true;
}

void vkft_residency_free(vkft_residency *residency, vkft_device *dev)
{
    for (uint32_t i = 0; i < residency->buffer_count; i++)
        vkft_buffer_free(dev, &residency->buffers[i]);
    free(residency->buffers);
    free(residency->ranges);
    *residency = (vkft_residency){0};
}

void vkft_residency_place(const vkft_weight_range *range, struct vkft_tensor_spec *tensors, uint64_t address)
{
    for (uint32_t i = range->first; i < range->end; i++) {
        struct vkft_tensor_spec *t = &tensors[i];
        if (t->vector)
            *t->vector = address;
        for (uint32_t part = 0; part < VKFT_PARTS; part++) {
            if (t->weight && t->bytes[part])
                t->weight->part[part] = address;
            address += t->bytes[part];
        }
    }
}

/* From the file, where its checksum is verified. */
static bool upload(vkft_device *dev, vkft_buffer *buffer, uint64_t offset, struct vkft_tensor_spec *t,
                   const vkft_model_file *file, vkft_err *err)
{
    const vkft_model_tensor *tensor = vkft_model_file_find(file, t->name);
    if (!vkft_model_file_verify(file, tensor, err))
        return false;
    if (t->vector) {
        uint32_t n = t->rows * t->cols;
        float *values = malloc(n * sizeof *values);
        if (!values)
            return vkft_fail_memory(err, "while loading %s", t->name);
        vkft_model_tensor_decode(tensor, values);
        bool ok = vkft_buffer_write(dev, buffer, offset, values, n * sizeof *values, err);
        free(values);
        return ok;
    }
    t->weight->offset = tensor->offset;
    for (uint32_t part = 0; part < VKFT_PARTS; part++) {
        if (t->bytes[part] && !vkft_buffer_write(dev, buffer, offset, tensor->part[part], tensor->bytes[part], err))
            return false;
        offset += t->bytes[part];
    }
    return true;
}

static bool allocate(vkft_residency *residency, vkft_device *dev, vkft_err *err)
{
    for (uint32_t i = 0; i < residency->buffer_count; i++) {
        const vkft_buffer planned = residency->buffers[i];
        if (!vkft_buffer_new(dev, planned.size_bytes, planned.kind, "model weights", &residency->buffers[i], err))
            return false;
    }
    return true;
}

bool vkft_residency_load(vkft_residency *residency, struct vkft_tensor_spec *tensors, vkft_device *dev,
                         const vkft_model_file *file,
                         bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context,
                         vkft_err *err)
{
    uint64_t done = 0, total = 0;
    for (uint32_t r = 0; r < residency->range_count; r++)
        total += residency->ranges[r].bytes;
    if (!allocate(residency, dev, err))
        return false;
    for (uint32_t r = 0; r < residency->range_count; r++) {
        const vkft_weight_range *range = &residency->ranges[r];
        vkft_buffer *buffer = &residency->buffers[range->buffer];
        uint64_t offset = range->offset;
        vkft_residency_place(range, tensors, buffer->address + offset);
        for (uint32_t i = range->first; i < range->end; i++) {
            bool made = file ? upload(dev, buffer, offset, &tensors[i], file, err)
                             : vkft_random_weights_make(dev, buffer, offset, &tensors[i], i, err);
            if (!made)
                return false;
            offset += vkft_tensor_spec_bytes(&tensors[i]);
            done += vkft_tensor_spec_bytes(&tensors[i]);
            if (progress && !progress(context, done, total))
                return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while loading the model");
        }
    }
    return true;
}
