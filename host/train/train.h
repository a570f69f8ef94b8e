/* A fine-tuning run, its memory plan, and the loss over a dataset. */
#ifndef VKFT_TRAIN_H
#define VKFT_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "host/session/memory.h"
#include "host/train/evaluation/best.h"
#include "host/train/evaluation/task.h"
#include "host/train/options.h"
#include "host/train/report/summary.h"
#include "runtime/base/error.h"
#include "runtime/base/observer.h"

typedef struct vkft_train_result {
    uint64_t steps;
    uint64_t skipped_steps;                    /* over the whole run */
    double first_loss, last_loss, best_metric; /* NaN when there is none */
    vkft_best best;                            /* what best_metric is of */
    char stop_reason[VKFT_STOP_REASON];        /* why the run ended early; "": it did not */
    double seconds, tokens_per_second;
    uint64_t peak_memory_bytes;
    uint64_t best_step; /* of best_metric */
    bool has_tokenizer; /* the model */
    vkft_run_summary summary;
} vkft_train_result;

/* Runs a whole fine-tuning; not with dry_run. */
bool vkft_train(const vkft_train_options *options, const vkft_train_observer *observer, vkft_train_result *result,
                vkft_err *err);

typedef struct vkft_train_plan {
    vkft_memory_plan memory;
    uint64_t parameters; /* that are trained */
    vkft_best best;      /* what evaluations will be judged by */
    bool finished;       /* nothing is left to do: it resumes a run that has ended */
    vkft_err no_device;  /* why there is none to compare with; kind NONE: there is one */
    vkft_device_info device;
    bool fits;
    vkft_err why_not;        /* when it does not */
    uint32_t fitting_length; /* of a single sequence with checkpointing, where it does not fit; 0: none */
} vkft_train_plan;

/* With dry_run: plans the run and trains nothing. */
bool vkft_train_plan_make(const vkft_train_options *options, const vkft_train_observer *observer, vkft_train_plan *plan,
                          vkft_err *err);

/* Loss over a dataset, and what answers are worth, also without the adapter. per_token: a .jsonl path or NULL. */
typedef struct vkft_eval_options {
    vkft_model_options model;
    vkft_data_options data;
    const char *adapter, *per_token;
    uint32_t batch_size;
    const char *metrics; /* NULL, or what else is computed, of answers to: */
    uint32_t metric_samples, max_new_tokens;
    const char *answers; /* NULL, or a .jsonl path for these answers */
} vkft_eval_options;
typedef struct vkft_eval_result {
    double loss, perplexity;
    uint64_t tokens;
    vkft_task_run task, base; /* their values; metrics 0: none. base: without the adapter, where there is one */
} vkft_eval_result;
bool vkft_eval(const vkft_eval_options *options, const vkft_observer *observer, vkft_eval_result *result,
               vkft_err *err);

#endif
