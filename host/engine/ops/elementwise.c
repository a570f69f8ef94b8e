/* Embedding, rotary positions, activations, sums and row gathering: ops of one kernel each way. */
#include "host/engine/ops/ops.h"

#include "shaders/core/args.h"
#include "shaders/attention/args.h"
#include "shaders/elementwise/args.h"
#include "shaders/embedding/args.h"
#include "shaders/experts/args.h"

static void launch_embedding(vkft_graph *g, const vkft_weight *table, struct embedding_args args)
{
    vkft_kernel kernel = table->dtype == VKFT_F16    ? VKFT_KERNEL_embedding_f16
                         : table->dtype == VKFT_BF16 ? VKFT_KERNEL_embedding_bf16
                                                     : VKFT_KERNEL_embedding_f32;
    args.table = table->data;
    args.C = table->cols;
    vkft_launch(g->mm.cmds, kernel, &args, sizeof args, vkft_row_threads(g, kernel, args.T), 1,
                (double)args.T * args.C);
}

/* What the backward needs travels in the op: ids, gradient of the table, offset and scale. */
static void embedding_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    vkft_tensor *dy = op->out->grad;
    struct embedding_backward_args args = {.ids = op->address[0],
                                           .dy = vkft_tensor_address(g, dy),
                                           .dtable = op->address[1],
                                           .T = dy->rows,
                                           .C = dy->cols,
                                           .offset = op->size[0],
                                           .scale = op->value};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_embedding_backward, &args, sizeof args, args.C, 1, 2.0 * args.T * args.C);
}

vkft_tensor *vkft_op_embedding(vkft_graph *g, const vkft_weight *table, uint64_t ids, uint32_t T, float scale)
{
    vkft_tensor *y = vkft_tensor_new(g, T, table->cols);
    launch_embedding(g, table,
                     (struct embedding_args){.ids = ids, .y = vkft_tensor_address(g, y), .T = T, .scale = scale});
    y->needs_grad = table->grad != 0;
    if (table->grad)
        vkft_tape_push(g, (vkft_tape_entry){
                              .backward = embedding_backward, .out = y, .address = {ids, table->grad}, .value = scale});
    return y;
}

void vkft_op_embedding_add(vkft_graph *g, vkft_tensor *x, const vkft_weight *table, uint64_t ids, uint32_t offset)
{
    launch_embedding(
        g, table,
        (struct embedding_args){
            .ids = ids, .y = vkft_tensor_address(g, x), .T = x->rows, .offset = offset, .add = 1, .scale = 1.0f});
    if (!table->grad)
        return;
    x->needs_grad = true;
    vkft_tape_push(
        g,
        (vkft_tape_entry){
            .backward = embedding_backward, .out = x, .address = {ids, table->grad}, .size = {offset}, .value = 1.0f});
}

/* direction 1 rotates forward, -1 back. */
static void launch_rope(vkft_graph *g, const vkft_tensor *x, uint32_t D, vkft_rotary rotary, uint64_t position,
                        float direction)
{
    struct rope_args args = {.x = vkft_tensor_address(g, x),
                             .table = rotary.table,
                             .position = position,
                             .T = x->rows,
                             .H = x->cols / D,
                             .D = D,
                             .R = rotary.dim,
                             .direction = direction};
    uint64_t pairs = (uint64_t)args.T * args.H * (args.R / 2);
    vkft_launch(g->mm.cmds, VKFT_KERNEL_rope, &args, sizeof args, pairs, 1, 6.0 * (double)pairs);
}

static void rope_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    launch_rope(g, op->out->grad, op->size[0], (vkft_rotary){op->address[0], op->size[1]}, op->address[1], -1.0f);
}

void vkft_op_rope(vkft_graph *g, vkft_tensor *x, uint32_t D, vkft_rotary rotary, const vkft_sequence *sequence)
{
    launch_rope(g, x, D, rotary, sequence->position, 1.0f);
    vkft_tape_push(g, (vkft_tape_entry){.backward = rope_backward,
                                        .out = x,
                                        .address = {rotary.table, sequence->position},
                                        .size = {D, rotary.dim}});
}

static void gated_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    vkft_tensor *gate = op->in[0], *up = op->in[1], *dh = op->out->grad;
    struct gated_backward_args args = {
        .dh = vkft_tensor_address(g, dh),
        .gate = vkft_tensor_address(g, gate),
        .up = vkft_tensor_address(g, up),
        .dgate = vkft_tensor_address(g, gate),
        .dup = vkft_tensor_address(g, up),
        .n = dh->rows * dh->cols,
        .activation = op->size[0],
    };
    vkft_launch(g->mm.cmds, VKFT_KERNEL_gated_backward, &args, sizeof args, args.n, 1, 12.0 * args.n);
    gate->grad = gate; /* a tensor of this op alone: its value is no longer needed */
    up->grad = up;
}

vkft_tensor *vkft_op_gated(vkft_graph *g, vkft_tensor *gate, vkft_tensor *up, vkft_activation f)
{
    vkft_tensor *h = vkft_tensor_new(g, gate->rows, gate->cols);
    h->needs_grad = gate->needs_grad || up->needs_grad;
    struct gated_args args = {.gate = vkft_tensor_address(g, gate),
                              .up = vkft_tensor_address(g, up),
                              .h = vkft_tensor_address(g, h),
                              .n = gate->rows * gate->cols,
                              .activation = f};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_gated, &args, sizeof args, args.n, 1, 6.0 * args.n);
    vkft_tape_push(g, (vkft_tape_entry){.backward = gated_backward, .in = {gate, up}, .out = h, .size = {f}});
    return h;
}

static void activation_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    vkft_tensor *x = op->in[0], *dy = op->out->grad;
    struct activation_args args = {.x = vkft_tensor_address(g, x),
                                   .dy = vkft_tensor_address(g, dy),
                                   .y = vkft_tensor_address(g, x),
                                   .n = dy->rows * dy->cols,
                                   .activation = op->size[0]};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_activation_backward, &args, sizeof args, args.n, 1, 12.0 * args.n);
    x->grad = x;
}

vkft_tensor *vkft_op_activation(vkft_graph *g, vkft_tensor *x, vkft_activation f)
{
    vkft_tensor *y = vkft_tensor_new(g, x->rows, x->cols);
    y->needs_grad = x->needs_grad;
    struct activation_args args = {
        .x = vkft_tensor_address(g, x), .y = vkft_tensor_address(g, y), .n = x->rows * x->cols, .activation = f};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_activation, &args, sizeof args, args.n, 1, 6.0 * args.n);
    vkft_tape_push(g, (vkft_tape_entry){.backward = activation_backward, .in = {x}, .out = y, .size = {f}});
    return y;
}

/* y = a + b; y may be either. */
static void launch_add(vkft_graph *g, const vkft_tensor *a, const vkft_tensor *b, const vkft_tensor *y)
{
    struct add_args args = {.a = vkft_tensor_address(g, a),
                            .b = vkft_tensor_address(g, b),
                            .y = vkft_tensor_address(g, y),
                            .n = y->rows * y->cols};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_add, &args, sizeof args, args.n, 1, args.n);
}

void vkft_grad_accumulate(vkft_graph *g, vkft_tensor *x, vkft_tensor *dy)
{
    if (!x->grad)
        x->grad = dy;
    else
        launch_add(g, x->grad, dy, x->grad);
}

static void add_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    vkft_tensor *a = op->in[0], *b = op->in[1], *dy = op->out->grad;
    /* One of the two may take dy over; the other, whose gradient may be added to later, gets a copy. */
    if (b->needs_grad) {
        bool add;
        vkft_tensor *db = vkft_grad(g, b, &add);
        if (add)
            launch_add(g, db, dy, db);
        else
            vkft_op_store(g, dy, vkft_tensor_address(g, db));
    }
    if (a->needs_grad)
        vkft_grad_accumulate(g, a, dy);
}

vkft_tensor *vkft_op_add(vkft_graph *g, vkft_tensor *a, vkft_tensor *b)
{
    vkft_tensor *y = vkft_tensor_new(g, a->rows, a->cols);
    y->needs_grad = a->needs_grad || b->needs_grad;
    launch_add(g, a, b, y);
    vkft_tape_push(g, (vkft_tape_entry){.backward = add_backward, .in = {a, b}, .out = y});
    return y;
}

static void launch_rows(vkft_graph *g, vkft_kernel kernel, const vkft_tensor *src, uint64_t index,
                        const vkft_tensor *dst, uint32_t rows)
{
    struct rows_args args = {.src = vkft_tensor_address(g, src),
                             .index = index,
                             .dst = vkft_tensor_address(g, dst),
                             .rows = rows,
                             .C = src->cols};
    vkft_launch(g->mm.cmds, kernel, &args, sizeof args, vkft_row_threads(g, kernel, rows), 1, (double)rows * src->cols);
}

static void gather_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    vkft_tensor *src = op->in[0];
    bool add;
    vkft_tensor *dsrc = vkft_grad(g, src, &add);
    struct fill_args args = {.y = vkft_tensor_address(g, dsrc), .n = dsrc->rows * dsrc->cols, .value = 0.0f};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_fill, &args, sizeof args, args.n, 1, args.n);
    launch_rows(g, VKFT_KERNEL_scatter_rows, op->out->grad, op->address[0], dsrc, op->out->rows);
}

vkft_tensor *vkft_op_gather(vkft_graph *g, vkft_tensor *src, uint64_t index, uint32_t rows)
{
    vkft_tensor *dst = vkft_tensor_new(g, rows, src->cols);
    dst->needs_grad = src->needs_grad;
    launch_rows(g, VKFT_KERNEL_gather_rows, src, index, dst, rows);
    vkft_tape_push(g, (vkft_tape_entry){.backward = gather_backward, .in = {src}, .out = dst, .address = {index}});
    return dst;
}
