/* The set of adapters on a model: which modules, where their parameters lie, and PEFT's form of them.
 *
 * All tensors lie in one flat f32 buffer (and their gradients and optimizer state in others of the same layout): first
 * those with weight decay, module by module in the model's order, then those without. Each tensor is padded to 64
 * floats; the padding is and stays zero.
 */
#ifndef VKFT_ADAPTERS_H
#define VKFT_ADAPTERS_H

#include "formats/peft/adapter.h"
#include "host/trainable/method.h"
#include "host/trainable/module_choice.h"
#include "host/trainable/parameter_space.h"
#include "host/model/model.h"
#include "runtime/base/observer.h"

typedef struct vkft_adapted_module {
    char name[128]; /* "model.layers.0.self_attn.q_proj" */
    vkft_linear *linear;
    uint32_t expert_group; /* as in vkft_module, */
    bool embedding, head;  /* and so are these */
    uint32_t r;            /* those of the set's config, unless its patterns say otherwise */
    float lora_alpha;
    uint64_t offset[VKFT_ADAPTER_TENSORS]; /* in floats */
    uint64_t row;                          /* in squares */
    uint64_t projection;                   /* of A in the set's projection, in floats */
} vkft_adapted_module;

/* A tensor of the model that is trained as it is, beside adapters: the embedding, the head, or a bias. */
typedef struct vkft_saved_tensor {
    char name[144]; /* in the adapter, without its suffix: "lm_head", "model.layers.0.self_attn.q_proj.base_layer" */
    struct vkft_tensor_spec *spec;
    uint64_t offset; /* in floats */
} vkft_saved_tensor;

/* Tokens whose rows of the embedding, or of the head, or of both where they are one matrix, are trained. */
typedef struct vkft_trained_tokens {
    char name[144];                      /* of the module in the adapter: "model.embed_tokens" */
    const struct vkft_tensor_spec *spec; /* whose rows they are */
    vkft_token_rows *places[2];          /* where the model has them: in the embedding, the head; NULL: not there */
    uint32_t *tokens, count;
    uint64_t offset;  /* in floats */
    uint64_t address; /* of what vkft_adapter_set_token_tables writes, on the device; 0: not there yet */
} vkft_trained_tokens;

typedef struct vkft_adapter_set {
    const vkft_adapter_method *method;
    const vkft_model *model;
    vkft_adapter_config config; /* its numbers, and its targets; other names are NULL */
    vkft_adapted_module *modules;
    uint32_t count;
    vkft_saved_tensor *saved;
    uint32_t saved_count;
    vkft_trained_tokens tokens[2]; /* of the embedding and the head */
    uint32_t tokens_count;
    vkft_parameter_space layout; /* without addresses */
    bool frozen_a;               /* A is not trained (LoRA-FA) */
    uint64_t decayed;            /* floats with weight decay: the first ones */
    uint64_t parameters;         /* without padding */

    uint64_t rows;    /* of the weights of all modules, where the method needs their norms; else 0 */
    float *squares;   /* of these norms, module by module; NULL: not read yet */
    uint64_t address; /* of squares on the device */

    /* PiSSA and OLoRA: the first values of A and B, whose product is taken off the weights, which stay as they are.
     * They lie as in the layout, of which they are the beginning. */
    uint64_t origin_floats;  /* 0: no such thing */
    float *origin;           /* NULL: not computed yet */
    uint64_t origin_address; /* on the device */

    /* VeRA: the matrices that all modules share, see start/projection.c; B first. */
    struct {
        uint64_t floats; /* 0: no such thing */
        uint32_t in, out;
        float *values;    /* NULL: not made yet */
        uint64_t address; /* on the device */
    } projection;
} vkft_adapter_set;

/* New adapters of this method. Of config the numbers are used. Error: what vkft_module_choice_read refuses; experts of
 * which only some are chosen. */
bool vkft_adapter_set_choose(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter_method *method,
                             const vkft_module_choice *choice, const vkft_adapter_config *config, vkft_err *err);
/* The modules and settings of an existing adapter. Error: a tensor that fits no module, a missing one, another shape
 * (than r or rank_pattern and the model call for). */
bool vkft_adapter_set_choose_from(vkft_adapter_set *set, const vkft_model *model, const vkft_adapter *adapter,
                                  vkft_err *err);
void vkft_adapter_set_free(vkft_adapter_set *set);
/* From now on A is not trained. Error: no plain LoRA. */
bool vkft_adapter_set_freeze_a(vkft_adapter_set *set, vkft_err *err);

/* Reads the squares of the norms of the weights' rows, where the method needs them, as the weights are stored.
 * start/row_squares.c */
bool vkft_adapter_set_read_squares(vkft_adapter_set *set, const vkft_model_file *file, vkft_err *err);

/* VeRA's matrices: their place, once all modules are in the set; first values by the key of the set's config, where
 * there are none yet; those of an adapter that has them, else the same; and *adapter gets them where it is to.
 * start/projection.c */
void vkft_adapter_set_lay_out_projection(vkft_adapter_set *set);
bool vkft_adapter_set_make_projection(vkft_adapter_set *set, vkft_err *err);
bool vkft_adapter_set_read_projection(vkft_adapter_set *set, const vkft_adapter *adapter, vkft_err *err);
bool vkft_adapter_set_write_projection(const vkft_adapter_set *set, vkft_adapter *adapter);

/* The place and shape of each tensor, list [vkft_adapter_set_tensor_count] in any order. */
uint32_t vkft_adapter_set_tensor_count(const vkft_adapter_set *set);
void vkft_adapter_set_tensors(const vkft_adapter_set *set, vkft_parameter_tensor *list);

/* The first values of tensors, and of rows of tokens, that are trained as they are: those of the model.
 * saved_tensors.c */
bool vkft_adapter_set_read_saved(const vkft_adapter_set *set, const vkft_model_file *file, float *flat, vkft_err *err);
const char *vkft_saved_tensor_suffix(const vkft_saved_tensor *saved); /* ".weight" or ".bias" */
/* Adds one, without its place. */
vkft_saved_tensor *vkft_adapter_set_add_saved(vkft_adapter_set *set, struct vkft_tensor_spec *spec);
/* Adds the biases that the set's config asks for, once all modules are in it. Error: there are none. */
bool vkft_adapter_set_save_biases(vkft_adapter_set *set, vkft_err *err);
/* Adds the modules of these names, "lm_head,embed_tokens". Error: others, or one that is both. */
bool vkft_adapter_set_save(vkft_adapter_set *set, const char *names, vkft_err *err);

/* Trains the rows of these tokens; listed: they are in an adapter. Error: another module, a number that is no token's,
 * rows of a matrix that is trained otherwise. trained_tokens.c */
bool vkft_adapter_set_train_tokens(vkft_adapter_set *set, const vkft_token_indices *indices, vkft_err *err);
/* The tables by which kernels find such rows, for all of set->tokens: bytes, 0 without any, and contents. _place says
 * where on the device they lie, before vkft_adapter_set_bind. */
uint64_t vkft_adapter_set_token_bytes(const vkft_adapter_set *set);
void vkft_adapter_set_token_tables(const vkft_adapter_set *set, uint32_t *tables);
void vkft_adapter_set_place_tokens(vkft_adapter_set *set, uint64_t address);

/* Points the model's linear layers at their parameters and gradients (NULL for inference). */
void vkft_adapter_set_bind(const vkft_adapter_set *set, const vkft_parameter_space *parameters,
                           const vkft_parameter_space *gradients);

/* PEFT's initialization. flat: f32 [floats]. After vkft_adapter_set_read_squares. */
bool vkft_adapter_set_init(const vkft_adapter_set *set, uint64_t seed, float *flat, vkft_err *err);
/* Where first values are made from the weights (PiSSA, OLoRA, LoftQ), those, after vkft_adapter_set_init, and the set's
 * origin. checkpoint: directory with the weights before they were quantized, for LoftQ. Error: a rank above a side of a
 * weight; what LoftQ is not for. start/from_weights.c */
bool vkft_adapter_set_init_from_weights(vkft_adapter_set *set, const vkft_model_file *file, const char *checkpoint,
                                        uint64_t seed, float *flat, const vkft_observer *observer, vkft_err *err);
/* The rank with which a module is written: the origin is part of it. */
uint32_t vkft_adapter_set_written_rank(const vkft_adapter_set *set, const vkft_adapted_module *module);
/* PEFT copies the matrix of an adapted embedding or head into an adapter. Error: such a copy is not what this model
 * has. adapter_copies.c */
bool vkft_adapter_check_copies(const vkft_adapter_set *set, const vkft_adapter *adapter, const vkft_model_file *file,
                               vkft_err *err);
/* The adapter that the set was chosen from, or one with the same modules. The origin is read, too. */
bool vkft_adapter_set_import(const vkft_adapter_set *set, const vkft_adapter *adapter, float *flat, vkft_err *err);
/* Everything of *adapter is allocated; base_model goes into its configuration. */
bool vkft_adapter_set_export(const vkft_adapter_set *set, const float *flat, const char *base_model,
                             vkft_adapter *adapter, vkft_err *err);

#endif
