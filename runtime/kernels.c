/* The kernel table and its pipelines. */
#include "runtime/kernels.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "shaders/matmul/args.h"
#include "shaders/norm/args.h"
#include "shaders/attention/args.h"
#include "shaders/experts/args.h"
#include "shaders/elementwise/args.h"
#include "shaders/embedding/args.h"
#include "shaders/loss/args.h"
#include "shaders/optimizer/args.h"
#include "shaders/bench/args.h"
#include "runtime/base/os/os.h"
#include "runtime/base/parallel.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"
#include "runtime/device_private.h"
#include "runtime/kernels_private.h"
#include "runtime/device_cache.h"
#include "runtime/vulkan/statistics.h"

/* As kernels.def writes them. */
enum {
    NEEDS_NONE = 0,
#define X(id, name) CAP_##id = VKFT_CAP_##id,
    VKFT_CAPS(X)
#undef X
};

static const struct kernel_row {
    const char *name;
    uint32_t args_bytes;
    uint32_t needs;
    vkft_kernel_shape shape;
} rows[] = {
#define KERNEL(name, source, args, needs, shape, family, storage, defines)                                             \
    {#name, sizeof(struct args), needs, VKFT_SHAPE_##shape},
#include "shaders/kernels.def"
#undef KERNEL
};

/* What Vulkan guarantees for push constants. */
#define KERNEL(name, source, args, needs, shape, family, storage, defines)                                             \
    static_assert(sizeof(struct args) <= 128, "the arguments of " #name " exceed 128 bytes");
#include "shaders/kernels.def"
#undef KERNEL

#include "kernel_code.inc"

#define MAX_CONSTANTS (1 + VKFT_KERNEL_CONSTANTS) /* the width and the kernel's own */
#define PIPELINES (VKFT_KERNEL_VARIANTS * VKFT_KERNEL_COUNT)
#define SAVE_SECONDS 1.0 /* of compiling that is not on disk */

typedef struct kernel_state {
    VkPipeline pipeline;
    uint32_t constants[MAX_CONSTANTS]; /* [0] is the width */
    uint32_t constant_count;
    uint32_t subgroup_size; /* that it asks for; 0: any */
    vkft_rate rate;
} kernel_state;

struct vkft_kernels {
    VkPipelineLayout layout;
    VkPipelineCache cache;
    size_t cache_bytes;     /* as read from disk, or written last */
    double unsaved_seconds; /* of compiling */
    vkft_text rates;        /* as on disk */
    bool refused[VKFT_KERNEL_COUNT];
    kernel_state states[PIPELINES];
};

uint64_t vkft_kernels_hash(void)
{
    XXH64_hash_t hash = 0;
    for (uint32_t i = 0; i < VKFT_KERNEL_COUNT; i++)
        if (kernel_code[i].words)
            hash = XXH64(kernel_code[i].words, kernel_code[i].bytes, hash);
    return hash;
}

const char *vkft_kernel_name(vkft_kernel kernel)
{
    return rows[vkft_kernel_row(kernel)].name;
}

uint32_t vkft_kernel_args_bytes(vkft_kernel kernel)
{
    return rows[vkft_kernel_row(kernel)].args_bytes;
}

vkft_kernel_shape vkft_kernel_get_shape(vkft_kernel kernel)
{
    return rows[vkft_kernel_row(kernel)].shape;
}

bool vkft_kernel_is_built(vkft_kernel kernel)
{
    return kernel_code[vkft_kernel_row(kernel)].words;
}

uint32_t vkft_kernel_needs(vkft_kernel kernel)
{
    return rows[vkft_kernel_row(kernel)].needs;
}

VkPipelineLayout vkft_kernel_layout(const vkft_device *dev)
{
    return dev->kernels->layout;
}

static void rate_key(const vkft_device *dev, vkft_kernel kernel, char key[VKFT_RATE_KEY])
{
    const kernel_state *state = &dev->kernels->states[kernel];
    vkft_rate_key(vkft_kernel_name(kernel), state->constants, state->constant_count, state->subgroup_size, key);
}

vkft_rate *vkft_kernel_rate(vkft_device *dev, vkft_kernel kernel)
{
    vkft_rate *rate = &dev->kernels->states[kernel].rate;
    if (rate->ns_per_flop == 0) {
        char key[VKFT_RATE_KEY];
        rate_key(dev, kernel, key);
        rate->ns_per_flop = vkft_rates_find(&dev->kernels->rates, key);
        rate->is_known = rate->is_stored = rate->ns_per_flop > 0;
    }
    return rate;
}

uint32_t vkft_kernel_width(const vkft_device *dev, vkft_kernel kernel)
{
    return dev->kernels->states[kernel].constants[0];
}

const uint32_t *vkft_kernel_get_constants(const vkft_device *dev, vkft_kernel kernel, uint32_t *count)
{
    const kernel_state *state = &dev->kernels->states[kernel];
    *count = state->constant_count;
    return state->constants;
}

/* Workgroups of elements hold several subgroups, since starting a workgroup costs more than an element. */
static uint32_t default_width(const vkft_caps *caps, vkft_kernel kernel)
{
    return vkft_kernel_get_shape(kernel) == VKFT_SHAPE_ELEMENT ? min_u32(256, caps->workgroup_invocations)
                                                               : caps->subgroup_size;
}

void vkft_kernel_specialize(vkft_device *dev, vkft_kernel kernel, uint32_t width, uint32_t subgroup_size,
                            const uint32_t *constants, uint32_t constant_count)
{
    kernel_state *state = &dev->kernels->states[kernel];
    bool tile = vkft_kernel_get_shape(kernel) == VKFT_SHAPE_TILE;
    assert((width > 0) == tile && constant_count < MAX_CONSTANTS);
    assert(!subgroup_size || vkft_caps_subgroup_size(&dev->info.caps, width, subgroup_size));
    /* The width of others follows from their shape, and ROW's sums from the width. */
    uint32_t wanted[MAX_CONSTANTS] = {tile ? width : default_width(&dev->info.caps, kernel)};
    for (uint32_t i = 0; i < constant_count; i++)
        wanted[i + 1] = constants[i];
    if (state->constant_count == constant_count + 1 && state->subgroup_size == subgroup_size &&
        memcmp(state->constants, wanted, sizeof wanted) == 0)
        return;
    dev->instance.vk.DestroyPipeline(dev->handle, state->pipeline, NULL);
    state->pipeline = VK_NULL_HANDLE;
    memcpy(state->constants, wanted, sizeof wanted);
    state->constant_count = constant_count + 1;
    state->subgroup_size = subgroup_size;
    state->rate = (vkft_rate){0};
}

/* What a pipeline asks of its subgroups: a size, and that they are full. Kernels as wide as a subgroup of the usual
 * size ask for just one, because their sums need it. */
static VkPipelineShaderStageCreateFlags ask_subgroups(const vkft_caps *caps, const kernel_state *state,
                                                      VkPipelineShaderStageRequiredSubgroupSizeCreateInfo *ask)
{
    uint32_t width = state->constants[0], size = state->subgroup_size           ? state->subgroup_size
                                                 : width == caps->subgroup_size ? width
                                                                                : 0;
    if (!size || !vkft_caps_have(caps, VKFT_CAP_SUBGROUP_CONTROL))
        return 0;
    if (caps->subgroup_size_choice)
        *ask = (VkPipelineShaderStageRequiredSubgroupSizeCreateInfo){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
            .requiredSubgroupSize = size};
    bool full = width % (caps->subgroup_size_choice ? size : caps->subgroup_max) == 0;
    return full ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0;
}

/* Writes the cache when pipelines were added to it. */
static void save_cache(vkft_device *dev)
{
    const vk_functions *vk = &dev->instance.vk;
    size_t size = 0;
    if (!dev->kernels->cache || vk->GetPipelineCacheData(dev->handle, dev->kernels->cache, &size, NULL) != VK_SUCCESS ||
        size <= dev->kernels->cache_bytes)
        return;
    void *data = malloc(size);
    if (data && vk->GetPipelineCacheData(dev->handle, dev->kernels->cache, &size, data) == VK_SUCCESS)
        vkft_device_cache_write(dev, "pipelines", data, size);
    free(data);
    dev->kernels->cache_bytes = size;
    dev->kernels->unsaved_seconds = 0;
}

static bool may_compile(const vkft_device *dev, vkft_kernel kernel, vkft_err *err)
{
    const struct kernel_row *row = &rows[vkft_kernel_row(kernel)];
    if (!vkft_kernel_is_built(kernel))
        return vkft_fail(err, VKFT_ERR_DEVICE, "kernel %s is not in this build: its shader compiler was too old",
                         row->name);
    if (!vkft_caps_meet(&dev->info.caps, row->needs, row->name, dev->info.name, err))
        return false;
    return !vkft_kernel_is_refused(dev, kernel) ||
           vkft_fail(err, VKFT_ERR_DEVICE,
                     "kernel %s computes wrong results on %s, as 'vkft doctor' found: update the driver and run "
                     "'vkft doctor' again, or choose another device",
                     row->name, dev->info.name);
}

/* Several threads may compile different kernels at a time. */
static VkResult compile(vkft_device *dev, vkft_kernel kernel)
{
    const vk_functions *vk = &dev->instance.vk;
    const vkft_caps *caps = &dev->info.caps;
    kernel_state *state = &dev->kernels->states[kernel];
    const struct kernel_code *binary = &kernel_code[vkft_kernel_row(kernel)];
    const VkShaderModuleCreateInfo code = {
        .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = binary->bytes, .pCode = binary->words};
    VkShaderModule module;
    VkResult result = vk->CreateShaderModule(dev->handle, &code, NULL, &module);
    if (result != VK_SUCCESS)
        return result;
    VkSpecializationMapEntry entries[MAX_CONSTANTS];
    for (uint32_t i = 0; i < state->constant_count; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = i * 4, .size = 4};
    const VkSpecializationInfo specialization = {.mapEntryCount = state->constant_count,
                                                 .pMapEntries = entries,
                                                 .dataSize = 4 * state->constant_count,
                                                 .pData = state->constants};
    VkPipelineShaderStageRequiredSubgroupSizeCreateInfo subgroup = {0};
    VkPipelineShaderStageCreateFlags flags = ask_subgroups(caps, state, &subgroup);
    const VkComputePipelineCreateInfo info = {.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
                                              .flags = VK_PIPELINE_CREATE_DISPATCH_BASE_BIT | vk_statistics_flags(caps),
                                              .layout = dev->kernels->layout,
                                              .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                                                        .pNext = subgroup.requiredSubgroupSize ? &subgroup : NULL,
                                                        .flags = flags,
                                                        .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                                                        .module = module,
                                                        .pName = "main",
                                                        .pSpecializationInfo = &specialization}};
    /* A pipeline from a cache may have no statistics. */
    VkPipelineCache cache = vk_statistics_flags(caps) ? VK_NULL_HANDLE : dev->kernels->cache;
    result = vk->CreateComputePipelines(dev->handle, cache, 1, &info, NULL, &state->pipeline);
    vk->DestroyShaderModule(dev->handle, module, NULL);
    return result;
}

/* Kernels to compile, and how that ended. */
typedef struct batch {
    vkft_device *dev;
    const vkft_kernel *kernels;
    VkResult *results;
} batch;

static void compile_one(void *context, uint64_t task, uint32_t worker)
{
    const batch *b = context;
    struct vkft_kernels *all = b->dev->kernels;
    double started = vkft_os_seconds();
    b->results[task] = compile(b->dev, b->kernels[task]);
    if (worker != 0)
        return;
    all->unsaved_seconds += vkft_os_seconds() - started;
    if (all->unsaved_seconds > SAVE_SECONDS) /* who ends a slow first run need not wait for this again */
        save_cache(b->dev);
}

bool vkft_kernels_build(vkft_device *dev, const vkft_kernel *kernels, uint32_t count, vkft_err *err)
{
    vkft_kernel missing[PIPELINES];
    VkResult results[PIPELINES];
    uint32_t missing_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (dev->kernels->states[kernels[i]].pipeline)
            continue;
        if (!may_compile(dev, kernels[i], err))
            return false;
        missing[missing_count++] = kernels[i];
    }
    if (!missing_count)
        return true;
    batch b = {dev, missing, results};
    vkft_parallel(min_u32(vkft_worker_count(0), missing_count), missing_count, compile_one, &b);
    for (uint32_t i = 0; i < missing_count; i++)
        if (results[i] != VK_SUCCESS)
            return vk_fail(err, results[i], vkft_kernel_name(missing[i]));
    return true;
}

/* "kernels HASH", then the name of each refused kernel; a line each. */
#define REFUSED "refused"

static void read_refused(vkft_device *dev)
{
    size_t size;
    char *stored = vkft_device_cache_read(dev, REFUSED, &size), line[100];
    snprintf(line, sizeof line, "kernels %016" PRIx64 "\n", vkft_kernels_hash());
    bool valid = stored && strncmp(stored, line, strlen(line)) == 0;
    for (uint32_t i = 0; valid && i < VKFT_KERNEL_COUNT; i++) {
        snprintf(line, sizeof line, "\n%s\n", rows[i].name);
        dev->kernels->refused[i] = strstr(stored, line) != NULL;
    }
    free(stored);
}

void vkft_kernels_refuse(vkft_device *dev, const bool refused[VKFT_KERNEL_COUNT])
{
    char line[100];
    vkft_text text = {0};
    snprintf(line, sizeof line, "kernels %016" PRIx64 "\n", vkft_kernels_hash());
    bool ok = vkft_text_append(&text, line, strlen(line), NULL);
    for (uint32_t i = 0; ok && i < VKFT_KERNEL_COUNT; i++)
        ok = !refused[i] || (vkft_text_append(&text, rows[i].name, strlen(rows[i].name), NULL) &&
                             vkft_text_append(&text, "\n", 1, NULL));
    if (ok)
        vkft_device_cache_write(dev, REFUSED, text.data, text.length);
    vkft_text_free(&text);
    memcpy(dev->kernels->refused, refused, sizeof dev->kernels->refused);
    for (uint32_t i = 0; i < PIPELINES; i++)
        if (refused[i % VKFT_KERNEL_COUNT]) {
            dev->instance.vk.DestroyPipeline(dev->handle, dev->kernels->states[i].pipeline, NULL);
            dev->kernels->states[i].pipeline = VK_NULL_HANDLE;
        }
}

bool vkft_kernel_is_refused(const vkft_device *dev, vkft_kernel kernel)
{
    return dev->kernels->refused[vkft_kernel_row(kernel)];
}

VkPipeline vkft_kernel_pipeline(vkft_device *dev, vkft_kernel kernel, vkft_err *err)
{
    kernel_state *state = &dev->kernels->states[kernel];
    return state->pipeline || vkft_kernels_build(dev, &kernel, 1, err) ? state->pipeline : VK_NULL_HANDLE;
}

bool vkft_kernel_prepare(vkft_device *dev, vkft_kernel kernel, vkft_err *err)
{
    return vkft_kernel_pipeline(dev, kernel, err) != VK_NULL_HANDLE;
}

bool vkft_kernel_get_statistics(vkft_device *dev, vkft_kernel kernel, vkft_kernel_statistics *statistics, vkft_err *err)
{
    *statistics = (vkft_kernel_statistics){0};
    if (!vkft_caps_have(&dev->info.caps, VKFT_CAP_STATISTICS))
        return vkft_fail(
            err, VKFT_ERR_DEVICE,
            "%s says nothing of its kernels: VKFT_STATISTICS must be set before it is opened, and its driver "
            "must have VK_KHR_pipeline_executable_properties",
            dev->info.name);
    VkPipeline pipeline = vkft_kernel_pipeline(dev, kernel, err);
    return pipeline && vk_read_statistics(&dev->instance.vk, dev->handle, pipeline, statistics, err);
}

bool vkft_kernels_open(vkft_device *dev, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    dev->kernels = calloc(1, sizeof *dev->kernels);
    if (!dev->kernels)
        return vkft_fail_memory(err, "while opening the device");
    for (uint32_t i = 0; i < PIPELINES; i++) {
        dev->kernels->states[i].constants[0] = default_width(&dev->info.caps, (vkft_kernel)i);
        dev->kernels->states[i].constant_count = 1;
    }
    const VkPushConstantRange range = {VK_SHADER_STAGE_COMPUTE_BIT, 0, 128};
    const VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .pushConstantRangeCount = 1,
                                               .pPushConstantRanges = &range};
    VkResult result = vk->CreatePipelineLayout(dev->handle, &layout, NULL, &dev->kernels->layout);
    if (result != VK_SUCCESS)
        return vk_fail(err, result, "creating the pipeline layout");
    read_refused(dev);
    void *stored = vkft_device_cache_read(dev, "pipelines", &dev->kernels->cache_bytes);
    VkPipelineCacheCreateInfo cache = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                       .initialDataSize = dev->kernels->cache_bytes,
                                       .pInitialData = stored};
    result = vk->CreatePipelineCache(dev->handle, &cache, NULL, &dev->kernels->cache);
    if (result != VK_SUCCESS && stored) { /* a cache that the driver refuses is no reason to stop */
        cache.initialDataSize = dev->kernels->cache_bytes = 0;
        result = vk->CreatePipelineCache(dev->handle, &cache, NULL, &dev->kernels->cache);
    }
    free(stored);
    if (result != VK_SUCCESS)
        return vk_fail(err, result, "creating the pipeline cache");
    size_t size;
    char *rates = vkft_device_cache_read(dev, "rates", &size);
    bool ok = vkft_rates_start(&dev->kernels->rates, rates, vkft_kernels_hash(), err);
    free(rates);
    return ok;
}

/* Keeps what was measured of kernels of which nothing was stored. */
static void save_rates(vkft_device *dev)
{
    vkft_text *rates = &dev->kernels->rates;
    bool ok = rates->data, changed = false;
    for (uint32_t i = 0; ok && i < PIPELINES; i++) {
        const vkft_rate *rate = &dev->kernels->states[i].rate;
        char key[VKFT_RATE_KEY];
        if (!rate->is_known || rate->is_stored)
            continue;
        rate_key(dev, (vkft_kernel)i, key);
        ok = vkft_rates_add(rates, key, rate->ns_per_flop, NULL);
        changed = true;
    }
    if (ok && changed)
        vkft_device_cache_write(dev, "rates", rates->data, rates->length);
    vkft_text_free(rates);
}

void vkft_kernels_close(vkft_device *dev)
{
    const vk_functions *vk = &dev->instance.vk;
    if (!dev->kernels)
        return;
    save_cache(dev);
    save_rates(dev);
    for (uint32_t i = 0; i < PIPELINES; i++)
        vk->DestroyPipeline(dev->handle, dev->kernels->states[i].pipeline, NULL);
    vk->DestroyPipelineCache(dev->handle, dev->kernels->cache, NULL);
    vk->DestroyPipelineLayout(dev->handle, dev->kernels->layout, NULL);
    free(dev->kernels);
}
