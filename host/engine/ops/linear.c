/* Linear layers with their LoRA branch: one matrix for all rows, or one for each group of rows (experts).
 *
 *   y  = residual + c (x W^T + b + s z B^T),   z = xd A^T,  xd = dropout(x)
 *   dz = c s dy B;  dB += c s dy^T z;  dA += dz^T xd;  dx += c dy W + mask/(1-p) * (dz A)
 *
 * and, where they are trained, dW += c dy^T x;  db += c sum_t dy. With groups W, A and B are those of the row's group,
 * and neither bias nor residual exists.
 *
 * z [T,r] is kept for the backward; xd is drawn again from the counter-based generator. The residual's gradient is dy
 * itself: it takes over dy's memory, since nothing reads dy after this op's backward.
 *
 * B may have a bias b: y += c s b;  db += c s sum_t dy.
 *
 * An adapter may have an origin B0 A0, which is constant and taken off W: y -= c s x A0^T B0^T;  dx -= c s dy B0 A0.
 *
 * With VeRA, z0 = xd A^T, z = d z0 and y = residual + c (x W^T + b0 + b (z B^T)), where A and B are frozen:
 *
 *   db += c sum_t dy (z B^T);  dz = (c b dy) B;  dd += sum_t dz z0;  dx += c dy W + mask/(1-p) * ((d dz) A)
 *
 * With (IA)^3, u = x W^T + b and y = residual + c l u, or y = residual + c ((l x) W^T + b):  dl += c sum_t dy u, or
 * sum_t (c dy W) x.
 *
 * With DoRA, f = magnitude / n, n the norms of the rows of W + s B A, which the gradient takes for constants as PEFT
 * does:
 *
 *   u = xd W^T + s z B^T;  y = residual + c (f u + b), and with dropout + c (x W^T - xd W^T)
 *   dmagnitude += c / n sum_t dy u;  dv = c f dy in the place of c dy;  with dropout dx += c dy W + mask/(1-p) ((dv - c
 * dy) W + dz A)
 *
 * u [T,out] is kept, too. The norms follow from those of W alone, |W_c + s B_c A|^2 = |W_c|^2 + s B_c (2 A W_c^T + s A
 * A^T B_c^T): products with the rows of A, and no matrix of W's size. A row of W + s B A that is far shorter than W's
 * loses digits, as any small difference does.
 *
 * Source: Hu et al. 2021 (LoRA), Dettmers et al. 2023 (QLoRA), Liu et al. 2024 (DoRA), Kopiczko et al. 2024 (VeRA).
 * Test: test_ops_linear, test_ops_gradients, test_ops_experts
 */
#include "host/engine/matmul/gemm.h"
#include "host/engine/ops/f16_rows.h"
#include "host/engine/ops/linear_private.h"

#include "runtime/base/size.h"
#include "shaders/elementwise/args.h"
#include "shaders/matmul/args.h"

/* Matrices of a layer; with groups each of the first has a table, and so has its gradient. */
typedef enum matrix { MATRIX_W, MATRIX_A, MATRIX_B, MATRIX_COUNT, MATRIX_A0 = MATRIX_COUNT, MATRIX_B0 } matrix;
_Static_assert(2 * MATRIX_COUNT == VKFT_GROUP_TABLES, "a place for each table");

uint64_t vkft_grouped_table_bytes(uint32_t groups)
{
    return (uint64_t)VKFT_GROUP_TABLES * groups * sizeof(struct weight_ref);
}

static vkft_weight matrix_of(const vkft_linear *l, matrix which)
{
    switch (which) {
    case MATRIX_A:
        return (vkft_weight){
            .storage = VKFT_STORAGE_f32, .rows = l->lora.r, .cols = l->w.cols, .part = {l->lora.A}, .grad = l->lora.dA};
    case MATRIX_B:
        return (vkft_weight){
            .storage = VKFT_STORAGE_f32, .rows = l->w.rows, .cols = l->lora.r, .part = {l->lora.B}, .grad = l->lora.dB};
    case MATRIX_A0:
        return (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = l->lora.r, .cols = l->w.cols, .part = {l->lora.A0}};
    case MATRIX_B0:
        return (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = l->w.rows, .cols = l->lora.r, .part = {l->lora.B0}};
    default: return l->w;
    }
}

void vkft_grouped_tables(const vkft_grouped_linear *grouped, void *tables)
{
    struct weight_ref *table = tables;
    for (uint32_t which = 0; which < MATRIX_COUNT; which++)
        for (uint32_t i = 0; i < grouped->groups; i++) {
            vkft_weight w = matrix_of(&grouped->linear[i], (matrix)which);
            table[2 * which * grouped->groups + i] = vkft_weight_ref(&w);
            table[(2 * which + 1) * grouped->groups + i] = (struct weight_ref){.data = w.grad};
        }
}

/* y = (add ? y : 0) + x * mask / (1-p). */
static void drop(vkft_graph *g, const vkft_lora *lora, vkft_tensor *x, vkft_tensor *y, bool add)
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
    vkft_graph_touch(g, x, args.y, vkft_tensor_row_bytes(y, y->rows));
    vkft_launch_elements(g, VKFT_KERNEL_dropout, &args, sizeof args, ceil_div(n, 4), 1, 12.0 * n);
    vkft_graph_touch_end(g);
}

/* Whether the branch drops elements of its input in this pass. */
static bool drops(const vkft_graph *g, const vkft_lora *lora)
{
    return g->pass.dropout && lora->dropout > 0;
}

/* A call of a layer, and what its backward needs. */
typedef struct linear_state {
    const vkft_linear *linear;          /* with groups the first, which says for all what is trained */
    const vkft_grouped_linear *grouped; /* NULL: no groups */
    vkft_tensor *group;                 /* with groups: where each one's rows begin */
    uint32_t per_token;
    float scale;
    bool exact;
    vkft_tensor *factors, *u; /* DoRA: [2,out] f and 1/n, and u; else NULL */
} linear_state;

/* A token goes to an expert once, so no group has more rows than there are tokens. */
static vkft_grouping grouping_of(vkft_graph *g, const linear_state *s, uint32_t rows)
{
    return (vkft_grouping){.groups = s->grouped->groups,
                           .rows = rows,
                           .max_rows = rows / s->per_token,
                           .table = vkft_tensor_address(g, s->group)};
}

static uint64_t table_of(const linear_state *s, uint32_t number)
{
    return s->grouped->tables + (uint64_t)number * s->grouped->groups * sizeof(struct weight_ref);
}

/* y = add + scale * x op(W) + the branch; add: NULL, y itself or another tensor. */
static void multiply_with(vkft_graph *g, const linear_state *s, matrix which, bool transposed, const vkft_tensor *x,
                          const vkft_tensor *add, const vkft_tensor *y, float scale, vkft_branch branch)
{
    vkft_weight w = matrix_of(s->linear, which);
    vkft_product product = {.w = &w,
                            .transposed = transposed,
                            .M = x->rows,
                            .X = vkft_tensor_address(g, x),
                            .R = add ? vkft_tensor_address(g, add) : 0,
                            .Y = vkft_tensor_address(g, y),
                            .scale = scale,
                            .branch = branch,
                            .exact = s->exact || which != MATRIX_W};
    vkft_grouping groups;
    if (s->grouped) {
        groups = grouping_of(g, s, x->rows);
        product.groups = &groups;
        product.weights = table_of(s, 2 * which);
    }
    if (!product.exact && !vkft_product_has_few_rows(&product))
        product.f16 = vkft_f16_rows_of(g, x);
    vkft_multiply(&g->product, &product);
}

static void multiply(vkft_graph *g, const linear_state *s, matrix which, bool transposed, const vkft_tensor *x,
                     const vkft_tensor *add, const vkft_tensor *y, float scale)
{
    multiply_with(g, s, which, transposed, x, add, y, scale, (vkft_branch){0});
}

/* z V as the product with W adds it; nothing where it is to be added apart: with groups, and where an origin is taken
 * off in between. z: NULL, or what there is of the LoRA. */
static vkft_branch branch_of(vkft_graph *g, const linear_state *s, const vkft_tensor *z, uint64_t V, float scale)
{
    if (!z || s->grouped || s->linear->lora.A0)
        return (vkft_branch){0};
    return (vkft_branch){.Z = vkft_tensor_address(g, z), .V = V, .r = z->cols, .scale = scale};
}

/* The matrix's gradient += scale * x^T z. Of activations and their gradients that products read in f16, gradients of
 * adapters are computed from the same rows, so that the f32 ones need not wait for the backward. */
static void add_gradient(vkft_graph *g, const linear_state *s, matrix which, const vkft_tensor *x, const vkft_tensor *z,
                         float scale)
{
    vkft_weight w = matrix_of(s->linear, which);
    vkft_outer_product product = {.M = x->cols, .N = z->cols, .K = x->rows, .R = w.grad, .Y = w.grad, .scale = scale};
    bool rounded = !s->grouped && !s->exact && which != MATRIX_W, x16 = rounded && vkft_f16_rows_exist(g, x),
         z16 = rounded && !x16 && vkft_f16_rows_exist(g, z);
    if (x16)
        product.X16 = vkft_f16_rows_of(g, x);
    else
        product.X = vkft_tensor_address(g, x);
    if (z16)
        product.Z16 = vkft_f16_rows_of(g, z);
    else
        product.Z = vkft_tensor_address(g, z);
    vkft_grouping groups;
    if (s->grouped) {
        groups = grouping_of(g, s, x->rows);
        product.groups = &groups;
        product.Y = table_of(s, 2 * which + 1);
    }
    vkft_multiply_outer(&g->product, &product);
}

/* x itself, or a dropped copy. */
static vkft_tensor *dropped(vkft_graph *g, const vkft_linear *l, vkft_tensor *x)
{
    if (!drops(g, &l->lora))
        return x;
    vkft_tensor *xd = vkft_tensor_new(g, VKFT_F32, x->rows, x->cols);
    drop(g, &l->lora, x, xd, false);
    return xd;
}

/* The gradients of A, unless it is frozen, and B from scale * dy; returns dz. */
static vkft_tensor *lora_gradients(vkft_graph *g, const vkft_tape_entry *op, const vkft_tensor *dy, float scale)
{
    const linear_state *s = op->state;
    const vkft_linear *l = s->linear;
    vkft_tensor *x = op->in[0], *z = op->saved;

    vkft_tensor *dz = vkft_tensor_new(g, VKFT_F32, x->rows, l->lora.r);
    multiply(g, s, MATRIX_B, false, dy, NULL, dz, scale);
    add_gradient(g, s, MATRIX_B, dy, z, scale);
    if (l->lora.dA)
        add_gradient(g, s, MATRIX_A, dz, dropped(g, l, x), 1.0f);
    return dz;
}

/* dx += mask/(1-p) * (dz A). */
static void add_lora_dx(vkft_graph *g, const linear_state *s, vkft_tensor *dz, vkft_tensor *dx)
{
    const vkft_lora *lora = &s->linear->lora;
    if (!drops(g, lora)) {
        multiply(g, s, MATRIX_A, false, dz, dx, dx, 1.0f);
    } else {
        vkft_tensor *branch = vkft_tensor_new(g, VKFT_F32, dx->rows, dx->cols);
        multiply(g, s, MATRIX_A, false, dz, NULL, branch, 1.0f);
        drop(g, lora, branch, dx, true);
    }
}

vkft_tensor *vkft_lora_inner(vkft_graph *g, const vkft_linear *linear, vkft_tensor *x)
{
    const linear_state s = {.linear = linear, .scale = 1.0f};
    vkft_tensor *z = vkft_tensor_new(g, VKFT_F32, x->rows, linear->lora.r);
    multiply(g, &s, MATRIX_A, true, dropped(g, linear, x), NULL, z, 1.0f);
    return z;
}

void vkft_lora_inner_backward(vkft_graph *g, const vkft_linear *linear, vkft_tensor *x, vkft_tensor *dz,
                              vkft_tensor *dx)
{
    const linear_state s = {.linear = linear, .scale = 1.0f, .exact = true};
    if (linear->lora.dA)
        add_gradient(g, &s, MATRIX_A, dz, dropped(g, linear, x), 1.0f);
    if (dx)
        add_lora_dx(g, &s, dz, dx);
}

/* The two products by which the origin's is taken off: z = x A0^T and y -= c s z B0^T, or, backwards, z = dy B0 and
 * dx -= c s z A0. */
static vkft_tensor *origin_rows(vkft_graph *g, const linear_state *s, bool forwards, const vkft_tensor *x)
{
    if (!s->linear->lora.A0)
        return NULL;
    vkft_tensor *z = vkft_tensor_new(g, VKFT_F32, x->rows, s->linear->lora.r);
    multiply(g, s, forwards ? MATRIX_A0 : MATRIX_B0, forwards, x, NULL, z, 1.0f);
    return z;
}

static void subtract_origin(vkft_graph *g, const linear_state *s, bool forwards, const vkft_tensor *z, vkft_tensor *y)
{
    if (z)
        multiply(g, s, forwards ? MATRIX_B0 : MATRIX_A0, forwards, z, y, y, -s->scale * s->linear->lora.scale);
}

/* factors of W + s B A, see above. */
static vkft_tensor *dora_factors(vkft_graph *g, const linear_state *state)
{
    const vkft_linear *l = state->linear;
    const vkft_lora *lora = &l->lora;
    linear_state s = *state;
    s.exact = true; /* norms are not rounded as operands */
    vkft_tensor *factors = vkft_tensor_new(g, VKFT_F32, 2, l->w.rows);
    vkft_tensor *a = vkft_tensor_at(g, lora->A, VKFT_F32, lora->r, l->w.cols);
    vkft_tensor *aa = vkft_tensor_new(g, VKFT_F32, lora->r, lora->r);
    vkft_tensor *u = vkft_tensor_new(g, VKFT_F32, lora->r, l->w.rows);
    multiply(g, &s, MATRIX_A, true, a, NULL, aa, 1.0f);
    multiply(g, &s, MATRIX_W, true, a, NULL, u, 2.0f);
    multiply(g, &s, MATRIX_B, true, aa, u, u, lora->scale);
    struct dora_factors_args args = {.squares = lora->squares,
                                     .b = lora->B,
                                     .u = vkft_tensor_address(g, u),
                                     .m = lora->magnitude,
                                     .f = vkft_tensor_address(g, factors),
                                     .N = l->w.rows,
                                     .r = lora->r,
                                     .scale = lora->scale};
    vkft_launch_elements(g, VKFT_KERNEL_dora_factors, &args, sizeof args, args.N, 1, 2.0 * args.N * args.r);
    return factors;
}

/* y = r + scale * (f u - base + b); r, base NULL and b 0: none. */
static void dora_rows(vkft_graph *g, uint64_t f, const vkft_tensor *u, const vkft_tensor *base, uint64_t b,
                      const vkft_tensor *r, vkft_tensor *y, float scale)
{
    struct dora_rows_args args = {.f = f,
                                  .u = vkft_tensor_address(g, u),
                                  .base = base ? vkft_tensor_address(g, base) : 0,
                                  .b = b,
                                  .r = r ? vkft_tensor_address(g, r) : 0,
                                  .y = vkft_tensor_address(g, y),
                                  .T = y->rows,
                                  .C = y->cols,
                                  .parts = (r ? DORA_ADD : 0) | (base ? DORA_LESS : 0) | (b ? DORA_BIAS : 0),
                                  .scale = scale};
    uint64_t n = (uint64_t)y->rows * y->cols;
    vkft_launch_elements(g, VKFT_KERNEL_dora_rows, &args, sizeof args, n, 1, 4.0 * (double)n);
}

/* dm += scale * inverse * sum_t dy u. */
static void magnitude_gradient(vkft_graph *g, const vkft_tensor *dy, const vkft_tensor *u, uint64_t inverse,
                               uint64_t dm, float scale)
{
    struct dora_magnitude_args args = {.dy = vkft_tensor_address(g, dy),
                                       .u = vkft_tensor_address(g, u),
                                       .inverse = inverse,
                                       .dm = dm,
                                       .T = dy->rows,
                                       .C = dy->cols,
                                       .scale = scale};
    vkft_launch_elements(g, VKFT_KERNEL_dora_magnitude, &args, sizeof args, args.C, 1, 2.0 * args.T * args.C);
}

/* df += scale * sum_t dy u. */
static void factor_gradient(vkft_graph *g, const vkft_tensor *dy, const vkft_tensor *u, uint64_t df, float scale)
{
    vkft_tensor *ones = vkft_tensor_new(g, VKFT_F32, 1, dy->cols);
    struct fill_args fill = {.y = vkft_tensor_address(g, ones), .n = ones->cols, .value = 1.0f};
    vkft_launch_elements(g, VKFT_KERNEL_fill, &fill, sizeof fill, fill.n, 1, fill.n);
    magnitude_gradient(g, dy, u, vkft_tensor_address(g, ones), df, scale);
}

/* f x, a factor for each column. */
static vkft_tensor *times_factors(vkft_graph *g, uint64_t f, const vkft_tensor *x, float scale)
{
    vkft_tensor *y = vkft_tensor_new(g, VKFT_F32, x->rows, x->cols);
    dora_rows(g, f, x, NULL, 0, NULL, y, scale);
    return y;
}

/* The gradients of b and d; returns d dz. z B^T is computed again: it is as large as the layer's output. */
static vkft_tensor *vera_gradients(vkft_graph *g, const vkft_tape_entry *op, const vkft_tensor *dy)
{
    const linear_state *s = op->state;
    const vkft_lora *lora = &s->linear->lora;
    vkft_tensor *z0 = op->saved, *u = vkft_tensor_new(g, VKFT_F32, dy->rows, dy->cols);
    multiply(g, s, MATRIX_B, true, times_factors(g, lora->d, z0, 1.0f), NULL, u, 1.0f);
    factor_gradient(g, dy, u, lora->db, s->scale);
    vkft_tensor *dz = vkft_tensor_new(g, VKFT_F32, dy->rows, lora->r);
    multiply(g, s, MATRIX_B, false, times_factors(g, lora->b, dy, s->scale), NULL, dz, 1.0f);
    factor_gradient(g, dz, z0, lora->dd, 1.0f);
    return times_factors(g, lora->d, dz, 1.0f);
}

/* The gradients of what is trained and of x. */
static void dora_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const linear_state *s = op->state;
    const vkft_lora *lora = &s->linear->lora;
    vkft_tensor *x = op->in[0], *dy = op->out->grad;
    magnitude_gradient(g, dy, s->u, vkft_tensor_address(g, s->factors) + dy->cols * sizeof(float), lora->dmagnitude,
                       s->scale);
    vkft_tensor *dv = vkft_tensor_new(g, VKFT_F32, dy->rows, dy->cols);
    dora_rows(g, vkft_tensor_address(g, s->factors), dy, NULL, 0, NULL, dv, s->scale);
    vkft_tensor *dz = lora_gradients(g, op, dv, lora->scale);
    if (!x->needs_grad)
        return;
    bool add;
    vkft_tensor *dx = vkft_grad(g, x, &add);
    if (!drops(g, lora)) {
        multiply(g, s, MATRIX_W, false, dv, add ? dx : NULL, dx, 1.0f);
        multiply(g, s, MATRIX_A, false, dz, dx, dx, 1.0f);
        return;
    }
    multiply(g, s, MATRIX_W, false, dy, add ? dx : NULL, dx, s->scale);
    dora_rows(g, vkft_tensor_address(g, s->factors), dy, dy, 0, NULL, dv, s->scale);
    vkft_tensor *branch = vkft_tensor_new(g, VKFT_F32, dx->rows, dx->cols);
    multiply(g, s, MATRIX_W, false, dv, NULL, branch, 1.0f);
    multiply(g, s, MATRIX_A, false, dz, branch, branch, 1.0f);
    drop(g, lora, branch, dx, true);
}

/* The gradients of l and x. */
static void ia3_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const linear_state *s = op->state;
    const vkft_ia3 *ia3 = &s->linear->ia3;
    vkft_tensor *x = op->in[0], *dy = op->out->grad, *inner = dy; /* of l u: x where the input is multiplied */
    bool add;
    if (ia3->input) {
        inner = vkft_tensor_new(g, VKFT_F32, x->rows, x->cols);
        multiply(g, s, MATRIX_W, false, dy, NULL, inner, s->scale);
    }
    factor_gradient(g, inner, ia3->input ? x : s->u, ia3->dl, ia3->input ? 1.0f : s->scale);
    if (!x->needs_grad)
        return;
    if (ia3->input) {
        vkft_tensor *dx = vkft_grad(g, x, &add);
        dora_rows(g, ia3->l, inner, NULL, 0, add ? dx : NULL, dx, 1.0f);
        return;
    }
    vkft_tensor *dv = vkft_tensor_new(g, VKFT_F32, dy->rows, dy->cols);
    dora_rows(g, ia3->l, dy, NULL, 0, NULL, dv, s->scale);
    vkft_tensor *dx = vkft_grad(g, x, &add);
    multiply(g, s, MATRIX_W, false, dv, add ? dx : NULL, dx, 1.0f);
}

/* All that reads x comes before dx, which may then lie where x was: at the output of an MLP these are the largest
 * tensors of a step. */
static void backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const linear_state *s = op->state;
    const vkft_linear *l = s->linear;
    vkft_tensor *x = op->in[0], *residual = op->in[1], *dy = op->out->grad, *dz = NULL;
    bool dora = s->factors != NULL, ia3 = l->ia3.l != 0;
    if (dora)
        dora_backward(g, op);
    if (ia3)
        ia3_backward(g, op);
    if (l->w.grad)
        add_gradient(g, s, MATRIX_W, dy, x, s->scale);
    if (l->dbias)
        vkft_column_sum(g, dy, l->dbias, s->scale);
    if (l->lora.dbias)
        vkft_column_sum(g, dy, l->lora.dbias, s->scale * l->lora.scale);
    if (l->lora.b)
        dz = vera_gradients(g, op, dy);
    else if (l->lora.r && !dora)
        dz = lora_gradients(g, op, dy, s->scale * l->lora.scale);
    if (x->needs_grad && !dora && !ia3) {
        bool add;
        vkft_tensor *dx = vkft_grad(g, x, &add);
        vkft_branch branch = branch_of(g, s, drops(g, &l->lora) ? NULL : dz, l->lora.A, 1.0f);
        multiply_with(g, s, MATRIX_W, false, dy, add ? dx : NULL, dx, s->scale, branch);
        subtract_origin(g, s, false, origin_rows(g, s, false, dy), dx);
        if (dz && !branch.r)
            add_lora_dx(g, s, dz, dx);
    }
    if (residual && residual->needs_grad)
        vkft_grad_accumulate(g, residual, dy);
}

/* y = residual + scale * bias; residual: NULL, y itself or another tensor. */
static void add_bias(vkft_graph *g, uint64_t bias, vkft_tensor *residual, vkft_tensor *y, float scale)
{
    struct bias_rows_args args = {.b = bias,
                                  .r = residual ? vkft_tensor_address(g, residual) : 0,
                                  .y = vkft_tensor_address(g, y),
                                  .T = y->rows,
                                  .C = y->cols,
                                  .add = residual != NULL,
                                  .scale = scale};
    uint32_t n = y->rows * y->cols;
    vkft_launch_elements(g, VKFT_KERNEL_bias_rows, &args, sizeof args, n, 1, 2.0 * n);
}

/* y = residual + scale * (x W^T + bias) + the branch. */
static void forward_base(vkft_graph *g, vkft_tensor *x, const linear_state *s, vkft_tensor *residual, vkft_tensor *y,
                         vkft_branch branch)
{
    vkft_tensor *added = residual;
    if (s->linear->bias) {
        add_bias(g, s->linear->bias, residual, y, s->scale); /* for the product to be added to */
        added = y;
    }
    multiply_with(g, s, MATRIX_W, true, x, added, y, s->scale, branch);
}

/* Past the product with A nothing reads x in f32, unless its elements are dropped or its matrix is trained. */
static void round_input(vkft_graph *g, const linear_state *s, vkft_tensor *x)
{
    const vkft_linear *l = s->linear;
    vkft_f16_rows_make(g, x, s->exact || l->w.grad || (l->lora.r && drops(g, &l->lora)));
}

/* Computes factors, u and y; returns z. */
static vkft_tensor *forward_dora(vkft_graph *g, vkft_tensor *x, linear_state *s, vkft_linear_call call, vkft_tensor *y)
{
    const vkft_linear *l = s->linear;
    vkft_tensor *xd = dropped(g, l, x), *z = vkft_tensor_new(g, VKFT_F32, x->rows, l->lora.r), *base = NULL;
    s->factors = dora_factors(g, s);
    multiply(g, s, MATRIX_A, true, xd, NULL, z, 1.0f);
    round_input(g, s, x);
    s->u = vkft_tensor_new(g, VKFT_F32, x->rows, l->w.rows);
    if (xd != x)
        base = vkft_tensor_new(g, VKFT_F32, x->rows, l->w.rows);
    multiply(g, s, MATRIX_W, true, xd, NULL, base ? base : s->u, 1.0f);
    multiply(g, s, MATRIX_B, true, z, base ? base : s->u, s->u, l->lora.scale);
    if (call.only_backward)
        return z;
    if (base) {
        forward_base(g, x, s, call.residual, y, (vkft_branch){0});
        dora_rows(g, vkft_tensor_address(g, s->factors), s->u, base, 0, y, y, s->scale);
    } else {
        dora_rows(g, vkft_tensor_address(g, s->factors), s->u, NULL, l->bias, call.residual, y, s->scale);
    }
    return z;
}

/* Computes u, where the output is multiplied, and y. */
static void forward_ia3(vkft_graph *g, vkft_tensor *x, linear_state *s, vkft_linear_call call, vkft_tensor *y)
{
    const vkft_ia3 *ia3 = &s->linear->ia3;
    linear_state plain = *s;
    if (ia3->input) {
        vkft_f16_rows_make(g, x, true); /* others may read them */
        if (call.only_backward)
            return;
        vkft_tensor *xl = vkft_tensor_new(g, VKFT_F32, x->rows, x->cols);
        dora_rows(g, ia3->l, x, NULL, 0, NULL, xl, 1.0f);
        forward_base(g, xl, s, call.residual, y, (vkft_branch){0});
        return;
    }
    round_input(g, s, x);
    s->u = vkft_tensor_new(g, VKFT_F32, x->rows, s->linear->w.rows);
    plain.scale = 1.0f;
    forward_base(g, x, &plain, NULL, s->u, (vkft_branch){0});
    if (!call.only_backward)
        dora_rows(g, ia3->l, s->u, NULL, 0, call.residual, y, s->scale);
}

static vkft_tensor *forward(vkft_graph *g, vkft_tensor *x, const linear_state *given, vkft_linear_call call)
{
    linear_state state = *given, *s = &state;
    const vkft_linear *l = s->linear;
    uint32_t T = x->rows, out = l->w.rows;
    vkft_tensor *y = call.only_backward ? vkft_tensor_at(g, 0, VKFT_F32, T, out) : vkft_tensor_new(g, VKFT_F32, T, out);
    y->needs_grad = x->needs_grad || l->lora.r || l->ia3.dl || l->w.grad || l->dbias ||
                    (call.residual && call.residual->needs_grad);
    vkft_tensor *z = NULL;
    if (l->lora.magnitude) {
        z = forward_dora(g, x, s, call, y);
    } else if (l->ia3.l) {
        forward_ia3(g, x, s, call, y);
    } else {
        if (l->lora.r) {
            z = vkft_tensor_new(g, VKFT_F32, T, l->lora.r);
            multiply(g, s, MATRIX_A, true, dropped(g, l, x), NULL, z, 1.0f);
        }
        vkft_tensor *z0 = call.only_backward ? NULL : origin_rows(g, s, true, x);
        round_input(g, s, x);
        vkft_branch branch = branch_of(g, s, l->lora.b ? NULL : z, l->lora.B, s->scale * l->lora.scale);
        if (!call.only_backward)
            forward_base(g, x, s, call.residual, y, branch);
        subtract_origin(g, s, true, z0, y);
        if (l->lora.b && !call.only_backward) {
            vkft_tensor *u = vkft_tensor_new(g, VKFT_F32, T, out);
            multiply(g, s, MATRIX_B, true, times_factors(g, l->lora.d, z, 1.0f), NULL, u, 1.0f);
            dora_rows(g, l->lora.b, u, NULL, 0, y, y, s->scale);
        } else if (z && !branch.r && !call.only_backward) {
            multiply(g, s, MATRIX_B, true, z, y, y, s->scale * l->lora.scale);
        }
        if (l->lora.bias && !call.only_backward)
            add_bias(g, l->lora.bias, y, y, s->scale * l->lora.scale);
    }
    vkft_tape_push(g, (vkft_tape_entry){.backward = backward, .in = {x, call.residual, s->group}, .out = y, .saved = z},
                   s, sizeof *s);
    return y;
}

vkft_tensor *vkft_op_linear(vkft_graph *g, vkft_tensor *x, const vkft_linear *l, vkft_linear_call call)
{
    const linear_state state = {.linear = l, .scale = call.scale != 0 ? call.scale : 1.0f, .exact = call.exact};
    return forward(g, x, &state, call);
}

vkft_tensor *vkft_op_grouped_linear(vkft_graph *g, vkft_tensor *x, const vkft_grouped_linear *grouped,
                                    const vkft_routing *routing, vkft_linear_call call)
{
    const linear_state state = {.linear = grouped->linear,
                                .grouped = grouped,
                                .group = routing->group,
                                .per_token = routing->per_token,
                                .scale = call.scale != 0 ? call.scale : 1.0f};
    return forward(g, x, &state, call);
}
