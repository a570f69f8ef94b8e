/* The table of objectives, and what they share. */
#include "host/train/objective/objective.h"

#include <math.h>

const vkft_objective *vkft_objective_of(vkft_objective_type type)
{
    static const vkft_objective *const objectives[] = {
#define OBJECTIVE(name) &vkft_objective_##name,
#include "host/train/objective/objectives.def"
#undef OBJECTIVE
    };
    return objectives[type];
}

const char *vkft_metric_name(vkft_metric metric)
{
    static const char *const names[] = {
#define METRIC(id, name) name,
#include "host/train/objective/metrics.def"
#undef METRIC
    };
    return names[metric];
}

double vkft_log_sigmoid(double x)
{
    return fmin(x, 0) - log1p(exp(-fabs(x)));
}

double vkft_sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static void add(double *metric, double value)
{
    *metric = isnan(*metric) ? value : *metric + value;
}

void vkft_metrics_add_pair(double metrics[VKFT_METRICS], const double reward[2], const double logp[2], uint32_t pairs)
{
    add(&metrics[VKFT_METRIC_rewards_chosen], reward[0] / pairs);
    add(&metrics[VKFT_METRIC_rewards_rejected], reward[1] / pairs);
    add(&metrics[VKFT_METRIC_rewards_accuracies], (reward[0] > reward[1]) / (double)pairs);
    add(&metrics[VKFT_METRIC_rewards_margins], (reward[0] - reward[1]) / pairs);
    add(&metrics[VKFT_METRIC_logps_chosen], logp[0] / pairs);
    add(&metrics[VKFT_METRIC_logps_rejected], logp[1] / pairs);
}
