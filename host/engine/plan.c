/* Liveness intervals placed greedily by size. Optimal placement is NP-hard; on the graphs here greedy-by-size lies
 * within a few percent of the lower bound (the largest sum of buffers alive at one time), and it is simple and
 * deterministic. */
#include "host/engine/plan.h"

#include <stdlib.h>

#include "runtime/base/size.h"
#include "runtime/memory.h"

typedef struct interval {
    uint64_t size, offset;
    uint64_t first, last; /* clock ticks, inclusive */
    bool written, used;
} interval;

struct vkft_plan {
    interval *buffers;
    uint32_t count, capacity;
    uint64_t clock;
    uint64_t total;
    uint64_t part_bytes;
};

vkft_plan *vkft_plan_new(void)
{
    return calloc(1, sizeof(vkft_plan));
}

void vkft_plan_free(vkft_plan *plan)
{
    if (plan)
        free(plan->buffers);
    free(plan);
}

void vkft_plan_reset(vkft_plan *plan)
{
    plan->count = 0;
    plan->clock = plan->total = 0;
}

uint32_t vkft_plan_alloc(vkft_plan *plan, uint64_t size_bytes)
{
    if (plan->count == plan->capacity) {
        uint32_t capacity = plan->capacity ? 2 * plan->capacity : 256;
        interval *buffers = realloc(plan->buffers, capacity * sizeof *buffers);
        if (!buffers)
            return UINT32_MAX;
        plan->buffers = buffers;
        plan->capacity = capacity;
    }
    uint64_t size = round_up(size_bytes, VKFT_BUFFER_ALIGNMENT);
    plan->clock++;
    plan->buffers[plan->count] = (interval){.size = size, .first = plan->clock, .last = plan->clock};
    return plan->count++;
}

void vkft_plan_use(vkft_plan *plan, uint32_t buffer)
{
    plan->buffers[buffer].last = ++plan->clock;
    plan->buffers[buffer].used = true;
}

void vkft_plan_write(vkft_plan *plan, uint32_t buffer)
{
    plan->buffers[buffer].last = ++plan->clock;
    plan->buffers[buffer].written = true;
}

bool vkft_plan_is_unread(const vkft_plan *plan, uint32_t buffer)
{
    return plan->buffers[buffer].written && !plan->buffers[buffer].used;
}

static bool alive_together(const interval *a, const interval *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static int larger_first(const void *pa, const void *pb)
{
    const interval *a = *(const interval *const *)pa, *b = *(const interval *const *)pb;
    if (a->size != b->size)
        return a->size < b->size ? 1 : -1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static int lower_first(const void *pa, const void *pb)
{
    const interval *a = *(const interval *const *)pa, *b = *(const interval *const *)pb;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

/* The lowest offset, not below `from`, from which the bytes lie in one part. */
static uint64_t in_one_part(uint64_t from, uint64_t size, uint64_t part_bytes)
{
    return from % part_bytes + size > part_bytes ? round_up(from, part_bytes) : from;
}

/* The lowest gap that fits between the neighbours, which are sorted by offset and may overlap each other. */
static uint64_t lowest_gap(interval **neighbours, uint32_t count, uint64_t size, uint64_t part_bytes)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (neighbours[i]->offset >= end + size)
            break;
        uint64_t neighbour_end = neighbours[i]->offset + neighbours[i]->size;
        if (neighbour_end > end)
            end = in_one_part(neighbour_end, size, part_bytes);
    }
    return end;
}

static bool solve(vkft_plan *plan, uint64_t part_bytes)
{
    plan->total = 0;
    plan->part_bytes = part_bytes;
    if (plan->count == 0)
        return true;
    interval **order = malloc(2 * plan->count * sizeof *order);
    if (!order)
        return false;
    interval **neighbours = order + plan->count;
    for (uint32_t i = 0; i < plan->count; i++) {
        if (vkft_plan_is_unread(plan, i))
            plan->buffers[i].size = 0;
        order[i] = &plan->buffers[i];
    }
    qsort(order, plan->count, sizeof *order, larger_first);
    for (uint32_t i = 0; i < plan->count; i++) {
        uint32_t n = 0;
        for (uint32_t j = 0; j < i; j++)
            if (alive_together(order[i], order[j]))
                neighbours[n++] = order[j];
        qsort(neighbours, n, sizeof *neighbours, lower_first);
        order[i]->offset = lowest_gap(neighbours, n, order[i]->size, part_bytes);
        if (order[i]->offset + order[i]->size > plan->total)
            plan->total = order[i]->offset + order[i]->size;
    }
    free(order);
    return true;
}

#define ONE_PART (UINT64_MAX / 2)

bool vkft_plan_solve(vkft_plan *plan)
{
    return solve(plan, ONE_PART);
}

bool vkft_plan_solve_in_parts(vkft_plan *plan, uint64_t part_bytes)
{
    bool divided = part_bytes >= VKFT_BUFFER_ALIGNMENT;
    part_bytes -= part_bytes % VKFT_BUFFER_ALIGNMENT;
    for (uint32_t i = 0; divided && i < plan->count; i++)
        divided = plan->buffers[i].size <= part_bytes;
    if (divided && !solve(plan, part_bytes))
        return false;
    return (divided && plan->total / part_bytes < VKFT_PLAN_PARTS) || vkft_plan_solve(plan);
}

void vkft_plan_parts(const vkft_plan *plan, uint64_t bytes[VKFT_PLAN_PARTS])
{
    for (uint32_t p = 0; p < VKFT_PLAN_PARTS; p++)
        bytes[p] = 0;
    for (uint32_t i = 0; i < plan->count; i++)
        bytes[vkft_plan_part(plan, i)] =
            max_u64(bytes[vkft_plan_part(plan, i)], vkft_plan_offset(plan, i) + plan->buffers[i].size);
}

uint32_t vkft_plan_part(const vkft_plan *plan, uint32_t buffer)
{
    return (uint32_t)(plan->buffers[buffer].offset / plan->part_bytes);
}

uint64_t vkft_plan_total(const vkft_plan *plan)
{
    return plan->total;
}

uint32_t vkft_plan_count(const vkft_plan *plan)
{
    return plan->count;
}

uint64_t vkft_plan_offset(const vkft_plan *plan, uint32_t buffer)
{
    return plan->buffers[buffer].offset % plan->part_bytes;
}

uint64_t vkft_plan_size(const vkft_plan *plan, uint32_t buffer)
{
    return plan->buffers[buffer].size;
}

bool vkft_plan_check(const vkft_plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const interval *a = &plan->buffers[i];
        for (uint32_t j = 0; j < i; j++) {
            const interval *b = &plan->buffers[j];
            if (alive_together(a, b) && a->offset < b->offset + b->size && b->offset < a->offset + a->size)
                return false;
        }
    }
    return true;
}
