/* Training runs as one HTML page that needs no other file: numbers, settings, charts; light or dark as the reader's
 * system is, for screens from a phone's width on. */
#ifndef VKFT_PLOT_PAGE_H
#define VKFT_PLOT_PAGE_H

#include "host/plot/chart.h"

typedef struct vkft_plot {
    const char *title;
    const vkft_plot_log *logs;
    size_t count;
    const vkft_chart *charts;
    size_t chart_count;
    vkft_plot_x x;
} vkft_plot;

bool vkft_plot_page(const vkft_plot *plot, vkft_text *out, vkft_err *err);

#endif
