/* What a run trains, and the values that it begins with. */
#include "host/train/setup/setup_private.h"

#include <stdlib.h>

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

bool vkft_setup_trained(vkft_trainer *t, vkft_err *err)
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
