/* Planning, recording by shape, running. See pass.h. */
#include "host/session/pass.h"

#include <string.h>

bool vkft_pass_init(vkft_pass *pass, const vkft_pass_spec *spec, vkft_err *err)
{
    memset(pass, 0, sizeof *pass);
    pass->spec = *spec;
    if (!vkft_graph_init(&pass->graph))
        return vkft_fail_memory(err, "for a pass");
    pass->graph.pass.dropout = spec->training;
    return true;
}

void vkft_pass_free(vkft_pass *pass)
{
    for (uint32_t i = 0; i < VKFT_RECORDINGS; i++)
        vkft_commands_free(pass->recordings[i].cmds);
    vkft_graph_free(&pass->graph);
    memset(pass, 0, sizeof *pass);
}

bool vkft_pass_plan(vkft_pass *pass, const vkft_model *model, const vkft_limits *limits, vkft_pass_bytes *bytes,
                    vkft_err *err)
{
    const vkft_batch largest = vkft_batch_largest(&limits->batch);
    const uint64_t buffer_bytes = limits->buffer_bytes ? limits->buffer_bytes : UINT64_MAX;
    vkft_graph *graph = &pass->graph;
    pass->limits = *limits;
    graph->pass.f16 = limits->f16_rows;
    graph->pass.f16_inputs = limits->f16_inputs;
    graph->pass.f16_in_place = limits->checkpointing == VKFT_CHECKPOINTING_HOST;
    graph->pass.logits_bytes = limits->logits_bytes;
    vkft_graph_begin_plan(graph);
    pass->spec.record(graph, model, &largest, limits, pass->spec.context);
    if (graph->failed || !vkft_plan_solve_in_parts(graph->plan, buffer_bytes))
        return vkft_fail_memory(err, "while planning");
    vkft_plan_parts(graph->plan, bytes->arena);
    bytes->kept = graph->kept_bytes;
    return true;
}

bool vkft_pass_start(vkft_pass *pass, const vkft_pass_device *device, vkft_err *err)
{
    vkft_graph_set_device(&pass->graph, device->dev, device->scratch, device->scratch_bytes);
    pass->graph.seed = device->seed;
    pass->graph.step = device->step;
    memcpy(pass->graph.arena, device->arena, sizeof pass->graph.arena);
    pass->graph.kept = device->kept;
    for (uint32_t i = 0; i < VKFT_RECORDINGS; i++) {
        vkft_recording *r = &pass->recordings[i];
        *r = (vkft_recording){.cmds = r->cmds ? r->cmds : vkft_commands_new(device->dev, err)};
        if (!r->cmds)
            return false;
        vkft_commands_set_profile(r->cmds, device->profile);
    }
    return true;
}

/* The recording for this shape, made in the place of the least recently used one when there is none. */
static vkft_recording *find_recording(vkft_pass *pass, const vkft_model *model, const vkft_batch *batch)
{
    vkft_recording *oldest = &pass->recordings[0];
    for (uint32_t i = 0; i < VKFT_RECORDINGS; i++) {
        vkft_recording *r = &pass->recordings[i];
        if (r->tokens == batch->tokens && r->source_tokens == batch->source_tokens && r->rows == batch->rows)
            return r;
        if (r->last_used < oldest->last_used)
            oldest = r;
    }
    vkft_commands_reset(oldest->cmds);
    vkft_graph_begin_record(&pass->graph, oldest->cmds, pass->graph.arena[0]);
    pass->spec.record(&pass->graph, model, batch, &pass->limits, pass->spec.context);
    oldest->tokens = batch->tokens;
    oldest->source_tokens = batch->source_tokens;
    oldest->rows = batch->rows;
    return oldest;
}

bool vkft_pass_run(vkft_pass *pass, const vkft_model *model, const vkft_batch *batch, vkft_err *err)
{
    vkft_recording *recording = find_recording(pass, model, batch);
    recording->last_used = ++pass->runs;
    if (pass->graph.failed)
        return vkft_fail_memory(err, "while recording the %s pass", pass->spec.name);
    return vkft_commands_run(recording->cmds, err);
}

void vkft_pass_add_profile(const vkft_pass *pass, vkft_profile_row *rows)
{
    for (uint32_t i = 0; i < VKFT_RECORDINGS; i++)
        vkft_commands_add_profile(pass->recordings[i].cmds, rows);
}
