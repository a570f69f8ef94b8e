/* Grouped-query attention in double precision, forward and backward, written as the definitions stand. */
#ifndef VKFT_DOCTOR_REFERENCE_ATTENTION_H
#define VKFT_DOCTOR_REFERENCE_ATTENTION_H

#include <stdint.h>

/* o[t,h] = sum_s softmax_s(z[t,h,s]) v[s,g], z = cap(scale q[t,h] . k[s,g]) + bias[bucket[s - t], h], over the keys s
 * from range[2t] to range[2t+1] - 1; g = h / (Hq / Hk). q, o, dout [T,Hq,D]; k, v [S,Hk,D]. */
typedef struct vkft_reference_attention {
    uint32_t T, S, Hq, Hk, D;
    double scale, softcap;  /* softcap 0: none */
    const uint32_t *range;  /* [T] pairs */
    const double *bias;     /* [buckets,Hq]; NULL: none */
    const uint32_t *bucket; /* [2 span - 1], of distances from 1 - span on; longer ones are clamped */
    uint32_t span;
    const double *q, *k, *v;
} vkft_reference_attention;

/* o and lse [T,Hq], the log-sum-exp of the scores; where nothing is seen both are 0. */
void vkft_reference_attend(const vkft_reference_attention *a, double *o, double *lse);

/* Adds the gradients of sum(dout * o). dbias [buckets,Hq]; NULL: not wanted. */
void vkft_reference_attend_backward(const vkft_reference_attention *a, const double *dout, double *dq, double *dk,
                                    double *dv, double *dbias);

#endif
