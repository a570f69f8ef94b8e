/* Fine-tuning: options, the run, and what it reports while it runs. */
#ifndef VKFT_TRAIN_H
#define VKFT_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "host/session/memory.h"
#include "host/session/options.h"
#include "host/train/settings.h"
#include "host/trainable/optimizer/optimizer.h"
#include "runtime/base/error.h"
#include "runtime/base/observer.h"

typedef enum vkft_scheduler {
    VKFT_SCHEDULE_CONSTANT,
    VKFT_SCHEDULE_CONSTANT_WITH_WARMUP,
    VKFT_SCHEDULE_LINEAR,
    VKFT_SCHEDULE_COSINE,
} vkft_scheduler;

typedef enum vkft_fine_tune {
    VKFT_FINE_TUNE_LORA,
    VKFT_FINE_TUNE_FULL, /* all weights */
} vkft_fine_tune;

/* Where samples come from and how they are made. */
typedef struct vkft_data_options {
    const char *path;            /* a file, or a directory with train / valid / test files */
    const char *completions;     /* NULL, or a text file whose lines answer those of path */
    const char *keys;            /* NULL, or "question=Q,answer=A" */
    const char *prompt_template; /* NULL, or "Question: {question}": template that builds each row's prompt */
    bool apply_chat_template;    /* prompts and answers too become conversations */
    uint32_t max_seq_length;
    bool mask_prompt;
    bool mask_history; /* train on a conversation's last assistant message only */
    bool packing;
} vkft_data_options;

/* The flags of `vkft train`, one member each, named alike. Strings are borrowed. */
typedef struct vkft_train_options {
    vkft_model_options model;
    vkft_data_options data;
    const char *output_dir;
    bool overwrite;

    vkft_fine_tune fine_tune_type;

    uint32_t lora_r;
    float lora_alpha;
    float lora_dropout;
    const char *lora_target_modules; /* "all-linear" or names, comma separated */
    const char *init_adapter;        /* directory or NULL */

    double num_train_epochs;
    int64_t max_steps; /* optimizer steps; > 0 wins over epochs */
    uint32_t batch_size;
    uint32_t gradient_accumulation_steps;
    double learning_rate;
    vkft_scheduler lr_scheduler_type;
    double warmup_steps; /* below 1: a ratio of all steps */
    vkft_optimizer_type optim;
    const char *optim_args; /* NULL, or "momentum=0.9": what only this optimizer has */
    double weight_decay, adam_beta1, adam_beta2, adam_epsilon;
    double max_grad_norm; /* 0: no clipping */

    bool shuffle;
    uint64_t seed;
    bool gradient_checkpointing;

    double val_split; /* part of the training rows held out; used when there is no validation file */
    uint32_t eval_steps;
    uint32_t eval_batches; /* 0: all */
    uint32_t early_stopping_patience;
    bool load_best_model_at_end;

    uint32_t save_steps; /* 0: only at the end */
    uint32_t save_total_limit;
    const char *resume_from_checkpoint; /* NULL, "auto", or a directory */
    uint32_t logging_steps;

    bool dry_run;
    bool json;    /* machine-readable summary on stdout */
    bool profile; /* kernel times of the steps, printed at the end */

    vkft_settings settings; /* all flags as text, borrowed; empty where there is no command line */
} vkft_train_options;

/* The paths of model and data stay NULL. */
vkft_train_options vkft_train_defaults(void);

/* The state after an optimizer step or an evaluation. */
typedef struct vkft_train_event {
    uint64_t step, total_steps;
    double epoch;
    double loss, grad_norm, learning_rate;
    uint64_t tokens;          /* trained so far, over the whole run */
    double tokens_per_second; /* over the steps since the last event */
    uint64_t memory_bytes;    /* device memory held */
    double eval_loss;         /* NaN unless this event reports an evaluation */
} vkft_train_event;

typedef struct vkft_train_observer {
    vkft_observer general;
    void (*step)(void *context, const vkft_train_event *event); /* after each optimizer step; context is general's */
} vkft_train_observer;

typedef struct vkft_train_result {
    uint64_t steps;
    double first_loss, last_loss, best_eval_loss; /* NaN when there is none */
    double seconds, tokens_per_second;
    uint64_t peak_memory_bytes;
} vkft_train_result;

/* Runs a whole fine-tuning; not with dry_run. */
bool vkft_train(const vkft_train_options *options, const vkft_train_observer *observer, vkft_train_result *result,
                vkft_err *err);

typedef struct vkft_train_plan {
    vkft_memory_plan memory;
    uint64_t parameters; /* that are trained */
    vkft_err no_device;  /* why there is none to compare with; kind NONE: there is one */
    vkft_device_info device;
    bool fits;
    uint32_t fitting_length; /* of a single sequence with checkpointing, where it does not fit; 0: none */
} vkft_train_plan;

/* With dry_run: plans the run and trains nothing. */
bool vkft_train_plan_make(const vkft_train_options *options, const vkft_train_observer *observer, vkft_train_plan *plan,
                          vkft_err *err);

/* Loss over a dataset. per_token: a .jsonl path or NULL. */
typedef struct vkft_eval_options {
    vkft_model_options model;
    vkft_data_options data;
    const char *adapter, *per_token;
    uint32_t batch_size;
} vkft_eval_options;
typedef struct vkft_eval_result {
    double loss, perplexity;
    uint64_t tokens;
} vkft_eval_result;
bool vkft_eval(const vkft_eval_options *options, const vkft_observer *observer, vkft_eval_result *result,
               vkft_err *err);

#endif
