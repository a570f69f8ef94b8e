/* DELTA_BINARY_PACKED: a first value, then blocks of differences, less the smallest one of the block, packed in
 * miniblocks that each have their width. */
#include "formats/parquet/parquet_private.h"

bool parquet_delta_open(parquet_delta *d, const uint8_t *data, const uint8_t *end)
{
    uint64_t block, first;
    *d = (parquet_delta){.at = data, .end = end};
    if (!parquet_varint(&d->at, end, &block) || !parquet_varint(&d->at, end, &d->minis) ||
        !parquet_varint(&d->at, end, &d->left) || !parquet_varint(&d->at, end, &first))
        return false;
    if (d->minis == 0 || block > 1u << 30 || block % d->minis || block / d->minis % 8 || block == 0)
        return false;
    d->per_mini = block / d->minis;
    d->mini = d->minis;
    d->value = (uint64_t)parquet_zigzag(first);
    return true;
}

/* The header of a block: the smallest difference, and the widths. */
static bool next_block(parquet_delta *d)
{
    uint64_t min_delta;
    if (!parquet_varint(&d->at, d->end, &min_delta) || d->minis > (uint64_t)(d->end - d->at))
        return false;
    d->min_delta = (uint64_t)parquet_zigzag(min_delta);
    d->widths = d->at;
    d->at += d->minis;
    d->mini = 0;
    return true;
}

/* The miniblock that follows; the last one of a column may be cut off after its last value. */
static bool next_miniblock(parquet_delta *d)
{
    if (d->mini == d->minis && !next_block(d))
        return false;
    d->width = d->widths[d->mini++];
    if (d->width > 64)
        return false;
    uint64_t size = d->per_mini / 8 * d->width, there = (uint64_t)(d->end - d->at);
    d->packed = d->at;
    d->packed_size = size < there ? size : there;
    d->at += d->packed_size;
    d->in_mini = d->per_mini;
    d->bit = 0;
    return true;
}

bool parquet_delta_next(parquet_delta *d, int64_t *value)
{
    uint64_t delta;
    if (d->left == 0)
        return false;
    if (d->started) {
        if (d->in_mini == 0 && !next_miniblock(d))
            return false;
        if (!parquet_bits(d->packed, d->packed_size, d->bit, d->width, &delta))
            return false;
        d->bit += d->width;
        d->in_mini--;
        d->value += d->min_delta + delta;
    }
    d->started = true;
    d->left--;
    *value = (int64_t)d->value;
    return true;
}

bool parquet_delta_end(const parquet_delta *opened, const uint8_t **end)
{
    parquet_delta d = *opened;
    for (uint64_t left = d.left ? d.left - 1 : 0; left > 0; left -= left < d.per_mini ? left : d.per_mini)
        if (!next_miniblock(&d))
            return false;
    *end = d.at;
    return true;
}
