/* Embedding, RMSNorm, rotary positions, the gated activation and row gathering: ops of one kernel each way. */
#include "ops.h"

#include "args.h"

/* Threads of a kernel that gives each row one workgroup. */
static uint64_t row_threads(const vkft_graph *g, vkft_kernel kernel, uint32_t rows)
{
    return g->mm.cmds ? (uint64_t)rows * vkft_kernel_width(g->mm.dev, kernel) : 0;
}

vkft_tensor *vkft_op_embedding(vkft_graph *g, const vkft_weight *table, uint64_t ids, uint32_t T)
{
    vkft_tensor *y = vkft_tensor_new(g, T, table->cols);
    struct embedding_args args = {.table = table->data, .ids = ids, .y = vkft_use(g, y), .T = T, .C = table->cols};
    vkft_kernel kernel = table->dtype == VKFT_F16    ? VKFT_KERNEL_embedding_f16
                         : table->dtype == VKFT_BF16 ? VKFT_KERNEL_embedding_bf16
                                                     : VKFT_KERNEL_embedding_f32;
    vkft_launch(g->mm.cmds, kernel, &args, sizeof args, row_threads(g, kernel, T), 1, 1, (double)T * table->cols);
    return y;
}

static void rmsnorm_backward(vkft_graph *g, const vkft_op *op)
{
    vkft_tensor *x = op->in[0], *dy = op->out->grad;
    bool add;
    vkft_tensor *dx = vkft_grad(g, x, &add);
    struct rmsnorm_backward_args args = {
        .dy = vkft_use(g, dy), .x = vkft_use(g, x), .g = op->address[0], .dx = vkft_use(g, dx),
        .T = x->rows, .C = x->cols, .eps = op->value, .add = add,
    };
    vkft_launch(g->mm.cmds, VKFT_KERNEL_rmsnorm_backward, &args, sizeof args,
                row_threads(g, VKFT_KERNEL_rmsnorm_backward, x->rows), 1, 1, 10.0 * x->rows * x->cols);
}

vkft_tensor *vkft_op_rmsnorm(vkft_graph *g, vkft_tensor *x, uint64_t gain, float eps)
{
    vkft_tensor *y = vkft_tensor_new(g, x->rows, x->cols);
    y->needs_grad = x->needs_grad;
    struct rmsnorm_args args = {
        .x = vkft_use(g, x), .g = gain, .y = vkft_use(g, y), .T = x->rows, .C = x->cols, .eps = eps};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_rmsnorm, &args, sizeof args, row_threads(g, VKFT_KERNEL_rmsnorm, x->rows), 1, 1,
                4.0 * x->rows * x->cols);
    vkft_tape_push(g, (vkft_op){.backward = rmsnorm_backward, .in = {x}, .out = y, .address = {gain}, .value = eps});
    return y;
}

/* direction 1 rotates forward, -1 back. */
static void launch_rope(vkft_graph *g, const vkft_tensor *x, uint32_t D, uint64_t table, uint64_t position,
                        float direction)
{
    struct rope_args args = {.x = vkft_use(g, x), .table = table, .position = position,
                             .T = x->rows, .H = x->cols / D, .D = D, .direction = direction};
    uint64_t pairs = (uint64_t)x->rows * x->cols / 2;
    vkft_launch(g->mm.cmds, VKFT_KERNEL_rope, &args, sizeof args, pairs, 1, 1, 6.0 * (double)pairs);
}

static void rope_backward(vkft_graph *g, const vkft_op *op)
{
    launch_rope(g, op->out->grad, op->size[0], op->address[0], op->address[1], -1.0f);
}

void vkft_op_rope(vkft_graph *g, vkft_tensor *x, uint32_t D, uint64_t table, const vkft_sequence *sequence)
{
    launch_rope(g, x, D, table, sequence->position, 1.0f);
    vkft_tape_push(
        g, (vkft_op){.backward = rope_backward, .out = x, .address = {table, sequence->position}, .size = {D}});
}

static void swiglu_backward(vkft_graph *g, const vkft_op *op)
{
    vkft_tensor *gate = op->in[0], *up = op->in[1], *dh = op->out->grad;
    struct swiglu_backward_args args = {
        .dh = vkft_use(g, dh), .gate = vkft_use(g, gate), .up = vkft_use(g, up),
        .dgate = vkft_use(g, gate), .dup = vkft_use(g, up), .n = dh->rows * dh->cols,
    };
    vkft_launch(g->mm.cmds, VKFT_KERNEL_swiglu_backward, &args, sizeof args, args.n, 1, 1, 12.0 * args.n);
    gate->grad = gate; /* a tensor of this op alone: its value is no longer needed */
    up->grad = up;
}

vkft_tensor *vkft_op_swiglu(vkft_graph *g, vkft_tensor *gate, vkft_tensor *up)
{
    vkft_tensor *h = vkft_tensor_new(g, gate->rows, gate->cols);
    h->needs_grad = gate->needs_grad || up->needs_grad;
    struct swiglu_args args = {
        .gate = vkft_use(g, gate), .up = vkft_use(g, up), .h = vkft_use(g, h), .n = gate->rows * gate->cols};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_swiglu, &args, sizeof args, args.n, 1, 1, 6.0 * args.n);
    vkft_tape_push(g, (vkft_op){.backward = swiglu_backward, .in = {gate, up}, .out = h});
    return h;
}

static void launch_rows(vkft_graph *g, vkft_kernel kernel, const vkft_tensor *src, uint64_t index,
                        const vkft_tensor *dst, uint32_t rows)
{
    struct rows_args args = {
        .src = vkft_use(g, src), .index = index, .dst = vkft_use(g, dst), .rows = rows, .C = src->cols};
    vkft_launch(g->mm.cmds, kernel, &args, sizeof args, row_threads(g, kernel, rows), 1, 1, (double)rows * src->cols);
}

static void gather_backward(vkft_graph *g, const vkft_op *op)
{
    vkft_tensor *src = op->in[0];
    bool add;
    vkft_tensor *dsrc = vkft_grad(g, src, &add);
    struct fill_args args = {.y = vkft_use(g, dsrc), .n = dsrc->rows * dsrc->cols, .value = 0.0f};
    vkft_launch(g->mm.cmds, VKFT_KERNEL_fill, &args, sizeof args, args.n, 1, 1, args.n);
    launch_rows(g, VKFT_KERNEL_scatter_rows, op->out->grad, op->address[0], dsrc, op->out->rows);
}

vkft_tensor *vkft_op_gather(vkft_graph *g, vkft_tensor *src, uint64_t index, uint32_t rows)
{
    vkft_tensor *dst = vkft_tensor_new(g, rows, src->cols);
    dst->needs_grad = src->needs_grad;
    launch_rows(g, VKFT_KERNEL_gather_rows, src, index, dst, rows);
    vkft_tape_push(g, (vkft_op){.backward = gather_backward, .in = {src}, .out = dst, .address = {index}});
    return dst;
}
