/* The weights of a checkpoint as it has them, before they are quantized. */
#ifndef VKFT_CONVERT_ORIGINAL_H
#define VKFT_CONVERT_ORIGINAL_H

#include "formats/config/config.h"
#include "formats/convert/hf_checkpoint.h"

typedef struct vkft_originals {
    vkft_hf_checkpoint checkpoint;
    const vkft_config *config;
} vkft_originals;

/* config: the model's, which must outlive them. */
bool vkft_originals_open(vkft_originals *originals, const char *hf_dir, const vkft_config *config, vkft_err *err);
void vkft_originals_close(vkft_originals *originals);

/* The values of the linear layer's weight that the model calls so, f32 [rows,cols]. Error: not there, of another shape,
 * quantized in the checkpoint already. */
bool vkft_originals_read(const vkft_originals *originals, const char *name, uint32_t rows, uint32_t cols, float *values,
                         vkft_err *err);

#endif
