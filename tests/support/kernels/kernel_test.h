/* What tests of single kernels share: a device, guarded buffers, comparison.
 *
 * A guarded buffer has 64 canary words before and after its data; reading it checks them. Outputs start as NaN, so that
 * an element that was not written cannot pass.
 */
#ifndef VKFT_KERNEL_TEST_H
#define VKFT_KERNEL_TEST_H

#include "host/doctor/reference/ops.h"
#include "runtime/commands.h"
#include "runtime/memory.h"

typedef struct vkft_kernel_fixture {
    vkft_device *dev;
    vkft_commands *cmds;
} vkft_kernel_fixture;

/* cmocka group setup and teardown; the device is $VKFT_DEVICE or the best one. */
int vkft_kernel_setup(void **state);
int vkft_kernel_teardown(void **state);

typedef struct vkft_guarded {
    vkft_buffer buffer;
    uint64_t address;
    uint32_t count; /* 32-bit words */
} vkft_guarded;

vkft_guarded vkft_guarded_floats(const vkft_kernel_fixture *f, const float *data, uint32_t count); /* data NULL: NaN */
vkft_guarded vkft_guarded_words(const vkft_kernel_fixture *f, const uint32_t *data, uint32_t count);
void vkft_guarded_read(const vkft_kernel_fixture *f, const vkft_guarded *g, float *out);
void vkft_guarded_free(const vkft_kernel_fixture *f, vkft_guarded *g);

/* Launches and waits; count_x: what kernels of its shape are counted in, rows or invocations. */
void vkft_kernel_run(const vkft_kernel_fixture *f, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                     uint64_t count_x, uint32_t count_y);

/* Standard normal values (a sum of twelve uniforms), the same for a seed. */
void vkft_random_floats(uint64_t seed, float *x, uint32_t n);

/* The same in new memory, and a copy in double. */
float *vkft_random_array(uint64_t seed, uint32_t n);
double *vkft_widen(const float *x, uint32_t n);

/* |got - want| <= tolerance * (1 + |want|) for all; the message names the worst element. */
void vkft_assert_close(const char *what, const float *got, const double *want, uint32_t n, double tolerance);

#endif
