/* The choice of attention kernels: per vendor and generation a row of data, found by compiling the kernels for many
 * chips and reading what their compilers say (docs/survey.md).
 *
 * A row of HEAD elements is cut into units of four, and what counts is how many units of each array an invocation
 * holds: with more its registers do not suffice, with fewer more lanes join each dot product. So the table has units,
 * and the lanes follow from the head size.
 */
#include "host/engine/ops/attention_kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"

#define AMD 0x1002u
#define NVIDIA 0x10deu
#define INTEL 0x8086u
#define QUALCOMM 0x5143u
#define ANY 0u
#define ALL UINT32_MAX

#define MAX_ROWS 8u /* that invocations hold together */

/* Where the rows are that are not sums: in shared memory or in registers. Capping scores may need the last of these:
 * then a row of the other side, which is used twice, is read twice. */
typedef enum place { SHARED, KEPT, UNCAPPED } place;

/* How rows are shared in one part. */
typedef struct sharing {
    uint32_t units; /* of a row that an invocation holds, at most */
    uint32_t rows, block;
    place place;
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
    {AMD, 64, ALL, 0, {{2, 4, 4, KEPT}, {2, 1, 1, KEPT}, {2, 2, 4, KEPT}, {1, 4, 4, KEPT}, {2, 1, 1, KEPT}}},
    {AMD, 0, ALL, 0, {{2, 4, 4, KEPT}, {2, 1, 1, KEPT}, {2, 4, 4, KEPT}, {2, 2, 4, KEPT}, {2, 1, 1, KEPT}}},
    {NVIDIA, 0, ALL, 0, {{2, 4, 4, KEPT}, {2, 1, 1, KEPT}, {2, 2, 4, KEPT}, {2, 2, 4, KEPT}, {2, 1, 1, KEPT}}},
    /* Xe2; Gen9 to Xe */
    {INTEL, 16, 128, 16, {{2, 2, 4, KEPT}, {2, 1, 1, KEPT}, {2, 2, 2, KEPT}, {2, 2, 1, KEPT}, {2, 1, 1, KEPT}}},
    {INTEL, 16, ALL, 16, {{4, 1, 2, KEPT}, {2, 1, 1, KEPT}, {4, 1, 1, SHARED}, {4, 1, 1, SHARED}, {2, 1, 1, KEPT}}},
    {INTEL, 0, 128, 8, {{4, 2, 1, SHARED}, {2, 1, 1, KEPT}, {4, 1, 2, KEPT}, {4, 1, 1, UNCAPPED}, {2, 1, 1, KEPT}}},
    {INTEL, 0, ALL, 8, {{8, 1, 1, SHARED}, {2, 1, 1, KEPT}, {8, 1, 1, SHARED}, {8, 1, 1, SHARED}, {2, 1, 1, KEPT}}},
    {QUALCOMM, 0, ALL, 64, {{2, 2, 4, KEPT}, {2, 1, 1, KEPT}, {2, 2, 4, KEPT}, {2, 2, 2, KEPT}, {2, 1, 1, KEPT}}},
    {ANY, 0, ALL, 0, {{2, 2, 2, KEPT}, {2, 1, 1, KEPT}, {2, 1, 2, KEPT}, {2, 1, 1, UNCAPPED}, {2, 1, 1, KEPT}}},
};

enum { PLAIN, LANES, COOP, WAYS };
static const vkft_kernel kernels[VKFT_ATTENTION_PARTS][WAYS] = {
    {VKFT_KERNEL_attention, VKFT_KERNEL_attention_lanes, VKFT_KERNEL_attention_coop},
    {VKFT_KERNEL_attention_delta, VKFT_KERNEL_attention_delta_lanes, VKFT_KERNEL_COUNT},
    {VKFT_KERNEL_attention_dq, VKFT_KERNEL_attention_dq_lanes, VKFT_KERNEL_attention_dq_coop},
    {VKFT_KERNEL_attention_dkv, VKFT_KERNEL_attention_dkv_lanes, VKFT_KERNEL_attention_dkv_coop},
    {VKFT_KERNEL_attention_dbias, VKFT_KERNEL_attention_dbias_lanes, VKFT_KERNEL_COUNT},
};

/* Heads on matrix cores, by the size of the subgroups that compute the matrices, which tells the makers apart. Where a
 * subgroup's sums of a whole head do not fit its registers, COOP_SPLIT subgroups have rows together. */
#define COOP_SPLIT 2u

typedef struct coop_heads {
    uint32_t fast;  /* up to here faster than lanes */
    uint32_t whole; /* up to here not split */
} coop_heads;

static const struct coop_row {
    uint32_t subgroup;
    coop_heads parts[VKFT_ATTENTION_PARTS];
} coop_table[] = {
    {64, {{256, ALL}, {0}, {256, 64}, {256, 64}, {0}}}, /* RDNA3, RDNA4 */
    {32, {{160, ALL}, {0}, {160, 64}, {128, 64}, {0}}}, /* NVIDIA */
    {0, {{0, ALL}, {0}, {0, 16}, {0, 16}, {0}}},        /* Intel, whose compiler spills at any size; software */
};

/* On matrix cores a workgroup walks over tiles of so many rows. */
#define COOP_OTHER_ROWS 32u
#define COOP_MAX_OWN_ROWS 64u

static const struct coop_row *coop_row_of(const vkft_coop_tiles *m)
{
    const struct coop_row *row = coop_table;
    while (row->subgroup && row->subgroup != m->subgroup)
        row++;
    return row;
}

/* How many subgroups have rows together. */
static uint32_t split_of(const vkft_coop_tiles *m, vkft_attention_part part, uint32_t head)
{
    return head > coop_row_of(m)->parts[part].whole ? COOP_SPLIT : 1;
}

/* Shared memory of a part's kernel with so many subgroups, as shaders/attention/coop declares it. */
static uint32_t coop_bytes(const vkft_coop_tiles *m, vkft_attention_part part, uint32_t head, uint32_t subgroups)
{
    uint32_t split = split_of(m, part, head), own = subgroups / split * m->M;
    uint32_t tiles = part == VKFT_ATTENTION_FORWARD ? 1 : 2, factors = part == VKFT_ATTENTION_DKV ? 2 : 1;
    uint32_t halves = tiles * (own + COOP_OTHER_ROWS) * (head / 2 + 4) + factors * own * (COOP_OTHER_ROWS / 2 + 4);
    return 4 * (halves + subgroups * m->M * (COOP_OTHER_ROWS / split + 4)) + 4 * own +
           20 * (uint32_t)round_up(subgroups, 4);
}

/* The kernel for matrix cores; its rows are 0 where there is none for this part, head size or device. */
static vkft_attention_kernel coop_kernel(const vkft_device_info *info, vkft_attention_part part, uint32_t head,
                                         bool forced)
{
    vkft_attention_kernel k = {kernels[part][COOP], .lanes = 1, .block = 1, .kept = true};
    const vkft_coop_tiles *m = vkft_coop_tiles_of(&info->caps, forced);
    if (!m || k.kernel == VKFT_KERNEL_COUNT || !vkft_kernel_is_built(k.kernel) ||
        !vkft_caps_have(&info->caps, vkft_kernel_needs(k.kernel)) || head % max_u32(m->K, m->N) != 0)
        return k;
    if (!forced && head > coop_row_of(m)->parts[part].fast)
        return k;
    uint32_t split = split_of(m, part, head);
    for (uint32_t n = COOP_MAX_OWN_ROWS / m->M; n >= split && !k.rows; n /= 2)
        if (coop_bytes(m, part, head, n) <= info->caps.shared_memory_bytes &&
            vkft_caps_subgroup_size(&info->caps, n * m->subgroup, m->subgroup))
            k.rows = n / split * m->M;
    k.subgroup = m->subgroup;
    return k;
}

static const struct device_row *row_of(const vkft_device_info *info, uint32_t head_dim)
{
    const struct device_row *row = table;
    while (row->vendor != ANY &&
           (row->vendor != info->vendor_id || info->caps.subgroup_min < row->subgroup_min || head_dim > row->head))
        row++;
    return row;
}

/* What VKFT_ATTENTION says; NULL: nothing. */
static const char *get_wish(void)
{
    const char *wish = getenv("VKFT_ATTENTION");
    return wish && *wish ? wish : NULL;
}

static bool forced_coop(void)
{
    const char *wish = get_wish();
    return wish && strcmp(wish, "coop") == 0;
}

/* What VKFT_ATTENTION asks for; lanes 0: plain. False: it is not set, or not one of these words. */
static bool forced(uint32_t *lanes, uint32_t *rows)
{
    const char *wish = get_wish();
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
    if (forced_coop() || vkft_gemm_of(dev)->attention) {
        vkft_attention_kernel k = coop_kernel(info, part, head_dim, forced_coop());
        if (k.rows)
            return k;
    }
    bool wish = forced(&lanes, &rows), many = part != VKFT_ATTENTION_DELTA && part != VKFT_ATTENTION_DBIAS;
    vkft_attention_kernel plain = {kernels[part][PLAIN], .lanes = 1, .rows = 1, .block = s->block, .kept = true};
    if (wish && lanes)
        return (vkft_attention_kernel){kernels[part][LANES], lanes, many ? rows : 1, s->block, rows < 4, 0};
    if (wish || info->caps.software || !vkft_caps_have(&info->caps, VKFT_CAP_SUBGROUP_SHUFFLE))
        return plain;
    bool tile = vkft_kernel_get_shape(kernels[part][LANES]) == VKFT_SHAPE_TILE;
    bool ask = tile && row->subgroup && vkft_caps_subgroup_size(&info->caps, row->subgroup, row->subgroup);
    uint32_t subgroup = ask ? row->subgroup : 0;
    lanes = 1;
    while (lanes < (ask ? subgroup : info->caps.subgroup_size) && ceil_div_u64(units, lanes) > s->units)
        lanes *= 2;
    return (vkft_attention_kernel){kernels[part][LANES], lanes, s->rows, s->block, s->place != SHARED, subgroup};
}

static bool check_wish(const vkft_device *dev, const vkft_ops_constants *c, vkft_err *err)
{
    const vkft_caps *caps = vkft_device_get_caps(dev);
    uint32_t lanes, rows;
    if (!get_wish())
        return true;
    if (forced_coop() && c->relative)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "VKFT_ATTENTION=coop: attention on matrix cores has no biases by position");
    if (forced_coop())
        return coop_kernel(vkft_device_get_info(dev), VKFT_ATTENTION_FORWARD, c->head_dim, true).rows ||
               vkft_fail(err, VKFT_ERR_DEVICE,
                         "VKFT_ATTENTION=coop: %s, or this build, has no matrix cores for heads of %u elements",
                         vkft_device_get_info(dev)->name, c->head_dim);
    if (!forced(&lanes, &rows) || lanes > caps->subgroup_size || (lanes & (lanes - 1)) || (rows & (rows - 1)))
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "VKFT_ATTENTION=%s: expected plain, coop, lanes:N or lanes:N:R with powers of two, N up to %u on this "
            "device, R up to %u",
            get_wish(), caps->subgroup_size, MAX_ROWS);
    return !lanes ||
           vkft_caps_meet(caps, vkft_kernel_needs(VKFT_KERNEL_attention_lanes),
                          vkft_kernel_name(VKFT_KERNEL_attention_lanes), vkft_device_get_info(dev)->name, err);
}

static void specialize(vkft_device *dev, vkft_attention_part part, const vkft_ops_constants *c)
{
    const vkft_caps *caps = vkft_device_get_caps(dev);
    vkft_attention_kernel k = vkft_attention_choose(dev, part, c->head_dim);
    if (k.kernel == kernels[part][COOP]) {
        const vkft_coop_tiles *m = vkft_coop_tiles_of(caps, forced_coop());
        const uint32_t split = split_of(m, part, c->head_dim), count = part == VKFT_ATTENTION_FORWARD ? 12 : 13;
        const uint32_t constants[] = {c->head_dim, c->softcap,  false,           1,    1, 1, 1, m->M, m->N,
                                      m->K,        m->subgroup, COOP_OTHER_ROWS, split};
        vkft_kernel_specialize(dev, k.kernel, k.rows / m->M * split * m->subgroup, m->subgroup, constants, count);
        return;
    }
    bool tile = vkft_kernel_get_shape(k.kernel) == VKFT_SHAPE_TILE, shared = k.kernel == kernels[part][LANES];
    uint32_t kept = k.kept; /* as attention.glsl says */
    if (kept && c->softcap && row_of(vkft_device_get_info(dev), c->head_dim)->parts[part].place == UNCAPPED)
        kept = 2;
    uint32_t block = k.block;
    /* A CPU computes the sums of several keys beside each other where loads do not hold it up; backward there are two
     * beside each other already. */
    bool overlap = part == VKFT_ATTENTION_FORWARD && vkft_caps_have(caps, VKFT_CAP_UNIFORM_LOADS);
    if (caps->software)
        block = !overlap && c->longest_walk <= vkft_attention_iterations(caps) ? 1 : VKFT_ATTENTION_BLOCK;
    const uint32_t constants[] = {c->head_dim, c->softcap, c->relative, block, k.lanes, k.rows, kept};
    uint32_t width = !tile ? 0 : k.subgroup ? k.subgroup : caps->subgroup_size;
    vkft_kernel_specialize(dev, k.kernel, width, k.subgroup, constants, shared ? 7 : 4);
}

/* All parts, on matrix cores or not. */
static void specialize_all(vkft_device *dev, bool matrix, const void *constants)
{
    vkft_gemm *gemm = vkft_device_attached(dev);
    gemm->attention = matrix;
    for (vkft_attention_part part = 0; part < VKFT_ATTENTION_PARTS; part++)
        specialize(dev, part, constants);
}

bool vkft_attention_setup(vkft_device *dev, const vkft_ops_constants *c, vkft_err *err)
{
    if (!check_wish(dev, c, err))
        return false;
    vkft_gemm *gemm = vkft_device_attached(dev);
    bool matrix = gemm->operands == VKFT_F16 && gemm->coop && !c->relative && !get_wish();
    specialize_all(dev, matrix, c);
    return true;
}

bool vkft_attention_selftest(vkft_device *dev, const vkft_ops_constants *c, vkft_err *err)
{
    vkft_gemm *gemm = vkft_device_attached(dev);
    const vkft_device_info *info = vkft_device_get_info(dev);
    bool right = true;
    if (!gemm->attention || !coop_kernel(info, VKFT_ATTENTION_FORWARD, c->head_dim, false).rows)
        return true;
    if (!vkft_attention_compare(dev, c->head_dim, specialize_all, c, &right, err))
        return false;
    if (!right) {
        specialize_all(dev, false, c);
        if (!gemm->notice[0])
            snprintf(gemm->notice, sizeof gemm->notice,
                     "attention on matrix cores computes wrong results on %s: it is computed in f32", info->name);
    }
    return true;
}

uint64_t vkft_attention_count(const vkft_device *dev, vkft_attention_kernel k, uint64_t rows)
{
    if (vkft_kernel_get_shape(k.kernel) != VKFT_SHAPE_TILE)
        return rows;
    for (vkft_attention_part part = 0; part < VKFT_ATTENTION_PARTS; part++)
        if (k.kernel == kernels[part][COOP])
            return ceil_div_u64(rows, k.rows);
    return ceil_div_u64(ceil_div_u64(rows, k.rows) * k.lanes, vkft_kernel_width(dev, k.kernel));
}

void vkft_attention_launch(const vkft_device *dev, vkft_commands *cmds, vkft_attention_part part, uint32_t head_dim,
                           const void *args, uint32_t args_bytes, uint64_t rows, uint32_t heads, double flops)
{
    vkft_attention_kernel k = vkft_attention_choose(dev, part, head_dim);
    uint64_t count = vkft_attention_count(dev, k, rows);
    if (vkft_kernel_get_shape(k.kernel) == VKFT_SHAPE_OWN)
        vkft_launch(cmds, k.kernel, args, args_bytes, count, heads, flops);
    else
        vkft_launch_workgroups(cmds, k.kernel, args, args_bytes, count, heads, flops);
}
