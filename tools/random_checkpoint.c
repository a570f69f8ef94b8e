/* Random weights at the speed of the disk: a value is one of 65536 equally likely points of the normal distribution
 * (its quantiles at (i + 1/2) / 65536, which reach to 4.2 standard deviations), so 16 random bits and one look-up make
 * one weight. The generator is counter-based, one stream per tensor and piece, so pieces can be made by several
 * threads. */
#include "tools/random_checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/parallel.h"
#include "formats/tensors/safetensors.h"
#include "host/model/model.h"
#include "host/model/tensor_spec.h"

#define LEVELS 65536
#define PIECE ((uint64_t)1 << 18) /* elements a thread makes at a time */
#define CHUNK (16 * PIECE)
#define NAME_SIZE 128

typedef struct tensor {
    char name[NAME_SIZE];
    uint32_t dims;
    uint64_t shape[2], elements;
    float constant; /* value of a vector */
} tensor;

typedef struct generator {
    const vkft_random_checkpoint *options;
    tensor *tensors;
    uint32_t count;
    uint8_t *table; /* [LEVELS] in the storage type */
    uint8_t *chunk; /* CHUNK elements */
    /* the chunk at work */
    uint32_t index;
    uint64_t first, elements;
} generator;

/* Steele, Lea, Flood 2014: the finalizer of SplitMix64. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* x with P(X <= x) = p, by Newton's method on the normal distribution function. */
static double normal_quantile(double p, double start)
{
    double x = start;
    for (int i = 0; i < 20; i++) {
        double step = (0.5 * erfc(-x / sqrt(2.0)) - p) * sqrt(2.0 * 3.14159265358979323846) * exp(x * x / 2);
        x -= step;
        if (fabs(step) < 1e-12)
            break;
    }
    return x;
}

static void fill_table(generator *g)
{
    const uint32_t bytes = vkft_dtype_bits(g->options->dtype) / 8;
    double x = 0;
    for (uint32_t i = LEVELS / 2; i < LEVELS; i++) { /* from the middle outwards, each start near its solution */
        x = normal_quantile((i + 0.5) / LEVELS, x);
        const float pair[2] = {(float)(x * g->options->deviation), (float)(-x * g->options->deviation)};
        vkft_from_f32(g->options->dtype, &pair[0], 1, g->table + i * bytes);
        vkft_from_f32(g->options->dtype, &pair[1], 1, g->table + (LEVELS - 1 - i) * bytes);
    }
}

static void fill_piece(void *context, uint64_t task, uint32_t worker)
{
    (void)worker;
    generator *g = context;
    const uint32_t bytes = vkft_dtype_bits(g->options->dtype) / 8;
    uint64_t begin = task * PIECE, end = g->elements - begin < PIECE ? g->elements : begin + PIECE;
    uint64_t key = mix(mix(g->options->seed ^ mix(g->index)) + g->first + begin), random = 0;
    for (uint64_t i = begin; i < end; i++) {
        random = i % 4 == 0 ? mix(key + i) : random >> 16;
        memcpy(g->chunk + i * bytes, g->table + (random & (LEVELS - 1)) * bytes, bytes);
    }
}

static void fill_constant(generator *g, float value)
{
    const uint32_t bytes = vkft_dtype_bits(g->options->dtype) / 8;
    for (uint64_t i = 0; i < g->elements; i++)
        vkft_from_f32(g->options->dtype, &value, 1, g->chunk + i * bytes);
}

/* All tensors in the order of the model, named and shaped as the checkpoint has them. */
static void list_tensors(generator *g, const vkft_model *model)
{
    for (; g->count < model->tensor_count; g->count++) {
        const struct vkft_tensor_spec *spec = &model->tensors[g->count];
        tensor *to = &g->tensors[g->count];
        const bool flat = spec->vector && spec->rows == 1, transposed = spec->linear && model->config->arch->conv1d;
        const char *suffix = strrchr(spec->name, '.');
        snprintf(to->name, sizeof to->name, "%s", spec->name);
        to->dims = flat ? 1 : 2;
        to->shape[0] = flat || transposed ? spec->cols : spec->rows;
        to->shape[1] = transposed ? spec->rows : spec->cols;
        to->elements = (uint64_t)spec->rows * spec->cols;
        to->constant = suffix && strcmp(suffix, ".bias") == 0 ? 0.0f : 1.0f - model->config->norm_gain_offset;
    }
}

static bool write_tensor(generator *g, uint32_t index, vkft_safetensors_writer *out, vkft_err *err)
{
    const tensor *t = &g->tensors[index];
    const uint32_t bytes = vkft_dtype_bits(g->options->dtype) / 8;
    g->index = index;
    for (g->first = 0; g->first < t->elements; g->first += g->elements) {
        g->elements = t->elements - g->first < CHUNK ? t->elements - g->first : CHUNK;
        if (t->dims == 1)
            fill_constant(g, t->constant);
        else
            vkft_parallel(vkft_worker_count(g->options->threads), (g->elements + PIECE - 1) / PIECE, fill_piece, g);
        if (!vkft_safetensors_append(out, g->chunk, (size_t)(g->elements * bytes), err))
            return false;
    }
    return true;
}

/* Tensors begin .. end-1 into one file. */
static bool write_shard(generator *g, const char *dir, const char *name, uint32_t begin, uint32_t end, vkft_err *err)
{
    char *path = vkft_path_join(dir, name);
    vkft_safetensors_spec *specs = calloc((size_t)(end - begin) + 1, sizeof *specs);
    vkft_safetensors_writer *out = NULL;
    bool ok = (path && specs) || vkft_fail(err, VKFT_ERR_MEMORY, "out of memory writing '%s'", name);
    for (uint32_t i = begin; ok && i < end; i++) {
        const tensor *t = &g->tensors[i];
        specs[i - begin] = (vkft_safetensors_spec){.name = t->name, .dtype = g->options->dtype, .dims = t->dims};
        memcpy(specs[i - begin].shape, t->shape, sizeof t->shape);
    }
    if (ok)
        out = vkft_safetensors_create(path, specs, end - begin, err);
    ok = out != NULL;
    for (uint32_t i = begin; ok && i < end; i++)
        ok = write_tensor(g, i, out, err);
    if (ok)
        ok = vkft_safetensors_commit(out, err);
    else
        vkft_safetensors_abandon(out);
    free(specs);
    free(path);
    return ok;
}

static void shard_name(char *name, size_t size, uint32_t shard, uint32_t shards)
{
    if (shards == 1)
        snprintf(name, size, "model.safetensors");
    else
        snprintf(name, size, "model-%05" PRIu32 "-of-%05" PRIu32 ".safetensors", shard + 1, shards);
}

/* model.safetensors.index.json; of_tensor[i] is the shard of tensor i. */
static bool write_index(const generator *g, const char *dir, const uint32_t *of_tensor, uint32_t shards, vkft_err *err)
{
    size_t size = 256 + (size_t)g->count * (NAME_SIZE + 64), n = 0;
    char *text = malloc(size), *path = vkft_path_join(dir, "model.safetensors.index.json");
    uint64_t total = 0;
    bool ok = (text && path) || vkft_fail(err, VKFT_ERR_MEMORY, "out of memory writing the index in '%s'", dir);
    for (uint32_t i = 0; i < g->count; i++)
        total += g->tensors[i].elements * (vkft_dtype_bits(g->options->dtype) / 8);
    if (ok)
        n += (size_t)snprintf(
            text, size, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {\n", total);
    for (uint32_t i = 0; ok && i < g->count; i++) {
        char name[48];
        shard_name(name, sizeof name, of_tensor[i], shards);
        n += (size_t)snprintf(text + n, size - n, "    \"%s\": \"%s\"%s\n", g->tensors[i].name, name,
                              i + 1 < g->count ? "," : "");
    }
    if (ok) {
        n += (size_t)snprintf(text + n, size - n, "  }\n}\n");
        ok = vkft_file_write(path, text, n, err);
    }
    free(text);
    free(path);
    return ok;
}

/* Consecutive tensors, each shard about the same number of elements. */
static bool write_shards(generator *g, const char *dir, vkft_err *err)
{
    uint32_t shards = g->options->shards ? g->options->shards : 1;
    uint32_t *of_tensor = calloc(g->count, sizeof *of_tensor);
    uint64_t total = 0, before = 0;
    if (!of_tensor)
        return vkft_fail(err, VKFT_ERR_MEMORY, "out of memory writing '%s'", dir);
    if (shards > g->count)
        shards = g->count;
    for (uint32_t i = 0; i < g->count; i++)
        total += g->tensors[i].elements;
    for (uint32_t i = 0, last = 0; i < g->count; i++) { /* every shard gets at least one */
        uint32_t wanted = (uint32_t)((double)before / (double)total * shards);
        uint32_t minimum = shards - 1 > g->count - 1 - i ? shards - 1 - (g->count - 1 - i) : 0;
        wanted = wanted > last + 1 ? last + 1 : wanted < last ? last : wanted;
        last = of_tensor[i] = i == 0 ? 0 : wanted < minimum ? minimum : wanted;
        before += g->tensors[i].elements;
    }
    bool ok = true;
    for (uint32_t begin = 0, end; ok && begin < g->count; begin = end) {
        char name[48];
        for (end = begin; end < g->count && of_tensor[end] == of_tensor[begin]; end++)
            ;
        shard_name(name, sizeof name, of_tensor[begin], shards);
        ok = write_shard(g, dir, name, begin, end, err);
    }
    ok = ok && (shards == 1 || write_index(g, dir, of_tensor, shards, err));
    free(of_tensor);
    return ok;
}

bool vkft_random_checkpoint_write(const vkft_config *config, const char *dir, const vkft_random_checkpoint *options,
                                  vkft_err *err)
{
    vkft_model model;
    if (!vkft_model_init(&model, config, NULL, VKFT_STORAGE_none, false, err))
        return false;
    generator g = {.options = options};
    g.tensors = calloc(model.tensor_count, sizeof *g.tensors);
    g.table = malloc(LEVELS * sizeof(float));
    g.chunk = malloc(CHUNK * sizeof(float));
    bool ok = (g.tensors && g.table && g.chunk) || vkft_fail(err, VKFT_ERR_MEMORY, "out of memory writing '%s'", dir);
    if (ok) {
        fill_table(&g);
        list_tensors(&g, &model);
        ok = write_shards(&g, dir, err);
    }
    free(g.tensors);
    free(g.table);
    free(g.chunk);
    vkft_model_free(&model);
    return ok;
}
