/* First values that follow from the weights, as PEFT computes them in f32, here in double:
 *
 *   PiSSA   W ~ U S V of rank r:  A = sqrt(S/s) V,  B = U sqrt(S/s),  s the adapter's scale
 *   OLoRA   W = Q R:  A = the first rows of R,  B = the first columns of Q
 *   LoftQ   what quantization loses ~ U S V of rank r:  A = sqrt(S) V,  B = U sqrt(S), whatever the scale
 *
 * PEFT then takes s B A off the weights for PiSSA and OLoRA. Here it is kept as the set's origin and subtracted where
 * the layer is computed: the weights stay as they are, in 4 bits too, so that nothing is quantized twice and what was
 * trained is right on the model that is there. Source: Meng et al. 2024 (PiSSA), Buyukakyuz 2024 (OLoRA), Li et al.
 * 2023 (LoftQ). Test: test_from_weights
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/convert/original.h"
#include "formats/convert/model_open.h"
#include "host/model/tensor_spec.h"
#include "host/trainable/start/decompose.h"
#include "host/trainable/start/start_private.h"
#include "runtime/base/parallel.h"
#include "runtime/base/size.h"

#define WORKERS 8u /* each has a whole weight in f32 */

typedef struct job {
    const vkft_adapter_set *set;
    const vkft_model_tensor **tensors; /* of each module */
    const vkft_originals *originals;   /* or NULL */
    uint64_t seed;
    uint32_t first; /* module of task 0 */
    float *flat;
    vkft_err err[WORKERS];
    bool failed[WORKERS];
} job;

static bool decompose(const job *j, const vkft_adapted_module *m, const float *w, vkft_factors *factors)
{
    vkft_lora_init init = j->set->config.init;
    uint32_t rows = m->linear->w.rows, cols = m->linear->w.cols;
    uint64_t seed = j->seed + m->offset[0];
    if (init == VKFT_LORA_INIT_OLORA)
        return vkft_decompose_qr(w, rows, cols, m->r, factors);
    if (init > VKFT_LORA_INIT_PISSA)
        return vkft_decompose_lowrank(w, rows, cols, m->r, init - VKFT_LORA_INIT_PISSA, seed, factors);
    return vkft_decompose_svd(w, rows, cols, m->r, seed, factors);
}

/* The matrix that is decomposed. */
static bool read_matrix(const job *j, const vkft_adapted_module *m, const vkft_model_tensor *tensor, float *w,
                        vkft_err *err)
{
    uint32_t rows = m->linear->w.rows, cols = m->linear->w.cols;
    uint64_t n = (uint64_t)rows * cols;
    vkft_model_tensor_decode(tensor, w);
    if (!j->originals)
        return true;
    char name[160];
    snprintf(name, sizeof name, "%s.weight", m->name);
    float *original = malloc(n * sizeof *original);
    bool ok = original ? vkft_originals_read(j->originals, name, rows, cols, original, err)
                       : vkft_fail_memory(err, "for the adapter's first values");
    for (uint64_t i = 0; ok && i < n; i++)
        w[i] = original[i] - w[i];
    free(original);
    return ok;
}

static void store(const job *j, const vkft_adapted_module *m, const vkft_factors *factors)
{
    const vkft_adapter_config *c = &j->set->config;
    uint32_t r = m->r, rows = m->linear->w.rows, cols = m->linear->w.cols;
    double scale = c->init < VKFT_LORA_INIT_PISSA ? 1
                   : c->use_rslora                ? (double)m->lora_alpha / sqrt((double)r)
                                                  : (double)m->lora_alpha / r;
    float *A = j->flat + m->offset[0], *B = j->flat + m->offset[1];
    for (uint32_t k = 0; k < r; k++) {
        double root = sqrt(factors->values[k] / scale);
        for (uint32_t i = 0; i < cols; i++)
            A[(size_t)k * cols + i] = (float)(root * factors->right[(size_t)k * cols + i]);
        for (uint32_t i = 0; i < rows; i++)
            B[(size_t)i * r + k] = (float)(root * factors->left[(size_t)i * r + k]);
    }
}

static void start_one(void *context, uint64_t task, uint32_t worker)
{
    job *j = context;
    const vkft_adapted_module *m = &j->set->modules[j->first + task];
    vkft_factors factors = {0};
    float *w = malloc((size_t)m->linear->w.rows * m->linear->w.cols * sizeof *w);
    vkft_err *err = &j->err[worker];
    bool ok = w || vkft_fail_memory(err, "for the adapter's first values");
    ok = ok && read_matrix(j, m, j->tensors[j->first + task], w, err);
    ok = ok && (decompose(j, m, w, &factors) || vkft_fail_memory(err, "for the adapter's first values"));
    if (ok)
        store(j, m, &factors);
    else
        j->failed[worker] = true;
    vkft_factors_free(&factors);
    free(w);
}

/* All modules, as many at a time as there are workers. */
static bool start_all(job *j, const vkft_observer *observer, vkft_err *err)
{
    uint32_t workers = min_u32(vkft_worker_count(0), WORKERS), count = j->set->count;
    bool ok = true;
    for (j->first = 0; ok && j->first < count; j->first += workers) {
        vkft_observer_work(observer, "decomposing weights", j->first, count);
        vkft_parallel(workers, min_u32(workers, count - j->first), start_one, j);
        for (uint32_t w = 0; ok && w < workers; w++)
            if (j->failed[w]) {
                *err = j->err[w];
                ok = false;
            }
        if (ok && vkft_observer_interrupted(observer))
            ok = vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted while weights were decomposed; nothing was trained");
    }
    if (ok)
        vkft_observer_work(observer, "decomposing weights", count, count);
    return ok;
}

/* LoftQ looks at what the quantized model has lost. */
static bool open_originals(const vkft_adapter_set *set, const char *checkpoint, vkft_originals *originals,
                           vkft_err *err)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (!vkft_storage_is_quantized(set->modules[i].linear->w.storage))
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "--init-lora-weights loftq makes up for what quantization loses, and %s is not quantized; "
                             "give --quant nf4, or another --init-lora-weights",
                             set->modules[i].name);
    if (vkft_model_kind_of(checkpoint) != VKFT_MODEL_CHECKPOINT)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--init-lora-weights loftq needs the weights before they are quantized, and %s has them no "
                         "more; give the checkpoint's directory as --model",
                         checkpoint);
    return vkft_originals_open(originals, checkpoint, set->model->config, err);
}

bool vkft_adapter_set_init_from_weights(vkft_adapter_set *set, const vkft_model_file *file, const char *checkpoint,
                                        uint64_t seed, float *flat, const vkft_observer *observer, vkft_err *err)
{
    vkft_originals originals;
    bool loftq = set->config.init == VKFT_LORA_INIT_LOFTQ;
    if (set->config.init < VKFT_LORA_INIT_OLORA)
        return true;
    if (loftq && !open_originals(set, checkpoint, &originals, err))
        return false;
    job *j = calloc(1, sizeof *j);
    const vkft_model_tensor **tensors = calloc(set->count + 1ull, sizeof *tensors);
    bool ok = (j && tensors) || vkft_fail_memory(err, "for the adapter's first values");
    uint32_t next = 0;
    for (uint32_t i = 0; ok && i < set->count; i++) {
        tensors[i] = vkft_start_tensor(set, &set->modules[i], file, &next);
        ok = vkft_model_file_verify(file, tensors[i], err);
    }
    if (ok) {
        *j = (job){.set = set, .tensors = tensors, .originals = loftq ? &originals : NULL, .seed = seed, .flat = flat};
        ok = start_all(j, observer, err);
    }
    if (ok && set->origin_floats) {
        set->origin = malloc(set->origin_floats * sizeof *set->origin);
        ok = set->origin || vkft_fail_memory(err, "for the adapter's first values");
    }
    if (ok && set->origin)
        memcpy(set->origin, flat, set->origin_floats * sizeof *set->origin);
    free(j);
    free(tensors);
    if (loftq)
        vkft_originals_close(&originals);
    return ok;
}
