/* One logged number of a run over its course: what a line of a chart is drawn from. */
#ifndef VKFT_CURVE_H
#define VKFT_CURVE_H

#include <stddef.h>

#include "host/plot/log.h"

typedef enum vkft_plot_x { VKFT_PLOT_STEP, VKFT_PLOT_EPOCH, VKFT_PLOT_TOKENS } vkft_plot_x;

/* Points in the order of the log. y is NaN where the logged number was not finite. */
typedef struct vkft_curve {
    double *x, *y;
    size_t count;
} vkft_curve;

/* The rows that have the key. Tokens of an evaluation are those of the last row before it that has them. */
bool vkft_curve_read(const vkft_plot_log *log, const char *key, vkft_plot_x x, vkft_curve *curve, vkft_err *err);
void vkft_curve_free(vkft_curve *curve);

/* How many neighbours the mean below is of: an odd number, about a 25th of the points; 0: too few points to smooth. */
size_t vkft_curve_window(const vkft_curve *curve);
/* y[i] becomes the mean of the finite ones of `window` points around it, fewer at the ends; NaN where there is none. */
bool vkft_curve_smooth(const vkft_curve *curve, size_t window, vkft_curve *smooth, vkft_err *err);
/* At most 2 * buckets points: of each of so many equal parts the lowest and the highest, so that no spike is lost. */
void vkft_curve_thin(vkft_curve *curve, size_t buckets);

#endif
