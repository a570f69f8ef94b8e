/* See metrics.h. */
#include "host/train/preference/metrics.h"

#include <math.h>
#include <stdio.h>

void vkft_metric_sums_add(vkft_metric_sums *sums, const double metrics[VKFT_METRICS])
{
    for (int i = 0; i < VKFT_METRICS; i++)
        if (!isnan(metrics[i])) {
            sums->sum[i] += metrics[i];
            sums->count[i]++;
        }
}

void vkft_metric_sums_join(vkft_metric_sums *sums, const vkft_metric_sums *more)
{
    for (int i = 0; i < VKFT_METRICS; i++) {
        sums->sum[i] += more->sum[i];
        sums->count[i] += more->count[i];
    }
}

void vkft_metric_sums_means(const vkft_metric_sums *sums, double metrics[VKFT_METRICS])
{
    for (int i = 0; i < VKFT_METRICS; i++)
        metrics[i] = sums->count[i] > 0 ? sums->sum[i] / sums->count[i] : NAN;
}

void vkft_metrics_put(vkft_json_node row, const char *prefix, const double metrics[VKFT_METRICS])
{
    for (int i = 0; i < VKFT_METRICS; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, vkft_metric_name((vkft_metric)i));
        if (!isnan(metrics[i]))
            vkft_json_put_number(row, name, metrics[i]);
    }
}
