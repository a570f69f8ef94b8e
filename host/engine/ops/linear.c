/* Linear layer with its LoRA branch.
 *
 *   y  = residual + c (x W^T + b + s z B^T),   z = xd A^T,  xd = dropout(x)
 *   dz = c s dy B;  dB += c s dy^T z;  dA += dz^T xd;  dx += c dy W + mask/(1-p) * (dz A)
 *
 * and, where they are trained, dW += c dy^T x;  db += c sum_t dy.
 *
 * z [T,r] is kept for the backward; xd is drawn again from the counter-based generator. The residual's gradient is dy
 * itself: it takes over dy's memory, since nothing reads dy after this op's backward.
 *
 * Source: Hu et al. 2021 (LoRA), Dettmers et al. 2023 (QLoRA). Test: test_ops_linear, test_ops_gradients
 */
#include "host/engine/ops/ops.h"

#include "runtime/base/size.h"
#include "shaders/elementwise/args.h"

static vkft_weight lora_a(const vkft_linear *l)
{
    return (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = l->lora.r, .cols = l->w.cols, .part = {l->lora.A}};
}

static vkft_weight lora_b(const vkft_linear *l)
{
    return (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = l->w.rows, .cols = l->lora.r, .part = {l->lora.B}};
}

void vkft_lora_dropout(vkft_graph *g, const vkft_lora *lora, vkft_tensor *x, vkft_tensor *y, bool add)
{
    uint32_t n = x->rows * x->cols;
    struct dropout_args args = {
        .x = vkft_tensor_address(g, x),
        .y = vkft_tensor_address(g, y),
        .step = g->step,
        .n = n,
        .p = lora->dropout,
        .seed_low = (uint32_t)g->seed,
        .seed_high = (uint32_t)(g->seed >> 32),
        .layer = lora->layer,
        .add = add,
    };
    vkft_launch_elements(g, VKFT_KERNEL_dropout, &args, sizeof args, ceil_div(n, 4), 1, 12.0 * n);
}

bool vkft_lora_drops(const vkft_graph *g, const vkft_lora *lora)
{
    return g->pass.dropout && lora->dropout > 0;
}

/* x itself, or a dropped copy. */
static vkft_tensor *dropped(vkft_graph *g, const vkft_linear *l, vkft_tensor *x)
{
    if (!vkft_lora_drops(g, &l->lora))
        return x;
    vkft_tensor *xd = vkft_tensor_new(g, VKFT_F32, x->rows, x->cols);
    vkft_lora_dropout(g, &l->lora, x, xd, false);
    return xd;
}

typedef struct linear_state {
    const vkft_linear *linear;
    float scale;
} linear_state;

static void backward_lora(vkft_graph *g, const vkft_tape_entry *op)
{
    const linear_state *state = op->state;
    const vkft_linear *l = state->linear;
    vkft_tensor *x = op->in[0], *dy = op->out->grad, *z = op->saved;
    uint32_t T = x->rows, in = l->w.cols, out = l->w.rows, r = l->lora.r;
    vkft_weight A = lora_a(l), B = lora_b(l);
    float scale = state->scale * l->lora.scale;

    vkft_tensor *dz = vkft_tensor_new(g, VKFT_F32, T, r);
    vkft_matmul_nn(&g->product, T, vkft_tensor_address(g, dy), out, &B, 0, vkft_tensor_address(g, dz), r, scale);
    vkft_matmul_tn(&g->product, out, r, T, vkft_tensor_address(g, dy), out, vkft_tensor_address(g, z), l->lora.dB,
                   l->lora.dB, scale);
    vkft_tensor *xd = dropped(g, l, x);
    vkft_matmul_tn(&g->product, r, in, T, vkft_tensor_address(g, dz), r, vkft_tensor_address(g, xd), l->lora.dA,
                   l->lora.dA, 1.0f);
    if (!x->needs_grad)
        return;
    vkft_tensor *dx = x->grad; /* the frozen weight's product has been written to it */
    if (!vkft_lora_drops(g, &l->lora)) {
        uint64_t address = vkft_tensor_address(g, dx);
        vkft_matmul_nn(&g->product, T, vkft_tensor_address(g, dz), r, &A, address, address, in, 1.0f);
    } else {
        vkft_tensor *branch = vkft_tensor_new(g, VKFT_F32, T, in);
        vkft_matmul_nn(&g->product, T, vkft_tensor_address(g, dz), r, &A, 0, vkft_tensor_address(g, branch), in, 1.0f);
        vkft_lora_dropout(g, &l->lora, branch, dx, true);
    }
}

static void backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const linear_state *state = op->state;
    const vkft_linear *l = state->linear;
    vkft_tensor *x = op->in[0], *residual = op->in[1], *dy = op->out->grad;
    if (x->needs_grad) {
        bool add;
        vkft_tensor *dx = vkft_grad(g, x, &add);
        uint64_t address = vkft_tensor_address(g, dx);
        vkft_matmul_nn(&g->product, x->rows, vkft_tensor_address(g, dy), l->w.rows, &l->w, add ? address : 0, address,
                       l->w.cols, state->scale);
    }
    if (l->w.grad)
        vkft_matmul_tn(&g->product, l->w.rows, l->w.cols, x->rows, vkft_tensor_address(g, dy), l->w.rows,
                       vkft_tensor_address(g, x), l->w.grad, l->w.grad, state->scale);
    if (l->dbias)
        vkft_column_sum(g, dy, l->dbias, state->scale);
    if (l->lora.r)
        backward_lora(g, op);
    if (residual && residual->needs_grad)
        vkft_grad_accumulate(g, residual, dy);
}

/* y = residual + scale * bias, for the product to be added to. */
static void start_with_bias(vkft_graph *g, const vkft_linear *l, vkft_tensor *residual, vkft_tensor *y, float scale)
{
    struct bias_rows_args args = {.b = l->bias,
                                  .r = residual ? vkft_tensor_address(g, residual) : 0,
                                  .y = vkft_tensor_address(g, y),
                                  .T = y->rows,
                                  .C = y->cols,
                                  .add = residual != NULL,
                                  .scale = scale};
    uint32_t n = y->rows * y->cols;
    vkft_launch_elements(g, VKFT_KERNEL_bias_rows, &args, sizeof args, n, 1, 2.0 * n);
}

vkft_tensor *vkft_op_linear(vkft_graph *g, vkft_tensor *x, const vkft_linear *l, vkft_linear_call call)
{
    uint32_t T = x->rows, in = l->w.cols, out = l->w.rows;
    float scale = call.scale != 0 ? call.scale : 1.0f;
    vkft_tensor *y = call.only_backward ? vkft_tensor_at(g, 0, VKFT_F32, T, out) : vkft_tensor_new(g, VKFT_F32, T, out);
    y->needs_grad = x->needs_grad || l->lora.r || l->w.grad || l->dbias || (call.residual && call.residual->needs_grad);
    if (!call.only_backward) {
        uint64_t added = call.residual ? vkft_tensor_address(g, call.residual) : 0;
        if (l->bias) {
            start_with_bias(g, l, call.residual, y, scale);
            added = vkft_tensor_address(g, y);
        }
        vkft_matmul_nt(&g->product, T, vkft_tensor_address(g, x), in, &l->w, added, vkft_tensor_address(g, y), out,
                       scale);
    }
    vkft_tensor *z = NULL;
    if (l->lora.r) {
        vkft_weight A = lora_a(l), B = lora_b(l);
        z = vkft_tensor_new(g, VKFT_F32, T, l->lora.r);
        vkft_tensor *xd = dropped(g, l, x);
        vkft_matmul_nt(&g->product, T, vkft_tensor_address(g, xd), in, &A, 0, vkft_tensor_address(g, z), l->lora.r,
                       1.0f);
        if (!call.only_backward) {
            uint64_t address = vkft_tensor_address(g, y);
            vkft_matmul_nt(&g->product, T, vkft_tensor_address(g, z), l->lora.r, &B, address, address, out,
                           scale * l->lora.scale);
        }
    }
    const linear_state state = {.linear = l, .scale = scale};
    vkft_tape_push(g, (vkft_tape_entry){.backward = backward, .in = {x, call.residual}, .out = y, .saved = z}, &state,
                   sizeof state);
    return y;
}
