/* The Vulkan instance, with validation when VKFT_VALIDATE=1 is in the environment.
 *
 * Validation is for tests: an error is printed and the process aborts, so that no test can pass over it.
 */
#include "runtime/vulkan/instance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALIDATION_LAYER "VK_LAYER_KHRONOS_validation"

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *context)
{
    (void)types, (void)context;
    fprintf(stderr, "vulkan validation: %s\n", data->pMessage);
    if (severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT)
        abort();
    return VK_FALSE;
}

static bool has_layer(const vk_functions *vk)
{
    uint32_t count = 0;
    if (vk->EnumerateInstanceLayerProperties(&count, NULL) != VK_SUCCESS || count == 0)
        return false;
    VkLayerProperties *layers = calloc(count, sizeof *layers);
    bool found = false;
    if (layers && vk->EnumerateInstanceLayerProperties(&count, layers) >= 0)
        for (uint32_t i = 0; i < count; i++)
            found = found || strcmp(layers[i].layerName, VALIDATION_LAYER) == 0;
    free(layers);
    return found;
}

#ifdef VK_KHR_portability_enumeration
static bool has_extension(const vk_functions *vk, const char *name)
{
    uint32_t count = 0;
    if (vk->EnumerateInstanceExtensionProperties(NULL, &count, NULL) != VK_SUCCESS || count == 0)
        return false;
    VkExtensionProperties *extensions = calloc(count, sizeof *extensions);
    bool found = false;
    if (extensions && vk->EnumerateInstanceExtensionProperties(NULL, &count, extensions) >= 0)
        for (uint32_t i = 0; i < count; i++)
            found = found || strcmp(extensions[i].extensionName, name) == 0;
    free(extensions);
    return found;
}
#endif

bool vkft_instance_open(vkft_instance *instance, vkft_err *err)
{
    *instance = (vkft_instance){0};
    vk_functions *vk = &instance->vk;
    if (!vk_load(vk, err))
        return false;
    const char *wanted = getenv("VKFT_VALIDATE");
    bool validate = wanted && strcmp(wanted, "1") == 0;
    if (validate && !has_layer(vk)) {
        vkft_fail(err, VKFT_ERR_DEVICE,
                  "VKFT_VALIDATE=1 is set, but " VALIDATION_LAYER " is not installed (package "
                  "vulkan-validationlayers)");
        goto fail;
    }
    const char *layers[] = {VALIDATION_LAYER}, *extensions[3];
    uint32_t extension_count = 0;
    VkInstanceCreateFlags flags = 0;
    if (validate) {
        extensions[extension_count++] = VK_EXT_DEBUG_UTILS_EXTENSION_NAME;
        extensions[extension_count++] = VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME;
    }
#ifdef VK_KHR_portability_enumeration
    if (has_extension(vk, VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME)) {
        extensions[extension_count++] = VK_KHR_PORTABILITY_ENUMERATION_EXTENSION_NAME;
        flags |= VK_INSTANCE_CREATE_ENUMERATE_PORTABILITY_BIT_KHR;
    }
#endif
    const VkValidationFeatureEnableEXT enabled[] = {VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT};
    const VkValidationFeaturesEXT features = {.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT,
                                              .enabledValidationFeatureCount = 1,
                                              .pEnabledValidationFeatures = enabled};
    const VkDebugUtilsMessengerCreateInfoEXT messenger = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .pNext = &features,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT,
        .pfnUserCallback = on_message};
    const VkApplicationInfo application = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO,
                                           .pApplicationName = "vkft",
                                           .pEngineName = "vkft",
                                           .apiVersion = VK_API_VERSION_1_3};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
                                       .pNext = validate ? &messenger : NULL,
                                       .flags = flags,
                                       .pApplicationInfo = &application,
                                       .enabledLayerCount = validate,
                                       .ppEnabledLayerNames = layers,
                                       .enabledExtensionCount = extension_count,
                                       .ppEnabledExtensionNames = extensions};
    VkResult result = vk->CreateInstance(&info, NULL, &instance->handle);
    if (result == VK_ERROR_INCOMPATIBLE_DRIVER) {
        vkft_fail(err, VKFT_ERR_DEVICE,
                  "no Vulkan driver found; install the GPU's driver (Debian and Ubuntu: "
                  "mesa-vulkan-drivers for AMD, Intel and software, or NVIDIA's own)");
        goto fail;
    }
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY) {
        vk_fail(err, result, "creating the Vulkan instance");
        goto fail;
    }
    if (result != VK_SUCCESS) { /* no device is open that could be lost */
        vkft_fail(err, VKFT_ERR_DEVICE, "creating the Vulkan instance: %s: a Vulkan driver does not work; reinstall it",
                  vk_result_name(result));
        goto fail;
    }
    vk_load_instance(vk, instance->handle);
    if (validate) {
        VkDebugUtilsMessengerCreateInfoEXT own = messenger;
        own.pNext = NULL;
        vk->CreateDebugUtilsMessengerEXT(instance->handle, &own, NULL, &instance->messenger);
    }
    return true;
fail:
    vk_unload(vk);
    return false;
}

void vkft_instance_close(vkft_instance *instance)
{
    if (instance->messenger)
        instance->vk.DestroyDebugUtilsMessengerEXT(instance->handle, instance->messenger, NULL);
    if (instance->handle)
        instance->vk.DestroyInstance(instance->handle, NULL);
    vk_unload(&instance->vk);
    *instance = (vkft_instance){0};
}
