/* Everything before the first step: options that this version has, model, data, adapter, plan, schedule. */
#include "host/train/train.h"
#include "host/train/trainer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/train/training_data.h"
#include "runtime/base/random.h"
#include "host/train/schedule.h"
#include "runtime/base/size.h"

static bool take_samples(const vkft_trainer *t, vkft_sample_packs *split, const vkft_dataset *data,
                         const uint32_t *index, uint32_t count, vkft_err *err)
{
    const vkft_data_options *o = &t->options->data;
    if (!vkft_sample_packs_new(split, data, index, count, o->packing ? o->max_seq_length : 0, err))
        return false;
    if (o->packing)
        vkft_observer_say(t->observer, "packing: %u samples in %u packs of at most %u tokens", split->count,
                          split->packs, o->max_seq_length);
    return true;
}

static int by_index(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

/* Holds out a random part of the rows; both parts stay in file order. */
static bool hold_out(vkft_trainer *t, vkft_err *err)
{
    uint32_t n = t->data.count, held = (uint32_t)ceil(t->options->val_split * n);
    if (held == 0 || held >= n)
        return vkft_fail(err, VKFT_ERR_INPUT, "--val-split %g of %u samples leaves nothing to %s",
                         t->options->val_split, n, held ? "train on" : "validate on");
    uint32_t *order = malloc(n * sizeof *order);
    if (!order)
        return vkft_fail_memory(err, "while splitting the data");
    vkft_random_permutation(t->options->seed, VKFT_STREAM_SPLIT, order, n);
    qsort(order, held, sizeof *order, by_index);
    qsort(order + held, n - held, sizeof *order, by_index);
    bool ok = take_samples(t, &t->valid, &t->data, order, held, err) &&
              take_samples(t, &t->train, &t->data, order + held, n - held, err);
    free(order);
    return ok;
}

static bool open_data(vkft_trainer *t, vkft_err *err)
{
    const vkft_session *r = &t->session;
    const vkft_data_options *o = &t->options->data;
    bool found, has_valid;
    if (!vkft_data_open(o, "train", &r->text, r->config, t->observer, &t->data, &found, err) ||
        !vkft_data_open(o, "valid", &r->text, r->config, t->observer, &t->valid_data, &has_valid, err))
        return false;
    if (!has_valid && t->options->val_split > 0)
        return hold_out(t, err);
    return take_samples(t, &t->train, &t->data, NULL, t->data.count, err) &&
           (!has_valid || take_samples(t, &t->valid, &t->valid_data, NULL, t->valid_data.count, err));
}

/* The modules of the adapter, new or that of --init-adapter, whose parameters go to *init. */
static bool choose_adapter(vkft_trainer *t, vkft_adapter *init, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_session *r = &t->session;
    if (o->init_adapter)
        return vkft_adapter_read(o->init_adapter, vkft_adapter_formats(), init, err) &&
               vkft_adapter_set_choose_from(&r->trained.adapters, &r->model, init, err);
    const vkft_adapter_config config = {
        .r = o->lora_r, .lora_alpha = o->lora_alpha, .lora_dropout = o->lora_dropout, .use_rslora = o->use_rslora};
    return vkft_adapter_set_choose(&r->trained.adapters, &r->model, &vkft_method_lora, o->lora_target_modules, &config,
                                   err);
}

/* Host copies of what is trained and of the optimizer's state. */
static bool allocate_copies(vkft_trainer *t, vkft_err *err)
{
    const vkft_optimizer_kind *optimizer = vkft_optimizer_kind_of(t->options->optim);
    uint64_t floats = vkft_trainables_floats(&t->session.trained);
    bool ok = (t->flat = malloc(floats * sizeof *t->flat)) != NULL;
    for (uint32_t i = 0; ok && i < vkft_optimizer_states(optimizer); i++)
        ok = (t->state_copy[i] = malloc(vkft_optimizer_state_bytes(optimizer, i, floats))) != NULL;
    return ok || vkft_fail_memory(err, "for what is trained");
}

/* What is trained, and its initial values in t->flat. */
static bool choose_trained(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_session *r = &t->session;
    vkft_adapter init = {0};
    bool full = o->fine_tune_type == VKFT_TRAINABLE_ALL_WEIGHTS;
    if (full && o->init_adapter)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--init-adapter continues an adapter, and --fine-tune-type full trains none");
    bool ok = full ? vkft_all_weights_layout(&r->trained.all_weights, &r->model, VKFT_PARAMETER_SPACE_FLOATS, err)
                   : choose_adapter(t, &init, err);
    if (ok && !o->dry_run && (ok = allocate_copies(t, err))) {
        if (full)
            ok = vkft_all_weights_init(&r->trained.all_weights, r->file, t->flat, err);
        else if (o->init_adapter)
            ok = vkft_adapter_set_import(&r->trained.adapters, &init, t->flat, err);
        else
            vkft_adapter_set_init(&r->trained.adapters, o->seed, t->flat);
    }
    vkft_adapter_free(&init);
    return ok;
}

static bool batch_limits(const vkft_trainer *t, vkft_batch_limits *limits, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    if (!o->data.path) { /* a dry run without data: as large as the flags allow */
        uint32_t longest = o->data.max_seq_length, max_position = t->session.config->max_position;
        if (t->session.model.positions.rows && longest > max_position)
            longest = max_position;
        uint64_t tokens = (uint64_t)o->batch_size * longest;
        uint32_t all = tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)tokens;
        bool source = t->session.config->encoder_layers != 0;
        *limits =
            (vkft_batch_limits){.tokens = all, .source_tokens = source ? all : 0, .rows = all, .positions = longest};
        return true;
    }
    vkft_batch_limits a, b;
    if (!vkft_sample_packs_limits(&t->train, o->batch_size, &a, err) ||
        !vkft_sample_packs_limits(&t->valid, o->batch_size, &b, err))
        return false;
    *limits = (vkft_batch_limits){.tokens = max_u32(a.tokens, b.tokens),
                                  .source_tokens = max_u32(a.source_tokens, b.source_tokens),
                                  .rows = max_u32(a.rows, b.rows),
                                  .positions = max_u32(a.positions, b.positions)};
    return true;
}

static void schedule(vkft_trainer *t)
{
    const vkft_train_options *o = t->options;
    uint32_t accumulation = o->gradient_accumulation_steps;
    t->micro_per_epoch = ceil_div(t->train.packs, o->batch_size);
    t->steps_per_epoch = ceil_div_u64(t->micro_per_epoch, accumulation);
    t->total_steps =
        o->max_steps > 0 ? (uint64_t)o->max_steps : (uint64_t)ceil(o->num_train_epochs * (double)t->steps_per_epoch);
    t->warmup_steps = vkft_warmup_steps(o->warmup_steps, t->total_steps);
    t->order_epoch = UINT64_MAX;
}

/* What a resumed run must agree on for its steps to be the same: what was measured, and the flags whose rows say so. */
static cJSON *make_fingerprint(const vkft_trainer *t)
{
    const vkft_settings *settings = &t->options->settings;
    const char *compute = t->options->model.compute_dtype == VKFT_BF16 ? "bf16" : "fp32"; /* what "auto" stands for */
    cJSON *f = cJSON_CreateObject();
    for (uint32_t i = 0; i < settings->count; i++) {
        char name[64];
        snprintf(name, sizeof name, "--%s", settings->list[i].name);
        if (settings->list[i].same_run)
            cJSON_AddStringToObject(f, name, strcmp(name, "--compute-dtype") == 0 ? compute : settings->list[i].value);
    }
    cJSON_AddNumberToObject(f, "layers", t->session.config->num_layers);
    cJSON_AddNumberToObject(f, "hidden size", t->session.config->hidden_size);
    cJSON_AddNumberToObject(f, "frozen weight bytes", (double)t->session.model.device_bytes);
    cJSON_AddNumberToObject(f, "training samples", t->train.count);
    cJSON_AddNumberToObject(f, "data tokens", (double)t->data.tokens);
    cJSON_AddNumberToObject(f, "trained parameters", (double)vkft_trainables_parameters(&t->session.trained));
    return f;
}

static bool read_optimizer(const vkft_train_options *o, vkft_optimizer_options *optimizer, vkft_err *err)
{
    *optimizer = (vkft_optimizer_options){.type = o->optim,
                                          .weight_decay = o->weight_decay,
                                          .beta1 = o->adam_beta1,
                                          .beta2 = o->adam_beta2,
                                          .epsilon = o->adam_epsilon,
                                          .max_grad_norm = o->max_grad_norm};
    return vkft_optimizer_parse_args(optimizer, o->optim_args, err);
}

bool vkft_trainer_open(vkft_trainer *t, const vkft_train_options *options, const vkft_train_observer *observer,
                       vkft_err *err)
{
    memset(t, 0, sizeof *t);
    t->options = options;
    t->world = &vkft_world_alone;
    t->observer = &observer->general;
    t->step = observer->step;
    t->state.best_eval_loss = NAN;
    bool full = options->fine_tune_type == VKFT_TRAINABLE_ALL_WEIGHTS;
    vkft_session_source source = {.model = options->model,
                                  .only_config = options->dry_run && !options->data.path,
                                  .trained = options->fine_tune_type};
    if (full && !options->model.quant_explicit)
        source.model.quant = VKFT_STORAGE_none;
    vkft_optimizer_options optimizer;
    if (!read_optimizer(options, &optimizer, err) || !vkft_session_open(&t->session, &source, t->observer, err))
        return false;
    t->session.seed = options->seed;
    t->session.profile = options->profile;
    vkft_limits limits = {.checkpointing = options->gradient_checkpointing};
    if (!(options->data.path ? open_data(t, err) : true) || !choose_trained(t, err) ||
        !vkft_learner_open(&t->learner, &t->session, &optimizer, t->flat, err) ||
        !batch_limits(t, &limits.batch, err) || !vkft_session_plan(&t->session, &limits, &t->plan, err))
        return false;
    schedule(t);
    t->fingerprint = make_fingerprint(t);
    t->order = malloc((t->train.packs + 1ull) * sizeof *t->order);
    t->state.history = cJSON_CreateArray();
    return (t->order && t->state.history && t->fingerprint) || vkft_fail_memory(err, "while preparing the run");
}

void vkft_trainer_close(vkft_trainer *t)
{
    vkft_run_directory_close(&t->run);
    cJSON_Delete(t->state.history);
    cJSON_Delete(t->fingerprint);
    free(t->order);
    free(t->flat);
    for (uint32_t i = 0; i < VKFT_OPTIMIZER_STATES; i++)
        free(t->state_copy[i]);
    vkft_sample_packs_free(&t->train);
    vkft_sample_packs_free(&t->valid);
    vkft_dataset_free(&t->data);
    vkft_dataset_free(&t->valid_data);
    vkft_learner_close(&t->learner);
    vkft_session_close(&t->session);
    memset(t, 0, sizeof *t);
}
