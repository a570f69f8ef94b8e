/* The fastest of several runs of recorded commands: for single kernels, where whatever else the machine does only makes
 * a run slower. */
#ifndef VKFT_BENCH_FASTEST_H
#define VKFT_BENCH_FASTEST_H

#include "host/bench/row.h"
#include "runtime/commands.h"

/* Runs the commands once, to compile and to let the runtime learn their pace, then for at least so long. Fills the
 * row's value, which is `work` a second: by the device's timestamps; of a software device by the clock, with work per
 * CPU-second beside it. */
bool vkft_bench_fastest(vkft_device *dev, vkft_commands *cmds, double work, double minimum_ms, vkft_bench_row *row,
                        vkft_err *err);

#endif
