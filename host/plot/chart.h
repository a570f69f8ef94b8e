/* A chart as SVG: one logged number of several runs over each other, in training and in evaluations. */
#ifndef VKFT_PLOT_CHART_H
#define VKFT_PLOT_CHART_H

#include "host/plot/curve.h"
#include "runtime/base/text.h"

typedef struct vkft_chart {
    char key[96];   /* of a row; that of evaluations is the same after "eval_" */
    char title[96]; /* "Loss" */
    bool logarithmic, bytes;
    bool exact; /* drawn without the mean of neighbours */
} vkft_chart;

/* The charts that these runs give, the well-known ones first, then every other number that a run has at least two of;
 * malloc'ed. */
bool vkft_charts_of(const vkft_plot_log *logs, size_t count, vkft_chart **charts, size_t *chart_count, vkft_err *err);

/* Appends an <svg> element. alone: with its own style, as a file needs it. Otherwise vkft_chart_style is in the page. A
 * run has the colour of its number; of a single run training and evaluation have a colour each. */
bool vkft_chart_svg(const vkft_chart *chart, const vkft_plot_log *logs, size_t count, vkft_plot_x x, bool alone,
                    vkft_text *out, vkft_err *err);
extern const char vkft_chart_style[]; /* CSS, light or dark as the reader's system is */

#endif
