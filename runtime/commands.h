/* Recorded sequences of kernel launches, run any number of times.
 *
 * Recording keeps the launches as data and encodes Vulkan command buffers from them, cut into submissions of about a
 * quarter of a second by measured time, since drivers reset a GPU that is busy for seconds. One launch that is too long
 * by itself is cut along its workgroups (vkCmdDispatchBase), invisibly to the kernel.
 *
 * Launches run in recorded order; a full memory barrier stands between two launches unless what is known of them
 * (vkft_commands_touch) says that their order does not matter. Errors while recording are kept and returned by
 * vkft_commands_run, so that code which records reads as a plain sequence.
 */
#ifndef VKFT_COMMANDS_H
#define VKFT_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/kernels.h"
#include "runtime/memory.h"
#include "runtime/touch.h"

typedef struct vkft_commands vkft_commands;

vkft_commands *vkft_commands_new(vkft_device *dev, vkft_err *err);
void vkft_commands_free(vkft_commands *cmds);  /* NULL is fine */
void vkft_commands_reset(vkft_commands *cmds); /* forgets all launches and any error; keeps its memory */

/* Records one launch of threads_x * threads_y invocations of a kernel of the shape ELEMENT or OWN; threads_x is rounded
 * up to whole workgroups, threads_y counts workgroups. args is copied and must have the size that kernels.def names.
 * flops is the number of floating-point operations (an estimate is fine), used for pacing and in profiles. With cmds
 * NULL nothing happens: code that plans memory runs the same path. */
void vkft_launch(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t threads_x,
                 uint32_t threads_y, double flops);

/* The same of a kernel of the shape ROW or TILE: count_x * count_y workgroups. */
void vkft_launch_workgroups(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                            uint64_t count_x, uint32_t count_y, double flops);

/* Makes the recording an error, which vkft_commands_run returns: what records finds that it cannot. */
void vkft_commands_fail(vkft_commands *cmds, const char *why, ...) VKFT_PRINTF(2, 3);

/* What each launch from here on reads and writes at most, until the next call; NULL, and at the beginning: unknown.
 * What only launches of which nothing is known write may be left out. cmds NULL is fine. */
void vkft_commands_touch(vkft_commands *cmds, const vkft_touch *touch);

/* What has to be in device memory for a stage of the launches, and is written there while those of the stage before
 * run: weights that do not fit all at once. */
typedef struct vkft_upload {
    uint32_t number; /* which data */
    uint32_t *holds; /* which the place holds now; UINT32_MAX: none. Uploads to the same place share it */
    vkft_buffer *to; /* the place: two stages that follow each other have different ones */
    uint64_t offset, bytes;
    const vkft_buffer *staging; /* host memory of `bytes`, for one upload at a time */
    bool (*fill)(void *context, uint32_t number, void *memory, vkft_err *err); /* writes the data to memory */
    void *context;
} vkft_upload;

/* The launches from here to the next stage read what the upload writes, and the launches of the stage before may still
 * run while it is written. The upload outlives the recording. */
void vkft_commands_stage(vkft_commands *cmds, const vkft_upload *upload);

/* Builds the pipelines of what is recorded, on all cores; a run does so too. */
bool vkft_commands_build(vkft_commands *cmds, vkft_err *err);

/* Runs all launches and waits. Error: a recording error, a kernel that cannot be built, VKFT_ERR_MEMORY,
 * VKFT_ERR_DEVICE_LOST (says which kernels were in the submission and what to try), or VKFT_ERR_DEVICE. */
bool vkft_commands_run(vkft_commands *cmds, vkft_err *err);

uint32_t vkft_commands_launch_count(const vkft_commands *cmds);
uint32_t vkft_commands_barrier_count(const vkft_commands *cmds); /* before launches */
vkft_kernel vkft_commands_kernel(const vkft_commands *cmds, uint32_t number);

/* The profile adds timestamps around every launch; run times below include it. */
typedef struct vkft_profile_row {
    vkft_kernel kernel;
    uint64_t launches;
    double time_ms;
    double flops;
} vkft_profile_row;

void vkft_commands_set_profile(vkft_commands *cmds, bool on);
/* rows has VKFT_KERNEL_COUNT elements, indexed by kernel; adds this commands' measured runs to them. */
void vkft_commands_add_profile(const vkft_commands *cmds, vkft_profile_row *rows);

typedef struct vkft_run_stats {
    uint32_t submissions;         /* of the last run */
    double longest_submission_ms; /* of the last run */
    double time_ms;               /* host wall time of the last run */
} vkft_run_stats;
vkft_run_stats vkft_commands_stats(const vkft_commands *cmds);

#endif
