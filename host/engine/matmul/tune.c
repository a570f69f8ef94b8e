/* See tune.h. Results are lines of text in the device's file of the cache directory, after the hash of all kernels:
 *
 *   kernels 0123456789abcdef
 *   nf4_dq nt large f32 tile 1 2.153 ms
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

#define BUDGET_MS 3000.0 /* no candidate begins later */
#define GAIN 0.95        /* a choice takes at most so much of the time of what it replaces */
#define RUNS 3           /* of which the fastest is taken */

static const char *const size_names[VKFT_PRODUCT_SIZES] = {"few", "narrow", "small", "large"};

/* What stands for the products of a size: rows, columns and the length of sums. */
typedef struct sample {
    uint32_t M, N, K;
} sample;

static sample sample_of(const vkft_caps *caps, vkft_product_size size)
{
    static const sample samples[VKFT_PRODUCT_SIZES] = {
        {1, 2048, 2048}, {1024, 16, 2048}, {128, 2048, 2048}, {1024, 2048, 2048}};
    static const sample software[VKFT_PRODUCT_SIZES] = {{1, 128, 128}, {32, 16, 256}, {32, 128, 128}, {1056, 512, 16}};
    return (caps->software ? software : samples)[size];
}

/* Next candidate of a class and size after `c`: the other strategies, and each shape of all of them. */
static bool next_candidate(const vkft_gemm *gemm, vkft_tune_candidate *c)
{
    const vkft_strategy *const *usable = gemm->usable[c->class.storage][c->class.transposed][false];
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
    gemm->choices[c.class.storage][c.class.transposed][c.size] = best;
    return true;
}

void vkft_tune_choose(vkft_gemm *gemm, const bool storages[VKFT_STORAGE_COUNT], vkft_tune_timer *timer, void *context)
{
    bool goes_on = true;
    for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
        for (int transposed = 1; storages[storage] && transposed >= 0; transposed--)
            for (vkft_product_size size = VKFT_PRODUCT_SIZES; goes_on && size-- > 0;)
                if (!gemm->choices[storage][transposed][size].decided)
                    goes_on =
                        choose_one(gemm, (vkft_tune_candidate){.class = {storage, transposed, false}, .size = size},
                                   timer, context);
}

/* Timing on the device: everything lies in one buffer of ones, which are numbers in every storage type. */
typedef struct bench {
    vkft_device *dev;
    vkft_buffer buffer;
    uint64_t X, Y, part[VKFT_PARTS], scratch, scratch_bytes;
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
        const sample s = sample_of(caps, size);
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
#define PLACE(member, size) (member = at, at = round_up(at + (size), 256))
    PLACE(b->X, x);
    PLACE(b->Y, y);
    for (uint32_t i = 0; i < VKFT_PARTS; i++)
        PLACE(b->part[i], part[i] + 4);
    PLACE(b->scratch, b->scratch_bytes);
#undef PLACE
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

static bool time_candidate(void *context, const vkft_tune_candidate *c, double *ms)
{
    bench *b = context;
    const vkft_gemm *gemm = vkft_gemm_of(b->dev);
    const sample s = sample_of(gemm->caps, c->size);
    if (1e3 * vkft_os_seconds() > b->deadline_ms)
        return false;
    vkft_weight w = {
        .storage = c->class.storage, .rows = c->class.transposed ? s.N : s.K, .cols = c->class.transposed ? s.K : s.N};
    for (uint32_t i = 0; i < VKFT_PARTS; i++)
        w.part[i] = b->buffer.address + b->part[i];
    vkft_commands *cmds = vkft_commands_new(b->dev, b->err);
    const vkft_matmul_ctx ctx = {b->dev, cmds, b->buffer.address + b->scratch, b->scratch_bytes};
    const vkft_product product = {.w = &w,
                                  .transposed = c->class.transposed,
                                  .M = s.M,
                                  .X = b->buffer.address + b->X,
                                  .Y = b->buffer.address + b->Y,
                                  .scale = 1};
    *ms = INFINITY;
    bool suits = !c->choice.strategy || c->choice.strategy->suits(gemm, &ctx, &product), ok = cmds;
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
static void head_of(const vkft_gemm *gemm, vkft_gemm_class class, vkft_product_size size, char head[64])
{
    snprintf(head, 64, "\n%s %s %s %s ", vkft_storage_get(class.storage)->name, class.transposed ? "nt" : "nn",
             size_names[size],
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
static void apply(vkft_gemm *gemm, const char *stored, vkft_gemm_class class, vkft_product_size size)
{
    char head[64], name[16];
    vkft_choice choice = {.decided = true};
    head_of(gemm, class, size, head);
    const char *line = strstr(stored, head);
    if (!line || sscanf(line + strlen(head), "%15s %u %lf", name, &choice.variant, &choice.ms) != 3)
        return;
    const vkft_strategy *const *usable = gemm->usable[class.storage][class.transposed][false];
    for (uint32_t i = 0; usable[i]; i++)
        if (strcmp(usable[i]->name, name) == 0)
            choice.strategy = usable[i];
    if (choice.strategy || strcmp(name, "auto") == 0)
        gemm->choices[class.storage][class.transposed][size] = choice;
}

/* Adds the line of a choice unless there is one. */
static bool keep(const vkft_gemm *gemm, vkft_text *text, vkft_gemm_class class, vkft_product_size size, vkft_err *err)
{
    const vkft_choice *c = &gemm->choices[class.storage][class.transposed][size];
    char head[64], line[128];
    head_of(gemm, class, size, head);
    if (!c->decided || strstr(text->data, head))
        return true;
    int length = snprintf(line, sizeof line, "%s%s %u %.3f ms\n", head + 1, c->strategy ? c->strategy->name : "auto",
                          c->variant, c->ms);
    return vkft_text_append(text, line, (size_t)length, err);
}

static bool write_results(vkft_device *dev, const char *stored, vkft_err *err)
{
    const vkft_gemm *gemm = vkft_gemm_of(dev);
    char first[40];
    vkft_text text = {0};
    snprintf(first, sizeof first, "kernels %016" PRIx64 "\n", vkft_kernels_hash());
    bool ok = vkft_text_append(&text, stored ? stored : first, strlen(stored ? stored : first), err);
    for (uint32_t i = 0; ok && i < 2 * VKFT_STORAGE_COUNT * VKFT_PRODUCT_SIZES; i++)
        ok = keep(gemm, &text, (vkft_gemm_class){i / 2 / VKFT_PRODUCT_SIZES, i % 2, false}, i / 2 % VKFT_PRODUCT_SIZES,
                  err);
    if (ok)
        vkft_device_cache_write(dev, "tuned", text.data, text.length);
    vkft_text_free(&text);
    return ok;
}

static bool all_decided(const vkft_gemm *gemm, const bool storages[VKFT_STORAGE_COUNT])
{
    for (uint32_t i = 0; i < 2 * VKFT_STORAGE_COUNT * VKFT_PRODUCT_SIZES; i++)
        if (storages[i / 2 / VKFT_PRODUCT_SIZES] &&
            !gemm->choices[i / 2 / VKFT_PRODUCT_SIZES][i % 2][i / 2 % VKFT_PRODUCT_SIZES].decided)
            return false;
    return true;
}

bool vkft_tune(vkft_device *dev, const bool storages[VKFT_STORAGE_COUNT], vkft_err *err)
{
    vkft_gemm *gemm = vkft_device_attached(dev);
    if (!wanted(gemm->caps))
        return true;
    char *stored = read_results(dev);
    for (uint32_t i = 0; stored && i < 2 * VKFT_STORAGE_COUNT * VKFT_PRODUCT_SIZES; i++)
        apply(gemm, stored, (vkft_gemm_class){i / 2 / VKFT_PRODUCT_SIZES, i % 2, false}, i / 2 % VKFT_PRODUCT_SIZES);
    bool ok = true;
    if (!all_decided(gemm, storages)) {
        vkft_err none;
        bench b = {.dev = dev, .deadline_ms = asked() ? INFINITY : 1e3 * vkft_os_seconds() + BUDGET_MS, .err = err};
        if (open_bench(&b, gemm->caps, &none)) { /* without memory for it nothing is timed */
            vkft_tune_choose(gemm, storages, time_candidate, &b);
            ok = !b.failed && write_results(dev, stored, err);
        }
        vkft_buffer_free(dev, &b.buffer);
    }
    free(stored);
    return ok;
}
