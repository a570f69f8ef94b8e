/* A device that has less memory than the driver says, and calls of Vulkan that fail by their number. */
#ifndef VKFT_INJECT_SMALLER_H
#define VKFT_INJECT_SMALLER_H

#include <stdbool.h>

#include <vulkan/vulkan.h>

/* VKFT_FAULT_CALL=NAME:FIRST:COUNT:RESULT lets COUNT calls of a function of Vulkan from number FIRST on, from 1, end
 * with this result. Returns whether this call of it is one of them. */
bool vkft_fault_call(const char *name, VkResult *result);

/* What stands before a function of Vulkan, or the function:
 *
 *   VKFT_FAULT_MEMORY=BYTES   no more memory than this is allocated at a time
 *   VKFT_FAULT_LARGEST=BYTES  and none larger, which the device says */
PFN_vkVoidFunction vkft_fault_smaller(const char *name, PFN_vkVoidFunction function);

#endif
