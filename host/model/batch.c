/* Packing of samples into the arrays that kernels read. */
#include "host/model/batch.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

typedef struct layout {
    uint64_t ids, position, query_range, key_range, query_window, key_window, source_ids, source_range, cross_query,
        cross_key, target, loss_row, row_weight, loss, expert_choice, total;
} layout;

static uint64_t take(uint64_t *total, uint64_t words)
{
    uint64_t offset = *total;
    *total += round_up(words * 4, VKFT_BUFFER_ALIGNMENT);
    return offset;
}

static layout lay_out(const vkft_batch_limits *limits)
{
    layout l = {0};
    l.ids = take(&l.total, limits->tokens);
    l.position = take(&l.total, limits->tokens);
    l.query_range = take(&l.total, 2ull * limits->tokens);
    l.key_range = take(&l.total, 2ull * limits->tokens);
    l.query_window = take(&l.total, 2ull * limits->tokens);
    l.key_window = take(&l.total, 2ull * limits->tokens);
    l.source_ids = take(&l.total, limits->source_tokens);
    l.source_range = take(&l.total, 2ull * limits->source_tokens);
    l.cross_query = take(&l.total, limits->source_tokens ? 2ull * limits->tokens : 0);
    l.cross_key = take(&l.total, 2ull * limits->source_tokens);
    l.target = take(&l.total, limits->rows);
    l.loss_row = take(&l.total, limits->rows);
    l.row_weight = take(&l.total, limits->rows);
    l.loss = take(&l.total, limits->rows);
    l.expert_choice = take(&l.total, (uint64_t)limits->expert_choice * limits->tokens);
    return l;
}

void vkft_batch_limits_join(vkft_batch_limits *limits, const vkft_batch_limits *other)
{
    limits->tokens = max_u32(limits->tokens, other->tokens);
    limits->source_tokens = max_u32(limits->source_tokens, other->source_tokens);
    limits->rows = max_u32(limits->rows, other->rows);
    limits->positions = max_u32(limits->positions, other->positions);
    limits->expert_choice = max_u32(limits->expert_choice, other->expert_choice);
}

uint64_t vkft_batch_bytes(const vkft_batch_limits *limits)
{
    return lay_out(limits).total;
}

vkft_batch vkft_batch_largest(const vkft_batch_limits *limits)
{
    return (vkft_batch){.limits = *limits,
                        .tokens = limits->tokens,
                        .source_tokens = limits->source_tokens,
                        .rows = limits->rows,
                        .sequence = {.span = limits->positions},
                        .windowed = {.span = limits->positions},
                        .source = {.span = limits->positions},
                        .expert_choice = limits->expert_choice ? VKFT_PLACEHOLDER_ADDRESS : 0};
}

bool vkft_batch_init(vkft_batch *batch, vkft_device *dev, const vkft_batch_limits *limits, vkft_err *err)
{
    memset(batch, 0, sizeof *batch);
    layout l = lay_out(limits);
    if (!vkft_buffer_new(dev, l.total, VKFT_MEMORY_HOST, "batch", &batch->buffer, err))
        return false;
    uint64_t base = batch->buffer.address;
    char *host = batch->buffer.mapped;
    batch->limits = *limits;
    batch->ids = base + l.ids;
    batch->source_ids = base + l.source_ids;
    batch->target = base + l.target;
    batch->loss_row = base + l.loss_row;
    batch->row_weight = base + l.row_weight;
    batch->loss = base + l.loss;
    batch->sequence = (vkft_sequence){.position = base + l.position,
                                      .query_range = base + l.query_range,
                                      .key_range = base + l.key_range,
                                      .span = limits->positions};
    batch->windowed = (vkft_sequence){.position = base + l.position,
                                      .query_range = base + l.query_window,
                                      .key_range = base + l.key_window,
                                      .span = limits->positions};
    /* All tokens of a source see each other, so its ranges are the same from both sides. */
    batch->source = (vkft_sequence){
        .query_range = base + l.source_range, .key_range = base + l.source_range, .span = limits->positions};
    batch->cross = (vkft_sequence){.query_range = base + l.cross_query, .key_range = base + l.cross_key};
    batch->ids_host = (uint32_t *)(void *)(host + l.ids);
    batch->position_host = (uint32_t *)(void *)(host + l.position);
    batch->query_range_host = (uint32_t *)(void *)(host + l.query_range);
    batch->key_range_host = (uint32_t *)(void *)(host + l.key_range);
    batch->query_window_host = (uint32_t *)(void *)(host + l.query_window);
    batch->key_window_host = (uint32_t *)(void *)(host + l.key_window);
    batch->source_ids_host = (uint32_t *)(void *)(host + l.source_ids);
    batch->source_range_host = (uint32_t *)(void *)(host + l.source_range);
    batch->cross_query_host = (uint32_t *)(void *)(host + l.cross_query);
    batch->cross_key_host = (uint32_t *)(void *)(host + l.cross_key);
    batch->target_host = (uint32_t *)(void *)(host + l.target);
    batch->loss_row_host = (uint32_t *)(void *)(host + l.loss_row);
    batch->row_weight_host = (float *)(void *)(host + l.row_weight);
    batch->loss_host = (const float *)(const void *)(host + l.loss);
    batch->expert_choice = limits->expert_choice ? base + l.expert_choice : 0;
    batch->expert_choice_host = limits->expert_choice ? (const uint32_t *)(const void *)(host + l.expert_choice) : NULL;
    return true;
}

void vkft_batch_free(vkft_batch *batch, vkft_device *dev)
{
    vkft_buffer_free(dev, &batch->buffer);
    memset(batch, 0, sizeof *batch);
}

static void set_range(uint32_t *ranges, uint32_t i, uint32_t begin, uint32_t end)
{
    ranges[2 * i] = begin;
    ranges[2 * i + 1] = end;
}

/* The rows whose loss counts: position i predicts label i+1. */
static void fill_targets(vkft_batch *batch, const int32_t *labels, uint32_t length, uint32_t start)
{
    for (uint32_t i = 0; i + 1 < length; i++) {
        if (labels[i + 1] == VKFT_IGNORE_LABEL)
            continue;
        batch->loss_row_host[batch->rows] = start + i;
        batch->target_host[batch->rows] = (uint32_t)labels[i + 1];
        batch->rows++;
    }
}

/* The encoder's tokens of a sample, and what they and the decoder's tokens from `start` on see of each other. */
static void fill_source(vkft_batch *batch, const vkft_sample *sample, uint32_t start, uint32_t length)
{
    uint32_t source = sample->source_length, first = batch->source_tokens, end = first + source;
    for (uint32_t i = 0; i < source; i++) {
        batch->source_ids_host[first + i] = (uint32_t)sample->ids[i];
        set_range(batch->source_range_host, first + i, first, end);
        set_range(batch->cross_key_host, first + i, start, start + length);
    }
    for (uint32_t i = 0; source && i < length; i++)
        set_range(batch->cross_query_host, start + i, first, end);
    batch->source_tokens = end;
}

void vkft_batch_fill(vkft_batch *batch, const vkft_sample *const *samples, uint32_t count, uint32_t window)
{
    batch->tokens = batch->source_tokens = batch->rows = batch->longest = 0;
    for (uint32_t s = 0; s < count; s++) {
        uint32_t source = samples[s]->source_length, start = batch->tokens, length = samples[s]->length - source;
        for (uint32_t i = 0; i < length; i++) {
            uint32_t t = start + i;
            batch->ids_host[t] = (uint32_t)samples[s]->ids[source + i];
            batch->position_host[t] = i;
            set_range(batch->query_range_host, t, start, t + 1);
            set_range(batch->key_range_host, t, t, start + length);
            set_range(batch->query_window_host, t, start + (window && i >= window ? i - window + 1 : 0), t + 1);
            set_range(batch->key_window_host, t, t, start + (window ? min_u32(i + window, length) : length));
        }
        fill_source(batch, samples[s], start, length);
        fill_targets(batch, samples[s]->labels + source, length, start);
        batch->tokens += length;
        uint32_t longer = max_u32(source, length);
        if (longer > batch->longest)
            batch->longest = longer;
    }
    batch->sequence.longest = batch->windowed.longest = batch->source.longest = batch->cross.longest = batch->longest;
}

void vkft_batch_fill_source(vkft_batch *batch, const int32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        batch->source_ids_host[i] = (uint32_t)ids[i];
        set_range(batch->source_range_host, i, 0, count);
    }
    set_range(batch->cross_query_host, 0, 0, count);
    batch->source_tokens = batch->source.longest = batch->cross.longest = count;
}

void vkft_batch_fill_next(vkft_batch *batch, const int32_t *ids, uint32_t count, uint32_t first, uint32_t window)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t position = first + i;
        batch->ids_host[i] = (uint32_t)ids[i];
        batch->position_host[i] = position;
        set_range(batch->query_range_host, i, 0, position + 1);
        set_range(batch->query_window_host, i, window && position >= window ? position - window + 1 : 0, position + 1);
    }
    batch->loss_row_host[0] = count - 1;
    batch->tokens = count;
    batch->sequence.cached = batch->windowed.cached = true;
    batch->sequence.longest = batch->windowed.longest = batch->limits.positions; /* of any continuation */
    batch->rows = 1;
    batch->longest = first + count;
}
