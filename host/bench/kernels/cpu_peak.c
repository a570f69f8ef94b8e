/* Measured with independent chains of fused multiply-adds. */
#include "host/bench/kernels/cpu_peak.h"

#include "runtime/base/os/os.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define STEPS 4000000

/* 12 chains hide the latency of two units with 4 to 5 cycles each, and with two operands they fit the 16 registers. */
__attribute__((target("avx2,fma"), noinline)) static float fma_chains(float start)
{
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(start);
    __m256 s0 = b, s1 = b, s2 = b, s3 = b, s4 = b, s5 = b, s6 = b, s7 = b, s8 = b, s9 = b, s10 = b, s11 = b;
    for (int i = 0; i < STEPS; i++) {
        s0 = _mm256_fmadd_ps(s0, a, b);
        s1 = _mm256_fmadd_ps(s1, a, b);
        s2 = _mm256_fmadd_ps(s2, a, b);
        s3 = _mm256_fmadd_ps(s3, a, b);
        s4 = _mm256_fmadd_ps(s4, a, b);
        s5 = _mm256_fmadd_ps(s5, a, b);
        s6 = _mm256_fmadd_ps(s6, a, b);
        s7 = _mm256_fmadd_ps(s7, a, b);
        s8 = _mm256_fmadd_ps(s8, a, b);
        s9 = _mm256_fmadd_ps(s9, a, b);
        s10 = _mm256_fmadd_ps(s10, a, b);
        s11 = _mm256_fmadd_ps(s11, a, b);
        /* equal chains would be merged into one */
        __asm__ volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5));
        __asm__ volatile("" : "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11));
    }
    __m256 sum = _mm256_add_ps(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)),
                               _mm256_add_ps(_mm256_add_ps(s4, s5), _mm256_add_ps(s6, s7)));
    sum = _mm256_add_ps(sum, _mm256_add_ps(_mm256_add_ps(s8, s9), _mm256_add_ps(s10, s11)));
    return _mm256_cvtss_f32(sum);
}

double vkft_cpu_fma_peak(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 0;
    double best = 0;
    volatile float sink = 1e-3f;
    for (int run = 0; run < 10; run++) {
        double begin = vkft_os_cpu_seconds();
        sink = fma_chains(sink * 1e-6f + 1e-3f);
        double seconds = vkft_os_cpu_seconds() - begin, rate = 2.0 * 8 * 12 * STEPS / seconds * 1e-9;
        if (seconds > 0 && rate > best)
            best = rate;
    }
    return best;
}
#else
double vkft_cpu_fma_peak(void)
{
    return 0;
}
#endif
