/* Helpers of the kernel tests. */
#include "tests/support/kernels/kernel_test.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/random.h"

#define GUARD 64u
#define CANARY 0xfeedc0deu

int vkft_kernel_setup(void **state)
{
    vkft_err err;
    vkft_kernel_fixture *f = calloc(1, sizeof *f);
    f->dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    f->cmds = f->dev ? vkft_commands_new(f->dev, &err) : NULL;
    if (!f->cmds) {
        print_error("%s\n", err.message);
        return 1;
    }
    *state = f;
    return 0;
}

int vkft_kernel_teardown(void **state)
{
    vkft_kernel_fixture *f = *state;
    vkft_commands_free(f->cmds);
    vkft_device_close(f->dev);
    free(f);
    return 0;
}

vkft_guarded vkft_guarded_words(const vkft_kernel_fixture *f, const uint32_t *data, uint32_t count)
{
    vkft_err err;
    vkft_guarded g = {.count = count};
    uint32_t total = count + 2 * GUARD, *words = malloc(total * sizeof *words);
    for (uint32_t i = 0; i < total; i++)
        words[i] = CANARY;
    memcpy(words + GUARD, data, count * sizeof *words);
    if (!vkft_buffer_new(f->dev, total * sizeof *words, VKFT_MEMORY_DEVICE, "test", &g.buffer, &err) ||
        !vkft_buffer_write(f->dev, &g.buffer, 0, words, total * sizeof *words, &err))
        fail_msg("%s", err.message);
    free(words);
    g.address = g.buffer.address + GUARD * sizeof *words;
    return g;
}

vkft_guarded vkft_guarded_floats(const vkft_kernel_fixture *f, const float *data, uint32_t count)
{
    uint32_t *words = malloc((count + 1ull) * sizeof *words);
    for (uint32_t i = 0; i < count; i++)
        words[i] = 0x7fc00000u;
    if (data)
        memcpy(words, data, count * sizeof *words);
    vkft_guarded g = vkft_guarded_words(f, words, count);
    free(words);
    return g;
}

void vkft_guarded_read(const vkft_kernel_fixture *f, const vkft_guarded *g, float *out)
{
    vkft_err err;
    uint32_t total = g->count + 2 * GUARD, *words = malloc(total * sizeof *words);
    if (!vkft_buffer_read(f->dev, &g->buffer, 0, words, total * sizeof *words, &err))
        fail_msg("%s", err.message);
    for (uint32_t i = 0; i < GUARD; i++)
        if (words[i] != CANARY || words[GUARD + g->count + i] != CANARY)
            fail_msg("a kernel wrote outside its buffer, %u words %s", i + 1,
                     words[i] != CANARY ? "from the guard's start before it" : "past its end");
    memcpy(out, words + GUARD, g->count * sizeof *out);
    free(words);
}

void vkft_guarded_free(const vkft_kernel_fixture *f, vkft_guarded *g)
{
    float *content = malloc((g->count + 1ull) * sizeof *content);
    vkft_guarded_read(f, g, content); /* inputs must be intact around as well */
    free(content);
    vkft_buffer_free(f->dev, &g->buffer);
}

void vkft_kernel_run(const vkft_kernel_fixture *f, vkft_kernel kernel, const void *args, uint32_t args_bytes,
                     uint64_t count_x, uint32_t count_y)
{
    vkft_err err;
    vkft_kernel_shape shape = vkft_kernel_get_shape(kernel);
    vkft_commands_reset(f->cmds);
    if (shape == VKFT_SHAPE_ROW || shape == VKFT_SHAPE_TILE)
        vkft_launch_workgroups(f->cmds, kernel, args, args_bytes, count_x, count_y, 1e4 * (double)count_x * count_y);
    else
        vkft_launch(f->cmds, kernel, args, args_bytes, count_x, count_y, 1e3 * (double)count_x * count_y);
    if (!vkft_commands_run(f->cmds, &err))
        fail_msg("%s", err.message);
}

void vkft_random_floats(uint64_t seed, float *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        double sum = -6;
        for (uint64_t k = 0; k < 12; k++)
            sum += vkft_random_uniform(seed, 77, 12ull * i + k);
        x[i] = (float)sum;
    }
}

void vkft_assert_close(const char *what, const float *got, const double *want, uint32_t n, double tolerance)
{
    uint32_t worst = 0;
    double worst_error = -1;
    for (uint32_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]) / (1 + fabs(want[i]));
        if (!(error <= worst_error)) {
            worst_error = error;
            worst = i;
        }
        if (isnan(error))
            break;
    }
    if (n && !(worst_error <= tolerance))
        fail_msg("%s: element %u of %u is %.9g, expected %.9g: error %.2e above %.2e", what, worst, n,
                 (double)got[worst], want[worst], worst_error, tolerance);
}

float *vkft_random_array(uint64_t seed, uint32_t n)
{
    float *x = malloc((n + 1ull) * sizeof *x);
    vkft_random_floats(seed, x, n);
    return x;
}

double *vkft_widen(const float *x, uint32_t n)
{
    double *y = malloc((n + 1ull) * sizeof *y);
    for (uint32_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}
