/* See tune.h. Results are lines of text in the device's file of the cache directory, after the hash of all kernels:
 *
 *   kernels 0123456789abcdef
 *   nf4_dq nt large f32 tile 1 2.153 ms
 *   nf4_dq nt groups large f32 tile 2 2.518 ms
 *
 * "auto 0": what is used without a tuner was fast enough.
 */
#include "host/engine/matmul/tune.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/os.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"
#include "runtime/commands.h"
#include "runtime/device_cache.h"
#include "runtime/memory.h"
#include "shaders/matmul/args.h"

#define BUDGET_MS 3000.0 /* no candidate begins later */
#define GAIN 0.95        /* a choice takes at most so much of the time of what it replaces */
#define RUNS 3           /* of which the fastest is taken */
#define GROUPS 4u        /* that the rows of a sample are shared out among, for products of groups */

static const char *const size_names[VKFT_PRODUCT_SIZES] = {"few", "narrow", "small", "large"};

/* All that is chosen for: types slowest, groups after plain products, NT before NN, large products first. */
#define KINDS (4u * VKFT_STORAGE_COUNT * VKFT_PRODUCT_SIZES)

static vkft_tune_candidate kind_of(uint32_t number)
{
    uint32_t size = number % VKFT_PRODUCT_SIZES, class = number / VKFT_PRODUCT_SIZES;
    return (vkft_tune_candidate){
        .class = {.storage = (vkft_storage)(class / 4), .transposed = class % 2 == 0, .grouped = class / 2 % 2},
        .size = (vkft_product_size)(VKFT_PRODUCT_SIZES - 1 - size)};
}

static vkft_choice *choice_of(vkft_gemm *gemm, const vkft_tune_candidate *kind)
{
    return &gemm->choices[kind->class.storage][kind->class.transposed][kind->class.grouped][kind->size];
}

static bool is_undecided(vkft_gemm *gemm, const vkft_tune_candidate *kind, const bool storages[VKFT_STORAGE_COUNT],
                         bool grouped)
{
    return storages[kind->class.storage] && (grouped || !kind->class.grouped) && !choice_of(gemm, kind)->decided;
}

/* What stands for the products of a kind: rows, of all groups together, columns and the length of sums. */
typedef struct sample {
    uint32_t M, N, K;
} sample;

static sample sample_of(const vkft_caps *caps, bool grouped, vkft_product_size size)
{
    static const sample samples[VKFT_PRODUCT_SIZES] = {
        {1, 2048, 2048}, {1024, 16, 2048}, {128, 2048, 2048}, {1024, 2048, 2048}};
    static const sample software[VKFT_PRODUCT_SIZES] = {{1, 128, 128}, {32, 16, 256}, {32, 128, 128}, {1056, 512, 16}};
    sample s = (caps->software ? software : samples)[size];
    s.M = grouped ? max_u32(s.M, GROUPS) : s.M;
    return s;
}

/* Next candidate of a class and size after `c`: the other strategies, and each shape of all of them. */
static bool next_candidate(const vkft_gemm *gemm, vkft_tune_candidate *c)
{
    const vkft_strategy *const *usable = gemm->usable[c->class.storage][c->class.transposed][c->class.grouped];
    uint32_t i = 0;
    while (usable[i] && usable[i] != c->choice.strategy)
        i++;
    if (c->choice.strategy && c->choice.strategy->shapes && c->choice.variant < c->choice.strategy->shapes(gemm)) {
        c->choice.variant++;
        return true;
    }
    i = c->choice.strategy ? i + 1 : 0;
    c->choice = (vkft_choice){.strategy = usable[i], .variant = usable[i] && usable[i]->shapes};
    return usable[i];
}

/* false: no time is left. */
static bool choose_one(vkft_gemm *gemm, vkft_tune_candidate c, vkft_tune_timer *timer, void *context)
{
    vkft_choice best = {.decided = true};
    double ms;
    if (!timer(context, &c, &ms))
        return false;
    best.ms = ms;
    while (next_candidate(gemm, &c)) {
        if (!timer(context, &c, &ms))
            return false;
        if (ms < (best.strategy ? best.ms : best.ms * GAIN))
            best = (vkft_choice){c.choice.strategy, c.choice.variant, true, ms};
    }
    *choice_of(gemm, &c) = best;
    return true;
}

void vkft_tune_choose(vkft_gemm *gemm, const bool storages[VKFT_STORAGE_COUNT], bool grouped, vkft_tune_timer *timer,
                      void *context)
{
    bool goes_on = true;
    for (uint32_t i = 0; goes_on && i < KINDS; i++) {
        const vkft_tune_candidate kind = kind_of(i);
        if (is_undecided(gemm, &kind, storages, grouped))
            goes_on = choose_one(gemm, kind, timer, context);
    }
}

/* Timing on the device: everything lies in one buffer of ones, which are numbers in every storage type. */
typedef struct bench {
    vkft_device *dev;
    vkft_buffer buffer;
    uint64_t X, Y, part[VKFT_PARTS], group, weights, scratch, scratch_bytes;
    double deadline_ms;
    vkft_err *err;
    bool failed;
} bench;

/* The sizes of the largest sample decide. */
static bool open_bench(bench *b, const vkft_caps *caps, vkft_err *err)
{
    const uint32_t one = 0x3f800000;
    uint64_t x = 0, y = 0, part[VKFT_PARTS] = {0}, bytes[VKFT_PARTS];
    for (vkft_product_size size = 0; size < VKFT_PRODUCT_SIZES; size++) {
        const sample s = sample_of(caps, true, size);
        x = max_u64(x, 4ull * s.M * s.K);
        y = max_u64(y, 4ull * s.M * s.N);
        b->scratch_bytes = max_u64(b->scratch_bytes, vkft_product_scratch_bytes(s.N, s.K));
        for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++) {
            vkft_storage_part_bytes(storage, max_u32(s.N, s.K), max_u32(s.N, s.K), bytes);
            for (uint32_t i = 0; i < VKFT_PARTS; i++)
                part[i] = max_u64(part[i], bytes[i]);
        }
    }
    uint64_t at = 0;
#define PUT(member, size) (member = at, at = round_up(at + (size), 256))
    PUT(b->X, x);
    PUT(b->Y, y);
    for (uint32_t i = 0; i < VKFT_PARTS; i++)
        PUT(b->part[i], part[i] + 4);
    PUT(b->group, (2 * GROUPS + 2) * sizeof(uint32_t));
    PUT(b->weights, GROUPS * sizeof(struct weight_ref));
    PUT(b->scratch, b->scratch_bytes);
#undef PUT
    return vkft_buffer_new(b->dev, at, VKFT_MEMORY_DEVICE, "tuner", &b->buffer, err) &&
           vkft_buffer_fill(b->dev, &b->buffer, 0, at, one, err);
}

static double device_ms(const vkft_commands *cmds)
{
    vkft_profile_row rows[VKFT_KERNEL_COUNT] = {0};
    double sum = 0;
    vkft_commands_add_profile(cmds, rows);
    for (uint32_t k = 0; k < VKFT_KERNEL_COUNT; k++)
        sum += rows[k].time_ms;
    return sum;
}

/* The first run builds the pipeline and is not timed. */
static bool run(vkft_commands *cmds, double *ms, vkft_err *err)
{
    if (!vkft_commands_run(cmds, err))
        return false;
    vkft_commands_set_profile(cmds, true);
    *ms = INFINITY;
    for (int i = 0; i < RUNS; i++) {
        double before = device_ms(cmds);
        if (!vkft_commands_run(cmds, err))
            return false;
        *ms = fmin(*ms, device_ms(cmds) - before);
    }
    return true;
}

/* So many rows in groups of the same size, which share a matrix. */
static bool write_groups(bench *b, const vkft_weight *w, uint32_t rows)
{
    uint32_t table[2 * GROUPS + 2] = {0};
    struct weight_ref refs[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++) {
        table[2 * g + 2] = rows / GROUPS * (g + 1);
        table[2 * g + 3] = ceil_div(rows / GROUPS, GROUP_TILE) * (g + 1);
        refs[g] = vkft_weight_ref(w);
    }
    return vkft_buffer_write(b->dev, &b->buffer, b->group, table, sizeof table, b->err) &&
           vkft_buffer_write(b->dev, &b->buffer, b->weights, refs, sizeof refs, b->err);
}

static bool time_candidate(void *context, const vkft_tune_candidate *c, double *ms)
{
    bench *b = context;
    const vkft_gemm *gemm = vkft_gemm_of(b->dev);
    const sample s = sample_of(gemm->caps, c->class.grouped, c->size);
    if (1e3 * vkft_os_seconds() > b->deadline_ms)
        return false;
    vkft_weight w = {
        .storage = c->class.storage, .rows = c->class.transposed ? s.N : s.K, .cols = c->class.transposed ? s.K : s.N};
    for (uint32_t i = 0; i < VKFT_PARTS; i++)
        w.part[i] = b->buffer.address + b->part[i];
    vkft_commands *cmds = vkft_commands_new(b->dev, b->err);
    const vkft_matmul_ctx ctx = {b->dev, cmds, b->buffer.address + b->scratch, b->scratch_bytes};
    const vkft_grouping groups = {
        .groups = GROUPS, .rows = s.M, .max_rows = s.M / GROUPS, .table = b->buffer.address + b->group};
    const vkft_product product = {.w = &w,
                                  .groups = c->class.grouped ? &groups : NULL,
                                  .weights = b->buffer.address + b->weights,
                                  .transposed = c->class.transposed,
                                  .M = s.M,
                                  .X = b->buffer.address + b->X,
                                  .Y = b->buffer.address + b->Y,
                                  .scale = 1};
    *ms = INFINITY;
    bool suits = !c->choice.strategy || c->choice.strategy->suits(gemm, &ctx, &product);
    bool ok = cmds && (!c->class.grouped || write_groups(b, &w, s.M));
    if (ok && suits) {
        vkft_multiply_by(&ctx, &product, &c->choice);
        ok = run(cmds, ms, b->err);
    }
    b->failed |= !ok;
    vkft_commands_free(cmds);
    return ok;
}

static const char *asked(void)
{
    const char *tune = getenv("VKFT_TUNE");
    return tune && *tune ? tune : NULL;
}

static bool wanted(const vkft_caps *caps)
{
    const char *strategies = getenv("VKFT_STRATEGY");
    if (asked())
        return strcmp(asked(), "0") != 0 && caps->timestamp_bits;
    return !caps->software && caps->timestamp_bits && !(strategies && *strategies);
}

/* The words before the choice in its line. */
static void head_of(const vkft_gemm *gemm, const vkft_tune_candidate *kind, char head[64])
{
    snprintf(head, 64, "\n%s %s %s%s %s ", vkft_storage_get(kind->class.storage)->name,
             kind->class.transposed ? "nt" : "nn", kind->class.grouped ? "groups " : "", size_names[kind->size],
             gemm->operands == VKFT_BF16  ? "bf16"
             : gemm->operands == VKFT_F16 ? "f16"
                                          : "f32");
}

static char *read_results(const vkft_device *dev)
{
    char first[40];
    size_t size, length = (size_t)snprintf(first, sizeof first, "kernels %016" PRIx64 "\n", vkft_kernels_hash());
    char *stored = vkft_device_cache_read(dev, "tuned", &size);
    if (stored && strncmp(stored, first, length) == 0)
        return stored;
    free(stored);
    return NULL;
}

char *vkft_tune_results(const vkft_device *dev)
{
    char *stored = read_results(dev), *lines = stored ? strchr(stored, '\n') : NULL;
    if (lines)
        memmove(stored, lines + 1, strlen(lines));
    return stored;
}

/* A kept choice whose strategy is no longer usable here counts as undecided. */
static void apply(vkft_gemm *gemm, const char *stored, const vkft_tune_candidate *kind)
{
    char head[64], name[16];
    vkft_choice choice = {.decided = true};
    head_of(gemm, kind, head);
    const char *line = strstr(stored, head);
    if (!line || sscanf(line + strlen(head), "%15s %u %lf", name, &choice.variant, &choice.ms) != 3)
        return;
    const vkft_strategy *const *usable = gemm->usable[kind->class.storage][kind->class.transposed][kind->class.grouped];
    for (uint32_t i = 0; usable[i]; i++)
        if (strcmp(usable[i]->name, name) == 0)
            choice.strategy = usable[i];
    if (choice.strategy || strcmp(name, "auto") == 0)
        *choice_of(gemm, kind) = choice;
}

/* Adds the line of a choice unless there is one. */
static bool keep(vkft_gemm *gemm, vkft_text *text, const vkft_tune_candidate *kind, vkft_err *err)
{
    const vkft_choice *c = choice_of(gemm, kind);
    char head[64], line[128];
    head_of(gemm, kind, head);
    if (!c->decided || strstr(text->data, head))
        return true;
    int length = snprintf(line, sizeof line, "%s%s %u %.3f ms\n", head + 1, c->strategy ? c->strategy->name : "auto",
                          c->variant, c->ms);
    return vkft_text_append(text, line, (size_t)length, err);
}

static bool write_results(vkft_device *dev, const char *stored, vkft_err *err)
{
    vkft_gemm *gemm = vkft_device_attached(dev);
    char first[40];
    vkft_text text = {0};
    snprintf(first, sizeof first, "kernels %016" PRIx64 "\n", vkft_kernels_hash());
    bool ok = vkft_text_append(&text, stored ? stored : first, strlen(stored ? stored : first), err);
    for (uint32_t i = 0; ok && i < KINDS; i++) {
        const vkft_tune_candidate kind = kind_of(i);
        ok = keep(gemm, &text, &kind, err);
    }
    if (ok)
        vkft_device_cache_write(dev, "tuned", text.data, text.length);
    vkft_text_free(&text);
    return ok;
}

static bool all_decided(vkft_gemm *gemm, const bool storages[VKFT_STORAGE_COUNT], bool grouped)
{
    for (uint32_t i = 0; i < KINDS; i++) {
        const vkft_tune_candidate kind = kind_of(i);
        if (is_undecided(gemm, &kind, storages, grouped))
            return false;
    }
    return true;
}

bool vkft_tune(vkft_device *dev, const bool storages[VKFT_STORAGE_COUNT], bool grouped, vkft_err *err)
{
    vkft_gemm *gemm = vkft_device_attached(dev);
    if (!wanted(gemm->caps))
        return true;
    char *stored = read_results(dev);
    for (uint32_t i = 0; stored && i < KINDS; i++) {
        const vkft_tune_candidate kind = kind_of(i);
        apply(gemm, stored, &kind);
    }
    bool ok = true;
    if (!all_decided(gemm, storages, grouped)) {
        vkft_err none;
        bench b = {.dev = dev, .deadline_ms = asked() ? INFINITY : 1e3 * vkft_os_seconds() + BUDGET_MS, .err = err};
        if (open_bench(&b, gemm->caps, &none)) { /* without memory for it nothing is timed */
            vkft_tune_choose(gemm, storages, grouped, time_candidate, &b);
            ok = !b.failed && write_results(dev, stored, err);
        }
        vkft_buffer_free(dev, &b.buffer);
    }
    free(stored);
    return ok;
}
