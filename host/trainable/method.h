/* A kind of adapter: which tensors it adds to a linear layer, and how PEFT names and initializes them. A method is a
 * file in methods/ and a row in methods.def; adapters.h has the set of adapters on a model.
 */
#ifndef VKFT_METHOD_H
#define VKFT_METHOD_H

#include "formats/peft/adapter.h"
#include "host/engine/ops/ops.h"

/* What a tensor's first values may depend on. */
typedef struct vkft_adapter_start {
    uint64_t seed, first; /* number of the tensor's first value among all of the run, for the generator */
    uint64_t module;      /* that of the module's first tensor */
    vkft_lora_init init;
    bool embedding; /* of LoRA on an embedding: A zero, B standard normal, whatever init says */
    float d_initial;
    const float *squares; /* of the norms of W's rows; NULL unless the method asks for them */
} vkft_adapter_start;

typedef struct vkft_adapter_tensor_kind {
    bool decays;   /* has weight decay */
    bool loraplus; /* learns at the rate that LoRA+ multiplies, as PEFT groups tensors */
    void (*shape)(const vkft_linear *linear, uint32_t r, uint32_t *rows, uint32_t *cols);
    /* PEFT's initialization; NULL: zero. False: out of memory. */
    bool (*init)(const vkft_adapter_start *start, uint32_t rows, uint32_t cols, float *values);
} vkft_adapter_tensor_kind;

/* What merges one layer's adapter into its weight. */
typedef struct vkft_adapter_merge {
    const vkft_adapter_tensor *const *tensor; /* in the order of format.suffixes */
    float scale;                              /* of B A */
    uint64_t cols;                            /* of W */
    const float *A, *B;                       /* VeRA: the shared matrices, [r,stride] and [rows at least,r] */
    uint32_t stride;
} vkft_adapter_merge;

typedef struct vkft_adapter_method {
    const char *name;                                      /* "LoRA" */
    vkft_adapter_format format;                            /* peft_type and the suffixes of keys */
    vkft_adapter_tensor_kind tensor[VKFT_ADAPTER_TENSORS]; /* in the order of format.suffixes */
    /* Points a linear layer, the set's number `index`, at its tensors and their gradients (NULL for inference). */
    void (*bind)(vkft_linear *linear, const vkft_adapter_config *config, uint32_t index, uint64_t squares,
                 const uint64_t *tensors, const uint64_t *gradients);
    /* W's rows from `first` on become those of a layer that computes the same without an adapter; its bias likewise.
     * NULL: no weight (NULL: no bias) does. Each row is computed by itself. */
    void (*merge)(const vkft_adapter_merge *merge, uint64_t first, uint64_t rows, float *w);
    void (*merge_bias)(const vkft_adapter_merge *merge, uint64_t rows, float *bias);
    bool squares;    /* needs those of the norms of W's rows */
    bool projection; /* has matrices that all modules share */
    bool not_for_experts;
} vkft_adapter_method;

/* IA3: modules that are adapted where none are named, and those of them whose input is multiplied, as lists of names.
 * False: PEFT has none for this type of model. methods/ia3.c */
bool vkft_ia3_defaults(const char *model_type, const char **targets, const char **feedforward);
bool vkft_ia3_is_feedforward(const char *names, const char *module);

#define METHOD(name) extern const vkft_adapter_method vkft_method_##name;
#include "host/trainable/methods.def"
#undef METHOD

/* The formats of all methods, NULL-terminated, and the method of one of them. */
const vkft_adapter_format *const *vkft_adapter_formats(void);
const vkft_adapter_method *vkft_adapter_method_of(const vkft_adapter_format *format);

#endif
