/* The means of a preference objective's numbers, over micro batches. */
#ifndef VKFT_METRICS_H
#define VKFT_METRICS_H

#include "host/train/objective/objective.h"
#include "runtime/base/json/builder.h"

/* Sums, and how many micro batches have each number. */
typedef struct vkft_metric_sums {
    double sum[VKFT_METRICS], count[VKFT_METRICS];
} vkft_metric_sums;

void vkft_metric_sums_add(vkft_metric_sums *sums, const double metrics[VKFT_METRICS]);
void vkft_metric_sums_join(vkft_metric_sums *sums, const vkft_metric_sums *more);
/* NaN where no micro batch has the number. */
void vkft_metric_sums_means(const vkft_metric_sums *sums, double metrics[VKFT_METRICS]);
/* Those that are not NaN, under TRL's names after the prefix. */
void vkft_metrics_put(vkft_json_node row, const char *prefix, const double metrics[VKFT_METRICS]);

#endif
