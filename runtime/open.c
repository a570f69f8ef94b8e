/* Opening and closing a device: the queue, all capabilities enabled, then what lives on it. */
#include <stdlib.h>

#include "runtime/base/os/watchdog.h"
#include "runtime/candidates.h"
#include "runtime/check/subgroups.h"
#include "runtime/device_private.h"
#include "runtime/kernels_private.h"
#include "runtime/memory_private.h"
#include "runtime/pacing/cut.h"
#include "runtime/vulkan/read_caps.h"

static bool create_device(vkft_device *dev, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    const float priority = 1;
    const VkDeviceQueueCreateInfo queues[] = {{.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                               .queueFamilyIndex = dev->queue_family,
                                               .queueCount = 1,
                                               .pQueuePriorities = &priority},
                                              {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                               .queueFamilyIndex = dev->copy_family,
                                               .queueCount = 1,
                                               .pQueuePriorities = &priority}};
    vkft_enabled enabled;
    vkft_caps_enable(vk, dev->physical, &dev->info.caps, &enabled);
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &enabled.features,
                                     .queueCreateInfoCount = dev->copy_family != dev->queue_family ? 2 : 1,
                                     .pQueueCreateInfos = queues,
                                     .enabledExtensionCount = enabled.extension_count,
                                     .ppEnabledExtensionNames = enabled.extensions};
    VkResult result = vk->CreateDevice(dev->physical, &info, NULL, &dev->handle);
    if (result != VK_SUCCESS)
        return vk_fail(err, result, "opening the device");
    vk_load_device(&dev->instance.vk, dev->handle);
    vk->GetDeviceQueue(dev->handle, dev->queue_family, 0, &dev->queue);
    vk->GetDeviceQueue(dev->handle, dev->copy_family, 0, &dev->copy_queue);
    return true;
}

static bool open_device(vkft_device *dev, const char *selector, vkft_err *err)
{
    vkft_candidate *candidates = NULL;
    uint32_t count;
    if (!vkft_instance_open(&dev->instance, err))
        return false;
    const vkft_candidate *c = NULL;
    if (vkft_candidates_list(&dev->instance, &candidates, &count, err))
        c = vkft_candidates_choose(candidates, count, selector, err);
    bool ok = c != NULL;
    if (ok) {
        dev->physical = c->physical;
        dev->info = c->info;
        dev->queue_family = c->queue_family;
        dev->copy_family = c->copy_family;
        dev->submission_ms = vkft_cut_target_ms(vkft_watchdog_ms(c->info.vendor_id, NULL));
        ok = create_device(dev, err) && vkft_memory_open(dev, err) && vkft_kernels_open(dev, err);
        /* Who asks a compiler for statistics may have a driver that executes nothing. */
        ok = ok && (vkft_caps_have(&dev->info.caps, VKFT_CAP_STATISTICS) || vkft_subgroups_check(dev, err));
    }
    free(candidates);
    return ok;
}

vkft_device *vkft_device_open(const char *selector, vkft_err *err)
{
    vkft_device *dev = calloc(1, sizeof *dev);
    if (!dev) {
        vkft_fail_memory(err, "while opening the device");
        return NULL;
    }
    if (open_device(dev, selector, err))
        return dev;
    vkft_device_close(dev);
    return NULL;
}

void vkft_device_close(vkft_device *dev)
{
    if (!dev)
        return;
    const vk_functions *vk = &dev->instance.vk;
    vkft_device_attach(dev, NULL, NULL);
    if (dev->handle) {
        vk->DeviceWaitIdle(dev->handle);
        vkft_memory_close(dev);
        vkft_kernels_close(dev);
        vk->DestroyDevice(dev->handle, NULL);
    }
    vkft_instance_close(&dev->instance);
    free(dev);
}

void vkft_device_settle(vkft_device *dev)
{
    /* Its own result says nothing new: a lost device works no more, and no other call says more. */
    dev->instance.vk.DeviceWaitIdle(dev->handle);
}

void vkft_device_attach(vkft_device *dev, void *data, void (*release)(void *))
{
    if (dev->attached)
        dev->release_attached(dev->attached);
    dev->attached = data;
    dev->release_attached = release;
}

void *vkft_device_attached(const vkft_device *dev)
{
    return dev->attached;
}

bool vkft_device_list(vkft_device_info **infos, uint32_t *count, vkft_err *err)
{
    vkft_instance instance;
    vkft_candidate *candidates = NULL;
    *infos = NULL;
    if (!vkft_instance_open(&instance, err))
        return false;
    bool ok = vkft_candidates_list(&instance, &candidates, count, err);
    if (ok) {
        *infos = calloc(*count + 1ull, sizeof **infos);
        ok = *infos || vkft_fail_memory(err, "while listing devices");
        for (uint32_t i = 0; ok && i < *count; i++)
            (*infos)[i] = candidates[i].info;
    }
    free(candidates);
    vkft_instance_close(&instance);
    return ok;
}

const vkft_device_info *vkft_device_get_info(const vkft_device *dev)
{
    return &dev->info;
}

const vkft_caps *vkft_device_get_caps(const vkft_device *dev)
{
    return &dev->info.caps;
}
