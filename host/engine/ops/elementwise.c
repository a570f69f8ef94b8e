/* Rotary positions, activations, sums and row gathering: ops of one kernel each way. */
#include "host/engine/ops/f16_rows.h"
#include "host/engine/ops/ops.h"

#include "runtime/base/size.h"
#include "shaders/core/args.h"
#include "shaders/attention/args.h"
#include "shaders/elementwise/args.h"
#include "shaders/experts/args.h"

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
    vkft_graph_touch(g, x, args.x, vkft_tensor_row_bytes(x, x->rows));
    vkft_launch_elements(g, VKFT_KERNEL_rope, &args, sizeof args, pairs, 1, 6.0 * (double)pairs);
    vkft_graph_touch_end(g);
}

typedef struct rope_state {
    uint32_t head_dim;
    vkft_rotary rotary;
    uint64_t position;
} rope_state;

static void rope_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const rope_state *state = op->state;
    launch_rope(g, op->out->grad, state->head_dim, state->rotary, state->position, -1.0f);
}

void vkft_op_rope(vkft_graph *g, vkft_tensor *x, uint32_t D, vkft_rotary rotary, const vkft_sequence *sequence)
{
    launch_rope(g, x, D, rotary, sequence->position, 1.0f);
    const rope_state state = {.head_dim = D, .rotary = rotary, .position = sequence->position};
    vkft_tape_push(g, (vkft_tape_entry){.backward = rope_backward, .out = x}, &state, sizeof state);
}

typedef struct activation_state {
    vkft_activation activation;
} activation_state;

static void gated_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const activation_state *state = op->state;
    vkft_tensor *gate = op->in[0], *up = op->in[1], *dh = op->out->grad;
    double flops = 12.0 * dh->rows * dh->cols;
    vkft_f16_rows_new_in(g, gate, dh, 0);
    vkft_f16_rows_new_in(g, up, dh, 1);
    vkft_f16_rows gate_f16 = vkft_f16_rows_output(g, gate), up_f16 = vkft_f16_rows_output(g, up);
    struct gated_backward_args args = {
        .dh = vkft_tensor_address(g, dh),
        .gate = vkft_tensor_address(g, gate),
        .up = vkft_tensor_address(g, up),
        .dgate = vkft_tensor_address(g, gate),
        .dup = vkft_tensor_address(g, up),
        .n = dh->rows * dh->cols,
        .activation = state->activation,
    };
    if (gate_f16.rows || up_f16.rows) {
        struct gated_backward_f16_args f16_args = {.dh = args.dh,
                                                   .gate = args.gate,
                                                   .up = args.up,
                                                   .dgate = args.dgate,
                                                   .dup = args.dup,
                                                   .dgate_rows = gate_f16.rows,
                                                   .dgate_inverse = gate_f16.inverse,
                                                   .dup_rows = up_f16.rows,
                                                   .dup_inverse = up_f16.inverse,
                                                   .T = dh->rows,
                                                   .n = dh->cols,
                                                   .ld = vkft_f16_row_length(dh->cols),
                                                   .stride = max_u32(gate_f16.stride, up_f16.stride),
                                                   .activation = state->activation};
        vkft_launch_rows(g, VKFT_KERNEL_gated_backward_f16, &f16_args, sizeof f16_args, dh->rows, 1, flops);
    } else {
        vkft_launch_elements(g, VKFT_KERNEL_gated_backward, &args, sizeof args, args.n, 1, flops);
    }
    gate->grad = gate; /* a tensor of this op alone: its value is no longer needed */
    up->grad = up;
}

vkft_tensor *vkft_op_gated(vkft_graph *g, vkft_tensor *gate, vkft_tensor *up, vkft_activation f)
{
    vkft_tensor *h = vkft_tensor_new(g, VKFT_F32, gate->rows, gate->cols);
    h->needs_grad = gate->needs_grad || up->needs_grad;
    double flops = 6.0 * gate->rows * gate->cols;
    vkft_f16_rows f16 = {0};
    if (!vkft_f16_rows_new_later(g, h)) {
        vkft_f16_rows_new(g, h);
        f16 = vkft_f16_rows_output(g, h);
    }
    struct gated_args args = {.gate = vkft_tensor_address(g, gate),
                              .up = vkft_tensor_address(g, up),
                              .h = vkft_tensor_address(g, h),
                              .n = gate->rows * gate->cols,
                              .activation = f};
    if (f16.rows) {
        struct gated_f16_args f16_args = {.gate = args.gate,
                                          .up = args.up,
                                          .h = args.h,
                                          .rows = f16.rows,
                                          .inverse = f16.inverse,
                                          .T = h->rows,
                                          .n = h->cols,
                                          .ld = vkft_f16_row_length(h->cols),
                                          .activation = f};
        vkft_launch_rows(g, VKFT_KERNEL_gated_f16, &f16_args, sizeof f16_args, h->rows, 1, flops);
    } else {
        vkft_launch_elements(g, VKFT_KERNEL_gated, &args, sizeof args, args.n, 1, flops);
    }
    const activation_state state = {f};
    vkft_tape_push(g, (vkft_tape_entry){.backward = gated_backward, .in = {gate, up}, .out = h}, &state, sizeof state);
    return h;
}

static void activation_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const activation_state *state = op->state;
    vkft_tensor *x = op->in[0], *dy = op->out->grad;
    struct activation_args args = {.x = vkft_tensor_address(g, x),
                                   .dy = vkft_tensor_address(g, dy),
                                   .y = vkft_tensor_address(g, x),
                                   .n = dy->rows * dy->cols,
                                   .activation = state->activation};
    vkft_launch_elements(g, VKFT_KERNEL_activation_backward, &args, sizeof args, args.n, 1, 12.0 * args.n);
    x->grad = x;
}

vkft_tensor *vkft_op_activation(vkft_graph *g, vkft_tensor *x, vkft_activation f)
{
    vkft_tensor *y = vkft_tensor_new(g, VKFT_F32, x->rows, x->cols);
    y->needs_grad = x->needs_grad;
    struct activation_args args = {
        .x = vkft_tensor_address(g, x), .y = vkft_tensor_address(g, y), .n = x->rows * x->cols, .activation = f};
    vkft_launch_elements(g, VKFT_KERNEL_activation, &args, sizeof args, args.n, 1, 6.0 * args.n);
    const activation_state state = {f};
    vkft_tape_push(g, (vkft_tape_entry){.backward = activation_backward, .in = {x}, .out = y}, &state, sizeof state);
    return y;
}

/* y = a + b; y may be either. */
static void launch_add(vkft_graph *g, const vkft_tensor *a, const vkft_tensor *b, const vkft_tensor *y)
{
    struct add_args args = {.a = vkft_tensor_address(g, a),
                            .b = vkft_tensor_address(g, b),
                            .y = vkft_tensor_address(g, y),
                            .n = y->rows * y->cols};
    vkft_launch_elements(g, VKFT_KERNEL_add, &args, sizeof args, args.n, 1, args.n);
}

void vkft_grad_accumulate(vkft_graph *g, vkft_tensor *x, vkft_tensor *dy)
{
    if (!x->grad) {
        x->grad = dy;
    } else {
        launch_add(g, x->grad, dy, x->grad);
        x->grad->f16 = NULL; /* which are those of another value */
    }
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
    vkft_tensor *y = vkft_tensor_new(g, VKFT_F32, a->rows, a->cols);
    y->needs_grad = a->needs_grad || b->needs_grad;
    launch_add(g, a, b, y);
    vkft_tape_push(g, (vkft_tape_entry){.backward = add_backward, .in = {a, b}, .out = y}, NULL, 0);
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
    vkft_launch_rows(g, kernel, &args, sizeof args, rows, 1, (double)rows * src->cols);
}

void vkft_op_store_rows(vkft_graph *g, const vkft_tensor *x, uint64_t index, uint64_t address)
{
    launch_rows(g, VKFT_KERNEL_scatter_rows, x, index, vkft_tensor_at(g, address, x->dtype, x->rows, x->cols), x->rows);
}

typedef struct gather_state {
    uint64_t index;
} gather_state;

static void gather_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const gather_state *state = op->state;
    vkft_tensor *src = op->in[0];
    bool add;
    vkft_tensor *dsrc = vkft_grad(g, src, &add);
    struct fill_args args = {.y = vkft_tensor_address(g, dsrc), .n = dsrc->rows * dsrc->cols, .value = 0.0f};
    vkft_launch_elements(g, VKFT_KERNEL_fill, &args, sizeof args, args.n, 1, args.n);
    launch_rows(g, VKFT_KERNEL_scatter_rows, op->out->grad, state->index, dsrc, op->out->rows);
}

vkft_tensor *vkft_op_gather(vkft_graph *g, vkft_tensor *src, uint64_t index, uint32_t rows)
{
    vkft_tensor *dst = vkft_tensor_new(g, VKFT_F32, rows, src->cols);
    dst->needs_grad = src->needs_grad;
    launch_rows(g, VKFT_KERNEL_gather_rows, src, index, dst, rows);
    const gather_state state = {index};
    vkft_tape_push(g, (vkft_tape_entry){.backward = gather_backward, .in = {src}, .out = dst}, &state, sizeof state);
    return dst;
}
