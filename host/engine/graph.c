/* Tensor pool, gradient bookkeeping and the tape. */
#include "host/engine/graph.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 256

/* Tensors are handed out by pointer, so the pool grows by chunks that never move. */
struct tensor_chunk {
    struct tensor_chunk *next;
    uint32_t used;
    vkft_tensor tensors[CHUNK];
};

bool vkft_graph_init(vkft_graph *graph)
{
    memset(graph, 0, sizeof *graph);
    graph->plan = vkft_plan_new();
    return graph->plan != NULL;
}

void vkft_graph_free(vkft_graph *graph)
{
    vkft_plan_free(graph->plan);
    free(graph->tape);
    while (graph->chunks) {
        struct tensor_chunk *next = graph->chunks->next;
        free(graph->chunks);
        graph->chunks = next;
    }
    memset(graph, 0, sizeof *graph);
}

void vkft_graph_begin(vkft_graph *graph, vkft_commands *cmds, uint64_t arena)
{
    graph->mm.cmds = cmds;
    graph->arena = arena;
    graph->planning = cmds == NULL;
    graph->taping = false;
    graph->next = 0;
    graph->tape_count = 0;
    for (struct tensor_chunk *chunk = graph->chunks; chunk; chunk = chunk->next)
        chunk->used = 0;
}

static vkft_tensor *fail(vkft_graph *graph)
{
    graph->failed = true;
    graph->nothing = (vkft_tensor){.buffer = UINT32_MAX};
    return &graph->nothing;
}

static vkft_tensor *pool_take(vkft_graph *graph)
{
    struct tensor_chunk **at = &graph->chunks;
    while (*at && (*at)->used == CHUNK)
        at = &(*at)->next;
    if (!*at)
        *at = calloc(1, sizeof **at);
    return *at ? &(*at)->tensors[(*at)->used++] : NULL;
}

vkft_tensor *vkft_tensor_at(vkft_graph *graph, uint64_t address, uint32_t rows, uint32_t cols)
{
    vkft_tensor *t = pool_take(graph);
    if (!t)
        return fail(graph);
    *t = (vkft_tensor){.rows = rows, .cols = cols, .buffer = UINT32_MAX, .address = address};
    return t;
}

vkft_tensor *vkft_tensor_new(vkft_graph *graph, uint32_t rows, uint32_t cols)
{
    uint64_t size = (uint64_t)rows * cols * sizeof(float);
    uint32_t buffer = graph->next++;
    uint64_t address = 0;
    if (graph->planning) {
        if (vkft_plan_alloc(graph->plan, size) == UINT32_MAX)
            return fail(graph);
    } else {
        if (buffer >= vkft_plan_count(graph->plan) || size > vkft_plan_size(graph->plan, buffer))
            return fail(graph);
        address = graph->arena + vkft_plan_offset(graph->plan, buffer);
    }
    vkft_tensor *t = vkft_tensor_at(graph, address, rows, cols);
    t->buffer = buffer;
    return t;
}

uint64_t vkft_tensor_address(vkft_graph *graph, const vkft_tensor *tensor)
{
    if (graph->planning && tensor->buffer != UINT32_MAX && !graph->failed)
        vkft_plan_use(graph->plan, tensor->buffer);
    return tensor->address;
}

vkft_tensor *vkft_grad(vkft_graph *graph, vkft_tensor *t, bool *add)
{
    assert(t->needs_grad);
    *add = t->grad != NULL;
    if (!t->grad)
        t->grad = vkft_tensor_new(graph, t->rows, t->cols);
    return t->grad;
}

uint64_t vkft_row_threads(const vkft_graph *graph, vkft_kernel kernel, uint32_t rows)
{
    return graph->mm.cmds ? (uint64_t)rows * vkft_kernel_width(graph->mm.dev, kernel) : 0;
}

void vkft_tape_push(vkft_graph *graph, vkft_tape_entry op)
{
    if (!graph->taping || !op.out->needs_grad)
        return;
    if (graph->tape_count == graph->tape_capacity) {
        uint32_t capacity = graph->tape_capacity ? 2 * graph->tape_capacity : 64;
        vkft_tape_entry *tape = realloc(graph->tape, capacity * sizeof *tape);
        if (!tape) {
            graph->failed = true;
            return;
        }
        graph->tape = tape;
        graph->tape_capacity = capacity;
    }
    graph->tape[graph->tape_count++] = op;
}

void vkft_tape_backward(vkft_graph *graph, uint32_t from)
{
    while (graph->tape_count > from && !graph->failed) {
        vkft_tape_entry op = graph->tape[--graph->tape_count];
        if (op.out->grad)
            op.backward(graph, &op);
    }
}
