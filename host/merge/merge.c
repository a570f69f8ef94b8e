/* One weight at a time, in pieces that are cut into tasks for the threads. */
#include "host/merge/merge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/trainable/start/vera_matrices.h"
#include "runtime/base/parallel.h"
#include "runtime/base/size.h"

#define PIECE ((uint64_t)1 << 21) /* values */
#define TASK ((uint64_t)1 << 16)

/* ---- what fits ---- */

static const vkft_source_weight *find_weight(const vkft_weights *weights, const char *module, const char *ending)
{
    char name[300];
    snprintf(name, sizeof name, "%s%s", module, ending);
    for (uint32_t i = 0; i < weights->count; i++)
        if (strcmp(weights->list[i].name, name) == 0)
            return &weights->list[i];
    return NULL;
}

static bool has_shape(const vkft_adapter_format *format, const vkft_merge_module *m, const vkft_source_weight *w)
{
    const vkft_adapter_tensor *const *t = m->tensor;
    if (format->ia3)
        return t[0]->rows == 1 ? t[0]->cols == w->cols : t[0]->rows == w->rows;
    if (format->vera)
        return t[0]->rows == w->rows;
    return t[0]->cols == w->cols && t[1]->rows == w->rows && (!t[2] || t[2]->rows == w->rows);
}

static bool check_adapter(const vkft_merge *m, vkft_err *err)
{
    const vkft_merge_adapter *a = &m->adapter;
    const vkft_adapter_format *format = a->adapter.config.format;
    for (uint32_t i = 0; i < a->count; i++) {
        const vkft_merge_module *module = &a->modules[i];
        const vkft_source_weight *w = find_weight(&m->weights, module->name, ".weight");
        if (!w || !has_shape(format, module, w))
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: the adapter of %s does not fit the model: %s", a->path,
                             module->name, w ? "the shapes differ" : "it has no weight there");
        if (format->lora_bias && !find_weight(&m->weights, module->name, ".bias"))
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: the adapter of %s has a bias (lora_bias), and the model has none there that it could "
                             "be merged into",
                             a->path, module->name);
    }
    for (uint32_t i = 0; i < a->saved_count; i++) {
        const vkft_merge_saved *saved = &a->saved[i];
        const vkft_source_weight *w = find_weight(&m->weights, saved->name, "");
        if (!w || (uint64_t)saved->tensor->rows * saved->tensor->cols != w->rows * w->cols)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s does not fit the model: %s", a->path, saved->name,
                             w ? "the shapes differ" : "it is not there");
    }
    for (uint32_t i = 0; i < a->tokens_count; i++) {
        const vkft_source_weight *w = find_weight(&m->weights, a->tokens[i].name, "");
        if (!w || a->tokens[i].tensor->cols != w->cols)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: the tokens of %s do not fit the model", a->path,
                             a->tokens[i].name);
    }
    return true;
}

/* The matrices that VeRA's modules share; those that are made are as large as the largest module. */
static bool find_projection(vkft_merge *m, vkft_err *err)
{
    const vkft_adapter *adapter = &m->adapter.adapter;
    const uint32_t r = adapter->config.r;
    uint32_t in = 0, out = 0;
    if (!m->adapter.method->projection)
        return true;
    for (uint32_t i = 0; i < m->adapter.count; i++) {
        const vkft_merge_module *module = &m->adapter.modules[i];
        const vkft_source_weight *w = find_weight(&m->weights, module->name, ".weight");
        in = max_u32(in, (uint32_t)w->cols);
        out = max_u32(out, (uint32_t)w->rows);
        if (module->tensor[1]->rows != r)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s: vera_lambda_d has %u values; expected %u, r of the adapter",
                             m->adapter.path, module->name, module->tensor[1]->rows, r);
    }
    if (adapter->config.save_projection) {
        m->shared[0] = adapter->projection[0].data;
        m->shared[1] = adapter->projection[1].data;
        m->stride = adapter->projection[0].cols;
        return vkft_vera_matrices_check(adapter, in, out, err) || vkft_fail_context(err, "%s", m->adapter.path);
    }
    m->stride = in;
    if (!vkft_vera_matrices(adapter->config.projection_prng_key, r, in, out, &m->made[0], &m->made[1], err))
        return false;
    m->shared[0] = m->made[0];
    m->shared[1] = m->made[1];
    return true;
}

bool vkft_merge_open(const vkft_merge_options *options, vkft_merge *merge, vkft_err *err)
{
    *merge = (vkft_merge){.options = *options};
    bool quantized = options->from == VKFT_MERGE_QUANTIZED || options->compare;
    bool ok = vkft_weights_open(options->model, quantized ? &options->trained : NULL, &merge->weights, err);
    if (ok && options->adapter)
        ok = vkft_merge_adapter_open(options->adapter, &merge->weights.source.config, &merge->adapter, err) &&
             check_adapter(merge, err) && find_projection(merge, err);
    for (uint32_t i = 0; ok && i < merge->weights.count; i++)
        merge->total += merge->weights.list[i].rows * merge->weights.list[i].cols;
    if (!ok)
        vkft_merge_close(merge);
    return ok;
}

void vkft_merge_close(vkft_merge *merge)
{
    vkft_merge_adapter_close(&merge->adapter);
    free(merge->made[0]);
    free(merge->made[1]);
    vkft_weights_close(&merge->weights);
    *merge = (vkft_merge){0};
}

/* ---- one weight ---- */

/* A piece that is computed, and handed to whoever writes it while the next one is computed. */
typedef struct handover {
    bool (*take)(void *context, const float *values, uint64_t first, uint64_t rows, vkft_err *err);
    void *context;
    const float *values;
    uint64_t first, rows; /* rows 0: there is none yet */
    vkft_err *err;
    bool ok;
} handover;

typedef struct piece {
    const vkft_weight_reader *reader, *other; /* other: the original of a quantized weight; NULL: not measured */
    const vkft_adapter_method *method;        /* NULL: the weight stays */
    vkft_adapter_merge adapter;
    bool is_bias;
    const vkft_adapter_tensor *saved; /* stands in the weight's place */
    const vkft_merge_tokens *tokens;  /* stand in the place of some of its rows */
    uint64_t first, rows, task_rows, cols;
    float *values, *originals;
    double (*sums)[2]; /* of each task */
    handover last;
} piece;

static void hand_over(handover *h)
{
    if (h->rows && h->ok)
        h->ok = h->take(h->context, h->values, h->first, h->rows, h->err);
}

static void compute(piece *p, uint64_t task)
{
    const uint64_t begin = task * p->task_rows, rows = min_u64(p->task_rows, p->rows - begin), n = rows * p->cols;
    float *w = p->values + begin * p->cols;
    if (p->saved) {
        memcpy(w, p->saved->data + (p->first + begin) * p->cols, (size_t)n * sizeof *w);
        return;
    }
    vkft_weight_rows(p->reader, p->first + begin, rows, w);
    if (p->other) {
        float *o = p->originals + begin * p->cols;
        double *sums = p->sums[task];
        vkft_weight_rows(p->other, p->first + begin, rows, o);
        sums[0] = sums[1] = 0;
        for (uint64_t i = 0; i < n; i++) {
            sums[0] += ((double)w[i] - (double)o[i]) * ((double)w[i] - (double)o[i]);
            sums[1] += p->reader->quantized ? (double)o[i] * (double)o[i] : (double)w[i] * (double)w[i];
        }
    }
    for (uint32_t i = 0; p->tokens && i < p->tokens->tensor->rows; i++) {
        const uint64_t row = p->tokens->tokens[i] - p->first - begin;
        if (p->tokens->tokens[i] >= p->first + begin && row < rows)
            memcpy(w + row * p->cols, p->tokens->tensor->data + i * p->cols, (size_t)p->cols * sizeof *w);
    }
    if (p->method && p->is_bias)
        p->method->merge_bias(&p->adapter, p->cols, w);
    else if (p->method)
        p->method->merge(&p->adapter, p->first + begin, rows, w);
}

/* Task 0 hands over what was computed before. */
static void run_task(void *context, uint64_t task, uint32_t worker)
{
    piece *p = context;
    (void)worker;
    if (task == 0)
        hand_over(&p->last);
    else
        compute(p, task - 1);
}

/* What the adapter does to this weight. */
static void find_change(const vkft_merge *m, const vkft_source_weight *w, piece *p)
{
    char module[256];
    size_t n = strlen(w->name);
    const vkft_merge_saved *saved = vkft_merge_find_saved(&m->adapter, w->name);
    p->saved = saved ? saved->tensor : NULL;
    for (uint32_t i = 0; i < m->adapter.tokens_count; i++)
        if (strcmp(m->adapter.tokens[i].name, w->name) == 0)
            p->tokens = &m->adapter.tokens[i];
    p->is_bias = n > 5 && strcmp(w->name + n - 5, ".bias") == 0;
    snprintf(module, sizeof module, "%.*s", (int)(n ? n - strlen(p->is_bias ? ".bias" : ".weight") : 0), w->name);
    const vkft_merge_module *found = vkft_merge_find_module(&m->adapter, module);
    if (!found || (p->is_bias && !m->adapter.method->merge_bias))
        return;
    p->method = m->adapter.method;
    p->adapter = (vkft_adapter_merge){.tensor = found->tensor,
                                      .scale = found->scale,
                                      .cols = w->cols,
                                      .A = m->shared[0],
                                      .B = m->shared[1],
                                      .stride = m->stride};
}

static void add_difference(vkft_merge *m, const vkft_source_weight *w, double difference, double squares)
{
    double relative = squares > 0 ? sqrt(difference / squares) : 0;
    m->compared++;
    m->difference += difference;
    m->squares += squares;
    if (relative <= m->worst)
        return;
    m->worst = relative;
    memcpy(m->worst_name, w->name, sizeof m->worst_name);
}

static bool run_pieces(vkft_merge *m, piece *p, const vkft_source_weight *w, uint64_t rows, float *const buffers[2],
                       vkft_err *err)
{
    const uint32_t workers = vkft_worker_count(m->options.threads);
    double difference = 0, squares = 0;
    for (uint32_t number = 0; p->first < w->rows; p->first += p->rows, number++) {
        p->rows = min_u64(rows, w->rows - p->first);
        p->values = buffers[number % 2];
        const uint64_t tasks = ceil_div_u64(p->rows, p->task_rows);
        vkft_parallel(workers, 1 + tasks, run_task, p);
        for (uint64_t t = 0; p->other && t < tasks; t++) {
            difference += p->sums[t][0];
            squares += p->sums[t][1];
        }
        if (!p->last.ok)
            return false;
        p->last.values = p->values;
        p->last.first = p->first;
        p->last.rows = p->rows;
        m->done += p->rows * w->cols;
        vkft_observer_work(&m->options.observer, "merging", m->done, m->total);
        if (vkft_observer_interrupted(&m->options.observer))
            return vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted; nothing was written");
    }
    hand_over(&p->last);
    if (p->other)
        add_difference(m, w, difference, squares);
    return p->last.ok;
}

bool vkft_merge_weight(vkft_merge *m, const vkft_source_weight *w, uint64_t step,
                       bool (*take)(void *context, const float *values, uint64_t first, uint64_t rows, vkft_err *err),
                       void *context, vkft_err *err)
{
    const bool quantized = m->options.from == VKFT_MERGE_QUANTIZED;
    const uint64_t rows = min_u64(max_u64(PIECE / w->cols / step, 1) * step, w->rows);
    vkft_weight_reader reader = {0}, other = {0};
    piece p = {.reader = &reader,
               .cols = w->cols,
               .task_rows = max_u64(TASK / w->cols, 1),
               .last = {.take = take, .context = context, .err = err, .ok = true}};
    find_change(m, w, &p);
    bool measured = w->original && w->quantized && vkft_storage_is_quantized(w->quantized->storage) && !p.saved;
    float *buffers[2] = {NULL};
    for (int i = 0; i < (rows < w->rows ? 2 : 1); i++)
        buffers[i] = malloc((size_t)(rows * w->cols) * sizeof *buffers[i]);
    p.originals = measured ? malloc((size_t)(rows * w->cols) * sizeof *p.originals) : NULL;
    p.sums = calloc((size_t)ceil_div_u64(rows, p.task_rows), sizeof *p.sums);
    bool ok = (buffers[0] && (buffers[1] || rows == w->rows) && p.sums && (p.originals || !measured)) ||
              vkft_fail_memory(err, "for tensor '%s'", w->written);
    ok = ok && vkft_weight_reader_open(w, quantized, &reader, err);
    if (ok && measured) {
        p.other = &other;
        ok = vkft_weight_reader_open(w, !quantized, &other, err);
    }
    ok = ok && run_pieces(m, &p, w, rows, buffers, err);
    vkft_weight_reader_close(&reader);
    vkft_weight_reader_close(&other);
    free(buffers[0]);
    free(buffers[1]);
    free(p.originals);
    free(p.sums);
    return ok;
}

void vkft_merge_report(const vkft_merge *m)
{
    const vkft_observer *o = &m->options.observer;
    const char *label = m->weights.file ? vkft_model_file_quantization(m->weights.file) : "";
    if (m->weights.only_quantized && !m->weights.checkpoint.count)
        vkft_observer_say(o,
                          "merged into the weights of '%s', which is quantized (%s): the original ones are not there",
                          m->weights.source.path, label);
    if (!m->compared)
        return;
    vkft_observer_say(
        o,
        "merged into the %s weights; those that %s has differ from the original ones by %.2f %% (root mean "
        "square, %u layers), at most by %.2f %% (%s)",
        m->options.from == VKFT_MERGE_QUANTIZED ? "quantized" : "original", label,
        100 * sqrt(m->difference / m->squares), m->compared, 100 * m->worst, m->worst_name);
}
