/* PEFT adapters, LoRA and its kin: adapter_config.json and adapter_model.safetensors (or, read only,
 * adapter_model.bin), read and written so that PEFT loads them unchanged. */
#ifndef VKFT_ADAPTER_H
#define VKFT_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/peft/modules.h"
#include "formats/peft/tokens.h"
#include "runtime/base/error.h"

#define VKFT_ADAPTER_TENSORS 3u /* of a module, at most; raise it for a method that has more */

/* How a method's adapters are written: a key is "base_model.model.<module><suffix>". */
typedef struct vkft_adapter_format {
    const char *peft_type;
    bool use_dora, lora_bias, ia3, vera;
    const char *suffixes[VKFT_ADAPTER_TENSORS + 1]; /* ".lora_A.weight", up to a NULL */
    bool vector[VKFT_ADAPTER_TENSORS];              /* [rows] in files, and [rows,1] here */
    const char *embedding[VKFT_ADAPTER_TENSORS];    /* suffixes of an embedding's tensors; NULL: it has none */
} vkft_adapter_format;

/* First values of A and B, as PEFT's init_lora_weights names them. */
typedef enum vkft_lora_init {
    VKFT_LORA_INIT_TRUE,       /* A uniform in +-1/sqrt(in), B zero */
    VKFT_LORA_INIT_GAUSSIAN,   /* A normal with deviation 1/r, B zero */
    VKFT_LORA_INIT_ORTHOGONAL, /* both random, their columns and rows in two spaces at right angles, so that B A = 0 */
    VKFT_LORA_INIT_OLORA,      /* Q and R of the weight's first columns and rows */
    VKFT_LORA_INIT_LOFTQ,      /* singular vectors of what quantization loses */
    VKFT_LORA_INIT_PISSA,      /* singular vectors of the weight; plus N: roughly, after N iterations */
} vkft_lora_init;

/* The model's biases that are trained beside the adapter and written with it. */
typedef enum vkft_adapter_bias { VKFT_BIAS_NONE, VKFT_BIAS_ALL, VKFT_BIAS_LORA_ONLY } vkft_adapter_bias;

typedef struct vkft_adapter_config {
    const vkft_adapter_format *format; /* one of those that the reader was given */
    uint32_t r;
    float lora_alpha;
    float lora_dropout;
    bool seq2seq;        /* task_type SEQ_2_SEQ_LM, else CAUSAL_LM */
    bool fan_in_fan_out; /* the base weights are stored [in,out] (GPT-2); the adapter's are not */
    bool use_rslora;     /* scale alpha/sqrt(r) instead of alpha/r */
    vkft_lora_init init; /* of new adapters; what was read says nothing */
    vkft_adapter_bias bias;
    uint32_t projection_prng_key; /* VeRA: of the matrices that modules share */
    bool save_projection;         /* these are in the file */
    float d_initial;
    char feedforward_modules[256]; /* of a new IA3 adapter: "down_proj,fc2" */
    char *base_model_name_or_path;
    char **target_modules; /* NULL-terminated list of names; NULL with target_all_linear */
    bool target_all_linear;
    vkft_token_indices tokens;   /* whose rows of embedding and head are trained */
    char **modules_to_save;      /* NULL-terminated list of names of modules that are trained whole; NULL: none */
    vkft_module_targets targets; /* all that selects modules; of an adapter that is written what leaves some out */
    vkft_module_patterns rank_pattern, alpha_pattern;
} vkft_adapter_config;

/* Of what PEFT copies into an adapter of an embedding or head: the model's own matrix. */
#define VKFT_ADAPTER_COPY ".base_layer.weight"
/* Of the rows of trained tokens. */
#define VKFT_ADAPTER_TOKENS ".token_adapter.trainable_tokens_delta"

/* One tensor, f32, contiguous. key as in the file: "base_model.model.<module>.lora_A.weight". */
typedef struct vkft_adapter_tensor {
    char *key;
    uint32_t rows, cols;
    float *data;
} vkft_adapter_tensor;

typedef struct vkft_adapter {
    vkft_adapter_config config;
    vkft_adapter_tensor *tensors;
    vkft_adapter_tensor projection[2]; /* VeRA: vera_A and vera_B, where the file has them; data NULL: it has not */
    uint32_t count;
} vkft_adapter;

/* Reads a PEFT adapter directory in one of the known formats, NULL-terminated; F32, F16 and BF16 tensors become f32.
 * The result is malloc'ed throughout. Error: what vkft cannot apply (another
 * peft_type, tied adapters), a bad file, or another program's adapter. */
bool vkft_adapter_read(const char *dir, const vkft_adapter_format *const *known, vkft_adapter *adapter, vkft_err *err);
void vkft_adapter_free(vkft_adapter *adapter); /* frees what is inside, zeroes it */

/* Writes both files into an existing directory, each through a temporary name, synced, renamed. Tensors in the order
 * given. */
bool vkft_adapter_write(const char *dir, const vkft_adapter *adapter, vkft_err *err);

#endif
