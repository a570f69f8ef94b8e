/* Each strategy multiplies small odd-shaped matrices, and the CPU checks the results: drivers that miscompile a kernel,
 * or list a capability that does not work, are found before a run begins rather than in its losses.
 *
 * Y = 0.5 X op(W), X of 19 rows; with groups the rows belong to two matrices; where a strategy adds a product's branch
 * there is one, 0.25 Z op(V), of the same random values, whose products belong to the sums below. W is [41,133], and
 * again [24,192], whose rows are aligned and whole blocks: kernels may read these in another way. The bound is that of
 * any order of f32 sums of what the product is said to multiply: (K + 3) u sum |x w|, u = 2^-24. Where a strategy
 * rounds operands to f16, each changes by at most 2^-10 of itself, rounded to either side, and a weight below 2^-14,
 * where some devices have nothing but 0, by itself; matrix cores may cut what a sum loses rather than round it, at two
 * bits more: 2^-9 sum |x w| + 2^-14 sum |x| + 4 (K + 3) u sum |x w|.
 *
 * Results are lines of text in the device's file of the cache directory, which begins with the hash of all kernels:
 *
 *   kernels 0123456789abcdef
 *   panel nf4 nt plain f32 passed
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/engine/matmul/gemm.h"
#include "runtime/base/random.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"
#include "runtime/device_cache.h"
#include "runtime/memory.h"
#include "shaders/matmul/args.h"

#define SHAPES 2u
#define ROWS 19u
#define GROUPS 2u
#define FIRST_ROWS 6u /* of the first group */
#define SCALE 0.5f
#define BRANCH 0.25f
#define RANK 7u              /* of the branch */
#define WIDEST 192u          /* row of W or of W^T */
#define WEIGHTS (41u * 133u) /* of the larger one */
#define ALIGNMENT 256u

static const struct shape {
    uint32_t out, in;
} shapes[SHAPES] = {{41, 133}, {24, 192}};

/* A matrix as it is stored, and its values. */
typedef struct matrix {
    void *part[VKFT_PARTS];
    uint64_t bytes[VKFT_PARTS], offset[VKFT_PARTS]; /* of each part in the buffer */
    float added;
    float value[WEIGHTS];
} matrix;

typedef struct test {
    vkft_device *dev;
    vkft_commands *cmds;
    vkft_buffer buffer;
    matrix matrices[SHAPES][GROUPS];
    float x[ROWS * WIDEST], y[ROWS * WIDEST];
} test;

/* Places in the buffer. */
enum {
    AT_X = 0,
    AT_Y = AT_X + (ROWS * WIDEST * 4 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT,
    AT_GROUPS = AT_Y + (ROWS * WIDEST * 4 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT,
    AT_WEIGHTS = AT_GROUPS + ALIGNMENT,
    AT_PARTS = AT_WEIGHTS + ALIGNMENT,
    PART_BYTES = (WEIGHTS * 4 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, /* no part is larger */
    AT_SCRATCH = AT_PARTS + (int)(SHAPES * GROUPS * VKFT_PARTS) * PART_BYTES,
};

static float random_value(uint64_t stream, uint64_t i)
{
    return (float)(2 * vkft_random_uniform(11, stream, i) - 1);
}

/* Codes and scales for a type that has no encoder: any will do, but for what an 8-bit float calls not a number. */
static void invent_parts(matrix *w, uint64_t stream)
{
    uint8_t *codes = w->part[VKFT_PART_DATA];
    for (uint64_t i = 0; i < w->bytes[VKFT_PART_DATA]; i++) {
        uint8_t code = (uint8_t)vkft_random_bits(11, stream, i);
        codes[i] = (code & 0x7f) == 0x7f ? 0 : code;
    }
    vkft_part scales = w->part[VKFT_PART_SUPER] ? VKFT_PART_SUPER : VKFT_PART_SCALES;
    for (uint64_t i = 0; scales == VKFT_PART_SUPER && i < w->bytes[VKFT_PART_SCALES]; i++)
        ((uint8_t *)w->part[VKFT_PART_SCALES])[i] = (uint8_t)vkft_random_bits(12, stream, i);
    for (uint64_t i = 0; i < w->bytes[scales] / sizeof(float); i++)
        ((float *)w->part[scales])[i] = 0.25f + (float)(i % 5);
}

/* The same of a type that says which bytes are a weight. */
static void tame_parts(const vkft_codec *codec, matrix *w, uint64_t stream)
{
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        for (uint64_t i = 0; i < w->bytes[part]; i++)
            ((uint8_t *)w->part[part])[i] = (uint8_t)vkft_random_bits(11 + part, stream, i);
    codec->tame(w->part, w->bytes);
}

static void free_matrix(matrix *w)
{
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        free(w->part[part]);
    *w = (matrix){0};
}

/* A random matrix of this type, in host memory and in the buffer. */
static bool make_matrix(test *t, vkft_storage storage, uint32_t shape, uint32_t group, vkft_err *err)
{
    const vkft_storage_type *type = vkft_storage_get(storage);
    matrix *w = &t->matrices[shape][group];
    const uint32_t out = shapes[shape].out, in = shapes[shape].in, number = shape * GROUPS + group;
    *w = (matrix){0};
    vkft_storage_part_bytes(storage, out, in, w->bytes);
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        if (w->bytes[part] && !(w->part[part] = calloc(1, w->bytes[part] + 4)))
            return vkft_fail_memory(err, "for the kernels' self-test");
    if (type->codec->encode) {
        float scales[WEIGHTS];
        for (uint32_t i = 0; i < out * in; i++)
            w->value[i] = random_value(1 + number, i);
        type->codec->encode(w->value, out * in, w->part[VKFT_PART_DATA], scales);
        if (type->codec->finish)
            type->codec->finish(scales, out, in, w->part, &w->added);
    } else if (type->codec->tame) {
        tame_parts(type->codec, w, 1 + number);
    } else {
        invent_parts(w, 1 + number);
    }
    vkft_stored stored = {.storage = storage, .rows = out, .cols = in, .offset = w->added};
    for (uint32_t part = 0; part < VKFT_PARTS; part++) {
        stored.part[part] = w->part[part];
        w->offset[part] = (uint64_t)AT_PARTS + (number * VKFT_PARTS + part) * (uint64_t)PART_BYTES;
        if (w->part[part] &&
            !vkft_buffer_write(t->dev, &t->buffer, w->offset[part], w->part[part], round_up(w->bytes[part], 4), err))
            return false;
    }
    type->codec->decode(&stored, w->value);
    return true;
}

static vkft_weight weight_of(const test *t, vkft_storage storage, uint32_t shape, uint32_t group)
{
    const matrix *w = &t->matrices[shape][group];
    vkft_weight weight = {.storage = storage, .rows = shapes[shape].out, .cols = shapes[shape].in, .offset = w->added};
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        weight.part[part] = w->part[part] ? t->buffer.address + w->offset[part] : 0;
    return weight;
}

/* In host memory, which a plan does not count against the device's, and which needs no staging. */
static bool open_test(test *t, vkft_device *dev, vkft_err *err)
{
    static const uint32_t groups[2 * GROUPS + 2] = {
        0, 0, FIRST_ROWS, (FIRST_ROWS + GROUP_TILE - 1) / GROUP_TILE, ROWS, 2 * ((ROWS + GROUP_TILE - 1) / GROUP_TILE)};
    t->dev = dev;
    for (uint32_t i = 0; i < ROWS * WIDEST; i++)
        t->x[i] = random_value(0, i);
    return vkft_buffer_new(dev, (uint64_t)AT_SCRATCH + vkft_product_scratch_bytes(WIDEST, WIDEST), VKFT_MEMORY_HOST,
                           "kernels' self-test", &t->buffer, err) &&
           vkft_buffer_write(dev, &t->buffer, AT_X, t->x, sizeof t->x, err) &&
           vkft_buffer_write(dev, &t->buffer, AT_GROUPS, groups, sizeof groups, err) &&
           (t->cmds = vkft_commands_new(dev, err));
}

static void free_matrices(test *t)
{
    for (uint32_t i = 0; i < SHAPES * GROUPS; i++)
        free_matrix(&t->matrices[i / GROUPS][i % GROUPS]);
}

static void close_test(test *t)
{
    free_matrices(t);
    vkft_commands_free(t->cmds);
    vkft_buffer_free(t->dev, &t->buffer);
    free(t);
}

static double operand(const vkft_gemm *gemm, vkft_storage storage, float x)
{
    bool rounds = gemm->operands == VKFT_BF16 && vkft_storage_is_quantized(storage);
    return (double)(rounds ? vkft_bf16_to_f32(vkft_f32_to_bf16(x)) : x);
}

/* Z [ROWS,RANK] and V are what X begins with. */
static vkft_branch branch_of(const vkft_gemm *gemm, const test *t, const vkft_strategy *strategy, vkft_gemm_class class)
{
    const uint64_t X = t->buffer.address + AT_X;
    bool there = !class.grouped && strategy->adds_branch && strategy->adds_branch(gemm);
    return there ? (vkft_branch){.Z = X, .V = X, .r = RANK, .scale = BRANCH} : (vkft_branch){0};
}

static bool is_right(const vkft_gemm *gemm, const test *t, const vkft_strategy *strategy, vkft_gemm_class class,
                     uint32_t shape)
{
    uint32_t out = shapes[shape].out, in = shapes[shape].in;
    uint32_t N = class.transposed ? out : in, K = class.transposed ? in : out;
    uint32_t r = branch_of(gemm, t, strategy, class).r;
    for (uint32_t m = 0; m < ROWS; m++) {
        const matrix *w = &t->matrices[shape][class.grouped && m >= FIRST_ROWS];
        for (uint32_t n = 0; n < N; n++) {
            double sum = 0, size = 0, inputs = 0;
            for (uint32_t k = 0; k < K; k++) {
                float value = w->value[class.transposed ? n * in + k : k * in + n];
                double term = operand(gemm, class.storage, t->x[m * K + k]) * operand(gemm, class.storage, value);
                sum += term;
                size += fabs(term);
                inputs += fabs((double)t->x[m * K + k]);
            }
            for (uint32_t k = 0; k < r; k++) {
                double z = (double)t->x[m * r + k] * (double)(BRANCH / SCALE),
                       term = z * (double)t->x[class.transposed ? n * r + k : k * N + n];
                sum += term;
                size += fabs(term);
                inputs += fabs(z);
            }
            double sums = (K + r + 3) * 0x1p-24 * size,
                   bound = strategy->rounds ? 0x1p-9 * size + 0x1p-14 * inputs + 4 * sums : sums;
            if (!(fabs((double)t->y[m * N + n] - (double)SCALE * sum) <= (double)SCALE * bound))
                return false;
        }
    }
    return true;
}

static void record(const vkft_gemm *gemm, const test *t, const vkft_strategy *strategy, vkft_gemm_class class,
                   uint32_t shape, struct weight_ref table[GROUPS])
{
    const uint64_t base = t->buffer.address;
    vkft_weight w = weight_of(t, class.storage, shape, 0), second = weight_of(t, class.storage, shape, 1);
    table[0] = vkft_weight_ref(&w);
    table[1] = vkft_weight_ref(&second);
    const vkft_grouping groups = {.groups = GROUPS, .rows = ROWS, .max_rows = ROWS, .table = base + AT_GROUPS};
    const vkft_matmul_ctx ctx = {.dev = t->dev,
                                 .cmds = t->cmds,
                                 .scratch = base + AT_SCRATCH,
                                 .scratch_bytes = vkft_product_scratch_bytes(w.rows, w.cols)};
    const vkft_product product = {.w = &w,
                                  .groups = class.grouped ? &groups : NULL,
                                  .weights = base + AT_WEIGHTS,
                                  .transposed = class.transposed,
                                  .M = ROWS,
                                  .X = base + AT_X,
                                  .Y = base + AT_Y,
                                  .scale = SCALE,
                                  .branch = branch_of(gemm, t, strategy, class)};
    strategy->record(gemm, &ctx, &product);
}

/* Runs one strategy; *right: its result is the CPU's. */
static bool run(const vkft_gemm *gemm, test *t, const vkft_strategy *strategy, vkft_gemm_class class, uint32_t shape,
                bool *right, vkft_err *err)
{
    const uint32_t not_a_number = 0x7fc00000;
    struct weight_ref table[GROUPS];
    vkft_commands_reset(t->cmds);
    record(gemm, t, strategy, class, shape, table);
    if (!vkft_buffer_write(t->dev, &t->buffer, AT_WEIGHTS, table, sizeof table, err) ||
        !vkft_buffer_fill(t->dev, &t->buffer, AT_Y, sizeof t->y, not_a_number, err) ||
        !vkft_commands_run(t->cmds, err) || !vkft_buffer_read(t->dev, &t->buffer, AT_Y, t->y, sizeof t->y, err))
        return false;
    *right = is_right(gemm, t, strategy, class, shape);
    return true;
}

/* By each variant of its kernels. */
static bool run_variants(const vkft_gemm *gemm, test *t, const vkft_strategy *strategy, vkft_gemm_class class,
                         uint32_t shape, bool *right, vkft_err *err)
{
    vkft_gemm one = *gemm;
    for (one.variant = strategy->variants > 0; *right && one.variant <= strategy->variants; one.variant++)
        if (!run(&one, t, strategy, class, shape, right, err))
            return false;
    return true;
}

/* What was found before: a line for each strategy and class. */
typedef struct results {
    vkft_text text;
    bool changed;
} results;

static bool read_results(const vkft_device *dev, results *r, vkft_err *err)
{
    char head[40];
    size_t size, length = (size_t)snprintf(head, sizeof head, "kernels %016" PRIx64 "\n", vkft_kernels_hash());
    char *stored = vkft_device_cache_read(dev, "selftest", &size);
    bool same = stored && strncmp(stored, head, length) == 0;
    bool ok = vkft_text_append(&r->text, same ? stored : head, same ? size : length, err);
    free(stored);
    return ok;
}

static void line_of(const vkft_gemm *gemm, const vkft_strategy *strategy, vkft_gemm_class class, char line[100])
{
    snprintf(line, 100, "\n%s %s %s %s %s ", strategy->name, vkft_storage_get(class.storage)->name,
             class.transposed ? "nt" : "nn", class.grouped ? "groups" : "plain",
             gemm->operands == VKFT_BF16  ? "bf16"
             : gemm->operands == VKFT_F16 ? "f16"
                                          : "f32");
}

void vkft_gemm_forget(vkft_device *dev)
{
    char head[40];
    int length = snprintf(head, sizeof head, "kernels %016" PRIx64 "\n", vkft_kernels_hash());
    vkft_device_cache_write(dev, "selftest", head, (size_t)length);
}

void vkft_gemm_distrust(vkft_device *dev, const vkft_strategy *strategy, vkft_gemm_class class)
{
    char line[100];
    results r = {0};
    line_of(vkft_gemm_of(dev), strategy, class, line);
    if (read_results(dev, &r, NULL) && !strstr(r.text.data, line) &&
        vkft_text_append(&r.text, line + 1, strlen(line + 1), NULL) &&
        vkft_text_append(&r.text, "failed\n", strlen("failed\n"), NULL))
        vkft_device_cache_write(dev, "selftest", r.text.data, r.text.length);
    vkft_text_free(&r.text);
}

/* The strategy's result, from the file or by running it. */
static bool examine(const vkft_gemm *gemm, test *t, results *r, const vkft_strategy *strategy, vkft_gemm_class class,
                    bool *right, vkft_err *err)
{
    char line[100];
    line_of(gemm, strategy, class, line);
    const char *found = strstr(r->text.data, line);
    if (found) {
        *right = strncmp(found + strlen(line), "passed", strlen("passed")) == 0;
        return true;
    }
    *right = true;
    for (uint32_t shape = 0; *right && shape < SHAPES; shape++) {
        for (uint32_t i = 0; i < GROUPS; i++)
            if (!t->matrices[shape][i].part[VKFT_PART_DATA] && !make_matrix(t, class.storage, shape, i, err))
                return false;
        if (!run_variants(gemm, t, strategy, class, shape, right, err))
            return vkft_fail_context(err, "in the self-test of kernel %s", vkft_kernel_name(strategy->kernel(class)));
    }
    r->changed = true;
    return vkft_text_append(&r->text, line + 1, strlen(line + 1), err) &&
           vkft_text_append(&r->text, *right ? "passed\n" : "failed\n", strlen("passed\n"), err);
}

/* Records what a class will run, so that all pipelines are built at a time: compilers take seconds for them. */
static void record_class(const vkft_gemm *gemm, const test *t, const results *r, vkft_gemm_class class)
{
    const vkft_strategy *const *usable = gemm->usable[class.storage][class.transposed][class.grouped];
    struct weight_ref table[GROUPS];
    char line[100];
    vkft_gemm one = *gemm;
    for (uint32_t i = 0; usable[i]; i++) {
        line_of(gemm, usable[i], class, line);
        if (strstr(r->text.data, line))
            continue;
        for (uint32_t shape = 0; shape < SHAPES; shape++)
            for (one.variant = usable[i]->variants > 0; one.variant <= usable[i]->variants; one.variant++)
                record(&one, t, usable[i], class, shape, table);
    }
}

/* Drops the wrong strategies of one class. */
static bool examine_class(vkft_device *dev, test *t, results *r, vkft_gemm_class class, char *notice,
                          size_t notice_size, vkft_err *err)
{
    const vkft_gemm *gemm = vkft_gemm_of(dev);
    const vkft_strategy *const *usable = gemm->usable[class.storage][class.transposed][class.grouped];
    vkft_strategy_list tried;
    memcpy(tried, usable, sizeof tried);
    for (uint32_t i = 0; tried[i]; i++) {
        const char *kernel = vkft_kernel_name(tried[i]->kernel(class)), *device = vkft_device_get_info(dev)->name;
        bool right = false;
        if (!examine(gemm, t, r, tried[i], class, &right, err))
            return false;
        if (right)
            continue;
        if (!vkft_gemm_drop(dev, tried[i], class))
            return vkft_fail(err, VKFT_ERR_DEVICE,
                             "kernel %s computes wrong results on %s, and nothing else can multiply %s weights; update "
                             "the driver, or choose another device",
                             kernel, device, vkft_storage_get(class.storage)->name);
        if (!notice[0])
            snprintf(notice, notice_size,
                     "kernel %s computes wrong results on %s: products with %s weights are computed by strategy %s "
                     "instead of %s",
                     kernel, device, vkft_storage_get(class.storage)->name, usable[0]->name, tried[i]->name);
    }
    return true;
}

bool vkft_gemm_selftest(vkft_device *dev, const bool storages[VKFT_STORAGE_COUNT], bool grouped, vkft_err *err)
{
    vkft_gemm *gemm = vkft_device_attached(dev);
    results r = {0};
    test *t = calloc(1, sizeof *t);
    if (!t)
        return vkft_fail_memory(err, "for the kernels' self-test");
    bool ok = open_test(t, dev, err) && read_results(dev, &r, err);
    for (vkft_storage storage = 0; ok && storage < VKFT_STORAGE_COUNT; storage++)
        for (int direction = 0; storages[storage] && direction < 2; direction++)
            for (int groups = 0; groups <= grouped; groups++)
                record_class(gemm, t, &r, (vkft_gemm_class){storage, direction, groups});
    if (ok)
        ok = vkft_commands_build(t->cmds, err) || vkft_fail_context(err, "in the kernels' self-test");
    for (vkft_storage storage = 0; ok && storage < VKFT_STORAGE_COUNT; storage++) {
        for (int direction = 0; ok && storages[storage] && direction < 2; direction++)
            for (int groups = 0; ok && groups <= grouped; groups++)
                ok = examine_class(dev, t, &r, (vkft_gemm_class){storage, direction, groups}, gemm->notice,
                                   sizeof gemm->notice, err);
        free_matrices(t);
    }
    if (r.changed)
        vkft_device_cache_write(dev, "selftest", r.text.data, r.text.length);
    vkft_text_free(&r.text);
    close_test(t);
    return ok;
}
