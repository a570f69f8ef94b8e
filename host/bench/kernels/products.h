/* Speed of the matrix products. */
#ifndef VKFT_BENCH_PRODUCTS_H
#define VKFT_BENCH_PRODUCTS_H

#include "host/bench/row.h"

/* All of them, row by row. A software device is measured in GFLOP per CPU-second beside GFLOP/s, a GPU by timestamps.
 * device_peak: GFLOP/s; 0: not known. A software device is compared with what its CPU can do (see cpu_peak.h). */
bool vkft_bench_products(vkft_device *dev, double device_peak, const vkft_bench_observer *observer, vkft_err *err);

/* GFLOP/s of one product of the kind that training has most of: to foresee how long a step takes. */
bool vkft_bench_probe(vkft_device *dev, vkft_storage storage, double *gflops, vkft_err *err);

#endif
