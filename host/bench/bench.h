/* Measures the matrix products of a device in a form that can be compared across devices. */
#ifndef VKFT_BENCH_H
#define VKFT_BENCH_H

#include <stdbool.h>

#include "runtime/base/error.h"

/* Prints a table (or, with json, one JSON object) to stdout: it is the output of `vkft bench --kernels`. On software
 * devices the yardstick is GFLOP per CPU-second beside the CPU's own AVX2 FMA peak, measured in the same run; on GPUs
 * it is GFLOP/s by timestamps. device as vkft_device_open takes it. */
bool vkft_bench_kernels(const char *device, bool json, vkft_err *err);

#endif
