/* Cutting a sequence of launches into submissions of bounded time. Pure, for tests. Internal to runtime. */
#ifndef VKFT_PACING_H
#define VKFT_PACING_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vkft_cut_launch {
    uint32_t groups[2]; /* along x and y */
    double time_ms;     /* expected */
} vkft_cut_launch;

/* A part of a launch: the workgroups [base, base + count) along x and y. */
typedef struct vkft_piece {
    uint32_t launch;
    uint32_t base[2], count[2];
    bool first;          /* the launch's first piece: a barrier may have to stand before it */
    bool new_submission; /* a submission begins here */
} vkft_piece;

typedef struct vkft_cut {
    vkft_piece *pieces;
    uint32_t count, capacity;
    uint32_t submissions;
} vkft_cut;

/* Fills cut (reusing its memory): no submission is expected to last longer than target_ms unless it is a single
 * workgroup row, and along x no piece crosses a multiple of `row`. False: out of memory. */
bool vkft_cut_make(vkft_cut *cut, const vkft_cut_launch *launches, uint32_t count, double target_ms, uint32_t row);
void vkft_cut_free(vkft_cut *cut);

#endif
