/* Greedy cutting: launches fill a submission up to the target; a launch above it is cut along its longer dimension. */
#include "runtime/pacing/cut.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/size.h"

#define TARGET_MS 250.0
#define WATCHDOG_SHARE 0.125 /* of the watchdog's time: estimates may be wrong by several times */

double vkft_cut_target_ms(uint32_t watchdog_ms)
{
    return watchdog_ms ? fmin(TARGET_MS, WATCHDOG_SHARE * watchdog_ms) : TARGET_MS;
}

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

/* Workgroups of one piece along the axis, of which the launch has `groups`. */
static uint32_t piece_length(double time_ms, uint32_t groups, double target_ms)
{
    double parts = ceil(time_ms / target_ms);
    return parts >= groups ? 1 : (uint32_t)ceil(groups / fmax(parts, 1.0));
}

bool vkft_cut_make(vkft_cut *cut, const vkft_cut_launch *launches, uint32_t count, vkft_place from,
                   const vkft_cut_limits *limits)
{
    double filled = 0;
    const uint32_t row = limits->row;
    cut->count = cut->submissions = 0;
    cut->probes = false;
    cut->end = (vkft_place){count, 0};
    for (uint32_t i = from.launch; i < count; i++) {
        const vkft_cut_launch *launch = &launches[i];
        uint32_t axis = launch->groups[0] <= row && launch->groups[0] < launch->groups[1],
                 groups = launch->groups[axis];
        bool probe = launch->is_guess && launch->time_ms > limits->probe_ms;
        uint32_t max_length = piece_length(launch->time_ms, groups, probe ? limits->probe_ms : limits->target_ms);
        uint32_t length;
        for (uint32_t base = i == from.launch ? from.base : 0; base < groups; base += length) {
            length = min_u32(groups - base, max_length);
            if (axis == 0 && length > row - base % row)
                length = row - base % row;
            vkft_piece piece = {.launch = i, .count = {launch->groups[0], launch->groups[1]}, .first = base == 0};
            piece.base[axis] = base;
            piece.count[axis] = length;
            double time_ms = launch->time_ms * length / groups;
            piece.new_submission = cut->count == 0 || probe || (piece.first && launch->new_submission) ||
                                   filled + time_ms > limits->target_ms;
            filled = (piece.new_submission ? 0 : filled) + time_ms;
            if (!push(cut, piece))
                return false;
            if (probe) {
                cut->probes = true;
                cut->end = base + length < groups ? (vkft_place){i, base + length} : (vkft_place){i + 1, 0};
                return true;
            }
        }
    }
    return true;
}

vkft_place vkft_piece_place(const vkft_piece *piece)
{
    return (vkft_place){piece->launch, piece->base[0] + piece->base[1]}; /* it is cut along one of them */
}

void vkft_cut_free(vkft_cut *cut)
{
    free(cut->pieces);
    *cut = (vkft_cut){0};
}
