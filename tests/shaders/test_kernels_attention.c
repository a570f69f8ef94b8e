/* Attention against a double reference, its backward against central differences of that reference: packed sequences,
 * windows, grouped heads, empty ranges, head sizes that are no power of two, and rows that do not fill a workgroup. All
 * of it by every kernel that the device can run: one invocation a row, and more.
 *
 * Tolerance: scores of order 1 with a few roundings each, sums over at most 64 keys: 5e-6 is ten times what they add up
 * to.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shaders/attention/args.h"
#include "tests/support/kernels/kernel_test.h"
#include "host/engine/matmul/coop_tiles.h"
#include "host/engine/ops/attention_kernels.h"
#include "tests/support/system/system.h"

#define TOLERANCE 5e-6
/* On matrix cores each operand of the five products is rounded to f16's 11 bits; errors of a sum's terms are
 * independent, and its factors of order 1. */
#define COOP_TOLERANCE (16 * 0x1p-11)

typedef struct shape {
    uint32_t T, Hq, Hk, D;
    uint32_t sequence; /* length of the packed sequences */
    uint32_t window;   /* 0: none */
    bool holes;        /* some queries see nothing */
    float softcap;     /* 0: none */
    uint32_t buckets;  /* of relative positions; 0: none */
} shape;

#define SPAN                                                                                                           \
    6 /* distances from here on share a bucket; their biases have a gradient only where no distance is longer */

/* A bucket for the distance s - t; nothing like T5's, since the kernel reads a table. */
static uint32_t bucket_of(const shape *s, int distance)
{
    int d = distance < 1 - SPAN ? 1 - SPAN : distance > SPAN - 1 ? SPAN - 1 : distance;
    return (uint32_t)(d + 7 * SPAN) % s->buckets;
}

typedef struct attention_case {
    shape s;
    double scale;
    uint32_t *query_range, *key_range; /* pairs */
    const float *bias;                 /* [buckets,Hq] */
    const double *wide_bias;           /* instead of it */
    const float *dout;
} attention_case;

/* Computes one part with the kernel that is chosen for it. */
static void run(const vkft_kernel_fixture *f, vkft_attention_part part, uint32_t D, const void *args,
                uint32_t args_bytes, uint64_t rows, uint32_t heads)
{
    vkft_attention_kernel k = vkft_attention_choose(f->dev, part, D);
    vkft_kernel_run(f, k.kernel, args, args_bytes, vkft_attention_count(f->dev, k, rows), heads);
}

static void make_ranges(attention_case *k)
{
    const shape *s = &k->s;
    k->query_range = calloc(2ull * s->T, sizeof *k->query_range);
    k->key_range = calloc(2ull * s->T, sizeof *k->key_range);
    for (uint32_t t = 0; t < s->T; t++) {
        uint32_t start = t / s->sequence * s->sequence, end = start + s->sequence < s->T ? start + s->sequence : s->T;
        k->query_range[2 * t] = s->window && t - start >= s->window ? t - s->window + 1 : start;
        k->query_range[2 * t + 1] = t + 1;
        k->key_range[2 * t] = t;
        k->key_range[2 * t + 1] = s->window && t + s->window < end ? t + s->window : end;
    }
    /* A whole sequence without keys: its queries and, on the other side, its keys see nothing. */
    for (uint32_t t = 0; s->holes && t < s->sequence && t < s->T; t++)
        k->query_range[2 * t + 1] = k->query_range[2 * t] = k->key_range[2 * t + 1] = k->key_range[2 * t] = 0;
}

/* x: q [T,Hq,D], then k and v [T,Hk,D]. o [T,Hq,D], lse [T,Hq]; either may be NULL. */
static void reference(const double *x, const attention_case *c, double *o, double *lse)
{
    const shape *s = &c->s;
    const double *q = x, *k = q + s->T * s->Hq * s->D, *v = k + s->T * s->Hk * s->D;
    for (uint32_t t = 0; t < s->T; t++)
        for (uint32_t h = 0; h < s->Hq; h++) {
            uint32_t g = h / (s->Hq / s->Hk), begin = c->query_range[2 * t], end = c->query_range[2 * t + 1],
                     row = t * s->Hq + h;
            double total = 0, score[128] = {0};
            memset(o + row * s->D, 0, s->D * sizeof *o);
            for (uint32_t j = begin; j < end; j++) {
                for (uint32_t d = 0; d < s->D; d++)
                    score[j - begin] += c->scale * q[row * s->D + d] * k[(j * s->Hk + g) * s->D + d];
                if (s->softcap > 0)
                    score[j - begin] = (double)s->softcap * tanh(score[j - begin] / (double)s->softcap);
                if (s->buckets) {
                    uint32_t at = bucket_of(s, (int)j - (int)t) * s->Hq + h;
                    score[j - begin] += c->wide_bias ? c->wide_bias[at] : (double)c->bias[at];
                }
                total += exp(score[j - begin]);
            }
            for (uint32_t j = begin; j < end; j++)
                for (uint32_t d = 0; d < s->D; d++)
                    o[row * s->D + d] += exp(score[j - begin]) / total * v[(j * s->Hk + g) * s->D + d];
            if (lse)
                lse[row] = end > begin ? log(total) : 0;
        }
}

/* The gradients of the sum of dout * o by x, from o and lse: [q, k, v] as x. */
static void reference_backward(const double *x, const attention_case *c, const double *o, const double *lse, double *dx)
{
    const shape *s = &c->s;
    uint32_t nq = s->T * s->Hq * s->D, nk = s->T * s->Hk * s->D, D = s->D;
    const double *q = x, *k = q + nq, *v = k + nk;
    memset(dx, 0, (nq + 2 * nk) * sizeof *dx);
    for (uint32_t t = 0; t < s->T; t++)
        for (uint32_t h = 0; h < s->Hq; h++) {
            uint32_t row = t * s->Hq + h, g = h / (s->Hq / s->Hk);
            double delta = 0;
            for (uint32_t d = 0; d < D; d++)
                delta += (double)c->dout[row * D + d] * o[row * D + d];
            for (uint32_t j = c->query_range[2 * t]; j < c->query_range[2 * t + 1]; j++) {
                uint32_t key = j * s->Hk + g;
                double score = 0, dp = 0, slope = 1;
                for (uint32_t d = 0; d < D; d++) {
                    score += c->scale * q[row * D + d] * k[key * D + d];
                    dp += (double)c->dout[row * D + d] * v[key * D + d];
                }
                if (s->softcap > 0) {
                    double part = tanh(score / (double)s->softcap);
                    score = (double)s->softcap * part;
                    slope = 1 - part * part;
                }
                if (s->buckets)
                    score += (double)c->bias[bucket_of(s, (int)j - (int)t) * s->Hq + h];
                double p = exp(score - lse[row]), ds = p * (dp - delta) * slope * c->scale;
                for (uint32_t d = 0; d < D; d++) {
                    dx[row * D + d] += ds * k[key * D + d];
                    dx[nq + key * D + d] += ds * q[row * D + d];
                    dx[nq + nk + key * D + d] += p * (double)c->dout[row * D + d];
                }
            }
        }
}

static double attention_loss(const double *x, const void *context)
{
    const attention_case *c = context;
    uint32_t n = c->s.T * c->s.Hq * c->s.D;
    double *o = malloc(n * sizeof *o), loss = 0;
    reference(x, c, o, NULL);
    for (uint32_t i = 0; i < n; i++)
        loss += o[i] * (double)c->dout[i];
    free(o);
    return loss;
}

/* The loss as a function of the biases [buckets,Hq]; x are queries, keys and values. */
typedef struct bias_context {
    const attention_case *c;
    const double *x;
} bias_context;

static double bias_loss(const double *bias, const void *context)
{
    const bias_context *k = context;
    attention_case c = *k->c;
    c.wide_bias = bias;
    return attention_loss(k->x, &c);
}

/* The gradient of the biases: sums by distance, then by bucket, added to what is there. */
static void check_bias_gradient(const vkft_kernel_fixture *f, const attention_case *c, const double *x,
                                const float *bias, struct attention_backward_args args, const vkft_guarded *bucket)
{
    uint32_t n = c->s.buckets * c->s.Hq, distances = 2 * SPAN - 1;
    double *wide = vkft_widen(bias, n), *slope = malloc(n * sizeof *slope);
    float *before = vkft_random_array(4, n), *got = malloc(n * sizeof *got);
    bias_context k = {c, x};
    vkft_central_differences(bias_loss, &k, wide, n, slope);
    for (uint32_t i = 0; i < n; i++)
        slope[i] += (double)before[i];
    vkft_guarded by_distance = vkft_guarded_floats(f, NULL, distances * c->s.Hq),
                 dbias = vkft_guarded_floats(f, before, n);
    args.dq = by_distance.address;
    run(f, VKFT_ATTENTION_DBIAS, c->s.D, &args, sizeof args, distances, c->s.Hq);
    struct bucket_sum_args sum = {.bucket = bucket->address,
                                  .by_distance = by_distance.address,
                                  .dbias = dbias.address,
                                  .distances = distances,
                                  .buckets = c->s.buckets,
                                  .H = c->s.Hq};
    vkft_kernel_run(f, VKFT_KERNEL_bucket_sum, &sum, sizeof sum, n, 1);
    vkft_guarded_read(f, &dbias, got);
    vkft_assert_close("attention_dbias", got, slope, n, TOLERANCE);
    vkft_guarded_free(f, &by_distance), vkft_guarded_free(f, &dbias);
    free(wide), free(slope), free(before), free(got);
}

/* gradients: by central differences, which take long for large shapes. longest_walk: short ones may take one row per
 * iteration, long ones more. */
static void check(vkft_kernel_fixture *f, shape s, uint32_t longest_walk, bool gradients)
{
    const char *wish = getenv("VKFT_ATTENTION");
    double tolerance = wish && strcmp(wish, "coop") == 0 ? COOP_TOLERANCE : TOLERANCE;
    uint32_t nq = s.T * s.Hq * s.D, nk = s.T * s.Hk * s.D, n = nq + 2 * nk, rows = s.T * s.Hq;
    float *x = malloc(n * sizeof *x), *dout = malloc(nq * sizeof *dout), *got = malloc(n * sizeof *got);
    double *wide = malloc(n * sizeof *wide), *o = malloc(nq * sizeof *o), *lse = malloc(rows * sizeof *lse),
           *slope = malloc(n * sizeof *slope);
    vkft_random_floats(1, x, n);
    vkft_random_floats(2, dout, nq);
    /* Tiles of matrix cores have scales of their own: of queries and keys they must differ to be told apart. */
    for (uint32_t i = 0; tolerance > TOLERANCE && i < nq + nk; i++)
        x[i] *= i < nq ? 0.25f : 4;
    for (uint32_t i = 0; i < n; i++)
        wide[i] = (double)x[i];
    attention_case c = {.s = s, .scale = 1 / sqrt((double)s.D), .dout = dout};
    make_ranges(&c);
    uint32_t bucket[2 * SPAN - 1];
    float *bias = vkft_random_array(3, (s.buckets + 1) * s.Hq);
    for (int i = 0; i < 2 * SPAN - 1; i++)
        bucket[i] = s.buckets ? bucket_of(&s, i - (SPAN - 1)) : 0;
    c.bias = bias;
    vkft_guarded bb = vkft_guarded_floats(f, bias, (s.buckets + 1) * s.Hq),
                 bu = vkft_guarded_words(f, bucket, 2 * SPAN - 1);
    reference(wide, &c, o, lse);

    assert_true(vkft_ops_setup(
        f->dev,
        &(vkft_ops_constants){
            .head_dim = s.D, .softcap = s.softcap > 0, .relative = s.buckets > 0, .longest_walk = longest_walk},
        NULL));
    vkft_guarded q = vkft_guarded_floats(f, x, nq), k = vkft_guarded_floats(f, x + nq, nk),
                 v = vkft_guarded_floats(f, x + nq + nk, nk);
    vkft_guarded bo = vkft_guarded_floats(f, NULL, nq), bl = vkft_guarded_floats(f, NULL, rows);
    vkft_guarded qr = vkft_guarded_words(f, c.query_range, 2 * s.T), kr = vkft_guarded_words(f, c.key_range, 2 * s.T);
    struct attention_args forward = {.q = q.address,
                                     .k = k.address,
                                     .v = v.address,
                                     .o = bo.address,
                                     .lse = bl.address,
                                     .range = qr.address,
                                     .bias = bb.address,
                                     .bucket = bu.address,
                                     .span = s.buckets ? SPAN : 0,
                                     .T = s.T,
                                     .Hq = s.Hq,
                                     .Hk = s.Hk,
                                     .scale = (float)c.scale,
                                     .softcap = s.softcap};
    run(f, VKFT_ATTENTION_FORWARD, s.D, &forward, sizeof forward, s.T, s.Hq);
    vkft_guarded_read(f, &bo, got);
    vkft_assert_close("attention", got, o, nq, tolerance);
    vkft_guarded_read(f, &bl, got);
    vkft_assert_close("attention lse", got, lse, rows, tolerance);

    vkft_guarded bd = vkft_guarded_floats(f, dout, nq), delta = vkft_guarded_floats(f, NULL, rows),
                 dq = vkft_guarded_floats(f, NULL, nq);
    vkft_guarded dk = vkft_guarded_floats(f, NULL, nk), dv = vkft_guarded_floats(f, NULL, nk);
    struct attention_delta_args delta_args = {
        .dout = bd.address, .o = bo.address, .delta = delta.address, .T = s.T, .Hq = s.Hq};
    run(f, VKFT_ATTENTION_DELTA, s.D, &delta_args, sizeof delta_args, rows, 1);
    struct attention_backward_args backward = {.q = q.address,
                                               .k = k.address,
                                               .v = v.address,
                                               .dout = bd.address,
                                               .lse = bl.address,
                                               .delta = delta.address,
                                               .range = qr.address,
                                               .dq = dq.address,
                                               .dk = dk.address,
                                               .dv = dv.address,
                                               .T = s.T,
                                               .S = s.T,
                                               .Hq = s.Hq,
                                               .Hk = s.Hk,
                                               .bias = bb.address,
                                               .bucket = bu.address,
                                               .span = s.buckets ? SPAN : 0,
                                               .scale = (float)c.scale,
                                               .softcap = s.softcap};
    run(f, VKFT_ATTENTION_DQ, s.D, &backward, sizeof backward, s.T, s.Hq);
    if (gradients && s.buckets && s.sequence <= SPAN)
        check_bias_gradient(f, &c, wide, bias, backward, &bu);
    backward.range = kr.address;
    run(f, VKFT_ATTENTION_DKV, s.D, &backward, sizeof backward, s.T, s.Hk);
    vkft_guarded_read(f, &dq, got);
    vkft_guarded_read(f, &dk, got + nq);
    vkft_guarded_read(f, &dv, got + nq + nk);
    if (gradients)
        vkft_central_differences(attention_loss, &c, wide, n, slope);
    else
        reference_backward(wide, &c, o, lse, slope);
    vkft_assert_close("attention_dq", got, slope, nq, tolerance);
    vkft_assert_close("attention_dk", got + nq, slope + nq, nk, tolerance);
    vkft_assert_close("attention_dv", got + nq + nk, slope + nq + nk, nk, tolerance);
    vkft_guarded *all[] = {&q, &k, &v, &bo, &bl, &qr, &kr, &bd, &delta, &dq, &dk, &dv, &bb, &bu};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        vkft_guarded_free(f, all[i]);
    free(bias), free(x), free(dout), free(got), free(wide), free(o), free(lse), free(slope), free(c.query_range),
        free(c.key_range);
}

static void test_gradients(void **state)
{
    static const shape shapes[] = {
        {1, 1, 1, 2, 1, 0, false, 0, 0},     {9, 2, 1, 6, 9, 0, false, 0, 0},    {13, 4, 2, 8, 5, 0, false, 0, 0},
        {11, 3, 3, 10, 11, 4, false, 0, 0},  {17, 6, 2, 4, 6, 3, true, 0, 0},    {8, 2, 2, 37, 8, 0, false, 0, 0},
        {13, 4, 2, 8, 5, 0, false, 1.5f, 0}, {17, 6, 2, 4, 6, 3, true, 0.5f, 0}, {13, 4, 2, 8, 5, 0, false, 0, 3},
        {17, 6, 2, 4, 9, 0, true, 0, 5},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        check(*state, shapes[i], 1, true);
        check(*state, shapes[i], UINT32_MAX, true);
    }
}

static void test_larger_shapes(void **state)
{
    static const shape shapes[] = {{333, 2, 1, 64, 63, 0, false, 0, 0}, {65, 4, 2, 128, 65, 31, false, 0, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check(*state, shapes[i], 1, false);
}

/* Rows held by several invocations: units of four that the lanes share evenly, and that they do not, rows that are not
 * aligned, fewer units than lanes. */
static void test_lanes(void **state)
{
    static const struct {
        const char *wish;
        bool gradients;
        shape shape;
    } cases[] = {
        {"lanes:2", true, {9, 2, 1, 6, 9, 0, false, 0, 0}},
        {"lanes:2:2", true, {13, 4, 2, 8, 5, 0, false, 0, 3}},
        {"lanes:4:4", true, {17, 6, 2, 9, 7, 3, true, 1.5f, 0}},
        {"lanes:2:2", true, {17, 4, 2, 8, 7, 3, false, 1.5f, 0}}, /* dkv reads rows of queries twice */
        {"lanes:1:2", true, {13, 4, 2, 8, 5, 0, false, 0, 0}},
        {"lanes:2:8", true, {17, 6, 2, 4, 9, 0, true, 0, 5}},
        {"lanes:8", false, {35, 2, 1, 256, 35, 9, true, 0, 0}},
        {"lanes:8:2", true, {13, 4, 2, 8, 5, 0, false, 0, 3}},
        {"lanes:8", true, {8, 2, 2, 37, 8, 0, false, 0, 0}},
        {"lanes:8:4", false, {137, 4, 2, 36, 65, 31, false, 0, 0}},
        {"lanes:8:4", false, {19, 2, 2, 99, 19, 7, false, 2, 0}},
        {"lanes:4:4", false, {33, 1, 1, 80, 20, 0, false, 0, 0}},
        {"lanes:8:2", false, {65, 2, 1, 64, 65, 31, false, 0, 0}},
        {"lanes:16:2", true, {17, 6, 2, 4, 9, 0, true, 0, 5}},
        {"lanes:16:4", false, {35, 2, 1, 112, 35, 9, true, 0, 0}},
    };
    const vkft_kernel_fixture *f = *state;
    const vkft_caps *caps = vkft_device_get_caps(f->dev);
    if (!vkft_caps_have(caps, VKFT_CAP_SUBGROUP_SHUFFLE)) {
        print_message("the device has no subgroup shuffles\n");
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_test_environment("VKFT_ATTENTION", cases[i].wish);
        if (strtoul(cases[i].wish + strlen("lanes:"), NULL, 10) <= caps->subgroup_size)
            check(*state, cases[i].shape, i % 2 ? 1 : UINT32_MAX, cases[i].gradients);
    }
    vkft_test_environment("VKFT_ATTENTION", NULL);
}

/* Products on matrix cores: head sizes of whole matrices (a card's have 16 columns), tiles of rows that are full and
 * not, rows of very large and very small elements; of lavapipe two subgroups share rows of 24 and 32 elements, of cards
 * those of 128. lavapipe takes minutes to compile large heads: there VKFT_COOP_HEADS=all asks for them. */
static void test_coop(void **state)
{
    static const shape shapes[] = {
        {50, 8, 4, 8, 50, 0, false, 0, 0},        {9, 2, 1, 16, 9, 0, false, 0, 0},
        {77, 4, 2, 16, 77, 0, false, 0, 0},       {101, 2, 2, 24, 40, 9, true, 1.5f, 0},
        {77, 4, 2, 32, 77, 0, false, 0, 0},       {77, 4, 2, 64, 50, 0, true, 0, 0},
        {101, 4, 2, 128, 75, 20, false, 1.5f, 0}, {77, 4, 2, 128, 77, 0, false, 0, 0},
    };
    const vkft_kernel_fixture *f = *state;
    const char *heads = getenv("VKFT_COOP_HEADS");
    bool all = !vkft_device_get_caps(f->dev)->software || (heads && strcmp(heads, "all") == 0);
    vkft_test_environment("VKFT_ATTENTION", "coop");
    vkft_err err;
    const vkft_coop_tiles *tiles = vkft_coop_tiles_of(vkft_device_get_caps(f->dev), true);
    bool there = vkft_ops_setup(f->dev, &(vkft_ops_constants){.head_dim = 64}, &err);
    for (size_t i = 0; there && i < sizeof shapes / sizeof *shapes; i++)
        if ((all || shapes[i].D <= 32) && shapes[i].D % tiles->K == 0 && shapes[i].D % tiles->N == 0)
            check(*state, shapes[i], 1, false);
    vkft_test_environment("VKFT_ATTENTION", NULL);
    if (!there) {
        print_message("%s\n", err.message);
        skip();
    }
}

/* Kernels for the self-test of attention on matrix cores: true: those that VKFT_ATTENTION=coop takes, or with a context
 * a kernel that takes heads for half as long. */
static void choose(vkft_device *dev, bool matrix, const void *broken)
{
    vkft_test_environment("VKFT_ATTENTION", matrix && !broken ? "coop" : "plain");
    vkft_err err;
    if (!vkft_ops_setup(dev, &(vkft_ops_constants){.head_dim = 16}, &err))
        fail_msg("%s", err.message);
    const uint32_t half[] = {8, 0, 0, 1};
    if (matrix && broken)
        vkft_kernel_specialize(dev, VKFT_KERNEL_attention_dkv, 0, 0, half, 4);
}

static void test_selftest(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    bool same = true;
    assert_true(vkft_attention_compare(f->dev, 16, choose, &same, &same, &err));
    assert_false(same);
    vkft_test_environment("VKFT_ATTENTION", "coop");
    if (vkft_ops_setup(f->dev, &(vkft_ops_constants){.head_dim = 16}, &err)) {
        assert_true(vkft_attention_compare(f->dev, 16, choose, NULL, &same, &err));
        assert_true(same);
    }
    vkft_test_environment("VKFT_ATTENTION", NULL);
}

static void test_wishes(void **state)
{
    static const char *const wishes[] = {"lanes:3",  "lanes:1024", "lanes",      "lanes:0",
                                         "lanes:2:", "lanes:2:3",  "lanes:2:16", "fast"};
    const vkft_kernel_fixture *f = *state;
    for (size_t i = 0; i < sizeof wishes / sizeof *wishes; i++) {
        vkft_err err;
        vkft_test_environment("VKFT_ATTENTION", wishes[i]);
        assert_false(vkft_ops_setup(f->dev, &(vkft_ops_constants){.head_dim = 64}, &err));
        assert_non_null(strstr(err.message, "expected plain, coop, lanes:N or lanes:N:R"));
    }
    vkft_test_environment("VKFT_ATTENTION", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gradients), cmocka_unit_test(test_larger_shapes),
                                       cmocka_unit_test(test_lanes),     cmocka_unit_test(test_coop),
                                       cmocka_unit_test(test_selftest),  cmocka_unit_test(test_wishes)};
    return cmocka_run_group_tests_name("kernels: attention", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
