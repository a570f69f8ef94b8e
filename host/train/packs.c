/* Packing by best fit, and the batches that packs make. See packs.h. */
#include "host/train/packs.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

/* A pack while it is being filled: in a list of those with the same room left. */
typedef struct bin {
    uint32_t next; /* the next bin with the same room, or NONE */
} bin;
#define NONE UINT32_MAX

/* Best fit by room: head[r] is a bin with exactly r tokens of room. */
typedef struct packer {
    uint32_t capacity;
    uint32_t *head; /* [capacity + 1] */
    bin *bins;      /* [samples] */
    uint32_t bin_count;
    uint32_t *tree;  /* how many bins have each room, and above the leaves the sums: finds the least room >= n */
    uint32_t leaves; /* a power of two > capacity */
} packer;

static void count_room(packer *p, uint32_t room, int change)
{
    for (uint32_t i = p->leaves + room; i; i /= 2)
        p->tree[i] += (uint32_t)change;
}

/* The least room of at least n that some bin has; NONE: none. */
static uint32_t least_room(const packer *p, uint32_t n)
{
    uint32_t i = p->leaves + n;
    if (p->tree[i])
        return n;
    for (; i > 1; i /= 2) /* up, until something lies to the right */
        if (i % 2 == 0 && p->tree[i + 1])
            break;
    if (i <= 1)
        return NONE;
    for (i++; i < p->leaves;) /* down, leftmost first */
        i = p->tree[2 * i] ? 2 * i : 2 * i + 1;
    return i - p->leaves;
}

static uint32_t place(packer *p, uint32_t length)
{
    uint32_t room = least_room(p, length), at;
    if (room == NONE) {
        at = p->bin_count++;
        room = p->capacity;
    } else {
        at = p->head[room];
        p->head[room] = p->bins[at].next;
        count_room(p, room, -1);
    }
    room -= length;
    p->bins[at].next = p->head[room];
    p->head[room] = at;
    count_room(p, room, 1);
    return at;
}

typedef struct keyed {
    uint32_t key, index;
} keyed;

/* Longest first; equal lengths in their order. */
static int by_length(const void *pa, const void *pb)
{
    const keyed *a = pa, *b = pb;
    return a->key != b->key ? (a->key < b->key ? 1 : -1) : a->index < b->index ? -1 : 1;
}

static int by_bin(const void *pa, const void *pb)
{
    const keyed *a = pa, *b = pb;
    return a->key != b->key ? (a->key < b->key ? -1 : 1) : a->index < b->index ? -1 : 1;
}

/* Decides the packs and puts the split's samples in their order: packs as they were begun, samples as the data has
 * them. */
static void pack(vkft_sample_packs *split, packer *p, keyed *list, const vkft_sample **sorted)
{
    uint32_t n = split->count;
    memset(p->head, 0xff, (p->capacity + 1ull) * sizeof *p->head);
    for (uint32_t i = 0; i < n; i++)
        list[i] = (keyed){split->samples[i]->length, i};
    qsort(list, n, sizeof *list, by_length);
    for (uint32_t i = 0; i < n; i++)
        list[i].key = place(p, list[i].key);
    qsort(list, n, sizeof *list, by_bin);
    split->packs = 0;
    for (uint32_t i = 0; i < n; i++) {
        sorted[i] = split->samples[list[i].index];
        if (i == 0 || list[i].key != list[i - 1].key)
            split->pack[split->packs++] = i;
    }
    split->pack[split->packs] = n;
    memcpy(split->samples, sorted, n * sizeof *sorted);
}

static bool make_packs(vkft_sample_packs *split, uint32_t capacity)
{
    packer p = {.capacity = capacity, .leaves = 1};
    while (p.leaves <= capacity)
        p.leaves *= 2;
    keyed *list = malloc((split->count + 1ull) * sizeof *list);
    const vkft_sample **sorted = malloc((split->count + 1ull) * sizeof *sorted);
    p.head = malloc((capacity + 1ull) * sizeof *p.head);
    p.bins = malloc((split->count + 1ull) * sizeof *p.bins);
    p.tree = calloc(2ull * p.leaves, sizeof *p.tree);
    bool ok = list && sorted && p.head && p.bins && p.tree;
    if (ok)
        pack(split, &p, list, sorted);
    free(list), free(sorted), free(p.head), free(p.bins), free(p.tree);
    return ok;
}

bool vkft_sample_packs_new(vkft_sample_packs *split, const vkft_dataset *data, const uint32_t *index, uint32_t count,
                           uint32_t pack_tokens, vkft_err *err)
{
    *split = (vkft_sample_packs){.count = count, .packs = count};
    split->samples = malloc((count + 1ull) * sizeof *split->samples);
    split->pack = malloc((count + 1ull) * sizeof *split->pack);
    bool ok = split->samples && split->pack;
    for (uint32_t i = 0; ok && i < count; i++) {
        split->samples[i] = &data->samples[index ? index[i] : i];
        split->pack[i] = i;
    }
    if (ok) {
        split->pack[count] = count;
        ok = !pack_tokens || count == 0 || make_packs(split, pack_tokens);
    }
    if (!ok)
        vkft_sample_packs_free(split);
    return ok || vkft_fail_memory(err, "while ordering the data");
}

void vkft_sample_packs_pair(vkft_sample_packs *split)
{
    split->packs = split->count / 2;
    for (uint32_t i = 0; i <= split->packs; i++)
        split->pack[i] = 2 * i;
}

/* Puts a pack at the end. */
static void append_pack(vkft_sample_packs *to, const vkft_sample_packs *from, uint32_t pack)
{
    for (uint32_t i = from->pack[pack]; i < from->pack[pack + 1]; i++)
        to->samples[to->count++] = from->samples[i];
    to->pack[++to->packs] = to->count;
}

bool vkft_sample_packs_mix(vkft_sample_packs *split, const vkft_sample_packs *more, vkft_err *err)
{
    uint64_t all = (uint64_t)split->packs + more->packs;
    vkft_sample_packs mixed = {.samples = malloc((split->count + more->count + 1ull) * sizeof *mixed.samples),
                               .pack = malloc((all + 1) * sizeof *mixed.pack)};
    if (!mixed.samples || !mixed.pack) {
        vkft_sample_packs_free(&mixed);
        return vkft_fail_memory(err, "while mixing the data");
    }
    mixed.pack[0] = 0;
    for (uint64_t i = 0, others = 0; i < all; i++)
        if ((i + 1) * more->packs / all > others)
            append_pack(&mixed, more, (uint32_t)others++);
        else
            append_pack(&mixed, split, (uint32_t)(i - others));
    vkft_sample_packs_free(split);
    *split = mixed;
    return true;
}

void vkft_sample_packs_free(vkft_sample_packs *split)
{
    free(split->samples);
    free(split->pack);
    *split = (vkft_sample_packs){0};
}

uint32_t vkft_sample_packs_batch(const vkft_sample_packs *split, const uint32_t *order, uint32_t first, uint32_t packs,
                                 const vkft_sample **samples)
{
    uint32_t count = 0;
    for (uint32_t i = first; i < split->packs && i - first < packs; i++) {
        uint32_t p = order ? order[i] : i;
        for (uint32_t s = split->pack[p]; s < split->pack[p + 1]; s++)
            samples[count++] = split->samples[s];
    }
    return count;
}

static int descending(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? 1 : a > b ? -1 : 0;
}

static uint32_t sum_of_largest(uint32_t *values, uint32_t n, uint32_t count)
{
    uint64_t sum = 0;
    qsort(values, n, sizeof *values, descending);
    for (uint32_t i = 0; i < n && i < count; i++)
        sum += values[i];
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

bool vkft_sample_packs_limits(const vkft_sample_packs *split, uint32_t batch_size, vkft_batch_limits *limits,
                              vkft_err *err)
{
    uint32_t *tokens = calloc(3 * (split->packs + 1ull), sizeof *tokens), *rows = tokens ? tokens + split->packs : NULL;
    uint32_t *sources = tokens ? rows + split->packs : NULL;
    *limits = (vkft_batch_limits){0};
    if (!tokens)
        return vkft_fail_memory(err, "while planning");
    for (uint32_t p = 0; p < split->packs; p++)
        for (uint32_t s = split->pack[p]; s < split->pack[p + 1]; s++) {
            uint32_t source = split->samples[s]->source_length, length = split->samples[s]->length - source;
            tokens[p] += length;
            sources[p] += source;
            rows[p] += split->samples[s]->trained;
            limits->positions = max_u32(limits->positions, max_u32(source, length));
        }
    limits->tokens = sum_of_largest(tokens, split->packs, batch_size);
    limits->source_tokens = sum_of_largest(sources, split->packs, batch_size);
    limits->rows = sum_of_largest(rows, split->packs, batch_size);
    free(tokens);
    return true;
}
