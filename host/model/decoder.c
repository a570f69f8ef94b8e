/* Ways to run a model: stacks of blocks between embedding and head. */
#include "host/model/decoder.h"

#include <stdlib.h>

#include "host/engine/ops/f16_rows.h"
#include "host/model/blocks/blocks.h"

/* x itself where the family has no such norm. */
static vkft_tensor *norm(vkft_graph *g, vkft_tensor *x, const vkft_norm *n)
{
    return n->width ? vkft_op_norm(g, x, n) : x;
}

/* A stack on its way through a step. */
typedef struct run {
    const vkft_stack *stack;
    vkft_tensor **x;    /* [count + 1]: x[l] is what block l reads, x[count] the result */
    vkft_tensor **kept; /* [count]: copies of those of which no more than the copy is kept */
    bool host;          /* copies are in host memory */
    uint32_t taped;     /* blocks from here on put themselves on the tape; those below are computed again */
    uint32_t rounded;   /* inputs of blocks below are kept in f16, in a pass that does so */
} run;

/* A copy of block l's input to compute it again from; NULL: the input itself stays. */
static vkft_tensor *keep(vkft_graph *g, const run *r, uint32_t l)
{
    if (g->pass.f16_inputs && l < r->rounded)
        return vkft_f16_keep(g, r->x[l], r->host);
    return r->host ? vkft_op_keep(g, r->x[l]) : NULL;
}

static vkft_tensor *restore(vkft_graph *g, const run *r, uint32_t l)
{
    const vkft_tensor *kept = r->kept[l];
    return !kept ? r->x[l] : kept->f16 ? vkft_f16_restore(g, kept) : vkft_op_restore(g, kept);
}

/* Fills x[1] ... x[count]. */
static void run_stack(vkft_graph *g, const run *r, const vkft_block_call *call)
{
    for (uint32_t l = 0; l < r->stack->count; l++) {
        g->pass.taping = l >= r->taped;
        if (!g->pass.taping)
            r->kept[l] = keep(g, r, l); /* while the block begins by reading its input, too */
        r->x[l + 1] = vkft_block_forward(g, &r->stack->layers[l], r->x[l], call);
    }
    g->pass.taping = true;
}

/* Backward of the blocks below `taped`, computing each one's inside again. Nothing lies above `mark` on the tape. */
static void replay_stack(vkft_graph *g, const run *r, vkft_block_call call, uint32_t mark)
{
    call.only_backward = true;
    for (uint32_t l = r->taped; l-- > 0 && r->x[l + 1]->needs_grad;) {
        vkft_tensor *x = restore(g, r, l);
        x->needs_grad = r->x[l]->needs_grad;
        vkft_tensor *y = vkft_block_forward(g, &r->stack->layers[l], x, &call);
        y->grad = r->x[l + 1]->grad;
        vkft_tape_backward(g, mark);
        r->x[l]->grad = x->grad;
    }
}

static vkft_block_call encoder_call(const vkft_batch *batch)
{
    return (vkft_block_call){.sequence = &batch->source, .windowed = &batch->source};
}

static vkft_block_call decoder_call(const vkft_batch *batch, vkft_tensor *memory)
{
    return (vkft_block_call){.sequence = &batch->sequence,
                             .windowed = &batch->windowed,
                             .memory = memory,
                             .cross = &batch->cross,
                             .expert_choice = batch->expert_choice};
}

static vkft_tensor *embed_tokens(vkft_graph *g, const vkft_model *model, const vkft_stack *stack, uint64_t ids,
                                 uint32_t count)
{
    const vkft_embedding e = {.table = &model->embedding, .lora = &stack->embedding.lora, .rows = &model->token_rows};
    return vkft_op_embedding(g, &e, ids, count, model->embedding_scale);
}

/* What the first block reads. */
static vkft_tensor *embed(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    vkft_tensor *x = embed_tokens(g, model, &model->decoder, batch->ids, batch->tokens);
    vkft_op_noise(g, x, &batch->sequence, model->noise_scale);
    if (model->project_in.w.rows)
        x = vkft_op_linear(g, x, &model->project_in, (vkft_linear_call){0});
    if (model->positions.rows)
        vkft_op_embedding_add(g, x, &model->positions, batch->sequence.position, model->position_offset);
    return x;
}

static vkft_tensor *embed_source(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    return embed_tokens(g, model, &model->encoder, batch->source_ids, batch->source_tokens);
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
void vkft_decoder_train(vkft_graph *g, const vkft_model *model, const vkft_batch *batch,
                        vkft_checkpointing checkpointing)
{
    uint32_t E = model->encoder.count, L = model->decoder.count;
    vkft_tensor **tensors = calloc(2 * (E + L + 1ull), sizeof *tensors);
    if (!tensors) {
        g->failed = true;
        return;
    }
    bool checkpoints = checkpointing != VKFT_CHECKPOINTING_OFF, host = checkpointing == VKFT_CHECKPOINTING_HOST;
    vkft_tensor **kept = tensors + E + L + 2;
    uint32_t encoded_again = checkpoints ? E : 0, rounded = checkpoints ? L - 1 : 0;
    run encoder = {&model->encoder, tensors, kept, host, encoded_again, encoded_again};
    /* The last block's backward follows at once, so its inside may stay; where memory is short, it does not beside the
     * head. Its input is not rounded either way, so that where things lie makes no difference to the bits. */
    run decoder = {&model->decoder, tensors + E + 1, kept + E, host, host ? L : rounded, rounded};
    vkft_tensor *memory = NULL;
    vkft_block_call encode = encoder_call(batch);
    uint32_t source_embedded = 0, encoded = 0;
    g->pass.taping = true;
    if (E) {
        encoder.x[0] = embed_source(g, model, batch);
        source_embedded = g->tape_count;
        run_stack(g, &encoder, &encode);
        memory = norm(g, encoder.x[E], &model->encoder.final_norm);
        encoded = g->tape_count;
    }
    vkft_block_call decode = decoder_call(batch, memory);
    decoder.x[0] = embed(g, model, batch);
    uint32_t embedded = g->tape_count;
    run_stack(g, &decoder, &decode);
    vkft_tensor *n = finish(g, model, decoder.x[L], batch->loss_row, batch->rows);
    vkft_op_linear_cross_entropy(g, n, &model->head, batch->target, batch->row_weight, batch->loss, true);
    vkft_tape_backward(g, embedded);
    replay_stack(g, &decoder, decode, embedded);
    vkft_tape_backward(g, encoded);
    if (E) {
        vkft_tape_backward(g, source_embedded);
        replay_stack(g, &encoder, encode, source_embedded);
    }
    vkft_tape_backward(g, 0);
    free(tensors);
}

/* The last block's output. */
static vkft_tensor *forward(vkft_graph *g, const vkft_stack *stack, vkft_tensor *x, vkft_block_call call,
                            const vkft_kv *caches)
{
    for (uint32_t l = 0; l < stack->count; l++) {
        call.cache = caches ? &caches[l] : NULL;
        x = vkft_block_forward(g, &stack->layers[l], x, &call);
    }
    return x;
}

static vkft_tensor *encode_source(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    vkft_tensor *x = forward(g, &model->encoder, embed_source(g, model, batch), encoder_call(batch), NULL);
    return norm(g, x, &model->encoder.final_norm);
}

void vkft_decoder_eval(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    vkft_tensor *memory = model->encoder.count ? encode_source(g, model, batch) : NULL;
    vkft_tensor *x = forward(g, &model->decoder, embed(g, model, batch), decoder_call(batch, memory), NULL);
    vkft_tensor *n = finish(g, model, x, batch->loss_row, batch->rows);
    vkft_op_linear_cross_entropy(g, n, &model->head, batch->target, 0, batch->loss, false);
}

void vkft_decoder_encode(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, const vkft_kv *caches)
{
    vkft_tensor *memory = encode_source(g, model, batch);
    for (uint32_t l = 0; l < model->decoder.count; l++)
        vkft_cross_store(g, &model->decoder.layers[l], memory, &caches[l]);
}

void vkft_decoder_next(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, const vkft_kv *caches,
                       uint64_t logits)
{
    vkft_tensor *x = forward(g, &model->decoder, embed(g, model, batch), decoder_call(batch, NULL), caches);
    vkft_op_logits(g, finish(g, model, x, batch->loss_row, 1), &model->head, logits);
}
