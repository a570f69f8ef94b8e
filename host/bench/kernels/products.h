/* Speed of the matrix products. */
#ifndef VKFT_BENCH_PRODUCTS_H
#define VKFT_BENCH_PRODUCTS_H

#include "host/bench/row.h"

/* All of them, row by row. A software device is measured in GFLOP per CPU-second beside GFLOP/s, a GPU by timestamps.
 * peak: GFLOP/s of the device, of a software device GFLOP per CPU-second; 0: not known. */
bool vkft_bench_products(vkft_device *dev, double peak, const vkft_bench_observer *observer, vkft_err *err);

/* GFLOP/s of one product of the kind that training has most of: to foresee how long a step takes. */
bool vkft_bench_probe(vkft_device *dev, vkft_storage storage, double *gflops, vkft_err *err);

#endif
