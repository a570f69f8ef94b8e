/* Loading of the Vulkan loader and its functions. */
#include "runtime/vulkan/vk.h"

#include <stdio.h>

#include "runtime/base/os/library.h"

static void *open_loader(void)
{
#ifdef _WIN32
    static const char *const names[] = {"vulkan-1.dll", NULL};
#elif defined(__APPLE__)
    static const char *const names[] = {"libvulkan.1.dylib", "libvulkan.dylib", "libMoltenVK.dylib", NULL};
#else
    static const char *const names[] = {"libvulkan.so.1", "libvulkan.so", NULL};
#endif
    return vkft_library_open(names);
}

bool vk_load(vk_functions *vk, vkft_err *err)
{
    *vk = (vk_functions){.library = open_loader()};
    if (vk->library)
        vk->GetInstanceProcAddr = (PFN_vkGetInstanceProcAddr)vkft_library_find(vk->library, "vkGetInstanceProcAddr");
    if (!vk->GetInstanceProcAddr) {
        vk_unload(vk);
        return vkft_fail(err, VKFT_ERR_DEVICE,
                         "no Vulkan loader found; install the GPU's driver and the loader (Debian and "
                         "Ubuntu: libvulkan1 mesa-vulkan-drivers; Fedora: vulkan-loader mesa-vulkan-drivers)");
    }
#define X(name) vk->name = (PFN_vk##name)vk->GetInstanceProcAddr(NULL, "vk" #name);
    VK_GLOBAL_FUNCTIONS(X)
#undef X
    return true;
}

void vk_load_instance(vk_functions *vk, VkInstance instance)
{
#define X(name) vk->name = (PFN_vk##name)vk->GetInstanceProcAddr(instance, "vk" #name);
    VK_INSTANCE_FUNCTIONS(X)
#undef X
    vk->CreateDebugUtilsMessengerEXT =
        (PFN_vkCreateDebugUtilsMessengerEXT)vk->GetInstanceProcAddr(instance, "vkCreateDebugUtilsMessengerEXT");
    vk->DestroyDebugUtilsMessengerEXT =
        (PFN_vkDestroyDebugUtilsMessengerEXT)vk->GetInstanceProcAddr(instance, "vkDestroyDebugUtilsMessengerEXT");
}

void vk_load_device(vk_functions *vk, VkDevice device)
{
#define X(name) vk->name = (PFN_vk##name)vk->GetDeviceProcAddr(device, "vk" #name);
    VK_DEVICE_FUNCTIONS(X)
#undef X
}

void vk_unload(vk_functions *vk)
{
    if (vk->library)
        vkft_library_close(vk->library);
    *vk = (vk_functions){0};
}

const char *vk_result_name(VkResult result)
{
    switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY: return "VK_ERROR_OUT_OF_HOST_MEMORY";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY: return "VK_ERROR_OUT_OF_DEVICE_MEMORY";
    case VK_ERROR_INITIALIZATION_FAILED: return "VK_ERROR_INITIALIZATION_FAILED";
    case VK_ERROR_DEVICE_LOST: return "VK_ERROR_DEVICE_LOST";
    case VK_ERROR_MEMORY_MAP_FAILED: return "VK_ERROR_MEMORY_MAP_FAILED";
    case VK_ERROR_LAYER_NOT_PRESENT: return "VK_ERROR_LAYER_NOT_PRESENT";
    case VK_ERROR_EXTENSION_NOT_PRESENT: return "VK_ERROR_EXTENSION_NOT_PRESENT";
    case VK_ERROR_FEATURE_NOT_PRESENT: return "VK_ERROR_FEATURE_NOT_PRESENT";
    case VK_ERROR_INCOMPATIBLE_DRIVER: return "VK_ERROR_INCOMPATIBLE_DRIVER";
    case VK_ERROR_TOO_MANY_OBJECTS: return "VK_ERROR_TOO_MANY_OBJECTS";
    case VK_TIMEOUT: return "VK_TIMEOUT";
    default: return "an unexpected Vulkan result";
    }
}

bool vk_fail(vkft_err *err, VkResult result, const char *doing)
{
    switch (result) {
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_HOST_MEMORY:
        vkft_fail(err, VKFT_ERR_MEMORY, "%s: %s; close other programs that use the device", doing,
                  vk_result_name(result));
        return vkft_advise(err, VKFT_ADVICE_LESS_MEMORY);
    case VK_ERROR_DEVICE_LOST:
        return vkft_fail(err, VKFT_ERR_DEVICE_LOST,
                         "%s: VK_ERROR_DEVICE_LOST: the driver reset the device; resume from the "
                         "last checkpoint, and update the driver if it happens again",
                         doing);
    default: return vkft_fail(err, VKFT_ERR_DEVICE, "%s: %s (%d)", doing, vk_result_name(result), (int)result);
    }
}
