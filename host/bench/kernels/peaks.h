/* What a device can do at best, measured: its multipliers, its matrix units, its memory, the way to it, and the cost of
 * a launch. */
#ifndef VKFT_BENCH_PEAKS_H
#define VKFT_BENCH_PEAKS_H

#include "host/bench/row.h"

/* Rows "peak". *f32: GFLOP/s of fused multiply-adds, of a software device per CPU-second. Kernels that the device
 * cannot run, or that this build does not have, are left out. */
bool vkft_bench_peaks(vkft_device *dev, const vkft_bench_observer *observer, double *f32, vkft_err *err);

#endif
