/* The memory plan: what the session and the other owners will hold, and the arena that its passes need. */
#include "host/session/session.h"

#include <assert.h>

#include "host/engine/matmul/gemm.h"
#include "host/engine/ops/f16_rows.h"
#include "host/engine/ops/ops.h"
#include "runtime/base/size.h"
#include "shaders/core/args.h"

static void add(vkft_memory_plan *plan, const char *name, vkft_memory_kind place, uint64_t bytes)
{
    assert(plan->count < VKFT_PLAN_ITEMS);
    plan->items[plan->count++] = (vkft_plan_item){name, place, bytes};
    *(place == VKFT_MEMORY_HOST ? &plan->host_bytes : &plan->device_bytes) += bytes;
}

/* No device holds the activations of so many; sizes of tensors and the time to plan stay small. */
#define MAX_BATCH_TOKENS (1u << 24)

/* A buffer that cannot be divided. */
static void note_buffer(vkft_memory_plan *plan, const char *name, vkft_memory_kind place, uint64_t bytes)
{
    if (bytes > plan->largest.bytes)
        plan->largest = (vkft_plan_item){name, place, bytes};
}

/* The passes run one after the other in the same arena. */
static bool plan_passes(const vkft_session *session, const vkft_limits *limits, vkft_memory_plan *plan, vkft_err *err)
{
    for (uint32_t i = 0; i < session->pass_count; i++) {
        vkft_pass trial;
        vkft_pass_bytes needed = {0};
        bool ok = vkft_pass_init(&trial, &session->passes[i].spec, err) &&
                  vkft_pass_plan(&trial, &session->model, limits, &needed, err);
        vkft_pass_free(&trial);
        if (!ok)
            return false;
        for (uint32_t p = 0; p < VKFT_PLAN_PARTS; p++)
            plan->arena[p] = max_u64(plan->arena[p], needed.arena[p]);
        plan->kept_bytes = max_u64(plan->kept_bytes, needed.kept);
    }
    return true;
}

/* AUTO is known where the device is; a plan without it is for a device without matrix cores. */
static bool expects_f16(const vkft_session *session)
{
    return vkft_session_compute_dtype(session) == VKFT_F16;
}

/* Which tensors are to have rows in f16. The inputs of blocks, once they are normalized, are rounded to as many bits by
 * products. */
static void choose_f16(const vkft_session *session, vkft_limits *limits)
{
    limits->f16_rows = expects_f16(session) && vkft_f16_rows_possible(session->dev);
    limits->f16_inputs = limits->f16_rows && limits->checkpointing != VKFT_CHECKPOINTING_OFF;
}

static bool make(const vkft_session *session, const vkft_limits *limits, vkft_memory_plan *plan, vkft_err *err)
{
    const vkft_model *model = &session->model;
    uint32_t positions = limits->batch.positions;
    *plan = (vkft_memory_plan){.limits = *limits};
    if (model->positions.rows && positions > session->config->max_position)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "the longest sample has %u tokens and the model has %u positions; give --max-seq-length %u",
                         positions, session->config->max_position, session->config->max_position);
    if (limits->batch.tokens > MAX_BATCH_TOKENS || limits->batch.source_tokens > MAX_BATCH_TOKENS) {
        vkft_fail(err, VKFT_ERR_MEMORY, "a batch may have %u tokens; at most %u are supported",
                  max_u32(limits->batch.tokens, limits->batch.source_tokens), MAX_BATCH_TOKENS);
        return vkft_advise(err, VKFT_ADVICE_LESS_MEMORY);
    }
    if (!plan_passes(session, limits, plan, err))
        return false;
    vkft_residency_bytes weights = {0};
    bool in_place = session->in_place.count && !limits->stream_weights;
    if (!model->trained)
        weights = vkft_residency_measure(model->tensors, model->tensor_count,
                                         limits->stream_weights ? VKFT_WEIGHTS_STREAMED
                                         : in_place             ? VKFT_WEIGHTS_IN_PLACE
                                                                : VKFT_WEIGHTS_RESIDENT);
    note_buffer(plan, "weights of one tensor", VKFT_MEMORY_DEVICE, weights.largest);
    add(plan, "frozen weights", VKFT_MEMORY_DEVICE, weights.device + vkft_model_expert_table_bytes(model));
    if (weights.ring) {
        add(plan, "weight ring", VKFT_MEMORY_DEVICE, weights.ring);
        add(plan, "weight staging (host)", VKFT_MEMORY_HOST, weights.staging);
    }
    plan->bus_bytes = 2 * (weights.moved + plan->kept_bytes); /* each way, or forward and backward */
    for (uint32_t i = 0; i < session->holding_count; i++) {
        const vkft_holding *h = &session->holdings[i];
        add(plan, h->name, h->place, h->bytes(h->owner, limits));
    }
    const vkft_parameter_space *trained = vkft_trainables_layout(&session->trained);
    for (uint32_t p = 0; p < trained->parts; p++)
        note_buffer(plan, "trained parameters", VKFT_MEMORY_DEVICE,
                    (trained->first[p + 1] - trained->first[p]) * sizeof(float));
    for (uint32_t p = 0; p < VKFT_PLAN_PARTS; p++) {
        plan->arena_bytes += plan->arena[p];
        note_buffer(plan, "activations", VKFT_MEMORY_DEVICE, plan->arena[p]);
    }
    add(plan, "activations", VKFT_MEMORY_DEVICE, plan->arena_bytes);
    add(plan, "decode scratch", VKFT_MEMORY_DEVICE, model->scratch_bytes);
    if (plan->kept_bytes)
        add(plan, "block inputs (host)", VKFT_MEMORY_HOST, plan->kept_bytes);
    if (in_place)
        add(plan, "weights in the file (host)", VKFT_MEMORY_HOST, session->in_place.bytes);
    else
        add(plan, "input embedding (host)", VKFT_MEMORY_HOST, weights.host);
    add(plan, "batch (host)", VKFT_MEMORY_HOST, vkft_batch_bytes(&limits->batch) + sizeof(struct step_state));
    add(plan, "position tables (host)", VKFT_MEMORY_HOST, vkft_model_table_bytes(model, positions));
    return true;
}

/* Chunks of logits of so many rows keep every GPU busy, and the output matrix is read often enough for it to matter
 * little beside the products. */
#define LOGITS_ROWS 1024u
/* What larger chunks may add to the memory of a run. */
#define LOGITS_PART 32u /* of the device's */

/* What the device has, not what it has free at the moment, decides as long as there is enough: the last bits of sums
 * depend on it, and a resumed run is to compute the same ones. A software device gains nothing from more rows. */
void vkft_session_enlarge_logits(const vkft_session *session, const vkft_device_info *info, vkft_memory_plan *plan)
{
    const uint64_t row_bytes = (uint64_t)session->model.head.w.rows * sizeof(float);
    const vkft_memory_plan usual = *plan;
    if (info->caps.software)
        return;
    for (uint64_t rows = min_u32(LOGITS_ROWS, usual.limits.batch.rows); rows * row_bytes > VKFT_LOGITS_BYTES;
         rows /= 2) {
        vkft_limits limits = usual.limits;
        limits.logits_bytes = rows * row_bytes;
        if (make(session, &limits, plan, NULL) && vkft_memory_plan_check(plan, info, NULL) &&
            plan->arena_bytes <= usual.arena_bytes + info->memory_bytes / LOGITS_PART)
            return;
    }
    *plan = usual;
}

bool vkft_session_plan(const vkft_session *session, const vkft_limits *limits, vkft_memory_plan *plan, vkft_err *err)
{
    vkft_limits chosen = *limits;
    choose_f16(session, &chosen);
    if (!limits->logits_bytes)
        chosen.logits_bytes = VKFT_LOGITS_BYTES;
    if (!limits->buffer_bytes && session->dev)
        chosen.buffer_bytes = vkft_buffer_max_bytes(vkft_device_get_info(session->dev));
    if (!make(session, &chosen, plan, err))
        return false;
    if (!limits->logits_bytes && session->dev)
        vkft_session_enlarge_logits(session, vkft_device_get_info(session->dev), plan);
    return true;
}

bool vkft_session_plan_buffers(const vkft_session *session, const vkft_device_info *info, vkft_memory_plan *plan,
                               vkft_err *err)
{
    vkft_limits limits = plan->limits;
    limits.buffer_bytes = vkft_buffer_max_bytes(info);
    choose_f16(session, &limits);
    bool serves = plan->largest.bytes <= limits.buffer_bytes && limits.f16_rows == plan->limits.f16_rows &&
                  limits.f16_inputs == plan->limits.f16_inputs;
    return serves || vkft_session_plan(session, &limits, plan, err);
}

uint64_t vkft_memory_plan_needs(const vkft_memory_plan *plan, const vkft_device_info *info)
{
    return plan->device_bytes + (info->unified_memory ? plan->host_bytes : 0);
}

bool vkft_memory_plan_check(const vkft_memory_plan *plan, const vkft_device_info *info, vkft_err *err)
{
    uint64_t needed = vkft_memory_plan_needs(plan, info);
    if (needed > info->memory_free_bytes)
        vkft_fail(err, VKFT_ERR_MEMORY, "the run needs %.2f GiB of memory and %s has %.2f GiB free", gib(needed),
                  info->name, gib(info->memory_free_bytes));
    else if (plan->largest.bytes > vkft_buffer_max_bytes(info))
        vkft_fail(err, VKFT_ERR_MEMORY, "%s need %.2f GiB in one buffer and %s allows %.2f GiB", plan->largest.name,
                  gib(plan->largest.bytes), info->name, gib(vkft_buffer_max_bytes(info)));
    else
        return true;
    return vkft_advise(err, VKFT_ADVICE_LESS_MEMORY);
}
