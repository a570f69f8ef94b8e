/* See fastest.h. */
#include "host/bench/kernels/fastest.h"

#include <math.h>

#include "runtime/base/os/os.h"

#define MIN_RUNS 3

/* Time by timestamps of all kernels of the runs so far, ms. */
static double device_ms(const vkft_commands *cmds)
{
    vkft_profile_row rows[VKFT_KERNEL_COUNT] = {0};
    double sum = 0;
    vkft_commands_add_profile(cmds, rows);
    for (uint32_t k = 0; k < VKFT_KERNEL_COUNT; k++)
        sum += rows[k].time_ms;
    return sum;
}

/* Keeps the run if it is the fastest so far. */
static void keep_fastest(vkft_bench_row *row, double work, double wall_ms, double cpu_ms, double kernel_ms)
{
    const double speed = work / (kernel_ms > 0 ? kernel_ms : wall_ms) * 1e3;
    if (cpu_ms > 0)
        row->per_cpu_second = fmax(row->per_cpu_second, work / cpu_ms * 1e3);
    if (speed <= row->value)
        return;
    row->value = speed;
    row->wall_ms = wall_ms;
    row->device_ms = kernel_ms;
    row->cpu_ms = cpu_ms;
}

bool vkft_bench_fastest(vkft_device *dev, vkft_commands *cmds, double work, double minimum_ms, vkft_bench_row *row,
                        vkft_err *err)
{
    const bool software = vkft_device_get_caps(dev)->software;
    double total_ms = 0;
    vkft_commands_set_profile(cmds, !software);
    if (!vkft_commands_run(cmds, err))
        return false;
    while (row->repetitions < MIN_RUNS || total_ms < minimum_ms) {
        double cpu = vkft_os_cpu_seconds(), before = software ? 0 : device_ms(cmds);
        if (!vkft_commands_run(cmds, err))
            return false;
        cpu = vkft_os_cpu_seconds() - cpu;
        const double wall_ms = vkft_commands_stats(cmds).time_ms;
        total_ms += wall_ms;
        row->repetitions++;
        keep_fastest(row, work, wall_ms, software ? 1e3 * cpu : 0, software ? 0 : device_ms(cmds) - before);
    }
    return true;
}
