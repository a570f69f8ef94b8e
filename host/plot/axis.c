/* See axis.h. */
#include "host/plot/axis.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/text.h"

#define WANTED_MARKS 5

/* The distance of two marks. */
static double step_of(double range, bool bytes)
{
    double raw = range / WANTED_MARKS;
    if (bytes)
        return fmax(1, exp2(round(log2(raw))));
    double power = pow(10, floor(log10(raw))), digit = raw / power;
    return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

vkft_axis vkft_axis_around(double low, double high, bool logarithmic, bool bytes)
{
    vkft_axis axis = {.logarithmic = logarithmic, .bytes = bytes};
    if (logarithmic) {
        axis.low = pow(10, floor(log10(low)));
        axis.high = pow(10, ceil(log10(high)));
        if (axis.high <= axis.low)
            axis.high = 10 * axis.low;
        return axis;
    }
    if (high - low <= 1e-9 * fabs(high)) { /* one value: a range around it, or from 0 */
        double half = high == 0 ? 1 : fabs(high) / 2;
        low = high - half;
        high += half;
    }
    axis.step = step_of(high - low, bytes);
    axis.low = floor(low / axis.step + 1e-9) * axis.step;
    axis.high = ceil(high / axis.step - 1e-9) * axis.step;
    return axis;
}

vkft_axis vkft_axis_between(double low, double high)
{
    if (high - low <= 1e-9 * fabs(high))
        high = low + fmax(1, 1e-3 * fabs(low));
    return (vkft_axis){.low = low, .high = high, .step = step_of(high - low, false)};
}

size_t vkft_axis_marks(const vkft_axis *axis, double marks[VKFT_AXIS_MARKS])
{
    size_t count = 0;
    if (axis->logarithmic) {
        double decades = round(log10(axis->high / axis->low)), every = fmax(1, ceil(decades / (VKFT_AXIS_MARKS - 2)));
        for (double d = 0; d <= decades && count < VKFT_AXIS_MARKS; d += every)
            marks[count++] = axis->low * pow(10, d);
        return count;
    }
    for (double i = ceil(axis->low / axis->step - 1e-9); i * axis->step <= axis->high + 1e-9 * axis->step; i++)
        if (count < VKFT_AXIS_MARKS)
            marks[count++] = i * axis->step;
    return count;
}

double vkft_axis_place(const vkft_axis *axis, double value)
{
    return axis->logarithmic ? log(value / axis->low) / log(axis->high / axis->low)
                             : (value - axis->low) / (axis->high - axis->low);
}

void vkft_axis_text(const vkft_axis *axis, double value, char *text, size_t size)
{
    char *zero;
    if (axis->bytes) { /* "448 MiB": the room beside the chart is narrow */
        vkft_bytes_text((uint64_t)fmax(0, value), text, size);
        if ((zero = strstr(text, ".0 ")) != NULL)
            memmove(zero, zero + 2, strlen(zero + 2) + 1);
    } else if (fabs(value) >= 1e6)
        snprintf(text, size, "%gM", value / 1e6);
    else if (fabs(value) >= 1e4)
        snprintf(text, size, "%gk", value / 1e3);
    else
        snprintf(text, size, "%.4g", fabs(value) < 1e-12 ? 0.0 : value);
}
