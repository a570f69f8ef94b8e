/* Quirks, and what follows from capabilities. */
#include "runtime/caps.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define VERSION VKFT_DRIVER_VERSION
#define FIRST 0u
#define LATER UINT32_MAX
#define LACKS(cap) .lacks = VKFT_CAP_##cap
#define LOOPS(n) .loop_limit = (n)
#define SKIPS(name) .skips = (name)
#define NARROW .narrow = true
const vkft_quirk vkft_quirks[] = {
#define QUIRK(driver_, from_, to_, effect, source_)                                                                    \
    {.driver = VKFT_DRIVER_##driver_, .from = (from_), .to = (to_), effect, .source = (source_)},
#include "runtime/quirks.def"
#undef QUIRK
};
const size_t vkft_quirk_count = sizeof vkft_quirks / sizeof *vkft_quirks;

static bool skip_strategy(vkft_caps *caps, const char *name)
{
    for (size_t i = 0; i < VKFT_MAX_SKIPPED; i++)
        if (!caps->skipped[i]) {
            caps->skipped[i] = name;
            return true;
        }
    return false;
}

bool vkft_quirk_applies(const vkft_quirk *q, const vkft_caps *caps)
{
    return q->driver == caps->driver && caps->driver_version >= q->from && caps->driver_version < q->to;
}

void vkft_caps_apply(vkft_caps *caps, const vkft_quirk *quirks, size_t count)
{
    for (const vkft_quirk *q = quirks; q < quirks + count; q++) {
        if (!vkft_quirk_applies(q, caps))
            continue;
        caps->set &= ~q->lacks;
        if (q->loop_limit)
            caps->loop_limit = q->loop_limit;
        if (q->narrow && caps->subgroup_size_choice)
            caps->subgroup_size = caps->subgroup_min;
        bool room = !q->skips || skip_strategy(caps, q->skips);
        assert(room);
        (void)room;
    }
}

bool vkft_caps_subgroup_size(const vkft_caps *caps, uint32_t width, uint32_t size)
{
    if (width % size != 0 || width > caps->workgroup_invocations)
        return false;
    if (!caps->subgroup_size_choice || !vkft_caps_have(caps, VKFT_CAP_SUBGROUP_CONTROL))
        return size == caps->subgroup_min && size == caps->subgroup_max;
    return size >= caps->subgroup_min && size <= caps->subgroup_max && width / size <= caps->workgroup_subgroups;
}

double vkft_caps_ticks_ms(const vkft_caps *caps, uint64_t begin, uint64_t end)
{
    uint64_t valid = caps->timestamp_bits < 64 ? (UINT64_C(1) << caps->timestamp_bits) - 1 : UINT64_MAX;
    return 1e-6 * (double)((end - begin) & valid) * (double)caps->timestamp_period_ns;
}

bool vkft_caps_allow_strategy(const vkft_caps *caps, const char *strategy)
{
    for (size_t i = 0; i < VKFT_MAX_SKIPPED && caps->skipped[i]; i++)
        if (strcmp(caps->skipped[i], strategy) == 0)
            return false;
    return true;
}

static bool has_matrices_of(const vkft_caps *caps, vkft_component component)
{
    for (uint32_t i = 0; i < caps->matrix_shape_count; i++)
        if (caps->matrix_shapes[i].a == component)
            return true;
    return false;
}

vkft_generation vkft_caps_generation(const vkft_caps *caps)
{
    if (caps->software)
        return VKFT_GENERATION_SOFTWARE;
    switch (caps->vendor_id) {
    case 0x1002:
        return caps->subgroup_min >= 64                     ? VKFT_GENERATION_GCN
               : has_matrices_of(caps, VKFT_COMPONENT_BF16) ? VKFT_GENERATION_RDNA4
               : has_matrices_of(caps, VKFT_COMPONENT_F16)  ? VKFT_GENERATION_RDNA3
                                                            : VKFT_GENERATION_RDNA;
    case 0x10de: return has_matrices_of(caps, VKFT_COMPONENT_F16) ? VKFT_GENERATION_TURING : VKFT_GENERATION_NVIDIA;
    case 0x8086: return caps->subgroup_min >= 16 ? VKFT_GENERATION_XE2 : VKFT_GENERATION_INTEL;
    case 0x5143: return VKFT_GENERATION_ADRENO;
    default: return VKFT_GENERATION_OTHER;
    }
}

const char *vkft_generation_name(vkft_generation generation)
{
    static const char *const names[] = {
#define X(id, name) name,
        VKFT_GENERATIONS(X)
#undef X
    };
    return names[generation];
}

const char *vkft_caps_names(uint32_t set, char *text, size_t size)
{
    static const char *const names[] = {
#define X(id, name) name,
        VKFT_CAPS(X)
#undef X
    };
    size_t used = 0;
    text[0] = 0;
    for (uint32_t i = 0; i < VKFT_CAP_COUNT && used < size; i++)
        if (set & 1u << i)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", names[i]);
    return text;
}

bool vkft_caps_meet(const vkft_caps *caps, uint32_t needs, const char *kernel, const char *device, vkft_err *err)
{
    char names[400];
    return vkft_caps_have(caps, needs) ||
           vkft_fail(err, VKFT_ERR_DEVICE, "kernel %s needs %s, which %s does not have", kernel,
                     vkft_caps_names(needs & ~caps->set, names, sizeof names), device);
}

const char *vkft_component_name(vkft_component component)
{
    static const char *const names[] = {"f16", "bf16", "f32", "s8", "u8", "s32", "u32", "other"};
    return names[component];
}
