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
#include <stdint.h>

#include "host/engine/matmul/matmul.h"
#include "host/engine/plan.h"
#include "shaders/core/args.h"

/* A contiguous row-major f32 matrix. Lives until vkft_graph_begin. */
typedef struct vkft_tensor {
    uint32_t rows, cols;
    uint32_t buffer;  /* in the plan; UINT32_MAX: fixed memory outside the arena */
    uint64_t address; /* 0 while planning */
    bool needs_grad;
    struct vkft_tensor *grad; /* NULL until something was written to it */
} vkft_tensor;

typedef struct vkft_graph vkft_graph;

/* One step on the tape: what its backward needs. Which members are used is up to the op. */
typedef struct vkft_tape_entry {
    void (*backward)(vkft_graph *graph, const struct vkft_tape_entry *op);
    vkft_tensor *in[3];
    vkft_tensor *out;
    vkft_tensor *saved;
    const void *param; /* outlives the step */
    uint64_t address[3];
    uint32_t size[4];
    float value;
} vkft_tape_entry;

struct vkft_graph {
    vkft_matmul_ctx mm; /* device, commands, scratch; cmds is NULL while planning */
    vkft_plan *plan;
    uint64_t arena; /* address of the planned memory */
    uint32_t next;  /* number of the next buffer */
    bool planning;
    bool taping;   /* ops put themselves on the tape */
    bool dropout;  /* LoRA dropout is active: training, not evaluation */
    uint64_t seed; /* of the dropout generator */
    uint64_t step; /* address of the struct step_state that kernels read */
    bool failed;   /* host memory ran out, or the step asked for other buffers than it planned */
    vkft_tape_entry *tape;
    uint32_t tape_count, tape_capacity;
    struct tensor_chunk *chunks; /* the pool of tensors */
    vkft_tensor nothing;         /* handed out after a failure, so that ops need no checks */
};

/* Zeroes and prepares; false: out of memory. */
bool vkft_graph_init(vkft_graph *graph);
void vkft_graph_free(vkft_graph *graph);

/* Starts a pass: planning with cmds NULL, else recording into cmds with the arena at this address. Forgets tensors and
 * tape. */
void vkft_graph_begin(vkft_graph *graph, vkft_commands *cmds, uint64_t arena);

vkft_tensor *vkft_tensor_new(vkft_graph *graph, uint32_t rows, uint32_t cols);
/* A tensor in memory that the plan does not manage. */
vkft_tensor *vkft_tensor_at(vkft_graph *graph, uint64_t address, uint32_t rows, uint32_t cols);

/* The address, noting that the tensor is used by the next launch. */
uint64_t vkft_tensor_address(vkft_graph *graph, const vkft_tensor *tensor);

/* The gradient of t, made on first call; *add tells whether it already holds something. */
vkft_tensor *vkft_grad(vkft_graph *graph, vkft_tensor *t, bool *add);

/* Threads of a kernel that gives each row one workgroup; 0 while planning. */
uint64_t vkft_row_threads(const vkft_graph *graph, vkft_kernel kernel, uint32_t rows);

/* Puts op on the tape when taping and its output needs a gradient. */
void vkft_tape_push(vkft_graph *graph, vkft_tape_entry op);
/* Walks the tape from its end to the entry numbered `from` and drops what it walked. */
void vkft_tape_backward(vkft_graph *graph, uint32_t from);

#endif
