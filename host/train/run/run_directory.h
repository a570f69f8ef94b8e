/* What a run leaves on disk: the log, checkpoints that are complete or absent, the best and the final adapter or model.
 *
 *   OUT/trainer_log.jsonl              one object per logged step
 *   OUT/checkpoint-N/                  adapter or model, optimizer.safetensors, trainer_state.json, vkft_state.json
 *   OUT/samples.jsonl                  answers to --sample-prompts
 *   OUT/best-N/                        adapter or model with the lowest validation loss, where that is wanted
 *   OUT/adapter_model.safetensors ...  the finished run; model.safetensors ... when all weights were trained
 *   OUT/checkpoint-N.aside/            of a future that was given up: the run was resumed from an older checkpoint
 *   OUT/.vkft.request                  what another process asks of it (request.h)
 *   OUT/overwritten-run/               what --overwrite replaces, until the new run has a checkpoint or a result
 *
 * A checkpoint is written into "checkpoint-N.tmp", synced and renamed, so a directory named checkpoint-N is always
 * whole. One run at a time has the directory. What no run wrote is never removed, nor written over.
 */
#ifndef VKFT_RUN_DIRECTORY_H
#define VKFT_RUN_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "formats/native/model_file.h"
#include "host/train/settings.h"
#include "host/trainable/optimizer/optimizer.h"
#include "runtime/base/observer.h"

#define VKFT_BEST_KEY 64

/* Where a run stands, besides parameters and the optimizer's state. */
typedef struct vkft_run_state {
    uint64_t step;                /* optimizer steps done */
    uint64_t tokens;              /* tokens seen */
    uint64_t skipped;             /* of the steps, those whose gradient was not finite and changed nothing */
    uint32_t skipped_in_row;      /* the last ones */
    double best_metric;           /* NaN: none yet */
    char best_key[VKFT_BEST_KEY]; /* what of an evaluation it is: "eval_loss" */
    uint64_t best_step;
    uint32_t bad_evals;  /* evaluations since one that was enough of an improvement */
    bool evaluation_due; /* after this step, and it was interrupted */
    cJSON *history;      /* array of log rows */
    cJSON *wall_times;   /* array: when each of them was logged, seconds since 1970 */
} vkft_run_state;

/* What was trained, as files in a directory: an adapter, or a whole model. */
typedef struct vkft_saver {
    bool (*write)(const void *context, const char *dir, vkft_err *err);
    const void *context;
} vkft_saver;

typedef struct vkft_run_directory {
    const char *path;
    const vkft_observer *observer;
    FILE *log;      /* trainer_log.jsonl */
    int lock;       /* held while the run has the directory; -1: not */
    bool overwrite; /* until vkft_run_directory_begin */
    bool continues; /* resumes from one of its own checkpoints */
    bool old_run;   /* an overwritten run waits for this one to have something */
} vkft_run_directory;

typedef struct vkft_run_place {
    const char *path;
    const char
        *resume_from; /* NULL, "auto", or a checkpoint's directory; of the last two only one below path matters */
    bool overwrite;
    bool whole_model; /* is the result, with its config.json */
} vkft_run_place;

/*
 * Creates the directory and takes it. Changes nothing of what a run left. Error: another run has it; it holds a
 * finished run or checkpoints of one, unless overwriting or resuming from one of its checkpoints (a finished run that
 * is resumed ends again, with what its last checkpoint holds); it holds an adapter or a model that no run made.
 */
bool vkft_run_directory_open(vkft_run_directory *run, const vkft_run_place *place, const vkft_observer *observer,
                             vkft_err *err);
/* Everything is ready for the step after `step`: sets aside what is overwritten, or checkpoints after that step, and
 * begins the log with this history. */
bool vkft_run_directory_begin(vkft_run_directory *run, uint64_t step, const cJSON *history, vkft_err *err);
/* A run that was overwritten is put back where the new one has neither checkpoint nor result. */
void vkft_run_directory_close(vkft_run_directory *run);

/* The newest checkpoint in path, malloc'ed; *found NULL when there is none. */
bool vkft_run_directory_newest(const char *path, char **found, vkft_err *err);
/* The numbers of all in path, the newest first, malloc'ed; and the path of one, malloc'ed. */
bool vkft_run_directory_checkpoints(const char *path, uint64_t **numbers, size_t *count, vkft_err *err);
char *vkft_run_directory_checkpoint(const char *path, uint64_t number, vkft_err *err);

/* Adds the row to history (which takes it over) and to the log. */
bool vkft_run_directory_log(vkft_run_directory *run, cJSON *history, cJSON *row, vkft_err *err);

typedef struct vkft_run_checkpoint {
    vkft_saver saver;
    const vkft_optimizer_kind *optimizer;
    void *const *optimizer_state; /* for these: */
    const vkft_parameter_tensors *tensors;
    const vkft_run_state *state;
    const cJSON *fingerprint;      /* what a resumed run must agree on: an object of plain values */
    const vkft_settings *settings; /* of which a resumed run says what differs */
    uint64_t max_steps;
    double num_train_epochs, epoch;
} vkft_run_checkpoint;

/* Writes checkpoint-N, then removes all but the newest `keep` checkpoints (0: keep all), never this one, and each
 * best-N that no checkpoint names. What cannot be removed is said. */
bool vkft_run_checkpoint_write(vkft_run_directory *run, const vkft_run_checkpoint *checkpoint, uint32_t keep,
                               vkft_err *err);

/* Whose checkpoint is wanted, and where the optimizer's state goes. */
typedef struct vkft_run_reading {
    const vkft_optimizer_kind *optimizer;
    void *const *optimizer_state; /* for these: */
    const vkft_parameter_tensors *tensors;
    const cJSON *fingerprint;
    const vkft_settings *settings;
    bool allow_changes; /* what differs is said, and not refused */
    const vkft_observer *observer;
} vkft_run_reading;

/* Reads a checkpoint directory, except what the saver wrote: the optimizer's state, *state with its arrays. Error: the
 * first value in which the runs differ; a file that is missing or wrong: *damaged. */
bool vkft_run_checkpoint_read(const char *path, const vkft_run_reading *reading, vkft_run_state *state, bool *damaged,
                              vkft_err *err);

/* Error: the first value in which a run that has such a fingerprint differs from reading->fingerprint; file holds it.
 */
bool vkft_run_compare(const char *file, const cJSON *run, const vkft_run_reading *reading, vkft_err *err);

/* What a finished run left of its numbers. */
typedef struct vkft_run_outcome {
    uint64_t steps;
    bool stopped_early;
    double loss; /* of training, as it was logged last; NaN: it was not */
    double best; /* by the key that was asked for; NaN: there is none */
    uint64_t best_step;
} vkft_run_outcome;

/* *run: the fingerprint of the finished run in a directory, to free; NULL: there is none. */
bool vkft_run_outcome_read(const char *path, const char *best_key, vkft_run_outcome *outcome, cJSON **run,
                           vkft_err *err);

/* OUT/samples.jsonl: rows with a "step". Begin takes those of steps after this one out; add appends an array of rows.
 */
#define VKFT_SAMPLES_NAME "samples.jsonl"
bool vkft_run_samples_begin(const vkft_run_directory *run, uint64_t step, vkft_err *err);
bool vkft_run_samples_add(const vkft_run_directory *run, const cJSON *rows, vkft_err *err);

/* OUT/best-<step>/, instead of each other best-N that no checkpoint names. */
bool vkft_run_directory_write_best(const vkft_run_directory *run, uint64_t step, const vkft_saver *saver,
                                   vkft_err *err);
/* Its path, malloc'ed. */
char *vkft_run_directory_best(const vkft_run_directory *run, uint64_t step, vkft_err *err);

/* The finished run: what was trained, then the tokenizer's files, README.md (this text) and vkft.json (an object, which
 * is added to), unless someone else's file has the name. */
bool vkft_run_directory_finish(vkft_run_directory *run, const vkft_saver *saver, const vkft_model_file *model,
                               const char *readme, cJSON *summary, vkft_err *err);

#endif
