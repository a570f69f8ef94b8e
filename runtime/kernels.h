/* The table of compute kernels, made from shaders/kernels.def.
 *
 * Every kernel is a one-dimensional workgroup of `width` invocations (specialization constant 0) that takes its
 * arguments as push constants (a struct of the args.h beside it, at most 128 bytes) with buffers as device addresses.
 * Further specialization constants (1, 2, ...) are the kernel's own: tile shapes chosen per device.
 */
#ifndef VKFT_KERNELS_H
#define VKFT_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/device.h"
#include "runtime/vulkan/kernel_statistics.h"

typedef enum vkft_kernel {
#define KERNEL(name, source, args, needs, shape, family, storage, defines) VKFT_KERNEL_##name,
#include "shaders/kernels.def"
#undef KERNEL
    VKFT_KERNEL_COUNT
} vkft_kernel;

/* A kernel has up to so many pipelines, which differ in their constants alone. A vkft_kernel names one of them: the
 * constant its first, vkft_kernel_variant any. */
#define VKFT_KERNEL_VARIANTS 8u

static inline vkft_kernel vkft_kernel_variant(vkft_kernel kernel, uint32_t variant)
{
    return (vkft_kernel)((uint32_t)kernel + variant * (uint32_t)VKFT_KERNEL_COUNT);
}

/* The kernel of a variant: its row in the table. */
static inline vkft_kernel vkft_kernel_row(vkft_kernel kernel)
{
    return (vkft_kernel)((uint32_t)kernel % (uint32_t)VKFT_KERNEL_COUNT);
}

/* The column `shape` of kernels.def. */
typedef enum vkft_kernel_shape {
    VKFT_SHAPE_ELEMENT,
    VKFT_SHAPE_ROW,
    VKFT_SHAPE_TILE,
    VKFT_SHAPE_OWN,
} vkft_kernel_shape;

/* XXH64 of all embedded SPIR-V, in the order of the table: builds with the same kernels have the same hash. */
uint64_t vkft_kernels_hash(void);

const char *vkft_kernel_name(vkft_kernel kernel);
uint32_t vkft_kernel_args_bytes(vkft_kernel kernel);
vkft_kernel_shape vkft_kernel_get_shape(vkft_kernel kernel);
bool vkft_kernel_is_built(vkft_kernel kernel);  /* false: this build's shader compiler was too old for it */
uint32_t vkft_kernel_needs(vkft_kernel kernel); /* set of vkft_cap; without them its pipeline is an error */

/* Invocations per workgroup on this device, by shape: ROW and OWN the subgroup size, ELEMENT 256 where the device has
 * them, TILE as specialized. */
uint32_t vkft_kernel_width(const vkft_device *dev, vkft_kernel kernel);

/* Its specialization constants, of which the first is the width; count 1: it has not been specialized. */
const uint32_t *vkft_kernel_get_constants(const vkft_device *dev, vkft_kernel kernel, uint32_t *count);

/* Chooses width (of a kernel of the shape TILE; others keep theirs: 0) and the kernel's own constants (id 1 ..., at
 * most VKFT_KERNEL_CONSTANTS). subgroup_size: the size of its subgroups, one of those that vkft_caps_subgroup_size
 * allows, and the width is a multiple of it; 0: the kernel works with any. A pipeline with other values is dropped:
 * commands recorded before must not be run any more. */
#define VKFT_KERNEL_CONSTANTS 15u
void vkft_kernel_specialize(vkft_device *dev, vkft_kernel kernel, uint32_t width, uint32_t subgroup_size,
                            const uint32_t *constants, uint32_t constant_count);

/* Builds the pipeline now rather than at the first launch. Built pipelines are kept in a cache on disk
 * ($VKFT_CACHE_DIR, else $XDG_CACHE_HOME/vkft or ~/.cache/vkft, %LOCALAPPDATA%\vkft), keyed by device and driver. */
bool vkft_kernel_prepare(vkft_device *dev, vkft_kernel kernel, vkft_err *err);

/* Kernels that compute wrong results on this device, as 'vkft doctor' found: their pipelines are an error. They are
 * remembered beside the built pipelines, for this device, driver and build of the kernels, and replace those that were.
 */
void vkft_kernels_refuse(vkft_device *dev, const bool refused[VKFT_KERNEL_COUNT]);
bool vkft_kernel_is_refused(const vkft_device *dev, vkft_kernel kernel);

/* Builds the kernel if it is not built. Error: no VKFT_CAP_STATISTICS; the kernel cannot be built. */
bool vkft_kernel_get_statistics(vkft_device *dev, vkft_kernel kernel, vkft_kernel_statistics *statistics,
                                vkft_err *err);

#endif
