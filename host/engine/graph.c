/* Pool of tensors and states, gradient bookkeeping and the tape. */
#include "host/engine/graph.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

#define CHUNK_BYTES 16384u
#define ALIGNMENT (uint32_t)alignof(max_align_t)

/* Tensors are handed out by pointer, so the pool grows by chunks that never move. */
struct pool_chunk {
    struct pool_chunk *next;
    uint32_t used;
    alignas(max_align_t) unsigned char bytes[CHUNK_BYTES];
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
        struct pool_chunk *next = graph->chunks->next;
        free(graph->chunks);
        graph->chunks = next;
    }
    memset(graph, 0, sizeof *graph);
}

void vkft_graph_set_device(vkft_graph *graph, const vkft_device *dev, uint64_t scratch, uint64_t scratch_bytes)
{
    graph->dev = dev;
    graph->product = (vkft_matmul_ctx){.dev = dev, .scratch = scratch, .scratch_bytes = scratch_bytes};
}

static void begin(vkft_graph *graph, vkft_graph_mode mode, vkft_commands *cmds)
{
    graph->mode = mode;
    graph->cmds = graph->product.cmds = cmds;
    graph->pass.taping = false;
    graph->next = 0;
    graph->kept_bytes = 0;
    graph->tape_count = 0;
    graph->chunk = graph->chunks;
    for (struct pool_chunk *chunk = graph->chunks; chunk; chunk = chunk->next)
        chunk->used = 0;
}

void vkft_graph_begin_plan(vkft_graph *graph)
{
    begin(graph, VKFT_GRAPH_PLAN, NULL);
    vkft_plan_reset(graph->plan);
    graph->failed = false;
}

void vkft_graph_begin_record(vkft_graph *graph, vkft_commands *cmds, uint64_t arena)
{
    begin(graph, VKFT_GRAPH_RECORD, cmds);
    graph->arena[0] = arena;
}

static vkft_tensor *fail(vkft_graph *graph)
{
    graph->failed = true;
    graph->nothing = (vkft_tensor){.buffer = UINT32_MAX};
    return &graph->nothing;
}

static void *pool_take(vkft_graph *graph, size_t bytes)
{
    uint32_t size = ((uint32_t)bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    assert(size <= CHUNK_BYTES);
    if (!graph->chunk || graph->chunk->used + size > CHUNK_BYTES) {
        struct pool_chunk **next = graph->chunk ? &graph->chunk->next : &graph->chunks;
        if (!*next)
            *next = calloc(1, sizeof **next);
        if (!*next)
            return NULL;
        graph->chunk = *next;
    }
    void *memory = graph->chunk->bytes + graph->chunk->used;
    graph->chunk->used += size;
    return memory;
}

vkft_tensor *vkft_tensor_at(vkft_graph *graph, uint64_t address, vkft_dtype dtype, uint32_t rows, uint32_t cols)
{
    vkft_tensor *t = pool_take(graph, sizeof *t);
    if (!t)
        return fail(graph);
    *t = (vkft_tensor){.dtype = dtype, .rows = rows, .cols = cols, .buffer = UINT32_MAX, .address = address};
    return t;
}

uint64_t vkft_tensor_row_bytes(const vkft_tensor *tensor, uint64_t rows)
{
    return rows * tensor->cols * (vkft_dtype_bits(tensor->dtype) / 8);
}

vkft_tensor *vkft_tensor_new(vkft_graph *graph, vkft_dtype dtype, uint32_t rows, uint32_t cols)
{
    vkft_tensor *t = vkft_tensor_at(graph, 0, dtype, rows, cols);
    uint64_t size = vkft_tensor_row_bytes(t, rows);
    uint32_t buffer = graph->next++;
    if (graph->mode == VKFT_GRAPH_PLAN) {
        if (vkft_plan_alloc(graph->plan, size) == UINT32_MAX)
            return fail(graph);
    } else {
        bool unread = buffer < vkft_plan_count(graph->plan) && vkft_plan_is_unread(graph->plan, buffer);
        if (buffer >= vkft_plan_count(graph->plan) || (!unread && size > vkft_plan_size(graph->plan, buffer)))
            return fail(graph);
        t->address =
            unread ? 0 : graph->arena[vkft_plan_part(graph->plan, buffer)] + vkft_plan_offset(graph->plan, buffer);
    }
    t->buffer = buffer;
    return t;
}

vkft_tensor *vkft_tensor_keep(vkft_graph *graph, vkft_dtype dtype, uint32_t rows, uint32_t cols)
{
    vkft_tensor *t = vkft_tensor_at(graph, VKFT_PLACEHOLDER_ADDRESS, dtype, rows, cols);
    uint64_t size = round_up(vkft_tensor_row_bytes(t, rows), VKFT_BUFFER_ALIGNMENT), at = graph->kept_bytes;
    if (at % VKFT_KEPT_CHUNK + size > VKFT_KEPT_CHUNK)
        at = round_up(at, VKFT_KEPT_CHUNK);
    if (size > VKFT_KEPT_CHUNK || at / VKFT_KEPT_CHUNK >= VKFT_KEPT_CHUNKS)
        return fail(graph);
    if (graph->mode == VKFT_GRAPH_RECORD)
        t->address = graph->kept[at / VKFT_KEPT_CHUNK] + at % VKFT_KEPT_CHUNK;
    graph->kept_bytes = at + size;
    return t;
}

uint64_t vkft_tensor_address(vkft_graph *graph, const vkft_tensor *tensor)
{
    if (graph->mode == VKFT_GRAPH_PLAN && tensor->buffer != UINT32_MAX && !graph->failed)
        vkft_plan_use(graph->plan, tensor->buffer);
    return tensor->address;
}

uint64_t vkft_tensor_output(vkft_graph *graph, const vkft_tensor *tensor)
{
    if (graph->mode == VKFT_GRAPH_PLAN && tensor->buffer != UINT32_MAX && !graph->failed)
        vkft_plan_write(graph->plan, tensor->buffer);
    return tensor->address;
}

vkft_tensor *vkft_grad(vkft_graph *graph, vkft_tensor *t, bool *add)
{
    assert(t->needs_grad);
    *add = t->grad != NULL;
    if (*add)
        t->grad->f16 = NULL; /* which are those of another value */
    if (!t->grad)
        t->grad = vkft_tensor_new(graph, t->dtype, t->rows, t->cols);
    return t->grad;
}

void vkft_graph_touch(vkft_graph *graph, const vkft_tensor *read, uint64_t written, uint64_t written_bytes)
{
    const vkft_touch touch = {.reads = {{vkft_tensor_address(graph, read), vkft_tensor_row_bytes(read, read->rows)}},
                              .writes = {{written, written_bytes}}};
    vkft_commands_touch(graph->cmds, &touch);
}

void vkft_graph_touch_end(vkft_graph *graph)
{
    vkft_commands_touch(graph->cmds, NULL);
}

void vkft_launch_elements(vkft_graph *graph, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t x,
                          uint32_t y, double flops)
{
    if (graph->mode == VKFT_GRAPH_RECORD)
        vkft_launch(graph->cmds, kernel, args, args_bytes, x, y, flops);
}

void vkft_launch_rows(vkft_graph *graph, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t rows,
                      uint32_t y, double flops)
{
    if (graph->mode == VKFT_GRAPH_RECORD)
        vkft_launch_workgroups(graph->cmds, kernel, args, args_bytes, rows, y, flops);
}

static bool reserve_entry(vkft_graph *graph)
{
    if (graph->tape_count < graph->tape_capacity)
        return true;
    uint32_t capacity = graph->tape_capacity ? 2 * graph->tape_capacity : 64;
    vkft_tape_entry *tape = realloc(graph->tape, capacity * sizeof *tape);
    if (!tape)
        return false;
    graph->tape = tape;
    graph->tape_capacity = capacity;
    return true;
}

void vkft_tape_push(vkft_graph *graph, vkft_tape_entry op, const void *state, size_t state_bytes)
{
    if (!graph->pass.taping || !op.out->needs_grad)
        return;
    void *copy = state_bytes ? pool_take(graph, state_bytes) : NULL;
    if ((state_bytes && !copy) || !reserve_entry(graph)) {
        graph->failed = true;
        return;
    }
    if (copy)
        memcpy(copy, state, state_bytes);
    op.state = copy;
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
