/* A run in a few numbers, and what they tell. */
#ifndef VKFT_PLOT_SUMMARY_H
#define VKFT_PLOT_SUMMARY_H

#include <stdbool.h>

#include "host/plot/log.h"

/* NaN: not logged. */
typedef struct vkft_plot_summary {
    double steps, epochs, tokens;
    double loss; /* mean of the last logged ones, as many as the chart's line is smoothed over */
    double best_eval_loss, best_eval_step, last_eval_loss;
    double tokens_per_second; /* mean of the logged ones */
    double memory_bytes;      /* the largest */
    double skipped_steps;     /* whose gradients were not finite in fp16 */
    bool overfits;            /* see vkft_overfit */
} vkft_plot_summary;

bool vkft_plot_summarize(const vkft_plot_log *log, vkft_plot_summary *summary, vkft_err *err);

#endif
