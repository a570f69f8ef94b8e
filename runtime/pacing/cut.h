/* Cutting a sequence of launches into submissions of bounded time. Pure, for tests. Internal to runtime. */
#ifndef VKFT_CUT_H
#define VKFT_CUT_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vkft_cut_launch {
    uint32_t groups[2];  /* along x and y */
    double time_ms;      /* expected */
    bool is_guess;       /* nothing was measured of its kernel */
    bool new_submission; /* one begins here in any case */
} vkft_cut_launch;

/* A part of a launch: the workgroups [base, base + count) along x and y. */
typedef struct vkft_piece {
    uint32_t launch;
    uint32_t base[2], count[2];
    bool first;          /* the launch's first piece: a barrier may have to stand before it */
    bool new_submission; /* a submission begins here */
} vkft_piece;

/* A place in the sequence: a launch, and workgroups of it along the axis that it is cut along. */
typedef struct vkft_place {
    uint32_t launch, base;
} vkft_place;

typedef struct vkft_cut {
    vkft_piece *pieces;
    uint32_t count, capacity;
    uint32_t submissions;
    vkft_place end; /* of the last piece */
    bool probes;    /* the last piece is for measuring its kernel; the cut goes no further */
} vkft_cut;

typedef struct vkft_cut_limits {
    double target_ms; /* of a submission */
    double probe_ms;  /* of a piece whose time is a guess */
    uint32_t row;     /* along x no piece crosses a multiple of it */
} vkft_cut_limits;

/* How long submissions should be where the system resets a GPU that is busy for watchdog_ms (0: it does not say). */
double vkft_cut_target_ms(uint32_t watchdog_ms);

/* Fills cut (reusing its memory) with the launches from a place on: no submission is expected to last longer than the
 * target unless it is a single workgroup row. A launch above probe_ms whose time is a guess ends the cut with a piece
 * of it that is a submission by itself. False: out of memory. */
bool vkft_cut_make(vkft_cut *cut, const vkft_cut_launch *launches, uint32_t count, vkft_place from,
                   const vkft_cut_limits *limits);
vkft_place vkft_piece_place(const vkft_piece *piece); /* where it begins */
void vkft_cut_free(vkft_cut *cut);

#endif
