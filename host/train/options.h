/* The options of a fine-tuning run, and what it reports while it runs. */
#ifndef VKFT_TRAIN_OPTIONS_H
#define VKFT_TRAIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "host/session/options.h"
#include "host/train/objective/objective.h"
#include "host/train/schedule.h"
#include "host/train/settings.h"
#include "host/trainable/optimizer/optimizer.h"
#include "host/trainable/trainables.h"
#include "runtime/base/observer.h"

/* Who gets the rows of the log, besides trainer_log.jsonl. */
typedef enum vkft_report_to {
    VKFT_REPORT_NONE,
    VKFT_REPORT_TENSORBOARD,
} vkft_report_to;

/* When something is done that is done again and again. */
typedef enum vkft_when {
    VKFT_WHEN_STEPS, /* every so many steps */
    VKFT_WHEN_EPOCH, /* at the end of each epoch */
    VKFT_WHEN_NEVER,
} vkft_when;

/* The models that a run is meant for, in PEFT's words. */
typedef enum vkft_task {
    VKFT_TASK_ANY,
    VKFT_TASK_CAUSAL_LM,
    VKFT_TASK_SEQ_2_SEQ_LM,
} vkft_task;

#define VKFT_STOP_REASON 256 /* bytes of why a run ended early */

typedef enum vkft_on_bad_row { VKFT_BAD_ROW_SKIP, VKFT_BAD_ROW_ERROR } vkft_on_bad_row;
typedef enum vkft_long_rows { VKFT_LONG_ROWS_TRUNCATE, VKFT_LONG_ROWS_DROP } vkft_long_rows;

/* Where samples come from and how they are made. */
typedef struct vkft_data_options {
    const char *path;             /* a file, a pattern, or a directory with splits (formats/dataset/files/files.h) */
    const char *dataset_config;   /* NULL: the default one of a directory */
    const char *split;            /* NULL: the usual one of a directory */
    const char *validation_split; /* the same for validation */
    const char *completions;      /* NULL, or a text file whose lines answer those of path */
    const char *keys;             /* NULL, or "question=Q,answer=A" */
    const char *prompt_template;  /* NULL, or "Question: {question}": template that builds each row's prompt */
    bool apply_chat_template;     /* prompts and answers too become conversations */
    uint32_t max_seq_length;
    bool mask_prompt;
    bool mask_history; /* train on a conversation's last assistant message only */
    bool packing;
    vkft_objective_type objective; /* what the rows are for */
    vkft_on_bad_row on_bad_row;
    vkft_long_rows long_rows;
} vkft_data_options;

/* The flags of `vkft train`, one member each, named alike; defaults are below. A new flag is a member here and a row in
 * host/cli/commands/train.c. Strings are borrowed. */
typedef enum vkft_peft_type { VKFT_PEFT_LORA, VKFT_PEFT_IA3, VKFT_PEFT_VERA } vkft_peft_type;

typedef struct vkft_train_options {
    vkft_model_options model;
    vkft_data_options data;
    const char *output_dir;
    bool overwrite;

    vkft_trainable_kind fine_tune_type;
    vkft_dtype param_dtype;     /* of the model's weights, where all are trained: F32, or BF16 beside what is trained */
    bool bf16_stochastic_round; /* BF16 is what is trained */
    vkft_task task_type;

    vkft_peft_type peft_type; /* of a new adapter */
    const char *feedforward_modules;
    uint32_t projection_prng_key;
    bool save_projection;
    float d_initial;
    uint32_t lora_r;
    float lora_alpha;
    float lora_dropout;
    bool use_rslora; /* scale alpha / sqrt(r) instead of alpha / r */
    bool use_dora, lora_bias;
    vkft_adapter_bias bias;
    vkft_lora_init init_lora_weights;
    vkft_module_choice lora_modules;
    const char *init_adapter; /* directory or NULL */
    struct {
        bool r, alpha, dropout, rslora, dora, lora_bias, bias, init, modules,
            patterns; /* asked for, and not by default */
    } lora_given;

    vkft_objective_options objective;                                      /* its type is data.objective */
    double label_smoothing_factor, z_loss_multiplier, neftune_noise_alpha; /* see vkft_loss_changes */

    double num_train_epochs;
    int64_t max_steps; /* optimizer steps; > 0 wins over epochs */
    uint32_t batch_size;
    uint32_t gradient_accumulation_steps;
    double learning_rate;
    vkft_scheduler lr_scheduler_type;
    const char *lr_scheduler_kwargs; /* NULL, or "num_cycles=3": what only this schedule has */
    double warmup_steps;             /* below 1: a ratio of all steps */
    vkft_optimizer_type optim;
    const char *optim_args; /* NULL, or "momentum=0.9": what only this optimizer has */
    double weight_decay, adam_beta1, adam_beta2, adam_epsilon;
    double max_grad_norm;         /* 0: no clipping */
    double loraplus_lr_ratio;     /* LoRA+: of B's rate to A's; 1: none */
    double loraplus_lr_embedding; /* with it: the rate of LoRA on embeddings */

    bool shuffle;
    uint64_t seed;
    bool gradient_checkpointing;

    double val_split;        /* part of the training rows held out; used when there is no validation file */
    vkft_when eval_strategy; /* also after the last step, unless never */
    uint32_t eval_steps;
    uint32_t eval_batch_size;        /* 0: batch_size */
    uint32_t eval_batches;           /* 0: all */
    const char *sample_prompts;      /* NULL, or a file of prompts that evaluations answer */
    const char *metrics;             /* NULL, or "exact_match,f1": what evaluations compute beside the loss */
    uint32_t metric_samples;         /* validation samples that they answer for it; 0: all */
    uint32_t max_new_tokens;         /* of what evaluations generate */
    const char *retain_data;         /* NULL, or data whose loss shows what is forgotten */
    double max_retain_loss_increase; /* 0: no limit */
    double replay;                   /* share of it among what is trained */
    uint32_t early_stopping_patience;
    double early_stopping_threshold;
    const char *metric_for_best_model; /* NULL: the validation loss */
    bool greater_is_better, greater_given;
    bool load_best_model_at_end;

    vkft_when save_strategy; /* also after the last step, unless never */
    uint32_t save_steps;     /* 0: only at the end */
    uint32_t save_total_limit;
    const char *resume_from_checkpoint; /* NULL, "auto", or a directory */
    bool allow_changes;                 /* of what a resumed run must agree on */
    vkft_when logging_strategy;         /* also after the last step, unless never */
    uint32_t logging_steps;
    const char *logging_dir; /* NULL: "runs" in output_dir */
    vkft_report_to report_to;
    bool report_explicit; /* report_to was asked for, not left at its default */

    bool dry_run, print_config;
    bool watch; /* serve the page of the run, here: */
    uint32_t watch_port;
    bool json;    /* machine-readable summary on stdout */
    bool profile; /* kernel times of the steps, printed at the end */

    vkft_settings settings;               /* all flags as text, borrowed; empty where there is no command line */
    struct vkft_base *base;               /* NULL, or what the runs of a sweep share (host/session/base.h) */
    struct vkft_shared_data *shared_data; /* the same of their data (host/train/setup/shared_data.h) */
} vkft_train_options;

/* What a flag is where it is not given; the paths of model and data stay NULL. */
static inline vkft_train_options vkft_train_defaults(void)
{
    return (vkft_train_options){
        .model = vkft_model_defaults(),
        .output_dir = "adapters",
        .param_dtype = VKFT_F32,
        .lora_r = 16,
        .lora_alpha = 32,
        .save_projection = true,
        .d_initial = 0.1f,
        .lora_modules = {.target = "all-linear"},
        .objective = vkft_objective_defaults(),
        .num_train_epochs = 3,
        .max_steps = -1,
        .batch_size = 1,
        .gradient_accumulation_steps = 8,
        .learning_rate = 2e-4,
        .lr_scheduler_type = VKFT_SCHEDULE_linear,
        .warmup_steps = 0.03,
        .optim = VKFT_OPTIMIZER_adamw,
        .weight_decay = 0.01,
        .adam_beta1 = 0.9,
        .adam_beta2 = 0.999,
        .adam_epsilon = 1e-8,
        .max_grad_norm = 1.0,
        .loraplus_lr_ratio = 1,
        .loraplus_lr_embedding = 1e-6,
        .data = {.max_seq_length = 2048, .mask_prompt = true},
        .shuffle = true,
        .seed = 42,
        .gradient_checkpointing = true,
        .eval_steps = 100,
        .max_new_tokens = 64,
        .metric_samples = 100,
        .load_best_model_at_end = true,
        .save_steps = 100,
        .save_total_limit = 2,
        .logging_steps = 1,
    };
}

static inline uint32_t vkft_eval_batch_size(const vkft_train_options *o)
{
    return o->eval_batch_size ? o->eval_batch_size : o->batch_size;
}

/* The state after an optimizer step that is logged, or after an evaluation. */
typedef struct vkft_train_event {
    uint64_t step, total_steps;
    double epoch;
    double loss, grad_norm, learning_rate;
    uint64_t tokens;              /* seen so far, masked ones too, over the whole run */
    uint64_t skipped_steps;       /* so far */
    double tokens_per_second;     /* over the steps since the last logged one; 0 of an evaluation */
    uint64_t memory_bytes;        /* device memory held */
    double metrics[VKFT_METRICS]; /* of a preference objective, NaN where there are none */
    bool evaluation;              /* this event reports one, */
    double eval_loss;             /* whose loss this is; NaN where training has diverged */
} vkft_train_event;

typedef struct vkft_train_observer {
    vkft_observer general;
    void (*step)(void *context, const vkft_train_event *event); /* at each event; context is general's */
} vkft_train_observer;

#endif
