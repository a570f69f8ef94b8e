/* A run in a few lines for a person: what was trained, on what, how it went, what to do next. The same lines are said
 * when it ends, stand in the README.md beside the result, and in vkft.json, from where the page of a run has them. */
#ifndef VKFT_RUN_SUMMARY_H
#define VKFT_RUN_SUMMARY_H

#include <stdint.h>

typedef struct vkft_run_line {
    const char *name; /* "data"; a literal */
    char text[400];
} vkft_run_line;

#define VKFT_RUN_LINES 15

typedef struct vkft_run_summary {
    vkft_run_line lines[VKFT_RUN_LINES];
    uint32_t count;
} vkft_run_summary;

#endif
