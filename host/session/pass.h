/* One way to run the model over batches: planned once, then recorded for each shape of batch that comes, and run.
 *
 * What differs between batches of one shape (ids, positions, ranges, targets) reaches the kernels through the batch's
 * arrays, so a recording serves all of them. The recordings of the last few shapes are kept.
 */
#ifndef VKFT_PASS_H
#define VKFT_PASS_H

#include "host/session/memory.h"
#include "host/model/model.h"

#define VKFT_RECORDINGS 4

typedef struct vkft_pass_spec {
    const char *name;
    bool training; /* it has a backward, and the adapters' dropout */
    /* Runs the batch on the graph, planning or recording. */
    void (*record)(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch, const vkft_limits *limits,
                   const void *context);
    const void *context;
} vkft_pass_spec;

typedef struct vkft_recording {
    vkft_commands *cmds;
    uint32_t tokens, source_tokens, rows; /* all 0: nothing is recorded */
    uint64_t last_used;
} vkft_recording;

typedef struct vkft_pass {
    vkft_pass_spec spec;
    vkft_graph graph;
    vkft_limits limits; /* as planned */
    vkft_recording recordings[VKFT_RECORDINGS];
    uint64_t runs;
} vkft_pass;

bool vkft_pass_init(vkft_pass *pass, const vkft_pass_spec *spec, vkft_err *err);
void vkft_pass_free(vkft_pass *pass);

/* What the tensors of a pass need. */
typedef struct vkft_pass_bytes {
    uint64_t arena[VKFT_PLAN_PARTS]; /* on the device */
    uint64_t kept;                   /* in host memory, see vkft_tensor_keep */
} vkft_pass_bytes;

/* Places the pass's tensors for the largest batch, again where they had other places. */
bool vkft_pass_plan(vkft_pass *pass, const vkft_model *model, const vkft_limits *limits, vkft_pass_bytes *bytes,
                    vkft_err *err);

/* What recordings need of a device. */
typedef struct vkft_pass_device {
    vkft_device *dev;
    uint64_t scratch, scratch_bytes;
    const uint64_t *arena; /* [VKFT_PLAN_PARTS] */
    const uint64_t *kept;  /* chunks of host memory, which outlive the pass */
    uint64_t step;         /* struct step_state */
    uint64_t seed;         /* of dropout */
    bool profile;
} vkft_pass_device;

/* After each plan; what was recorded is forgotten. */
bool vkft_pass_start(vkft_pass *pass, const vkft_pass_device *device, vkft_err *err);

/* Runs the present batch and waits, recording first where its shape is new. */
bool vkft_pass_run(vkft_pass *pass, const vkft_model *model, const vkft_batch *batch, vkft_err *err);

/* Adds the kernel times of all runs, VKFT_KERNEL_COUNT rows. */
void vkft_pass_add_profile(const vkft_pass *pass, vkft_profile_row *rows);

#endif
