/* What a device can do at best, measured: its multipliers, its matrix units, its memory, the way to it, and the cost of
 * a launch. */
#ifndef VKFT_BENCH_PEAKS_H
#define VKFT_BENCH_PEAKS_H

#include "host/bench/row.h"

/* GFLOP/s, of a software device per CPU-second; 0: not known. */
typedef struct vkft_bench_peak {
    double f32;    /* fused multiply-adds */
    double matrix; /* matrix units, f16 with sums in f32 */
} vkft_bench_peak;

/* Rows "peak". Kernels that the device cannot run, or that this build does not have, are left out. */
bool vkft_bench_peaks(vkft_device *dev, const vkft_bench_observer *observer, vkft_bench_peak *peak, vkft_err *err);

#endif
