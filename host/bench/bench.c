/* See bench.h.
 *
 * Operands are filled with one value: none of the devices' multipliers care, and nothing has to be sent to the device.
 * A case is run once to compile and to let the runtime learn its pace, then until enough time has passed; the fastest
 * run counts, because whatever else the machine does only makes a run slower.
 */
#include "host/bench/bench.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"
#include "shaders/matmul/args.h"
#include "runtime/commands.h"
#include "host/bench/cpu_peak.h"
#include "runtime/base/os/os.h"
#include "host/engine/matmul/grouped.h"
#include "host/engine/matmul/matmul.h"
#include "runtime/memory.h"

#define CASE_MS 400.0 /* least measuring time of a case */
#define LEAST_RUNS 3

typedef enum direction { NT, NN, TN } direction;

static const char *const direction_names[] = {"NT", "NN", "TN"};

/* M rows of X; W is [N,K] for NT, [K,N] for NN; TN has K tokens. With groups the rows are shared out among so many
 * matrices: the experts of a mixture. */
typedef struct bench_case {
    direction direction;
    vkft_storage storage; /* of W */
    uint32_t M, N, K, groups;
} bench_case;

typedef struct bench_result {
    double gflops_wall, gflops_cpu,
        gflops_device; /* per second of wall time, of CPU time, of timestamps; 0: not measured */
} bench_result;

typedef struct operands {
    vkft_buffer X, part[VKFT_PARTS], Y, scratch; /* the parts of W */
    vkft_buffer weights, group;                  /* tables of grouped products */
} operands;

static void free_operands(vkft_device *dev, operands *o)
{
    vkft_buffer *buffers[] = {&o->X, &o->Y, &o->scratch, &o->weights, &o->group};
    for (uint32_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        vkft_buffer_free(dev, buffers[i]);
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        vkft_buffer_free(dev, &o->part[part]);
}

static bool filled(vkft_device *dev, uint64_t bytes, uint32_t pattern, const char *label, vkft_buffer *out,
                   vkft_err *err)
{
    bytes = round_up(bytes, VKFT_BUFFER_ALIGNMENT);
    return vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, label, out, err) &&
           vkft_buffer_fill(dev, out, 0, bytes, pattern, err);
}

/* The matrix of group g, one of contiguous ones; 0 without groups. */
static vkft_weight weight_of(const bench_case *c, const operands *o, uint32_t g)
{
    vkft_weight w = {
        .storage = c->storage, .rows = c->direction == NT ? c->N : c->K, .cols = c->direction == NT ? c->K : c->N};
    uint64_t bytes[VKFT_PARTS];
    vkft_storage_part_bytes(w.storage, w.rows, w.cols, bytes);
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        w.part[part] = o->part[part].address + g * bytes[part];
    return w;
}

/* Tables of groups of equal size. */
static bool make_groups(vkft_device *dev, const bench_case *c, operands *o, vkft_err *err)
{
    uint32_t rows = c->M / c->groups, *group = calloc(2ull * c->groups + 2, sizeof *group);
    struct weight_ref *weights = calloc(c->groups, sizeof *weights);
    if (!group || !weights) {
        free(group), free(weights);
        return vkft_fail_memory(err, "for the weights of a case");
    }
    for (uint32_t g = 0; g < c->groups; g++) {
        group[2 * g + 2] = group[2 * g] + rows;
        group[2 * g + 3] = group[2 * g + 1] + ceil_div(rows, GROUP_TILE);
        const vkft_weight w = weight_of(c, o, g);
        weights[g] = vkft_weight_ref(&w);
    }
    uint64_t group_bytes = (2ull * c->groups + 2) * sizeof *group, weight_bytes = c->groups * sizeof *weights;
    bool ok = vkft_buffer_new(dev, group_bytes, VKFT_MEMORY_DEVICE, "bench groups", &o->group, err) &&
              vkft_buffer_new(dev, weight_bytes, VKFT_MEMORY_DEVICE, "bench tables", &o->weights, err) &&
              vkft_buffer_write(dev, &o->group, 0, group, group_bytes, err) &&
              vkft_buffer_write(dev, &o->weights, 0, weights, weight_bytes, err);
    free(group), free(weights);
    return ok;
}

static bool make_operands(vkft_device *dev, const bench_case *c, operands *o, vkft_err *err)
{
    const uint32_t one = 0x3f800000;
    uint64_t x = 4ull * c->M * c->K, y = 4ull * c->M * c->N, bytes[VKFT_PARTS];
    vkft_storage_part_bytes(c->storage, (uint64_t)c->K * (c->groups ? c->groups : 1), c->N, bytes);
    bool ok = filled(dev, x, one, "bench X", &o->X, err) && filled(dev, y, 0, "bench Y", &o->Y, err) &&
              filled(dev, vkft_matmul_scratch_bytes(c->N, c->K), one, "bench scratch", &o->scratch, err);
    for (uint32_t part = 0; ok && part < VKFT_PARTS; part++)
        ok = !bytes[part] || filled(dev, bytes[part], one, "bench W", &o->part[part], err);
    return ok && (!c->groups || make_groups(dev, c, o, err));
}

static void record(vkft_device *dev, vkft_commands *cmds, const bench_case *c, const operands *o)
{
    vkft_matmul_ctx ctx = {
        .dev = dev, .cmds = cmds, .scratch = o->scratch.address, .scratch_bytes = o->scratch.size_bytes};
    const vkft_weight w = weight_of(c, o, 0);
    if (c->groups) {
        const vkft_grouping grouping = {
            .groups = c->groups, .rows = c->M, .most = c->M / c->groups, .table = o->group.address};
        const vkft_group_weights group = {
            .storage = w.storage, .rows = w.rows, .cols = w.cols, .table = o->weights.address};
        (c->direction == NT ? vkft_grouped_nt : vkft_grouped_nn)(&ctx, &grouping, o->X.address, &group, o->Y.address,
                                                                 false, 1.0f);
    } else if (c->direction == TN) {
        vkft_matmul_tn(&ctx, c->M, c->N, c->K, o->X.address, c->M, w.part[VKFT_PART_DATA], 0, o->Y.address, 1.0f);
    } else {
        (c->direction == NT ? vkft_matmul_nt : vkft_matmul_nn)(&ctx, c->M, o->X.address, c->K, &w, 0, o->Y.address,
                                                               c->N, 1.0f);
    }
}

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

static bool measure(vkft_device *dev, const bench_case *c, bench_result *result, vkft_err *err)
{
    bool software = vkft_device_get_info(dev)->type == VKFT_DEVICE_CPU;
    const double gflop = 2e-9 * c->M * c->N * c->K;
    operands o = {0};
    vkft_commands *cmds = vkft_commands_new(dev, err);
    *result = (bench_result){0};
    if (!cmds || !make_operands(dev, c, &o, err))
        goto fail;
    vkft_commands_set_profile(cmds, !software);
    record(dev, cmds, c, &o);
    if (!vkft_commands_run(cmds, err))
        goto fail;
    double total_ms = 0;
    for (uint32_t run = 0; run < LEAST_RUNS || total_ms < CASE_MS; run++) {
        double cpu = vkft_os_cpu_seconds(), device = software ? 0 : device_ms(cmds);
        if (!vkft_commands_run(cmds, err))
            goto fail;
        cpu = vkft_os_cpu_seconds() - cpu;
        device = software ? 0 : device_ms(cmds) - device;
        double wall_ms = vkft_commands_stats(cmds).time_ms;
        total_ms += wall_ms;
        result->gflops_wall = fmax(result->gflops_wall, gflop / (wall_ms * 1e-3));
        if (software && cpu > 0)
            result->gflops_cpu = fmax(result->gflops_cpu, gflop / cpu);
        if (device > 0)
            result->gflops_device = fmax(result->gflops_device, gflop / (device * 1e-3));
    }
    vkft_commands_free(cmds);
    free_operands(dev, &o);
    return true;
fail:
    vkft_commands_free(cmds);
    free_operands(dev, &o);
    return false;
}

static void describe(const bench_case *c, char name[32])
{
    char groups[16] = "";
    if (c->groups)
        snprintf(groups, sizeof groups, "%ux ", c->groups);
    snprintf(name, 32, "%s%s %s", groups, direction_names[c->direction], vkft_storage_get(c->storage)->label);
}

static void print_row(const bench_case *c, const bench_result *r, double peak, bool software)
{
    char name[32], shape[32], percent[16] = "n/a";
    describe(c, name);
    snprintf(shape, sizeof shape, "%ux%ux%u", c->M, c->N, c->K);
    if (!software) {
        printf("%-22s %-16s %10.1f %10.1f\n", name, shape, r->gflops_wall, r->gflops_device);
    } else {
        if (peak > 0)
            snprintf(percent, sizeof percent, "%.1f %%", 100 * r->gflops_cpu / peak);
        printf("%-22s %-16s %10.1f %12.1f %10s\n", name, shape, r->gflops_wall, r->gflops_cpu, percent);
    }
    fflush(stdout);
}

static cJSON *json_row(const bench_case *c, const bench_result *r, double peak)
{
    char name[32];
    describe(c, name);
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "kernel", name);
    cJSON_AddNumberToObject(row, "M", c->M);
    cJSON_AddNumberToObject(row, "N", c->N);
    cJSON_AddNumberToObject(row, "K", c->K);
    cJSON_AddNumberToObject(row, "gflops_wall", r->gflops_wall);
    if (r->gflops_cpu > 0)
        cJSON_AddNumberToObject(row, "gflop_per_cpu_second", r->gflops_cpu);
    if (r->gflops_cpu > 0 && peak > 0)
        cJSON_AddNumberToObject(row, "percent_of_peak", 100 * r->gflops_cpu / peak);
    if (r->gflops_device > 0)
        cJSON_AddNumberToObject(row, "gflops_device", r->gflops_device);
    return row;
}

static void print_head(const vkft_device_info *info, double peak)
{
    bool software = info->caps.software;
    printf("%s, %s\n", info->name, info->driver);
    if (software && peak > 0)
        printf("AVX2 FMA peak of this CPU: %.1f GFLOP per CPU-second\n", peak);
    else if (software)
        printf("AVX2 FMA peak of this CPU: n/a\n");
    printf(software ? "%-22s %-16s %10s %12s %10s\n" : "%-22s %-16s %10s %10s\n", "product", "MxNxK", "GFLOP/s",
           software ? "per CPU-s" : "on device", "of peak");
}

/* Square products of all kinds, then shapes that a training step and generation have. */
static uint32_t list_cases(bench_case cases[64])
{
    static const uint32_t sizes[] = {512, 1024, 2048};
    uint32_t count = 0;
    for (uint32_t s = 0; s < 3; s++) {
        uint32_t n = sizes[s];
        for (uint32_t d = NT; d <= NN; d++)
            for (vkft_storage type = 0; type < VKFT_STORAGE_COUNT; type++)
                cases[count++] = (bench_case){d, type, n, n, n, 0};
        cases[count++] = (bench_case){TN, VKFT_STORAGE_f32, n, n, n, 0};
    }
    for (uint32_t d = NT; d <= NN; d++) {
        cases[count++] = (bench_case){d, VKFT_STORAGE_f32, 512, 4096, 4096, 0};
        cases[count++] = (bench_case){d, VKFT_STORAGE_nf4_dq, 512, 4096, 4096, 0};
    }
    cases[count++] = (bench_case){TN, VKFT_STORAGE_f32, 16, 4096, 2048, 0}; /* dA at rank 16 */
    cases[count++] = (bench_case){TN, VKFT_STORAGE_f32, 4096, 16, 2048, 0}; /* dB */
    cases[count++] = (bench_case){NT, VKFT_STORAGE_bf16, 1, 4096, 4096, 0}; /* generation */
    cases[count++] = (bench_case){NT, VKFT_STORAGE_nf4_dq, 1, 4096, 4096, 0};
    cases[count++] = (bench_case){NT, VKFT_STORAGE_nf4_dq, 4096, 768, 2048, 128}; /* 512 tokens, 8 of 128 experts */
    cases[count++] = (bench_case){NN, VKFT_STORAGE_nf4_dq, 4096, 2048, 768, 128};
    return count;
}

bool vkft_bench_kernels(const char *device, bool json, vkft_err *err)
{
    bench_case cases[64];
    uint32_t count = list_cases(cases);
    cJSON *root = NULL, *rows = NULL;
    bool ok = false;
    vkft_device *dev = vkft_device_open(device, err);
    if (!dev)
        goto done;
    vkft_matmul_setup(dev, VKFT_F32);
    vkft_grouped_setup(dev, VKFT_F32);
    const vkft_device_info *info = vkft_device_get_info(dev);
    double peak = info->caps.software ? vkft_cpu_fma_peak() : 0;
    if (json) {
        root = cJSON_CreateObject();
        cJSON_AddStringToObject(root, "device", info->name);
        cJSON_AddStringToObject(root, "driver", info->driver);
        if (peak > 0)
            cJSON_AddNumberToObject(root, "avx2_fma_peak_gflop_per_cpu_second", peak);
        rows = cJSON_AddArrayToObject(root, "products");
    } else {
        print_head(info, peak);
    }
    for (uint32_t i = 0; i < count; i++) {
        bench_result result;
        if (!measure(dev, &cases[i], &result, err))
            goto done;
        if (json)
            cJSON_AddItemToArray(rows, json_row(&cases[i], &result, peak));
        else
            print_row(&cases[i], &result, peak, info->caps.software);
    }
    if (json) {
        char *text = cJSON_PrintUnformatted(root);
        if (text)
            puts(text);
        cJSON_free(text);
    }
    ok = true;
done:
    cJSON_Delete(root);
    vkft_device_close(dev);
    return ok;
}
