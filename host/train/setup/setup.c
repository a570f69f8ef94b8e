/* Opening a run, in the order of vkft_trainer_open, up to its first step. See trainer.h. */
#include "host/train/setup/setup_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/train/evaluation/samples.h"
#include "host/train/schedule.h"
#include "host/train/setup/shared_data.h"
#include "runtime/base/size.h"

static bool batch_limits(const vkft_trainer *t, vkft_batch_limits *limits, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    if (!o->data.path) { /* a dry run without data: as large as the flags allow */
        uint32_t longest = o->data.max_seq_length, max_position = t->session.config->max_position;
        if (t->session.model.positions.rows && longest > max_position)
            longest = max_position;
        bool pairs = vkft_objective_of(o->data.objective)->preferences == VKFT_PREFERENCES_PAIRS;
        uint64_t tokens = (pairs ? 2ull : 1ull) * max_u32(o->batch_size, vkft_eval_batch_size(o)) * longest;
        uint32_t all = tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)tokens;
        bool source = t->session.config->encoder_layers != 0;
        *limits =
            (vkft_batch_limits){.tokens = all, .source_tokens = source ? all : 0, .rows = all, .positions = longest};
        vkft_batch_limits_join(limits, &t->portion.least);
        return true;
    }
    return vkft_portion_limits(&t->portion, limits, err);
}

static void schedule(vkft_trainer *t)
{
    const vkft_train_options *o = t->options;
    uint32_t accumulation = o->gradient_accumulation_steps;
    t->micro_per_epoch = ceil_div(t->train.packs, o->batch_size);
    t->steps_per_epoch = ceil_div_u64(t->micro_per_epoch, accumulation);
    t->total_steps =
        o->max_steps > 0 ? (uint64_t)o->max_steps : (uint64_t)ceil(o->num_train_epochs * (double)t->steps_per_epoch);
    t->schedule.warmup = vkft_warmup_steps(o->warmup_steps, t->total_steps);
    t->schedule.total = t->total_steps;
    t->order_epoch = UINT64_MAX;
}

static bool read_optimizer(const vkft_train_options *o, vkft_optimizer_options *optimizer, vkft_err *err)
{
    bool plus = o->loraplus_lr_ratio != 1;
    *optimizer = (vkft_optimizer_options){
        .type = o->optim,
        .weight_decay = o->weight_decay,
        .beta1 = o->adam_beta1,
        .beta2 = o->adam_beta2,
        .epsilon = o->adam_epsilon,
        .max_grad_norm = o->max_grad_norm,
        .loraplus_lr_ratio = plus ? o->loraplus_lr_ratio : 0,
        .loraplus_embedding_ratio = plus && o->learning_rate > 0 ? o->loraplus_lr_embedding / o->learning_rate : 0,
        .bf16_copy = o->param_dtype == VKFT_BF16,
        .bf16_only = o->bf16_stochastic_round,
        .seed = o->seed};
    return vkft_optimizer_parse_args(optimizer, o->optim_args, err);
}

static bool read_schedule(vkft_trainer *t, vkft_err *err)
{
    t->schedule = (vkft_schedule){.type = t->options->lr_scheduler_type, .rate = t->options->learning_rate};
    return vkft_schedule_parse_args(&t->schedule, t->options->lr_scheduler_kwargs, err);
}

/* Host copies of the optimizer's state. */
static bool allocate_state_copies(vkft_trainer *t, vkft_err *err)
{
    const vkft_optimizer_kind *kind = vkft_optimizer_kind_of(t->options->optim);
    bool ok = true;
    for (uint32_t i = 0; ok && !t->options->dry_run && i < vkft_optimizer_states(kind); i++)
        ok = (t->state_copy[i] = malloc(vkft_optimizer_state_bytes(kind, i, &t->learner.tensors))) != NULL;
    return ok || vkft_fail_memory(err, "for the optimizer's state");
}

/* A preference objective needs log-probabilities as they are. */
static bool check_loss(const vkft_train_options *o, vkft_err *err)
{
    const vkft_objective *objective = vkft_objective_of(o->data.objective);
    const char *flag = o->label_smoothing_factor > 0 ? "--label-smoothing-factor"
                       : o->z_loss_multiplier > 0    ? "--z-loss-multiplier"
                       : o->neftune_noise_alpha > 0  ? "--neftune-noise-alpha"
                                                     : NULL;
    return !flag || !objective->judge ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%s is for --objective sft; %s compares log-probabilities of answers as they are; leave it out%s",
                     flag, objective->name, o->label_smoothing_factor > 0 ? ", or see --label-smoothing" : "");
}

static bool check_options(const vkft_train_options *o, vkft_err *err)
{
    const vkft_objective_options *p = &o->objective;
    vkft_objective_type objective = o->data.objective;
    if (vkft_objective_of(objective)->preferences != VKFT_PREFERENCES_NONE && o->data.packing)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--packing: answers are compared one by one with --objective %s; leave it out",
                         vkft_objective_of(objective)->name);
    if (!check_loss(o, err))
        return false;
    if (vkft_objective_of(objective)->mismatches && o->data.path && o->batch_size < 2)
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "--batch-size 1 with --objective kto: each answer is compared with those of its batch under other "
            "prompts; give --batch-size 2 or more");
    if (objective == VKFT_OBJECTIVE_dpo && p->loss_type == VKFT_DPO_exo_pair && p->label_smoothing == 0)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--loss-type exo_pair needs --label-smoothing above 0; its paper recommends 1e-3");
    if (o->replay > 0 && vkft_objective_of(objective)->judge)
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "--replay mixes text into supervised fine-tuning, and --objective %s compares answers; leave it "
            "out",
            vkft_objective_of(objective)->name);
    if ((o->replay > 0 || o->max_retain_loss_increase > 0) && !o->retain_data)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s is about --retain-data, which is not given",
                         o->replay > 0 ? "--replay" : "--max-retain-loss-increase");
    if (o->metrics && vkft_objective_of(objective)->judge)
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "--metrics compares answers with those in the data, and --objective %s has two for each prompt; "
            "leave it out, or see how vkft eval --metrics does on other data afterwards",
            vkft_objective_of(objective)->name);
    if (o->early_stopping_patience && o->eval_strategy == VKFT_WHEN_NEVER)
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "--early-stopping-patience counts evaluations, and --eval-strategy no makes none; use steps or "
            "epoch");
    return true;
}

static bool check_task(const vkft_train_options *o, const vkft_config *config, vkft_err *err)
{
    vkft_task task = config->encoder_layers ? VKFT_TASK_SEQ_2_SEQ_LM : VKFT_TASK_CAUSAL_LM;
    if (o->task_type == VKFT_TASK_ANY || o->task_type == task)
        return true;
    const char *names[] = {[VKFT_TASK_CAUSAL_LM] = "CAUSAL_LM", [VKFT_TASK_SEQ_2_SEQ_LM] = "SEQ_2_SEQ_LM"};
    return vkft_fail(err, VKFT_ERR_INPUT, "--task-type %s: %s is a model of %s; use another --model, or leave it out",
                     names[o->task_type], o->model.path, names[task]);
}

static bool check_noise(const vkft_train_options *o, const vkft_config *config, vkft_err *err)
{
    return o->neftune_noise_alpha == 0 || !config->encoder_layers ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "--neftune-noise-alpha: %s has an encoder and a decoder, for which noise on embeddings is not "
                     "defined (transformers adds none, either); leave it out",
                     o->model.path);
}

/* Settings that would do nothing. */
static bool check_effects(const vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    double rate = 0;
    if (!o->data.path)
        return true;
    if (o->early_stopping_patience && !t->valid.count)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--early-stopping-patience looks at the validation loss, and this run has none; give a valid "
                         "file beside the train file, or --val-split, or leave it out");
    if ((o->sample_prompts || o->metrics || o->retain_data) && o->eval_strategy != VKFT_WHEN_NEVER && !t->valid.count)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s at evaluations, and this run has no validation data; give a valid file beside the train "
                         "file, or --val-split",
                         o->sample_prompts ? "--sample-prompts are answered"
                         : o->metrics      ? "--metrics compares answers"
                                           : "--retain-data is measured");
    for (uint64_t step = 0; step < t->total_steps && step <= t->schedule.warmup && rate == 0; step++)
        rate = vkft_learning_rate(&t->schedule, step);
    if (t->total_steps && rate == 0)
        vkft_observer_say(
            t->observer,
            "warning: the learning rate is 0 in all of the %llu steps, which change nothing: they are all "
            "warmup; lower --warmup-steps",
            (unsigned long long)t->total_steps);
    return true;
}

/* What is generated at evaluations, and the memory for it. */
static bool open_answers(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    uint32_t metrics;
    if (!vkft_task_parse(o->metrics, &metrics, err))
        return false;
    bool compares = metrics && t->valid.count,
         generates = o->sample_prompts || (compares && vkft_task_generates(metrics));
    if (!(o->sample_prompts || compares) || !t->session.file) /* of a configuration alone nothing can be tokenized */
        return true;
    bool ok = (!generates || vkft_answers_open(&t->answerer, &t->session, o->max_new_tokens, t->observer, err)) &&
              (!o->sample_prompts || vkft_samples_open(t, err)) &&
              (!compares || vkft_task_open(&t->task, &t->session, &t->answerer, &t->valid, metrics, o->metric_samples,
                                           vkft_eval_batch_size(o), t->observer, err));
    t->task.portion = &t->portion;
    t->portion.least = t->answerer.limits;
    t->portion.use[5].split = t->task.choices.all.count ? &t->task.choices.all : NULL;
    t->portion.use[5].batch_size = vkft_eval_batch_size(o);
    return ok;
}

/* What Muon trains, and what AdamW trains beside it. */
static void say_muon(const vkft_trainer *t)
{
    const vkft_parameter_tensors *tensors = &t->learner.tensors;
    unsigned long long parameters[2] = {0};
    uint32_t count[2] = {0};
    for (uint32_t i = 0; i < tensors->count; i++) {
        const vkft_parameter_tensor *tensor = &tensors->list[i];
        count[tensor->hidden]++;
        parameters[tensor->hidden] += (uint64_t)tensor->rows * tensor->cols;
    }
    vkft_observer_say(t->observer,
                      "muon trains the %u matrices of blocks, %llu parameters; adamw trains the other %u tensors, "
                      "embeddings, output head, norms and biases, %llu parameters",
                      count[true], parameters[true], count[false], parameters[false]);
}

/* What a step and an evaluation hold at a time: whole batches, until memory is short. */
static void open_portion(vkft_trainer *t)
{
    const vkft_train_options *options = t->options;
    t->portion =
        vkft_portion_whole(&t->train, options->batch_size, &t->valid, vkft_eval_batch_size(options), t->observer);
    t->portion.use[4].split = t->retain.count ? &t->retain : NULL;
    t->portion.use[4].batch_size = vkft_eval_batch_size(options);
    for (int i = 0; i < 2 && t->objective->mismatches; i++) {
        t->portion.use[2 + i].split = &t->mismatched[i].packs;
        t->portion.use[2 + i].batch_size = t->portion.use[i].batch_size;
    }
    t->portion.dropout = (options->lora_dropout > 0 && t->objective->preferences == VKFT_PREFERENCES_NONE) ||
                         options->neftune_noise_alpha > 0;
    t->session.smaller = vkft_portion_halve;
    t->session.smaller_context = &t->portion;
}

static bool allocate(vkft_trainer *t, vkft_err *err)
{
    t->order = malloc((t->train.packs + 1ull) * sizeof *t->order);
    const uint64_t max_samples = max_u32(t->train.count, t->valid.count) + 1ull;
    bool judged = t->objective->judge != NULL;
    t->samples = malloc(max_samples * sizeof *t->samples);
    t->answers = judged ? malloc(2 * max_samples * sizeof *t->answers) : NULL;
    t->state.history = cJSON_CreateArray();
    t->state.wall_times = cJSON_CreateArray();
    return (t->order && t->samples && (t->answers || !judged) && t->state.history && t->state.wall_times) ||
           vkft_fail_memory(err, "while preparing the run");
}

bool vkft_trainer_open(vkft_trainer *t, const vkft_train_options *options, const vkft_train_observer *observer,
                       vkft_err *err)
{
    memset(t, 0, sizeof *t);
    t->options = options;
    t->world = &vkft_world_alone;
    t->observer = &observer->general;
    t->step = observer->step;
    t->objective = vkft_objective_of(options->data.objective);
    t->state.best_metric = NAN;
    t->overfit_step = -1;
    t->saved_step = t->sound_step = UINT64_MAX;
    bool full = options->fine_tune_type == VKFT_TRAINABLE_ALL_WEIGHTS;
    vkft_session_source source = {.model = options->model,
                                  .only_config = options->dry_run && !options->data.path,
                                  .trained = options->fine_tune_type,
                                  .base = options->base};
    if (full && !options->model.quant_explicit) {
        source.model.quant = VKFT_STORAGE_none;
        source.model.quant_settled = true;
    }
    vkft_optimizer_options optimizer;
    if (!check_options(options, err) || !vkft_best_choose(options, &t->best, err) ||
        !read_optimizer(options, &optimizer, err) || !read_schedule(t, err) ||
        !vkft_session_open(&t->session, &source, t->observer, err) || !check_task(options, t->session.config, err) ||
        !check_noise(options, t->session.config, err))
        return false;
    memcpy(t->state.best_key, t->best.key, sizeof t->best.key);
    t->session.seed = options->seed;
    t->session.profile = options->profile;
    vkft_limits limits = {.checkpointing =
                              options->gradient_checkpointing ? VKFT_CHECKPOINTING_DEVICE : VKFT_CHECKPOINTING_OFF};
    if (!(options->data.path ? vkft_setup_data(t, err) : true))
        return false;
    open_portion(t);
    if (!open_answers(t, err) || !vkft_setup_trained(t, err) ||
        !vkft_learner_open(&t->learner, &t->session, &optimizer, t->flat, err))
        return false;
    if (options->optim == VKFT_OPTIMIZER_muon)
        say_muon(t);
    t->learner.loss = (vkft_loss_changes){.label_smoothing = options->label_smoothing_factor,
                                          .z_loss = options->z_loss_multiplier,
                                          .noise = options->neftune_noise_alpha};
    if (!allocate_state_copies(t, err) || !batch_limits(t, &limits.batch, err) ||
        !vkft_session_plan_offload(&t->session, &limits, &t->plan, t->observer, err))
        return false;
    schedule(t);
    if (!check_effects(t, err))
        return false;
    return allocate(t, err);
}

/* Frees the data, or leaves them for the next run. */
static void close_data(vkft_trainer *t)
{
    vkft_dataset *const parts[] = {
        [VKFT_SHARED_TRAIN] = &t->data, [VKFT_SHARED_VALID] = &t->valid_data, [VKFT_SHARED_RETAINED] = &t->retain_data};
    for (int part = 0; part < VKFT_SHARED_PARTS; part++) {
        if (t->options->shared_data)
            vkft_shared_data_leave(t->options->shared_data, (vkft_shared_part)part, parts[part]);
        vkft_dataset_free(parts[part]);
    }
}

void vkft_trainer_close(vkft_trainer *t)
{
    vkft_run_directory_close(&t->run);
    vkft_tensorboard_close(t->board);
    cJSON_Delete(t->state.history);
    cJSON_Delete(t->state.wall_times);
    cJSON_Delete(t->fingerprint);
    free(t->order);
    free(t->answers);
    vkft_mismatched_free(&t->mismatched[0]);
    vkft_mismatched_free(&t->mismatched[1]);
    free(t->samples);
    free(t->resumed_from);
    free(t->flat);
    for (uint32_t i = 0; i < VKFT_OPTIMIZER_STATES; i++)
        free(t->state_copy[i]);
    vkft_sample_packs_free(&t->train);
    vkft_sample_packs_free(&t->valid);
    vkft_sample_packs_free(&t->retain);
    close_data(t);
    vkft_samples_close(t);
    vkft_task_close(&t->task);
    vkft_answers_close(&t->answerer);
    vkft_learner_close(&t->learner);
    vkft_session_close(&t->session);
    memset(t, 0, sizeof *t);
}
