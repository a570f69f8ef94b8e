/* See curve.h. */
#include "host/plot/curve.h"

#include <math.h>
#include <stdlib.h>

#include "host/train/evaluation/overfit.h"
#include "runtime/base/size.h"

static bool allocate(vkft_curve *curve, size_t count, vkft_err *err)
{
    *curve = (vkft_curve){calloc(count + 1, sizeof(double)), calloc(count + 1, sizeof(double)), 0};
    if (curve->x && curve->y)
        return true;
    vkft_curve_free(curve);
    return vkft_fail_memory(err, "for a chart");
}

void vkft_curve_free(vkft_curve *curve)
{
    free(curve->x);
    free(curve->y);
    *curve = (vkft_curve){0};
}

bool vkft_curve_read(const vkft_plot_log *log, const char *key, vkft_plot_x x, vkft_curve *curve, vkft_err *err)
{
    static const char *const names[] = {"step", "epoch", "tokens"};
    if (!allocate(curve, (size_t)cJSON_GetArraySize(log->rows), err))
        return false;
    double at = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, log->rows)
    {
        const cJSON *place = cJSON_GetObjectItemCaseSensitive(row, names[x]),
                    *value = cJSON_GetObjectItemCaseSensitive(row, key);
        if (cJSON_IsNumber(place))
            at = place->valuedouble;
        if (!value || (!cJSON_IsNumber(value) && !cJSON_IsNull(value)))
            continue;
        curve->x[curve->count] = at;
        curve->y[curve->count++] = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    }
    return true;
}

size_t vkft_curve_window(const vkft_curve *curve)
{
    return vkft_loss_window(curve->count);
}

bool vkft_curve_smooth(const vkft_curve *curve, size_t window, vkft_curve *smooth, vkft_err *err)
{
    if (!allocate(smooth, curve->count, err))
        return false;
    smooth->count = curve->count;
    for (size_t i = 0; i < curve->count; i++) {
        size_t half = window / 2, end = i + half + 1 < curve->count ? i + half + 1 : curve->count, n = 0;
        double sum = 0;
        for (size_t j = i < half ? 0 : i - half; j < end; j++)
            if (isfinite(curve->y[j])) {
                sum += curve->y[j];
                n++;
            }
        smooth->x[i] = curve->x[i];
        smooth->y[i] = n ? sum / (double)n : NAN;
    }
    return true;
}

void vkft_curve_thin(vkft_curve *curve, size_t buckets)
{
    const size_t count = curve->count;
    if (count <= 2 * buckets)
        return;
    curve->count = 0;
    for (size_t b = 0; b < buckets; b++) {
        size_t begin = count * b / buckets, end = count * (b + 1) / buckets, low = begin, high = begin;
        for (size_t i = begin; i < end; i++) {
            if (!(curve->y[low] <= curve->y[i])) /* also where that one is NaN */
                low = i;
            if (!(curve->y[high] >= curve->y[i]))
                high = i;
        }
        const size_t pair[] = {low < high ? low : high, low < high ? high : low};
        for (size_t k = 0; k < (low == high ? 1u : 2u); k++) { /* never after what is still to be read */
            curve->x[curve->count] = curve->x[pair[k]];
            curve->y[curve->count++] = curve->y[pair[k]];
        }
    }
}
