/* Mixtures of experts: which ones a token goes to, and the ways there and back. Their linear layers are in
 * linear.c.
 *
 *   z = x Wr^T;  the k largest of z[t] choose experts e_j with weights w_j;  y[t] = residual[t] + sum_j Wdown_e (w_j
 * act(Wgate_e x) * Wup_e x)
 *
 * Assignments are sorted by expert on the device, so that each expert's rows lie together and one launch multiplies all
 * experts. The sum over a token's experts is taken in their order, without atomics: results do not depend on timing.
 *
 * Source: Shazeer et al. 2017; Jiang et al. 2024 (Mixtral). Test: test_ops_experts
 */
#include "host/engine/ops/f16_rows.h"
#include "host/engine/ops/ops.h"

#include "runtime/base/size.h"
#include "shaders/elementwise/args.h"
#include "shaders/experts/args.h"
#include "shaders/matmul/args.h"

typedef struct route_state {
    bool normalized;
} route_state;

static void route_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const route_state *state = op->state;
    vkft_tensor *logits = op->in[0], *chosen = op->saved, *weight = op->out;
    bool add; /* nothing else reads the logits */
    vkft_tensor *dlogits = vkft_grad(g, logits, &add);
    struct router_args args = {.logits = vkft_tensor_address(g, logits),
                               .weight = vkft_tensor_address(g, weight),
                               .chosen = vkft_tensor_address(g, chosen),
                               .dweight = vkft_tensor_address(g, weight->grad),
                               .dlogits = vkft_tensor_address(g, dlogits),
                               .T = logits->rows,
                               .E = logits->cols,
                               .k = weight->cols,
                               .normalize = state->normalized};
    vkft_launch_elements(g, VKFT_KERNEL_router_backward, &args, sizeof args, args.T, 1, 20.0 * args.T * args.E);
}

/* Fills token, assignment, row and group from chosen. */
static void sort_assignments(vkft_graph *g, const vkft_routing *r)
{
    uint32_t A = r->row->rows * r->row->cols, slices = ceil_div(A, EXPERT_SLICE);
    vkft_tensor *count = vkft_tensor_new(g, VKFT_U32, slices + 1, r->experts);
    for (int pass = 0; pass < 3; pass++) {
        static const vkft_kernel kernels[] = {VKFT_KERNEL_experts_count, VKFT_KERNEL_experts_scan,
                                              VKFT_KERNEL_experts_place};
        struct experts_args args = {.chosen = vkft_tensor_address(g, r->chosen),
                                    .count = vkft_tensor_address(g, count),
                                    .group = vkft_tensor_address(g, r->group),
                                    .token = vkft_tensor_address(g, r->token),
                                    .assignment = vkft_tensor_address(g, r->assignment),
                                    .row = vkft_tensor_address(g, r->row),
                                    .A = A,
                                    .E = r->experts,
                                    .k = r->per_token,
                                    .slices = slices};
        uint64_t threads = pass == 1 ? r->experts : (uint64_t)slices * r->experts;
        vkft_launch_elements(g, kernels[pass], &args, sizeof args, threads, 1, (double)A * r->experts);
    }
}

vkft_routing vkft_op_route(vkft_graph *g, vkft_tensor *logits, uint32_t per_token, bool normalized, uint64_t chosen)
{
    uint32_t T = logits->rows, A = T * per_token;
    vkft_routing r = {.experts = logits->cols,
                      .per_token = per_token,
                      .weight = vkft_tensor_new(g, VKFT_F32, T, per_token),
                      .chosen = chosen ? vkft_tensor_at(g, chosen, VKFT_U32, T, per_token)
                                       : vkft_tensor_new(g, VKFT_U32, T, per_token),
                      .group = vkft_tensor_new(g, VKFT_U32, logits->cols + 1, 2),
                      .token = vkft_tensor_new(g, VKFT_U32, A, 1),
                      .assignment = vkft_tensor_new(g, VKFT_U32, A, 1),
                      .row = vkft_tensor_new(g, VKFT_U32, T, per_token)};
    r.weight->needs_grad = logits->needs_grad;
    struct router_args args = {.logits = vkft_tensor_address(g, logits),
                               .weight = vkft_tensor_address(g, r.weight),
                               .chosen = vkft_tensor_address(g, r.chosen),
                               .T = T,
                               .E = logits->cols,
                               .k = per_token,
                               .normalize = normalized};
    vkft_launch_elements(g, VKFT_KERNEL_router, &args, sizeof args, T, 1,
                         (double)T * args.E * (10.0 + 2.0 * per_token));
    sort_assignments(g, &r);
    const route_state state = {normalized};
    vkft_tape_push(g, (vkft_tape_entry){.backward = route_backward, .in = {logits}, .out = r.weight, .saved = r.chosen},
                   &state, sizeof state);
    return r;
}

/* dst[i] = src[token[i]] */
static void gather(vkft_graph *g, const vkft_tensor *src, const vkft_tensor *token, vkft_tensor *dst)
{
    vkft_f16_rows_new(g, dst);
    vkft_f16_rows f16 = vkft_f16_rows_output(g, dst);
    struct rows_args args = {.src = vkft_tensor_address(g, src),
                             .index = vkft_tensor_address(g, token),
                             .dst = vkft_tensor_address(g, dst),
                             .rows = dst->rows,
                             .C = dst->cols};
    double flops = (double)dst->rows * dst->cols;
    if (f16.rows) {
        struct rows_f16_args f16_args = {.X = args.src,
                                         .Y = f16.rows,
                                         .inverse = f16.inverse,
                                         .K = dst->cols,
                                         .ldx = dst->cols,
                                         .ldy = vkft_f16_row_length(dst->cols),
                                         .index = args.index,
                                         .copy = args.dst};
        vkft_launch_rows(g, VKFT_KERNEL_gather_rows_f16, &f16_args, sizeof f16_args, dst->rows, 1, 4 * flops);
    } else {
        vkft_launch_rows(g, VKFT_KERNEL_gather_rows, &args, sizeof args, dst->rows, 1, flops);
    }
}

/* y[t] = r[t] + sum_j x[row[t,j]]; r may be NULL, or y. */
static void sum_rows(vkft_graph *g, const vkft_tensor *x, const vkft_tensor *row, const vkft_tensor *r,
                     const vkft_tensor *y)
{
    struct sum_rows_args args = {.x = vkft_tensor_address(g, x),
                                 .row = vkft_tensor_address(g, row),
                                 .r = r ? vkft_tensor_address(g, r) : 0,
                                 .y = vkft_tensor_address(g, y),
                                 .T = y->rows,
                                 .C = y->cols,
                                 .k = row->cols,
                                 .add = r != NULL};
    vkft_launch_rows(g, VKFT_KERNEL_sum_rows, &args, sizeof args, args.T, 1, (double)args.T * args.C * (args.k + 1.0));
}

static void dispatch_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    bool add;
    vkft_tensor *dx = vkft_grad(g, op->in[0], &add);
    sum_rows(g, op->out->grad, op->saved, add ? dx : NULL, dx);
}

vkft_tensor *vkft_op_dispatch(vkft_graph *g, vkft_tensor *x, const vkft_routing *routing)
{
    vkft_tensor *y = vkft_tensor_new(g, VKFT_F32, routing->token->rows, x->cols);
    y->needs_grad = x->needs_grad;
    gather(g, x, routing->token, y);
    vkft_tape_push(g, (vkft_tape_entry){.backward = dispatch_backward, .in = {x}, .out = y, .saved = routing->row},
                   NULL, 0);
    return y;
}

static void combine_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    vkft_tensor *x = op->in[0], *residual = op->in[1], *dy = op->out->grad;
    if (x->needs_grad) {
        bool add; /* nothing else reads the experts' output */
        gather(g, dy, op->saved, vkft_grad(g, x, &add));
    }
    if (residual && residual->needs_grad)
        vkft_grad_accumulate(g, residual, dy);
}

vkft_tensor *vkft_op_combine(vkft_graph *g, vkft_tensor *x, const vkft_routing *routing, vkft_tensor *residual,
                             bool only_backward)
{
    uint32_t T = routing->row->rows;
    vkft_tensor *y =
        only_backward ? vkft_tensor_at(g, 0, VKFT_F32, T, x->cols) : vkft_tensor_new(g, VKFT_F32, T, x->cols);
    y->needs_grad = x->needs_grad || (residual && residual->needs_grad);
    if (!only_backward)
        sum_rows(g, x, routing->row, residual, y);
    vkft_tape_push(
        g, (vkft_tape_entry){.backward = combine_backward, .in = {x, residual}, .out = y, .saved = routing->token},
        NULL, 0);
    return y;
}

typedef struct gated_state {
    vkft_activation activation;
} gated_state;

static void expert_gated_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const gated_state *state = op->state;
    vkft_tensor *gate = op->in[0], *up = op->in[1], *weight = op->in[2], *dh = op->out->grad;
    double flops = 16.0 * gate->rows * gate->cols;
    bool add; /* each weight has one row */
    vkft_tensor *dweight = weight->needs_grad ? vkft_grad(g, weight, &add) : NULL;
    vkft_f16_rows_new_in(g, gate, dh, 0);
    vkft_f16_rows_new_in(g, up, dh, 1);
    vkft_f16_rows gate_f16 = vkft_f16_rows_output(g, gate), up_f16 = vkft_f16_rows_output(g, up);
    struct expert_gated_args args = {.gate = vkft_tensor_address(g, gate),
                                     .up = vkft_tensor_address(g, up),
                                     .weight = vkft_tensor_address(g, weight),
                                     .assignment = vkft_tensor_address(g, op->saved),
                                     .dh = vkft_tensor_address(g, dh),
                                     .dweight = dweight ? vkft_tensor_address(g, dweight) : 0,
                                     .F = gate->cols,
                                     .activation = state->activation,
                                     .with_weight = dweight != NULL};
    if (gate_f16.rows || up_f16.rows) {
        struct gated_backward_f16_args f16_args = {.dh = args.dh,
                                                   .gate = args.gate,
                                                   .up = args.up,
                                                   .dgate = args.gate,
                                                   .dup = args.up,
                                                   .dgate_rows = gate_f16.rows,
                                                   .dgate_inverse = gate_f16.inverse,
                                                   .dup_rows = up_f16.rows,
                                                   .dup_inverse = up_f16.inverse,
                                                   .T = gate->rows,
                                                   .n = gate->cols,
                                                   .ld = vkft_f16_row_length(gate->cols),
                                                   .stride = max_u32(gate_f16.stride, up_f16.stride),
                                                   .activation = state->activation,
                                                   .weight = args.weight,
                                                   .assignment = args.assignment,
                                                   .dweight = args.dweight};
        vkft_launch_rows(g, VKFT_KERNEL_expert_gated_backward_f16, &f16_args, sizeof f16_args, gate->rows, 1, flops);
    } else {
        vkft_launch_rows(g, VKFT_KERNEL_expert_gated_backward, &args, sizeof args, gate->rows, 1, flops);
    }
    gate->grad = gate; /* a tensor of this op alone: its value is no longer needed */
    up->grad = up;
}

vkft_tensor *vkft_op_expert_gated(vkft_graph *g, vkft_tensor *gate, vkft_tensor *up, const vkft_routing *routing,
                                  vkft_activation f)
{
    vkft_tensor *h = vkft_tensor_new(g, VKFT_F32, gate->rows, gate->cols);
    h->needs_grad = gate->needs_grad || up->needs_grad || routing->weight->needs_grad;
    double flops = 8.0 * gate->rows * gate->cols;
    vkft_f16_rows_new(g, h);
    vkft_f16_rows f16 = vkft_f16_rows_output(g, h);
    struct expert_gated_args args = {.gate = vkft_tensor_address(g, gate),
                                     .up = vkft_tensor_address(g, up),
                                     .weight = vkft_tensor_address(g, routing->weight),
                                     .assignment = vkft_tensor_address(g, routing->assignment),
                                     .h = vkft_tensor_address(g, h),
                                     .F = gate->cols,
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
                                          .activation = f,
                                          .weight = args.weight,
                                          .assignment = args.assignment};
        vkft_launch_rows(g, VKFT_KERNEL_expert_gated_f16, &f16_args, sizeof f16_args, h->rows, 1, flops);
    } else {
        vkft_launch_rows(g, VKFT_KERNEL_expert_gated, &args, sizeof args, h->rows, 1, flops);
    }
    const gated_state state = {f};
    vkft_tape_push(g,
                   (vkft_tape_entry){.backward = expert_gated_backward,
                                     .in = {gate, up, routing->weight},
                                     .out = h,
                                     .saved = routing->assignment},
                   &state, sizeof state);
    return h;
}
