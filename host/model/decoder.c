/* The block, of which each family switches parts on:
 *
 *   n  = norm(x)
 *   a  = attention(rope(norm(Wq n)), rope(norm(Wk n)), Wv n)
 *   x' = x + norm(Wo a)
 *   m  = norm(x')                 or norm(x): side by side
 *   y  = x' + norm(Wdown h)       h = act(Wgate m) * Wup m, or act(Wup m)
 *
 * or, with experts, y = x' + sum over a token's experts e of weight_e Wdown_e h_e (ops/experts.c);
 * or, with norms behind the sums, x' = norm(x + Wo a), y = norm(x' + Wdown h).
 *
 * Source: Touvron et al. 2023 (Llama); Radford et al. 2019 (GPT-2); Zhang et al. 2022 (OPT); Gemma Team 2024 (Gemma 2).
 * Test: test_golden
 */
#include "host/model/decoder.h"

#include <stdlib.h>

/* How the blocks of a stack are run. */
typedef struct block_call {
    const vkft_stack *stack;
    const vkft_sequence *sequence, *windowed;
    vkft_tensor *memory; /* what the encoder gave; NULL without one, or when its keys and values are in the cache */
    const vkft_sequence *cross;
    const vkft_kv *cache;   /* of the block */
    uint64_t expert_choice; /* where the block's choice of experts is kept; 0: nowhere */
    bool only_backward;
} block_call;

static vkft_tensor *linear(vkft_graph *g, vkft_tensor *x, const vkft_layer *layer, vkft_linear_slot slot)
{
    return vkft_op_linear(g, x, &layer->linear[slot], (vkft_linear_call){0});
}

static bool present(const vkft_layer *layer, vkft_linear_slot slot)
{
    return layer->linear[slot].w.rows != 0;
}

/* x itself where the family has no such norm. */
static vkft_tensor *norm(vkft_graph *g, vkft_tensor *x, const vkft_norm *n)
{
    return n->width ? vkft_op_norm(g, x, n) : x;
}

typedef struct heads {
    vkft_tensor *q, *k, *v;
} heads;

static heads project(vkft_graph *g, const vkft_model *model, const vkft_layer *layer, vkft_tensor *n)
{
    const vkft_attention_shape *s = &model->decoder.attention;
    uint32_t D = s->D, q = s->Hq * D, kv = s->Hk * D;
    if (!present(layer, VKFT_QKV))
        return (heads){linear(g, n, layer, VKFT_Q), linear(g, n, layer, VKFT_K), linear(g, n, layer, VKFT_V)};
    vkft_tensor *all = linear(g, n, layer, VKFT_QKV);
    if (model->config.qkv_by_head)
        return (heads){vkft_op_columns(g, all, (vkft_columns){0, D, 3 * D, s->Hq}),
                       vkft_op_columns(g, all, (vkft_columns){D, D, 3 * D, s->Hq}),
                       vkft_op_columns(g, all, (vkft_columns){2 * D, D, 3 * D, s->Hq})};
    return (heads){vkft_op_columns(g, all, (vkft_columns){0, q, q, 1}),
                   vkft_op_columns(g, all, (vkft_columns){q, kv, kv, 1}),
                   vkft_op_columns(g, all, (vkft_columns){q + kv, kv, kv, 1})};
}

static vkft_tensor *self_attention(vkft_graph *g, const vkft_model *model, const vkft_layer *layer, vkft_tensor *n,
                                   const block_call *call)
{
    const vkft_attention_shape *shape = &call->stack->attention;
    const vkft_sequence *sequence = layer->windowed ? call->windowed : call->sequence;
    heads h = project(g, model, layer, n);
    h.q = norm(g, h.q, &layer->norm[VKFT_NORM_Q]);
    h.k = norm(g, h.k, &layer->norm[VKFT_NORM_K]);
    if (layer->rotary) {
        vkft_op_rope(g, h.q, shape->D, *layer->rotary, sequence);
        vkft_op_rope(g, h.k, shape->D, *layer->rotary, sequence);
    }
    if (call->cache) {
        vkft_op_store_rows(g, h.k, sequence->position, call->cache->k);
        vkft_op_store_rows(g, h.v, sequence->position, call->cache->v);
        h.k = vkft_tensor_at(g, call->cache->k, VKFT_F32, sequence->longest, h.k->cols);
        h.v = vkft_tensor_at(g, call->cache->v, VKFT_F32, sequence->longest, h.v->cols);
    }
    return vkft_op_attention(g, h.q, h.k, h.v, shape, sequence);
}

static vkft_tensor *cross_attention(vkft_graph *g, const vkft_model *model, const vkft_layer *layer, vkft_tensor *n,
                                    const block_call *call)
{
    const vkft_attention_shape *shape = &model->cross_attention;
    vkft_tensor *q = linear(g, n, layer, VKFT_CROSS_Q), *k, *v;
    if (call->memory) {
        k = linear(g, call->memory, layer, VKFT_CROSS_K);
        v = linear(g, call->memory, layer, VKFT_CROSS_V);
    } else {
        uint32_t width = shape->Hk * shape->D, rows = call->cross->longest;
        k = vkft_tensor_at(g, call->cache->cross_k, VKFT_F32, rows, width);
        v = vkft_tensor_at(g, call->cache->cross_v, VKFT_F32, rows, width);
    }
    return vkft_op_attention(g, q, k, v, shape, call->cross);
}

static vkft_tensor *mlp(vkft_graph *g, const vkft_model *model, const vkft_layer *layer, vkft_tensor *m)
{
    vkft_activation act = model->config.activation;
    uint32_t F = model->config.intermediate_size;
    if (present(layer, VKFT_GATE_UP)) {
        vkft_tensor *both = linear(g, m, layer, VKFT_GATE_UP);
        vkft_tensor *gate = vkft_op_columns(g, both, (vkft_columns){0, F, F, 1});
        return vkft_op_gated(g, gate, vkft_op_columns(g, both, (vkft_columns){F, F, F, 1}), act);
    }
    if (!present(layer, VKFT_GATE))
        return vkft_op_activation(g, linear(g, m, layer, VKFT_UP), act);
    vkft_tensor *gate = linear(g, m, layer, VKFT_GATE);
    return vkft_op_gated(g, gate, linear(g, m, layer, VKFT_UP), act);
}

/* x + scale * norm(W h): a part's output projection, and its way into the residual stream. */
static vkft_tensor *join(vkft_graph *g, const vkft_model *model, vkft_tensor *x, vkft_tensor *h, const vkft_linear *out,
                         const vkft_norm *after, bool only_backward)
{
    float scale = model->config.residual_scale;
    if (after->width)
        return vkft_op_add(g, x, vkft_op_norm(g, vkft_op_linear(g, h, out, (vkft_linear_call){.scale = scale}), after));
    return vkft_op_linear(g, h, out, (vkft_linear_call){.residual = x, .scale = scale, .only_backward = only_backward});
}

/* The mixture's way into the residual stream, likewise. */
static vkft_tensor *join_experts(vkft_graph *g, const vkft_model *model, const vkft_layer *layer, vkft_tensor *x,
                                 vkft_tensor *m, const block_call *call)
{
    const vkft_config *c = &model->config;
    const vkft_grouped_linear *experts = layer->experts;
    const vkft_norm *after = &layer->norm[VKFT_NORM_MLP_AFTER];
    bool only_backward = call->only_backward && !after->width && !c->norm_after_residual;
    vkft_linear_call plain = {0}, down = {.scale = c->residual_scale, .only_backward = only_backward};
    vkft_routing routing = vkft_op_route(g, linear(g, m, layer, VKFT_ROUTER), c->experts_per_token,
                                         c->expert_weights_normalized, call->expert_choice);
    vkft_tensor *rows = vkft_op_dispatch(g, m, &routing);
    vkft_tensor *gate = vkft_op_grouped_linear(g, rows, &experts[0], &routing, plain);
    vkft_tensor *h = vkft_op_expert_gated(g, gate, vkft_op_grouped_linear(g, rows, &experts[1], &routing, plain),
                                          &routing, c->activation);
    vkft_tensor *y = vkft_op_grouped_linear(g, h, &experts[2], &routing, down);
    if (after->width)
        return vkft_op_add(g, x, vkft_op_norm(g, vkft_op_combine(g, y, &routing, NULL, false), after));
    return vkft_op_combine(g, y, &routing, x, only_backward);
}

static vkft_tensor *block(vkft_graph *g, const vkft_model *model, const vkft_layer *layer, vkft_tensor *x,
                          block_call call)
{
    const vkft_config *c = &model->config;
    const vkft_norm *norms = layer->norm, none = {0};
    bool last = c->norm_after_residual;
    vkft_tensor *n = last ? x : norm(g, x, &norms[VKFT_NORM_ATTENTION]);
    vkft_tensor *a = self_attention(g, model, layer, n, &call);
    vkft_tensor *x2 = join(g, model, x, a, &layer->linear[VKFT_O], &norms[VKFT_NORM_ATTENTION_AFTER], false);
    if (last)
        x2 = vkft_op_norm(g, x2, &norms[VKFT_NORM_ATTENTION]);
    if (present(layer, VKFT_CROSS_Q)) {
        a = cross_attention(g, model, layer, norm(g, x2, &norms[VKFT_NORM_CROSS]), &call);
        x2 = join(g, model, x2, a, &layer->linear[VKFT_CROSS_O], &none, false);
    }
    vkft_tensor *m = c->parallel_residual ? x : x2;
    vkft_tensor *n2 = last ? m : norm(g, m, &norms[VKFT_NORM_MLP]);
    vkft_tensor *y = layer->experts[0].groups ? join_experts(g, model, layer, x2, n2, &call)
                                              : join(g, model, x2, mlp(g, model, layer, n2), &layer->linear[VKFT_DOWN],
                                                     &norms[VKFT_NORM_MLP_AFTER], call.only_backward && !last);
    return last ? vkft_op_norm(g, y, &norms[VKFT_NORM_MLP]) : y;
}

/* x[0] is what block 0 reads; fills x[1] ... x[count]. Blocks from `taped` on put themselves on the tape. */
static void run_stack(vkft_graph *g, const vkft_model *model, vkft_tensor **x, block_call call, uint32_t taped)
{
    for (uint32_t l = 0; l < call.stack->count; l++) {
        g->pass.taping = l >= taped;
        x[l + 1] = block(g, model, &call.stack->layers[l], x[l], call);
    }
    g->pass.taping = true;
}

/* Backward of the blocks below `taped`, computing each one's inside again. Nothing lies above `mark` on the tape. */
static void replay_stack(vkft_graph *g, const vkft_model *model, vkft_tensor **x, block_call call, uint32_t taped,
                         uint32_t mark)
{
    call.only_backward = true;
    for (uint32_t l = taped; l-- > 0 && x[l + 1]->needs_grad;) {
        vkft_tensor *y = block(g, model, &call.stack->layers[l], x[l], call);
        y->grad = x[l + 1]->grad;
        vkft_tape_backward(g, mark);
    }
}

static block_call encoder_call(const vkft_model *model, const vkft_batch *batch)
{
    return (block_call){.stack = &model->encoder, .sequence = &batch->source, .windowed = &batch->source};
}

static block_call decoder_call(const vkft_model *model, const vkft_batch *batch, vkft_tensor *memory)
{
    return (block_call){.stack = &model->decoder,
                        .sequence = &batch->sequence,
                        .windowed = &batch->windowed,
                        .memory = memory,
                        .cross = &batch->cross,
                        .expert_choice = batch->expert_choice};
}

/* What the first block reads. */
static vkft_tensor *embed(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    vkft_tensor *x = vkft_op_embedding(g, &model->embedding, batch->ids, batch->tokens, model->config.embedding_scale);
    if (model->project_in.w.rows)
        x = vkft_op_linear(g, x, &model->project_in, (vkft_linear_call){0});
    if (model->positions.rows)
        vkft_op_embedding_add(g, x, &model->positions, batch->sequence.position, model->config.position_offset);
    return x;
}

static vkft_tensor *embed_source(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    return vkft_op_embedding(g, &model->embedding, batch->source_ids, batch->source_tokens,
                             model->config.embedding_scale);
}

/* What the head reads: final norm and projection of the rows that are asked for. */
static vkft_tensor *finish(vkft_graph *g, const vkft_model *model, vkft_tensor *x, uint64_t row_index, uint32_t rows)
{
    x = norm(g, vkft_op_gather(g, x, row_index, rows), &model->decoder.final_norm);
    return model->project_out.w.rows ? vkft_op_linear(g, x, &model->project_out, (vkft_linear_call){0}) : x;
}

/* The tape holds, from its bottom up: the encoder's embedding, its taped blocks and final norm, the decoder's
 * embedding, its taped blocks, the head. Each backward walks down to the mark below which something else has to run
 * first. */
void vkft_decoder_train(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, bool checkpointing)
{
    uint32_t E = model->encoder.count, L = model->decoder.count;
    vkft_tensor **source = malloc((E + L + 2ull) * sizeof *source); /* the inputs of the encoder's blocks */
    if (!source) {
        g->failed = true;
        return;
    }
    vkft_tensor **x = source + E + 1; /* of the decoder's */
    vkft_tensor *memory = NULL;
    block_call encode = encoder_call(model, batch);
    uint32_t source_embedded = 0, encoded = 0;
    g->pass.taping = true;
    if (E) {
        source[0] = embed_source(g, model, batch);
        source_embedded = g->tape_count;
        run_stack(g, model, source, encode, checkpointing ? E : 0);
        memory = norm(g, source[E], &model->encoder.final_norm);
        encoded = g->tape_count;
    }
    block_call decode = decoder_call(model, batch, memory);
    x[0] = embed(g, model, batch);
    uint32_t embedded = g->tape_count,
             taped = checkpointing ? L - 1 : 0; /* the last block's backward follows at once: nothing to save */
    run_stack(g, model, x, decode, taped);
    vkft_tensor *n = finish(g, model, x[L], batch->loss_row, batch->rows);
    vkft_op_linear_cross_entropy(g, n, &model->head, batch->target, batch->loss, n->needs_grad);
    vkft_tape_backward(g, embedded);
    replay_stack(g, model, x, decode, taped, embedded);
    vkft_tape_backward(g, encoded);
    if (E) {
        vkft_tape_backward(g, source_embedded);
        replay_stack(g, model, source, encode, checkpointing ? E : 0, source_embedded);
    }
    vkft_tape_backward(g, 0);
    free(source);
}

/* The last block's output. */
static vkft_tensor *forward(vkft_graph *g, const vkft_model *model, vkft_tensor *x, block_call call,
                            const vkft_kv *caches)
{
    for (uint32_t l = 0; l < call.stack->count; l++) {
        const vkft_layer *layer = &call.stack->layers[l];
        call.cache = caches ? &caches[l] : NULL;
        x = block(g, model, layer, x, call);
        if (call.expert_choice && layer->experts[0].groups)
            call.expert_choice += (uint64_t)x->rows * model->config.experts_per_token * sizeof(uint32_t);
    }
    return x;
}

static vkft_tensor *encode_source(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    vkft_tensor *x = forward(g, model, embed_source(g, model, batch), encoder_call(model, batch), NULL);
    return norm(g, x, &model->encoder.final_norm);
}

void vkft_decoder_eval(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    vkft_tensor *memory = model->encoder.count ? encode_source(g, model, batch) : NULL;
    vkft_tensor *x = forward(g, model, embed(g, model, batch), decoder_call(model, batch, memory), NULL);
    vkft_tensor *n = finish(g, model, x, batch->loss_row, batch->rows);
    vkft_op_linear_cross_entropy(g, n, &model->head, batch->target, batch->loss, false);
}

void vkft_decoder_encode(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, const vkft_kv *caches)
{
    vkft_tensor *memory = encode_source(g, model, batch);
    for (uint32_t l = 0; l < model->decoder.count; l++) {
        vkft_op_store(g, linear(g, memory, &model->decoder.layers[l], VKFT_CROSS_K), caches[l].cross_k);
        vkft_op_store(g, linear(g, memory, &model->decoder.layers[l], VKFT_CROSS_V), caches[l].cross_v);
    }
}

void vkft_decoder_next(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, const vkft_kv *caches,
                       uint64_t logits)
{
    vkft_tensor *x = forward(g, model, embed(g, model, batch), decoder_call(model, batch, NULL), caches);
    vkft_op_logits(g, finish(g, model, x, batch->loss_row, 1), &model->head, logits);
}
