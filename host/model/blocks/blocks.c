/* A block, of which each family has some parts:
 *
 *   n  = norm(x)
 *   a  = attention(rope(norm(Wq n)), rope(norm(Wk n)), Wv n)
 *   x' = x + norm(Wo a)
 *   m  = norm(x')                 or norm(x): side by side
 *   y  = x' + norm(Wdown h)       h = act(Wgate m) * Wup m, or act(Wup m)
 *
 * or, with experts, y = x' + sum over a token's experts e of weight_e Wdown_e h_e (ops/experts.c);
 * or, with post-norm (norm_after_residual), x' = norm(x + Wo a), y = norm(x' + Wdown h).
 *
 * Source: Touvron et al. 2023 (Llama); Radford et al. 2019 (GPT-2); Zhang et al. 2022 (OPT); Gemma Team 2024 (Gemma 2).
 * Test: test_golden
 */
#include "host/model/blocks/blocks.h"

const vkft_block_row *vkft_block_row_of(vkft_block_part part)
{
    static const vkft_block_row *const parts[VKFT_BLOCK_PART_KINDS] = {
#define PART(name, row) [VKFT_BLOCK_##name] = &vkft_block_##row,
#include "formats/config/parts.def"
#undef PART
    };
    return parts[part];
}

vkft_tensor *vkft_block_linear(vkft_graph *g, const vkft_layer *layer, vkft_linear_slot slot, vkft_tensor *x)
{
    /* A rounded score could send a token to another expert. */
    return vkft_op_linear(g, x, &layer->linear[slot], (vkft_linear_call){.exact = slot == VKFT_ROUTER});
}

bool vkft_block_has_linear(const vkft_layer *layer, vkft_linear_slot slot)
{
    return layer->linear[slot].w.rows != 0;
}

vkft_tensor *vkft_block_join(vkft_graph *g, const vkft_layer *layer, vkft_linear_slot slot, vkft_norm_slot after,
                             vkft_tensor *x, vkft_tensor *h, const vkft_block_call *call)
{
    const vkft_linear *out = &layer->linear[slot];
    const vkft_norm *norm = &layer->norm[after];
    float scale = layer->spec.residual_scale;
    if (norm->width)
        return vkft_op_add(g, x, vkft_op_norm(g, vkft_op_linear(g, h, out, (vkft_linear_call){.scale = scale}), norm));
    return vkft_op_linear(g, h, out,
                          (vkft_linear_call){.residual = x, .scale = scale, .only_backward = call->only_backward});
}

/* x itself where the family has no such norm. */
static vkft_tensor *normed(vkft_graph *g, vkft_tensor *x, const vkft_norm *norm)
{
    return norm->width ? vkft_op_norm(g, x, norm) : x;
}

vkft_tensor *vkft_block_forward(vkft_graph *g, const vkft_layer *layer, vkft_tensor *x, const vkft_block_call *call)
{
    const vkft_block_spec *spec = &layer->spec;
    vkft_tensor *stream = x;
    if (layer->upload)
        vkft_commands_stage(g->cmds, layer->upload);
    for (uint32_t i = 0; i < VKFT_BLOCK_PARTS && spec->parts[i]; i++) {
        const vkft_block_row *part = vkft_block_row_of(spec->parts[i]);
        const vkft_norm *norm = &layer->norm[part->norm];
        bool last = i + 1 == VKFT_BLOCK_PARTS || !spec->parts[i + 1];
        vkft_block_call inner = *call;
        inner.only_backward = call->only_backward && last && !spec->norm_after_residual;
        vkft_tensor *input = spec->parallel ? x : stream;
        if (spec->norm_after_residual)
            stream = normed(g, part->forward(g, layer, stream, input, &inner), norm);
        else
            stream = part->forward(g, layer, stream, normed(g, input, norm), &inner);
    }
    return stream;
}
