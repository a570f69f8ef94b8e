/* vkft train: the flags of a fine-tuning, and what is said before it. What is said after it is in train_says.c. */
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/commands/train_idle.h"
#include "host/cli/commands/train_says.h"
#include "host/cli/interrupt.h"
#include "host/cli/progress.h"
#include "host/cli/spellings.h"
#include "host/train/train.h"
#include "host/watch/watch.h"

_Static_assert(sizeof(vkft_scheduler) == sizeof(int) && sizeof(vkft_optimizer_type) == sizeof(int) &&
                   sizeof(vkft_report_to) == sizeof(int),
               "FLAG_CHOICE stores an int");

static const flag_choice scheduler_choices[] = {
#define SCHEDULE(type) {.name = #type, .value = VKFT_SCHEDULE_##type},
#include "host/train/schedules.def"
#undef SCHEDULE
    {.name = "reduce_lr_on_plateau", .coming = true},
    {.name = "greedy", .coming = true},
    {0},
};
static const flag_choice optim_choices[] = {
#define OPTIMIZER(type, kind, place) {.name = #type, .value = VKFT_OPTIMIZER_##type},
#include "host/trainable/optimizer/optimizers.def"
#undef OPTIMIZER
    {.name = "ademamix", .coming = true},
    {.name = "ademamix_8bit", .coming = true},
    {.name = "paged_ademamix_32bit", .coming = true},
    {.name = "paged_ademamix_8bit", .coming = true},
    {.name = "adagrad", .coming = true},
    {.name = "rmsprop", .coming = true},
    {.name = "rmsprop_bnb", .coming = true},
    {.name = "galore_adamw", .coming = true},
    {.name = "schedule_free_adamw", .coming = true},
    {.name = "stable_adamw", .coming = true},
    {.name = "muon", .coming = true},
    {0},
};

static const flag_choice report_choices[] = {
    {.name = "none", .value = VKFT_REPORT_NONE},
    {.name = "tensorboard", .value = VKFT_REPORT_TENSORBOARD},
    {.name = "all", .value = VKFT_REPORT_TENSORBOARD},
    {.name = "azure_ml", .coming = true},
    {.name = "clearml", .coming = true},
    {.name = "codecarbon", .coming = true},
    {.name = "comet_ml", .coming = true},
    {.name = "dagshub", .coming = true},
    {.name = "dvclive", .coming = true},
    {.name = "flyte", .coming = true},
    {.name = "kubeflow", .coming = true},
    {.name = "mlflow", .coming = true},
    {.name = "neptune", .coming = true},
    {.name = "swanlab", .coming = true},
    {.name = "trackio", .coming = true},
    {.name = "wandb", .coming = true},
    {0},
};

static const flag_choice dpo_choices[] = {
#define DPO_LOSS(type, function) {.name = #type, .value = VKFT_DPO_##type},
#include "host/train/objective/dpo_losses.def"
#undef DPO_LOSS
    {0},
};

#define AT(member) .offset = offsetof(vkft_train_options, member)
#define GIVEN(member) .given = offsetof(vkft_train_options, member)

static const flag_choice when_choices[] = {
    {.name = "no", .value = VKFT_WHEN_NEVER},
    {.name = "steps", .value = VKFT_WHEN_STEPS},
    {.name = "epoch", .value = VKFT_WHEN_EPOCH},
    {0},
};
static const flag_choice task_choices[] = {
    {.name = "any", .value = VKFT_TASK_ANY},
    {.name = "CAUSAL_LM", .value = VKFT_TASK_CAUSAL_LM},
    {.name = "SEQ_2_SEQ_LM", .value = VKFT_TASK_SEQ_2_SEQ_LM},
    {0},
};
static const flag_choice fine_tune_choices[] = {
    {.name = "lora", .value = VKFT_TRAINABLE_ADAPTERS},
    {.name = "full", .value = VKFT_TRAINABLE_ALL_WEIGHTS},
    {0},
};

#define PISSA_NITER(n)                                                                                                 \
    {                                                                                                                  \
        .name = "pissa_niter_" #n, .value = VKFT_LORA_INIT_PISSA + (n)                                                 \
    }
static const flag_choice peft_choices[] = {
    {.name = "lora", .value = VKFT_PEFT_LORA}, {.name = "ia3", .value = VKFT_PEFT_IA3}, {0}};
static const flag_choice bias_choices[] = {
    {.name = "none", .value = VKFT_BIAS_NONE},
    {.name = "all", .value = VKFT_BIAS_ALL},
    {.name = "lora_only", .value = VKFT_BIAS_LORA_ONLY},
    {0},
};
static const flag_choice param_choices[] = {
    {.name = "fp32", .value = VKFT_F32},
    {.name = "bf16", .value = VKFT_BF16},
    {0},
};

static const flag_choice init_choices[] = {
    {.name = "true", .value = VKFT_LORA_INIT_TRUE},
    {.name = "gaussian", .value = VKFT_LORA_INIT_GAUSSIAN},
    {.name = "orthogonal", .value = VKFT_LORA_INIT_ORTHOGONAL},
    {.name = "pissa", .value = VKFT_LORA_INIT_PISSA},
    PISSA_NITER(1),
    PISSA_NITER(2),
    PISSA_NITER(4),
    PISSA_NITER(8),
    PISSA_NITER(16),
    PISSA_NITER(32),
    {.name = "olora", .value = VKFT_LORA_INIT_OLORA},
    {.name = "loftq", .value = VKFT_LORA_INIT_LOFTQ},
    {0},
};

static const flag train_flags[] = {
    {.kind = FLAG_HEADING, .name = "model and data"},
    CLI_MODEL_FLAGS(AT, GIVEN),
    {.kind = FLAG_TEXT,
     .name = "data",
     .value = "PATH",
     .help = "a .jsonl, .json, .csv, .tsv or .txt file, or a directory with train, valid and test files; optional "
             "with --dry-run",
     AT(data.path)},
    {.kind = FLAG_TEXT,
     .name = "output-dir",
     .value = "DIR",
     .help = "directory for the result and checkpoints",
     AT(output_dir)},
    {.kind = FLAG_SWITCH, .name = "overwrite", .help = "replace a finished run in --output-dir", AT(overwrite)},

    {.kind = FLAG_HEADING, .name = "adapter"},
    {.kind = FLAG_CHOICE,
     .name = "fine-tune-type",
     .value = "TYPE",
     .help = "train a LoRA adapter, or all weights (full), which are written as a Hugging Face checkpoint",
     .choices = fine_tune_choices,
     .same_run = true,
     AT(fine_tune_type)},
    {.kind = FLAG_CHOICE,
     .name = "param-dtype",
     .value = "TYPE",
     .help = "with --fine-tune-type full: weights are trained in fp32, and multiplied as they are or rounded to bf16, "
             "as PyTorch's FSDP does with param_dtype",
     .choices = param_choices,
     .same_run = true,
     AT(param_dtype)},
    {.kind = FLAG_CHOICE,
     .name = "task-type",
     .value = "TYPE",
     .help = "stop unless the model is of this type, as PEFT calls it",
     .choices = task_choices,
     AT(task_type)},
    {.kind = FLAG_CHOICE,
     .name = "peft-type",
     .value = "TYPE",
     .help = "kind of a new adapter: LoRA, or vectors that multiply outputs and inputs of layers (IA3)",
     .choices = peft_choices,
     .same_run = true,
     AT(peft_type)},
    {.kind = FLAG_TEXT,
     .name = "feedforward-modules",
     .value = "NAMES",
     .help = "with --peft-type ia3: of the adapted modules those whose input is multiplied",
     .default_text = "as PEFT has it for the model",
     .same_run = true,
     AT(feedforward_modules)},
    {.kind = FLAG_U32,
     .name = "lora-r",
     .value = "N",
     .help = "rank of the adapter matrices",
     .range = BETWEEN(1, 65536),
     .same_run = true,
     GIVEN(lora_given.r),
     AT(lora_r)},
    {.kind = FLAG_FLOAT,
     .name = "lora-alpha",
     .value = "X",
     .help = "the adapter's output is scaled by alpha / r",
     .range = ABOVE(0),
     .same_run = true,
     GIVEN(lora_given.alpha),
     AT(lora_alpha)},
    {.kind = FLAG_FLOAT,
     .name = "lora-dropout",
     .value = "X",
     .help = "dropout on the adapter's input",
     .range = FROM_TO_BELOW(0, 1),
     .same_run = true,
     GIVEN(lora_given.dropout),
     AT(lora_dropout)},
    {.kind = FLAG_SWITCH,
     .name = "use-rslora",
     .help = "scale by alpha / sqrt(r) instead of alpha / r",
     .same_run = true,
     GIVEN(lora_given.rslora),
     AT(use_rslora)},
    {.kind = FLAG_SWITCH,
     .name = "use-dora",
     .help = "train a magnitude for each output beside the adapter's direction (DoRA)",
     .same_run = true,
     GIVEN(lora_given.dora),
     AT(use_dora)},
    {.kind = FLAG_SWITCH,
     .name = "lora-bias",
     .help = "train a bias of B as well",
     .same_run = true,
     GIVEN(lora_given.lora_bias),
     AT(lora_bias)},
    {.kind = FLAG_CHOICE,
     .name = "bias",
     .value = "WHICH",
     .help = "train biases of the model beside the adapter and write them with it: all, or those of adapted layers",
     .choices = bias_choices,
     .same_run = true,
     GIVEN(lora_given.bias),
     AT(bias)},
    {.kind = FLAG_CHOICE,
     .name = "init-lora-weights",
     .value = "NAME",
     .help = "first values of a new adapter: A uniform (true) or normal; A and B random with B A = 0; the largest "
             "singular vectors of the weights (pissa, and roughly after N iterations) or a part of their QR (olora), "
             "whose product is taken off the weights; or singular vectors of what --quant nf4 loses (loftq)",
     .choices = init_choices,
     .same_run = true,
     GIVEN(lora_given.init),
     AT(init_lora_weights)},
    {.kind = FLAG_TEXT,
     .name = "lora-target-modules",
     .value = "NAMES",
     .help = "modules to adapt: comma-separated names as in the checkpoint, a regular expression for all of a name, or "
             "all-linear",
     .same_run = true,
     GIVEN(lora_given.modules),
     AT(lora_modules.target)},
    {.kind = FLAG_TEXT,
     .name = "exclude-modules",
     .value = "NAMES",
     .help = "of these modules none is adapted: names, or a regular expression",
     .same_run = true,
     GIVEN(lora_given.modules),
     AT(lora_modules.exclude)},
    {.kind = FLAG_TEXT,
     .name = "layers-to-transform",
     .value = "N,...",
     .help = "adapt modules of these layers only; the first layer is 0",
     .default_text = "all",
     .same_run = true,
     GIVEN(lora_given.modules),
     AT(lora_modules.layers)},
    {.kind = FLAG_TEXT,
     .name = "layers-pattern",
     .value = "NAMES",
     .help = "with --layers-to-transform: what comes before a layer's number in names",
     .default_text = "any name",
     .same_run = true,
     GIVEN(lora_given.modules),
     AT(lora_modules.layers_pattern)},
    {.kind = FLAG_TEXT,
     .name = "rank-pattern",
     .value = "NAME=N,...",
     .help =
         "another rank for some modules: names or regular expressions; the first that matches counts; or a JSON object",
     .same_run = true,
     GIVEN(lora_given.patterns),
     AT(lora_modules.rank_pattern)},
    {.kind = FLAG_TEXT,
     .name = "alpha-pattern",
     .value = "NAME=X,...",
     .help = "another alpha for some modules, in the same way",
     .same_run = true,
     GIVEN(lora_given.patterns),
     AT(lora_modules.alpha_pattern)},
    {.kind = FLAG_TEXT,
     .name = "modules-to-save",
     .value = "NAMES",
     .help = "train these modules whole beside the adapter and write them with it: lm_head, embed_tokens",
     .same_run = true,
     GIVEN(lora_given.modules),
     AT(lora_modules.save)},
    {.kind = FLAG_TEXT,
     .name = "init-adapter",
     .value = "DIR",
     .help = "continue training from this PEFT adapter",
     .same_run = true,
     AT(init_adapter)},

    {.kind = FLAG_HEADING, .name = "objective"},
    CLI_OBJECTIVE_FLAG(AT),
    {.kind = FLAG_DOUBLE,
     .name = "label-smoothing-factor",
     .value = "X",
     .help = "with sft: train X of each token's target as spread evenly over the vocabulary; the validation loss, too, "
             "is that of such targets, as in transformers",
     .range = FROM_TO_BELOW(0, 1),
     .same_run = true,
     AT(label_smoothing_factor)},
    {.kind = FLAG_DOUBLE,
     .name = "z-loss-multiplier",
     .value = "X",
     .help = "with sft: add X times the square of each token's log of the sum of exponentials of logits to its loss, "
             "the validation loss, too; 1e-4 is usual",
     .range = AT_LEAST(0),
     .same_run = true,
     AT(z_loss_multiplier)},
    {.kind = FLAG_DOUBLE,
     .name = "neftune-noise-alpha",
     .value = "X",
     .help = "with sft: add uniform noise of at most X / sqrt(tokens * width) to a sample's embeddings while training "
             "(NEFTune); 5 is usual",
     .range = AT_LEAST(0),
     .same_run = true,
     AT(neftune_noise_alpha)},
    {.kind = FLAG_DOUBLE,
     .name = "beta",
     .value = "X",
     .help = "with preferences: how strongly answers are compared; with dpo a higher one stays closer to the reference",
     .range = ABOVE(0),
     .same_run = true,
     AT(objective.beta)},
    {.kind = FLAG_CHOICE,
     .name = "loss-type",
     .value = "NAME",
     .help = "with dpo: the loss, as TRL calls it",
     .choices = dpo_choices,
     .same_run = true,
     AT(objective.loss_type)},
    {.kind = FLAG_DOUBLE,
     .name = "label-smoothing",
     .value = "X",
     .help = "with dpo and simpo: the share of pairs that are taken to be the wrong way round",
     .range = FROM_TO_BELOW(0, 0.5),
     .same_run = true,
     AT(objective.label_smoothing)},
    {.kind = FLAG_SWITCH,
     .name = "reference-free",
     .help = "with dpo: compare answers with each other alone, not with the model as it was before training",
     .same_run = true,
     AT(objective.reference_free)},
    {.kind = FLAG_DOUBLE,
     .name = "ld-alpha",
     .value = "X",
     .help = "with dpo: what tokens count that the shorter answer of a pair does not have; 1: as all others",
     .range = BETWEEN(0, 1),
     .same_run = true,
     AT(objective.ld_alpha)},
    {.kind = FLAG_DOUBLE,
     .name = "simpo-gamma",
     .value = "X",
     .help = "with simpo: the margin between rewards that is aimed at",
     .range = AT_LEAST(0),
     .same_run = true,
     AT(objective.simpo_gamma)},
    {.kind = FLAG_DOUBLE,
     .name = "desirable-weight",
     .value = "X",
     .help = "with kto: what a desired answer counts",
     .range = AT_LEAST(0),
     .same_run = true,
     AT(objective.desirable_weight)},
    {.kind = FLAG_DOUBLE,
     .name = "undesirable-weight",
     .value = "X",
     .help = "with kto: what an undesired answer counts",
     .range = AT_LEAST(0),
     .same_run = true,
     AT(objective.undesirable_weight)},

    {.kind = FLAG_HEADING, .name = "length of the run"},
    {.kind = FLAG_DOUBLE,
     .name = "num-train-epochs",
     .value = "X",
     .help = "number of passes over the training data",
     .range = ABOVE(0),
     AT(num_train_epochs)},
    {.kind = FLAG_I64,
     .name = "max-steps",
     .value = "N",
     .help = "number of optimizer steps; -1 means --num-train-epochs decides",
     .range = AT_LEAST(-1),
     AT(max_steps)},
    {.kind = FLAG_U32,
     .name = "batch-size",
     .value = "N",
     .help = "samples per batch",
     .range = BETWEEN(1, 1000000),
     .same_run = true,
     AT(batch_size)},
    {.kind = FLAG_U32,
     .name = "gradient-accumulation-steps",
     .value = "N",
     .help = "batches whose gradients are summed for one optimizer step",
     .range = BETWEEN(1, 1000000),
     .same_run = true,
     AT(gradient_accumulation_steps)},

    {.kind = FLAG_HEADING, .name = "optimizer"},
    {.kind = FLAG_DOUBLE,
     .name = "learning-rate",
     .value = "X",
     .help = "peak learning rate",
     .range = ABOVE(0),
     .same_run = true,
     AT(learning_rate)},
    {.kind = FLAG_CHOICE,
     .name = "lr-scheduler-type",
     .value = "NAME",
     .help = "learning-rate schedule",
     .choices = scheduler_choices,
     .same_run = true,
     AT(lr_scheduler_type)},
    {.kind = FLAG_TEXT,
     .name = "lr-scheduler-kwargs",
     .value = "NAME=X,...",
     .help = "settings that only this schedule has: num_cycles, of those with cosine; min_lr or min_lr_rate, of those "
             "with min_lr; "
             "warmup_lr_rate; lr_end and power, of polynomial; timescale, of inverse_sqrt; num_decay_steps, "
             "min_lr_ratio, warmup_type, "
             "decay_type and num_cycles, of warmup_stable_decay",
     .same_run = true,
     AT(lr_scheduler_kwargs)},
    {.kind = FLAG_DOUBLE,
     .name = "warmup-steps",
     .value = "X",
     .help = "steps of linear warmup; below 1: a fraction of all steps",
     .range = AT_LEAST(0),
     .same_run = true,
     AT(warmup_steps)},
    {.kind = FLAG_CHOICE,
     .name = "optim",
     .value = "NAME",
     .help = "optimizer; one of 8 bits keeps its moments as bitsandbytes does, a paged one keeps its state in host "
             "memory, with the same results; adafactor keeps a value for each row and column; lorafa trains B alone",
     .choices = optim_choices,
     .same_run = true,
     AT(optim)},
    {.kind = FLAG_TEXT,
     .name = "optim-args",
     .value = "NAME=X,...",
     .help = "settings that only this optimizer has; sgd: momentum=X",
     .same_run = true,
     AT(optim_args)},
    {.kind = FLAG_DOUBLE,
     .name = "weight-decay",
     .value = "X",
     .help = "decoupled weight decay",
     .range = AT_LEAST(0),
     .same_run = true,
     AT(weight_decay)},
    {.kind = FLAG_DOUBLE,
     .name = "adam-beta1",
     .value = "X",
     .help = "decay rate of the first moment (mean gradient)",
     .range = FROM_TO_BELOW(0, 1),
     .same_run = true,
     AT(adam_beta1)},
    {.kind = FLAG_DOUBLE,
     .name = "adam-beta2",
     .value = "X",
     .help = "decay rate of the second moment (mean squared gradient)",
     .range = FROM_TO_BELOW(0, 1),
     .same_run = true,
     AT(adam_beta2)},
    {.kind = FLAG_DOUBLE,
     .name = "adam-epsilon",
     .value = "X",
     .help = "added to the denominator",
     .range = ABOVE(0),
     .same_run = true,
     AT(adam_epsilon)},
    {.kind = FLAG_DOUBLE,
     .name = "loraplus-lr-ratio",
     .value = "X",
     .help = "LoRA+: B learns at X times the learning rate, as in PEFT's create_loraplus_optimizer with --weight-decay "
             "as its loraplus_weight_decay",
     .range = ABOVE(0),
     .same_run = true,
     AT(loraplus_lr_ratio)},
    {.kind = FLAG_DOUBLE,
     .name = "max-grad-norm",
     .value = "X",
     .help = "clip the gradient norm to this value; 0 disables clipping",
     .range = AT_LEAST(0),
     .same_run = true,
     AT(max_grad_norm)},

    {.kind = FLAG_HEADING, .name = "samples"},
    CLI_DATA_FLAGS(AT),
    {.kind = FLAG_SWITCH,
     .name = "shuffle",
     .help = "shuffle the samples anew every epoch; off keeps file order",
     .same_run = true,
     AT(shuffle)},
    {.kind = FLAG_U64,
     .name = "seed",
     .value = "N",
     .help = "random seed for sample order, adapter initialization and dropout",
     .same_run = true,
     AT(seed)},
    {.kind = FLAG_SWITCH,
     .name = "gradient-checkpointing",
     .help = "recompute activations in the backward pass to save memory",
     AT(gradient_checkpointing)},

    {.kind = FLAG_HEADING, .name = "validation"},
    {.kind = FLAG_DOUBLE,
     .name = "val-split",
     .value = "X",
     .help = "fraction of the data held out for validation if there is no valid file",
     .range = FROM_TO_BELOW(0, 1),
     .same_run = true,
     AT(val_split)},
    {.kind = FLAG_CHOICE,
     .name = "eval-strategy",
     .value = "WHEN",
     .help = "evaluate every --eval-steps steps or at the end of each epoch, and after the last step; or never",
     .choices = when_choices,
     AT(eval_strategy)},
    {.kind = FLAG_U32,
     .name = "eval-steps",
     .value = "N",
     .help = "with --eval-strategy steps: evaluate every N steps",
     .range = AT_LEAST(1),
     AT(eval_steps)},
    {.kind = FLAG_U32,
     .name = "eval-batch-size",
     .value = "N",
     .help = "samples per batch of an evaluation",
     .default_text = "that of --batch-size",
     .range = BETWEEN(1, 1000000),
     AT(eval_batch_size)},
    {.kind = FLAG_U32,
     .name = "eval-batches",
     .value = "N",
     .help = "batches per evaluation; 0 means all",
     AT(eval_batches)},
    {.kind = FLAG_TEXT,
     .name = "metrics",
     .value = "NAMES",
     .help = "beside the loss compare answers with those of the validation data: exact_match and f1 (SQuAD), chrf "
             "(sacrebleu), acc, acc_norm and acc_bytes (of choices, lm-evaluation-harness), comma separated",
     AT(metrics)},
    {.kind = FLAG_U32,
     .name = "metric-samples",
     .value = "N",
     .help = "with --metrics: validation samples that are answered, the first ones; 0 means all",
     AT(metric_samples)},
    {.kind = FLAG_TEXT,
     .name = "sample-prompts",
     .value = "FILE",
     .help = "answer these prompts at each evaluation, beside the base's answers: a text file with a prompt a line, or "
             ".jsonl with prompt or messages",
     AT(sample_prompts)},
    {.kind = FLAG_U32,
     .name = "max-new-tokens",
     .value = "N",
     .help = "tokens of an answer that an evaluation generates",
     .range = AT_LEAST(1),
     AT(max_new_tokens)},
    {.kind = FLAG_TEXT,
     .name = "retain-data",
     .value = "PATH",
     .help = "text or rows of what the model is not to forget: evaluations measure their loss, also before training",
     AT(retain_data)},
    {.kind = FLAG_DOUBLE,
     .name = "max-retain-loss-increase",
     .value = "X",
     .help = "stop when the loss on --retain-data is more than X above that of before training; 0 never stops",
     .range = AT_LEAST(0),
     AT(max_retain_loss_increase)},
    {.kind = FLAG_DOUBLE,
     .name = "replay",
     .value = "X",
     .help = "share of --retain-data among the samples that are trained, against forgetting; the other half of it is "
             "measured",
     .range = FROM_TO_BELOW(0, 1),
     .same_run = true,
     AT(replay)},
    {.kind = FLAG_U32,
     .name = "early-stopping-patience",
     .value = "N",
     .help = "stop after N evaluations without improvement; 0 never stops",
     AT(early_stopping_patience)},
    {.kind = FLAG_DOUBLE,
     .name = "early-stopping-threshold",
     .value = "X",
     .help = "with --early-stopping-patience: an improvement of X or less is none",
     .range = AT_LEAST(0),
     AT(early_stopping_threshold)},
    {.kind = FLAG_TEXT,
     .name = "metric-for-best-model",
     .value = "NAME",
     .help = "the number of an evaluation that says which one is the best: loss, or another that it logs as eval_NAME",
     .default_text = "loss",
     AT(metric_for_best_model)},
    {.kind = FLAG_SWITCH,
     .name = "greater-is-better",
     .help = "of --metric-for-best-model",
     .default_text = "unless its name ends in loss",
     GIVEN(greater_given),
     AT(greater_is_better)},
    {.kind = FLAG_SWITCH,
     .name = "load-best-model-at-end",
     .help = "with validation: keep the best result instead of the last",
     AT(load_best_model_at_end)},

    {.kind = FLAG_HEADING, .name = "checkpoints and reports"},
    {.kind = FLAG_CHOICE,
     .name = "save-strategy",
     .value = "WHEN",
     .help =
         "save a checkpoint every --save-steps steps or at the end of each epoch, and after the last step; or never, "
         "unless Ctrl-C stops the run",
     .choices = when_choices,
     AT(save_strategy)},
    {.kind = FLAG_U32,
     .name = "save-steps",
     .value = "N",
     .help = "with --save-strategy steps: save a checkpoint every N steps; 0 saves only at the end",
     AT(save_steps)},
    {.kind = FLAG_U32,
     .name = "save-total-limit",
     .value = "N",
     .help = "maximum number of checkpoints to keep",
     .range = AT_LEAST(1),
     AT(save_total_limit)},
    {.kind = FLAG_TEXT,
     .name = "resume-from-checkpoint",
     .value = "PATH|auto",
     .bare = "auto",
     .help = "resume a stopped run with bit-identical results; auto means its newest checkpoint",
     AT(resume_from_checkpoint)},
    {.kind = FLAG_SWITCH,
     .name = "allow-changes",
     .help = "resume although model, data or settings differ from those of the checkpoint; says what changed",
     AT(allow_changes)},
    {.kind = FLAG_CHOICE,
     .name = "logging-strategy",
     .value = "WHEN",
     .help = "log every --logging-steps steps or at the end of each epoch, and after the last step; or never",
     .choices = when_choices,
     AT(logging_strategy)},
    {.kind = FLAG_U32,
     .name = "logging-steps",
     .value = "N",
     .help = "with --logging-strategy steps: log every N steps",
     .range = AT_LEAST(1),
     AT(logging_steps)},
    {.kind = FLAG_TEXT,
     .name = "logging-dir",
     .value = "DIR",
     .help = "directory for TensorBoard's events; without it --report-to tensorboard writes OUTPUT_DIR/runs",
     .default_text = "",
     AT(logging_dir)},
    {.kind = FLAG_CHOICE,
     .name = "report-to",
     .value = "NAME",
     .help = "who gets the numbers of the log, besides trainer_log.jsonl",
     .choices = report_choices,
     .default_text = "tensorboard with --logging-dir, else none",
     GIVEN(report_explicit),
     AT(report_to)},
    {.kind = FLAG_U32,
     .name = "watch",
     .value = "PORT",
     .help = "serve the page of vkft watch while the run goes on, on 127.0.0.1 alone; without PORT on one that is free",
     .range = BETWEEN(0, 65535),
     .bare = "0",
     .default_text = "off",
     GIVEN(watch),
     AT(watch_port)},
    {.kind = FLAG_SWITCH, .name = "profile", .help = "measure kernel times and print them at the end", AT(profile)},
    {.kind = FLAG_SWITCH, .name = "dry-run", .help = "print the memory plan and train nothing", AT(dry_run)},
    {.kind = FLAG_SWITCH,
     .name = "print-config",
     .help = "print the settings of this run as a recipe for -c, defaults included, and train nothing",
     AT(print_config)},
    {.kind = FLAG_SWITCH,
     .name = "json",
     .help = "print the summary (or the memory plan) as a JSON object on standard output",
     AT(json)},
};

_Static_assert(FLAG_COUNT(train_flags) <= FLAGS_MAX, "raise FLAGS_MAX");

static const flag_table train_table = {
    .command = "train",
    .usage = "--model PATH --data PATH [flags]",
    .about = "Trains a LoRA adapter on a model's frozen weights (4-bit by default) and writes it in PEFT's format;\n"
             "or trains all weights.\n"
             "Ctrl-C saves a checkpoint and stops; --resume-from-checkpoint continues from it.",
    .flags = train_flags,
    .count = FLAG_COUNT(train_flags),
    .spellings = cli_spellings,
    .idle = train_idle,
};

static int plan_run(const vkft_train_options *run, const vkft_train_observer *observer, progress *display,
                    vkft_err *err)
{
    vkft_train_plan plan;
    bool ok = vkft_train_plan_make(run, observer, &plan, err);
    progress_close(display);
    return ok ? train_print_plan(&plan, run->json) : cli_fail(&train_table, err);
}

/* The numbers of an adapter that is trained on are its own: of the flags for a new one only those are shown that were
 * given. */
static vkft_train_options shown_options(const vkft_train_options *run)
{
    vkft_train_options shown = *run;
    if (!run->init_adapter)
        memset(&shown.lora_given, true, sizeof shown.lora_given);
    return shown;
}

static void print_settings(const vkft_train_options *run)
{
    const vkft_train_options shown = shown_options(run);
    flags_print_settings(&train_table, &shown, stderr);
}

/* The recipe of the very run; what only asks for a plan or for this is no part of it. */
static int print_recipe(const vkft_train_options *run)
{
    static const char *const without[] = {"dry-run", "print-config", NULL};
    const vkft_train_options shown = shown_options(run);
    vkft_err err = {0};
    printf("# The settings of a run, written by vkft %s: vkft train -c FILE\n", cli_get_build().version);
    return flags_print_recipe(&train_table, &shown, without, stdout, &err) ? EXIT_SUCCESS
                                                                           : cli_fail(&train_table, &err);
}

static int train(const vkft_train_options *run, const vkft_train_observer *observer, progress *display, vkft_err *err)
{
    vkft_train_result result;
    const vkft_watch watch = {.run = run->output_dir, .before_it_begins = true};
    vkft_watch_server *server = run->watch ? vkft_watch_start(&watch, (uint16_t)run->watch_port, err) : NULL;
    if (server)
        fprintf(stderr, "watch this run: %s\n", vkft_watch_server_address(server));
    bool ok = (server || !run->watch) && vkft_train(run, observer, &result, err);
    vkft_watch_server_stop(server);
    progress_close(display);
    return ok ? train_print_summary(run, &result) : cli_fail(&train_table, err);
}

int cmd_train(int argc, char **argv)
{
    vkft_train_options options = vkft_train_defaults();
    vkft_recipe recipe = {0};
    int code;
    interrupt_outlive_readers(); /* before anything is said */
    if (!cli_flags(&train_table, &options, argc, argv, &recipe, &code))
        return code;
    if (options.logging_dir && !options.report_explicit)
        options.report_to = VKFT_REPORT_TENSORBOARD;
    const vkft_train_options *run = &options;
    vkft_err err = {0};
    if (!run->data.path && !run->dry_run) {
        vkft_fail(&err, VKFT_ERR_USAGE, "--data is missing; usage: vkft train --model PATH --data PATH [flags]");
        recipe_free(&recipe);
        return cli_fail(&train_table, &err);
    }
    if (run->print_config) {
        code = print_recipe(run);
        recipe_free(&recipe);
        return code;
    }
    if (!flags_settings(&train_table, &options, &options.settings, &err)) {
        recipe_free(&recipe);
        return cli_fail(&train_table, &err);
    }
    if (!run->dry_run)
        print_settings(run);
    interrupt_install();
    progress display = progress_new(&train_table);
    vkft_train_observer observer = {.general = progress_observer(&display), .step = progress_step};
    code = (run->dry_run ? plan_run : train)(run, &observer, &display, &err);
    flags_settings_free(&options.settings);
    recipe_free(&recipe);
    return code;
}
