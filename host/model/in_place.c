/* See in_place.h. */
#include "host/model/in_place.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/os.h"
#include "runtime/base/size.h"

bool vkft_in_place_can(const vkft_device_info *info)
{
    return info->unified_memory && vkft_buffer_can_import(info);
}

bool vkft_in_place_wanted(const vkft_device_info *info)
{
    char *said = vkft_os_environment("VKFT_IN_PLACE");
    bool wanted = said && strcmp(said, "0") != 0;
    free(said);
    return wanted && vkft_in_place_can(info);
}

/* Bytes in the file that have to lie in one buffer. */
typedef struct span {
    const char *begin;
    uint64_t bytes;
} span;

static int by_begin(const void *pa, const void *pb)
{
    const span *a = pa, *b = pb;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static uint32_t list_spans(const struct vkft_tensor_spec *tensors, uint32_t count, const vkft_model_file *file,
                           span *spans)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < count; i++) {
        const vkft_model_tensor *tensor = tensors[i].weight ? vkft_model_file_find(file, tensors[i].name) : NULL;
        for (uint32_t part = 0; tensor && part < VKFT_PARTS; part++)
            if (tensors[i].bytes[part])
                spans[n++] = (span){tensor->part[part], tensor->bytes[part]};
    }
    qsort(spans, n, sizeof *spans, by_begin);
    return n;
}

/* Whole pages from the begin of the first span on, with as many spans as are within the limit; returns how many. */
static uint32_t take_part(const span *spans, uint32_t count, uint64_t limit, vkft_in_place_part *part)
{
    uint32_t n = 0;
    uint64_t before = (uintptr_t)spans[0].begin % VKFT_IMPORT_ALIGNMENT;
    part->begin = spans[0].begin - before;
    for (; n < count; n++) {
        uint64_t bytes = (uint64_t)(spans[n].begin - part->begin) + spans[n].bytes;
        if (round_up(bytes, VKFT_IMPORT_ALIGNMENT) > limit)
            break;
        part->buffer.size_bytes = max_u64(part->buffer.size_bytes, round_up(bytes, VKFT_IMPORT_ALIGNMENT));
    }
    return n;
}

bool vkft_in_place_open(vkft_in_place *in_place, const struct vkft_tensor_spec *tensors, uint32_t count,
                        const vkft_model_file *file, vkft_device *dev, uint64_t limit, vkft_err *err)
{
    span *spans = calloc((uint64_t)count * VKFT_PARTS + 1, sizeof *spans);
    *in_place = (vkft_in_place){.parts = calloc((uint64_t)count * VKFT_PARTS + 1, sizeof *in_place->parts)};
    bool ok = (spans && in_place->parts) || vkft_fail_memory(err, "while placing the model's weights");
    uint32_t span_count = ok ? list_spans(tensors, count, file, spans) : 0;
    for (uint32_t at = 0, taken; ok && at < span_count; at += taken) {
        vkft_in_place_part *part = &in_place->parts[in_place->count];
        taken = take_part(spans + at, span_count - at, limit, part);
        ok = taken ? vkft_buffer_import(dev, part->begin, part->buffer.size_bytes, "model file", &part->buffer, err)
                   : vkft_fail(err, VKFT_ERR_MEMORY, "a tensor of %.2f GiB is above what the device allows",
                               gib(spans[at].bytes));
        in_place->count += ok;
        in_place->bytes += part->buffer.size_bytes;
        in_place->largest = max_u64(in_place->largest, part->buffer.size_bytes);
    }
    free(spans);
    if (!ok)
        vkft_in_place_close(in_place, dev);
    return ok;
}

void vkft_in_place_close(vkft_in_place *in_place, vkft_device *dev)
{
    for (uint32_t i = 0; i < in_place->count; i++)
        vkft_buffer_free(dev, &in_place->parts[i].buffer);
    free(in_place->parts);
    *in_place = (vkft_in_place){0};
}

uint64_t vkft_in_place_address(const vkft_in_place *in_place, const void *byte)
{
    uint32_t i = in_place->count;
    do {
        assert(i > 0);
        i--;
    } while (in_place->parts[i].begin > (const char *)byte);
    return in_place->parts[i].buffer.address + (uint64_t)((const char *)byte - in_place->parts[i].begin);
}
