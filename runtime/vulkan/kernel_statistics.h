/* What the driver's compiler says of a kernel, see vkft_kernel_get_statistics. */
#ifndef VKFT_KERNEL_STATISTICS_H
#define VKFT_KERNEL_STATISTICS_H

#include <stdint.h>

/* Registers, spills, instructions and whatever else it counts, under the driver's own names. */
typedef struct vkft_kernel_statistic {
    char name[64];
    double value;
} vkft_kernel_statistic;

#define VKFT_KERNEL_STATISTICS 64u
typedef struct vkft_kernel_statistics {
    uint32_t subgroup_size; /* that it was compiled for; 0: the driver does not say */
    uint32_t count;
    vkft_kernel_statistic list[VKFT_KERNEL_STATISTICS];
    char *code; /* the instructions as text, malloc'ed; NULL unless VKFT_STATISTICS=code */
} vkft_kernel_statistics;

#endif
