/* Finds tensors by the names that the model has for them, as a conversion does. */
#include "formats/convert/original.h"

#include <stdlib.h>
#include <string.h>

#include "formats/config/arch.h"
#include "runtime/base/transpose.h"

bool vkft_originals_open(vkft_originals *originals, const char *hf_dir, const vkft_config *config, vkft_err *err)
{
    *originals = (vkft_originals){.config = config};
    return vkft_hf_checkpoint_open(hf_dir, &originals->checkpoint, err);
}

void vkft_originals_close(vkft_originals *originals)
{
    vkft_hf_checkpoint_close(&originals->checkpoint);
}

static const vkft_shard_tensor *find(const vkft_originals *originals, const char *name)
{
    char canonical[256];
    for (uint32_t i = 0; i < originals->checkpoint.count; i++) {
        const vkft_shard_tensor *t = &originals->checkpoint.tensors[i];
        if (vkft_arch_tensor(originals->config, t->tensor->name, canonical, sizeof canonical) != VKFT_ROLE_NONE &&
            strcmp(canonical, name) == 0)
            return t;
    }
    return NULL;
}

bool vkft_originals_read(const vkft_originals *originals, const char *name, uint32_t rows, uint32_t cols, float *values,
                         vkft_err *err)
{
    const vkft_shard_tensor *t = find(originals, name);
    bool swapped = originals->config->arch->conv1d;
    uint32_t stored_rows = swapped ? cols : rows, stored_cols = swapped ? rows : cols;
    if (!t || t->tensor->dims != 2 || t->tensor->shape[0] != stored_rows || t->tensor->shape[1] != stored_cols ||
        (t->tensor->dtype != VKFT_F32 && t->tensor->dtype != VKFT_F16 && t->tensor->dtype != VKFT_BF16))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s is not there as a matrix [%u, %u] of F32, F16 or BF16",
                         originals->checkpoint.dir, name, stored_rows, stored_cols);
    const uint8_t *data = vkft_tensor_file_data(t->shard, t->tensor);
    if (swapped == t->tensor->column_major) {
        vkft_to_f32(t->tensor->dtype, data, t->tensor->elements, values);
        return true;
    }
    float *transposed = malloc((size_t)t->tensor->elements * sizeof *transposed);
    if (!transposed)
        return vkft_fail_memory(err, "while reading %s", name);
    vkft_to_f32(t->tensor->dtype, data, t->tensor->elements, transposed);
    vkft_transpose(transposed, cols, rows, sizeof *transposed, values);
    free(transposed);
    return true;
}
