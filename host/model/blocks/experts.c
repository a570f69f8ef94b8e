/* A mixture of experts in place of the feed-forward layer (ops/experts.c). */
#include "host/model/blocks/blocks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "mlp.experts.*.up_proj" with a number. */
static void expert_name(const char *pattern, uint32_t number, char *name, size_t size)
{
    const char *star = strchr(pattern, '*');
    snprintf(name, size, "%.*s%u%s", (int)(star - pattern), pattern, number, star + 1);
}

static void list(vkft_model_list *list, vkft_layer *layer, vkft_block_part part)
{
    (void)part;
    const char *const *names = list->names->linear;
    uint32_t experts = layer->spec.experts;
    vkft_module *module = vkft_list_slot(list, layer, &layer->linear[VKFT_ROUTER], VKFT_ROUTER, names[VKFT_ROUTER]);
    if (module)
        module->explicit_only = true;
    for (uint32_t s = 0; s < VKFT_EXPERT_SLOTS; s++) {
        vkft_linear *linear = calloc(experts, sizeof *linear);
        list->failed |= !linear;
        layer->experts[s] = (vkft_grouped_linear){.linear = linear, .groups = linear ? experts : 0};
    }
    for (uint32_t e = 0; e < experts && !list->failed; e++)
        for (uint32_t s = 0; s < VKFT_EXPERT_SLOTS; s++) {
            char inner[64];
            expert_name(names[VKFT_EXPERT_GATE + s], e, inner, sizeof inner);
            module = vkft_list_slot(list, layer, &layer->experts[s].linear[e], VKFT_EXPERT_GATE + s, inner);
            if (module) {
                module->explicit_only = true;
                module->expert_group = list->expert_groups + 1 + s;
            }
        }
    layer->mixture = list->expert_groups / VKFT_EXPERT_SLOTS;
    list->expert_groups += VKFT_EXPERT_SLOTS;
}

static vkft_tensor *forward(vkft_graph *g, const vkft_layer *layer, vkft_tensor *x, vkft_tensor *n,
                            const vkft_block_call *call)
{
    const vkft_block_spec *spec = &layer->spec;
    const vkft_grouped_linear *experts = layer->experts;
    const vkft_norm *after = &layer->norm[VKFT_NORM_MLP_AFTER];
    bool only_backward = call->only_backward && !after->width;
    vkft_linear_call plain = {0}, down = {.scale = spec->residual_scale, .only_backward = only_backward};
    uint64_t kept = (uint64_t)layer->mixture * n->rows * spec->experts_per_token * sizeof(uint32_t);
    vkft_routing routing =
        vkft_op_route(g, vkft_block_linear(g, layer, VKFT_ROUTER, n), spec->experts_per_token,
                      spec->expert_weights_normalized, call->expert_choice ? call->expert_choice + kept : 0);
    vkft_tensor *rows = vkft_op_dispatch(g, n, &routing);
    vkft_tensor *gate = vkft_op_grouped_linear(g, rows, &experts[0], &routing, plain);
    vkft_tensor *h = vkft_op_expert_gated(g, gate, vkft_op_grouped_linear(g, rows, &experts[1], &routing, plain),
                                          &routing, spec->activation);
    vkft_tensor *y = vkft_op_grouped_linear(g, h, &experts[2], &routing, down);
    if (after->width)
        return vkft_op_add(g, x, vkft_op_norm(g, vkft_op_combine(g, y, &routing, NULL, false), after));
    return vkft_op_combine(g, y, &routing, x, only_backward);
}

const vkft_block_row vkft_block_experts = {
    .norm = VKFT_NORM_MLP,
    .list = list,
    .forward = forward,
};
