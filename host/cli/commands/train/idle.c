/* Flags of vkft train that do nothing where others have some values; they are said, once, when they are given. What
 * depends on the data or the model is said by the run (host/train/setup/). */
#include "host/cli/commands/train/idle.h"
#include "host/train/options.h"

#define WHERE(name, condition)                                                                                         \
    static bool name(const void *options)                                                                              \
    {                                                                                                                  \
        const vkft_train_options *o = options;                                                                         \
        return (condition);                                                                                            \
    }

static bool is_kind(const vkft_train_options *o, vkft_optimizer_type type)
{
    return vkft_optimizer_kind_of(o->optim) == vkft_optimizer_kind_of(type);
}

WHERE(trains_all_weights, o->fine_tune_type == VKFT_TRAINABLE_ALL_WEIGHTS)
WHERE(has_no_loraplus, o->loraplus_lr_ratio == 1 && !trains_all_weights(o))
WHERE(has_no_rank, o->peft_type == VKFT_PEFT_IA3 && !trains_all_weights(o))
WHERE(has_no_lora, o->peft_type != VKFT_PEFT_LORA && !trains_all_weights(o))
WHERE(has_no_ia3, o->peft_type != VKFT_PEFT_IA3 && !o->init_adapter)
WHERE(has_no_new_vera, o->peft_type != VKFT_PEFT_VERA || o->init_adapter)
WHERE(has_steps, o->max_steps > 0)
WHERE(has_no_warmup, o->lr_scheduler_type == VKFT_SCHEDULE_constant && o->warmup_steps > 0)
WHERE(has_no_moments, is_kind(o, VKFT_OPTIMIZER_sgd))
WHERE(is_adafactor, is_kind(o, VKFT_OPTIMIZER_adafactor))
WHERE(has_no_denominator,
      has_no_moments(o) || is_adafactor(o) || is_kind(o, VKFT_OPTIMIZER_lion) || is_kind(o, VKFT_OPTIMIZER_lion_8bit))
static bool judges(const vkft_train_options *o)
{
    return vkft_objective_of(o->data.objective)->preferences != VKFT_PREFERENCES_NONE;
}

WHERE(has_preferences, judges(o))
WHERE(has_no_preferences, !judges(o))
WHERE(is_not_dpo, o->data.objective != VKFT_OBJECTIVE_dpo)
WHERE(is_not_simpo, o->data.objective != VKFT_OBJECTIVE_simpo)
WHERE(is_not_kto, o->data.objective != VKFT_OBJECTIVE_kto)
WHERE(is_not_smoothed, !(o->data.objective == VKFT_OBJECTIVE_simpo ||
                         (o->data.objective == VKFT_OBJECTIVE_dpo &&
                          (o->objective.loss_type == VKFT_DPO_sigmoid || o->objective.loss_type == VKFT_DPO_robust ||
                           o->objective.loss_type == VKFT_DPO_exo_pair))))
WHERE(trains_on_all, o->data.mask_history && !o->data.mask_prompt)
WHERE(never_evaluates, o->eval_strategy == VKFT_WHEN_NEVER)
WHERE(generates_nothing, !o->sample_prompts && !o->metrics)
WHERE(has_no_metrics, !o->metrics)
WHERE(has_no_patience, !o->early_stopping_patience)
WHERE(has_no_best, o->eval_strategy == VKFT_WHEN_NEVER && o->load_best_model_at_end)
WHERE(evaluates_otherwise, o->eval_strategy != VKFT_WHEN_STEPS)
WHERE(saves_otherwise, o->save_strategy != VKFT_WHEN_STEPS)
WHERE(logs_otherwise, o->logging_strategy != VKFT_WHEN_STEPS)
WHERE(reports_to_none, o->report_explicit && o->report_to == VKFT_REPORT_NONE)
WHERE(does_not_resume, o->allow_changes && !o->resume_from_checkpoint)
WHERE(has_no_super_scales, cli_has_no_super_scales(&o->model))

const flag_idle train_idle[] = {
    {"lora-r", trains_all_weights, "with --fine-tune-type full"},
    {"lora-alpha", trains_all_weights, "with --fine-tune-type full"},
    {"lora-dropout", trains_all_weights, "with --fine-tune-type full"},
    {"use-rslora", trains_all_weights, "with --fine-tune-type full"},
    {"modules-to-save", trains_all_weights, "with --fine-tune-type full"},
    {"trainable-token-indices", trains_all_weights, "with --fine-tune-type full"},
    {"lora-bias", trains_all_weights, "with --fine-tune-type full"},
    {"bias", trains_all_weights, "with --fine-tune-type full"},
    {"use-dora", trains_all_weights, "with --fine-tune-type full"},
    {"init-lora-weights", trains_all_weights, "with --fine-tune-type full"},
    {"lora-target-modules", trains_all_weights, "with --fine-tune-type full"},
    {"loraplus-lr-ratio", trains_all_weights, "with --fine-tune-type full"},
    {"loraplus-lr-embedding", trains_all_weights, "with --fine-tune-type full"},
    {"exclude-modules", trains_all_weights, "with --fine-tune-type full"},
    {"layers-to-transform", trains_all_weights, "with --fine-tune-type full"},
    {"layers-pattern", trains_all_weights, "with --fine-tune-type full"},
    {"rank-pattern", trains_all_weights, "with --fine-tune-type full"},
    {"alpha-pattern", trains_all_weights, "with --fine-tune-type full"},
    {"peft-type", trains_all_weights, "with --fine-tune-type full"},
    {"lora-r", has_no_rank, "with --peft-type ia3"},
    {"lora-alpha", has_no_lora, "with this --peft-type"},
    {"lora-dropout", has_no_rank, "with --peft-type ia3"},
    {"use-rslora", has_no_lora, "with this --peft-type"},
    {"use-dora", has_no_lora, "with this --peft-type"},
    {"lora-bias", has_no_lora, "with this --peft-type"},
    {"bias", has_no_rank, "with --peft-type ia3"},
    {"init-lora-weights", has_no_lora, "with this --peft-type"},
    {"rank-pattern", has_no_lora, "with this --peft-type"},
    {"alpha-pattern", has_no_lora, "with this --peft-type"},
    {"loraplus-lr-ratio", has_no_rank, "with --peft-type ia3"},
    {"loraplus-lr-embedding", has_no_loraplus, "without --loraplus-lr-ratio"},
    {"feedforward-modules", has_no_ia3, "without --peft-type ia3"},
    {"projection-prng-key", has_no_new_vera, "without a new adapter of --peft-type vera"},
    {"save-projection", has_no_new_vera, "without a new adapter of --peft-type vera"},
    {"d-initial", has_no_new_vera, "without a new adapter of --peft-type vera"},
    {"double-quant", has_no_super_scales, "without --quant nf4"},
    {"num-train-epochs", has_steps, "with --max-steps"},
    {"warmup-steps", has_no_warmup, "with --lr-scheduler-type constant; constant_with_warmup has one"},
    {"adam-beta1", has_no_moments, "with --optim sgd; its momentum is in --optim-args"},
    {"adam-beta2", has_no_moments, "with --optim sgd"},
    {"adam-beta1", is_adafactor, "with --optim adafactor"},
    {"adam-beta2", is_adafactor, "with --optim adafactor"},
    {"adam-epsilon", has_no_denominator, "with this --optim"},
    {"lora-dropout", has_preferences, "with this --objective, which trains without dropout"},
    {"beta", has_no_preferences, "with --objective sft"},
    {"loss-type", is_not_dpo, "without --objective dpo"},
    {"label-smoothing", is_not_smoothed, "with this --objective and --loss-type"},
    {"reference-free", is_not_dpo, "without --objective dpo"},
    {"ld-alpha", is_not_dpo, "without --objective dpo"},
    {"simpo-gamma", is_not_simpo, "without --objective simpo"},
    {"desirable-weight", is_not_kto, "without --objective kto"},
    {"undesirable-weight", is_not_kto, "without --objective kto"},
    {"mask-prompt", has_preferences, "with this --objective, which compares answers"},
    {"mask-history", trains_on_all, "with --no-mask-prompt"},
    {"val-split", never_evaluates, "on evaluations with --eval-strategy no"},
    {"eval-steps", evaluates_otherwise, "without --eval-strategy steps"},
    {"eval-batch-size", never_evaluates, "with --eval-strategy no"},
    {"eval-batches", never_evaluates, "with --eval-strategy no"},
    {"load-best-model-at-end", has_no_best, "with --eval-strategy no"},
    {"sample-prompts", never_evaluates, "with --eval-strategy no"},
    {"metrics", never_evaluates, "with --eval-strategy no"},
    {"retain-data", never_evaluates, "on evaluations with --eval-strategy no"},
    {"max-retain-loss-increase", never_evaluates, "with --eval-strategy no"},
    {"metric-samples", has_no_metrics, "without --metrics"},
    {"max-new-tokens", generates_nothing, "without --sample-prompts or --metrics"},
    {"early-stopping-threshold", has_no_patience, "without --early-stopping-patience"},
    {"metric-for-best-model", never_evaluates, "with --eval-strategy no"},
    {"greater-is-better", never_evaluates, "with --eval-strategy no"},
    {"save-steps", saves_otherwise, "without --save-strategy steps"},
    {"logging-steps", logs_otherwise, "without --logging-strategy steps"},
    {"logging-dir", reports_to_none, "with --report-to none"},
    {"allow-changes", does_not_resume, "without --resume-from-checkpoint"},
    {0},
};
