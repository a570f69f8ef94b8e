/* A model on a device, ready to compute losses and gradients of batches; and the memory plan that it allocates by.
 *
 * Order of use: vkft_session_open (files, no device) - set up adapters with lora.h - vkft_session_plan -
 * vkft_session_start (allocates what the plan says and nothing else) - run batches - vkft_session_close.
 */
#ifndef VKFT_SESSION_H
#define VKFT_SESSION_H

#include "host/session/pass.h"
#include "formats/chat/model_text.h"
#include "host/trainable/optimizer/optimizer.h"
#include "host/trainable/trainables.h"
#include "host/session/options.h"
#include "runtime/base/observer.h"

typedef enum vkft_plan_item {
    VKFT_ITEM_WEIGHTS,
    VKFT_ITEM_PARAMETERS, /* adapters, or all weights */
    VKFT_ITEM_GRADIENTS,
    VKFT_ITEM_OPTIMIZER,
    VKFT_ITEM_ACTIVATIONS,
    VKFT_ITEM_SCRATCH,
    VKFT_ITEM_EMBEDDING, /* host from here on */
    VKFT_ITEM_BATCH,
    VKFT_ITEM_TABLES,
    VKFT_ITEM_COUNT
} vkft_plan_item;

typedef struct vkft_memory_plan {
    uint64_t bytes[VKFT_ITEM_COUNT];
    uint64_t device_bytes, host_bytes; /* sums */
} vkft_memory_plan;

const char *vkft_plan_item_name(vkft_plan_item item);
bool vkft_plan_item_on_host(vkft_plan_item item);

typedef struct vkft_session {
    vkft_model_file *file; /* NULL when only a configuration was opened */
    vkft_config config;
    vkft_model_text text; /* tokenizer and chat template */
    vkft_model model;
    vkft_trainables trained;
    vkft_memory_plan plan;
    vkft_batch_limits limits;
    bool training, checkpointing;
    vkft_dtype compute_dtype;

    vkft_device *dev;
    vkft_optimizer optimizer; /* training */
    vkft_buffer parameters;   /* the adapters' when not training */
    vkft_buffer step;         /* the same */
    vkft_buffer arena, scratch, tables;
    vkft_batch batch;
    uint32_t rope_length; /* what the position tables are for, see vkft_rope_length; 0: not written yet */
    vkft_pass train, eval;
    bool profile;
} vkft_session;

typedef struct vkft_session_source {
    vkft_model_options model;
    bool only_config; /* the path may also be a directory that holds config.json alone, or that file */
    bool full;        /* all weights are to be trained */
} vkft_session_source;

/* Error: what opening a model has; a compute_dtype for 4-bit weights where there are none. */
bool vkft_session_open(vkft_session *runner, const vkft_session_source *source, const vkft_observer *observer,
                       vkft_err *err);

/* Chooses the modules of the adapter in dir (NULL: none) and returns its parameters, f32 [floats], malloc'ed. */
bool vkft_session_use_adapter(vkft_session *runner, const char *dir, float **flat, vkft_err *err);

/* Computes plan for batches within the limits. optimizer: training adds gradients and its state; NULL: no training.
 * Needs no device. */
bool vkft_session_plan(vkft_session *runner, const vkft_batch_limits *limits, const vkft_optimizer_kind *optimizer,
                       bool checkpointing, vkft_err *err);

/* Opens the device, compares the plan with what is free, allocates and uploads. optimizer: as planned, NULL when not
 * training. parameters: the initial values of what is trained, f32 [floats]; NULL when there is nothing. */
bool vkft_session_start(vkft_session *runner, const char *device, const vkft_optimizer_options *optimizer,
                        const float *parameters, uint64_t seed, const vkft_observer *observer, vkft_err *err);
void vkft_session_close(vkft_session *runner);

/* Adds the gradients of loss_scale * (sum of the trained tokens' losses) and returns that sum of losses. */
bool vkft_session_train_batch(vkft_session *runner, const vkft_sample *const *samples, uint32_t count,
                              double loss_scale, uint32_t micro_step, double *loss_sum, vkft_err *err);
/* The sum of losses; single ones are in batch.loss_host afterwards. */
bool vkft_session_eval_batch(vkft_session *runner, const vkft_sample *const *samples, uint32_t count, double *loss_sum,
                             vkft_err *err);

/* Kernel times of all runs so far, VKFT_KERNEL_COUNT rows; set runner->profile before starting. */
void vkft_session_profile(const vkft_session *runner, vkft_profile_row *rows);

#endif
