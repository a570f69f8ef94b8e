/* Training runs as one HTML page that needs no other file: numbers, settings, charts; light or dark as the reader's
 * system is, for screens from a phone's width on. */
#ifndef VKFT_PLOT_PAGE_H
#define VKFT_PLOT_PAGE_H

#include "host/plot/chart.h"

/* A page that is served while its run goes on: it refreshes itself and has buttons. */
typedef struct vkft_plot_live {
    bool going;        /* somebody obeys the buttons */
    const char *asked; /* what the run was asked and has not done yet, or is doing: "pause"; NULL: nothing */
    const char *nonce; /* of the page's script */
} vkft_plot_live;

typedef struct vkft_plot {
    const char *title;
    const vkft_plot_log *logs;
    size_t count;
    const vkft_chart *charts;
    size_t chart_count;
    vkft_plot_x x;
    const vkft_plot_live *live; /* NULL: a file */
} vkft_plot;

bool vkft_plot_page(const vkft_plot *plot, vkft_text *out, vkft_err *err);

#endif
