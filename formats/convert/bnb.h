/* Weights that bitsandbytes has quantized to NF4 or FP4 already: taken as they are. Internal to formats.
 *
 * Beside NAME.weight (the codes, U8) lie NAME.weight.absmax, .quant_map, .quant_state.bitsandbytes__nf4 or __fp4 (JSON
 * in bytes) and, with double quantization, .nested_absmax and .nested_quant_map.
 */
#ifndef VKFT_CONVERT_BNB_H
#define VKFT_CONVERT_BNB_H

#include "formats/convert/hf_checkpoint.h"
#include "formats/native/model_writer.h"

typedef struct vkft_bnb_weight {
    vkft_hf_checkpoint_tensor codes, absmax,
        nested_absmax; /* nested_absmax.tensor is NULL without double quantization */
    uint64_t shape[2], elements;
    float offset;
    vkft_dtype dtype; /* NF4 or FP4 */
} vkft_bnb_weight;

/* Whether config.json's quantization_config (NULL: none) says nothing that vkft cannot take. Error: another method, 8
 * bits. */
bool vkft_bnb_check_config(const void *quantization_config, const char *file, vkft_err *err);

/* What belongs to this weight; *found false when it is not quantized. Error: a missing or wrong part, tables or block
 * sizes that are not bitsandbytes' own. */
bool vkft_bnb_find(const vkft_hf_checkpoint *checkpoint, const vkft_hf_checkpoint_tensor *weight,
                   vkft_bnb_weight *parts, bool *found, vkft_err *err);
bool vkft_bnb_write(const vkft_bnb_weight *parts, vkft_model_writer *writer, uint32_t index, vkft_err *err);

#endif
