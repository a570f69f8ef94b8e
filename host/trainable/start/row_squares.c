/* The squares of the norms of the rows of adapted weights. Weights are decoded on the CPU, to the very values that
 * products use, so no kernel per storage type is needed; it is done once, before a run.
 */
#include <stdlib.h>

#include "host/model/tensor_spec.h"
#include "host/trainable/start/start_private.h"
#include "runtime/base/parallel.h"

#define WORKERS 4u /* each decodes a whole weight */

typedef struct job {
    const vkft_adapter_set *set;
    const vkft_model_tensor **tensors; /* of each module */
    float *squares;
    bool failed[WORKERS];
} job;

static void read_one(void *context, uint64_t task, uint32_t worker)
{
    job *j = context;
    const vkft_adapted_module *m = &j->set->modules[task];
    uint32_t rows = m->linear->w.rows, cols = m->linear->w.cols;
    float *values = malloc((size_t)rows * cols * sizeof *values);
    if (!values) {
        j->failed[worker] = true;
        return;
    }
    vkft_model_tensor_decode(j->tensors[task], values);
    for (uint32_t r = 0; r < rows; r++) {
        double sum = 0;
        for (uint32_t c = 0; c < cols; c++)
            sum += (double)values[(size_t)r * cols + c] * (double)values[(size_t)r * cols + c];
        j->squares[m->row + r] = (float)sum;
    }
    free(values);
}

const vkft_model_tensor *vkft_start_tensor(const vkft_adapter_set *set, const vkft_adapted_module *m,
                                           const vkft_model_file *file, uint32_t *next)
{
    uint32_t count = set->model->tensor_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct vkft_tensor_spec *spec = &set->model->tensors[(*next + i) % count];
        if (spec->weight != &m->linear->w)
            continue;
        *next = (*next + i) % count;
        return vkft_model_file_find(file, spec->name);
    }
    return NULL;
}

bool vkft_adapter_set_read_squares(vkft_adapter_set *set, const vkft_model_file *file, vkft_err *err)
{
    if (!set->rows)
        return true;
    job j = {
        .set = set, .tensors = calloc(set->count, sizeof *j.tensors), .squares = calloc(set->rows, sizeof *j.squares)};
    bool ok = j.tensors && j.squares;
    uint32_t next = 0, workers = vkft_worker_count(0);
    for (uint32_t i = 0; ok && i < set->count; i++)
        j.tensors[i] = vkft_start_tensor(set, &set->modules[i], file, &next);
    if (ok)
        vkft_parallel(workers < WORKERS ? workers : WORKERS, set->count, read_one, &j);
    for (uint32_t w = 0; w < WORKERS; w++)
        ok = ok && !j.failed[w];
    free(j.tensors);
    set->squares = ok ? j.squares : NULL;
    if (!ok)
        free(j.squares);
    return ok || vkft_fail_memory(err, "for the norms of the weights' rows");
}
