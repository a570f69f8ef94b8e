/* What a run trains, and the values that it begins with. */
#include "host/train/setup/setup_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/trainable/adapter_notes.h"

static bool fail_differs(const vkft_train_options *o, const char *flag, const char *found, vkft_err *err)
{
    return vkft_fail(
        err, VKFT_ERR_INPUT,
        "--init-adapter goes on with %s, which has %s; %s asks for something else: leave it out, or begin a "
        "new adapter",
        o->init_adapter, found, flag);
}

/* The modules that the flags would choose must be those of the adapter, and so must their ranks and alphas where
 * patterns are given. */
static bool check_modules(const vkft_trainer *t, const vkft_adapter_set *have, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_adapter_set asked = {0};
    char found[64];
    if (!vkft_adapter_set_choose(&asked, &t->session.model, have->method, &o->lora_modules, &have->config, err))
        return false;
    bool same = asked.count == have->count && (!o->lora_modules.save || asked.saved_count == have->saved_count) &&
                (!o->lora_modules.tokens || asked.tokens_count == have->tokens_count),
         alike = true;
    for (uint32_t i = 0; same && i < asked.count; i++) {
        const vkft_adapted_module *a = &asked.modules[i], *b = &have->modules[i];
        same = strcmp(a->name, b->name) == 0;
        alike = alike && a->r == b->r && a->lora_alpha == b->lora_alpha;
    }
    for (uint32_t i = 0; same && o->lora_modules.tokens && i < asked.tokens_count; i++) {
        const vkft_trained_tokens *a = &asked.tokens[i], *b = &have->tokens[i];
        same = a->count == b->count && memcmp(a->tokens, b->tokens, a->count * sizeof *a->tokens) == 0;
    }
    vkft_adapter_set_free(&asked);
    snprintf(found, sizeof found, "%u modules", have->count);
    if (!same)
        return fail_differs(o, o->lora_given.modules ? "--lora-target-modules" : "the default of --lora-target-modules",
                            found, err);
    return alike || !o->lora_given.patterns ||
           fail_differs(o, "--rank-pattern or --alpha-pattern", "other ranks or alphas", err);
}

/* Dropout alone is of the training, and may be another; found: what else the adapter has. */
static void settle_dropout(vkft_trainer *t, const char *found)
{
    const vkft_train_options *o = t->options;
    vkft_adapter_set *set = &t->session.trained.adapters;
    if (o->lora_given.dropout)
        set->config.lora_dropout = o->lora_dropout;
    if (vkft_objective_of(o->data.objective)->preferences != VKFT_PREFERENCES_NONE)
        set->config.lora_dropout = 0;
    vkft_observer_say(t->observer, "adapter of %s: %s, dropout %.9g, on %u modules", o->init_adapter, found,
                      (double)set->config.lora_dropout, set->count);
}

static bool continue_ia3(const vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    if (o->lora_given.modules)
        return fail_differs(o, "--lora-target-modules", "modules of its own", err);
    vkft_observer_say(t->observer, "adapter of %s: IA3 on %u modules", o->init_adapter,
                      t->session.trained.adapters.count);
    return true;
}

static bool continue_vera(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    const vkft_adapter_config *c = &t->session.trained.adapters.config;
    char found[64];
    snprintf(found, sizeof found, "VeRA, r %u", c->r);
    if (o->lora_given.r && o->lora_r != c->r)
        return fail_differs(o, "--lora-r", found, err);
    if (o->lora_given.bias && o->bias != c->bias)
        return fail_differs(o, "--bias", "another bias", err);
    if (o->lora_given.modules && !check_modules(t, &t->session.trained.adapters, err))
        return false;
    settle_dropout(t, found);
    return true;
}

static bool continue_lora(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    const vkft_adapter_set *set = &t->session.trained.adapters;
    const vkft_adapter_config *c = &set->config;
    bool dora = set->method == &vkft_method_dora, lora_bias = set->method == &vkft_method_lora_bias;
    char found[64];
    snprintf(found, sizeof found, "r %u, alpha %.9g%s%s", c->r, (double)c->lora_alpha, c->use_rslora ? ", rsLoRA" : "",
             dora        ? ", DoRA"
             : lora_bias ? ", lora_bias"
                         : "");
    if (o->lora_given.r && o->lora_r != c->r)
        return fail_differs(o, "--lora-r", found, err);
    if (o->lora_given.alpha && o->lora_alpha != c->lora_alpha)
        return fail_differs(o, "--lora-alpha", found, err);
    if (o->lora_given.rslora && o->use_rslora != c->use_rslora)
        return fail_differs(o, "--use-rslora", found, err);
    if (o->lora_given.init)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--init-lora-weights is for a new adapter, and --init-adapter goes on with one; leave one of "
                         "the two out");
    if (o->lora_given.dora && o->use_dora != dora)
        return fail_differs(o, "--use-dora", found, err);
    if (o->lora_given.lora_bias && o->lora_bias != lora_bias)
        return fail_differs(o, "--lora-bias", found, err);
    if (o->lora_given.bias && o->bias != c->bias)
        return fail_differs(o, "--bias", "another bias", err);
    if ((o->lora_given.modules || o->lora_given.patterns) && !check_modules(t, set, err))
        return false;
    settle_dropout(t, found);
    return true;
}

/* What is asked for must be what the adapter has. */
static bool continue_adapter(vkft_trainer *t, const vkft_adapter *init, vkft_err *err)
{
    vkft_adapter_set *set = &t->session.trained.adapters;
    if (!vkft_adapter_set_choose_from(set, &t->session.model, init, err) ||
        (t->session.file && !vkft_adapter_check_copies(set, init, t->session.file, err)) ||
        !vkft_adapter_say_notes(set, init, vkft_session_model_name(&t->session), t->observer, err))
        return false;
    return set->method == &vkft_method_ia3    ? continue_ia3(t, err)
           : set->method == &vkft_method_vera ? continue_vera(t, err)
                                              : continue_lora(t, err);
}

static bool choose_ia3(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_session *r = &t->session;
    const char *feedforward = o->feedforward_modules, *targets = o->lora_modules.target, *usual[2] = {NULL, ""};
    vkft_module_choice choice = o->lora_modules;
    bool known = vkft_ia3_defaults(r->config->model_type, &usual[0], &usual[1]);
    if (!o->lora_given.modules && !known)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--peft-type ia3: PEFT has no default modules for a model of type %s; give "
                         "--lora-target-modules and --feedforward-modules",
                         r->config->model_type);
    choice.target = o->lora_given.modules ? targets : usual[0];
    feedforward = feedforward ? feedforward : usual[1];
    vkft_adapter_config config = {0};
    if (strlen(feedforward) >= sizeof config.feedforward_modules)
        return vkft_fail(err, VKFT_ERR_INPUT, "--feedforward-modules is longer than %zu characters",
                         sizeof config.feedforward_modules - 1);
    snprintf(config.feedforward_modules, sizeof config.feedforward_modules, "%s", feedforward);
    return vkft_adapter_set_choose(&r->trained.adapters, &r->model, &vkft_method_ia3, &choice, &config, err);
}

static bool choose_vera(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_session *r = &t->session;
    bool dropout = vkft_objective_of(o->data.objective)->preferences == VKFT_PREFERENCES_NONE;
    vkft_module_choice choice = o->lora_modules;
    choice.rank_pattern = choice.alpha_pattern = NULL; /* they have no effect, which is said */
    const vkft_adapter_config config = {.r = o->lora_r,
                                        .lora_dropout = dropout ? o->lora_dropout : 0,
                                        .projection_prng_key = o->projection_prng_key,
                                        .save_projection = o->save_projection,
                                        .d_initial = o->d_initial,
                                        .bias = o->bias};
    return vkft_adapter_set_choose(&r->trained.adapters, &r->model, &vkft_method_vera, &choice, &config, err);
}

/* The modules of the adapter, new or that of --init-adapter, whose parameters go to *init. */
static bool choose_adapter(vkft_trainer *t, vkft_adapter *init, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_session *r = &t->session;
    if (o->init_adapter)
        return vkft_adapter_read(o->init_adapter, vkft_adapter_formats(), init, err) && continue_adapter(t, init, err);
    if (o->peft_type == VKFT_PEFT_IA3)
        return choose_ia3(t, err);
    if (o->peft_type == VKFT_PEFT_VERA)
        return choose_vera(t, err);
    bool dropout = vkft_objective_of(o->data.objective)->preferences == VKFT_PREFERENCES_NONE;
    const vkft_adapter_config config = {.r = o->lora_r,
                                        .lora_alpha = o->lora_alpha,
                                        .lora_dropout = dropout ? o->lora_dropout : 0,
                                        .use_rslora = o->use_rslora,
                                        .bias = o->bias,
                                        .init = o->init_lora_weights};
    if (o->use_dora && o->lora_bias)
        return vkft_fail(err, VKFT_ERR_INPUT, "--lora-bias is for plain LoRA, as in PEFT; leave --use-dora out");
    if (o->lora_bias && o->init_lora_weights != VKFT_LORA_INIT_TRUE)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--lora-bias begins with --init-lora-weights true, as in PEFT; leave the other one out");
    const vkft_adapter_method *method = o->use_dora    ? &vkft_method_dora
                                        : o->lora_bias ? &vkft_method_lora_bias
                                                       : &vkft_method_lora;
    return vkft_adapter_set_choose(&r->trained.adapters, &r->model, method, &o->lora_modules, &config, err);
}

/* What concerns embeddings and the head alone. */
static void say_outer(const vkft_trainer *t)
{
    const vkft_adapter_set *set = &t->session.trained.adapters;
    const vkft_train_options *o = t->options, usual = vkft_train_defaults();
    bool embedding = false;
    for (uint32_t i = 0; i < set->count; i++)
        embedding = embedding || set->modules[i].embedding;
    if (!embedding && o->loraplus_lr_ratio != 1 && o->loraplus_lr_embedding != usual.loraplus_lr_embedding)
        vkft_observer_say(t->observer, "note: --loraplus-lr-embedding has no effect: no embedding has an adapter");
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_adapted_module *m = &set->modules[i];
        if ((m->embedding || m->head) && set->model->tied) {
            vkft_observer_say(t->observer,
                              "warning: embedding and head of this model are one matrix, and the adapter of %s changes "
                              "only the %s, as in PEFT without ensure_weight_tying; merging it makes them two",
                              m->name, m->head ? "head" : "embedding");
            return;
        }
    }
}

/* The host's copy of what is trained. */
static bool allocate_flat(vkft_trainer *t, vkft_err *err)
{
    t->flat = malloc(vkft_trainables_floats(&t->session.trained) * sizeof *t->flat);
    return t->flat || vkft_fail_memory(err, "for what is trained");
}

bool vkft_setup_trained(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_session *r = &t->session;
    vkft_adapter init = {0};
    bool full = o->fine_tune_type == VKFT_TRAINABLE_ALL_WEIGHTS;
    if (full && o->init_adapter)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--init-adapter continues an adapter, and --fine-tune-type full trains none");
    if (!full && o->param_dtype != VKFT_F32)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--param-dtype is for --fine-tune-type full; the frozen weights of an adapter's model are of "
                         "--quant's type");
    if (o->bf16_stochastic_round && o->param_dtype != VKFT_BF16)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--bf16-stochastic-round is for weights that are trained in bf16; give --fine-tune-type full "
                         "and --param-dtype bf16 as well");
    bool frozen_a = o->optim == VKFT_OPTIMIZER_lorafa;
    if (full && frozen_a)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--optim lorafa is for LoRA adapters, and --fine-tune-type full trains none");
    if (!full && o->optim == VKFT_OPTIMIZER_muon)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--optim muon is for --fine-tune-type full: it makes the update of a whole matrix orthogonal, "
                         "which an adapter's two factors are not; use adamw");
    bool ok = full ? vkft_all_weights_layout(&r->trained.all_weights, &r->model, VKFT_PARAMETER_SPACE_FLOATS, err)
                   : choose_adapter(t, &init, err) &&
                         (!frozen_a || vkft_adapter_set_freeze_a(&r->trained.adapters, err)) &&
                         vkft_session_prepare_adapters(r, !o->dry_run, err);
    if (ok && !full)
        say_outer(t);
    if (ok && full && o->param_dtype == VKFT_BF16)
        vkft_all_weights_round(&r->trained.all_weights);
    if (ok && !o->dry_run && (ok = allocate_flat(t, err))) {
        if (full)
            ok = vkft_all_weights_init(&r->trained.all_weights, r->file, t->flat, err);
        else if (o->init_adapter)
            ok = vkft_adapter_set_import(&r->trained.adapters, &init, t->flat, err);
        else
            ok = vkft_adapter_set_init(&r->trained.adapters, o->seed, t->flat, err) &&
                 vkft_adapter_set_init_from_weights(&r->trained.adapters, r->file, o->model.path, o->seed, t->flat,
                                                    t->observer, err) &&
                 vkft_adapter_set_read_saved(&r->trained.adapters, r->file, t->flat, err);
    }
    vkft_adapter_free(&init);
    return ok;
}
