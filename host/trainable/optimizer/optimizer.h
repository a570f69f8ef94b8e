/* The trained parameters with their gradients and the optimizer's state, and the update that runs on the device.
 *
 * An optimizer is a vkft_optimizer_kind: a file beside this one and a row in optimizers.def, which also says where its
 * state lies. The memory plan, checkpoints and host copies read from them which state it keeps.
 */
#ifndef VKFT_OPTIMIZER_H
#define VKFT_OPTIMIZER_H

#include "shaders/core/args.h"
#include "formats/tensors/dtype.h"
#include "runtime/commands.h"
#include "host/trainable/optimizer/arguments.h"
#include "host/trainable/parameter_space.h"
#include "runtime/memory.h"

typedef enum vkft_optimizer_type {
#define OPTIMIZER(name, kind, place) VKFT_OPTIMIZER_##name,
#include "host/trainable/optimizer/optimizers.def"
#undef OPTIMIZER
    VKFT_OPTIMIZER_TYPES
} vkft_optimizer_type;

#define VKFT_OPTIMIZER_ARGS 4u /* at most; raise it for a kind that has more */

typedef struct vkft_optimizer_options {
    vkft_optimizer_type type;
    double weight_decay;
    double beta1, beta2, epsilon;     /* of the Adam family */
    double max_grad_norm;             /* 0: no clipping */
    double loraplus_lr_ratio;         /* tensors that say so learn at this many times the rate; 0: all at the same */
    double loraplus_embedding_ratio;  /* with it: the same of LoRA on embeddings */
    double args[VKFT_OPTIMIZER_ARGS]; /* the kind's own */
    bool bf16_copy;                   /* keep one of the parameters with weight decay, for the model to read */
    bool bf16_only; /* beside it: and nothing else of these; updates are rounded up or down by chance */
    uint64_t seed;  /* of that chance */
} vkft_optimizer_options;

#define VKFT_OPTIMIZER_STATES 2u   /* at most; raise it for a kind that keeps more */
#define VKFT_OPTIMIZER_PARTS 1024u /* partial sums of the gradient norm */

/* Consecutive floats of the parameter space: addresses of f32 parameters and gradients, and of the state. */
typedef struct vkft_optimizer_slice {
    uint64_t p, g, state[VKFT_OPTIMIZER_STATES];
    uint64_t step, table; /* struct step_state; the kind's table */
    uint64_t scratch;     /* VKFT_OPTIMIZER_PARTS floats, for what is recorded for this slice */
    uint64_t work;        /* as many bytes as the kind wants for the tensor, for the same */
    const vkft_device *dev;
    uint64_t constants;                  /* those of the tensor */
    uint32_t n, decayed;                 /* weight decay is for the first `decayed` */
    float rate;                          /* times step.lr: how fast it learns */
    const vkft_parameter_tensor *tensor; /* where the kind goes by tensors: the slice is this one; else NULL */
} vkft_optimizer_slice;

typedef struct vkft_optimizer_kind {
    const char *name;
    struct {
        const char *name; /* in checkpoints; NULL: no more */
        vkft_dtype dtype; /* one value for each float of the space, unless `values` says otherwise; zero at the start */
    } state[VKFT_OPTIMIZER_STATES];
    /* Goes by tensors: values of state number i for one; their bytes are a multiple of 4. NULL: slices may be any
     * floats. */
    uint64_t (*values)(const vkft_parameter_tensor *tensor, uint32_t i);
    /* Goes by tensors: bytes that updates of this one need beside `scratch`. NULL: none. */
    uint64_t (*work_bytes)(const vkft_parameter_tensor *tensor);
    uint32_t table_floats; /* of constants that its kernels read; 0: none */
    void (*fill_table)(float *table);
    /* Goes by tensors: constants of one that follow from the first parameters of the one before it, f32: how many, and
     * which. p: of the whole space. False: out of memory. NULL: there are none. */
    uint64_t (*constants)(const vkft_parameter_tensor *tensor);
    bool (*fill_constants)(const vkft_parameter_tensor *before, const vkft_parameter_tensor *tensor, const float *p,
                           float *constants);
    vkft_argument args[VKFT_OPTIMIZER_ARGS]; /* in --optim-args */
    /* Writes what only this kind reads of the step's values; t from 1. NULL: nothing. */
    void (*before_step)(const vkft_optimizer_options *options, uint64_t t, struct step_state *step);
    /* Records the update of a slice: the rate is slice->rate * step.lr, the gradient is step.clip * g. */
    void (*record)(vkft_commands *cmds, const vkft_optimizer_options *options, const vkft_optimizer_slice *slice);
} vkft_optimizer_kind;

#define OPTIMIZER(name, kind, place) extern const vkft_optimizer_kind vkft_optimizer_##kind;
#include "host/trainable/optimizer/optimizers.def"
#undef OPTIMIZER

/* adamw_8bit.c: states in blocks of 256 codes that begin anew with each tensor, then a scale (absmax) a block; small
 * tensors and embeddings are in f32. */
#define VKFT_OPTIMIZER_BLOCK 256u
uint64_t vkft_optimizer_blocks(const vkft_parameter_tensor *tensor); /* 0: it is in f32 */
uint64_t vkft_optimizer_block_bytes(const vkft_parameter_tensor *tensor, uint32_t i);

/* adamw.c: the bias corrections of the Adam family. */
void vkft_adamw_before_step(const vkft_optimizer_options *options, uint64_t t, struct step_state *step);

const vkft_optimizer_kind *vkft_optimizer_kind_of(vkft_optimizer_type type);
/* Where its state lies. */
vkft_memory_kind vkft_optimizer_place(vkft_optimizer_type type);
/* Sets options->args from --optim-args, "name=value,..." (NULL: none). Error: what options->type has no such argument
 * for, or a value out of range. */
bool vkft_optimizer_parse_args(vkft_optimizer_options *options, const char *text, vkft_err *err);
uint32_t vkft_optimizer_states(const vkft_optimizer_kind *kind);
/* Values and bytes of state number i for these tensors, and bytes of all its states. */
uint64_t vkft_optimizer_state_values(const vkft_optimizer_kind *kind, uint32_t i,
                                     const vkft_parameter_tensors *tensors);
uint64_t vkft_optimizer_state_bytes(const vkft_optimizer_kind *kind, uint32_t i, const vkft_parameter_tensors *tensors);
uint64_t vkft_optimizer_bytes(const vkft_optimizer_kind *kind, const vkft_parameter_tensors *tensors);
/* Of device memory, wherever its state lies: partial sums of the gradient's norm, and the table. */
/* Where the parameters lie: with a copy in bf16 they are read in updates alone, and lie with the state. */
vkft_memory_kind vkft_optimizer_parameters_place(const vkft_optimizer_options *options);
uint64_t vkft_optimizer_extra_bytes(const vkft_optimizer_kind *kind);
uint64_t vkft_optimizer_constant_bytes(const vkft_optimizer_kind *kind, const vkft_parameter_tensors *tensors);
/* Of device memory that one update after the other uses; decayed: as in vkft_optimizer_init. */
uint64_t vkft_optimizer_work_bytes(const vkft_optimizer_options *options, const vkft_parameter_tensors *tensors,
                                   uint64_t decayed);

/* A part of the parameter space, n values in each buffer, but without the first `rounded` in p. */
typedef struct vkft_optimizer_part {
    vkft_buffer p, g, state[VKFT_OPTIMIZER_STATES], copy;
    uint32_t n, decayed; /* weight decay is for the first `decayed` */
    uint32_t rounded;    /* so many are in `copy` alone: `decayed` of them or none */
    uint32_t first_tensor, end_tensor;
} vkft_optimizer_part;

typedef struct vkft_optimizer {
    vkft_device *dev;
    const vkft_optimizer_kind *kind;
    vkft_optimizer_options options;
    vkft_parameter_space parameters, gradients; /* where they are */
    vkft_parameter_space copies; /* in bf16: a float's is at half its offset in the part; with options.bf16_copy */
    const vkft_parameter_tensors *tensors;
    vkft_optimizer_part part[VKFT_PARAMETER_SPACE_PARTS];
    vkft_buffer extra;             /* sums of squared gradients, then the kind's table */
    vkft_buffer constants;         /* of tensors, in their order; none: not there */
    vkft_buffer work;              /* vkft_optimizer_work_bytes; none: not there */
    uint64_t unrounded_bytes;      /* of it, for parameters in f32 that lie in bf16 */
    vkft_buffer step;              /* host memory, struct step_state */
    vkft_commands *update, *round; /* round: the copies from the parameters */
} vkft_optimizer;

/* layout: how the space is cut. tensors: what lies in it, borrowed. Weight decay is for its first `decayed` floats,
 * which end with a tensor. Parameters and state are uninitialized (see vkft_optimizer_set); gradients are zero. */
bool vkft_optimizer_init(vkft_optimizer *opt, vkft_device *dev, const vkft_parameter_space *layout,
                         const vkft_parameter_tensors *tensors, uint64_t decayed, const vkft_optimizer_options *options,
                         vkft_err *err);
void vkft_optimizer_free(vkft_optimizer *opt);

static inline struct step_state *vkft_optimizer_step_state(const vkft_optimizer *opt)
{
    return (struct step_state *)opt->step.mapped;
}

/* Clips, updates the parameters with this rate as step number t (from 1), and clears the gradients. *grad_norm: before
 * clipping; where it is not finite, parameters and state stay as they were. */
bool vkft_optimizer_update(vkft_optimizer *opt, double learning_rate, uint64_t t, double *grad_norm, vkft_err *err);

/* After an update has failed: whether some of it may be done, so that it can be neither undone nor repeated. */
bool vkft_optimizer_has_begun(const vkft_optimizer *opt);

/* Gradients become zero, as after an update. */
bool vkft_optimizer_clear_gradients(vkft_optimizer *opt, vkft_err *err);

/* Host copies: p f32 [parameters]; state[i] as the kind says, vkft_optimizer_state_bytes each. state NULL: sets zero,
 * gets none. */
bool vkft_optimizer_set(vkft_optimizer *opt, const float *p, const void *const *state, vkft_err *err);
bool vkft_optimizer_get(vkft_optimizer *opt, float *p, void *const *state, vkft_err *err);

#endif
