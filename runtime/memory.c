/* Buffers and transfers. One vkAllocateMemory per buffer: vkft makes few and large ones. */
#include "runtime/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/os.h"
#include "runtime/base/size.h"
#include "runtime/device_private.h"
#include "runtime/memory_private.h"
#include "runtime/vulkan/heaps.h"

#define STAGING_BYTES (64ull << 20)

struct vkft_buffer_handles {
    VkBuffer buffer;
    VkDeviceMemory memory;
};

struct vkft_memory {
    VkPhysicalDeviceMemoryProperties properties;
    vkft_memory_stats stats;
    vkft_buffer staging;
    VkCommandPool transfer_pool;
    VkFence transfer_fence;
    VkCommandPool copy_pool; /* of vkft_copy_begin */
    VkCommandBuffer copy;
    VkFence copy_fence;
    bool copying;
};

vkft_heap vkft_heap_read(const vk_functions *vk, VkPhysicalDevice device, vkft_device_type type, const vkft_caps *caps)
{
    vkft_heaps heaps;
    vkft_heaps_read(vk, device, caps, &heaps);
    const VkPhysicalDeviceMemoryProperties *m = &heaps.properties;
    const bool shared = type == VKFT_DEVICE_CPU || type == VKFT_DEVICE_INTEGRATED;
    vkft_heap heap = {0};
    uint32_t at = 0;
    for (uint32_t i = 0; i < m->memoryHeapCount; i++) {
        bool local = m->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
        if (local && m->memoryHeaps[i].size > heap.size_bytes) {
            heap.size_bytes = m->memoryHeaps[i].size;
            at = i;
        }
    }
    for (uint32_t i = 0; i < m->memoryTypeCount; i++) {
        const VkMemoryPropertyFlags wanted = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                             VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
        heap.unified = heap.unified || (shared && (m->memoryTypes[i].propertyFlags & wanted) == wanted &&
                                        m->memoryTypes[i].heapIndex == at);
    }
    for (uint32_t i = 0; i < m->memoryHeapCount; i++)
        if (i == at || heap.unified)
            heap.free_bytes += heaps.free_bytes[i];
    uint64_t available = shared ? vkft_os_memory_available() : UINT64_MAX;
    if (available < heap.free_bytes)
        heap.free_bytes = available;
    return heap;
}

static uint64_t free_bytes(const vkft_device *dev)
{
    return vkft_heap_read(&dev->instance.vk, dev->physical, dev->info.type, &dev->info.caps).free_bytes;
}

static bool fail_memory(vkft_device *dev, const char *label, uint64_t size_bytes, const char *why, vkft_err *err)
{
    vkft_fail(err, VKFT_ERR_MEMORY, "%s: cannot allocate %.3f GiB on %s: %s; vkft holds %.3f GiB, %.3f GiB are free",
              label, gib(size_bytes), dev->info.name, why,
              gib(dev->memory->stats.device_bytes + dev->memory->stats.host_bytes), gib(free_bytes(dev)));
    return vkft_advise(err, VKFT_ADVICE_LESS_MEMORY);
}

/* Lack of memory has numbers and advice of its own. */
static bool fail_allocation(vkft_device *dev, const char *label, uint64_t size_bytes, VkResult result, vkft_err *err)
{
    bool memory = result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY;
    return memory ? fail_memory(dev, label, size_bytes, vk_result_name(result), err) : vk_fail(err, result, label);
}

static VkResult create_buffer(vkft_device *dev, uint64_t size_bytes, const void *next, VkBuffer *buffer)
{
    const uint32_t families[] = {dev->queue_family, dev->copy_family};
    bool shared = dev->copy_family != dev->queue_family;
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .pNext = next,
                                     .size = size_bytes,
                                     .sharingMode = shared ? VK_SHARING_MODE_CONCURRENT : VK_SHARING_MODE_EXCLUSIVE,
                                     .queueFamilyIndexCount = shared ? 2 : 0,
                                     .pQueueFamilyIndices = families,
                                     .usage = VKFT_BUFFER_USAGE};
    return dev->instance.vk.CreateBuffer(dev->handle, &info, NULL, buffer);
}

static uint64_t address_of(vkft_device *dev, VkBuffer buffer)
{
    const VkBufferDeviceAddressInfo address = {.sType = VK_STRUCTURE_TYPE_BUFFER_DEVICE_ADDRESS_INFO, .buffer = buffer};
    return dev->instance.vk.GetBufferDeviceAddress(dev->handle, &address);
}

static bool allocate(vkft_device *dev, uint64_t size_bytes, vkft_memory_kind kind, const char *label, vkft_buffer *out,
                     vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    struct vkft_buffer_handles *h = out->handles;
    VkResult result = create_buffer(dev, size_bytes, NULL, &h->buffer);
    if (result != VK_SUCCESS)
        return fail_allocation(dev, label, size_bytes, result, err);
    VkMemoryRequirements needs;
    vk->GetBufferMemoryRequirements(dev->handle, h->buffer, &needs);
    vkft_heaps heaps;
    uint32_t types[VK_MAX_MEMORY_TYPES], type = 0;
    vkft_heaps_read(vk, dev->physical, &dev->info.caps, &heaps);
    uint32_t count = vkft_heaps_types(&heaps, needs.memoryTypeBits, kind == VKFT_MEMORY_HOST, dev->info.unified_memory,
                                      needs.size, types);
    if (count == 0)
        return fail_memory(dev, label, size_bytes, "the device has no fitting memory type", err);
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    VkMemoryAllocateInfo allocation = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO, .pNext = &flags, .allocationSize = needs.size};
    for (uint32_t i = 0; i < count; i++) {
        allocation.memoryTypeIndex = type = types[i];
        result = vk->AllocateMemory(dev->handle, &allocation, NULL, &h->memory);
        dev->memory->stats.allocations++;
        if (result != VK_ERROR_OUT_OF_DEVICE_MEMORY)
            break;
    }
    if (result != VK_SUCCESS)
        return fail_allocation(dev, label, size_bytes, result, err);
    result = vk->BindBufferMemory(dev->handle, h->buffer, h->memory, 0);
    if (result == VK_SUCCESS &&
        (dev->memory->properties.memoryTypes[type].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT))
        result = vk->MapMemory(dev->handle, h->memory, 0, VK_WHOLE_SIZE, 0, &out->mapped);
    if (result != VK_SUCCESS)
        return vk_fail(err, result, label);
    out->address = address_of(dev, h->buffer);
    return true;
}

static void release(vkft_device *dev, vkft_buffer *buffer)
{
    const vk_functions *vk = &dev->instance.vk;
    vk->DestroyBuffer(dev->handle, buffer->handles->buffer, NULL);
    vk->FreeMemory(dev->handle, buffer->handles->memory, NULL);
    free(buffer->handles);
    *buffer = (vkft_buffer){0};
}

bool vkft_buffer_new(vkft_device *dev, uint64_t size_bytes, vkft_memory_kind kind, const char *label, vkft_buffer *out,
                     vkft_err *err)
{
    *out = (vkft_buffer){.size_bytes = size_bytes, .kind = kind, .handles = calloc(1, sizeof *out->handles)};
    if (!out->handles)
        return vkft_fail_memory(err, "while allocating %s", label);
    bool ok;
    if (size_bytes == 0)
        ok = vkft_fail(err, VKFT_ERR_DEVICE, "%s: a buffer of 0 bytes was asked for", label);
    else if (size_bytes > dev->info.max_allocation_bytes)
        ok = fail_memory(dev, label, size_bytes, "it is above the device's largest allocation", err);
    else if (dev->info.unified_memory && size_bytes > free_bytes(dev))
        ok = fail_memory(dev, label, size_bytes, "the system's memory is exhausted", err);
    else
        ok = allocate(dev, size_bytes, kind, label, out, err);
    if (!ok) {
        release(dev, out);
        return false;
    }
    uint64_t *held = kind == VKFT_MEMORY_DEVICE ? &dev->memory->stats.device_bytes : &dev->memory->stats.host_bytes;
    *held += size_bytes;
    if (dev->memory->stats.device_bytes > dev->memory->stats.device_peak_bytes)
        dev->memory->stats.device_peak_bytes = dev->memory->stats.device_bytes;
    return true;
}

bool vkft_buffer_can_import(const vkft_device_info *info)
{
    return vkft_caps_have(&info->caps, VKFT_CAP_HOST_MEMORY) && info->caps.host_memory_alignment > 0 &&
           info->caps.host_memory_alignment <= VKFT_IMPORT_ALIGNMENT;
}

static VkResult import(vkft_device *dev, void *memory, vkft_buffer *out)
{
    const vk_functions *vk = &dev->instance.vk;
    const VkExternalMemoryHandleTypeFlagBits handle = VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
    const VkExternalMemoryBufferCreateInfo external = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO,
                                                       .handleTypes = handle};
    VkMemoryHostPointerPropertiesEXT may = {.sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    VkMemoryRequirements needs;
    VkResult result = vk->GetMemoryHostPointerPropertiesEXT(dev->handle, handle, memory, &may);
    if (result == VK_SUCCESS)
        result = create_buffer(dev, out->size_bytes, &external, &out->handles->buffer);
    if (result != VK_SUCCESS)
        return result;
    vk->GetBufferMemoryRequirements(dev->handle, out->handles->buffer, &needs);
    uint32_t type = 0, types = needs.memoryTypeBits & may.memoryTypeBits;
    if (!types || needs.size > out->size_bytes)
        return VK_ERROR_INVALID_EXTERNAL_HANDLE;
    while (!(types >> type & 1))
        type++;
    const VkMemoryAllocateFlagsInfo flags = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_FLAGS_INFO,
                                             .flags = VK_MEMORY_ALLOCATE_DEVICE_ADDRESS_BIT};
    const VkImportMemoryHostPointerInfoEXT pointer = {.sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
                                                      .pNext = &flags,
                                                      .handleType = handle,
                                                      .pHostPointer = memory};
    const VkMemoryAllocateInfo allocation = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                             .pNext = &pointer,
                                             .allocationSize = out->size_bytes,
                                             .memoryTypeIndex = type};
    result = vk->AllocateMemory(dev->handle, &allocation, NULL, &out->handles->memory);
    dev->memory->stats.allocations++;
    if (result == VK_SUCCESS)
        result = vk->BindBufferMemory(dev->handle, out->handles->buffer, out->handles->memory, 0);
    if (result == VK_SUCCESS)
        out->address = address_of(dev, out->handles->buffer);
    return result;
}

bool vkft_buffer_import(vkft_device *dev, const void *memory, uint64_t size_bytes, const char *label, vkft_buffer *out,
                        vkft_err *err)
{
    *out =
        (vkft_buffer){.size_bytes = size_bytes, .kind = VKFT_MEMORY_HOST, .handles = calloc(1, sizeof *out->handles)};
    if (!out->handles)
        return vkft_fail_memory(err, "while importing %s", label);
    VkResult result = import(dev, (void *)(uintptr_t)memory, out); /* which kernels only read */
    if (result != VK_SUCCESS) {
        release(dev, out);
        return vk_fail(err, result, label);
    }
    dev->memory->stats.host_bytes += size_bytes;
    return true;
}

void vkft_buffer_free(vkft_device *dev, vkft_buffer *buffer)
{
    if (!buffer || !buffer->handles)
        return;
    *(buffer->kind == VKFT_MEMORY_DEVICE ? &dev->memory->stats.device_bytes : &dev->memory->stats.host_bytes) -=
        buffer->size_bytes;
    release(dev, buffer);
}

/* The staging buffer and what submits copies; made at first need. */
static bool prepare_transfers(vkft_device *dev, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    if (!dev->memory->transfer_pool) {
        const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                              .queueFamilyIndex = dev->queue_family};
        const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
        VkResult result = vk->CreateCommandPool(dev->handle, &pool, NULL, &dev->memory->transfer_pool);
        if (result == VK_SUCCESS)
            result = vk->CreateFence(dev->handle, &fence, NULL, &dev->memory->transfer_fence);
        if (result != VK_SUCCESS)
            return vk_fail(err, result, "preparing transfers");
    }
    if (dev->memory->staging.handles)
        return true;
    dev->memory->staging = (vkft_buffer){.size_bytes = STAGING_BYTES,
                                         .kind = VKFT_MEMORY_HOST,
                                         .handles = calloc(1, sizeof *dev->memory->staging.handles)};
    if (!dev->memory->staging.handles)
        return vkft_fail_memory(err, "for the staging buffer");
    if (!allocate(dev, STAGING_BYTES, VKFT_MEMORY_HOST, "staging", &dev->memory->staging, err)) {
        release(dev, &dev->memory->staging);
        return false;
    }
    dev->memory->stats.staging_bytes = STAGING_BYTES;
    return true;
}

/* One transfer command, submitted and waited for. */
typedef struct transfer {
    VkBuffer from, to; /* from VK_NULL_HANDLE: fill */
    VkDeviceSize from_offset, to_offset, size;
    uint32_t pattern;
} transfer;

static bool run_transfer(vkft_device *dev, const transfer *t, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    const VkCommandBufferAllocateInfo allocate_info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                                       .commandPool = dev->memory->transfer_pool,
                                                       .commandBufferCount = 1};
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    /* The fence of the submission before made what kernels wrote available, not visible to transfers. */
    const VkMemoryBarrier before = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                    .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                                    .dstAccessMask = VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT};
    const VkMemoryBarrier after = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                   .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                   .dstAccessMask = VK_ACCESS_MEMORY_READ_BIT | VK_ACCESS_MEMORY_WRITE_BIT |
                                                    VK_ACCESS_HOST_READ_BIT};
    VkCommandBuffer cmd;
    VkResult result = vk->AllocateCommandBuffers(dev->handle, &allocate_info, &cmd);
    if (result != VK_SUCCESS)
        return vk_fail(err, result, "preparing a transfer");
    result = vk->BeginCommandBuffer(cmd, &begin);
    vk->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                           VK_PIPELINE_STAGE_TRANSFER_BIT, 0, 1, &before, 0, NULL, 0, NULL);
    if (t->from) {
        const VkBufferCopy region = {t->from_offset, t->to_offset, t->size};
        vk->CmdCopyBuffer(cmd, t->from, t->to, 1, &region);
    } else {
        vk->CmdFillBuffer(cmd, t->to, t->to_offset, t->size, t->pattern);
    }
    vk->CmdPipelineBarrier(cmd, VK_PIPELINE_STAGE_TRANSFER_BIT,
                           VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT |
                               VK_PIPELINE_STAGE_HOST_BIT,
                           0, 1, &after, 0, NULL, 0, NULL);
    if (result == VK_SUCCESS)
        result = vk->EndCommandBuffer(cmd);
    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &cmd};
    if (result == VK_SUCCESS)
        result = vk->QueueSubmit(dev->queue, 1, &submit, dev->memory->transfer_fence);
    if (result == VK_SUCCESS)
        result = vk->WaitForFences(dev->handle, 1, &dev->memory->transfer_fence, VK_TRUE, UINT64_MAX);
    if (result != VK_SUCCESS)
        vkft_device_settle(dev);
    vk->ResetFences(dev->handle, 1, &dev->memory->transfer_fence);
    vk->FreeCommandBuffers(dev->handle, dev->memory->transfer_pool, 1, &cmd);
    return result == VK_SUCCESS || vk_fail(err, result, "copying to or from the device");
}

static bool in_range(const vkft_buffer *buffer, uint64_t offset, uint64_t size_bytes, vkft_err *err)
{
    return (offset <= buffer->size_bytes && size_bytes <= buffer->size_bytes - offset) ||
           vkft_fail(err, VKFT_ERR_DEVICE, "a transfer of %llu bytes at %llu goes beyond its buffer of %llu bytes",
                     (unsigned long long)size_bytes, (unsigned long long)offset,
                     (unsigned long long)buffer->size_bytes);
}

bool vkft_buffer_write(vkft_device *dev, vkft_buffer *dst, uint64_t offset, const void *src, uint64_t size_bytes,
                       vkft_err *err)
{
    if (!in_range(dst, offset, size_bytes, err))
        return false;
    if (dst->mapped) {
        memcpy((char *)dst->mapped + offset, src, size_bytes);
        return true;
    }
    if (!prepare_transfers(dev, err))
        return false;
    for (uint64_t done = 0; done < size_bytes;) {
        uint64_t part = min_u64(size_bytes - done, STAGING_BYTES);
        memcpy(dev->memory->staging.mapped, (const char *)src + done, part);
        transfer t = {.from = dev->memory->staging.handles->buffer,
                      .to = dst->handles->buffer,
                      .to_offset = offset + done,
                      .size = part};
        if (!run_transfer(dev, &t, err))
            return false;
        done += part;
    }
    return true;
}

bool vkft_buffer_read(vkft_device *dev, const vkft_buffer *src, uint64_t offset, void *dst, uint64_t size_bytes,
                      vkft_err *err)
{
    if (!in_range(src, offset, size_bytes, err))
        return false;
    if (src->mapped) {
        memcpy(dst, (const char *)src->mapped + offset, size_bytes);
        return true;
    }
    if (!prepare_transfers(dev, err))
        return false;
    for (uint64_t done = 0; done < size_bytes;) {
        uint64_t part = min_u64(size_bytes - done, STAGING_BYTES);
        transfer t = {.from = src->handles->buffer,
                      .from_offset = offset + done,
                      .to = dev->memory->staging.handles->buffer,
                      .size = part};
        if (!run_transfer(dev, &t, err))
            return false;
        memcpy((char *)dst + done, dev->memory->staging.mapped, part);
        done += part;
    }
    return true;
}

bool vkft_buffer_fill(vkft_device *dev, vkft_buffer *dst, uint64_t offset, uint64_t size_bytes, uint32_t pattern,
                      vkft_err *err)
{
    if (!in_range(dst, offset, size_bytes, err))
        return false;
    if (dst->mapped) {
        for (uint64_t i = 0; i < size_bytes; i += sizeof pattern)
            memcpy((char *)dst->mapped + offset + i, &pattern, sizeof pattern);
        return true;
    }
    transfer t = {.to = dst->handles->buffer, .to_offset = offset, .size = size_bytes, .pattern = pattern};
    return size_bytes == 0 || (prepare_transfers(dev, err) && run_transfer(dev, &t, err));
}

static bool prepare_copies(vkft_device *dev, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    struct vkft_memory *memory = dev->memory;
    if (memory->copy)
        return true;
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT,
                                          .queueFamilyIndex = dev->copy_family};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    VkResult result =
        memory->copy_pool ? VK_SUCCESS : vk->CreateCommandPool(dev->handle, &pool, NULL, &memory->copy_pool);
    if (result == VK_SUCCESS && !memory->copy_fence)
        result = vk->CreateFence(dev->handle, &fence, NULL, &memory->copy_fence);
    const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                              .commandPool = memory->copy_pool,
                                              .commandBufferCount = 1};
    if (result == VK_SUCCESS)
        result = vk->AllocateCommandBuffers(dev->handle, &info, &memory->copy);
    return result == VK_SUCCESS || vk_fail(err, result, "preparing copies");
}

/* The submission makes what the host wrote visible to the copy, and the fence what the copy wrote available; the
 * barrier at the begin of the next submission of kernels does the rest. */
bool vkft_copy_begin(vkft_device *dev, const vkft_buffer *from, const vkft_buffer *dst, uint64_t offset,
                     uint64_t size_bytes, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    struct vkft_memory *memory = dev->memory;
    const VkCommandBufferBeginInfo begin = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
                                            .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    const VkBufferCopy region = {0, offset, size_bytes};
    if (!in_range(from, 0, size_bytes, err) || !in_range(dst, offset, size_bytes, err) || !vkft_copy_wait(dev, err) ||
        !prepare_copies(dev, err))
        return false;
    VkResult result = vk->BeginCommandBuffer(memory->copy, &begin);
    if (result == VK_SUCCESS) {
        vk->CmdCopyBuffer(memory->copy, from->handles->buffer, dst->handles->buffer, 1, &region);
        result = vk->EndCommandBuffer(memory->copy);
    }
    const VkSubmitInfo submit = {
        .sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &memory->copy};
    if (result == VK_SUCCESS)
        result = vk->QueueSubmit(dev->copy_queue, 1, &submit, memory->copy_fence);
    memory->copying = result == VK_SUCCESS;
    return memory->copying || vk_fail(err, result, "copying to the device");
}

bool vkft_copy_wait(vkft_device *dev, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    struct vkft_memory *memory = dev->memory;
    if (!memory->copying)
        return true;
    memory->copying = false;
    VkResult result = vk->WaitForFences(dev->handle, 1, &memory->copy_fence, VK_TRUE, UINT64_MAX);
    if (result == VK_SUCCESS)
        result = vk->ResetFences(dev->handle, 1, &memory->copy_fence);
    if (result != VK_SUCCESS) {
        vkft_device_settle(dev);
        vk->ResetFences(dev->handle, 1, &memory->copy_fence);
    }
    return result == VK_SUCCESS || vk_fail(err, result, "copying to the device");
}

uint32_t vkft_memory_get_heaps(const vkft_device *dev, vkft_heap_info heaps[VKFT_MAX_HEAPS])
{
    const VkPhysicalDeviceMemoryProperties *m = &dev->memory->properties;
    for (uint32_t i = 0; i < m->memoryHeapCount; i++)
        heaps[i] = (vkft_heap_info){.size_bytes = m->memoryHeaps[i].size,
                                    .device_local = m->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
    for (uint32_t i = 0; i < m->memoryTypeCount; i++)
        if (m->memoryTypes[i].propertyFlags & VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT)
            heaps[m->memoryTypes[i].heapIndex].host_visible = true;
    return m->memoryHeapCount;
}

vkft_memory_stats vkft_memory_get_stats(const vkft_device *dev)
{
    return dev->memory->stats;
}

void vkft_memory_begin_peak(vkft_device *dev)
{
    dev->memory->stats.device_peak_bytes = dev->memory->stats.device_bytes;
}

bool vkft_memory_open(vkft_device *dev, vkft_err *err)
{
    VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
    dev->memory = calloc(1, sizeof *dev->memory);
    if (!dev->memory)
        return vkft_fail_memory(err, "while opening the device");
    dev->instance.vk.GetPhysicalDeviceMemoryProperties2(dev->physical, &memory);
    dev->memory->properties = memory.memoryProperties;
    return true;
}

void vkft_memory_close(vkft_device *dev)
{
    const vk_functions *vk = &dev->instance.vk;
    if (!dev->memory)
        return;
    if (dev->memory->staging.handles)
        release(dev, &dev->memory->staging);
    vk->DestroyFence(dev->handle, dev->memory->copy_fence, NULL);
    vk->DestroyCommandPool(dev->handle, dev->memory->copy_pool, NULL);
    vk->DestroyFence(dev->handle, dev->memory->transfer_fence, NULL);
    vk->DestroyCommandPool(dev->handle, dev->memory->transfer_pool, NULL);
    free(dev->memory);
}
