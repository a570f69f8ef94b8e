/* Learning rate schedules. Each is a factor of the rate, which rises linearly from 0 in the warmup unless the schedule
 * has one of its own. */
#include "host/train/schedule.h"

#include <math.h>
#include <stddef.h>

#include "host/trainable/optimizer/arguments.h"

#define PI 3.141592653589793
#define NOT_GIVEN NAN

typedef struct kind {
    const char *name;
    double (*factor)(const vkft_schedule *s, double step); /* after the warmup, if not `whole` */
    bool whole;                                            /* factor is for the steps of the warmup, too */
    bool (*check)(const vkft_schedule *s, vkft_err *err);  /* or NULL */
    vkft_argument args[VKFT_SCHEDULE_ARGS];
} kind;

/* 0 at the end of the warmup, 1 at the end of the run. */
static double progress_of(const vkft_schedule *s, double step)
{
    double length = s->total > s->warmup ? (double)(s->total - s->warmup) : 1.0;
    return (step - (double)s->warmup) / length;
}

static double constant(const vkft_schedule *s, double step)
{
    (void)s, (void)step;
    return 1;
}

static double linear(const vkft_schedule *s, double step)
{
    return fmax(0.0, 1.0 - progress_of(s, step));
}

static double cosine_factor(double cycles, double progress)
{
    return 0.5 * (1.0 + cos(PI * cycles * 2.0 * progress));
}

static double cosine(const vkft_schedule *s, double step)
{
    return fmax(0.0, cosine_factor(s->args[0], progress_of(s, step)));
}

static double cosine_with_restarts(const vkft_schedule *s, double step)
{
    double progress = progress_of(s, step);
    return progress >= 1.0 ? 0 : fmax(0.0, 0.5 * (1.0 + cos(PI * fmod(s->args[0] * progress, 1.0))));
}

static double raised(double factor, double least)
{
    return fmax(0.0, factor * (1 - least) + least);
}

/* min_lr as a ratio of the highest rate. */
static double least_of(const vkft_schedule *s)
{
    return isnan(s->args[0]) ? s->args[1] : s->args[0] / s->rate;
}

static double cosine_with_min_lr(const vkft_schedule *s, double step)
{
    return raised(cosine_factor(s->args[2], progress_of(s, step)), least_of(s));
}

static double cosine_warmup_with_min_lr(const vkft_schedule *s, double step)
{
    double warmup = (double)s->warmup, begin = s->args[3];
    if (step < warmup)
        return isnan(begin) ? (step + 1) / warmup : begin + (1 - begin) * step / fmax(1, warmup - 1);
    return raised(cosine_factor(s->args[2], progress_of(s, step + 1)), least_of(s));
}

static bool check_min_lr(const vkft_schedule *s, vkft_err *err)
{
    if (isnan(s->args[0]) != isnan(s->args[1]))
        return true;
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "--lr-scheduler-kwargs: this schedule needs the rate that it ends with: either min_lr=X, or "
                     "min_lr_rate=X as a ratio of --learning-rate");
}

static double polynomial(const vkft_schedule *s, double step)
{
    double end = s->args[0];
    return ((s->rate - end) * pow(1 - progress_of(s, step), s->args[1]) + end) / s->rate;
}

static bool check_polynomial(const vkft_schedule *s, vkft_err *err)
{
    return s->args[0] < s->rate || vkft_fail(err, VKFT_ERR_INPUT,
                                             "--lr-scheduler-kwargs: lr_end is %g, and --learning-rate %g; expected a "
                                             "rate that falls",
                                             s->args[0], s->rate);
}

static double inverse_sqrt(const vkft_schedule *s, double step)
{
    double warmup = (double)s->warmup, scale = !isnan(s->args[0]) ? s->args[0] : s->warmup ? warmup : 10000;
    return 1 / sqrt((step + scale - warmup) / scale);
}

enum { LINEAR, COSINE, ONE_MINUS_SQRT };
static const char *const curves[] = {[LINEAR] = "linear", [COSINE] = "cosine", [ONE_MINUS_SQRT] = "1-sqrt", NULL};

static double warmup_stable_decay(const vkft_schedule *s, double step)
{
    double least = s->args[0], decay = s->args[1], warmup = (double)s->warmup,
           stable = (double)s->total - warmup - decay;
    int up = (int)s->args[2], down = (int)s->args[3];
    if (step < warmup) {
        double x = step / warmup;
        return raised(up == LINEAR ? x : up == COSINE ? 0.5 * (1 - cos(PI * x)) : 1 - sqrt(1 - x), least);
    }
    if (step < warmup + stable)
        return 1;
    if (step >= warmup + stable + decay)
        return least;
    double x = (step - warmup - stable) / decay;
    return raised(down == LINEAR ? 1 - x : down == COSINE ? cosine_factor(s->args[4], x) : 1 - sqrt(x), least);
}

static bool check_decay(const vkft_schedule *s, vkft_err *err)
{
    return !isnan(s->args[1]) || vkft_fail(err, VKFT_ERR_INPUT,
                                           "--lr-scheduler-kwargs: warmup_stable_decay needs num_decay_steps=N, the "
                                           "steps at the end in which the rate falls");
}

#define CYCLES(count)                                                                                                  \
    {                                                                                                                  \
        .name = "num_cycles", .value = (count), .below = 1e6                                                           \
    }
#define MIN_LR                                                                                                         \
    {.name = "min_lr", .value = NOT_GIVEN, .below = INFINITY},                                                         \
    {                                                                                                                  \
        .name = "min_lr_rate", .value = NOT_GIVEN, .below = INFINITY                                                   \
    }

static const kind kinds[VKFT_SCHEDULES] = {
    [VKFT_SCHEDULE_constant] = {.name = "constant", .factor = constant, .whole = true},
    [VKFT_SCHEDULE_constant_with_warmup] = {.name = "constant_with_warmup", .factor = constant},
    [VKFT_SCHEDULE_linear] = {.name = "linear", .factor = linear},
    [VKFT_SCHEDULE_cosine] = {.name = "cosine", .factor = cosine, .args = {CYCLES(0.5)}},
    [VKFT_SCHEDULE_cosine_with_restarts] = {.name = "cosine_with_restarts",
                                            .factor = cosine_with_restarts,
                                            .args = {CYCLES(1)}},
    [VKFT_SCHEDULE_cosine_with_min_lr] = {.name = "cosine_with_min_lr",
                                          .factor = cosine_with_min_lr,
                                          .check = check_min_lr,
                                          .args = {MIN_LR, CYCLES(0.5)}},
    [VKFT_SCHEDULE_cosine_warmup_with_min_lr] =
        {.name = "cosine_warmup_with_min_lr",
         .factor = cosine_warmup_with_min_lr,
         .whole = true,
         .check = check_min_lr,
         .args = {MIN_LR, CYCLES(0.5), {.name = "warmup_lr_rate", .value = NOT_GIVEN, .below = INFINITY}}},
    [VKFT_SCHEDULE_polynomial] = {.name = "polynomial",
                                  .factor = polynomial,
                                  .check = check_polynomial,
                                  .args = {{.name = "lr_end", .value = 1e-7, .below = INFINITY},
                                           {.name = "power", .value = 1, .below = INFINITY}}},
    [VKFT_SCHEDULE_inverse_sqrt] =
        {.name = "inverse_sqrt",
         .factor = inverse_sqrt,
         .args = {{.name = "timescale", .value = NOT_GIVEN, .minimum = 1, .below = INFINITY}}},
    [VKFT_SCHEDULE_warmup_stable_decay] =
        {.name = "warmup_stable_decay",
         .factor = warmup_stable_decay,
         .whole = true,
         .check = check_decay,
         .args = {{.name = "min_lr_ratio", .below = INFINITY},
                  {.name = "num_decay_steps", .value = NOT_GIVEN, .minimum = 1, .below = INFINITY},
                  {.name = "warmup_type", .words = curves},
                  {.name = "decay_type", .value = COSINE, .words = curves},
                  CYCLES(0.5)}},
};

bool vkft_schedule_parse_args(vkft_schedule *s, const char *text, vkft_err *err)
{
    const kind *k = &kinds[s->type];
    return vkft_arguments_parse(k->args, VKFT_SCHEDULE_ARGS, "--lr-scheduler-kwargs", k->name, text, s->args, err) &&
           (!k->check || k->check(s, err));
}

double vkft_learning_rate(const vkft_schedule *s, uint64_t step)
{
    const kind *k = &kinds[s->type];
    if (step < s->warmup && !k->whole)
        return s->rate * (double)step / (double)s->warmup;
    return s->rate * k->factor(s, (double)step);
}

uint64_t vkft_warmup_steps(double warmup, uint64_t total)
{
    return (uint64_t)(warmup < 1.0 ? ceil(warmup * (double)total) : warmup);
}
