/* See generation.h. */
#include "host/bench/shapes/generation.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/bench/measure.h"
#include "host/generate/generate.h"
#include "runtime/base/os/os.h"
#include "runtime/base/random.h"
#include "runtime/base/size.h"

#define SEED 20
#define PROMPT 16u

vkft_model_options vkft_bench_model(const vkft_bench_options *options, const vkft_bench_shape *shape,
                                    const char *config)
{
    vkft_model_options model = vkft_model_defaults();
    model.path = shape->name;
    model.random = config;
    model.device = options->device;
    model.quant = options->quant;
    model.super_scales = options->super_scales;
    model.quant_explicit = true;
    model.compute_dtype = options->compute_dtype;
    model.compute_explicit = true;
    return model;
}

vkft_bench_row vkft_bench_row_of(const vkft_bench_options *options, const vkft_bench_shape *shape)
{
    vkft_bench_row row = {.unit = "tokens/s",
                          .quant = vkft_quant_label(vkft_storage_variant(options->quant, options->super_scales)),
                          .compute = vkft_compute_name(options->compute_dtype),
                          .batch = options->batch_size,
                          .lora_r = options->lora_r};
    snprintf(row.name, sizeof row.name, "%s", shape->name);
    return row;
}

/* When each token came, ms of two clocks. */
typedef struct arrivals {
    const vkft_bench_observer *observer;
    double *wall, *cpu;
    uint32_t count, room;
} arrivals;

static void on_token(void *context, int32_t id)
{
    arrivals *a = context;
    (void)id;
    if (a->count == a->room)
        return;
    a->wall[a->count] = 1e3 * vkft_os_seconds();
    a->cpu[a->count++] = 1e3 * vkft_os_cpu_seconds();
}

static bool is_interrupted(void *context)
{
    const arrivals *a = context;
    return vkft_observer_interrupted(&a->observer->general);
}

/* Times between tokens, without the first few, which record and build what the others use. */
static void summarize(arrivals *a, vkft_bench_row *row)
{
    const uint32_t first = max_u32(1, a->count / 4), n = a->count - first;
    row->repetitions = n;
    row->warm_up_runs = first;
    row->steady = true;
    for (uint32_t i = 0; i < n; i++) {
        a->wall[i] = a->wall[i + first] - a->wall[i + first - 1];
        a->cpu[i] = a->cpu[i + first] - a->cpu[i + first - 1];
    }
    row->wall_ms = vkft_bench_median(a->wall, n);
    row->cpu_ms = vkft_bench_median(a->cpu, n);
    row->deviation_percent = vkft_bench_deviation_percent(a->wall, n);
    row->value = 1e3 / row->wall_ms;
}

static bool generate(const vkft_bench_options *options, const vkft_bench_shape *shape, const char *config, arrivals *a,
                     vkft_err *err)
{
    int32_t prompt[PROMPT];
    for (uint32_t i = 0; i < PROMPT; i++)
        prompt[i] = (int32_t)(vkft_random_bits(SEED, VKFT_STREAM_SAMPLE, i) % shape->vocab_size);
    vkft_generate_options o = vkft_generate_defaults();
    o.model = vkft_bench_model(options, shape, config);
    o.ids = prompt;
    o.id_count = PROMPT;
    o.ignore_eos = true;
    o.max_new_tokens = a->room;
    o.temperature = 0;
    o.max_new_tokens_given = o.temperature_given = true;
    const vkft_generate_observer observer = {.general = {.context = a, .interrupted = is_interrupted},
                                             .token = on_token};
    vkft_generate_result result;
    if (!vkft_generate(&o, &observer, &result, err))
        return false;
    return a->count >= 4 || vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while measuring");
}

bool vkft_bench_generation(const vkft_bench_options *options, const vkft_bench_shape *shape, uint32_t new_tokens,
                           const vkft_bench_observer *observer, vkft_err *err)
{
    arrivals a = {.observer = observer, .room = max_u32(4, new_tokens)};
    vkft_bench_row row = vkft_bench_row_of(options, shape);
    char *config = vkft_bench_shape_config(shape);
    a.wall = malloc(a.room * sizeof *a.wall);
    a.cpu = malloc(a.room * sizeof *a.cpu);
    bool ok = (config && a.wall && a.cpu) || vkft_fail_memory(err, "for generation");
    ok = ok && generate(options, shape, config, &a, err);
    if (ok) {
        row.test = "generate";
        row.tokens = a.count;
        row.batch = 1;
        row.lora_r = 0;
        summarize(&a, &row);
        observer->row(observer->general.context, &row);
    }
    free(config);
    free(a.wall);
    free(a.cpu);
    return ok;
}
