/* See peaks.h. */
#include "host/bench/kernels/peaks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/bench/kernels/fastest.h"
#include "runtime/base/os/os.h"
#include "runtime/base/random.h"
#include "runtime/base/size.h"
#include "runtime/memory.h"
#include "shaders/bench/args.h"

#define MEASURE_MS 150.0
#define WANTED_MS 20.0       /* of one run, so that its launch costs nothing */
#define MAX_ITERATIONS 4096u /* llvmpipe's limit is 65535 of all loops */
#define LAUNCHES 1000u
#define FACTORS 4096u
#define SUBGROUPS 4u /* in a workgroup of matrix products */

typedef struct peaks {
    vkft_device *dev;
    const vkft_device_info *info;
    const vkft_bench_observer *observer;
} peaks;

static vkft_bench_row row_of(const char *name, const char *unit)
{
    vkft_bench_row row = {.test = "peak", .unit = unit};
    snprintf(row.name, sizeof row.name, "%s", name);
    return row;
}

static bool interrupted(const peaks *p, vkft_err *err)
{
    return vkft_observer_interrupted(&p->observer->general) &&
           !vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while measuring");
}

static void tell(const peaks *p, const vkft_bench_row *row)
{
    p->observer->row(p->observer->general.context, row);
}

/* A kernel of arithmetic: invocations, operations of one in one iteration; the factors of a matrix kernel. */
typedef struct arithmetic {
    vkft_kernel kernel;
    uint32_t invocations;
    double flops;
    uint64_t factors; /* A and B at the same address */
} arithmetic;

static bool run_arithmetic(const peaks *p, const arithmetic *a, uint64_t y, uint32_t iterations, double minimum_ms,
                           vkft_bench_row *row, vkft_err *err)
{
    const struct peak_args args = {.y = y, .iterations = iterations, .a = 1, .b = 0.0078125f};
    const struct peak_matrix_args matrix = {.y = y, .a = a->factors, .b = a->factors, .iterations = iterations};
    const double flops = a->flops * iterations * a->invocations;
    vkft_commands *cmds = vkft_commands_new(p->dev, err);
    if (!cmds)
        return false;
    if (a->factors)
        vkft_launch_workgroups(cmds, a->kernel, &matrix, sizeof matrix,
                               a->invocations / vkft_kernel_width(p->dev, a->kernel), 1, flops);
    else
        vkft_launch(cmds, a->kernel, &args, sizeof args, a->invocations, 1, flops);
    bool ok = vkft_bench_fastest(p->dev, cmds, 1e-9 * flops, minimum_ms, row, err);
    vkft_commands_free(cmds);
    return ok;
}

/* Short runs first, until one is long enough. */
static bool measure_arithmetic(const peaks *p, const arithmetic *a, vkft_bench_row *row, vkft_err *err)
{
    const vkft_bench_row empty = *row;
    vkft_buffer y = {0};
    uint32_t iterations = 16;
    bool ok = vkft_buffer_new(p->dev, 4ull * a->invocations, VKFT_MEMORY_DEVICE, "bench peak", &y, err);
    while (ok) {
        *row = empty;
        if (!(ok = run_arithmetic(p, a, y.address, iterations, 0, row, err)))
            break;
        const double ms = fmax(row->device_ms > 0 ? row->device_ms : row->wall_ms, 1e-3);
        if (ms >= WANTED_MS || iterations == MAX_ITERATIONS)
            break;
        iterations = (uint32_t)fmin(MAX_ITERATIONS, iterations * fmax(2, ceil(WANTED_MS / ms)));
    }
    *row = empty;
    ok = ok && run_arithmetic(p, a, y.address, iterations, MEASURE_MS, row, err);
    vkft_buffer_free(p->dev, &y);
    return ok;
}

static bool is_usable(const peaks *p, vkft_kernel kernel)
{
    return vkft_kernel_is_built(kernel) && vkft_caps_have(&p->info->caps, vkft_kernel_needs(kernel));
}

/* Enough invocations for every multiplier of the largest GPUs; a CPU has a few cores. */
static uint32_t invocations_of(const peaks *p)
{
    return p->info->caps.software ? 1u << 12 : 1u << 19;
}

/* What products are compared with. */
static double speed_of(const peaks *p, const vkft_bench_row *row)
{
    return p->info->caps.software ? row->per_cpu_second : row->value;
}

static bool measure_fma(const peaks *p, double *f32, vkft_err *err)
{
    static const struct {
        vkft_kernel kernel;
        const char *name;
        uint32_t lanes;
    } kinds[] = {{VKFT_KERNEL_peak_fma_f32, "f32 FMA", 4}, {VKFT_KERNEL_peak_fma_f16, "packed f16 FMA", 2}};
    for (uint32_t i = 0; i < 2; i++) {
        const arithmetic a = {kinds[i].kernel, invocations_of(p), 2.0 * PEAK_CHAINS * PEAK_UNROLL * kinds[i].lanes, 0};
        vkft_bench_row row = row_of(kinds[i].name, "GFLOP/s");
        if (!is_usable(p, a.kernel))
            continue;
        if (interrupted(p, err) || !measure_arithmetic(p, &a, &row, err))
            return false;
        if (a.kernel == VKFT_KERNEL_peak_fma_f32)
            *f32 = speed_of(p, &row);
        tell(p, &row);
    }
    return true;
}

/* The first shape of these types that the driver lists. */
static const vkft_matrix_shape *find_shape(const vkft_caps *caps, vkft_component factor, vkft_component result)
{
    for (uint32_t i = 0; i < caps->matrix_shape_count; i++) {
        const vkft_matrix_shape *m = &caps->matrix_shapes[i];
        if (m->a == factor && m->b == factor && m->c == result && m->result == result && !m->saturating)
            return m;
    }
    return NULL;
}

/* Small numbers of both signs, as f16 or s8: any bytes whose exponents are small. */
static bool make_factors(const peaks *p, vkft_buffer *factors, vkft_err *err)
{
    uint16_t values[FACTORS];
    for (uint32_t i = 0; i < FACTORS; i++)
        values[i] = (uint16_t)((vkft_random_bits(1, VKFT_STREAM_INIT, i) & 0x83ff) | 0x1c00); /* 2^-8 to 2^-7 */
    return vkft_buffer_new(p->dev, sizeof values, VKFT_MEMORY_DEVICE, "bench factors", factors, err) &&
           vkft_buffer_write(p->dev, factors, 0, values, sizeof values, err);
}

static bool measure_matrices(const peaks *p, uint64_t factors, double *f16, vkft_err *err)
{
    static const struct {
        vkft_kernel kernel;
        vkft_component factor, result;
    } kinds[] = {{VKFT_KERNEL_peak_matrix_f16_f32, VKFT_COMPONENT_F16, VKFT_COMPONENT_F32},
                 {VKFT_KERNEL_peak_matrix_f16_f16, VKFT_COMPONENT_F16, VKFT_COMPONENT_F16},
                 {VKFT_KERNEL_peak_matrix_s8_s32, VKFT_COMPONENT_S8, VKFT_COMPONENT_S32}};
    const uint32_t subgroup = p->info->caps.subgroup_size, width = SUBGROUPS * subgroup;
    for (uint32_t i = 0; i < 3; i++) {
        const vkft_matrix_shape *m = find_shape(&p->info->caps, kinds[i].factor, kinds[i].result);
        if (!m || !is_usable(p, kinds[i].kernel) || m->K * max_u32(m->M, m->N) > FACTORS)
            continue;
        const arithmetic a = {kinds[i].kernel, (uint32_t)round_up(invocations_of(p), width),
                              2.0 * m->M * m->N * m->K * PEAK_MATRICES * PEAK_UNROLL / subgroup, factors};
        const uint32_t constants[] = {m->M, m->N, m->K};
        char name[40];
        snprintf(name, sizeof name, "matrix %s -> %s", vkft_component_name(m->a), vkft_component_name(m->result));
        vkft_bench_row row = row_of(name, "GFLOP/s");
        snprintf(row.note, sizeof row.note, "cooperative matrices of %ux%ux%u", m->M, m->N, m->K);
        vkft_kernel_specialize(p->dev, a.kernel, width,
                               vkft_caps_subgroup_size(&p->info->caps, width, subgroup) ? subgroup : 0, constants, 3);
        if (interrupted(p, err) || !measure_arithmetic(p, &a, &row, err))
            return false;
        if (a.kernel == VKFT_KERNEL_peak_matrix_f16_f32)
            *f16 = speed_of(p, &row);
        tell(p, &row);
    }
    return true;
}

/* Larger than any cache, where there is room. */
static uint64_t stream_bytes(const peaks *p)
{
    const uint64_t wanted = p->info->caps.software ? 64ull << 20 : 512ull << 20;
    uint64_t bytes = min_u64(wanted, min_u64(p->info->memory_free_bytes / 8, p->info->max_allocation_bytes));
    return bytes / VKFT_BUFFER_ALIGNMENT * VKFT_BUFFER_ALIGNMENT;
}

static bool measure_copy(const peaks *p, const vkft_buffer *x, const vkft_buffer *y, vkft_err *err)
{
    const struct stream_args args = {.x = x->address, .y = y->address, .n = (uint32_t)(x->size_bytes / 16)};
    vkft_bench_row row = row_of("memory", "GB/s");
    vkft_commands *cmds = vkft_commands_new(p->dev, err);
    if (!cmds)
        return false;
    snprintf(row.note, sizeof row.note, "%.0f MiB read and written", (double)x->size_bytes / (1 << 20));
    vkft_launch(cmds, VKFT_KERNEL_stream_copy, &args, sizeof args, args.n, 1, (double)args.n);
    bool ok = vkft_bench_fastest(p->dev, cmds, 2e-9 * (double)x->size_bytes, MEASURE_MS, &row, err);
    vkft_commands_free(cmds);
    if (ok)
        tell(p, &row);
    return ok;
}

/* To the device and back, through what vkft uploads weights with. */
static bool measure_transfers(const peaks *p, vkft_buffer *x, vkft_err *err)
{
    const uint64_t bytes = min_u64(x->size_bytes, 64ull << 20);
    vkft_bench_row rows[2] = {row_of("host to device", "GB/s"), row_of("device to host", "GB/s")};
    char *host = malloc(bytes);
    bool ok = host || vkft_fail_memory(err, "for transfers");
    if (ok)
        memset(host, 1, bytes);
    for (uint32_t back = 0; ok && back < 2; back++) {
        double total_ms = 0;
        for (uint32_t run = 0; ok && (run < 4 || total_ms < MEASURE_MS); run++) {
            double ms = vkft_os_seconds();
            ok = back ? vkft_buffer_read(p->dev, x, 0, host, bytes, err)
                      : vkft_buffer_write(p->dev, x, 0, host, bytes, err);
            ms = 1e3 * (vkft_os_seconds() - ms);
            total_ms += ms;
            const double speed = 1e-6 * (double)bytes / ms;
            if (run && speed > rows[back].value) /* the first one allocates */
                rows[back].value = speed, rows[back].wall_ms = ms;
            rows[back].repetitions += run > 0;
        }
        if (ok)
            tell(p, &rows[back]);
    }
    free(host);
    return ok;
}

static bool measure_memory(const peaks *p, vkft_err *err)
{
    vkft_buffer x = {0}, y = {0};
    const uint64_t bytes = stream_bytes(p);
    bool ok = !interrupted(p, err) && vkft_buffer_new(p->dev, bytes, VKFT_MEMORY_DEVICE, "bench memory", &x, err) &&
              vkft_buffer_new(p->dev, bytes, VKFT_MEMORY_DEVICE, "bench memory", &y, err) &&
              vkft_buffer_fill(p->dev, &x, 0, bytes, 0x3f800000, err) && measure_copy(p, &x, &y, err) &&
              measure_transfers(p, &x, err);
    vkft_buffer_free(p->dev, &x);
    vkft_buffer_free(p->dev, &y);
    return ok;
}

/* Kernels that do nothing, one after the other with a barrier between them, by the clock. */
static bool measure_launches(const peaks *p, vkft_err *err)
{
    vkft_buffer y = {0};
    vkft_bench_row row = row_of("launch", "us");
    vkft_commands *cmds = vkft_commands_new(p->dev, err);
    bool ok = cmds && !interrupted(p, err) &&
              vkft_buffer_new(p->dev, VKFT_BUFFER_ALIGNMENT, VKFT_MEMORY_DEVICE, "bench launches", &y, err);
    const struct fill_args args = {.y = y.address, .n = 1, .value = 1};
    for (uint32_t i = 0; ok && i < LAUNCHES; i++)
        vkft_launch(cmds, VKFT_KERNEL_fill, &args, sizeof args, 1, 1, 1);
    ok = ok && vkft_commands_run(cmds, err);
    for (uint32_t run = 0; ok && run < 5; run++) {
        ok = vkft_commands_run(cmds, err);
        const double ms = vkft_commands_stats(cmds).time_ms, us = 1e3 * ms / LAUNCHES;
        if (!run || us < row.value)
            row.value = us, row.wall_ms = ms;
        row.repetitions++;
    }
    vkft_commands_free(cmds);
    vkft_buffer_free(p->dev, &y);
    if (ok)
        tell(p, &row);
    return ok;
}

bool vkft_bench_peaks(vkft_device *dev, const vkft_bench_observer *observer, vkft_bench_peak *peak, vkft_err *err)
{
    const peaks p = {.dev = dev, .info = vkft_device_get_info(dev), .observer = observer};
    vkft_buffer factors = {0};
    *peak = (vkft_bench_peak){0};
    bool ok = measure_fma(&p, &peak->f32, err) && make_factors(&p, &factors, err) &&
              measure_matrices(&p, factors.address, &peak->matrix, err) && measure_memory(&p, err) &&
              measure_launches(&p, err);
    vkft_buffer_free(dev, &factors);
    return ok;
}
