/* The hybrid of runs and packed bits in which levels and places in dictionaries are written. */
#include "formats/parquet/parquet_private.h"

bool parquet_bits(const uint8_t *data, uint64_t size, uint64_t bit, uint32_t width, uint64_t *value)
{
    *value = 0;
    if (bit + width > 8 * size)
        return false;
    for (uint32_t done = 0; done < width;) {
        uint32_t shift = (uint32_t)((bit + done) % 8);
        *value |= (uint64_t)(data[(bit + done) / 8] >> shift) << done;
        done += 8 - shift;
    }
    if (width < 64)
        *value &= ((uint64_t)1 << width) - 1;
    return true;
}

static bool next_run(parquet_runs *r)
{
    uint64_t header;
    if (r->packed) { /* the packed values end with a whole byte */
        uint64_t bytes = (r->bit + 7) / 8;
        r->at = bytes < (uint64_t)(r->end - r->at) ? r->at + bytes : r->end;
    }
    if (!parquet_varint(&r->at, r->end, &header) || header > UINT32_MAX)
        return false;
    r->packed = header & 1;
    r->left = r->packed ? header / 2 * 8 : header / 2;
    r->bit = 0;
    if (r->packed)
        return true;
    uint32_t bytes = (r->width + 7) / 8;
    r->value = 0;
    if (bytes > (uint64_t)(r->end - r->at))
        return false;
    for (uint32_t i = 0; i < bytes; i++)
        r->value |= (uint32_t)*r->at++ << (8 * i);
    return true;
}

bool parquet_runs_next(parquet_runs *r, uint32_t *value)
{
    uint64_t bits;
    while (r->left == 0)
        if (!next_run(r))
            return false;
    r->left--;
    *value = r->value;
    if (!r->packed)
        return true;
    if (!parquet_bits(r->at, (uint64_t)(r->end - r->at), r->bit, r->width, &bits))
        return false;
    r->bit += r->width;
    *value = (uint32_t)bits;
    return true;
}
