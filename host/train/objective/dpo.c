/* Direct preference optimization: how much likelier than before training the chosen answer has become, compared with
 * the rejected one.
 *
 *   c = log p(chosen) - log p_reference(chosen), r the same of the rejected one;
 *   sigmoid: -(1-e) log s(b (c-r)) - e log s(-b (c-r)), e the label smoothing, b beta; rewards are b c and b r.
 *
 * The other losses are those of TRL under its names, which cites their papers; each computes the loss and its
 * derivatives by c and r. Lengths n are of the whole answers, for the losses that average.
 * Source: Rafailov et al. 2023; TRL's DPOTrainer. Test: test_objectives, test_golden_preference
 */
#include <math.h>

#include "host/train/objective/objective.h"

typedef struct pair {
    double c, r;   /* log-ratios */
    double nc, nr; /* tokens */
    double dc, dr; /* out: derivatives of the loss */
} pair;

typedef double loss_function(const vkft_objective_options *o, pair *p);

/* d: the derivative by c - r. */
static void by_difference(pair *p, double d)
{
    p->dc = d;
    p->dr = -d;
}

static double sigmoid(const vkft_objective_options *o, pair *p)
{
    double b = o->beta, e = o->label_smoothing, x = b * (p->c - p->r);
    by_difference(p, -b * (1 - e) * vkft_sigmoid(-x) + b * e * vkft_sigmoid(x));
    return -(1 - e) * vkft_log_sigmoid(x) - e * vkft_log_sigmoid(-x);
}

static double hinge(const vkft_objective_options *o, pair *p)
{
    double x = 1 - o->beta * (p->c - p->r);
    by_difference(p, x > 0 ? -o->beta : 0);
    return fmax(x, 0);
}

static double ipo(const vkft_objective_options *o, pair *p)
{
    double x = p->c / p->nc - p->r / p->nr - 1 / (2 * o->beta);
    p->dc = 2 * x / p->nc;
    p->dr = -2 * x / p->nr;
    return x * x;
}

static double sigmoid_norm(const vkft_objective_options *o, pair *p)
{
    double x = o->beta * (p->c / p->nc - p->r / p->nr), d = -o->beta * vkft_sigmoid(-x);
    p->dc = d / p->nc;
    p->dr = -d / p->nr;
    return -vkft_log_sigmoid(x);
}

static double robust(const vkft_objective_options *o, pair *p)
{
    double b = o->beta, e = o->label_smoothing, x = b * (p->c - p->r);
    by_difference(p, (-b * (1 - e) * vkft_sigmoid(-x) - b * e * vkft_sigmoid(x)) / (1 - 2 * e));
    return (-(1 - e) * vkft_log_sigmoid(x) + e * vkft_log_sigmoid(-x)) / (1 - 2 * e);
}

/* q (log q - log(1-e)) + (1-q) (log(1-q) - log e), q = s(b (c-r)). */
static double exo_pair(const vkft_objective_options *o, pair *p)
{
    double b = o->beta, e = o->label_smoothing, x = b * (p->c - p->r), q = vkft_sigmoid(x), not_q = vkft_sigmoid(-x);
    double first = vkft_log_sigmoid(x) - log1p(-e), second = vkft_log_sigmoid(-x) - log(e);
    by_difference(p, b * q * not_q * (first - second));
    return q * first + not_q * second;
}

static double nca_pair(const vkft_objective_options *o, pair *p)
{
    double b = o->beta, c = b * p->c, r = b * p->r;
    p->dc = b * (-vkft_sigmoid(-c) + 0.5 * vkft_sigmoid(c));
    p->dr = b * 0.5 * vkft_sigmoid(r);
    return -vkft_log_sigmoid(c) - 0.5 * vkft_log_sigmoid(-c) - 0.5 * vkft_log_sigmoid(-r);
}

static double bco_pair(const vkft_objective_options *o, pair *p)
{
    double b = o->beta, c = b * p->c, r = b * p->r;
    p->dc = -b * vkft_sigmoid(-c);
    p->dr = b * vkft_sigmoid(r);
    return -vkft_log_sigmoid(c) - vkft_log_sigmoid(-r);
}

static double sppo_hard(const vkft_objective_options *o, pair *p)
{
    double c = p->c - 0.5 / o->beta, r = p->r + 0.5 / o->beta;
    p->dc = 2 * c;
    p->dr = 2 * r;
    return c * c + r * r;
}

/* Of s(x). */
static double sigmoid_slope(double x)
{
    return vkft_sigmoid(x) * vkft_sigmoid(-x);
}

static double apo_zero(const vkft_objective_options *o, pair *p)
{
    double b = o->beta;
    p->dc = -b * sigmoid_slope(b * p->c);
    p->dr = b * sigmoid_slope(b * p->r);
    return vkft_sigmoid(-b * p->c) + vkft_sigmoid(b * p->r);
}

static double apo_down(const vkft_objective_options *o, pair *p)
{
    double b = o->beta, x = b * (p->c - p->r);
    p->dc = b * sigmoid_slope(b * p->c) - b * sigmoid_slope(x);
    p->dr = b * sigmoid_slope(x);
    return vkft_sigmoid(b * p->c) + vkft_sigmoid(-x);
}

static double judge(const vkft_objective_options *o, vkft_scored *answers, uint32_t count, double kl,
                    double metrics[VKFT_METRICS])
{
    static loss_function *const functions[] = {
#define DPO_LOSS(name, function) function,
#include "host/train/objective/dpo_losses.def"
#undef DPO_LOSS
    };
    uint32_t pairs = count / 2;
    double sum = 0;
    (void)kl;
    for (uint32_t i = 0; i < count; i += 2) {
        vkft_scored *chosen = &answers[i], *rejected = &answers[i + 1];
        pair p = {.c = chosen->logp - chosen->reference,
                  .r = rejected->logp - rejected->reference,
                  .nc = chosen->sample->length - chosen->sample->prompt_length,
                  .nr = rejected->sample->length - rejected->sample->prompt_length};
        sum += functions[o->loss_type](o, &p);
        chosen->slope = p.dc / pairs;
        rejected->slope = p.dr / pairs;
        vkft_metrics_add_pair(metrics, (const double[]){o->beta * p.c, o->beta * p.r},
                              (const double[]){chosen->logp, rejected->logp}, pairs);
    }
    return sum / pairs;
}

const vkft_objective vkft_objective_dpo = {
    .name = "dpo", .preferences = VKFT_PREFERENCES_PAIRS, .has_reference = true, .judge = judge};
