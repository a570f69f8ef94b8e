/* See subgroups.h. */
#include "runtime/check/subgroups.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/commands.h"
#include "runtime/device_cache.h"
#include "runtime/memory.h"
#include "shaders/core/args.h"

enum { SUBGROUPS, SUM, WORDS }; /* what subgroup.comp writes */

/* In host memory, which a plan does not count against the device's. */
static bool look(vkft_device *dev, uint32_t found[WORDS], vkft_err *err)
{
    vkft_buffer buffer = {0};
    vkft_commands *cmds = vkft_commands_new(dev, err);
    bool ok = cmds &&
              vkft_buffer_new(dev, WORDS * sizeof *found, VKFT_MEMORY_HOST, "check of subgroups", &buffer, err) &&
              vkft_buffer_fill(dev, &buffer, 0, WORDS * sizeof *found, 0, err);
    if (ok) {
        const struct subgroup_args args = {.y = buffer.address};
        vkft_launch_workgroups(cmds, VKFT_KERNEL_subgroup, &args, sizeof args, 1, 1, 1);
        ok = vkft_commands_run(cmds, err) && vkft_buffer_read(dev, &buffer, 0, found, WORDS * sizeof *found, err);
    }
    vkft_buffer_free(dev, &buffer);
    vkft_commands_free(cmds);
    return ok || vkft_fail_context(err, "in the check of subgroups");
}

bool vkft_subgroups_check(vkft_device *dev, vkft_err *err)
{
    vkft_kernel_specialize(dev, VKFT_KERNEL_subgroup, 0, 0, NULL, 0);
    uint32_t width = vkft_kernel_width(dev, VKFT_KERNEL_subgroup), found[WORDS];
    char passed[64];
    size_t size, length = (size_t)snprintf(passed, sizeof passed, "kernels %016" PRIx64 " width %u\n",
                                           vkft_kernels_hash(), width);
    char *stored = vkft_device_cache_read(dev, "subgroups", &size);
    bool known = stored && size == length && memcmp(stored, passed, length) == 0;
    free(stored);
    if (known)
        return true;
    if (!look(dev, found, err))
        return false;
    if (found[SUBGROUPS] != 1 || found[SUM] != width)
        return vkft_fail(
            err, VKFT_ERR_DEVICE,
            "%s cannot be used: its driver runs a workgroup of %u invocations as %u subgroups of %u, and sums "
            "of rows need one; update the driver, or choose another device",
            vkft_device_get_info(dev)->name, width, found[SUBGROUPS], found[SUM]);
    vkft_device_cache_write(dev, "subgroups", passed, length);
    return true;
}
