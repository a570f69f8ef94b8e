/* Division of weights into ranges, and their way from the file to the device. */
#include "host/model/residency.h"

#include <stdlib.h>
#include <string.h>

#include "host/model/random_weights.h"
#include "runtime/base/size.h"

/* What of a tensor is copied. */
static uint64_t copied_bytes(const struct vkft_tensor_spec *tensor, bool in_place)
{
    return in_place && tensor->weight ? 0 : vkft_tensor_spec_bytes(tensor);
}

/* Whether the tensor belongs to the range that ends before it. */
static bool continues(const vkft_weight_range *range, const struct vkft_tensor_spec *tensors, uint64_t limit,
                      bool in_place)
{
    const struct vkft_tensor_spec *last = &tensors[range->end - 1], *next = &tensors[range->end];
    return next->block && next->block == last->block && next->host == range->host &&
           range->bytes + copied_bytes(next, in_place) <= limit;
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

vkft_residency_bytes vkft_residency_measure(const struct vkft_tensor_spec *tensors, uint32_t count,
                                            vkft_weights_are are)
{
    vkft_residency_bytes bytes = {0};
    uint64_t block = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = copied_bytes(&tensors[i], are == VKFT_WEIGHTS_IN_PLACE);
        if (are != VKFT_WEIGHTS_STREAMED || !tensors[i].block) {
            *(tensors[i].host ? &bytes.host : &bytes.device) += size;
            bytes.largest = max_u64(bytes.largest, size);
            continue;
        }
        block = (i && tensors[i - 1].block == tensors[i].block ? block : 0) + size;
        bytes.staging = max_u64(bytes.staging, block);
        bytes.moved += size;
    }
    bytes.ring = 2 * bytes.staging;
    return bytes;
}

/* A streamed block's place. */
static bool place_in_ring(vkft_residency *residency, vkft_weight_range *range, const struct vkft_tensor_spec *first,
                          uint64_t limit, vkft_err *err)
{
    vkft_weight_ring *ring = &residency->ring;
    range->block = first->block;
    ring->blocks = max_u32(ring->blocks, range->block);
    ring->slot_bytes = max_u64(ring->slot_bytes, range->bytes);
    return range->bytes <= limit ||
           vkft_fail(err, VKFT_ERR_MEMORY,
                     "the weights of block %u take %.2f GiB, and at most %.2f GiB can be streamed at a time",
                     range->block - 1, gib(range->bytes), gib(limit));
}

bool vkft_residency_plan(vkft_residency *residency, const struct vkft_tensor_spec *tensors, uint32_t count,
                         uint64_t limit, vkft_weights_are are, vkft_err *err)
{
    const bool in_place = are == VKFT_WEIGHTS_IN_PLACE;
    *residency = (vkft_residency){.in_place = in_place,
                                  .ranges = calloc(count, sizeof *residency->ranges),
                                  .buffers = calloc(count, sizeof *residency->buffers)};
    if (!residency->ranges || !residency->buffers) {
        vkft_residency_free(residency, NULL);
        return vkft_fail_memory(err, "while placing the model's weights");
    }
    for (uint32_t i = 0; i < count;) {
        vkft_weight_range *range = &residency->ranges[residency->range_count++];
        *range = (vkft_weight_range){.first = i, .end = i + 1, .host = tensors[i].host};
        range->bytes = copied_bytes(&tensors[i], in_place);
        bool streamed = are == VKFT_WEIGHTS_STREAMED && tensors[i].block;
        for (; range->end < count && continues(range, tensors, streamed ? UINT64_MAX : limit, in_place); range->end++)
            range->bytes += copied_bytes(&tensors[range->end], in_place);
        if (!streamed)
            place_in_buffer(residency, range, limit);
        else if (!place_in_ring(residency, range, &tensors[i], limit, err)) {
            vkft_residency_free(residency, NULL);
            return false;
        }
        i = range->end;
    }
    return true;
}

void vkft_residency_free(vkft_residency *residency, vkft_device *dev)
{
    for (uint32_t i = 0; i < residency->buffer_count; i++)
        vkft_buffer_free(dev, &residency->buffers[i]);
    for (int slot = 0; slot < 2; slot++)
        vkft_buffer_free(dev, &residency->ring.slots[slot]);
    vkft_buffer_free(dev, &residency->ring.staging);
    free(residency->ring.uploads);
    free(residency->buffers);
    free(residency->ranges);
    *residency = (vkft_residency){0};
}

static void place(const vkft_weight_range *range, struct vkft_tensor_spec *tensors, uint64_t address, bool in_place)
{
    for (uint32_t i = range->first; i < range->end; i++) {
        struct vkft_tensor_spec *t = &tensors[i];
        if (t->vector)
            *t->vector = address;
        for (uint32_t part = 0; part < VKFT_PARTS; part++) {
            if (t->weight && t->bytes[part])
                t->weight->part[part] = address;
            address += in_place && t->weight ? 0 : t->bytes[part];
        }
    }
}

void vkft_residency_place(const vkft_weight_range *range, struct vkft_tensor_spec *tensors, uint64_t address)
{
    place(range, tensors, address, false);
}

/* What the device is to have of a tensor, at `memory`: its parts, or a vector's values. */
static void copy_tensor(const struct vkft_tensor_spec *t, const vkft_model_tensor *tensor, char *memory)
{
    if (t->vector) {
        vkft_model_tensor_decode(tensor, (float *)(void *)memory);
        return;
    }
    for (uint32_t part = 0; part < VKFT_PARTS; part++) {
        if (t->bytes[part])
            memcpy(memory, tensor->part[part], tensor->bytes[part]);
        memory += t->bytes[part];
    }
}

/* A vkft_upload's fill. */
static bool fill_block(void *context, uint32_t number, void *memory, vkft_err *err)
{
    const vkft_residency *residency = context;
    const vkft_weight_ring *ring = &residency->ring;
    (void)err; /* a file that is cut off meanwhile ends the program, see host/cli/truncation.h */
    for (uint32_t r = 0; r < residency->range_count; r++) {
        const vkft_weight_range *range = &residency->ranges[r];
        char *at = memory;
        for (uint32_t i = range->first; range->block == number && i < range->end; i++) {
            copy_tensor(&ring->tensors[i], vkft_model_file_find(ring->file, ring->tensors[i].name), at);
            at += vkft_tensor_spec_bytes(&ring->tensors[i]);
        }
    }
    return true;
}

static bool allocate_ring(vkft_residency *residency, const struct vkft_tensor_spec *tensors, vkft_device *dev,
                          const vkft_model_file *file, vkft_err *err)
{
    vkft_weight_ring *ring = &residency->ring;
    if (!ring->slot_bytes)
        return true;
    ring->tensors = tensors;
    ring->file = file;
    ring->uploads = calloc(ring->blocks, sizeof *ring->uploads);
    if (!ring->uploads)
        return vkft_fail_memory(err, "while placing the model's weights");
    for (int slot = 0; slot < 2; slot++) {
        ring->holds[slot] = UINT32_MAX;
        if (!vkft_buffer_new(dev, ring->slot_bytes, VKFT_MEMORY_DEVICE, "weight ring", &ring->slots[slot], err))
            return false;
    }
    if (!vkft_buffer_new(dev, ring->slot_bytes, VKFT_MEMORY_HOST, "weight staging", &ring->staging, err))
        return false;
    for (uint32_t r = 0; r < residency->range_count; r++) {
        const vkft_weight_range *range = &residency->ranges[r];
        if (range->block)
            ring->uploads[range->block - 1] = (vkft_upload){.number = range->block,
                                                            .holds = &ring->holds[range->block % 2],
                                                            .to = &ring->slots[range->block % 2],
                                                            .bytes = range->bytes,
                                                            .staging = &ring->staging,
                                                            .fill = fill_block,
                                                            .context = residency};
    }
    return true;
}

const vkft_upload *vkft_residency_upload(const vkft_residency *residency, uint32_t block)
{
    return residency->ring.uploads ? &residency->ring.uploads[block - 1] : NULL;
}

static void take_offset(const struct vkft_tensor_spec *t, const vkft_model_tensor *tensor)
{
    if (t->weight)
        t->weight->offset = tensor->offset;
}

/* What is read from the file later has the right checksum now. */
static bool verify(const struct vkft_tensor_spec *t, const vkft_model_file *file, vkft_err *err)
{
    const vkft_model_tensor *tensor = vkft_model_file_find(file, t->name);
    take_offset(t, tensor);
    return vkft_model_file_verify(file, tensor, err);
}

/* From the file, where its checksum is verified. */
static bool upload(vkft_device *dev, vkft_buffer *buffer, uint64_t offset, const struct vkft_tensor_spec *t,
                   const vkft_model_file *file, vkft_err *err)
{
    const vkft_model_tensor *tensor = vkft_model_file_find(file, t->name);
    if (!verify(t, file, err))
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
    for (uint32_t part = 0; part < VKFT_PARTS; part++) {
        if (t->bytes[part] && !vkft_buffer_write(dev, buffer, offset, tensor->part[part], tensor->bytes[part], err))
            return false;
        offset += t->bytes[part];
    }
    return true;
}

/* Points a weight at the file. */
static void place_in_file(const struct vkft_tensor_spec *t, const vkft_model_tensor *tensor,
                          const vkft_in_place *in_place)
{
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        if (t->bytes[part])
            t->weight->part[part] = vkft_in_place_address(in_place, tensor->part[part]);
}

static bool use_in_place(const struct vkft_tensor_spec *t, const vkft_model_file *file, const vkft_in_place *in_place,
                         vkft_err *err)
{
    place_in_file(t, vkft_model_file_find(file, t->name), in_place);
    return verify(t, file, err);
}

bool vkft_residency_serves(const vkft_residency *loaded, const vkft_residency *planned)
{
    bool same = loaded->loaded && !loaded->ring.slot_bytes && !planned->ring.slot_bytes &&
                loaded->in_place == planned->in_place && loaded->range_count == planned->range_count &&
                loaded->buffer_count == planned->buffer_count;
    for (uint32_t i = 0; same && i < loaded->range_count; i++) {
        const vkft_weight_range *a = &loaded->ranges[i], *b = &planned->ranges[i];
        same = a->first == b->first && a->end == b->end && a->bytes == b->bytes && a->buffer == b->buffer &&
               a->offset == b->offset;
    }
    return same;
}

void vkft_residency_point(const vkft_residency *residency, struct vkft_tensor_spec *tensors,
                          const vkft_model_file *file, const vkft_in_place *in_place)
{
    for (uint32_t r = 0; r < residency->range_count; r++) {
        const vkft_weight_range *range = &residency->ranges[r];
        place(range, tensors, residency->buffers[range->buffer].address + range->offset, residency->in_place);
        for (uint32_t i = range->first; i < range->end; i++) {
            const vkft_model_tensor *tensor = vkft_model_file_find(file, tensors[i].name);
            if (residency->in_place && tensors[i].weight)
                place_in_file(&tensors[i], tensor, in_place);
            take_offset(&tensors[i], tensor);
        }
    }
}

static bool allocate(vkft_residency *residency, vkft_device *dev, vkft_err *err)
{
    for (uint32_t i = 0; i < residency->buffer_count; i++) {
        const vkft_buffer planned = residency->buffers[i];
        if (planned.size_bytes &&
            !vkft_buffer_new(dev, planned.size_bytes, planned.kind, "model weights", &residency->buffers[i], err))
            return false;
    }
    return true;
}

bool vkft_residency_load(vkft_residency *residency, struct vkft_tensor_spec *tensors, vkft_device *dev,
                         const vkft_model_file *file, const vkft_in_place *in_place,
                         bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes), void *context,
                         vkft_err *err)
{
    uint64_t done = 0, total = 0;
    for (uint32_t r = 0; r < residency->range_count; r++)
        for (uint32_t i = residency->ranges[r].first; i < residency->ranges[r].end; i++)
            total += vkft_tensor_spec_bytes(&tensors[i]);
    if (!allocate(residency, dev, err) || !allocate_ring(residency, tensors, dev, file, err))
        return false;
    for (uint32_t r = 0; r < residency->range_count; r++) {
        const vkft_weight_range *range = &residency->ranges[r];
        vkft_buffer *buffer =
            range->block ? &residency->ring.slots[range->block % 2] : &residency->buffers[range->buffer];
        uint64_t offset = range->offset;
        place(range, tensors, buffer->address + offset, residency->in_place);
        for (uint32_t i = range->first; i < range->end; i++) {
            const struct vkft_tensor_spec *t = &tensors[i];
            bool stays = residency->in_place && t->weight;
            bool made = stays          ? use_in_place(t, file, in_place, err)
                        : range->block ? verify(t, file, err)
                        : file         ? upload(dev, buffer, offset, t, file, err)
                                       : vkft_random_weights_make(dev, buffer, offset, t, i, err);
            if (!made)
                return false;
            offset += copied_bytes(t, residency->in_place);
            done += vkft_tensor_spec_bytes(&tensors[i]);
            if (progress && !progress(context, done, total))
                return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while loading the model");
        }
    }
    residency->loaded = true;
    return true;
}
