/* What this CPU can compute at best; the yardstick for software Vulkan devices. */
#ifndef VKFT_CPU_PEAK_H
#define VKFT_CPU_PEAK_H

/* Fused multiply-adds of 8-wide f32 vectors in independent chains: GFLOP per CPU-second of one thread, the best of a
 * few short runs. 0 on a CPU without AVX2 and FMA. */
double vkft_cpu_fma_peak(void);

#endif
