/* Grouped-query attention over packed sequences, forward and flash-style backward (no T x T matrix).
 *
 * Source: Dao et al. 2022 (FlashAttention), Ainslie et al. 2023 (grouped queries). Test: test_ops_layers
 */
#include "host/engine/ops/attention_kernels.h"

#include "shaders/attention/args.h"

/* Multiply-adds of q.k and p.v over all pairs that a causal mask leaves, at most. */
static double pair_flops(const vkft_attention_shape *shape, uint32_t T, uint32_t longest)
{
    return 4.0 * T * 0.5 * (longest + 1.0) * shape->Hq * shape->D;
}

/* Zeros for none. */
static vkft_relative_bias relative_of(const vkft_attention_shape *shape)
{
    return shape->relative ? *shape->relative : (vkft_relative_bias){0};
}

/* Records the kernel of one part. */
static void launch(vkft_graph *g, vkft_attention_part part, const vkft_attention_shape *shape, const void *args,
                   uint32_t args_bytes, uint64_t rows, uint32_t heads, double flops)
{
    if (g->mode == VKFT_GRAPH_RECORD)
        vkft_attention_launch(g->dev, g->cmds, part, shape->D, args, args_bytes, rows, heads, flops);
}

/* The biases' gradient: sums by distance, then by bucket. */
static void dbias(vkft_graph *g, const vkft_attention_shape *shape, struct attention_backward_args args,
                  const vkft_tensor *by_distance, double flops)
{
    const vkft_relative_bias *relative = shape->relative;
    uint32_t distances = by_distance->rows;
    args.dq = vkft_tensor_address(g, by_distance);
    launch(g, VKFT_ATTENTION_DBIAS, shape, &args, sizeof args, distances, shape->Hq, flops);
    struct bucket_sum_args sum = {.bucket = relative->bucket,
                                  .by_distance = vkft_tensor_address(g, by_distance),
                                  .dbias = relative->dbias,
                                  .distances = distances,
                                  .buckets = relative->buckets,
                                  .H = shape->Hq};
    vkft_launch_elements(g, VKFT_KERNEL_bucket_sum, &sum, sizeof sum, (uint64_t)sum.buckets * sum.H, 1,
                         (double)distances * sum.H);
}

typedef struct attention_state {
    const vkft_attention_shape *shape;
    vkft_sequence sequence;
} attention_state;

static void attention_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const attention_state *state = op->state;
    const vkft_attention_shape *shape = state->shape;
    const vkft_sequence *sequence = &state->sequence;
    vkft_tensor *q = op->in[0], *k = op->in[1], *v = op->in[2], *o = op->out, *dout = op->out->grad, *lse = op->saved;
    uint32_t T = q->rows, longest = sequence->longest;

    vkft_tensor *delta = vkft_tensor_new(g, VKFT_F32, T, shape->Hq);
    struct attention_delta_args delta_args = {.dout = vkft_tensor_address(g, dout),
                                              .o = vkft_tensor_address(g, o),
                                              .delta = vkft_tensor_address(g, delta),
                                              .T = T,
                                              .Hq = shape->Hq};
    launch(g, VKFT_ATTENTION_DELTA, shape, &delta_args, sizeof delta_args, (uint64_t)T * shape->Hq, 1,
           2.0 * T * q->cols);

    /* Allocate every tensor before taking any address: a tensor allocated later may reuse the memory of an operand
     * whose last use has been recorded. */
    vkft_relative_bias relative = relative_of(shape);
    vkft_tensor *by_distance = relative.dbias ? vkft_tensor_new(g, VKFT_F32, 2 * sequence->span - 1, shape->Hq) : NULL;
    /* k's and v's gradients are always computed together with q's; a variant that skips unneeded ones is not worth it.
     */
    q->grad = vkft_tensor_new(g, VKFT_F32, T, q->cols);
    k->grad = vkft_tensor_new(g, VKFT_F32, k->rows, k->cols);
    v->grad = vkft_tensor_new(g, VKFT_F32, v->rows, v->cols);
    struct attention_backward_args args = {
        .q = vkft_tensor_address(g, q),
        .k = vkft_tensor_address(g, k),
        .v = vkft_tensor_address(g, v),
        .dout = vkft_tensor_address(g, dout),
        .lse = vkft_tensor_address(g, lse),
        .delta = vkft_tensor_address(g, delta),
        .range = sequence->query_range,
        .dq = vkft_tensor_address(g, q->grad),
        .dk = vkft_tensor_address(g, k->grad),
        .dv = vkft_tensor_address(g, v->grad),
        .bias = relative.bias,
        .bucket = relative.bucket,
        .T = T,
        .S = k->rows,
        .Hq = shape->Hq,
        .Hk = shape->Hk,
        .scale = shape->scale,
        .softcap = shape->softcap,
        .span = relative.bucket ? sequence->span : 0,
    };
    double flops = pair_flops(shape, T, longest);
    launch(g, VKFT_ATTENTION_DQ, shape, &args, sizeof args, T, shape->Hq, 1.5 * flops);
    if (relative.dbias)
        dbias(g, shape, args, by_distance, flops);
    args.range = sequence->key_range;
    launch(g, VKFT_ATTENTION_DKV, shape, &args, sizeof args, k->rows, shape->Hk, 2.0 * flops);
}

vkft_tensor *vkft_op_attention(vkft_graph *g, vkft_tensor *q, vkft_tensor *k, vkft_tensor *v,
                               const vkft_attention_shape *shape, const vkft_sequence *sequence)
{
    vkft_tensor *o = vkft_tensor_new(g, VKFT_F32, q->rows, q->cols);
    vkft_tensor *lse = vkft_tensor_new(g, VKFT_F32, q->rows, shape->Hq);
    vkft_relative_bias relative = relative_of(shape);
    o->needs_grad = q->needs_grad || k->needs_grad || v->needs_grad;
    struct attention_args args = {
        .q = vkft_tensor_address(g, q),
        .k = vkft_tensor_address(g, k),
        .v = vkft_tensor_address(g, v),
        .o = vkft_tensor_address(g, o),
        .lse = vkft_tensor_address(g, lse),
        .range = sequence->query_range,
        .bias = relative.bias,
        .bucket = relative.bucket,
        .T = q->rows,
        .Hq = shape->Hq,
        .Hk = shape->Hk,
        .scale = shape->scale,
        .softcap = shape->softcap,
        .cached = sequence->cached,
        .span = relative.bucket ? sequence->span : 0,
    };
    launch(g, VKFT_ATTENTION_FORWARD, shape, &args, sizeof args, q->rows, shape->Hq,
           pair_flops(shape, q->rows, sequence->longest));
    const attention_state state = {.shape = shape, .sequence = *sequence};
    vkft_tape_push(g, (vkft_tape_entry){.backward = attention_backward, .in = {q, k, v}, .out = o, .saved = lse},
                   &state, sizeof state);
    return o;
}
