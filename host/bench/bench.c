/* See bench.h. Which shapes are measured, and how long: from the speed of one product the time of a step is foreseen,
 * and corrected by each shape that was measured. */
#include "host/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/bench/kernels/cpu_peak.h"
#include "host/bench/kernels/peaks.h"
#include "host/bench/kernels/products.h"
#include "host/bench/shapes/steps.h"
#include "host/bench/telemetry/telemetry.h"
#include "runtime/base/os/os.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

#define SHORT_CONTEXT 64u
#define MAX_CHOSEN 32u
#define BUSY_PERCENT 10.0 /* a desktop alone stays below */

/* A shape's cost in training steps: those of the check, of warm-up and repetitions, and evaluations, which take a
 * third.
 */
#define STEPS_IN_FULL 16.0
#define STEPS_AT_LEAST 8.0

typedef struct bench {
    const vkft_bench_options *options;
    const vkft_bench_observer *observer;
    vkft_bench_observer forward; /* completes each row */
    vkft_device_info info;
    double started;
    double gflops; /* of a training step's products, as far as is known */
    vkft_telemetry *telemetry;
} bench;

static void on_row(void *context, const vkft_bench_row *row)
{
    const bench *b = context;
    vkft_bench_row complete = *row;
    if (b->info.caps.software && complete.per_cpu_second == 0 && complete.cpu_ms > 0)
        complete.per_cpu_second = complete.value * complete.wall_ms / complete.cpu_ms;
    b->observer->row(b->observer->general.context, &complete);
}

static void on_message(void *context, const char *line)
{
    vkft_observer_say(&((const bench *)context)->observer->general, "%s", line);
}

static bool on_interrupted(void *context)
{
    return vkft_observer_interrupted(&((const bench *)context)->observer->general);
}

static void on_work(void *context, const char *what, uint64_t done, uint64_t total)
{
    vkft_observer_work(&((const bench *)context)->observer->general, what, done, total);
}

static double time_left(const bench *b)
{
    return b->options->time_limit - (vkft_os_seconds() - b->started);
}

/* Forward, again for the backward, and the gradient of the inputs: 2 operations a weight each. */
static double step_gflop(const vkft_bench_shape *shape, uint32_t tokens)
{
    return 6e-9 * (double)vkft_bench_shape_multiplied(shape) * tokens;
}

static void leave_out(const bench *b, const char *name, const char *why)
{
    vkft_observer_say(&b->observer->general, "left out: %s (%s)", name, why);
}

/* How much of a shape fits the time that is left; false: nothing does. */
static bool plan_shape(const bench *b, const vkft_bench_shape *shape, bool named, vkft_bench_steps_plan *plan)
{
    const vkft_bench_options *o = b->options;
    *plan = (vkft_bench_steps_plan){.context = o->context,
                                    .telemetry = b->telemetry,
                                    .new_tokens = o->new_tokens,
                                    .measure = {.repetitions = o->repetitions, .window_ms = 200, .warm_up_ms = 20e3}};
    if (named || o->time_limit == 0)
        return true;
    const double left = time_left(b), seconds = step_gflop(shape, o->context) / b->gflops;
    const double brief = seconds * SHORT_CONTEXT / o->context;
    plan->measure.warm_up_ms = 1e3 * left / 20;
    plan->measure.limit_ms = 1e3 * left / 10;
    if (seconds * STEPS_IN_FULL <= left / 2)
        return true;
    if (seconds * STEPS_AT_LEAST <= left / 3) {
        plan->measure.repetitions = 2;
        return true;
    }
    if (o->context <= SHORT_CONTEXT || brief * STEPS_AT_LEAST > left / 2)
        return false;
    plan->context = SHORT_CONTEXT;
    plan->new_tokens = min_u32(o->new_tokens, 16);
    vkft_observer_say(&b->observer->general,
                      "%s: %u tokens instead of %u, because a step of %u would take about %.0f s", shape->name,
                      plan->context, o->context, o->context, seconds);
    return true;
}

/* *done: false where the shape was left out. */
static bool run_shape(bench *b, const vkft_bench_shape *shape, bool named, vkft_err *err)
{
    vkft_bench_steps_plan plan;
    double train_ms;
    if (!plan_shape(b, shape, named, &plan)) {
        leave_out(b, shape->name, "it would take too long; name it with --shapes, or raise --time-limit");
        return true;
    }
    if (vkft_bench_steps(b->options, shape, &plan, &b->forward, &train_ms, err)) {
        if (train_ms > 0)
            b->gflops = step_gflop(shape, plan.context) / (1e-3 * train_ms);
        return true;
    }
    if (named || err->kind != VKFT_ERR_MEMORY)
        return vkft_fail_context(err, "%s", shape->name);
    leave_out(b, shape->name, err->message);
    *err = (vkft_err){0};
    return true;
}

static bool fail_unknown(const char *name, vkft_err *err)
{
    vkft_text names = {0};
    for (const vkft_bench_shape *s = vkft_bench_shapes; s->name; s++) {
        vkft_text_append(&names, s == vkft_bench_shapes ? "" : ", ", s == vkft_bench_shapes ? 0 : 2, NULL);
        vkft_text_append(&names, s->name, strlen(s->name), NULL);
    }
    vkft_fail(err, VKFT_ERR_USAGE, "--shapes: there is no shape '%s'; expected some of %s", name,
              names.data ? names.data : "");
    vkft_text_free(&names);
    return false;
}

/* The shapes of the option, or all but the first. */
static bool list_shapes(const char *names, const vkft_bench_shape *chosen[MAX_CHOSEN], uint32_t *count, vkft_err *err)
{
    *count = 0;
    for (const vkft_bench_shape *s = vkft_bench_shapes + 1; !names && s->name; s++)
        chosen[(*count)++] = s;
    while (names && *names) {
        char name[64];
        size_t length = strcspn(names, ",");
        snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), names);
        names += length + (names[length] == ',');
        const vkft_bench_shape *s = vkft_bench_shape_find(name);
        if (!s)
            return fail_unknown(name, err);
        if (*count == MAX_CHOSEN)
            return vkft_fail(err, VKFT_ERR_USAGE, "--shapes: more than %u names", MAX_CHOSEN);
        chosen[(*count)++] = s;
    }
    return true;
}

/* Before anything of ours runs. */
static void warn_busy(bench *b)
{
    b->telemetry = vkft_telemetry_open(&b->info, "", NULL);
    const double busy = vkft_telemetry_read(b->telemetry).busy_percent;
    if (busy > BUSY_PERCENT)
        vkft_observer_say(
            &b->observer->general,
            "warning: %s is busy already (%.0f %%): another program uses it, and the speeds will be too low",
            b->info.name, busy);
}

static bool open_bench(bench *b, vkft_err *err)
{
    const vkft_bench_options *o = b->options;
    vkft_device *dev = vkft_device_open(o->device, err);
    if (!dev)
        return false;
    b->info = *vkft_device_get_info(dev);
    b->observer->begin(b->observer->general.context, &b->info, b->info.caps.software ? vkft_cpu_fma_peak() : 0);
    warn_busy(b);
    vkft_bench_peak peak = {0};
    bool ok = !o->peaks || vkft_bench_peaks(dev, &b->forward, &peak, err);
    ok = ok && (!o->kernels || vkft_bench_products(dev, o->compute_dtype, &peak, &b->forward, err));
    ok = ok && (!o->steps || vkft_bench_probe(dev, VKFT_STORAGE_nf4_dq, &b->gflops, err));
    vkft_device_close(dev);
    return ok;
}

static bool run_device(const vkft_bench_options *options, const vkft_bench_observer *observer, vkft_err *err)
{
    const vkft_bench_shape *chosen[MAX_CHOSEN];
    uint32_t count;
    bench b = {.options = options, .observer = observer, .started = vkft_os_seconds()};
    b.forward = (vkft_bench_observer){
        .general = {.context = &b, .message = on_message, .interrupted = on_interrupted, .work = on_work},
        .row = on_row};
    bool ok = list_shapes(options->shapes, chosen, &count, err) && open_bench(&b, err);
    for (uint32_t i = 0; ok && options->steps && i < count; i++)
        ok = run_shape(&b, chosen[i], options->shapes != NULL, err);
    vkft_telemetry_close(b.telemetry);
    return ok;
}

/* One after the other; what fails on one does not stop the others. */
static bool run_all_devices(const vkft_bench_options *options, const vkft_bench_observer *observer, vkft_err *err)
{
    vkft_device_info *infos = NULL;
    uint32_t count = 0, usable = 0, failed = 0;
    if (!vkft_device_list(&infos, &count, err))
        return false;
    for (uint32_t i = 0; i < count; i++)
        usable += infos[i].usable;
    vkft_bench_options one = *options;
    one.time_limit = usable ? options->time_limit / usable : 0;
    for (uint32_t i = 0; i < count; i++) {
        char index[16];
        snprintf(index, sizeof index, "%u", infos[i].index);
        one.device = index;
        if (!infos[i].usable) {
            vkft_observer_say(&observer->general, "left out: %s (%s)", infos[i].name, infos[i].why_not);
            continue;
        }
        if (run_device(&one, observer, err))
            continue;
        failed++;
        if (err->kind == VKFT_ERR_INTERRUPTED || err->kind == VKFT_ERR_USAGE)
            break;
        vkft_observer_say(&observer->general, "error: %s: %s", infos[i].name, err->message);
    }
    free(infos);
    if (!usable)
        return vkft_fail(err, VKFT_ERR_DEVICE, "no usable Vulkan device; vkft devices says why");
    if (!failed || err->kind == VKFT_ERR_INTERRUPTED || err->kind == VKFT_ERR_USAGE)
        return !failed;
    return vkft_fail(err, VKFT_ERR_DEVICE, "%u of %u devices could not be measured, see above", failed, usable);
}

bool vkft_bench_run(const vkft_bench_options *options, const vkft_bench_observer *observer, vkft_err *err)
{
    return options->device && strcmp(options->device, "all") == 0 ? run_all_devices(options, observer, err)
                                                                  : run_device(options, observer, err);
}
