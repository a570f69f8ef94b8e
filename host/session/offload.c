/* How much of a run waits in host memory: as much as is asked for, or as little as makes it fit. */
#include "host/session/session.h"

#include "runtime/base/size.h"

/* Error: what stands in the way. */
static bool can_offload(const vkft_session *session, const vkft_limits *limits, vkft_offload offload, vkft_err *err)
{
    if (offload == VKFT_OFFLOAD_WEIGHTS && session->trained.kind == VKFT_TRAINABLE_ALL_WEIGHTS)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--offload weights is for frozen weights, and all are trained; use --offload activations, or "
                         "train an adapter");
    if (vkft_session_trains(session) && limits->checkpointing == VKFT_CHECKPOINTING_OFF)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--offload %s needs the inputs of blocks and computes the blocks again; leave out "
                         "--no-gradient-checkpointing",
                         offload == VKFT_OFFLOAD_WEIGHTS ? "weights" : "activations");
    return true;
}

static vkft_limits with_offload(vkft_limits limits, vkft_offload offload)
{
    if (offload >= VKFT_OFFLOAD_ACTIVATIONS && limits.checkpointing != VKFT_CHECKPOINTING_OFF)
        limits.checkpointing = VKFT_CHECKPOINTING_HOST;
    limits.stream_weights = offload == VKFT_OFFLOAD_WEIGHTS;
    return limits;
}

static bool fits(const vkft_memory_plan *plan, const vkft_device_info *info)
{
    return vkft_memory_plan_check(plan, info, NULL);
}

vkft_offload vkft_session_fit(const vkft_session *session, const vkft_limits *limits, const vkft_device_info *info,
                              vkft_memory_plan *plan)
{
    if (!vkft_session_plan_buffers(session, info, plan, NULL) || info->unified_memory || fits(plan, info))
        return VKFT_OFFLOAD_NONE;
    for (vkft_offload offload = VKFT_OFFLOAD_ACTIVATIONS; offload <= VKFT_OFFLOAD_WEIGHTS; offload++) {
        vkft_memory_plan trial;
        const vkft_limits tried = with_offload(*limits, offload);
        if (can_offload(session, limits, offload, NULL) && vkft_session_plan(session, &tried, &trial, NULL) &&
            vkft_session_plan_buffers(session, info, &trial, NULL) && fits(&trial, info)) {
            *plan = trial;
            return offload;
        }
    }
    return VKFT_OFFLOAD_NONE;
}

static bool plan_by_need(vkft_session *session, const vkft_limits *limits, vkft_memory_plan *plan,
                         const vkft_observer *observer, vkft_err *err)
{
    static const char *const what[] = {
        [VKFT_OFFLOAD_ACTIVATIONS] = "the inputs of blocks wait in host memory (--offload activations)",
        [VKFT_OFFLOAD_WEIGHTS] = "weights are streamed from the model file (--offload weights)"};
    if (!vkft_session_plan(session, limits, plan, err))
        return false;
    const vkft_device_info *info = session->dev ? vkft_device_get_info(session->dev) : NULL;
    uint64_t needed = plan->device_bytes;
    vkft_offload offload = info ? vkft_session_fit(session, limits, info, plan) : VKFT_OFFLOAD_NONE;
    if (offload != VKFT_OFFLOAD_NONE)
        vkft_observer_say(observer, "the run needs %.2f GiB and %s has %.2f GiB free: %s", gib(needed), info->name,
                          gib(info->memory_free_bytes), what[offload]);
    return true;
}

/* Weights stay in the file where the device reads them there. */
static void open_in_place(vkft_session *session, const vkft_observer *observer)
{
    const vkft_device_info *info = session->dev ? vkft_device_get_info(session->dev) : NULL;
    const vkft_model *model = &session->model;
    vkft_err err;
    if (info && session->file && !model->trained && !session->in_place.count && vkft_in_place_wanted(info) &&
        !vkft_in_place_open(&session->in_place, model->tensors, model->tensor_count, session->file, session->dev,
                            min_u64(vkft_buffer_max_bytes(info), VKFT_BUFFER_BYTES), &err))
        vkft_observer_say(observer, "weights are copied from the model file, which the device does not take: %s",
                          err.message);
}

bool vkft_session_plan_offload(vkft_session *session, const vkft_limits *limits, vkft_memory_plan *plan,
                               const vkft_observer *observer, vkft_err *err)
{
    vkft_offload offload = session->options.offload;
    if (!session->dev)
        session->dev = vkft_device_open(session->options.device, &session->no_device);
    if (offload != VKFT_OFFLOAD_WEIGHTS)
        open_in_place(session, observer);
    if (offload == VKFT_OFFLOAD_AUTO)
        return plan_by_need(session, limits, plan, observer, err);
    if (offload == VKFT_OFFLOAD_ACTIVATIONS && !vkft_session_trains(session))
        vkft_observer_say(observer, "--offload activations has no effect here: nothing is trained");
    const vkft_limits wanted = with_offload(*limits, offload);
    return (offload == VKFT_OFFLOAD_NONE || can_offload(session, limits, offload, err)) &&
           vkft_session_plan(session, &wanted, plan, err);
}
