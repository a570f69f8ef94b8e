/* What a device can do for kernels: filled once from what its driver reports, less what quirks.def takes away. All of
 * it is enabled when the device is opened, so a capability that is here can be used. */
#ifndef VKFT_CAPS_H
#define VKFT_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* X(id, name). A kernel's `needs` in kernels.def is a set of them, written CAP_id. */
#define VKFT_CAPS(X)                                                                                                   \
    X(FP16, "fp16") /* arithmetic with 16-bit floats */                                                                \
    X(BF16, "bf16") /* the type in shaders */                                                                          \
    X(INT8, "int8")                                                                                                    \
    X(INT64, "int64")                                                                                                  \
    X(STORAGE_8, "storage_8bit") /* loads and stores of 8 and 16 bits */                                               \
    X(STORAGE_16, "storage_16bit")                                                                                     \
    X(INT_DOT, "integer_dot")                                                                                          \
    X(FLOAT_DOT, "float_dot")                     /* dot products of two fp16 with an f32 sum */                       \
    X(COOPERATIVE_MATRIX, "cooperative_matrix")   /* the shapes below */                                               \
    X(COOPERATIVE_MATRIX2, "cooperative_matrix2") /* all of NVIDIA's second extension */                               \
    X(SUBGROUP_CONTROL, "subgroup_size_control")  /* full subgroups, and a size can be asked for */                    \
    X(SUBGROUP_SHUFFLE, "subgroup_shuffle")                                                                            \
    X(TIMELINE, "timeline_semaphores")                                                                                 \
    X(HOST_MEMORY, "external_host_memory")                                                                             \
    X(MEMORY_BUDGET, "memory_budget")                                                                                  \
    X(UNIFORM_LOADS, "uniform_loads")  /* a load of one address by all invocations costs one load */                   \
    X(STATISTICS, "kernel_statistics") /* what the driver's compiler says of a kernel; only with VKFT_STATISTICS */

enum {
#define X(id, name) VKFT_CAP_INDEX_##id,
    VKFT_CAPS(X)
#undef X
        VKFT_CAP_COUNT
};

typedef enum vkft_cap {
#define X(id, name) VKFT_CAP_##id = 1u << VKFT_CAP_INDEX_##id,
    VKFT_CAPS(X)
#undef X
} vkft_cap;

/* Drivers that quirks.def knows. */
typedef enum vkft_driver {
    VKFT_DRIVER_OTHER,
    VKFT_DRIVER_LLVMPIPE,
    VKFT_DRIVER_AMD_PROPRIETARY,
    VKFT_DRIVER_TURNIP,
} vkft_driver;

/* X(id, name): families of chips for which kernels have different tiles. */
#define VKFT_GENERATIONS(X)                                                                                            \
    X(OTHER, "other")                                                                                                  \
    X(SOFTWARE, "software")                                                                                            \
    X(GCN, "AMD GCN")                                                                                                  \
    X(RDNA, "AMD RDNA")   /* and later ones whose driver lists no matrices */                                          \
    X(RDNA3, "AMD RDNA3") /* matrices of f16 */                                                                        \
    X(RDNA4, "AMD RDNA4") /* and of bf16 */                                                                            \
    X(NVIDIA, "NVIDIA")   /* before Turing, or without matrices */                                                     \
    X(TURING, "NVIDIA Turing or later")                                                                                \
    X(INTEL, "Intel before Xe2")                                                                                       \
    X(XE2, "Intel Xe2 or later") /* no subgroups of 8 */                                                               \
    X(ADRENO, "Adreno")

typedef enum vkft_generation {
#define X(id, name) VKFT_GENERATION_##id,
    VKFT_GENERATIONS(X)
#undef X
        VKFT_GENERATION_COUNT
} vkft_generation;

typedef enum vkft_component {
    VKFT_COMPONENT_F16,
    VKFT_COMPONENT_BF16,
    VKFT_COMPONENT_F32,
    VKFT_COMPONENT_S8,
    VKFT_COMPONENT_U8,
    VKFT_COMPONENT_S32,
    VKFT_COMPONENT_U32,
    VKFT_COMPONENT_OTHER,
} vkft_component;

/* A product of cooperative matrices of one subgroup: result [M,N] = A [M,K] B [K,N] + C. */
typedef struct vkft_matrix_shape {
    uint32_t M, N, K;
    vkft_component a, b, c, result;
    bool saturating;
} vkft_matrix_shape;

#define VKFT_MAX_MATRIX_SHAPES 64
#define VKFT_MAX_SKIPPED 4

typedef struct vkft_caps {
    uint32_t set; /* of vkft_cap */
    vkft_driver driver;
    uint32_t driver_version; /* VKFT_DRIVER_VERSION; of Mesa's drivers Mesa's */
    uint32_t vendor_id;
    bool software;          /* kernels run on the CPU's cores */
    uint32_t subgroup_size; /* that a kernel gets unless it asks */
    uint32_t subgroup_min, subgroup_max;
    bool subgroup_size_choice;    /* a pipeline may ask for a size between them */
    uint32_t workgroup_subgroups; /* of such a pipeline, at most */
    uint32_t shared_memory_bytes;
    uint32_t workgroup_invocations; /* at most, along x */
    uint32_t workgroups[3];         /* at most, along each axis */
    uint32_t loop_limit;            /* iterations of all loops of an invocation; 0: no limit */
    uint32_t timestamp_bits;        /* 0: no timestamps */
    float timestamp_period_ns;
    uint64_t host_memory_alignment; /* of imported host memory */
    uint32_t matrix_shape_count;
    vkft_matrix_shape matrix_shapes[VKFT_MAX_MATRIX_SHAPES];
    const char *skipped[VKFT_MAX_SKIPPED]; /* strategies of matrix products that a quirk forbids; NULL: no more */
} vkft_caps;

#define VKFT_DRIVER_VERSION(major, minor) ((uint32_t)(major)*1000u + (uint32_t)(minor))

static inline bool vkft_caps_have(const vkft_caps *caps, uint32_t needs)
{
    return (caps->set & needs) == needs;
}
/* Error: the device lacks some of what `kernel` needs, with their names. */
bool vkft_caps_meet(const vkft_caps *caps, uint32_t needs, const char *kernel, const char *device, vkft_err *err);
/* Whether a pipeline of this width can get subgroups of just this size, all of them full. */
bool vkft_caps_subgroup_size(const vkft_caps *caps, uint32_t width, uint32_t size);
/* Milliseconds between two timestamps of the device's queue, whose counter may have wrapped once between them. */
double vkft_caps_ticks_ms(const vkft_caps *caps, uint64_t begin, uint64_t end);
/* False when a quirk forbids the strategy. */
bool vkft_caps_allow_strategy(const vkft_caps *caps, const char *strategy);

/* What the vendor, the sizes of subgroups and the matrices say of the chip; names of devices are not read. */
vkft_generation vkft_caps_generation(const vkft_caps *caps);
const char *vkft_generation_name(vkft_generation generation);

/* The names of the capabilities in `set`, ", " between them; returns text. */
const char *vkft_caps_names(uint32_t set, char *text, size_t size);
const char *vkft_component_name(vkft_component component); /* "f16" */

typedef struct vkft_quirk {
    vkft_driver driver;
    uint32_t from, to; /* versions; `to` excluded */
    uint32_t lacks;    /* set of vkft_cap */
    uint32_t loop_limit;
    bool narrow;       /* subgroups of the smallest size */
    const char *skips; /* NULL: none */
    const char *source;
} vkft_quirk;

/* Whether its driver and version are those of a device. */
bool vkft_quirk_applies(const vkft_quirk *quirk, const vkft_caps *caps);

/* The rows of quirks.def. */
extern const vkft_quirk vkft_quirks[];
extern const size_t vkft_quirk_count;
/* Takes from caps what the quirks of its driver and version say. Reading a device does so. */
void vkft_caps_apply(vkft_caps *caps, const vkft_quirk *quirks, size_t count);

#endif
