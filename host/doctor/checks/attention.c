/* Attention against a double reference: packed sequences, windows, grouped heads, empty ranges, biases, soft caps.
 *
 * The operation is planned and recorded as training does it, and its kernels are told apart by what they write: a wrong
 * dq is not the fault of a kernel with "dkv" in its name.
 *
 * Tolerance: scores of order 1 with a few roundings each, sums over at most 65 keys: 5e-6 relative to 1 + |value| is
 * ten times what they add up to. On matrix cores each operand of the five products is rounded to f16's 11 bits; errors
 * of a sum's terms are independent, and its factors of order 1. Test: test_checks */
#include "host/doctor/checks/attention.h"

#include <math.h>

#include "host/doctor/reference/attention.h"
#include "host/engine/ops/ops.h"

#define TOLERANCE 5e-6
#define F16_TOLERANCE (16 * 0x1p-11)
#define SPAN 6u /* distances from here on share a bucket */

typedef struct trial {
    vkft_lab *lab;
    const vkft_attention_check *c;
    vkft_lab_array q, k, v, dout, o, dq, dk, dv, query_range, key_range, position, bias, dbias, bucket;
    vkft_attention_shape shape;
    vkft_relative_bias relative;
    vkft_sequence sequence;
} trial;

static void make_ranges(const vkft_attention_check *c, uint32_t *query, uint32_t *key)
{
    for (uint32_t t = 0; t < c->T; t++) {
        uint32_t start = t / c->sequence * c->sequence, end = start + c->sequence < c->T ? start + c->sequence : c->T;
        query[2 * t] = c->window && t - start >= c->window ? t - c->window + 1 : start;
        query[2 * t + 1] = t + 1;
        key[2 * t] = t;
        key[2 * t + 1] = c->window && t + c->window < end ? t + c->window : end;
        if (c->holes && start == 0)
            query[2 * t] = query[2 * t + 1] = key[2 * t] = key[2 * t + 1] = 0;
    }
}

static void make_arrays(trial *r)
{
    vkft_lab *lab = r->lab;
    const vkft_attention_check *c = r->c;
    uint32_t nq = c->T * c->Hq * c->D, nk = c->T * c->Hk * c->D, nb = (c->buckets + 1) * c->Hq;
    r->q = vkft_lab_random(lab, 1, nq), r->k = vkft_lab_random(lab, 2, nk), r->v = vkft_lab_random(lab, 3, nk);
    r->dout = vkft_lab_random(lab, 4, nq), r->o = vkft_lab_output(lab, nq), r->dq = vkft_lab_output(lab, nq);
    r->dk = vkft_lab_output(lab, nk), r->dv = vkft_lab_output(lab, nk);
    r->query_range = vkft_lab_output(lab, 2 * c->T), r->key_range = vkft_lab_output(lab, 2 * c->T);
    r->position = vkft_lab_output(lab, c->T);
    r->bias = vkft_lab_random(lab, 5, nb), r->dbias = vkft_lab_random(lab, 6, nb);
    r->bucket = vkft_lab_output(lab, 2 * SPAN - 1);
    make_ranges(c, r->query_range.u, r->key_range.u);
    for (uint32_t t = 0; t < c->T; t++)
        r->position.u[t] = t % c->sequence;
    for (uint32_t i = 0; i < 2 * SPAN - 1; i++)
        r->bucket.u[i] = c->buckets ? (i + 7) % c->buckets : 0;
    r->relative = (vkft_relative_bias){
        .bias = r->bias.address, .dbias = r->dbias.address, .buckets = c->buckets, .bucket = r->bucket.address};
    r->shape = (vkft_attention_shape){.Hq = c->Hq,
                                      .Hk = c->Hk,
                                      .D = c->D,
                                      .scale = (float)(1 / sqrt((double)c->D)),
                                      .softcap = c->softcap,
                                      .relative = c->buckets ? &r->relative : NULL};
    r->sequence = (vkft_sequence){.position = r->position.address,
                                  .query_range = r->query_range.address,
                                  .key_range = r->key_range.address,
                                  .span = c->buckets ? SPAN : 0,
                                  .longest = c->sequence};
}

/* The operation and its backward, for the plan or recording. */
static void trace(trial *r, vkft_graph *g, bool backward)
{
    const vkft_attention_check *c = r->c;
    g->pass.taping = backward;
    vkft_tensor *q = vkft_tensor_at(g, r->q.address, VKFT_F32, c->T, c->Hq * c->D),
                *k = vkft_tensor_at(g, r->k.address, VKFT_F32, c->T, c->Hk * c->D),
                *v = vkft_tensor_at(g, r->v.address, VKFT_F32, c->T, c->Hk * c->D);
    q->needs_grad = k->needs_grad = v->needs_grad = backward;
    vkft_tensor *o = vkft_op_attention(g, q, k, v, &r->shape, &r->sequence);
    vkft_op_store(g, o, r->o.address);
    if (!backward)
        return;
    o->grad = vkft_tensor_at(g, r->dout.address, VKFT_F32, c->T, c->Hq * c->D);
    vkft_tape_backward(g, 0);
    vkft_op_store(g, q->grad, r->dq.address);
    vkft_op_store(g, k->grad, r->dk.address);
    vkft_op_store(g, v->grad, r->dv.address);
}

static bool plan_and_run(trial *r, bool backward)
{
    vkft_lab *lab = r->lab;
    vkft_graph g;
    bool ok = vkft_graph_init(&g);
    if (ok) {
        vkft_graph_begin_plan(&g);
        trace(r, &g, backward);
        ok = !g.failed && vkft_plan_solve(g.plan);
    }
    if (ok) {
        vkft_lab_array arena = vkft_lab_output(lab, (uint32_t)(vkft_plan_total(g.plan) / 4) + 1);
        vkft_lab_record(lab);
        vkft_graph_set_device(&g, lab->dev, 0, 0);
        vkft_graph_begin_record(&g, lab->cmds, arena.address);
        trace(r, &g, backward);
        ok = !g.failed;
        vkft_lab_execute(lab);
        vkft_lab_accept(lab, arena);
    }
    vkft_graph_free(&g);
    if (!ok) {
        lab->lost = true;
        vkft_fail_memory(&lab->err, "for checks of the kernels");
    }
    return ok;
}

void vkft_check_attention(vkft_lab *lab, const vkft_attention_check *c)
{
    static const char *const forward[] = {"attention_d", NULL}, *const only_dq[] = {"dkv", "dbias", "bucket", NULL},
                             *const only_dkv[] = {"_dq", "dbias", "bucket", NULL},
                             *const only_dbias[] = {"_dq", "dkv", NULL};
    const double tolerance = c->f16 ? F16_TOLERANCE : TOLERANCE;
    const vkft_ops_constants constants = {.head_dim = c->D,
                                          .softcap = c->softcap > 0,
                                          .relative = c->buckets > 0,
                                          .longest_walk = c->sequence,
                                          .operands = c->f16 ? VKFT_F16 : VKFT_F32};
    vkft_lab_begin(lab, "attention%s, %u rows of %u and %u heads of %u", c->f16 ? " in fp16" : "", c->T, c->Hq, c->Hk,
                   c->D);
    if (lab->lost || !vkft_ops_setup(lab->dev, &constants, &lab->err)) {
        lab->lost = true;
        return;
    }
    trial r = {.lab = lab, .c = c};
    make_arrays(&r);
    vkft_reference_attention a = {.T = c->T,
                                  .S = c->T,
                                  .Hq = c->Hq,
                                  .Hk = c->Hk,
                                  .D = c->D,
                                  .scale = (double)r.shape.scale,
                                  .softcap = (double)c->softcap,
                                  .range = r.query_range.u,
                                  .bias = c->buckets ? vkft_lab_wide(lab, r.bias) : NULL,
                                  .bucket = r.bucket.u,
                                  .span = SPAN,
                                  .q = vkft_lab_wide(lab, r.q),
                                  .k = vkft_lab_wide(lab, r.k),
                                  .v = vkft_lab_wide(lab, r.v)};
    double *o = vkft_lab_doubles(lab, r.o.count), *lse = vkft_lab_doubles(lab, (size_t)c->T * c->Hq),
           *dq = vkft_lab_doubles(lab, r.dq.count), *dk = vkft_lab_doubles(lab, r.dk.count),
           *dv = vkft_lab_doubles(lab, r.dv.count), *dbias = vkft_lab_wide(lab, r.dbias);
    vkft_reference_attend(&a, o, lse);
    vkft_reference_attend_backward(&a, vkft_lab_wide(lab, r.dout), dq, dk, dv, c->buckets ? dbias : NULL);
    if (!plan_and_run(&r, false))
        return;
    vkft_lab_expect(lab, "o", r.o, o, tolerance);
    if (!plan_and_run(&r, true))
        return;
    vkft_lab_expect(lab, "o with backward", r.o, o, tolerance);
    vkft_lab_verdict_but(lab, forward);
    vkft_lab_expect(lab, "dq", r.dq, dq, tolerance);
    vkft_lab_verdict_but(lab, only_dq);
    vkft_lab_expect(lab, "dk", r.dk, dk, tolerance);
    vkft_lab_expect(lab, "dv", r.dv, dv, tolerance);
    vkft_lab_verdict_but(lab, only_dkv);
    if (c->buckets) {
        vkft_lab_expect(lab, "dbias", r.dbias, dbias, 4 * tolerance); /* a sum over all rows */
        vkft_lab_verdict_but(lab, only_dbias);
    }
    vkft_lab_end(lab);
}
