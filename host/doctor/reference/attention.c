/* See attention.h. Test: test_reference */
#include "host/doctor/reference/attention.h"

#include <math.h>
#include <string.h>

#include "host/doctor/reference/ops.h"

static double dot(const double *x, const double *y, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Where a bias of query t and key s is. */
static uint32_t bias_at(const vkft_reference_attention *a, uint32_t t, uint32_t s, uint32_t h)
{
    int64_t distance = (int64_t)s - t, farthest = (int64_t)a->span - 1;
    distance = distance < -farthest ? -farthest : distance > farthest ? farthest : distance;
    return a->bucket[distance + farthest] * a->Hq + h;
}

static const double *row_of(const vkft_reference_attention *a, const double *kv, uint32_t s, uint32_t h)
{
    return kv + ((uint64_t)s * a->Hk + h / (a->Hq / a->Hk)) * a->D;
}

/* The score, and *slope: of it by scale q.k. */
static double score(const vkft_reference_attention *a, uint32_t t, uint32_t s, uint32_t h, double *slope)
{
    double z = a->scale * dot(a->q + ((uint64_t)t * a->Hq + h) * a->D, row_of(a, a->k, s, h), a->D);
    double capped = vkft_reference_softcap(z, a->softcap);
    *slope = a->softcap > 0 ? 1 - pow(capped / a->softcap, 2) : 1;
    return capped + (a->bias ? a->bias[bias_at(a, t, s, h)] : 0);
}

void vkft_reference_attend(const vkft_reference_attention *a, double *o, double *lse)
{
    for (uint32_t t = 0; t < a->T; t++)
        for (uint32_t h = 0; h < a->Hq; h++) {
            uint64_t row = (uint64_t)t * a->Hq + h;
            double total = 0, highest = -INFINITY, slope;
            for (uint32_t s = a->range[2 * t]; s < a->range[2 * t + 1]; s++)
                highest = fmax(highest, score(a, t, s, h, &slope));
            memset(o + row * a->D, 0, a->D * sizeof *o);
            for (uint32_t s = a->range[2 * t]; s < a->range[2 * t + 1]; s++) {
                double p = exp(score(a, t, s, h, &slope) - highest);
                total += p;
                for (uint32_t d = 0; d < a->D; d++)
                    o[row * a->D + d] += p * row_of(a, a->v, s, h)[d];
            }
            for (uint32_t d = 0; total > 0 && d < a->D; d++)
                o[row * a->D + d] /= total;
            lse[row] = total > 0 ? highest + log(total) : 0;
        }
}

/* One query of one head. */
static void backward_row(const vkft_reference_attention *a, uint32_t t, uint32_t h, const double *dout, double *dq,
                         double *dk, double *dv, double *dbias)
{
    double total = 0, highest = -INFINITY, delta = 0, slope;
    uint32_t begin = a->range[2 * t], end = a->range[2 * t + 1];
    const double *q = a->q + ((uint64_t)t * a->Hq + h) * a->D;
    for (uint32_t s = begin; s < end; s++)
        highest = fmax(highest, score(a, t, s, h, &slope));
    for (uint32_t s = begin; s < end; s++)
        total += exp(score(a, t, s, h, &slope) - highest);
    for (uint32_t s = begin; s < end; s++)
        delta += exp(score(a, t, s, h, &slope) - highest) / total * dot(dout, row_of(a, a->v, s, h), a->D);
    for (uint32_t s = begin; s < end; s++) {
        double p = exp(score(a, t, s, h, &slope) - highest) / total;
        double dz = p * (dot(dout, row_of(a, a->v, s, h), a->D) - delta);
        uint64_t kv = ((uint64_t)s * a->Hk + h / (a->Hq / a->Hk)) * a->D;
        if (dbias)
            dbias[bias_at(a, t, s, h)] += dz;
        for (uint32_t d = 0; d < a->D; d++) {
            dv[kv + d] += p * dout[d];
            dk[kv + d] += a->scale * slope * dz * q[d];
            dq[d] += a->scale * slope * dz * a->k[kv + d];
        }
    }
}

void vkft_reference_attend_backward(const vkft_reference_attention *a, const double *dout, double *dq, double *dk,
                                    double *dv, double *dbias)
{
    for (uint32_t t = 0; t < a->T; t++)
        for (uint32_t h = 0; h < a->Hq; h++) {
            uint64_t row = ((uint64_t)t * a->Hq + h) * a->D;
            backward_row(a, t, h, dout + row, dq + row, dk, dv, dbias);
        }
}
