/* The range of an axis and where its marks stand. */
#ifndef VKFT_AXIS_H
#define VKFT_AXIS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct vkft_axis {
    double low, high; /* low < high; both above 0 when logarithmic */
    double step;      /* from mark to mark; when logarithmic not used */
    bool logarithmic, bytes;
} vkft_axis;

#define VKFT_AXIS_MARKS 12

/* The smallest axis that begins and ends at a mark and holds low to high, which may be equal. */
vkft_axis vkft_axis_around(double low, double high, bool logarithmic, bool bytes);
/* The axis from low to high, which has its marks inside. */
vkft_axis vkft_axis_between(double low, double high);
/* At most VKFT_AXIS_MARKS values, ascending: 1, 2 or 5 times a power of ten apart (of two for bytes); powers of ten
 * when logarithmic. */
size_t vkft_axis_marks(const vkft_axis *axis, double marks[VKFT_AXIS_MARKS]);
/* Where a value lies, 0 at low and 1 at high. */
double vkft_axis_place(const vkft_axis *axis, double value);
/* "0.001", "2.5 GiB", "1.2M". */
void vkft_axis_text(const vkft_axis *axis, double value, char *text, size_t size);

#endif
