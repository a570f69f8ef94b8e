/* A model on a device, ready to run batches. Train, eval and generate go through this door.
 *
 * Order of use: vkft_session_open (files, no device) - choose what is trained, or vkft_session_use_adapter - add
 * passes, and the memory that they need (vkft_session_need) - vkft_session_plan - vkft_session_start (allocates what
 * the plan says and nothing else) - run batches - vkft_session_close.
 */
#ifndef VKFT_SESSION_H
#define VKFT_SESSION_H

#include "formats/chat/model_text.h"
#include "host/session/base.h"
#include "host/session/memory.h"
#include "host/session/options.h"
#include "host/session/pass.h"
#include "host/trainable/trainables.h"
#include "runtime/base/observer.h"

#define VKFT_PASSES 5

typedef struct vkft_session {
    vkft_model_options options;
    vkft_base *base;           /* NULL, or whose the file, the device and the weights are */
    vkft_model_file *file;     /* NULL when only a configuration was opened */
    const vkft_config *config; /* the file's; parsed, when only a configuration was opened */
    vkft_config parsed;
    vkft_model_text text; /* tokenizer and chat template */
    vkft_model model;
    vkft_trainables trained; /* an adapter, or all weights */
    float *adapter_values;   /* of vkft_session_use_adapter, until they are on the device */
    vkft_buffer adapter;
    vkft_buffer squares;    /* of the norms of adapted weights' rows, see adapters.h */
    vkft_buffer tokens;     /* tables of tokens whose rows are trained, see adapters.h */
    vkft_buffer projection; /* matrices that adapters share, see adapters.h */
    vkft_buffer origin;     /* first values whose product is taken off weights, see adapters.h */

    vkft_holding holdings[VKFT_PLAN_ITEMS];
    uint32_t holding_count;
    vkft_pass passes[VKFT_PASSES];
    uint32_t pass_count;

    /* Set before the start. */
    uint64_t seed; /* of dropout */
    bool profile;  /* kernels are timed */
    /* Makes limits smaller, for when memory runs out; false: they cannot be. NULL: they never can. */
    bool (*smaller)(void *context, vkft_limits *limits);
    void *smaller_context;

    vkft_in_place in_place; /* weights that stay in the file, where the device can read them there */
    vkft_err no_device;     /* why the device could not be opened for the plan; starting says it */
    vkft_memory_plan plan;  /* what is held; from the start on, as is all below */
    vkft_device *dev;
    uint64_t step; /* address of the struct step_state: the optimizer's, which sets it, or the session's own */
    vkft_buffer own_step, scratch, tables;
    vkft_buffer arena[VKFT_PLAN_PARTS];
    uint64_t arena_address[VKFT_PLAN_PARTS];
    vkft_buffer kept[VKFT_KEPT_CHUNKS]; /* activations in host memory */
    uint64_t kept_address[VKFT_KEPT_CHUNKS];
    vkft_batch batch;
    uint32_t rope_length; /* what the position tables are for, see vkft_rope_length; 0: not written yet */
} vkft_session;

typedef struct vkft_session_source {
    vkft_model_options model;
    bool only_config;            /* the path may also be a directory that holds config.json alone, or that file */
    vkft_trainable_kind trained; /* what is to be trained, if anything is */
    vkft_base *base;             /* NULL, or what the session shares with others, one after another; open until then */
} vkft_session_source;

/* Error: what opening a model has; a compute_dtype for quantized weights where there are none. */
bool vkft_session_open(vkft_session *session, const vkft_session_source *source, const vkft_observer *observer,
                       vkft_err *err);

/* What products are computed in on the session's device; the option as it is where that is not open. */
vkft_dtype vkft_session_compute_dtype(const vkft_session *session);

/* What the model is called: its source, or the path that was given. */
const char *vkft_session_model_name(const vkft_session *session);

/* Applies the adapter in dir; NULL: none. */
bool vkft_session_use_adapter(vkft_session *session, const char *dir, const vkft_observer *observer, vkft_err *err);

/* Prepares the chosen adapters: leaves modules that are trained whole out of the frozen weights, and holds what the
 * method needs of the weights. Before any other holding. read: from the file, else only planned. */
bool vkft_session_prepare_adapters(vkft_session *session, bool read, vkft_err *err);
/* The origin of adapters, where they have one, once more to the device: it was read from files. */
bool vkft_session_write_origin(vkft_session *session, vkft_err *err);

/* A way to run the model. NULL: out of memory. */
vkft_pass *vkft_session_add_pass(vkft_session *session, const vkft_pass_spec *spec, vkft_err *err);
/* Whether one of them has a backward. */
bool vkft_session_trains(const vkft_session *session);
/* Memory that the plan has to count. */
void vkft_session_need(vkft_session *session, vkft_holding holding);

/* The memory that the session would hold for batches within the limits, as its device would have it where that is open.
 * Changes nothing and needs no device. Error: more positions than the model has. */
bool vkft_session_plan(const vkft_session *session, const vkft_limits *limits, vkft_memory_plan *plan, vkft_err *err);

/* A plan that was made without knowing the device, for one with these limits of buffers. */
bool vkft_session_plan_buffers(const vkft_session *session, const vkft_device_info *info, vkft_memory_plan *plan,
                               vkft_err *err);

/* Makes a plan that does not fit the device one that does, with as little offloading as possible, and returns that;
 * NONE: it fits as it is, or not at all. On a device that shares the host's memory nothing is won, so nothing is done.
 */
vkft_offload vkft_session_fit(const vkft_session *session, const vkft_limits *limits, const vkft_device_info *info,
                              vkft_memory_plan *plan);

/* Gives a plan the largest chunk of logits that costs a small part of the device's memory; what vkft_session_plan does
 * unless the limits state a size. */
void vkft_session_enlarge_logits(const vkft_session *session, const vkft_device_info *info, vkft_memory_plan *plan);

/* The same as vkft_session_plan with options.offload: what it names waits in host memory. AUTO opens the device to see
 * what fits, and says what it chose; without a device nothing is offloaded. The device is opened in any case, because
 * its matrix cores and its memory change the plan. Error: offloading is not possible for this run. */
bool vkft_session_plan_offload(vkft_session *session, const vkft_limits *limits, vkft_memory_plan *plan,
                               const vkft_observer *observer, vkft_err *err);

/* Opens the device, checks that the plan fits, allocates and uploads. What depends on the size of batches is allocated
 * last; where that fails, the session starts with smaller limits. */
bool vkft_session_start(vkft_session *session, const vkft_memory_plan *plan, const vkft_observer *observer,
                        vkft_err *err);
/* After running a batch has failed: where memory ran out and limits can be smaller, plans and allocates again what
 * depends on them, so that smaller batches can run, and returns true. Weights and holdings stay as they are. False:
 * *err stands, with what is known. */
bool vkft_session_shrink(vkft_session *session, vkft_err *err);
void vkft_session_close(vkft_session *session);

/* Writes the position tables again when a scaling that follows the length calls for others. True: they have changed
 * since they were first written. */
bool vkft_session_set_length(vkft_session *session, uint32_t length);

/* Lays the samples out as one batch, and runs it; weights of rows are written between the two. *loss_sum: of its
 * trained tokens; single ones are in batch.loss_host afterwards. */
void vkft_session_fill(vkft_session *session, const vkft_sample *const *samples, uint32_t count);
bool vkft_session_run(vkft_session *session, vkft_pass *pass, double *loss_sum, vkft_err *err);

/* Kernel times of all runs so far, VKFT_KERNEL_COUNT rows. */
void vkft_session_profile(const vkft_session *session, vkft_profile_row *rows);

#endif
