/* Muon: the update of a matrix is its momentum with all singular values brought near 1, by five Newton-Schulz
 * iterations; embeddings, the output head, norms and biases are AdamW's. As torch.optim.Muon, but in f32, where PyTorch
 * iterates in bf16: this needs no more memory than the gradient's, whose place the iteration takes, and one such copy.
 *
 * X = G / |G|, [m,n] with m <= n, and five times: S = X X^T;  P = a I + b S + c S S;  X = P X. Where G has more rows
 * than columns it is X^T that is kept: S = G^T G and G = G P, so that nothing is transposed. Products are of f32
 * whatever --compute-dtype says, because the elements of a large X are too small for f16.
 *
 * The first dimension of a matrix is its outputs, that of GPT-2's, too, which transformers stores the other way around.
 * Source: Jordan et al. 2024; Liu et al. 2025 (match_rms_adamw). Test: test_muon */
#include "host/trainable/optimizer/optimizer.h"

#include <math.h>

#include "host/engine/matmul/product.h"
#include "runtime/base/size.h"
#include "shaders/optimizer/args.h"

#define ITERATIONS 5
#define SLICE 1024u                       /* elements of a partial sum at least */
#define PARTS (VKFT_OPTIMIZER_PARTS - 1u) /* at most; the scratch's last float is the total */
#define ALIGNMENT 256u

enum { MOMENTUM, NESTEROV, ADJUST, ADAMW_RATIO };
enum { ORIGINAL, MATCH_RMS_ADAMW, SPECTRAL_UNCLAMPED };
static const char *const switch_words[] = {"false", "true", NULL};
static const char *const adjust_words[] = {
    [ORIGINAL] = "original", [MATCH_RMS_ADAMW] = "match_rms_adamw", [SPECTRAL_UNCLAMPED] = "spectral_unclamped", NULL};

/* AdamW has both states, Muon the first alone, its momentum. */
static uint64_t values(const vkft_parameter_tensor *t, uint32_t i)
{
    return i > 0 && t->hidden ? 0 : t->floats;
}

/* What the iteration of one matrix needs beside its gradient, by offsets in bytes. */
typedef struct layout {
    uint32_t small;    /* the lesser of rows and cols */
    uint64_t x, s, p;  /* X's other place [rows, cols]; S and P [small, small] */
    uint64_t scratch;  /* of products, */
    uint64_t products; /* bytes of it */
    uint64_t bytes;
} layout;

static layout layout_of(const vkft_parameter_tensor *t)
{
    uint32_t small = min_u32(t->rows, t->cols);
    uint64_t square = round_up((uint64_t)small * small * sizeof(float), ALIGNMENT);
    layout l = {.small = small, .s = round_up((uint64_t)t->rows * t->cols * sizeof(float), ALIGNMENT)};
    l.p = l.s + square;
    l.scratch = l.p + square;
    l.products = max_u64(vkft_product_scratch_bytes(t->rows, t->cols), vkft_product_scratch_bytes(small, small));
    l.bytes = l.scratch + l.products;
    return l;
}

static uint64_t work_bytes(const vkft_parameter_tensor *t)
{
    return t->hidden ? layout_of(t).bytes : 0;
}

/* times the rate of what transformers calls the learning rate */
static double adjustment(const vkft_optimizer_options *o, const vkft_parameter_tensor *t)
{
    double rows = t->rows, cols = t->cols;
    switch ((int)o->args[ADJUST]) {
    case ORIGINAL: return sqrt(fmax(1, rows / cols));
    case MATCH_RMS_ADAMW: return 0.2 * sqrt(fmax(rows, cols));
    default: return sqrt(rows / cols);
    }
}

static vkft_weight matrix(uint64_t address, uint32_t rows, uint32_t cols)
{
    return (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = rows, .cols = cols, .part = {address}};
}

/* S = X X^T of x [rows, cols], or X^T X where it has more rows. */
static void record_square(const vkft_matmul_ctx *ctx, uint64_t x, const vkft_parameter_tensor *t, uint64_t s)
{
    if (t->rows > t->cols) {
        vkft_multiply_outer(
            ctx, &(vkft_outer_product){.M = t->cols, .N = t->cols, .K = t->rows, .X = x, .Z = x, .Y = s, .scale = 1});
        return;
    }
    vkft_weight w = matrix(x, t->rows, t->cols);
    vkft_multiply(
        ctx, &(vkft_product){.w = &w, .transposed = true, .M = t->rows, .X = x, .Y = s, .scale = 1, .exact = true});
}

/* y = P x, or x P where x has more rows than columns. */
static void record_apply(const vkft_matmul_ctx *ctx, uint64_t x, const vkft_parameter_tensor *t, uint64_t p, uint64_t y)
{
    bool tall = t->rows > t->cols;
    vkft_weight w = tall ? matrix(p, t->cols, t->cols) : matrix(x, t->rows, t->cols);
    vkft_multiply(ctx, &(vkft_product){.w = &w, .M = t->rows, .X = tall ? x : p, .Y = y, .scale = 1, .exact = true});
}

/* *x becomes where the result is. */
static void record_iterations(const vkft_matmul_ctx *ctx, const vkft_parameter_tensor *t, const layout *l,
                              uint64_t work, uint64_t *x)
{
    uint64_t s = work + l->s, p = work + l->p, other = work + l->x;
    struct muon_args polynomial = {.g = s, .x = p, .n = l->small * l->small, .cols = l->small};
    vkft_weight square = matrix(s, l->small, l->small);
    for (int i = 0; i < ITERATIONS; i++) {
        uint64_t from = *x;
        record_square(ctx, from, t, s);
        vkft_launch(ctx->cmds, VKFT_KERNEL_muon_polynomial, &polynomial, sizeof polynomial, polynomial.n, 1,
                    2.0 * polynomial.n);
        vkft_multiply(ctx, &(vkft_product){.w = &square,
                                           .transposed = true,
                                           .M = l->small,
                                           .X = s,
                                           .R = p,
                                           .Y = p,
                                           .scale = MUON_C,
                                           .exact = true});
        record_apply(ctx, from, t, p, other);
        *x = other;
        other = from;
    }
}

static void record_adamw(vkft_commands *cmds, const vkft_optimizer_options *o, vkft_optimizer_slice slice)
{
    slice.rate *= (float)o->args[ADAMW_RATIO];
    vkft_optimizer_adamw.record(cmds, o, &slice);
}

static void record(vkft_commands *cmds, const vkft_optimizer_options *o, const vkft_optimizer_slice *slice)
{
    const vkft_parameter_tensor *t = slice->tensor;
    if (!t->hidden) {
        record_adamw(cmds, o, *slice);
        return;
    }
    layout l = layout_of(t);
    uint32_t n = t->rows * t->cols, parts = (uint32_t)min_u64(PARTS, ceil_div(n, SLICE));
    uint64_t total = slice->scratch + PARTS * sizeof(float);
    const vkft_matmul_ctx ctx = {
        .dev = slice->dev, .cmds = cmds, .scratch = slice->work + l.scratch, .scratch_bytes = l.products};
    struct muon_args args = {.p = slice->p,
                             .g = slice->g,
                             .m = slice->state[0],
                             .x = slice->g,
                             .total = total,
                             .step = slice->step,
                             .n = n,
                             .cols = t->cols,
                             .nesterov = o->args[NESTEROV] != 0,
                             .grow = (float)(1 - o->args[MOMENTUM]),
                             .weight_decay = slice->decayed ? (float)o->weight_decay : 0,
                             .rate = slice->rate,
                             .adjust = (float)adjustment(o, t)};
    struct sum_args squares = {.x = args.x, .y = slice->scratch, .n = n, .parts = parts};
    struct sum_args sum = {.x = slice->scratch, .y = total, .n = parts, .parts = 1};
    double work = (double)n;
    vkft_launch(cmds, VKFT_KERNEL_muon_momentum, &args, sizeof args, n, 1, 8 * work);
    vkft_launch_workgroups(cmds, VKFT_KERNEL_sum_squares, &squares, sizeof squares, parts, 1, 2 * work);
    vkft_launch_workgroups(cmds, VKFT_KERNEL_sum, &sum, sizeof sum, 1, 1, parts);
    vkft_launch(cmds, VKFT_KERNEL_muon_normalize, &args, sizeof args, n, 1, 2 * work);
    record_iterations(&ctx, t, &l, slice->work, &args.x);
    vkft_launch(cmds, VKFT_KERNEL_muon, &args, sizeof args, n, 1, 4 * work);
}

const vkft_optimizer_kind vkft_optimizer_muon = {
    .name = "muon",
    .state = {{"exp_avg", VKFT_F32}, {"exp_avg_sq", VKFT_F32}},
    .values = values,
    .work_bytes = work_bytes,
    .args = {[MOMENTUM] = {.name = "momentum", .value = 0.95, .minimum = 0, .below = 1},
             [NESTEROV] = {.name = "nesterov", .value = 1, .words = switch_words},
             [ADJUST] = {.name = "adjust_lr_fn", .value = MATCH_RMS_ADAMW, .words = adjust_words},
             [ADAMW_RATIO] = {.name = "adamw_lr_ratio", .value = 1, .minimum = 0, .below = 1e6}},
    .before_step = vkft_adamw_before_step,
    .record = record,
};
