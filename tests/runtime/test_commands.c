/* What reaches the driver, seen by functions that stand before its own, and a clock that only submissions and builds of
 * pipelines move: barriers, sizes of subgroups, pacing on slow and fast devices, the pipeline cache of a slow compiler.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/parallel.h"
#include "runtime/vulkan/vk.h"
#include "shaders/core/args.h"
#include "shaders/optimizer/args.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

typedef enum event_kind { BARRIER, DISPATCH, COPY, FILL, PIPELINE, SUBMISSION } event_kind;

typedef struct event {
    event_kind kind;
    VkPipelineStageFlags from, to; /* of a barrier */
    VkAccessFlags made, used;      /* the same */
    uint32_t subgroup_size;        /* that a pipeline asks for; 0: none */
    double time_ms;                /* of a submission */
} event;

#define MEET_SECONDS 10

static struct {
    vk_functions real;
    event events[20000];
    uint32_t count;
    VkCommandBuffer buffers[8000];
    double groups[8000]; /* of workgroups in each of them */
    uint32_t buffer_count;
    double now, seconds_per_group, seconds_per_build;
    bool two_heaps; /* the device's only memory type looks like two, of which the first one's heap is full */
    uint32_t refused;
    pthread_mutex_t lock;
    pthread_cond_t entered;
    bool waits; /* who builds a pipeline waits for another one who does */
    uint32_t waiting;
    bool met;
} spy = {.lock = PTHREAD_MUTEX_INITIALIZER, .entered = PTHREAD_COND_INITIALIZER};

static event *add_event(event_kind kind)
{
    assert_true(spy.count < sizeof spy.events / sizeof *spy.events);
    event *e = &spy.events[spy.count++];
    *e = (event){.kind = kind};
    return e;
}

static double *groups_of(VkCommandBuffer cmd)
{
    uint32_t i = 0;
    while (i < spy.buffer_count && spy.buffers[i] != cmd)
        i++;
    if (i == spy.buffer_count) {
        assert_true(spy.buffer_count < sizeof spy.buffers / sizeof *spy.buffers);
        spy.buffers[spy.buffer_count++] = cmd;
    }
    return &spy.groups[i];
}

static VKAPI_ATTR VkResult VKAPI_CALL begin(VkCommandBuffer cmd, const VkCommandBufferBeginInfo *info)
{
    *groups_of(cmd) = 0;
    return spy.real.BeginCommandBuffer(cmd, info);
}

static VKAPI_ATTR void VKAPI_CALL barrier(VkCommandBuffer cmd, VkPipelineStageFlags from, VkPipelineStageFlags to,
                                          VkDependencyFlags flags, uint32_t count, const VkMemoryBarrier *memory,
                                          uint32_t buffers, const VkBufferMemoryBarrier *b, uint32_t images,
                                          const VkImageMemoryBarrier *i)
{
    event *e = add_event(BARRIER);
    assert_int_equal(count, 1);
    *e = (event){BARRIER, from, to, memory->srcAccessMask, memory->dstAccessMask, 0, 0};
    spy.real.CmdPipelineBarrier(cmd, from, to, flags, count, memory, buffers, b, images, i);
}

static VKAPI_ATTR void VKAPI_CALL dispatch(VkCommandBuffer cmd, uint32_t x, uint32_t y, uint32_t z, uint32_t nx,
                                           uint32_t ny, uint32_t nz)
{
    add_event(DISPATCH);
    *groups_of(cmd) += (double)nx * ny * nz;
    spy.real.CmdDispatchBase(cmd, x, y, z, nx, ny, nz);
}

static VKAPI_ATTR void VKAPI_CALL copy(VkCommandBuffer cmd, VkBuffer from, VkBuffer to, uint32_t count,
                                       const VkBufferCopy *regions)
{
    add_event(COPY);
    spy.real.CmdCopyBuffer(cmd, from, to, count, regions);
}

static VKAPI_ATTR void VKAPI_CALL fill(VkCommandBuffer cmd, VkBuffer to, VkDeviceSize at, VkDeviceSize size,
                                       uint32_t pattern)
{
    add_event(FILL);
    spy.real.CmdFillBuffer(cmd, to, at, size, pattern);
}

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t count, const VkSubmitInfo *info, VkFence fence)
{
    double seconds = 1e-4 + spy.seconds_per_group * *groups_of(info->pCommandBuffers[0]);
    add_event(SUBMISSION)->time_ms = 1e3 * seconds;
    spy.now += seconds;
    return spy.real.QueueSubmit(queue, count, info, fence);
}

/* With the lock held. */
static void meet(void)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += MEET_SECONDS;
    spy.met |= ++spy.waiting > 1;
    pthread_cond_broadcast(&spy.entered);
    while (!spy.met && pthread_cond_timedwait(&spy.entered, &spy.lock, &end) == 0)
        ;
    spy.waiting--;
}

static VKAPI_ATTR VkResult VKAPI_CALL build(VkDevice device, VkPipelineCache cache, uint32_t count,
                                            const VkComputePipelineCreateInfo *info, const VkAllocationCallbacks *a,
                                            VkPipeline *pipelines)
{
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo *ask = info->stage.pNext;
    pthread_mutex_lock(&spy.lock);
    add_event(PIPELINE)->subgroup_size = ask ? ask->requiredSubgroupSize : 0;
    spy.now += spy.seconds_per_build;
    if (spy.waits)
        meet();
    pthread_mutex_unlock(&spy.lock);
    return spy.real.CreateComputePipelines(device, cache, count, info, a, pipelines);
}

static VKAPI_ATTR void VKAPI_CALL memory(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *m)
{
    VkPhysicalDeviceMemoryProperties *p = &m->memoryProperties;
    spy.real.GetPhysicalDeviceMemoryProperties2(device, m);
    if (!spy.two_heaps)
        return;
    p->memoryTypes[1] = p->memoryTypes[0];
    p->memoryTypes[1].heapIndex = 1;
    p->memoryHeaps[1] = p->memoryHeaps[0];
    p->memoryTypeCount = p->memoryHeapCount = 2;
}

static VKAPI_ATTR void VKAPI_CALL requirements(VkDevice device, VkBuffer buffer, VkMemoryRequirements *needs)
{
    spy.real.GetBufferMemoryRequirements(device, buffer, needs);
    if (spy.two_heaps)
        needs->memoryTypeBits = 3;
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *a, VkDeviceMemory *out)
{
    VkMemoryAllocateInfo real = *info;
    if (spy.two_heaps && (info->memoryTypeIndex == 0 || info->allocationSize > 1 << 20)) {
        spy.refused++;
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    }
    real.memoryTypeIndex = spy.two_heaps ? 0 : info->memoryTypeIndex;
    return spy.real.AllocateMemory(device, &real, a, out);
}

/* The linker has calls of these go here: see tests/CMakeLists.txt. */
void __real_vk_load_device(vk_functions *vk, VkDevice device);
void __wrap_vk_load_device(vk_functions *vk, VkDevice device);
double __wrap_vkft_os_seconds(void);

void __wrap_vk_load_device(vk_functions *vk, VkDevice device)
{
    __real_vk_load_device(vk, device);
    spy.real = *vk;
    vk->BeginCommandBuffer = begin;
    vk->CmdPipelineBarrier = barrier;
    vk->CmdDispatchBase = dispatch;
    vk->CmdCopyBuffer = copy;
    vk->CmdFillBuffer = fill;
    vk->QueueSubmit = submit;
    vk->CreateComputePipelines = build;
    vk->GetPhysicalDeviceMemoryProperties2 = memory;
    vk->GetBufferMemoryRequirements = requirements;
    vk->AllocateMemory = allocate;
}

double __wrap_vkft_os_seconds(void)
{
    return spy.now;
}

static uint32_t count_events(event_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < spy.count; i++)
        count += spy.events[i].kind == kind;
    return count;
}

/* A transfer stands between what kernels and transfers wrote before and what reads it later. */
static void expect_transfer(event_kind kind)
{
    assert_int_equal(spy.count, 4);
    const event *before = &spy.events[0], *after = &spy.events[2];
    assert_true(before->kind == BARRIER && spy.events[1].kind == kind && after->kind == BARRIER);
    assert_int_equal(before->from, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT);
    assert_int_equal(before->to, VK_PIPELINE_STAGE_TRANSFER_BIT);
    assert_int_equal(before->made, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    assert_int_equal(before->used, VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
    assert_int_equal(after->from, VK_PIPELINE_STAGE_TRANSFER_BIT);
    assert_true(after->to & VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT && after->to & VK_PIPELINE_STAGE_HOST_BIT);
    assert_int_equal(spy.events[3].kind, SUBMISSION);
    spy.count = 0;
}

static void test_transfers(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    uint32_t data[64] = {0};
    vkft_buffer b;
    expect_ok(vkft_buffer_new(f->dev, sizeof data, VKFT_MEMORY_DEVICE, "test", &b, &err));
    b.mapped = NULL; /* as on a card whose memory is not host-visible */
    spy.count = 0;
    expect_ok(vkft_buffer_fill(f->dev, &b, 0, sizeof data, 7, &err));
    expect_transfer(FILL);
    expect_ok(vkft_buffer_write(f->dev, &b, 4, data, 8, &err));
    expect_transfer(COPY);
    expect_ok(vkft_buffer_read(f->dev, &b, 0, data, sizeof data, &err));
    expect_transfer(COPY);
    assert_true(data[0] == 7 && data[1] == 0 && data[3] == 7);
    vkft_buffer_free(f->dev, &b);
}

/* A pipeline asks for a size of subgroups only where the driver can give it. */
static void test_subgroup_size(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_caps *caps = (vkft_caps *)(uintptr_t)vkft_device_get_caps(f->dev);
    const vkft_caps as_read = *caps;
    for (uint32_t choice = 0; choice < 2; choice++) {
        caps->subgroup_size_choice = choice && as_read.subgroup_size_choice;
        spy.count = 0;
        expect_ok(vkft_kernel_prepare(f->dev, vkft_kernel_variant(VKFT_KERNEL_clip, 1 + choice), &err));
        assert_int_equal(spy.count, 1);
        assert_int_equal(spy.events[0].subgroup_size, caps->subgroup_size_choice ? caps->subgroup_size : 0);
    }
    *caps = as_read;
}

/* On a device with fewer invocations in a workgroup than kernels of elements like to have, they have as many. */
static void test_narrow_workgroups(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_caps *caps = (vkft_caps *)(uintptr_t)vkft_device_get_caps(f->dev);
    const vkft_caps as_read = *caps;
    vkft_kernel kernel = vkft_kernel_variant(VKFT_KERNEL_fill, 1);
    float got[333];
    vkft_guarded b = vkft_guarded_floats(f, NULL, 333);
    struct fill_args args = {.y = b.address, .n = 333, .value = 3};
    caps->workgroup_invocations = 128; /* what Vulkan guarantees */
    vkft_kernel_specialize(f->dev, kernel, 0, 0, (const uint32_t[]){0}, 1);
    assert_int_equal(vkft_kernel_width(f->dev, kernel), 128);
    vkft_commands_reset(f->cmds);
    vkft_launch(f->cmds, kernel, &args, sizeof args, 333, 1, 333);
    expect_ok(vkft_commands_run(f->cmds, &err));
    vkft_guarded_read(f, &b, got);
    for (uint32_t i = 0; i < 333; i++)
        assert_true(got[i] == 3);
    *caps = as_read;
    vkft_guarded_free(f, &b);
}

#define GROUPS 4000u
#define LAUNCHES 3u

static struct fill_args record_long(const vkft_kernel_fixture *f, vkft_kernel kernel, const vkft_guarded *b,
                                    double flops_per_group)
{
    struct fill_args args = {.y = b->address, .n = b->count, .value = 1};
    vkft_commands_reset(f->cmds);
    for (uint32_t i = 0; i < LAUNCHES; i++)
        vkft_launch(f->cmds, kernel, &args, sizeof args, b->count, 1, flops_per_group * GROUPS);
    return args;
}

/* Runs them and returns the longest submission. */
static double run_long(const vkft_kernel_fixture *f)
{
    vkft_err err;
    double longest = 0;
    spy.count = 0;
    expect_ok(vkft_commands_run(f->cmds, &err));
    for (uint32_t i = 0; i < spy.count; i++)
        if (spy.events[i].kind == SUBMISSION && spy.events[i].time_ms > longest)
            longest = spy.events[i].time_ms;
    return longest;
}

/* A kernel that was never measured, on devices that are far slower and far faster than the guess: no submission comes
 * near a watchdog, and soon there are no more of them than needed. */
static void test_first_launches(void **state)
{
    const vkft_kernel_fixture *f = *state;
    static const double seconds_per_group[] = {2e-2, 1e-3, 1e-5, 1e-8};
    const double flops_per_group = 1e6;
    uint32_t width = vkft_kernel_width(f->dev, VKFT_KERNEL_fill);
    vkft_guarded b = vkft_guarded_floats(f, NULL, GROUPS * width);
    for (uint32_t i = 0; i < 4; i++) {
        vkft_kernel kernel = vkft_kernel_variant(VKFT_KERNEL_fill, 2 + i);
        vkft_kernel_specialize(f->dev, kernel, 0, 0, &i, 1); /* a kernel of its own, of which nothing is known */
        spy.seconds_per_group = seconds_per_group[i];
        double needed = 1 + LAUNCHES * GROUPS * spy.seconds_per_group / 0.25;
        record_long(f, kernel, &b, flops_per_group);
        assert_true(run_long(f) <= 500);
        double first_ms = 0;
        for (uint32_t e = 0; first_ms == 0; e++)
            first_ms = spy.events[e].kind == SUBMISSION ? spy.events[e].time_ms : 0;
        assert_true(first_ms <= 1 + 1e3 * 10 * spy.seconds_per_group); /* 10 ms by the guess: ten workgroups */
        assert_true(count_events(SUBMISSION) <= 12 + 1.5 * needed);
        assert_true(run_long(f) <= 500);
        assert_true(run_long(f) <= 500);
        assert_true(count_events(SUBMISSION) <= 2 + 1.2 * needed);
    }
    spy.seconds_per_group = 0;
    vkft_guarded_free(f, &b);
}

/* A device that becomes ten times slower in the middle of a run: one submission is too long, and not the next. */
static void test_slowing_down(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_kernel kernel = vkft_kernel_variant(VKFT_KERNEL_fill, 6);
    uint32_t width = vkft_kernel_width(f->dev, VKFT_KERNEL_fill), seven = 7, too_long = 0;
    vkft_guarded b = vkft_guarded_floats(f, NULL, GROUPS * width);
    vkft_kernel_specialize(f->dev, kernel, 0, 0, &seven, 1);
    spy.seconds_per_group = 1e-3;
    record_long(f, kernel, &b, 1e6);
    run_long(f);
    assert_true(run_long(f) <= 260);
    spy.seconds_per_group = 1e-2;
    run_long(f);
    for (uint32_t i = 0; i < spy.count; i++)
        too_long += spy.events[i].kind == SUBMISSION && spy.events[i].time_ms > 500;
    assert_int_equal(too_long, 1);
    spy.seconds_per_group = 0;
    vkft_guarded_free(f, &b);
}

/* A barrier stands between two launches unless what they touch is known and their order does not matter. */
static void test_independent(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_guarded b = vkft_guarded_floats(f, NULL, 96);
    float got[96];
    for (uint32_t independent = 0; independent < 2; independent++) {
        vkft_commands_reset(f->cmds);
        for (uint32_t i = 0; i < 3; i++) {
            struct fill_args args = {.y = b.address + i * 128, .n = 32, .value = (float)(i + independent)};
            const vkft_touch touch = {.writes = {{args.y, 128}}};
            vkft_commands_touch(f->cmds, independent ? &touch : NULL);
            vkft_launch(f->cmds, VKFT_KERNEL_fill, &args, sizeof args, 32, 1, 32);
        }
        assert_int_equal(vkft_commands_barrier_count(f->cmds), independent ? 1 : 3);
        spy.count = 0;
        expect_ok(vkft_commands_run(f->cmds, &err));
        assert_int_equal(count_events(DISPATCH), 3);
        assert_int_equal(count_events(BARRIER), independent ? 2 : 4); /* two of them around the submission */
        vkft_guarded_read(f, &b, got);
        for (uint32_t i = 0; i < 96; i++)
            assert_true(got[i] == (float)(i / 32 + independent));
    }
    vkft_guarded_free(f, &b);
}

/* A buffer that one heap has no room for lies in another. */
static void test_full_heap(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_buffer b;
    expect_ok(vkft_buffer_new(f->dev, 1000, VKFT_MEMORY_DEVICE, "before", &b, &err));
    bool mapped = b.mapped;
    vkft_buffer_free(f->dev, &b);
    if (!mapped || !vkft_device_get_info(f->dev)->unified_memory) {
        print_message("skipped: the device has more kinds of memory than this test makes up\n");
        skip();
    }
    spy.two_heaps = true;
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    assert_non_null(dev);
    spy.refused = 0;
    expect_ok(vkft_buffer_new(dev, 1000, VKFT_MEMORY_DEVICE, "small", &b, &err));
    assert_int_equal(spy.refused, 1);
    vkft_buffer_free(dev, &b);
    expect_failure(vkft_buffer_new(dev, 2 << 20, VKFT_MEMORY_DEVICE, "large", &b, &err), "large: cannot allocate");
    assert_int_equal(err.kind, VKFT_ERR_MEMORY);
    assert_int_equal(spy.refused, 3);
    vkft_device_close(dev);
    spy.two_heaps = false;
}

static bool find(void *context, const char *name)
{
    if (strncmp(name, context, strlen(context)) != 0)
        return true;
    *(char *)context = 0;
    return false;
}

static bool holds(const char *directory, const char *kind)
{
    char name[40];
    vkft_err err;
    snprintf(name, sizeof name, "%s-", kind);
    vkft_directory_list(directory, find, name, &err);
    return name[0] == 0;
}

/* Missing pipelines of a recording are built at the same time, each once. */
static void test_parallel_builds(void **state)
{
    (void)state;
    vkft_err err;
    vkft_kernel_fixture f = {.dev = vkft_device_open(getenv("VKFT_DEVICE"), &err)};
    assert_non_null(f.dev);
    f.cmds = vkft_commands_new(f.dev, &err);
    assert_non_null(f.cmds);
    const struct fill_args fill = {0};
    const struct clip_args clip = {0};
    for (int i = 0; i < 2; i++) {
        vkft_launch(f.cmds, VKFT_KERNEL_fill, &fill, sizeof fill, 1, 1, 1);
        vkft_launch_workgroups(f.cmds, VKFT_KERNEL_clip, &clip, sizeof clip, 1, 1, 1);
    }
    spy.count = 0;
    spy.met = false;
    spy.waits = vkft_worker_count(0) > 1;
    expect_ok(vkft_commands_build(f.cmds, &err));
    assert_true(spy.met == spy.waits);
    spy.waits = false;
    assert_int_equal(count_events(PIPELINE), 2);
    expect_ok(vkft_commands_build(f.cmds, &err));
    assert_int_equal(count_events(PIPELINE), 2);
    vkft_commands_free(f.cmds);
    vkft_device_close(f.dev);
}

/* What a slow compiler made is on disk before the device closes; rates are there after. */
static void test_slow_builds(void **state)
{
    (void)state;
    vkft_err err;
    char *before = getenv("VKFT_CACHE_DIR"), *directory = vkft_test_directory();
    before = before ? strdup(before) : NULL;
    vkft_test_environment("VKFT_CACHE_DIR", directory);
    vkft_kernel_fixture f = {.dev = vkft_device_open(getenv("VKFT_DEVICE"), &err)};
    assert_non_null(f.dev);
    f.cmds = vkft_commands_new(f.dev, &err);
    assert_non_null(f.cmds);
    spy.seconds_per_build = 0.6;
    expect_ok(vkft_kernel_prepare(f.dev, VKFT_KERNEL_fill, &err));
    assert_false(holds(directory, "pipelines"));
    expect_ok(vkft_kernel_prepare(f.dev, VKFT_KERNEL_clip, &err));
    assert_true(holds(directory, "pipelines"));
    spy.seconds_per_build = 0;
    uint32_t width = vkft_kernel_width(f.dev, VKFT_KERNEL_fill);
    vkft_guarded b = vkft_guarded_floats(&f, NULL, GROUPS * width);
    spy.seconds_per_group = 1e-3;
    record_long(&f, VKFT_KERNEL_fill, &b, 1e6);
    run_long(&f);
    uint32_t first = count_events(SUBMISSION);
    assert_false(holds(directory, "rates"));
    vkft_guarded_free(&f, &b);
    vkft_commands_free(f.cmds);
    vkft_device_close(f.dev);
    assert_true(holds(directory, "rates"));
    /* The next run knows the kernel, and needs no probe. */
    f.dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    f.cmds = vkft_commands_new(f.dev, &err);
    b = vkft_guarded_floats(&f, NULL, GROUPS * width);
    record_long(&f, VKFT_KERNEL_fill, &b, 1e6);
    assert_true(run_long(&f) <= 500 && spy.events[spy.count - 1].kind == SUBMISSION);
    assert_true(count_events(SUBMISSION) < first);
    spy.seconds_per_group = 0;
    vkft_guarded_free(&f, &b);
    vkft_commands_free(f.cmds);
    vkft_device_close(f.dev);
    vkft_test_environment("VKFT_CACHE_DIR", before);
    vkft_test_remove_directory(directory);
    free(before);
}

/* A cache of its own: what is known of kernels is not what was measured by this clock. */
static char *cache;

static int setup(void **state)
{
    cache = vkft_test_directory();
    vkft_test_environment("VKFT_CACHE_DIR", cache);
    return vkft_kernel_setup(state);
}

static int teardown(void **state)
{
    int result = vkft_kernel_teardown(state);
    vkft_test_remove_directory(cache);
    return result;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfers),         cmocka_unit_test(test_subgroup_size),
        cmocka_unit_test(test_narrow_workgroups), cmocka_unit_test(test_first_launches),
        cmocka_unit_test(test_slowing_down),      cmocka_unit_test(test_independent),
        cmocka_unit_test(test_full_heap),         cmocka_unit_test(test_slow_builds),
        cmocka_unit_test(test_parallel_builds),
    };
    return cmocka_run_group_tests_name("commands", tests, setup, teardown);
}
