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
#define ALL UINT32_MAX

#define MAX_ROWS 8u /* that invocations hold together */

/* How rows are shared in one part. */
typedef struct sharing {
    uint32_t units; /* of a row that an invocation holds, at most */
    uint32_t rows, block;
    bool kept;
} sharing;

/* The first row that matches holds. What decides is how many bytes of registers a subgroup has: 64 to 128 KB on AMD and
 * NVIDIA, 4 to 8 KB on Intel, where small subgroups leave an invocation the most and the rows that are not sums go to
 * shared memory. */
static const struct device_row {
    uint32_t vendor;
    uint32_t subgroup_min; /* of the device, at least; tells generations of a vendor apart */
    uint32_t head;         /* size at most */
    uint32_t subgroup;     /* size to ask for; 0: the usual */
    sharing parts[VKFT_ATTENTION_PARTS];
} table[] = {
    /* GCN; RDNA */
    {AMD, 64, ALL, 0, {{2, 4, 4, true}, {2, 1, 1, true}, {2, 2, 4, true}, {1, 4, 4, true}, {2, 1, 1, true}}},
    {AMD, 0, ALL, 0, {{2, 4, 4, true}, {2, 1, 1, true}, {2, 4, 4, true}, {2, 2, 4, true}, {2, 1, 1, true}}},
    {NVIDIA, 0, ALL, 0, {{2, 4, 4, true}, {2, 1, 1, true}, {2, 2, 4, true}, {2, 2, 4, true}, {2, 1, 1, true}}},
    /* Xe2; Gen9 to Xe */
    {INTEL, 16, 128, 16, {{2, 2, 4, true}, {2, 1, 1, true}, {2, 2, 2, true}, {2, 2, 1, true}, {2, 1, 1, true}}},
    {INTEL, 16, ALL, 16, {{4, 1, 2, true}, {2, 1, 1, true}, {4, 1, 1, false}, {4, 1, 1, false}, {2, 1, 1, true}}},
    {INTEL, 0, 128, 8, {{4, 1, 2, true}, {2, 1, 1, true}, {4, 1, 2, true}, {4, 1, 1, false}, {2, 1, 1, true}}},
    {INTEL, 0, ALL, 8, {{8, 1, 1, false}, {2, 1, 1, true}, {8, 1, 1, false}, {8, 1, 1, false}, {2, 1, 1, true}}},
    {QUALCOMM, 0, ALL, 64, {{2, 2, 4, true}, {2, 1, 1, true}, {2, 2, 4, true}, {2, 2, 2, true}, {2, 1, 1, true}}},
    {ANY, 0, ALL, 0, {{2, 2, 2, true}, {2, 1, 1, true}, {2, 1, 2, true}, {2, 1, 1, true}, {2, 1, 1, true}}},
};

static const vkft_kernel kernels[VKFT_ATTENTION_PARTS][2] = {
    /* [part][lanes] */
    {VKFT_KERNEL_attention, VKFT_KERNEL_attention_lanes},
    {VKFT_KERNEL_attention_delta, VKFT_KERNEL_attention_delta_lanes},
    {VKFT_KERNEL_attention_dq, VKFT_KERNEL_attention_dq_lanes},
    {VKFT_KERNEL_attention_dkv, VKFT_KERNEL_attention_dkv_lanes},
    {VKFT_KERNEL_attention_dbias, VKFT_KERNEL_attention_dbias_lanes},
};

static const struct device_row *row_of(const vkft_device_info *info, uint32_t head_dim)
{
    const struct device_row *row = table;
    while (row->vendor != ANY &&
           (row->vendor != info->vendor_id || info->caps.subgroup_min < row->subgroup_min || head_dim > row->head))
        row++;
    return row;
}

/* What VKFT_ATTENTION asks for; lanes 0: plain. False: it is not set, or not one of its words. */
static bool forced(uint32_t *lanes, uint32_t *rows)
{
    const char *wish = getenv("VKFT_ATTENTION");
    *lanes = 0;
    *rows = 1;
    if (!wish || strcmp(wish, "plain") == 0)
        return wish != NULL;
    char *end;
    if (strncmp(wish, "lanes:", 6) != 0)
        return false;
    *lanes = (uint32_t)strtoul(wish + 6, &end, 10);
    if (*end == ':')
        *rows = (uint32_t)strtoul(end + 1, &end, 10);
    return *lanes > 0 && *rows > 0 && *rows <= MAX_ROWS && !*end;
}

vkft_attention_kernel vkft_attention_choose(const vkft_device *dev, vkft_attention_part part, uint32_t head_dim)
{
    const vkft_device_info *info = vkft_device_get_info(dev);
    const struct device_row *row = row_of(info, head_dim);
    const sharing *s = &row->parts[part];
    uint32_t lanes, rows, units = (uint32_t)ceil_div_u64(head_dim, 4);
    bool wish = forced(&lanes, &rows), many = part != VKFT_ATTENTION_DELTA && part != VKFT_ATTENTION_DBIAS;
    vkft_attention_kernel plain = {kernels[part][0], .lanes = 1, .rows = 1, .block = s->block, .kept = true};
    if (wish && lanes)
        return (vkft_attention_kernel){kernels[part][1], lanes, many ? rows : 1, s->block, rows < 4, 0};
    if (wish || info->caps.software || !vkft_caps_have(&info->caps, VKFT_CAP_SUBGROUP_SHUFFLE))
        return plain;
    bool tile = vkft_kernel_get_shape(kernels[part][1]) == VKFT_SHAPE_TILE;
    bool ask = tile && row->subgroup && vkft_caps_subgroup_size(&info->caps, row->subgroup, row->subgroup);
    uint32_t subgroup = ask ? row->subgroup : 0;
    lanes = 1;
    while (lanes < (ask ? subgroup : info->caps.subgroup_size) && ceil_div_u64(units, lanes) > s->units)
        lanes *= 2;
    return (vkft_attention_kernel){kernels[part][1], lanes, s->rows, s->block, s->kept, subgroup};
}

static bool check_wish(const vkft_device *dev, vkft_err *err)
{
    const vkft_caps *caps = vkft_device_get_caps(dev);
    uint32_t lanes, rows;
    if (!getenv("VKFT_ATTENTION"))
        return true;
    if (!forced(&lanes, &rows) || lanes > caps->subgroup_size || (lanes & (lanes - 1)) || (rows & (rows - 1)))
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "VKFT_ATTENTION=%s: expected plain, lanes:N or lanes:N:R with powers of two, N up to %u on this "
            "device, R up to %u",
            getenv("VKFT_ATTENTION"), caps->subgroup_size, MAX_ROWS);
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
        const uint32_t constants[] = {c->head_dim, c->softcap, c->relative, block, k.lanes, k.rows, k.kept};
        uint32_t width = !tile ? 0 : k.subgroup ? k.subgroup : caps->subgroup_size;
        vkft_kernel_specialize(dev, k.kernel, width, k.subgroup, constants, shared ? 7 : 4);
    }
    return true;
}

uint64_t vkft_attention_count(const vkft_device *dev, vkft_attention_kernel k, uint64_t rows)
{
    if (vkft_kernel_get_shape(k.kernel) != VKFT_SHAPE_TILE)
        return rows;
    return ceil_div_u64(ceil_div_u64(rows, k.rows) * k.lanes, vkft_kernel_width(dev, k.kernel));
}
