/* Where one kernel at a time is run and judged: arrays in one buffer of the device, its copy on the host, verdicts.
 *
 * A check begins, makes arrays, runs kernels and says what each array must hold now. Whatever it does not speak of must
 * be as it was, the gaps between the arrays too, because nothing checks the bounds of an address. Outputs start as NaN,
 * and so do the gaps: an element that was not written, or was read from outside, shows. A wrong array is put right
 * before the check goes on, so that a wrong kernel does not spoil the verdict on the next one.
 *
 * Nothing here fails for want of memory after vkft_lab_new. Test: test_checks */
#ifndef VKFT_LAB_H
#define VKFT_LAB_H

#include "runtime/commands.h"
#include "runtime/memory.h"

typedef struct vkft_lab_array {
    uint64_t address;
    union { /* before a run: what the device will see; afterwards, as it is expected to be */
        float *f;
        uint32_t *u;
    };
    uint32_t count; /* 32-bit words */
} vkft_lab_array;

#define VKFT_KERNEL_SET_WORDS ((VKFT_KERNEL_COUNT + 63) / 64)

typedef struct vkft_kernel_set {
    uint64_t bits[VKFT_KERNEL_SET_WORDS];
} vkft_kernel_set;

static inline bool vkft_kernel_set_has(const vkft_kernel_set *set, uint32_t kernel)
{
    return set->bits[kernel / 64] >> kernel % 64 & 1;
}

static inline void vkft_kernel_set_add(vkft_kernel_set *set, uint32_t kernel)
{
    set->bits[kernel / 64] |= (uint64_t)1 << kernel % 64;
}

/* What was found of the kernels that one run launched. */
typedef struct vkft_verdict {
    vkft_kernel_set kernels;
    bool right;
    char what[240]; /* when wrong: one sentence */
} vkft_verdict;

typedef struct vkft_lab {
    vkft_device *dev;
    vkft_commands *cmds;
    vkft_buffer buffer;
    /* Called when a check begins; NULL: nobody wants to know. */
    void (*on_check)(void *context, const char *name);
    void *context;
    uint32_t *before, *after;  /* the buffer as it should be, and as it was read last */
    uint32_t used, ran, words; /* ran: used when the last run began */
    uint32_t scratch;          /* words at the end that are scratch memory */
    char *pool;                /* of doubles */
    size_t pool_used, pool_bytes;
    char name[120]; /* of the check */
    /* the judgement that is open */
    vkft_kernel_set launched;
    vkft_kernel_set strategic; /* kernels of strategies of products: others may stand in for them */
    bool judging, split, wrong;
    char what[240];
    vkft_verdict *verdicts;
    uint32_t count, capacity;
    bool lost; /* the device answers no more */
    vkft_err err;
} vkft_lab;

/* bytes: of all arrays of a check, with 512 bytes between two. */
bool vkft_lab_init(vkft_lab *lab, vkft_device *dev, uint64_t bytes, vkft_err *err);
void vkft_lab_free(vkft_lab *lab);

/* Forgets the arrays of the check before. name: of the kernel or operation, and its shape. */
void vkft_lab_begin(vkft_lab *lab, const char *name, ...) VKFT_PRINTF(2, 3);
void vkft_lab_end(vkft_lab *lab);

/* Arrays of the device. */
vkft_lab_array vkft_lab_output(vkft_lab *lab, uint32_t n);                /* NaN */
vkft_lab_array vkft_lab_random(vkft_lab *lab, uint64_t seed, uint32_t n); /* standard normal, the same for a seed */
vkft_lab_array vkft_lab_words(vkft_lab *lab, const void *data, size_t bytes);
uint64_t vkft_lab_scratch(vkft_lab *lab,
                          uint64_t bytes);         /* memory that kernels use for themselves; nobody looks at it */
double *vkft_lab_doubles(vkft_lab *lab, size_t n); /* zeros, on the host */
double *vkft_lab_wide(vkft_lab *lab, vkft_lab_array x);

/* Whether the build and the device have what the kernel needs. */
bool vkft_lab_can_run(const vkft_lab *lab, vkft_kernel kernel);
/* Launches the kernel and waits; count_x: what kernels of its shape are counted in, rows or invocations. */
void vkft_lab_run(vkft_lab *lab, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t count_x,
                  uint32_t count_y);
/* The same of what was recorded into lab->cmds since vkft_lab_record. */
void vkft_lab_record(vkft_lab *lab);
void vkft_lab_execute(vkft_lab *lab);

/* |got - want| <= tolerance * (1 + |want|). */
void vkft_lab_expect(vkft_lab *lab, const char *what, vkft_lab_array array, const double *want, double tolerance);
/* |got - want| <= bound * size, sizes being the sums of magnitudes that the elements are sums of. */
void vkft_lab_expect_sums(vkft_lab *lab, const char *what, vkft_lab_array array, const double *want, const double *size,
                          double bound);
/* The same of the first N columns of rows that are ld apart; between the rows nothing may have changed. */
void vkft_lab_expect_rows(vkft_lab *lab, const char *what, vkft_lab_array array, uint32_t N, uint32_t ld,
                          const double *want, const double *size, double bound);
void vkft_lab_expect_words(vkft_lab *lab, const char *what, vkft_lab_array array, const uint32_t *want);
/* Rows of N halves, ld apart with zeros in between, times the row's inverse factor: a power of two that makes the row's
 * largest magnitude one of f16's large ones. |got - want| <= tolerance * (1 + |want|), beside f16's rounding. */
void vkft_lab_expect_f16_rows(vkft_lab *lab, const char *what, vkft_lab_array rows, vkft_lab_array inverse, uint32_t N,
                              uint32_t ld, const double *want, double tolerance);
/* What an array holds now is right, whatever it is. */
void vkft_lab_accept(vkft_lab *lab, vkft_lab_array array);
/* Closes the judgement on what was expected so far and opens another one about the same run, so that each output has a
 * verdict of its own; kernels whose names contain a word of `but` (NULL: no more) have no part in it. */
void vkft_lab_verdict_but(vkft_lab *lab, const char *const *but);

/* The first wrong verdict, or NULL. */
const vkft_verdict *vkft_lab_failure(const vkft_lab *lab);

#endif
