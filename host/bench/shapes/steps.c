/* See steps.h. The sample is random and the weights are: how long a step takes does not depend on them, and every
 * device has the same ones, so that the losses must agree. */
#include "host/bench/shapes/steps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/bench/shapes/generation.h"
#include "host/train/learner.h"
#include "runtime/base/os/os.h"
#include "runtime/base/random.h"
#include "runtime/base/size.h"
#include "runtime/memory.h"

#define SEED 20
#define CHECK_RATE 1e-4   /* learning rate of the steps that are checked */
#define MEASURE_RATE 1e-4 /* and of those that are measured */
#define TELEMETRY_S 0.2   /* between readings of the card */
#define SHORT_CHECK 64u   /* tokens that every shape has a reference for */

typedef struct steps {
    const vkft_bench_options *options;
    const vkft_bench_shape *shape;
    const vkft_bench_steps_plan *plan;
    const vkft_bench_observer *observer;
    char *config;
    vkft_session session;
    vkft_learner learner;
    float *initial;
    int32_t *ids;
    vkft_sample *samples;
    const vkft_sample **list;
    uint64_t step;
    double rate;
    double loss, grad_norm; /* of the last step */
    struct {
        double power_w, clock_mhz, temperature_c; /* sums; of the temperature the highest */
        uint32_t count;
        double last; /* when it was read */
    } card;
} steps;

static bool choose_trained(steps *s, vkft_err *err)
{
    vkft_adapter_set *set = &s->session.trained.adapters;
    const vkft_adapter_config config = {.r = s->options->lora_r, .lora_alpha = s->options->lora_alpha};
    if (!vkft_adapter_set_choose(set, &s->session.model, &vkft_method_lora,
                                 &(vkft_module_choice){.target = "all-linear"}, &config, err))
        return false;
    s->initial = malloc(vkft_trainables_floats(&s->session.trained) * sizeof *s->initial);
    if (!s->initial)
        return vkft_fail_memory(err, "for the adapter");
    return vkft_adapter_set_init(set, SEED, s->initial, err);
}

/* Samples of `tokens` tokens, all of them trained but the first. */
static void make_samples(steps *s, uint32_t tokens)
{
    for (uint32_t i = 0; i < s->options->batch_size; i++) {
        const int32_t *ids = s->ids + (size_t)i * s->plan->context;
        s->samples[i] = (vkft_sample){.ids = ids, .labels = ids, .length = tokens, .trained = tokens - 1};
        s->list[i] = &s->samples[i];
    }
}

static bool make_data(steps *s, vkft_err *err)
{
    const uint32_t batch = s->options->batch_size, tokens = batch * s->plan->context;
    s->ids = malloc(tokens * sizeof *s->ids);
    s->samples = malloc(batch * sizeof *s->samples);
    s->list = malloc(batch * sizeof *s->list);
    if (!s->ids || !s->samples || !s->list)
        return vkft_fail_memory(err, "for a random sample");
    for (uint32_t i = 0; i < tokens; i++)
        s->ids[i] = (int32_t)(vkft_random_bits(SEED, VKFT_STREAM_SAMPLE, i) % s->shape->vocab_size);
    return true;
}

static bool open_steps(steps *s, vkft_err *err)
{
    const vkft_bench_options *o = s->options;
    const vkft_optimizer_options adamw = {.type = VKFT_OPTIMIZER_adamw,
                                          .weight_decay = 0.01,
                                          .beta1 = 0.9,
                                          .beta2 = 0.999,
                                          .epsilon = 1e-8,
                                          .max_grad_norm = 1};
    const uint32_t tokens = o->batch_size * s->plan->context;
    const vkft_limits limits = {.batch = {.tokens = tokens, .rows = tokens, .positions = s->plan->context},
                                .checkpointing = VKFT_CHECKPOINTING_DEVICE};
    if (!(s->config = vkft_bench_shape_config(s->shape)))
        return vkft_fail_memory(err, "for a configuration");
    const vkft_session_source source = {.model = vkft_bench_model(o, s->shape, s->config)};
    vkft_memory_plan plan;
    if (!vkft_session_open(&s->session, &source, &s->observer->general, err))
        return false;
    s->session.seed = SEED;
    return choose_trained(s, err) && vkft_learner_open(&s->learner, &s->session, &adamw, s->initial, err) &&
           (s->session.dev = vkft_device_open(s->session.options.device, err)) &&
           vkft_session_plan(&s->session, &limits, &plan, err) &&
           vkft_session_start(&s->session, &plan, &s->observer->general, err) && make_data(s, err);
}

static void close_steps(steps *s)
{
    vkft_learner_close(&s->learner);
    vkft_session_close(&s->session);
    free(s->initial);
    free(s->ids);
    free(s->samples);
    free(s->list);
    free(s->config);
}

static bool interrupted(const steps *s, vkft_err *err)
{
    return vkft_observer_interrupted(&s->observer->general) &&
           !vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while measuring");
}

/* What the card does at the end of a step, now and then. */
static void watch_card(steps *s)
{
    const double now = vkft_os_seconds();
    if (!s->plan->telemetry || now - s->card.last < TELEMETRY_S)
        return;
    const vkft_telemetry_sample sample = vkft_telemetry_read(s->plan->telemetry);
    s->card.power_w += sample.power_w;
    s->card.clock_mhz += sample.clock_mhz;
    s->card.temperature_c = fmax(s->card.temperature_c, sample.temperature_c);
    s->card.count++;
    s->card.last = now;
}

static void tell_card(const steps *s, vkft_bench_row *row)
{
    if (!s->card.count)
        return;
    row->power_w = s->card.power_w / s->card.count;
    row->clock_mhz = s->card.clock_mhz / s->card.count;
    row->temperature_c = s->card.temperature_c;
}

static uint64_t trained_tokens(const steps *s)
{
    return (uint64_t)s->options->batch_size * s->samples[0].trained;
}

static bool run_train(void *context, double *wall_ms, double *cpu_ms, vkft_err *err)
{
    steps *s = context;
    double sum, wall = vkft_os_seconds(), cpu = vkft_os_cpu_seconds();
    if (interrupted(s, err) ||
        !vkft_learner_train(&s->learner, s->list, s->options->batch_size, trained_tokens(s), 0, &sum, err) ||
        !vkft_optimizer_update(&s->learner.optimizer, s->rate, ++s->step, &s->grad_norm, err))
        return false;
    *wall_ms = 1e3 * (vkft_os_seconds() - wall);
    *cpu_ms = 1e3 * (vkft_os_cpu_seconds() - cpu);
    s->loss = sum / (double)trained_tokens(s);
    watch_card(s);
    return true;
}

static bool run_eval(void *context, double *wall_ms, double *cpu_ms, vkft_err *err)
{
    steps *s = context;
    double sum, wall = vkft_os_seconds(), cpu = vkft_os_cpu_seconds();
    if (interrupted(s, err))
        return false;
    vkft_session_fill(&s->session, s->list, s->options->batch_size);
    if (!vkft_session_run(&s->session, s->learner.eval, &sum, err))
        return false;
    *wall_ms = 1e3 * (vkft_os_seconds() - wall);
    *cpu_ms = 1e3 * (vkft_os_cpu_seconds() - cpu);
    s->loss = sum / (double)trained_tokens(s);
    watch_card(s);
    return true;
}

/* What the products multiply, and how its errors reach a loss and a gradient.
 *
 * An operand that is rounded to u makes a relative error of about u in each product. The errors of a model's products
 * are independent and meet in its last hidden state h: their sum grows with the square root of their number n, so h is
 * off by sqrt(n) u. The loss is a mean over rows whose logits are h times the head; where h is wrong it moves by the
 * deviation of the logits (about 1 here) over the square root of the rows. In f32 nothing is rounded but the sums, of
 * up to 14336 terms: u is then 2^-24 times the root of that. n is at most 7 * 36 * 2 + 2. With a margin of 4 the bounds
 * are f32:  4 * 22 * 120 * 2^-24 = 2^-10.6 of a logit's deviation, bf16: 4 * 22 * 2^-9 = 2^-2.5 of it; over the root of
 * 63 rows and of a loss of 10, 2^-17 and 2^-9 of the loss. Wrong kernels move it by 2^-6 or more. A gradient is a
 * product of such errors without the mean over rows: 2^-10 and 2^-3. */
static void bounds(const steps *s, double *loss, double *gradient)
{
    bool exact = s->session.options.compute_dtype == VKFT_F32;
    *loss = exact ? 0x1p-16 : 0x1p-9;
    *gradient = exact ? 0x1p-10 : 0x1p-3;
}

static bool is_near(double found, double expected, double bound)
{
    return expected == 0 || fabs(found - expected) <= bound * fabs(expected);
}

/* Three steps from the untrained adapter on, which are compared with the reference; NULL: only told. */
static bool check(steps *s, uint32_t tokens, const vkft_bench_reference *r, vkft_bench_row *row, vkft_err *err)
{
    double wall, cpu, bound, gradient_bound;
    make_samples(s, tokens);
    s->step = 0;
    s->rate = CHECK_RATE;
    if (!vkft_optimizer_set(&s->learner.optimizer, s->initial, NULL, err) || !run_eval(s, &wall, &cpu, err))
        return false;
    const double eval_loss = s->loss;
    for (int i = 0; i < 3; i++) {
        if (!run_train(s, &wall, &cpu, err))
            return false;
        if (i == 0) {
            row->loss = s->loss;
            row->grad_norm = s->grad_norm;
        }
    }
    row->last_loss = s->loss;
    bounds(s, &bound, &gradient_bound);
    const char *wrong = NULL;
    double found = 0, expected = 0;
    if (!is_near(row->loss, eval_loss, bound))
        wrong = "loss (against evaluation's)", found = row->loss, expected = eval_loss;
    else if (r && !is_near(row->loss, r->first_loss, bound))
        wrong = "loss", found = row->loss, expected = r->first_loss;
    else if (r && !is_near(row->grad_norm, r->grad_norm, gradient_bound))
        wrong = "gradient norm", found = row->grad_norm, expected = r->grad_norm;
    else if (r && !is_near(row->last_loss, r->last_loss, 2 * bound))
        wrong = "loss after two steps", found = row->last_loss, expected = r->last_loss;
    if (wrong || r)
        row->check = wrong ? VKFT_BENCH_FAIL : VKFT_BENCH_PASS;
    if (wrong)
        snprintf(row->note, sizeof row->note, "%s %.6f, expected %.6f (%u tokens)", wrong, found, expected, tokens);
    return true;
}

/* With the references that there are: at the length that is measured, and at a short one where the former is not
 * known in full. */
static bool check_all(steps *s, vkft_bench_row *row, vkft_err *err)
{
    const vkft_bench_options *o = s->options;
    const uint32_t context = s->plan->context;
    const vkft_storage quant = vkft_storage_variant(o->quant, o->super_scales);
    const bool known = o->batch_size == 1;
    const vkft_bench_reference *full =
        known ? vkft_bench_reference_find(s->shape->name, context, o->lora_r, o->lora_alpha, quant) : NULL;
    const vkft_bench_reference *brief =
        known && context > SHORT_CHECK
            ? vkft_bench_reference_find(s->shape->name, SHORT_CHECK, o->lora_r, o->lora_alpha, quant)
            : NULL;
    bool ok = true;
    if (brief && !(full && full->last_loss != 0))
        ok = check(s, SHORT_CHECK, brief, row, err);
    if (ok && row->check != VKFT_BENCH_FAIL && (full || row->check == VKFT_BENCH_UNCHECKED))
        ok = check(s, context, full, row, err);
    if (ok && row->check == VKFT_BENCH_PASS && !full)
        snprintf(row->note, sizeof row->note, "checked at %u tokens", SHORT_CHECK);
    make_samples(s, context);
    s->rate = MEASURE_RATE;
    return ok;
}

static double profiled_ms(const vkft_pass *pass)
{
    vkft_profile_row rows[VKFT_KERNEL_COUNT] = {0};
    double sum = 0;
    vkft_pass_add_profile(pass, rows);
    for (uint32_t i = 0; i < VKFT_KERNEL_COUNT; i++)
        sum += rows[i].time_ms;
    return sum;
}

/* Kernel time of one more run, by timestamps; of software devices it says nothing that CPU time does not. */
static bool measure_device(steps *s, vkft_pass *pass, const vkft_bench_work *work, double *device_ms, vkft_err *err)
{
    double wall, cpu;
    if (vkft_device_get_caps(s->session.dev)->software)
        return true;
    for (uint32_t i = 0; i < VKFT_RECORDINGS; i++)
        vkft_commands_set_profile(pass->recordings[i].cmds, true);
    bool ok = work->run(s, &wall, &cpu, err);
    double before = profiled_ms(pass);
    ok = ok && work->run(s, &wall, &cpu, err);
    *device_ms = profiled_ms(pass) - before;
    for (uint32_t i = 0; i < VKFT_RECORDINGS; i++)
        vkft_commands_set_profile(pass->recordings[i].cmds, false);
    return ok;
}

static bool measure(steps *s, const char *test, vkft_bench_row *row, double *run_ms, vkft_err *err)
{
    const bool train = strcmp(test, "train") == 0;
    const vkft_bench_work work = {.context = s, .run = train ? run_train : run_eval};
    vkft_bench_timing t;
    row->test = test;
    if (row->check == VKFT_BENCH_FAIL)
        return true;
    memset(&s->card, 0, sizeof s->card);
    if (!vkft_bench_measure(&s->plan->measure, &work, &t, err) ||
        !measure_device(s, train ? s->learner.train : s->learner.eval, &work, &row->device_ms, err))
        return false;
    tell_card(s, row);
    const double tokens = (double)row->tokens * row->batch;
    row->value = 1e3 * tokens / t.median_ms;
    row->wall_ms = t.median_ms;
    row->cpu_ms = t.cpu_ms;
    row->deviation_percent = t.deviation_percent;
    row->repetitions = t.repetitions;
    row->warm_up_runs = t.warm_up_runs;
    row->steady = t.steady;
    row->measured_bytes = vkft_memory_get_stats(s->session.dev).device_peak_bytes;
    *run_ms = t.median_ms;
    return true;
}

static bool run_all(steps *s, vkft_bench_row *row, double *train_ms, vkft_err *err)
{
    double eval_ms;
    vkft_bench_row eval;
    if (!open_steps(s, err) || !check_all(s, row, err))
        return false;
    row->planned_bytes = s->session.plan.device_bytes;
    row->compute = vkft_compute_name(s->session.options.compute_dtype);
    eval = *row;
    row->test = "train";
    if (!s->plan->measure.repetitions) {
        s->observer->row(s->observer->general.context, row);
        return true;
    }
    if (!measure(s, "eval", &eval, &eval_ms, err))
        return false;
    s->observer->row(s->observer->general.context, &eval);
    if (!measure(s, "train", row, train_ms, err))
        return false;
    s->observer->row(s->observer->general.context, row);
    return true;
}

bool vkft_bench_steps(const vkft_bench_options *options, const vkft_bench_shape *shape,
                      const vkft_bench_steps_plan *plan, const vkft_bench_observer *observer, double *train_ms,
                      vkft_err *err)
{
    steps s = {.options = options, .shape = shape, .plan = plan, .observer = observer};
    vkft_bench_row row = vkft_bench_row_of(options, shape);
    vkft_bench_options chosen = *options;
    row.tokens = plan->context;
    *train_ms = 0;
    bool ok = run_all(&s, &row, train_ms, err);
    if (ok) /* what `auto` means on this device */
        chosen.compute_dtype = s.session.options.compute_dtype;
    close_steps(&s);
    return ok && (row.check == VKFT_BENCH_FAIL || !plan->new_tokens || !plan->measure.repetitions ||
                  vkft_bench_generation(&chosen, shape, plan->new_tokens, observer, err));
}
