/* See products.h.
 *
 * Operands are filled with one value: none of the devices' multipliers care, and nothing has to be sent to the device.
 */
#include "host/bench/kernels/products.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/prequantized.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"
#include "runtime/commands.h"
#include "host/bench/kernels/cpu_peak.h"
#include "host/bench/kernels/fastest.h"
#include "host/engine/matmul/gemm.h"
#include "runtime/memory.h"

#define MAX_CASES 96u
#define CASE_MS 400.0 /* minimum measuring time of a case */

typedef enum direction { NT, NN, TN } direction;

static const char *const direction_names[] = {"NT", "NN", "TN"};

/* M rows of X; W is [N,K] for NT, [K,N] for NN; TN has K tokens. With groups the rows are shared out among so many
 * matrices: the experts of a mixture. */
typedef struct bench_case {
    direction direction;
    vkft_storage storage; /* of W */
    uint32_t M, N, K, groups;
} bench_case;

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
              filled(dev, vkft_product_scratch_bytes(c->N, c->K), one, "bench scratch", &o->scratch, err);
    for (uint32_t part = 0; ok && part < VKFT_PARTS; part++)
        ok = !bytes[part] || filled(dev, bytes[part], one, "bench W", &o->part[part], err);
    return ok && (!c->groups || make_groups(dev, c, o, err));
}

static void record(vkft_device *dev, vkft_commands *cmds, const bench_case *c, const operands *o)
{
    vkft_matmul_ctx ctx = {
        .dev = dev, .cmds = cmds, .scratch = o->scratch.address, .scratch_bytes = o->scratch.size_bytes};
    const vkft_weight w = weight_of(c, o, 0);
    if (c->direction == TN) {
        vkft_multiply_outer(&ctx, &(vkft_outer_product){.M = c->M,
                                                        .N = c->N,
                                                        .K = c->K,
                                                        .X = o->X.address,
                                                        .Z = w.part[VKFT_PART_DATA],
                                                        .Y = o->Y.address,
                                                        .scale = 1.0f});
        return;
    }
    const vkft_grouping groups = {
        .groups = c->groups, .rows = c->M, .max_rows = c->groups ? c->M / c->groups : 0, .table = o->group.address};
    vkft_multiply(&ctx, &(vkft_product){.w = &w,
                                        .groups = c->groups ? &groups : NULL,
                                        .weights = o->weights.address,
                                        .transposed = c->direction == NT,
                                        .M = c->M,
                                        .X = o->X.address,
                                        .Y = o->Y.address,
                                        .scale = 1.0f});
}

/* The row without its measurements. */
static void describe(const bench_case *c, vkft_bench_row *row)
{
    char groups[16] = "";
    if (c->groups)
        snprintf(groups, sizeof groups, "%ux ", c->groups);
    *row = (vkft_bench_row){.test = "product", .unit = "GFLOP/s", .M = c->M, .N = c->N, .K = c->K};
    snprintf(row->name, sizeof row->name, "%s%s %s", groups, direction_names[c->direction],
             vkft_storage_get(c->storage)->label);
}

/* For at least so long. */
static bool measure(vkft_device *dev, const bench_case *c, double minimum_ms, vkft_bench_row *result, vkft_err *err)
{
    const double gflop = 2e-9 * c->M * c->N * c->K;
    operands o = {0};
    vkft_commands *cmds = vkft_commands_new(dev, err);
    describe(c, result);
    bool ok = cmds && make_operands(dev, c, &o, err);
    if (ok)
        record(dev, cmds, c, &o);
    ok = ok && vkft_bench_fastest(dev, cmds, gflop, minimum_ms, result, err);
    vkft_commands_free(cmds);
    free_operands(dev, &o);
    return ok;
}

/* Types of GGUF files differ in decoding alone: they are measured where it matters least and most. */
static bool is_measured(vkft_storage type, uint32_t n)
{
    return n == 2048 || vkft_storage_get(type)->codec->prequantizer != &vkft_gguf_blocks;
}

/* Square products of all kinds, then shapes that a training step and generation have; large ones only of a GPU. */
static uint32_t list_cases(bench_case cases[MAX_CASES], bool software)
{
    static const uint32_t sizes[] = {512, 1024, 2048};
    uint32_t count = 0;
    for (uint32_t s = 0; s < 3; s++) {
        uint32_t n = sizes[s];
        for (uint32_t d = NT; d <= NN; d++)
            for (vkft_storage type = 0; type < VKFT_STORAGE_COUNT; type++)
                if (is_measured(type, n))
                    cases[count++] = (bench_case){d, type, n, n, n, 0};
        cases[count++] = (bench_case){TN, VKFT_STORAGE_f32, n, n, n, 0};
    }
    for (uint32_t d = NT; d <= NN; d++) {
        cases[count++] = (bench_case){d, VKFT_STORAGE_f32, 512, 4096, 4096, 0};
        cases[count++] = (bench_case){d, VKFT_STORAGE_nf4_dq, 512, 4096, 4096, 0};
    }
    for (uint32_t d = NT; !software && d <= NN; d++) {
        cases[count++] = (bench_case){d, VKFT_STORAGE_bf16, 4096, 4096, 4096, 0};
        cases[count++] = (bench_case){d, VKFT_STORAGE_nf4_dq, 4096, 4096, 4096, 0};
        cases[count++] = (bench_case){d, VKFT_STORAGE_nf4_dq, 2048, 14336, 4096, 0};
    }
    cases[count++] = (bench_case){TN, VKFT_STORAGE_f32, 16, 4096, 2048, 0}; /* dA at rank 16 */
    cases[count++] = (bench_case){TN, VKFT_STORAGE_f32, 4096, 16, 2048, 0}; /* dB */
    cases[count++] = (bench_case){NT, VKFT_STORAGE_bf16, 1, 4096, 4096, 0}; /* generation */
    cases[count++] = (bench_case){NT, VKFT_STORAGE_nf4_dq, 1, 4096, 4096, 0};
    cases[count++] = (bench_case){NT, VKFT_STORAGE_nf4_dq, 4096, 768, 2048, 128}; /* 512 tokens, 8 of 128 experts */
    cases[count++] = (bench_case){NN, VKFT_STORAGE_nf4_dq, 4096, 2048, 768, 128};
    return count;
}

/* What the operands of a case are rounded to: gradients of matrices and single rows are not on matrix cores. */
static vkft_dtype compute_of(const bench_case *c, vkft_dtype compute)
{
    return compute == VKFT_F16 && (c->direction == TN || c->M == 1) ? VKFT_F32 : compute;
}

/* In percent. A CPU's own peak is measured beside each row: how fast a CPU is changes with what else it does. */
static double share_of_peak(vkft_device *dev, const vkft_bench_row *row, double device_peak)
{
    const bool software = vkft_device_get_caps(dev)->software;
    const double peak = software ? vkft_cpu_fma_peak() : device_peak;
    return peak > 0 ? 100 * (software ? row->per_cpu_second : row->value) / peak : 0;
}

bool vkft_bench_products(vkft_device *dev, vkft_dtype compute, const vkft_bench_peak *peak,
                         const vkft_bench_observer *observer, vkft_err *err)
{
    const vkft_caps *caps = vkft_device_get_caps(dev);
    if (compute == VKFT_COMPUTE_AUTO)
        compute = vkft_gemm_has_matrix_cores(caps) ? VKFT_F16 : VKFT_F32;
    const bool matrix = compute == VKFT_F16 && vkft_gemm_has_matrix_cores(caps);
    bench_case cases[MAX_CASES];
    uint32_t count = list_cases(cases, caps->software);
    if (!vkft_gemm_setup(dev, compute, err))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        vkft_bench_row row;
        if (vkft_observer_interrupted(&observer->general))
            return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while measuring");
        if (!measure(dev, &cases[i], CASE_MS, &row, err))
            return false;
        const vkft_dtype rounded = compute_of(&cases[i], compute);
        row.compute = vkft_compute_name(rounded);
        row.percent_of_peak = share_of_peak(dev, &row, matrix && rounded == VKFT_F16 ? peak->matrix : peak->f32);
        observer->row(observer->general.context, &row);
    }
    return true;
}

bool vkft_bench_probe(vkft_device *dev, vkft_storage storage, double *gflops, vkft_err *err)
{
    vkft_bench_row row;
    const bench_case probe = {NT, storage, 256, 1024, 1024, 0};
    *gflops = 0;
    if (!vkft_gemm_setup(dev, VKFT_F32, err) || !measure(dev, &probe, 50, &row, err))
        return false;
    *gflops = row.value;
    return true;
}
