/* Linear layers with a matrix for each group of rows, and their LoRA branches: linear.c's formulas, group by group.
 *
 *   y = c (x W_g^T + s z B_g^T),   z = xd A_g^T,  xd = dropout(x)
 *   dz = c s dy B_g;  dB_g += c s dy^T z;  dA_g += dz^T xd;  dx += c dy W_g + mask/(1-p) * (dz A_g)
 *
 * and, where they are trained, dW_g += c dy^T x.
 *
 * Test: test_ops_experts
 */
#include "host/engine/ops/ops.h"

#include "shaders/matmul/args.h"
#include "host/engine/matmul/grouped.h"

enum { TABLE_W, TABLE_DW, TABLE_A, TABLE_B, TABLE_DA, TABLE_DB };
_Static_assert(TABLE_DB + 1 == VKFT_GROUP_TABLES, "a place for each table");

uint64_t vkft_grouped_table_bytes(uint32_t groups)
{
    return (uint64_t)VKFT_GROUP_TABLES * groups * sizeof(struct weight_ref);
}

void vkft_grouped_tables(const vkft_grouped_linear *grouped, void *tables)
{
    struct weight_ref *table = tables;
    uint32_t G = grouped->groups;
    for (uint32_t i = 0; i < G; i++) {
        const vkft_linear *l = &grouped->linear[i];
        table[TABLE_W * G + i] = vkft_weight_ref(&l->w);
        table[TABLE_DW * G + i] = (struct weight_ref){.data = l->w.grad};
        table[TABLE_A * G + i] = (struct weight_ref){.data = l->lora.A, .cols = l->w.cols};
        table[TABLE_B * G + i] = (struct weight_ref){.data = l->lora.B, .cols = l->lora.r};
        table[TABLE_DA * G + i] = (struct weight_ref){.data = l->lora.dA};
        table[TABLE_DB * G + i] = (struct weight_ref){.data = l->lora.dB};
    }
}

static uint64_t table_of(const vkft_grouped_linear *grouped, uint32_t number)
{
    return grouped->tables + (uint64_t)number * grouped->groups * sizeof(struct weight_ref);
}

static vkft_group_weights weights_of(const vkft_grouped_linear *grouped)
{
    const vkft_weight *w = &grouped->linear->w;
    return (vkft_group_weights){
        .storage = w->storage, .rows = w->rows, .cols = w->cols, .table = table_of(grouped, TABLE_W)};
}

static vkft_group_weights lora_of(const vkft_grouped_linear *grouped, uint32_t number, uint32_t rows, uint32_t cols)
{
    return (vkft_group_weights){
        .storage = VKFT_STORAGE_f32, .rows = rows, .cols = cols, .table = table_of(grouped, number)};
}

/* A token goes to an expert once, so no group has more rows than there are tokens. */
static vkft_grouping grouping_of(vkft_graph *g, const vkft_grouped_linear *grouped, const vkft_tensor *group,
                                 uint32_t rows, uint32_t per_token)
{
    return (vkft_grouping){
        .groups = grouped->groups, .rows = rows, .most = rows / per_token, .table = vkft_tensor_address(g, group)};
}

typedef struct grouped_state {
    const vkft_grouped_linear *grouped;
    uint32_t per_token;
    float scale;
} grouped_state;

static void backward_lora(vkft_graph *g, const vkft_tape_entry *op)
{
    const grouped_state *state = op->state;
    const vkft_grouped_linear *grouped = state->grouped;
    const vkft_linear *l = grouped->linear;
    vkft_tensor *x = op->in[0], *group = op->in[1], *dy = op->out->grad, *z = op->saved;
    uint32_t in = l->w.cols, out = l->w.rows, r = l->lora.r;
    bool drops = vkft_lora_drops(g, &l->lora);
    vkft_group_weights A = lora_of(grouped, TABLE_A, r, in), B = lora_of(grouped, TABLE_B, out, r);
    vkft_tensor *dz = vkft_tensor_new(g, VKFT_F32, x->rows, r);
    vkft_tensor *xd = drops ? vkft_tensor_new(g, VKFT_F32, x->rows, in) : x,
                *dxd = drops && x->needs_grad ? vkft_tensor_new(g, VKFT_F32, x->rows, in) : NULL;
    vkft_grouping grouping = grouping_of(g, grouped, group, x->rows, state->per_token);
    float scale = state->scale * l->lora.scale;

    vkft_grouped_nn(&g->product, &grouping, vkft_tensor_address(g, dy), &B, vkft_tensor_address(g, dz), false, scale);
    vkft_grouped_tn(&g->product, &grouping, out, r, vkft_tensor_address(g, dy), vkft_tensor_address(g, z),
                    table_of(grouped, TABLE_DB), scale);
    if (drops)
        vkft_lora_dropout(g, &l->lora, x, xd, false);
    vkft_grouped_tn(&g->product, &grouping, r, in, vkft_tensor_address(g, dz), vkft_tensor_address(g, xd),
                    table_of(grouped, TABLE_DA), 1.0f);
    if (!x->needs_grad)
        return;
    vkft_tensor *dx = x->grad; /* the frozen weights' product has been written to it */
    vkft_grouped_nn(&g->product, &grouping, vkft_tensor_address(g, dz), &A, vkft_tensor_address(g, drops ? dxd : dx),
                    !drops, 1.0f);
    if (drops)
        vkft_lora_dropout(g, &l->lora, dxd, dx, true);
}

static void backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const grouped_state *state = op->state;
    const vkft_grouped_linear *grouped = state->grouped;
    vkft_tensor *x = op->in[0], *group = op->in[1], *dy = op->out->grad;
    vkft_group_weights w = weights_of(grouped);
    bool add = false;
    vkft_tensor *dx = x->needs_grad ? vkft_grad(g, x, &add) : NULL;
    vkft_grouping grouping = grouping_of(g, grouped, group, x->rows, state->per_token);
    if (dx)
        vkft_grouped_nn(&g->product, &grouping, vkft_tensor_address(g, dy), &w, vkft_tensor_address(g, dx), add,
                        state->scale);
    if (grouped->linear->w.grad)
        vkft_grouped_tn(&g->product, &grouping, w.rows, w.cols, vkft_tensor_address(g, dy), vkft_tensor_address(g, x),
                        table_of(grouped, TABLE_DW), state->scale);
    if (grouped->linear->lora.r)
        backward_lora(g, op);
}

vkft_tensor *vkft_op_grouped_linear(vkft_graph *g, vkft_tensor *x, const vkft_grouped_linear *grouped,
                                    const vkft_routing *routing, vkft_linear_call call)
{
    const vkft_linear *l = grouped->linear;
    uint32_t in = l->w.cols, out = l->w.rows, r = l->lora.r;
    float scale = call.scale != 0 ? call.scale : 1.0f;
    vkft_tensor *y =
        call.only_backward ? vkft_tensor_at(g, 0, VKFT_F32, x->rows, out) : vkft_tensor_new(g, VKFT_F32, x->rows, out);
    y->needs_grad = x->needs_grad || r || l->w.grad;
    vkft_grouping grouping = grouping_of(g, grouped, routing->group, x->rows, routing->per_token);
    if (!call.only_backward) {
        vkft_group_weights w = weights_of(grouped);
        vkft_grouped_nt(&g->product, &grouping, vkft_tensor_address(g, x), &w, vkft_tensor_address(g, y), false, scale);
    }
    vkft_tensor *z = NULL;
    if (r) {
        vkft_group_weights A = lora_of(grouped, TABLE_A, r, in), B = lora_of(grouped, TABLE_B, out, r);
        bool drops = vkft_lora_drops(g, &l->lora);
        z = vkft_tensor_new(g, VKFT_F32, x->rows, r);
        vkft_tensor *xd = drops ? vkft_tensor_new(g, VKFT_F32, x->rows, in) : x;
        if (drops)
            vkft_lora_dropout(g, &l->lora, x, xd, false);
        vkft_grouped_nt(&g->product, &grouping, vkft_tensor_address(g, xd), &A, vkft_tensor_address(g, z), false, 1.0f);
        if (!call.only_backward)
            vkft_grouped_nt(&g->product, &grouping, vkft_tensor_address(g, z), &B, vkft_tensor_address(g, y), true,
                            scale * l->lora.scale);
    }
    const grouped_state state = {.grouped = grouped, .per_token = routing->per_token, .scale = scale};
    vkft_tape_push(g, (vkft_tape_entry){.backward = backward, .in = {x, routing->group}, .out = y, .saved = z}, &state,
                   sizeof state);
    return y;
}
