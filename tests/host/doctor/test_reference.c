/* The doctor's gradients in double precision are the derivatives of its forward references. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/doctor/reference/attention.h"
#include "host/doctor/reference/ops.h"
#include "runtime/base/random.h"

enum { T = 7, HQ = 4, HK = 2, D = 3, BUCKETS = 5, SPAN = 4, V = 11 };
enum { NQ = T * HQ * D, NK = T * HK * D, NB = BUCKETS * HQ, N = NQ + 2 * NK + NB };

static void fill(double *x, uint32_t n, uint64_t stream)
{
    for (uint32_t i = 0; i < n; i++)
        x[i] = 2 * vkft_random_uniform(3, stream, i) - 1;
}

typedef struct attention_case {
    double softcap;
    uint32_t range[2 * T], bucket[2 * SPAN - 1];
    double dout[NQ];
} attention_case;

/* x: q, k, v, bias. */
static vkft_reference_attention attention_of(const attention_case *c, const double *x)
{
    return (vkft_reference_attention){.T = T,
                                      .S = T,
                                      .Hq = HQ,
                                      .Hk = HK,
                                      .D = D,
                                      .scale = 0.7,
                                      .softcap = c->softcap,
                                      .range = c->range,
                                      .bias = x + NQ + 2 * NK,
                                      .bucket = c->bucket,
                                      .span = SPAN,
                                      .q = x,
                                      .k = x + NQ,
                                      .v = x + NQ + NK};
}

static double attention_loss(const double *x, const void *context)
{
    const attention_case *c = context;
    vkft_reference_attention a = attention_of(c, x);
    double o[NQ], lse[T * HQ], loss = 0;
    vkft_reference_attend(&a, o, lse);
    for (uint32_t i = 0; i < NQ; i++)
        loss += o[i] * c->dout[i];
    return loss;
}

static void test_attention(void **state)
{
    (void)state;
    double x[N], got[N], want[N];
    attention_case c;
    fill(x, N, 1);
    fill(c.dout, NQ, 2);
    for (uint32_t t = 0; t < T; t++) {
        c.range[2 * t] = t > 2 ? t - 2 : 0;
        c.range[2 * t + 1] = t == 1 ? c.range[2] : t + 1; /* one query sees nothing */
    }
    for (uint32_t i = 0; i < 2 * SPAN - 1; i++)
        c.bucket[i] = 2 * i % BUCKETS;
    for (int capped = 0; capped < 2; capped++) {
        c.softcap = capped ? 0.8 : 0;
        vkft_reference_attention a = attention_of(&c, x);
        memset(got, 0, sizeof got);
        vkft_reference_attend_backward(&a, c.dout, got, got + NQ, got + NQ + NK, got + NQ + 2 * NK);
        vkft_central_differences(attention_loss, &c, x, N, want);
        for (uint32_t i = 0; i < N; i++)
            assert_true(fabs(got[i] - want[i]) < 1e-8);
    }
}

/* Twice the loss, as its definition stands: smoothed targets q have a share e of 1 spread over all of them. */
static double loss_of(const double *x, const void *context)
{
    const vkft_reference_loss *loss = context;
    double z[V], sum = 0, entropy = 0;
    for (uint32_t v = 0; v < V; v++)
        sum += exp(z[v] = vkft_reference_softcap(x[v], loss->softcap));
    for (uint32_t v = 0; v < V; v++)
        entropy -= (loss->smoothing / V + (v == 4 ? 1 - loss->smoothing : 0)) * (z[v] - log(sum));
    return 2 * (entropy + loss->z_loss * pow(log(sum), 2));
}

static void test_loss(void **state)
{
    (void)state;
    static const vkft_reference_loss losses[] = {{0, 0, 0}, {1.5, 0, 0}, {0, 0.2, 0}, {0, 0, 0.3}, {1.5, 0.1, 0.05}};
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        double x[V], z[V], got[V], want[V];
        fill(x, V, 5);
        double loss = vkft_reference_loss_backward(&losses[i], x, V, 4, 2, z, got);
        assert_true(fabs(2 * loss - loss_of(x, &losses[i])) < 1e-12);
        assert_true(losses[i].smoothing > 0 || losses[i].z_loss > 0 ||
                    fabs(loss - vkft_reference_cross_entropy(z, V, 4)) < 1e-12);
        vkft_central_differences(loss_of, &losses[i], x, V, want);
        for (uint32_t v = 0; v < V; v++)
            assert_true(fabs(got[v] - want[v]) < 1e-8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention), cmocka_unit_test(test_loss)};
    return cmocka_run_group_tests_name("references", tests, NULL, NULL);
}
