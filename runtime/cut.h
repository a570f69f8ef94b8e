/* Cutting a sequence of launches into submissions of bounded time. Pure, for tests. Internal to runtime. */
#ifndef VKFT_CUT_H
#define VKFT_CUT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vkft_cut_launch {
    uint32_t groups[3];
    double time_ms; /* expected */
} vkft_cut_launch;

/* A part of a launch: the workgroups [base, base + count) in each dimension. */
typedef struct vkft_piece {
    uint32_t launch;
    uint32_t base[3], count[3];
    bool first;          /* the launch's first piece: a barrier may have to stand before it */
    bool new_submission; /* a submission begins here */
} vkft_piece;

typedef struct vkft_cut {
    vkft_piece *pieces;
    uint32_t count, capacity;
    uint32_t submissions;
} vkft_cut;

/* Fills cut (reusing its memory): no submission is expected to last longer than target_ms unless it is a single workgroup row, and no piece
 * has more workgroups than max_groups. False: out of memory. */
bool vkft_cut_make(vkft_cut *cut, const vkft_cut_launch *launches, uint32_t count, double target_ms,
                   const uint32_t max_groups[3]);
void vkft_cut_free(vkft_cut *cut);

#endif
