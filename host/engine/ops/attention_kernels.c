/* The choice of attention kernels: per vendor and generation a row of data, found by compiling the kernels for many
 * chips and reading what their compilers say (docs/survey.md).
 *
 * A row of HEAD elements is cut into units of four, and what counts is how many units of each array an invocation
 * holds: with more its registers do not suffice, with fewer more lanes join each dot product. So the table has units,
 * and the lanes follow from the head size.
 */
#include "host/engine/ops/attention_kernels.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

#define AMD 0x1002u
#define NVIDIA 0x10deu
#define INTEL 0x8086u
#define QUALCOMM 0x5143u
#define ANY 0u

typedef struct sharing {
    uint32_t units; /* of a row that an invocation holds, at most */
    uint32_t block;
} sharing;

/* The first row that matches holds. */
static const struct device_row {
    uint32_t vendor;
    uint32_t subgroup_min; /* at least; tells generations of a vendor apart */
    sharing parts[VKFT_ATTENTION_PARTS];
} table[] = {
    /*                 forward  delta   dq      dkv     dbias */
    {AMD, 0, {{4, 4}, {2, 1}, {4, 2}, {4, 1}, {2, 1}}},   {NVIDIA, 0, {{4, 4}, {2, 1}, {4, 2}, {4, 1}, {2, 1}}},
    {INTEL, 0, {{2, 2}, {2, 1}, {2, 1}, {2, 1}, {2, 1}}}, {QUALCOMM, 0, {{2, 2}, {2, 1}, {2, 1}, {2, 1}, {2, 1}}},
    {ANY, 0, {{4, 2}, {2, 1}, {4, 1}, {2, 1}, {2, 1}}},
};

static const vkft_kernel kernels[VKFT_ATTENTION_PARTS][2] = {
    /* [part][lanes] */
    {VKFT_KERNEL_attention, VKFT_KERNEL_attention_lanes},
    {VKFT_KERNEL_attention_delta, VKFT_KERNEL_attention_delta_lanes},
    {VKFT_KERNEL_attention_dq, VKFT_KERNEL_attention_dq_lanes},
    {VKFT_KERNEL_attention_dkv, VKFT_KERNEL_attention_dkv_lanes},
    {VKFT_KERNEL_attention_dbias, VKFT_KERNEL_attention_dbias_lanes},
};

static const sharing *sharing_of(const vkft_device_info *info, vkft_attention_part part)
{
    const struct device_row *row = table;
    while (row->vendor != ANY && (row->vendor != info->vendor_id || info->caps.subgroup_min < row->subgroup_min))
        row++;
    return &row->parts[part];
}

/* What VKFT_ATTENTION asks for: the lanes, 0 for plain; false: it is not set, or not one of its words. */
static bool forced_lanes(uint32_t *lanes)
{
    const char *wish = getenv("VKFT_ATTENTION");
    if (!wish)
        return false;
    *lanes = 0;
    if (strcmp(wish, "plain") == 0)
        return true;
    if (strncmp(wish, "lanes:", 6) == 0)
        *lanes = (uint32_t)strtoul(wish + 6, NULL, 10);
    return *lanes > 0;
}

vkft_attention_kernel vkft_attention_choose(const vkft_device *dev, vkft_attention_part part, uint32_t head_dim)
{
    const vkft_device_info *info = vkft_device_get_info(dev);
    const sharing *s = sharing_of(info, part);
    uint32_t lanes = 1, units = (uint32_t)ceil_div_u64(head_dim, 4);
    if (forced_lanes(&lanes))
        return (vkft_attention_kernel){kernels[part][lanes > 0], max_u32(lanes, 1), s->block};
    if (info->caps.software || !vkft_caps_have(&info->caps, VKFT_CAP_SUBGROUP_SHUFFLE))
        return (vkft_attention_kernel){kernels[part][0], 1, s->block};
    while (lanes < info->caps.subgroup_size && ceil_div_u64(units, lanes) > s->units)
        lanes *= 2;
    return (vkft_attention_kernel){kernels[part][1], lanes, s->block};
}

static bool check_wish(const vkft_device *dev, vkft_err *err)
{
    const vkft_caps *caps = vkft_device_get_caps(dev);
    const char *wish = getenv("VKFT_ATTENTION");
    uint32_t lanes = 0;
    if (!wish)
        return true;
    if (!forced_lanes(&lanes) || lanes > caps->subgroup_size || (lanes & (lanes - 1)))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "VKFT_ATTENTION=%s: expected plain or lanes:N, N a power of two up to %u on this device", wish,
                         caps->subgroup_size);
    return !lanes ||
           vkft_caps_meet(caps, vkft_kernel_needs(VKFT_KERNEL_attention_lanes),
                          vkft_kernel_name(VKFT_KERNEL_attention_lanes), vkft_device_get_info(dev)->name, err);
}

bool vkft_attention_setup(vkft_device *dev, const vkft_ops_constants *c, vkft_err *err)
{
    const vkft_caps *caps = vkft_device_get_caps(dev);
    if (!check_wish(dev, err))
        return false;
    for (vkft_attention_part part = 0; part < VKFT_ATTENTION_PARTS; part++) {
        vkft_attention_kernel k = vkft_attention_choose(dev, part, c->head_dim);
        bool tile = vkft_kernel_get_shape(k.kernel) == VKFT_SHAPE_TILE, shared = k.kernel == kernels[part][1];
        uint32_t block = k.block;
        if (caps->software)
            block = c->longest_walk <= vkft_attention_iterations(caps) ? 1 : VKFT_ATTENTION_BLOCK;
        const uint32_t constants[] = {c->head_dim, c->softcap, c->relative, block, k.lanes};
        vkft_kernel_specialize(dev, k.kernel, tile ? caps->subgroup_size : 0, 0, constants, shared ? 5 : 4);
    }
    return true;
}

uint64_t vkft_attention_count(const vkft_device *dev, vkft_attention_kernel k, uint64_t rows)
{
    bool tile = vkft_kernel_get_shape(k.kernel) == VKFT_SHAPE_TILE;
    return tile ? ceil_div_u64(rows * k.lanes, vkft_kernel_width(dev, k.kernel)) : rows;
}
