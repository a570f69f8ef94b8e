/* Tensors, the memory they live in, and the tape that backward walks.
 *
 * A graph runs the code of one step twice: first planning (no device, buffers become intervals of a vkft_plan), then
 * recording (buffers have addresses, ops record launches). Ops take addresses only through vkft_tensor_address, which
 * is what tells the plan how long a buffer lives.
 *
 * Gradient rule: the first writer of a tensor's gradient sets it, later writers add (vkft_grad says which). A tensor
 * whose value is no longer needed may hand its memory to a gradient.
 */
#ifndef VKFT_GRAPH_H
#define VKFT_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/engine/matmul/product.h"
#include "host/engine/plan.h"
#include "formats/tensors/dtype.h"
#include "runtime/memory.h"
#include "shaders/core/args.h"

/* A contiguous row-major matrix. Lives until the next pass begins. */
typedef struct vkft_tensor {
    vkft_dtype dtype; /* activations and their gradients are F32, numbers of rows and experts U32 */
    uint32_t rows, cols;
    uint32_t buffer;  /* in the plan; UINT32_MAX: fixed memory outside the arena */
    uint64_t address; /* 0 while planning */
    bool needs_grad;
    struct vkft_tensor *grad;      /* NULL until something was written to it */
    struct vkft_tensor *f16;       /* its rows in f16, see f16_rows.h; NULL: none */
    struct vkft_tensor *f16_place; /* those lie in this tensor's memory, f16 is their factors; NULL: they lie in f16 */
    uint32_t f16_half;             /* in the first or second half of each row there */
} vkft_tensor;

typedef struct vkft_graph vkft_graph;

/* One step on the tape: what its backward needs. */
typedef struct vkft_tape_entry {
    void (*backward)(vkft_graph *graph, const struct vkft_tape_entry *op);
    vkft_tensor *in[3];
    vkft_tensor *out;
    vkft_tensor *saved;
    const void *state; /* the op's own struct, see vkft_tape_push */
} vkft_tape_entry;

typedef enum vkft_graph_mode {
    VKFT_GRAPH_PLAN,   /* buffers become intervals; nothing is launched */
    VKFT_GRAPH_RECORD, /* buffers have addresses; ops record launches */
} vkft_graph_mode;

struct vkft_graph {
    vkft_graph_mode mode;
    struct {
        bool taping;           /* ops put themselves on the tape */
        bool dropout;          /* LoRA dropout is active: training, not evaluation */
        uint64_t logits_bytes; /* that may exist at a time; 0: VKFT_LOGITS_BYTES */
        bool f16;              /* tensors may have rows in f16 (f16_rows.h): products are to be in f16 */
        bool f16_inputs;       /* the inputs of blocks that are computed again are kept as rows in f16 */
        bool f16_in_place;     /* to save memory, rows in f16 of the largest tensors are made where those lie in f32 */
        float label_smoothing, z_loss; /* of the loss, see cross_entropy; 0: none */
        float noise;                   /* on embeddings, see vkft_op_noise; 0: none */
    } pass;
    const vkft_device *dev;  /* NULL while only planned */
    vkft_commands *cmds;     /* recording: where launches go */
    vkft_matmul_ctx product; /* what products get of these: the same device and commands, and scratch memory */
    vkft_plan *plan;
    uint64_t arena[VKFT_PLAN_PARTS]; /* addresses of the planned memory, see vkft_plan_part */
    const uint64_t *kept;            /* addresses of the chunks of host memory, see vkft_tensor_keep */
    uint64_t kept_bytes;             /* used there so far; after planning, what is needed */
    uint32_t next;                   /* number of the next buffer */
    uint64_t seed;                   /* of the dropout generator */
    uint64_t step;                   /* address of the struct step_state that kernels read */
    bool failed;                     /* host memory ran out, or the step asked for other buffers than it planned */
    vkft_tape_entry *tape;
    uint32_t tape_count, tape_capacity;
    struct pool_chunk *chunks, *chunk; /* the pool of tensors and ops' states; where it is filled now */
    vkft_tensor nothing;               /* handed out after a failure, so that ops need no checks */
};

/* Zeroes and prepares; false: out of memory. */
bool vkft_graph_init(vkft_graph *graph);
void vkft_graph_free(vkft_graph *graph);

/* The device of all recordings, and scratch memory for products. */
void vkft_graph_set_device(vkft_graph *graph, const vkft_device *dev, uint64_t scratch, uint64_t scratch_bytes);

/* Start a pass, forgetting tensors and tape: one that plans, or one that records into cmds with the arena, or its first
 * part, at this address. */
void vkft_graph_begin_plan(vkft_graph *graph);
void vkft_graph_begin_record(vkft_graph *graph, vkft_commands *cmds, uint64_t arena);

vkft_tensor *vkft_tensor_new(vkft_graph *graph, vkft_dtype dtype, uint32_t rows, uint32_t cols);
/* A tensor in memory that the plan does not manage. */
vkft_tensor *vkft_tensor_at(vkft_graph *graph, uint64_t address, vkft_dtype dtype, uint32_t rows, uint32_t cols);

/* A tensor in host memory, which kernels reach over the bus: what has to wait long and should not take room in the
 * arena. It keeps its place until the next pass begins. The memory is in chunks of VKFT_KEPT_CHUNK bytes, and no tensor
 * may be larger. */
#define VKFT_KEPT_CHUNK VKFT_BUFFER_BYTES
#define VKFT_KEPT_CHUNKS 64u
vkft_tensor *vkft_tensor_keep(vkft_graph *graph, vkft_dtype dtype, uint32_t rows, uint32_t cols);

/* Bytes of so many of a tensor's rows: its size, or the offset of a row. */
uint64_t vkft_tensor_row_bytes(const vkft_tensor *tensor, uint64_t rows);

/* The address, noting that the tensor is used by the next launch. */
uint64_t vkft_tensor_address(vkft_graph *graph, const vkft_tensor *tensor);
/* The same for the launch that writes a new tensor which perhaps nobody reads; 0 when recording: nobody does. */
uint64_t vkft_tensor_output(vkft_graph *graph, const vkft_tensor *tensor);

/* The launches from here to vkft_graph_touch_end read and write no other tensors' memory, see vkft_commands_touch. */
void vkft_graph_touch(vkft_graph *graph, const vkft_tensor *read, uint64_t written, uint64_t written_bytes);
void vkft_graph_touch_end(vkft_graph *graph);

/* The gradient of t, made on first call; *add tells whether it already holds something. */
vkft_tensor *vkft_grad(vkft_graph *graph, vkft_tensor *t, bool *add);

/* Record a launch; while planning nothing happens. Of a kernel with an invocation for each element: x * y of them. Of a
 * kernel with a workgroup for each row: rows * y of them. See vkft_launch. */
void vkft_launch_elements(vkft_graph *graph, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t x,
                          uint32_t y, double flops);
void vkft_launch_rows(vkft_graph *graph, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t rows,
                      uint32_t y, double flops);

/* Puts op on the tape when taping and its output needs a gradient, with a copy of the struct that its backward reads as
 * op->state; what that points to outlives the step. state may be NULL, state_bytes 0. */
void vkft_tape_push(vkft_graph *graph, vkft_tape_entry op, const void *state, size_t state_bytes);
/* Walks the tape from its end to the entry numbered `from` and drops what it walked. */
void vkft_tape_backward(vkft_graph *graph, uint32_t from);

#endif
