/* What this CPU can do and what this process has used of it; the yardstick for software Vulkan devices. */
#ifndef VKFT_CPU_TIME_H
#define VKFT_CPU_TIME_H

/* CPU time of all threads of this process, seconds. */
double vkft_cpu_seconds(void);

/* Fused multiply-adds of 8-wide f32 vectors in independent chains: GFLOP per CPU-second of one thread, the best of a
 * few short runs. 0 on a CPU without AVX2 and FMA. */
double vkft_cpu_fma_peak(void);

#endif
