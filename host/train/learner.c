/* Passes and memory of training. See learner.h. */
#include "host/train/learner.h"

#include <stdlib.h>
#include <string.h>

#include "host/model/decoder.h"
#include "host/train/objective/objective.h"

static void change_loss(vkft_graph *graph, const vkft_loss_changes *loss)
{
    graph->pass.label_smoothing = (float)loss->label_smoothing;
    graph->pass.z_loss = (float)loss->z_loss;
}

static void record_train(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch, const vkft_limits *limits,
                         const void *context)
{
    const vkft_learner *learner = context;
    change_loss(graph, &learner->loss);
    graph->pass.noise = (float)learner->loss.noise;
    vkft_decoder_train(graph, model, batch, limits->checkpointing);
}

static void record_eval(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch, const vkft_limits *limits,
                        const void *context)
{
    const vkft_learner *learner = context;
    (void)limits;
    if (learner)
        change_loss(graph, &learner->loss);
    vkft_decoder_eval(graph, model, batch);
}

static vkft_pass *add_evaluation(vkft_session *session, const vkft_learner *learner, vkft_err *err)
{
    const vkft_pass_spec eval = {.name = "evaluation", .record = record_eval, .context = learner};
    return vkft_session_add_pass(session, &eval, err);
}

vkft_pass *vkft_add_evaluation(vkft_session *session, vkft_err *err)
{
    return add_evaluation(session, NULL, err);
}

static uint64_t parameter_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_learner *learner = owner;
    (void)limits;
    const vkft_trainables *trained = &learner->session->trained;
    uint64_t rounded = learner->options.bf16_only ? vkft_trainables_decayed(trained) : 0;
    return (vkft_trainables_floats(trained) - rounded) * sizeof(float);
}

/* With the partial sums of their norm, and the optimizer's table and constants. */
static uint64_t gradient_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_learner *learner = owner;
    const vkft_optimizer_kind *kind = vkft_optimizer_kind_of(learner->options.type);
    (void)limits;
    return vkft_trainables_floats(&learner->session->trained) * sizeof(float) + vkft_optimizer_extra_bytes(kind) +
           vkft_optimizer_constant_bytes(kind, &learner->tensors);
}

static uint64_t state_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_learner *learner = owner;
    (void)limits;
    return vkft_optimizer_bytes(vkft_optimizer_kind_of(learner->options.type), &learner->tensors);
}

static uint64_t work_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_learner *learner = owner;
    (void)limits;
    return vkft_optimizer_work_bytes(&learner->options, &learner->tensors,
                                     vkft_trainables_decayed(&learner->session->trained));
}

static uint64_t copy_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_learner *learner = owner;
    (void)limits;
    return vkft_trainables_decayed(&learner->session->trained) * sizeof(uint16_t);
}

/* Parameters, gradients and state at once. */
static bool allocate(void *owner, vkft_session *session, vkft_err *err)
{
    vkft_learner *learner = owner;
    vkft_optimizer *optimizer = &learner->optimizer;
    const vkft_trainables *trained = &session->trained;
    if (!vkft_optimizer_init(optimizer, session->dev, vkft_trainables_layout(trained), &learner->tensors,
                             vkft_trainables_decayed(trained), &learner->options, err) ||
        !vkft_optimizer_set(optimizer, learner->initial, NULL, err))
        return false;
    if (learner->options.bf16_copy)
        session->trained.all_weights.copies = &optimizer->copies;
    vkft_trainables_bind(trained, &optimizer->parameters, &optimizer->gradients);
    session->step = optimizer->step.address;
    return true;
}

bool vkft_learner_open(vkft_learner *learner, vkft_session *session, const vkft_optimizer_options *options,
                       const float *initial, vkft_err *err)
{
    const vkft_pass_spec train = {.name = "training", .training = true, .record = record_train, .context = learner};
    *learner = (vkft_learner){.session = session, .options = *options, .initial = initial};
    if (!vkft_trainables_tensors(&session->trained, &learner->tensors, err))
        return false;
    vkft_trainables_bind_placeholders(&session->trained);
    vkft_memory_kind master = vkft_optimizer_parameters_place(options);
    vkft_session_need(session,
                      (vkft_holding){master == VKFT_MEMORY_HOST ? "trained parameters (host)" : "trained parameters",
                                     master, parameter_bytes, allocate, learner});
    if (options->bf16_copy)
        vkft_session_need(session, (vkft_holding){"bf16 weights", VKFT_MEMORY_DEVICE, copy_bytes, NULL, learner});
    vkft_session_need(session, (vkft_holding){"gradients", VKFT_MEMORY_DEVICE, gradient_bytes, NULL, learner});
    vkft_memory_kind place = vkft_optimizer_place(options->type);
    const char *name = place == VKFT_MEMORY_HOST ? "optimizer state (host)" : "optimizer state";
    vkft_session_need(session, (vkft_holding){name, place, state_bytes, NULL, learner});
    if (work_bytes(learner, NULL))
        vkft_session_need(session, (vkft_holding){"optimizer work", VKFT_MEMORY_DEVICE, work_bytes, NULL, learner});
    return (learner->train = vkft_session_add_pass(session, &train, err)) &&
           (learner->eval = add_evaluation(session, learner, err));
}

void vkft_learner_close(vkft_learner *learner)
{
    vkft_optimizer_free(&learner->optimizer);
    free(learner->tensors.list);
    memset(learner, 0, sizeof *learner);
}

bool vkft_learner_run(vkft_learner *learner, uint32_t micro_step, double *loss_sum, vkft_err *err)
{
    vkft_optimizer_step_state(&learner->optimizer)->micro_step = micro_step;
    return vkft_session_run(learner->session, learner->train, loss_sum, err);
}

bool vkft_learner_train(vkft_learner *learner, const vkft_sample *const *samples, uint32_t count, uint64_t step_tokens,
                        uint32_t micro_step, double *loss_sum, vkft_err *err)
{
    vkft_session_fill(learner->session, samples, count);
    vkft_sft_weights(samples, count, step_tokens, learner->session->batch.row_weight_host);
    return vkft_learner_run(learner, micro_step, loss_sum, err);
}
