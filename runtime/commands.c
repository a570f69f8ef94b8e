/* Recording, encoding, pacing and profiling.
 *
 * Expected times come from a rate per kernel that the device remembers (nanoseconds per operation), also on disk. A
 * kernel that is not known there is measured first, by a small piece of its first long launch that is a submission by
 * itself. What each submission took corrects the rates, and what is left of a recording is cut again when a submission
 * took far more or far less than expected.
 */
#include "runtime/commands.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/os/os.h"
#include "runtime/base/size.h"
#include "shaders/core/args.h"
#include "runtime/pacing/cut.h"
#include "runtime/device_private.h"
#include "runtime/kernels_private.h"

#define MAX_GROUPS_PER_AXIS 65535u /* along an axis, which Vulkan guarantees */
#define LAUNCH_MS 0.005            /* of a launch that does almost nothing */
#define GUESSED_NS_PER_FLOP 1.0    /* before anything was measured: a slow integrated GPU with a kernel that spills */
#define PROBE_MS 10.0              /* by that guess */
#define SHORT_MS 1.0               /* a shorter submission says little: handing it over takes part of that */

typedef struct launch {
    vkft_kernel kernel;
    uint32_t args_bytes;
    uint32_t groups[2]; /* along x and y */
    bool independent;
    double flops;
    uint8_t args[128];
} launch;

/* Launches from `first` to the next stage read what the upload writes. */
typedef struct stage {
    uint32_t first;
    const vkft_upload *upload;
} stage;

struct vkft_commands {
    vkft_device *dev;
    launch *launches;
    uint32_t count, capacity;
    vkft_touch touch; /* of the launches that are recorded now, where `touch_is_known` */
    bool touch_is_known;
    vkft_touch_window window;
    uint32_t barriers;
    stage *stages;
    uint32_t stage_count, stage_capacity;
    uint32_t next_stage; /* of a run */
    vkft_err error;      /* kind NONE: none */
    uint32_t built;      /* launches whose pipelines are known to exist */

    VkCommandPool pool;
    VkFence fence;
    VkCommandBuffer *buffers;
    uint32_t buffer_count; /* allocated */
    vkft_cut cut;
    vkft_cut_launch *estimates;
    uint32_t estimate_capacity;
    uint32_t encoded; /* submissions of the cut that are in `buffers` */
    bool is_cut;      /* the cut has all launches and suits what was measured */

    bool profile;
    VkQueryPool queries;
    uint32_t query_capacity;
    uint64_t *ticks;
    vkft_profile_row rows[VKFT_KERNEL_COUNT];
    vkft_run_stats stats;
};

vkft_commands *vkft_commands_new(vkft_device *dev, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    vkft_commands *cmds = calloc(1, sizeof *cmds);
    if (!cmds) {
        vkft_fail_memory(err, "for commands");
        return NULL;
    }
    cmds->dev = dev;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .queueFamilyIndex = dev->queue_family};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkResult result = vk->CreateCommandPool(dev->handle, &pool, NULL, &cmds->pool);
    if (result == VK_SUCCESS)
        result = vk->CreateFence(dev->handle, &fence, NULL, &cmds->fence);
    if (result == VK_SUCCESS)
        return cmds;
    vk_fail(err, result, "preparing commands");
    vkft_commands_free(cmds);
    return NULL;
}

void vkft_commands_free(vkft_commands *cmds)
{
    if (!cmds)
        return;
    const vk_functions *vk = &cmds->dev->instance.vk;
    vk->DestroyQueryPool(cmds->dev->handle, cmds->queries, NULL);
    vk->DestroyFence(cmds->dev->handle, cmds->fence, NULL);
    vk->DestroyCommandPool(cmds->dev->handle, cmds->pool, NULL);
    vkft_cut_free(&cmds->cut);
    free(cmds->stages);
    free(cmds->estimates);
    free(cmds->buffers);
    free(cmds->launches);
    free(cmds->ticks);
    free(cmds);
}

void vkft_commands_reset(vkft_commands *cmds)
{
    cmds->count = cmds->stage_count = cmds->built = 0;
    cmds->touch_is_known = false;
    cmds->window = (vkft_touch_window){0};
    cmds->barriers = 0;
    cmds->is_cut = false;
    cmds->error = (vkft_err){0};
}

void vkft_commands_touch(vkft_commands *cmds, const vkft_touch *touch)
{
    if (!cmds)
        return;
    cmds->touch_is_known = touch != NULL;
    if (touch)
        cmds->touch = *touch;
}

void vkft_commands_stage(vkft_commands *cmds, const vkft_upload *upload)
{
    if (!cmds || cmds->error.kind)
        return;
    if (cmds->stage_count && cmds->stages[cmds->stage_count - 1].first == cmds->count)
        cmds->stage_count--; /* no launch needs it */
    if (cmds->stage_count == cmds->stage_capacity) {
        uint32_t capacity = cmds->stage_capacity ? 2 * cmds->stage_capacity : 64;
        stage *stages = realloc(cmds->stages, capacity * sizeof *stages);
        if (!stages) {
            vkft_fail_memory(&cmds->error, "while recording commands");
            return;
        }
        cmds->stages = stages;
        cmds->stage_capacity = capacity;
    }
    cmds->stages[cmds->stage_count++] = (stage){cmds->count, upload};
    cmds->is_cut = false;
}

static bool grow(vkft_commands *cmds)
{
    if (cmds->count < cmds->capacity)
        return true;
    uint32_t capacity = cmds->capacity ? 2 * cmds->capacity : 256;
    launch *launches = realloc(cmds->launches, capacity * sizeof *launches);
    if (!launches)
        return vkft_fail_memory(&cmds->error, "while recording commands");
    cmds->launches = launches;
    cmds->capacity = capacity;
    return true;
}

void vkft_commands_fail(vkft_commands *cmds, const char *why, ...)
{
    char text[400];
    va_list arguments;
    va_start(arguments, why);
    vsnprintf(text, sizeof text, why, arguments);
    va_end(arguments);
    if (!cmds->error.kind)
        vkft_fail(&cmds->error, VKFT_ERR_DEVICE, "%s", text);
}

static void record(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t groups_x,
                   uint32_t groups_y, double flops)
{
    assert(args_bytes == vkft_kernel_args_bytes(kernel));
    if (groups_x > (uint64_t)WORKGROUPS_PER_ROW * MAX_GROUPS_PER_AXIS || groups_y > MAX_GROUPS_PER_AXIS) {
        vkft_fail(&cmds->error, VKFT_ERR_DEVICE, "a launch of %s has %llu x %u workgroups; the limit is %llu x %u",
                  vkft_kernel_name(kernel), (unsigned long long)groups_x, groups_y,
                  (unsigned long long)WORKGROUPS_PER_ROW * MAX_GROUPS_PER_AXIS, MAX_GROUPS_PER_AXIS);
        return;
    }
    if (!grow(cmds))
        return;
    launch *l = &cmds->launches[cmds->count++];
    *l = (launch){.kernel = kernel,
                  .args_bytes = args_bytes,
                  .groups = {(uint32_t)groups_x, groups_y},
                  .independent = vkft_touch_window_add(&cmds->window, cmds->touch_is_known ? &cmds->touch : NULL),
                  .flops = flops};
    memcpy(l->args, args, args_bytes);
    cmds->barriers += !l->independent;
    cmds->is_cut = false;
}

/* Counting rows as invocations, or elements as rows, would leave most of the work undone, or read past buffers. */
static bool counts(vkft_commands *cmds, vkft_kernel kernel, bool by_workgroups)
{
    vkft_kernel_shape shape = vkft_kernel_get_shape(kernel);
    return by_workgroups == (shape == VKFT_SHAPE_ROW || shape == VKFT_SHAPE_TILE) ||
           vkft_fail(&cmds->error, VKFT_ERR_DEVICE, "a launch of %s counts %s, against its shape in kernels.def",
                     vkft_kernel_name(kernel), by_workgroups ? "workgroups" : "invocations");
}

void vkft_launch(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t threads_x,
                 uint32_t threads_y, double flops)
{
    if (cmds && !cmds->error.kind && threads_x && threads_y && counts(cmds, kernel, false))
        record(cmds, kernel, args, args_bytes, ceil_div_u64(threads_x, vkft_kernel_width(cmds->dev, kernel)), threads_y,
               flops);
}

void vkft_launch_workgroups(vkft_commands *cmds, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                            uint64_t count_x, uint32_t count_y, double flops)
{
    if (cmds && !cmds->error.kind && count_x && count_y && counts(cmds, kernel, true))
        record(cmds, kernel, args, args_bytes, count_x, count_y, flops);
}

uint32_t vkft_commands_launch_count(const vkft_commands *cmds)
{
    return cmds->count;
}

vkft_kernel vkft_commands_kernel(const vkft_commands *cmds, uint32_t number)
{
    return cmds->launches[number].kernel;
}

uint32_t vkft_commands_barrier_count(const vkft_commands *cmds)
{
    return cmds->barriers;
}

static double *rate(vkft_device *dev, vkft_kernel kernel)
{
    vkft_rate *rate = vkft_kernel_rate(dev, kernel);
    if (rate->ns_per_flop == 0)
        rate->ns_per_flop = GUESSED_NS_PER_FLOP;
    return &rate->ns_per_flop;
}

static double expected_ms(vkft_commands *cmds, const launch *l)
{
    return LAUNCH_MS + 1e-6 * l->flops * *rate(cmds->dev, l->kernel);
}

/* Cuts the launches from a place on. */
static bool make_cut(vkft_commands *cmds, vkft_place from, vkft_err *err)
{
    const vk_functions *vk = &cmds->dev->instance.vk;
    const vkft_cut_limits limits = {
        .target_ms = cmds->dev->submission_ms, .probe_ms = PROBE_MS, .row = WORKGROUPS_PER_ROW};
    if (cmds->estimate_capacity < cmds->count) {
        vkft_cut_launch *estimates = realloc(cmds->estimates, cmds->capacity * sizeof *estimates);
        if (!estimates)
            return vkft_fail_memory(err, "while encoding commands");
        cmds->estimates = estimates;
        cmds->estimate_capacity = cmds->capacity;
    }
    for (uint32_t i = from.launch; i < cmds->count; i++) {
        const launch *l = &cmds->launches[i];
        cmds->estimates[i] = (vkft_cut_launch){.groups = {l->groups[0], l->groups[1]},
                                               .time_ms = expected_ms(cmds, l),
                                               .is_guess = !vkft_kernel_rate(cmds->dev, l->kernel)->is_known};
    }
    for (uint32_t i = 0; i < cmds->stage_count && cmds->stages[i].first < cmds->count; i++)
        cmds->estimates[cmds->stages[i].first].new_submission = true;
    if (!vkft_cut_make(&cmds->cut, cmds->estimates, cmds->count, from, &limits))
        return vkft_fail_memory(err, "while encoding commands");
    cmds->encoded = 0;
    VkResult result = vk->ResetCommandPool(cmds->dev->handle, cmds->pool, 0);
    return result == VK_SUCCESS || vk_fail(err, result, "encoding commands");
}

static bool reserve_buffers(vkft_commands *cmds, uint32_t wanted, vkft_err *err)
{
    const vk_functions *vk = &cmds->dev->instance.vk;
    if (wanted <= cmds->buffer_count)
        return true;
    VkCommandBuffer *buffers = realloc(cmds->buffers, wanted * sizeof *buffers);
    if (!buffers)
        return vkft_fail_memory(err, "while encoding commands");
    cmds->buffers = buffers;
    const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = cmds->pool,
                                              .commandBufferCount = wanted - cmds->buffer_count};
    VkResult result = vk->AllocateCommandBuffers(cmds->dev->handle, &info, buffers + cmds->buffer_count);
    if (result != VK_SUCCESS)
        return vk_fail(err, result, "allocating command buffers");
    cmds->buffer_count = wanted;
    return true;
}

static bool reserve_queries(vkft_commands *cmds, vkft_err *err)
{
    const vk_functions *vk = &cmds->dev->instance.vk;
    if (!cmds->profile || cmds->query_capacity >= 2 * cmds->cut.count)
        return true;
    vk->DestroyQueryPool(cmds->dev->handle, cmds->queries, NULL);
    cmds->queries = VK_NULL_HANDLE;
    cmds->query_capacity = 2 * cmds->cut.count;
    free(cmds->ticks);
    cmds->ticks = malloc(cmds->query_capacity * sizeof *cmds->ticks);
    const VkQueryPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_QUERY_POOL_CREATE_INFO,
                                        .queryType = VK_QUERY_TYPE_TIMESTAMP,
                                        .queryCount = cmds->query_capacity};
    VkResult result = vk->CreateQueryPool(cmds->dev->handle, &info, NULL, &cmds->queries);
    if (!cmds->ticks)
        return vkft_fail_memory(err, "for the profile");
    return result == VK_SUCCESS || vk_fail(err, result, "creating timestamps");
}

static void barrier(const vk_functions *vk, VkCommandBuffer cmd)
{
    const VkMemoryBarrier memory = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT};
    vk->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, 0, 1,
                           &memory, 0, NULL, 0, NULL);
}

static void encode_piece(vkft_commands *cmds, VkCommandBuffer cmd, uint32_t index)
{
    vkft_device *dev = cmds->dev;
    const vk_functions *vk = &dev->instance.vk;
    const vkft_piece *piece = &cmds->cut.pieces[index];
    const launch *l = &cmds->launches[piece->launch];
    if (piece->first && !piece->new_submission && !l->independent)
        barrier(vk, cmd);
    if (cmds->profile)
        vk->CmdWriteTimestamp(cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, cmds->queries, 2 * index);
    vk->CmdBindPipeline(cmd, VK_PIPELINE_BIND_POINT_COMPUTE, vkft_kernel_pipeline(dev, l->kernel, NULL));
    vk->CmdPushConstants(cmd, vkft_kernel_layout(dev), VK_SHADER_STAGE_COMPUTE_BIT, 0, l->args_bytes, l->args);
    vk->CmdDispatchBase(cmd, piece->base[0] % WORKGROUPS_PER_ROW, piece->base[1], piece->base[0] / WORKGROUPS_PER_ROW,
                        piece->count[0], piece->count[1], 1);
    if (cmds->profile)
        vk->CmdWriteTimestamp(cmd, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, cmds->queries, 2 * index + 1);
}

/* The piece after the last of the submission that begins at `first`. */
static uint32_t submission_end(const vkft_cut *cut, uint32_t first)
{
    uint32_t end = first + 1;
    while (end < cut->count && !cut->pieces[end].new_submission)
        end++;
    return end;
}

static VkResult encode_submission(vkft_commands *cmds, VkCommandBuffer cmd, uint32_t first, uint32_t end)
{
    const vk_functions *vk = &cmds->dev->instance.vk;
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO};
    const VkMemoryBarrier to_host = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    VkResult result = vk->BeginCommandBuffer(cmd, &begin);
    if (result != VK_SUCCESS)
        return result;
    if (cmds->profile)
        vk->CmdResetQueryPool(cmd, cmds->queries, 2 * first, 2 * (end - first));
    barrier(vk, cmd); /* against the submission before */
    for (uint32_t i = first; i < end; i++)
        encode_piece(cmds, cmd, i);
    vk->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &to_host, 0,
                           NULL, 0, NULL);
    return vk->EndCommandBuffer(cmd);
}

static void add_ticks(vkft_commands *cmds, uint32_t first, uint32_t end)
{
    vkft_device *dev = cmds->dev;
    const vk_functions *vk = &dev->instance.vk;
    if (vk->GetQueryPoolResults(dev->handle, cmds->queries, 2 * first, 2 * (end - first),
                                2 * (end - first) * sizeof *cmds->ticks, cmds->ticks, sizeof *cmds->ticks,
                                VK_QUERY_RESULT_64_BIT | VK_QUERY_RESULT_WAIT_BIT) != VK_SUCCESS)
        return;
    for (uint32_t i = first; i < end; i++) {
        const vkft_piece *piece = &cmds->cut.pieces[i];
        const launch *l = &cmds->launches[piece->launch];
        vkft_profile_row *row = &cmds->rows[vkft_kernel_row(l->kernel)];
        const uint64_t *t = &cmds->ticks[2 * (i - first)];
        row->kernel = vkft_kernel_row(l->kernel);
        row->time_ms += vkft_caps_ticks_ms(&dev->info.caps, t[0], t[1]);
        if (piece->first) {
            row->launches++;
            row->flops += l->flops;
        }
    }
}

static double piece_ms(vkft_commands *cmds, const vkft_piece *piece)
{
    const launch *l = &cmds->launches[piece->launch];
    double share = 1;
    for (int i = 0; i < 2; i++)
        share *= (double)piece->count[i] / l->groups[i];
    return share * expected_ms(cmds, l);
}

/* Moves the rates of the submission's kernels towards what it took. Returns what was expected. */
static double learn(vkft_commands *cmds, uint32_t first, uint32_t end, double time_ms)
{
    double expected = 0;
    for (uint32_t i = first; i < end; i++)
        expected += piece_ms(cmds, &cmds->cut.pieces[i]);
    double ratio = time_ms / expected, highest = time_ms > SHORT_MS ? 100 : 1;
    ratio = ratio < 0.01 ? 0.01 : ratio > highest ? highest : ratio;
    for (uint32_t i = first; i < end; i++) {
        const vkft_piece *piece = &cmds->cut.pieces[i];
        const launch *l = &cmds->launches[piece->launch];
        double share = piece_ms(cmds, piece) / expected;
        if (l->flops > 0)
            *rate(cmds->dev, l->kernel) *= 1 + share * (ratio - 1);
    }
    return expected;
}

static bool fail_submission(vkft_commands *cmds, uint32_t first, uint32_t end, VkResult result, vkft_err *err)
{
    char kernels[512] = "";
    bool seen[VKFT_KERNEL_COUNT] = {false};
    for (uint32_t i = first; i < end; i++) {
        vkft_kernel kernel = vkft_kernel_row(cmds->launches[cmds->cut.pieces[i].launch].kernel);
        size_t at = strlen(kernels);
        if (!seen[kernel])
            snprintf(kernels + at, sizeof kernels - at, " %s", vkft_kernel_name(kernel));
        seen[kernel] = true;
    }
    vk_fail(err, result, "running kernels");
    return vkft_fail_context(err, "in a submission of%s", kernels);
}

/* Begins to write what a stage needs, unless it is there. */
static bool begin_upload(vkft_commands *cmds, const vkft_upload *u, vkft_err *err)
{
    if (*u->holds == u->number)
        return true;
    *u->holds = UINT32_MAX;
    if (!vkft_copy_wait(cmds->dev, err) || !u->fill(u->context, u->number, u->staging->mapped, err) ||
        !vkft_copy_begin(cmds->dev, u->staging, u->to, u->offset, u->bytes, err))
        return false;
    *u->holds = u->number;
    return true;
}

/* The stage that begins with this piece; NULL: none. */
static const stage *stage_at(vkft_commands *cmds, const vkft_piece *piece)
{
    if (cmds->next_stage == cmds->stage_count || !piece->first || piece->launch != cmds->stages[cmds->next_stage].first)
        return NULL;
    return &cmds->stages[cmds->next_stage++];
}

typedef struct outcome {
    bool off;     /* it took so much more or less than expected that what is left is better cut again */
    bool learned; /* rates of its kernels were measured */
} outcome;

/* What a stage that begins here reads is in its place when the submission is made; while it runs, the next stage's
 * upload begins. When that lasts longer than the kernels, their time is not known. */
static bool run_submission(vkft_commands *cmds, uint32_t number, uint32_t first, uint32_t end, outcome *ended,
                           vkft_err *err)
{
    vkft_device *dev = cmds->dev;
    const vk_functions *vk = &dev->instance.vk;
    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &cmds->buffers[number]};
    const stage *begun = stage_at(cmds, &cmds->cut.pieces[first]);
    if (begun && (!begin_upload(cmds, begun->upload, err) || !vkft_copy_wait(dev, err)))
        return false;
    double started = 1e3 * vkft_os_seconds();
    VkResult result = vk->QueueSubmit(dev->queue, 1, &submit, cmds->fence);
    cmds->stats.submissions += result == VK_SUCCESS;
    bool uploads = result == VK_SUCCESS && begun && cmds->next_stage < cmds->stage_count,
         uploaded = !uploads || begin_upload(cmds, begun[1].upload, err),
         timed = !uploads || vk->WaitForFences(dev->handle, 1, &cmds->fence, VK_TRUE, 0) == VK_TIMEOUT;
    if (result == VK_SUCCESS)
        result = vk->WaitForFences(dev->handle, 1, &cmds->fence, VK_TRUE, UINT64_MAX);
    double time_ms = 1e3 * vkft_os_seconds() - started;
    if (result == VK_SUCCESS)
        result = vk->ResetFences(dev->handle, 1, &cmds->fence);
    if (result != VK_SUCCESS) {
        vkft_device_settle(dev);
        vk->ResetFences(dev->handle, 1, &cmds->fence); /* who runs the commands again must wait again */
        return fail_submission(cmds, first, end, result, err);
    }
    if (!uploaded)
        return false;
    if (time_ms > cmds->stats.longest_submission_ms)
        cmds->stats.longest_submission_ms = time_ms;
    *ended = (outcome){.learned = timed};
    if (timed) {
        double expected = learn(cmds, first, end, time_ms), target = dev->submission_ms;
        ended->off =
            (time_ms > 2 * target && time_ms > 1.5 * expected) || (expected > 0.5 * target && time_ms < 0.3 * expected);
    }
    if (cmds->profile)
        add_ticks(cmds, first, end);
    return true;
}

/* The submissions come near the limit, or are many and short. */
static bool cut_is_off(const vkft_run_stats *stats, double target_ms)
{
    return stats->longest_submission_ms > 1.6 * target_ms ||
           (stats->submissions > 1 && stats->time_ms / stats->submissions < 0.3 * target_ms);
}

/* Runs the cut, or its first submissions, and says how far it came. */
static bool run_cut(vkft_commands *cmds, vkft_place *reached, vkft_err *err)
{
    uint32_t number = 0;
    outcome ended = {0};
    for (uint32_t first = 0; first < cmds->cut.count; number++) {
        uint32_t end = submission_end(&cmds->cut, first);
        if (number == cmds->encoded) {
            if (!reserve_buffers(cmds, number + 1, err))
                return false;
            VkResult result = encode_submission(cmds, cmds->buffers[number], first, end);
            if (result != VK_SUCCESS)
                return vk_fail(err, result, "encoding commands");
            cmds->encoded++;
        }
        if (!run_submission(cmds, number, first, end, &ended, err))
            return false;
        if (ended.off && end < cmds->cut.count) {
            *reached = vkft_piece_place(&cmds->cut.pieces[end]);
            cmds->is_cut = false;
            return true;
        }
        first = end;
    }
    if (cmds->cut.probes && ended.learned)
        vkft_kernel_rate(cmds->dev, cmds->launches[cmds->cut.pieces[cmds->cut.count - 1].launch].kernel)->is_known =
            true;
    *reached = cmds->cut.end;
    return true;
}

bool vkft_commands_build(vkft_commands *cmds, vkft_err *err)
{
    vkft_kernel kernels[VKFT_KERNEL_VARIANTS * VKFT_KERNEL_COUNT];
    bool seen[VKFT_KERNEL_VARIANTS * VKFT_KERNEL_COUNT] = {false};
    uint32_t count = 0;
    for (uint32_t i = cmds->built; i < cmds->count; i++) {
        vkft_kernel kernel = cmds->launches[i].kernel;
        if (!seen[kernel])
            kernels[count++] = kernel;
        seen[kernel] = true;
    }
    if (!vkft_kernels_build(cmds->dev, kernels, count, err))
        return false;
    cmds->built = cmds->count;
    return true;
}

bool vkft_commands_run(vkft_commands *cmds, vkft_err *err)
{
    vkft_place at = {0, 0};
    if (cmds->error.kind) {
        if (err)
            *err = cmds->error;
        return false;
    }
    if (!vkft_commands_build(cmds, err))
        return false;
    cmds->stats = (vkft_run_stats){0};
    cmds->next_stage = 0;
    double started = 1e3 * vkft_os_seconds();
    do {
        if (!cmds->is_cut) {
            bool from_start = at.launch == 0 && at.base == 0;
            if (!make_cut(cmds, at, err) || !reserve_queries(cmds, err))
                return false;
            cmds->is_cut = from_start && !cmds->cut.probes;
        }
        if (!run_cut(cmds, &at, err)) {
            cmds->is_cut = false;
            return false;
        }
    } while (at.launch < cmds->count);
    cmds->stats.time_ms = 1e3 * vkft_os_seconds() - started;
    if (cut_is_off(&cmds->stats, cmds->dev->submission_ms))
        cmds->is_cut = false;
    return true;
}

void vkft_commands_set_profile(vkft_commands *cmds, bool on)
{
    cmds->profile = on && cmds->dev->info.caps.timestamp_period_ns > 0;
    cmds->is_cut = false;
}

void vkft_commands_add_profile(const vkft_commands *cmds, vkft_profile_row *rows)
{
    for (uint32_t i = 0; i < VKFT_KERNEL_COUNT; i++) {
        rows[i].kernel = (vkft_kernel)i;
        rows[i].launches += cmds->rows[i].launches;
        rows[i].time_ms += cmds->rows[i].time_ms;
        rows[i].flops += cmds->rows[i].flops;
    }
}

vkft_run_stats vkft_commands_stats(const vkft_commands *cmds)
{
    return cmds->stats;
}
