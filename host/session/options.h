/* The options that every command with a model on a device has. Strings are borrowed. */
#ifndef VKFT_SESSION_OPTIONS_H
#define VKFT_SESSION_OPTIONS_H

#include <stdbool.h>

#include "formats/chat/model_text.h"
#include "formats/convert/convert.h"

/* What waits in host memory, so that a run needs less device memory. The bits are the same. */
typedef enum vkft_offload {
    VKFT_OFFLOAD_AUTO, /* as little as makes it fit */
    VKFT_OFFLOAD_NONE,
    VKFT_OFFLOAD_ACTIVATIONS, /* of training: the inputs of blocks, until their backward */
    VKFT_OFFLOAD_WEIGHTS,     /* these, and the frozen weights of blocks, which are read from the model file as they are
                               * needed */
} vkft_offload;

#define VKFT_COMPUTE_AUTO VKFT_DTYPE_COUNT

/* As --compute-dtype spells it. */
static inline const char *vkft_compute_name(vkft_dtype dtype)
{
    return dtype == VKFT_F32 ? "fp32" : dtype == VKFT_F16 ? "fp16" : dtype == VKFT_BF16 ? "bf16" : "auto";
}

typedef struct vkft_model_options {
    const char *path;       /* Hugging Face directory or .vkft file */
    const char *random;     /* NULL, or the text of a config.json: such a model with random weights, which is called
                               path; to measure speed without a file */
    const char *device;     /* NULL: the best one */
    vkft_chat_options chat; /* what the user says of its chat template */
    vkft_storage quant;     /* what a checkpoint is converted to, see vkft_convert_options */
    bool super_scales;      /* to its variant whose scales are quantized too */
    bool quant_explicit;    /* the user asked for it; otherwise a .vkft file is used as it is */
    bool quant_settled;     /* by what was or will be trained; otherwise quantized weights of a GGUF file stay as stored
                             * unless the user asked for something else */
    /* What matrix products round their operands to: F32 nothing; BF16 with quantized weights; F16 all but adapters,
     * rows scaled by powers of two, where the device has matrix cores; VKFT_COMPUTE_AUTO: F16 there, else F32. */
    vkft_dtype compute_dtype;
    bool compute_explicit; /* the user asked for it; otherwise an adapter is used as it was trained */
    vkft_offload offload;
} vkft_model_options;

/* A model is trained, evaluated and used alike. */
static inline vkft_model_options vkft_model_defaults(void)
{
    return (vkft_model_options){.quant = VKFT_STORAGE_nf4, .super_scales = true, .compute_dtype = VKFT_COMPUTE_AUTO};
}

#endif
