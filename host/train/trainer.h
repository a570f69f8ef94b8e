/* The parts of a fine-tuning run, shared by the files that implement train.h. Internal to host/train. */
#ifndef VKFT_TRAINER_H
#define VKFT_TRAINER_H

#include "formats/dataset/dataset.h"
#include "host/train/evaluation/answers.h"
#include "host/train/evaluation/best.h"
#include "host/train/evaluation/prompts.h"
#include "host/train/evaluation/task.h"
#include "host/train/run/run_directory.h"
#include "host/train/learner.h"
#include "host/train/packs.h"
#include "host/train/portion.h"
#include "host/train/preference/metrics.h"
#include "host/train/preference/mismatched.h"
#include "host/train/report/tensorboard.h"
#include "host/train/world/world.h"
#include "host/train/options.h"

struct vkft_train_result;

typedef struct vkft_trainer {
    const vkft_train_options *options;
    const vkft_world *world;
    const vkft_observer *observer;
    void (*step)(void *context, const vkft_train_event *event); /* or NULL; context is the observer's */
    const vkft_objective *objective;
    vkft_session session;
    vkft_learner learner;
    vkft_memory_plan plan;
    vkft_dataset data, valid_data, retain_data;
    vkft_sample_packs train, valid;
    vkft_sample_packs retain;      /* of --retain-data, whose loss shows what is forgotten */
    vkft_mismatched mismatched[2]; /* of both, for an objective that needs them */
    const vkft_sample **samples;   /* of a micro batch */
    vkft_scored *answers;          /* twice as many, for a preference objective; else NULL */
    vkft_portion portion;          /* of it that is computed at a time */
    bool torn;                     /* an update has failed in the middle: what is trained is of no step */

    uint32_t micro_per_epoch;
    uint64_t steps_per_epoch, total_steps;
    vkft_schedule schedule;
    uint32_t *order; /* of the epoch in order_epoch */
    uint64_t order_epoch;

    /* Host copies for saving and loading: what is trained, f32 [vkft_trainables_floats], and the optimizer's state. */
    float *flat;
    void *state_copy[VKFT_OPTIMIZER_STATES];
    vkft_run_directory run;
    vkft_run_state state;
    vkft_answers answerer;   /* of what evaluations ask */
    vkft_prompts prompts;    /* of --sample-prompts */
    vkft_text *base_answers; /* to them, before training */
    vkft_task_run task;      /* --metrics */
    vkft_best best;          /* what evaluations are judged by */
    char stop_reason[VKFT_STOP_REASON];
    bool forgets;                    /* was said */
    double overfit_step;             /* after which over-fitting was said last; -1: it was not */
    uint64_t saved_step, sound_step; /* of the newest checkpoint; whose weights gave a finite loss; UINT64_MAX: none */
    char *resumed_from;              /* a checkpoint's directory; NULL: none */
    vkft_tensorboard *board;         /* or NULL */
    double profiled_ms, profiled_kernels_ms; /* of --profile: what steps have taken, and the kernels in them */
    cJSON *fingerprint;                      /* from the start of the session on */
} vkft_trainer;

/* Model, data, what is trained, memory plan and schedule; no device yet. */
bool vkft_trainer_open(vkft_trainer *t, const vkft_train_options *options, const vkft_train_observer *observer,
                       vkft_err *err);
void vkft_trainer_close(vkft_trainer *t);

/* setup/fingerprint.c: what a resumed run must agree on for its steps to be the same; an object of plain values. The
 * session has started, and knows what products are computed in. NULL: out of memory. */
cJSON *vkft_trainer_fingerprint(const vkft_trainer *t);

/* step.c: the optimizer step after t->state.step. Weights and optimizer are as before when it fails, unless t->torn,
 * and when it is skipped: with products in f16, where loss or gradient is not finite. */
typedef struct vkft_step_result {
    double loss, grad_norm, learning_rate;
    bool skipped;
    uint64_t tokens;
    vkft_metric_sums metrics; /* of a preference objective */
} vkft_step_result;
#define VKFT_SKIPPED_IN_ROW 16u /* end the run: as many as halve PyTorch's first loss scale, 65536, to 1 */
bool vkft_train_step(vkft_trainer *t, vkft_step_result *result, vkft_err *err);

/* Mean loss per trained token over at most max_batches batches (0: all), in portions, which are those of the
 * session and become smaller where memory runs out. */
bool vkft_evaluate(vkft_session *session, vkft_pass *pass, const vkft_world *world, const vkft_sample_packs *split,
                   uint32_t batch_size, uint32_t max_batches, const vkft_portion *portion,
                   const vkft_observer *observer, double *loss, uint64_t *tokens, vkft_err *err);

/* train.c: adds a row, which it takes over, to the log and to what else gets it. */
bool vkft_log_row(vkft_trainer *t, cJSON *row, vkft_err *err);

double vkft_epoch_of(const vkft_trainer *t, uint64_t steps);

/* resume.c: the newest or the named checkpoint when asked; of the newest the first one that is whole. */
bool vkft_resume(vkft_trainer *t, vkft_err *err);
/* Before the next step, sees to it that the best so far is in this run's directory, or says that it is lost. */
bool vkft_resume_best(vkft_trainer *t, vkft_err *err);

/* keep.c: a checkpoint of the state as it is. Error: weights that are not finite or give no finite loss, unless the run
 * ends and has a best, which is then the result. */
bool vkft_keep_checkpoint(vkft_trainer *t, bool ends, vkft_err *err);
bool vkft_keep_best(vkft_trainer *t, vkft_err *err);
bool vkft_keep_best_copy(vkft_trainer *t, vkft_err *err); /* what t->flat holds, under the best step */
/* The finished run; fills in the best and the summary of its result. */
bool vkft_keep_result(vkft_trainer *t, struct vkft_train_result *result, vkft_err *err);
/* An error with this text and where the last good checkpoint is. */
bool vkft_fail_diverged(const vkft_trainer *t, vkft_err *err, const char *format, ...) VKFT_PRINTF(3, 4);

#endif
