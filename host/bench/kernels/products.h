/* Speed of the matrix products. */
#ifndef VKFT_BENCH_PRODUCTS_H
#define VKFT_BENCH_PRODUCTS_H

#include "host/bench/kernels/peaks.h"
#include "host/bench/row.h"

/* All of them, row by row. compute: what operands are rounded to (see vkft_gemm_setup), VKFT_COMPUTE_AUTO as training
 * does. A software device is measured in GFLOP per CPU-second beside GFLOP/s, a GPU by timestamps. A product on matrix
 * cores is compared with peak->matrix, another with peak->f32, a software device with what its CPU can do (see
 * cpu_peak.h).
 */
bool vkft_bench_products(vkft_device *dev, vkft_dtype compute, const vkft_bench_peak *peak,
                         const vkft_bench_observer *observer, vkft_err *err);

/* GFLOP/s of one product of the kind that training has most of: to foresee how long a step takes. */
bool vkft_bench_probe(vkft_device *dev, vkft_storage storage, double *gflops, vkft_err *err);

#endif
