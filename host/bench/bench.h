/* Measuring a device in a form that can be compared across devices. */
#ifndef VKFT_BENCH_H
#define VKFT_BENCH_H

#include "host/bench/row.h"

/* Error: no such device or shape; the device fails; interrupted. */
bool vkft_bench_run(const vkft_bench_options *options, const vkft_bench_observer *observer, vkft_err *err);

#endif
