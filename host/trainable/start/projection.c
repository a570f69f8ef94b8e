/* VeRA's matrices, which all modules share: A [r,in] and B [out,r], in and out the largest of the modules', random and
 * not trained. On the device a module reads the first rows of B, and a matrix of the first columns of A: there is one
 * for each length of rows that modules have.
 *
 * They are torch's random numbers for a key, so that an adapter without them is the same in PEFT: uniform between
 * -sqrt(6/n) and sqrt(6/n), n being the length of a row. Test: test_vera
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/trainable/start/start_private.h"
#include "host/trainable/start/torch_random.h"
#include "host/trainable/start/vera_matrices.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

static const char *const keys[2] = {"base_model.vera_A", "base_model.vera_B"};

void vkft_adapter_set_lay_out_projection(vkft_adapter_set *set)
{
    uint32_t r = set->config.r;
    set->projection.in = set->projection.out = 0;
    for (uint32_t i = 0; i < set->count; i++) {
        set->projection.in = max_u32(set->projection.in, set->modules[i].linear->w.cols);
        set->projection.out = max_u32(set->projection.out, set->modules[i].linear->w.rows);
    }
    uint64_t end = round_up((uint64_t)set->projection.out * r, 64);
    for (uint32_t i = 0; i < set->count; i++) {
        vkft_adapted_module *m = &set->modules[i];
        uint32_t j = 0;
        while (j < i && set->modules[j].linear->w.cols != m->linear->w.cols)
            j++;
        m->projection = j < i ? set->modules[j].projection : end;
        end += j < i ? 0 : round_up((uint64_t)r * m->linear->w.cols, 64);
    }
    set->projection.floats = end;
}

/* From A [r,stride] and B [out,r] what modules read. */
static void slice(vkft_adapter_set *set, const float *a, uint32_t stride, const float *b)
{
    uint32_t r = set->config.r;
    float *values = set->projection.values;
    memcpy(values, b, (size_t)set->projection.out * r * sizeof *b);
    for (uint32_t i = 0; i < set->count; i++) {
        const vkft_adapted_module *m = &set->modules[i];
        uint32_t cols = m->linear->w.cols;
        for (uint32_t k = 0; k < r; k++)
            memcpy(values + m->projection + (size_t)k * cols, a + (size_t)k * stride, cols * sizeof *a);
    }
}

static bool allocate(vkft_adapter_set *set, vkft_err *err)
{
    set->projection.values = calloc(set->projection.floats, sizeof *set->projection.values);
    return set->projection.values || vkft_fail_memory(err, "for the matrices of the adapter");
}

bool vkft_vera_matrices(uint32_t key, uint32_t r, uint32_t in, uint32_t out, float **a, float **b, vkft_err *err)
{
    vkft_torch_random random;
    *a = malloc((size_t)r * in * sizeof **a);
    *b = malloc((size_t)out * r * sizeof **b);
    if (!*a || !*b) {
        free(*a);
        free(*b);
        *a = *b = NULL;
        return vkft_fail_memory(err, "for the matrices of the adapter");
    }
    vkft_torch_random_seed(&random, key);
    vkft_torch_random_uniform(&random, (float)(sqrt(3.0) * (sqrt(2.0) / sqrt(in))), *a, (size_t)r * in);
    vkft_torch_random_uniform(&random, (float)(sqrt(3.0) * (sqrt(2.0) / sqrt(r))), *b, (size_t)out * r);
    return true;
}

bool vkft_adapter_set_make_projection(vkft_adapter_set *set, vkft_err *err)
{
    float *a, *b;
    if (!set->projection.floats || set->projection.values)
        return true;
    if (!vkft_vera_matrices(set->config.projection_prng_key, set->config.r, set->projection.in, set->projection.out, &a,
                            &b, err))
        return false;
    bool ok = allocate(set, err);
    if (ok)
        slice(set, a, set->projection.in, b);
    free(a);
    free(b);
    return ok;
}

bool vkft_vera_matrices_check(const vkft_adapter *adapter, uint32_t in, uint32_t out, vkft_err *err)
{
    const vkft_adapter_tensor *a = &adapter->projection[0], *b = &adapter->projection[1];
    const uint32_t r = adapter->config.r;
    for (int i = 0; i < 2; i++)
        if (!adapter->projection[i].data)
            return vkft_fail(err, VKFT_ERR_INPUT, "adapter: save_projection is true, and %s is missing", keys[i]);
    return (a->rows == r && a->cols >= in && b->rows >= out && b->cols == r) ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "adapter: vera_A [%u, %u] and vera_B [%u, %u]; this model and r %u call for [%u, %u] and [%u, "
                     "%u] at least",
                     a->rows, a->cols, b->rows, b->cols, r, r, in, out, r);
}

bool vkft_adapter_set_read_projection(vkft_adapter_set *set, const vkft_adapter *adapter, vkft_err *err)
{
    if (!adapter->config.save_projection)
        return vkft_adapter_set_make_projection(set, err);
    if (!vkft_vera_matrices_check(adapter, set->projection.in, set->projection.out, err) || !allocate(set, err))
        return false;
    slice(set, adapter->projection[0].data, adapter->projection[0].cols, adapter->projection[1].data);
    return true;
}

bool vkft_adapter_set_write_projection(const vkft_adapter_set *set, vkft_adapter *adapter)
{
    uint32_t r = set->config.r, i = 0;
    if (!set->projection.values || !set->config.save_projection)
        return true;
    while (set->modules[i].linear->w.cols != set->projection.in) /* whose A is the whole one */
        i++;
    const float *from[2] = {set->projection.values + set->modules[i].projection, set->projection.values};
    const uint32_t shape[2][2] = {{r, set->projection.in}, {set->projection.out, r}};
    for (int k = 0; k < 2; k++) {
        vkft_adapter_tensor *t = &adapter->projection[k];
        size_t bytes = (size_t)shape[k][0] * shape[k][1] * sizeof *t->data;
        *t = (vkft_adapter_tensor){
            .key = vkft_string_copy(keys[k]), .rows = shape[k][0], .cols = shape[k][1], .data = malloc(bytes)};
        if (!t->key || !t->data)
            return false;
        memcpy(t->data, from[k], bytes);
    }
    return true;
}
