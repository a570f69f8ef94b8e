/* Measures the matrix products of a device in a form that can be compared across devices. */
#ifndef VKFT_BENCH_H
#define VKFT_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/device.h"

typedef struct vkft_bench_row {
    char name[32]; /* "NT nf4" */
    uint32_t M, N, K;
    /* Per second of wall time, of CPU time, of timestamps; 0: not measured. */
    double gflops_wall, gflops_cpu, gflops_device;
} vkft_bench_row;

typedef struct vkft_bench_observer {
    void *context;
    /* cpu_peak: the CPU's own AVX2 FMA peak in GFLOP per CPU-second, the yardstick of a software device; 0: none. */
    void (*begin)(void *context, const vkft_device_info *info, double cpu_peak);
    void (*row)(void *context, const vkft_bench_row *row);
} vkft_bench_observer;

/* A software device is measured in GFLOP per CPU-second, a GPU in GFLOP/s by timestamps. device as vkft_device_open
 * accepts it. */
bool vkft_bench_kernels(const char *device, const vkft_bench_observer *observer, vkft_err *err);

#endif
