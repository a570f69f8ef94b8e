/* Tests of differentiable ops: planned and recorded as training does it, forward against a reference in double, the
 * gradient of sum(weight * y) with respect to every operand against central differences of that reference.
 *
 * The arena lies between canaries and starts as NaN; gradients of parameters start with values that must still be in
 * the sum.
 */
#ifndef VKFT_OP_TEST_H
#define VKFT_OP_TEST_H

#include "tests/support/kernels/kernel_test.h"
#include "host/engine/ops/ops.h"

typedef enum vkft_operand_kind {
    VKFT_OPERAND_TENSOR,    /* an activation with a gradient */
    VKFT_OPERAND_CONSTANT,  /* an activation without */
    VKFT_OPERAND_PARAMETER, /* f32 memory with gradient memory that the op adds to */
    VKFT_OPERAND_FROZEN,    /* f32 memory */
} vkft_operand_kind;

#define VKFT_MAX_OPERANDS 14

typedef struct vkft_operand {
    const char *name;
    vkft_operand_kind kind;
    uint32_t rows, cols;
    float spread;        /* of its random values; 0: 1 */
    const float *values; /* instead of random ones */
    /* filled before `forward` is called */
    vkft_tensor *tensor;
    uint64_t address, grad; /* grad 0: not a parameter */
} vkft_operand;

typedef struct vkft_op_case {
    const char *name;
    vkft_operand operands[VKFT_MAX_OPERANDS]; /* up to the first without a name */
    uint32_t rows, cols;                      /* of y */
    double tolerance;
    bool dropout;
    /* Records the op and returns y. A loss writes its rows to `loss`, makes its own gradients for the weights of
     * vkft_test_row_weight, and returns NULL. Called for the plan, then for recording. */
    vkft_tensor *(*forward)(vkft_graph *g, const vkft_operand *in, uint64_t loss, void *context);
    /* y from the operands' values. */
    void (*reference)(double *const *in, double *y, const void *context);
    void *context;
} vkft_op_case;

/* Group setup: that of the kernel tests, and kernels specialized for attention with this head size and with softcap. */
#define VKFT_TEST_HEAD 6u
int vkft_op_setup(void **state);

#define VKFT_TEST_SEED 0x9abcdef012345678ull
#define VKFT_TEST_MICRO_STEP 5

void vkft_check_op(const vkft_kernel_fixture *f, const vkft_op_case *k);

/* An f32 weight matrix in an operand's memory, trained if that is a parameter. */
vkft_weight vkft_operand_weight(const vkft_operand *operand);

/* The weight of a loss's row, and those of all rows in a buffer. */
float vkft_test_row_weight(uint32_t row);
vkft_guarded vkft_test_row_weights(const vkft_kernel_fixture *f, uint32_t rows);

#endif
