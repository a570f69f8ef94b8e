/* Greedy cutting: launches fill a submission up to the target; a launch above it is cut along its longest dimension. */
#include "cut.h"

#include <math.h>
#include <stdlib.h>

static bool push(vkft_cut *cut, vkft_piece piece)
{
    if (cut->count == cut->capacity) {
        uint32_t capacity = cut->capacity ? 2 * cut->capacity : 64;
        vkft_piece *pieces = realloc(cut->pieces, capacity * sizeof *pieces);
        if (!pieces)
            return false;
        cut->pieces = pieces;
        cut->capacity = capacity;
    }
    cut->pieces[cut->count++] = piece;
    cut->submissions += piece.new_submission;
    return true;
}

static uint32_t longest(const uint32_t groups[3])
{
    uint32_t axis = 0;
    for (uint32_t i = 1; i < 3; i++)
        if (groups[i] > groups[axis])
            axis = i;
    return axis;
}

/* Workgroups of one piece along the axis. */
static uint32_t piece_length(const vkft_cut_launch *launch, uint32_t axis, double target_ms, uint32_t max_groups)
{
    uint32_t groups = launch->groups[axis];
    double parts = ceil(launch->time_ms / target_ms);
    uint32_t length = parts >= groups ? 1 : (uint32_t)ceil(groups / fmax(parts, 1.0));
    return length < max_groups ? length : max_groups;
}

bool vkft_cut_make(vkft_cut *cut, const vkft_cut_launch *launches, uint32_t count, double target_ms,
                   const uint32_t max_groups[3])
{
    double filled = 0;
    cut->count = cut->submissions = 0;
    for (uint32_t i = 0; i < count; i++) {
        const vkft_cut_launch *launch = &launches[i];
        uint32_t axis = longest(launch->groups), groups = launch->groups[axis];
        uint32_t length = piece_length(launch, axis, target_ms, max_groups[axis]);
        for (uint32_t base = 0; base < groups; base += length) {
            vkft_piece piece = {.launch = i, .count = {launch->groups[0], launch->groups[1], launch->groups[2]}, .first = base == 0};
            piece.base[axis] = base;
            piece.count[axis] = groups - base < length ? groups - base : length;
            double time_ms = launch->time_ms * piece.count[axis] / groups;
            piece.new_submission = cut->count == 0 || filled + time_ms > target_ms;
            filled = (piece.new_submission ? 0 : filled) + time_ms;
            if (!push(cut, piece))
                return false;
        }
    }
    return true;
}

void vkft_cut_free(vkft_cut *cut)
{
    free(cut->pieces);
    *cut = (vkft_cut){0};
}
