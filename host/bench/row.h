/* What is measured, and how it is told: a row for each speed. */
#ifndef VKFT_BENCH_ROW_H
#define VKFT_BENCH_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensors/storage.h"
#include "host/session/options.h"
#include "runtime/base/observer.h"
#include "runtime/device.h"

typedef enum vkft_bench_check {
    VKFT_BENCH_UNCHECKED, /* nothing to compare with */
    VKFT_BENCH_PASS,
    VKFT_BENCH_FAIL, /* the device computes something else: no speed is told */
} vkft_bench_check;

typedef struct vkft_bench_row {
    const char *test; /* "train", "eval", "generate", "peak", "product" */
    char name[48];    /* of the model's shape, or the kernel */
    const char *unit; /* "tokens/s", "GFLOP/s", "GB/s": more is better; "us": less is */
    double value;     /* 0: FAIL */
    double deviation_percent;
    uint32_t repetitions, warm_up_runs;
    bool steady; /* see vkft_bench_timing */

    /* What was measured; 0 and NULL: does not apply. */
    const char *quant, *compute;
    uint32_t tokens, batch, lora_r;
    uint32_t M, N, K;

    /* Of one repetition; 0: not measured. */
    double wall_ms, device_ms, cpu_ms;
    double per_cpu_second;                  /* the value by CPU time, of software devices */
    double percent_of_peak;                 /* of what the device can do at best */
    uint64_t planned_bytes, measured_bytes; /* of device memory */

    /* Of the card while it worked, where the system tells them; 0: it does not. */
    double power_w, clock_mhz, temperature_c;

    vkft_bench_check check;
    double loss, grad_norm, last_loss; /* what was computed, see reference.def */
    char note[160];                    /* why it failed, or what else to know; "": nothing */
} vkft_bench_row;

typedef struct vkft_bench_observer {
    vkft_observer general; /* its context is that of the others too */
    /* cpu_peak: the CPU's own AVX2 FMA peak in GFLOP per CPU-second, the yardstick of a software device; 0: none. */
    void (*begin)(void *context, const vkft_device_info *info, double cpu_peak);
    void (*row)(void *context, const vkft_bench_row *row);
} vkft_bench_observer;

typedef struct vkft_bench_options {
    const char *device; /* as vkft_device_open accepts it; "all": each that can be used, one after the other */
    bool steps;         /* training, evaluation and generation at named shapes */
    bool peaks;         /* what the device can do at best */
    bool kernels;       /* matrix products, as a share of that */
    const char *shapes; /* names, comma separated; NULL: as many as fit the device and the time */
    vkft_storage quant;
    bool super_scales;
    vkft_dtype compute_dtype;
    uint32_t context; /* tokens of a sample */
    uint32_t batch_size;
    uint32_t lora_r;
    float lora_alpha;
    uint32_t new_tokens;  /* that are generated; 0: none */
    uint32_t repetitions; /* at most; slow devices get fewer; 0: only the losses are checked */
    double time_limit;    /* seconds; shapes that were not named are shortened or left out, which is said; 0: none */
} vkft_bench_options;

static inline vkft_bench_options vkft_bench_defaults(void)
{
    return (vkft_bench_options){.quant = VKFT_STORAGE_nf4,
                                .super_scales = true,
                                .compute_dtype = VKFT_COMPUTE_AUTO,
                                .context = 512,
                                .batch_size = 1,
                                .lora_r = 16,
                                .lora_alpha = 32,
                                .new_tokens = 64,
                                .repetitions = 5,
                                .time_limit = 170};
}

#endif
