/* See lab.h. */
#include "host/doctor/checks/lab.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/dtype.h"
#include "runtime/base/random.h"
#include "runtime/base/size.h"

#define GAP 64u            /* words between arrays, which begin at a multiple of it */
#define CANARY 0x7fc0beefu /* a NaN */
#define NOT_A_NUMBER 0x7fc00000u

bool vkft_lab_init(vkft_lab *lab, vkft_device *dev, uint64_t bytes, vkft_err *err)
{
    *lab = (vkft_lab){.dev = dev, .words = (uint32_t)(bytes / 4), .pool_bytes = (size_t)bytes * 8, .capacity = 64};
    lab->before = malloc(bytes);
    lab->after = malloc(bytes);
    lab->pool = malloc(lab->pool_bytes);
    lab->verdicts = malloc(lab->capacity * sizeof *lab->verdicts);
    if (!lab->before || !lab->after || !lab->pool || !lab->verdicts)
        vkft_fail_memory(err, "for checks of the kernels");
    else if ((lab->cmds = vkft_commands_new(dev, err)) &&
             vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "checks of the kernels", &lab->buffer, err))
        return true;
    vkft_lab_free(lab);
    return false;
}

void vkft_lab_free(vkft_lab *lab)
{
    if (lab->dev)
        vkft_buffer_free(lab->dev, &lab->buffer);
    vkft_commands_free(lab->cmds);
    free(lab->before), free(lab->after), free(lab->pool), free(lab->verdicts);
    *lab = (vkft_lab){0};
}

static void close_judgement(vkft_lab *lab, const vkft_kernel_set *kernels)
{
    if (lab->count == lab->capacity) {
        vkft_verdict *more = realloc(lab->verdicts, 2ull * lab->capacity * sizeof *more);
        if (!more) {
            lab->lost = true;
            vkft_fail_memory(&lab->err, "for verdicts on the kernels");
            return;
        }
        lab->verdicts = more;
        lab->capacity *= 2;
    }
    vkft_verdict *v = &lab->verdicts[lab->count++];
    *v = (vkft_verdict){.kernels = *kernels, .right = !lab->wrong};
    snprintf(v->what, sizeof v->what, "%s", lab->what);
    lab->wrong = false;
    lab->what[0] = 0;
}

static void wrong(vkft_lab *lab, const char *what, ...) VKFT_PRINTF(2, 3);
static void wrong(vkft_lab *lab, const char *what, ...)
{
    char text[200];
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(text, sizeof text, what, arguments);
    va_end(arguments);
    if (!lab->wrong)
        snprintf(lab->what, sizeof lab->what, "%.110s: %.125s", lab->name, text);
    lab->wrong = true;
}

/* Ends the judgement that is open: what nobody spoke of must be as it was. */
static void settle(vkft_lab *lab)
{
    if (!lab->judging)
        return;
    for (uint32_t i = 0; i < lab->ran; i++)
        if (lab->before[i] != lab->after[i]) {
            wrong(lab, "memory that is not its output was changed (word %u of %u)", i, lab->ran);
            break;
        }
    if (lab->wrong || !lab->split) /* that nothing else was changed clears no kernel of what it wrote */
        close_judgement(lab, &lab->launched);
    lab->judging = lab->split = false;
}

void vkft_lab_verdict_but(vkft_lab *lab, const char *const *but)
{
    vkft_kernel_set part = lab->launched;
    for (uint32_t k = 0; k < VKFT_KERNEL_COUNT; k++)
        for (const char *const *word = but; *word; word++)
            if (strstr(vkft_kernel_name((vkft_kernel)k), *word))
                part.bits[k / 64] &= ~((uint64_t)1 << k % 64);
    close_judgement(lab, &part);
    lab->split = true;
}

void vkft_lab_begin(vkft_lab *lab, const char *name, ...)
{
    settle(lab);
    va_list arguments;
    va_start(arguments, name);
    vsnprintf(lab->name, sizeof lab->name, name, arguments);
    va_end(arguments);
    if (lab->on_check)
        lab->on_check(lab->context, lab->name);
    lab->pool_used = 0;
    lab->used = GAP;
    lab->scratch = 0;
    for (uint32_t i = 0; i < GAP; i++)
        lab->before[i] = CANARY;
}

void vkft_lab_end(vkft_lab *lab)
{
    settle(lab);
}

static vkft_lab_array place(vkft_lab *lab, uint32_t n)
{
    uint32_t end = (uint32_t)round_up(lab->used + n + GAP, GAP);
    assert(end + lab->scratch <= lab->words);
    vkft_lab_array array = {
        .address = lab->buffer.address + 4ull * lab->used, .u = lab->before + lab->used, .count = n};
    for (uint32_t i = lab->used + n; i < end; i++)
        lab->before[i] = CANARY;
    lab->used = end;
    return array;
}

uint64_t vkft_lab_scratch(vkft_lab *lab, uint64_t bytes)
{
    lab->scratch += (uint32_t)round_up(ceil_div_u64(bytes, 4) + GAP, GAP);
    assert(lab->used + lab->scratch <= lab->words);
    return lab->buffer.address + 4ull * (lab->words - lab->scratch);
}

vkft_lab_array vkft_lab_output(vkft_lab *lab, uint32_t n)
{
    vkft_lab_array array = place(lab, n);
    for (uint32_t i = 0; i < n; i++)
        array.u[i] = NOT_A_NUMBER;
    return array;
}

vkft_lab_array vkft_lab_random(vkft_lab *lab, uint64_t seed, uint32_t n)
{
    vkft_lab_array array = place(lab, n);
    for (uint32_t i = 0; i < n; i++) { /* a sum of twelve uniforms */
        double sum = -6;
        for (uint64_t k = 0; k < 12; k++)
            sum += vkft_random_uniform(seed, 77, 12ull * i + k);
        array.f[i] = (float)sum;
    }
    return array;
}

vkft_lab_array vkft_lab_words(vkft_lab *lab, const void *data, size_t bytes)
{
    vkft_lab_array array = place(lab, (uint32_t)((bytes + 3) / 4));
    if (array.count) {
        array.u[array.count - 1] = 0;
        memcpy(array.u, data, bytes);
    }
    return array;
}

double *vkft_lab_doubles(vkft_lab *lab, size_t n)
{
    double *x = (double *)(void *)(lab->pool + lab->pool_used);
    lab->pool_used += (n + 1) * sizeof *x;
    assert(lab->pool_used <= lab->pool_bytes);
    memset(x, 0, n * sizeof *x);
    return x;
}

double *vkft_lab_wide(vkft_lab *lab, vkft_lab_array x)
{
    double *wide = vkft_lab_doubles(lab, x.count);
    for (uint32_t i = 0; i < x.count; i++)
        wide[i] = (double)x.f[i];
    return wide;
}

void vkft_lab_record(vkft_lab *lab)
{
    settle(lab);
    vkft_commands_reset(lab->cmds);
    lab->launched = (vkft_kernel_set){0};
}

void vkft_lab_execute(vkft_lab *lab)
{
    vkft_err err = {0};
    lab->judging = true;
    lab->ran = lab->used;
    memcpy(lab->after, lab->before, 4ull * lab->used);
    for (uint32_t i = 0; i < vkft_commands_launch_count(lab->cmds); i++)
        vkft_kernel_set_add(&lab->launched, (uint32_t)vkft_kernel_row(vkft_commands_kernel(lab->cmds, i)));
    if (lab->lost)
        return;
    if (vkft_buffer_write(lab->dev, &lab->buffer, 0, lab->before, 4ull * lab->used, &err) &&
        vkft_commands_run(lab->cmds, &err) &&
        vkft_buffer_read(lab->dev, &lab->buffer, 0, lab->after, 4ull * lab->used, &err))
        return;
    wrong(lab, "%s", err.message);
    lab->lost = err.kind == VKFT_ERR_DEVICE_LOST || err.kind == VKFT_ERR_MEMORY;
    lab->err = err;
}

bool vkft_lab_can_run(const vkft_lab *lab, vkft_kernel kernel)
{
    return vkft_kernel_is_built(kernel) && vkft_caps_have(vkft_device_get_caps(lab->dev), vkft_kernel_needs(kernel));
}

void vkft_lab_run(vkft_lab *lab, vkft_kernel kernel, const void *args, uint32_t args_bytes, uint64_t count_x,
                  uint32_t count_y)
{
    vkft_kernel_shape shape = vkft_kernel_get_shape(kernel);
    vkft_lab_record(lab);
    vkft_kernel_set_add(&lab->launched, (uint32_t)vkft_kernel_row(kernel)); /* also where it cannot be built */
    if (shape == VKFT_SHAPE_ROW || shape == VKFT_SHAPE_TILE)
        vkft_launch_workgroups(lab->cmds, kernel, args, args_bytes, count_x, count_y, 1e4 * (double)count_x * count_y);
    else
        vkft_launch(lab->cmds, kernel, args, args_bytes, count_x, count_y, 1e3 * (double)count_x * count_y);
    vkft_lab_execute(lab);
}

/* got: where the run left the array. */
static float *got_of(const vkft_lab *lab, vkft_lab_array array)
{
    return (float *)(void *)(lab->after + (array.u - lab->before));
}

void vkft_lab_accept(vkft_lab *lab, vkft_lab_array array)
{
    memcpy(array.u, got_of(lab, array), 4ull * array.count);
}

/* What is right is kept as it is, to the bit; what is wrong is put right, for the kernels that read it next. */
static void adopt(vkft_lab *lab, vkft_lab_array array, const double *want, bool right)
{
    float *got = got_of(lab, array);
    for (uint32_t i = 0; !right && i < array.count; i++)
        got[i] = (float)want[i];
    vkft_lab_accept(lab, array);
}

void vkft_lab_expect(vkft_lab *lab, const char *what, vkft_lab_array array, const double *want, double tolerance)
{
    const float *got = got_of(lab, array);
    uint32_t worst = 0;
    double worst_error = -1;
    for (uint32_t i = 0; i < array.count && !isnan(worst_error); i++) {
        double error = fabs((double)got[i] - want[i]) / (1 + fabs(want[i]));
        if (!(error <= worst_error)) {
            worst_error = error;
            worst = i;
        }
    }
    bool right = worst_error <= tolerance;
    if (!right)
        wrong(lab, "%s[%u] is %.9g, expected %.9g (error %.1e, at most %.1e)", what, worst, (double)got[worst],
              want[worst], worst_error, tolerance);
    adopt(lab, array, want, right);
}

void vkft_lab_expect_rows(vkft_lab *lab, const char *what, vkft_lab_array array, uint32_t N, uint32_t ld,
                          const double *want, const double *size, double bound)
{
    float *got = got_of(lab, array);
    bool right = true;
    for (uint32_t i = 0; i < array.count && right; i++) {
        right = i % ld >= N || fabs((double)got[i] - want[i]) <= bound * size[i] + 1e-30;
        if (!right)
            wrong(lab, "%s[%u,%u] is %.9g, expected %.9g +- %.1e", what, i / ld, i % ld, (double)got[i], want[i],
                  bound * size[i]);
    }
    for (uint32_t i = 0; i < array.count; i++) {
        uint32_t *before = &array.u[i];
        float expected = (float)want[i];
        if (i % ld >= N)
            continue;
        if (!right)
            got[i] = expected;
        memcpy(before, &got[i], sizeof *before);
    }
}

void vkft_lab_expect_sums(vkft_lab *lab, const char *what, vkft_lab_array array, const double *want, const double *size,
                          double bound)
{
    vkft_lab_expect_rows(lab, what, array, 1, 1, want, size, bound);
}

void vkft_lab_expect_words(vkft_lab *lab, const char *what, vkft_lab_array array, const uint32_t *want)
{
    const uint32_t *got = lab->after + (array.u - lab->before);
    for (uint32_t i = 0; i < array.count; i++)
        if (got[i] != want[i]) {
            wrong(lab, "%s[%u] is %#x, expected %#x", what, i, got[i], want[i]);
            break;
        }
    memcpy(lab->after + (array.u - lab->before), want, 4ull * array.count);
    vkft_lab_accept(lab, array);
}

static uint32_t half_at(const uint32_t *words, size_t i)
{
    return words[i / 2] >> i % 2 * 16 & 0xffff;
}

/* Whether a row's factor puts its largest magnitude in [2^14, 2^15], where rounding may have put it beyond 2^15 less a
 * half. Rows of zeros may have any. */
static bool is_factor(float inverse, double largest, double tolerance)
{
    int exponent;
    double scaled = largest / (double)inverse;
    return frexp((double)inverse, &exponent) == 0.5 &&
           (largest == 0 || (scaled >= 0x1p14 * (1 - tolerance) && scaled <= 0x1p15 * (1 + tolerance)));
}

void vkft_lab_expect_f16_rows(vkft_lab *lab, const char *what, vkft_lab_array rows, vkft_lab_array inverse, uint32_t N,
                              uint32_t ld, const double *want, double tolerance)
{
    const uint32_t *got = lab->after + (rows.u - lab->before);
    const float *factors = got_of(lab, inverse);
    bool right = true;
    for (uint32_t m = 0; m < inverse.count && right; m++) {
        double largest = 0;
        for (uint32_t n = 0; n < N; n++)
            largest = fmax(largest, fabs(want[(size_t)m * N + n]));
        if (!is_factor(factors[m], largest, tolerance * (1 + 1 / largest))) {
            wrong(lab, "the factor of row %u of %s is %.9g for magnitudes up to %.9g", m, what, (double)factors[m],
                  largest);
            right = false;
        }
        for (uint32_t n = 0; n < ld && right; n++) {
            double wanted = n < N ? want[(size_t)m * N + n] : 0,
                   value = (double)vkft_f16_to_f32((uint16_t)half_at(got, (size_t)m * ld + n)) * (double)factors[m],
                   bound = n < N ? tolerance * (1 + fabs(wanted)) + 0x1p-11 * fabs(wanted) + 0x1p-25 * largest : 0;
            right = fabs(value - wanted) <= bound;
            if (!right)
                wrong(lab, "%s[%u,%u] in f16 is %.9g, expected %.9g +- %.1e", what, m, n, value, wanted, bound);
        }
    }
    vkft_lab_accept(lab, rows);
    vkft_lab_accept(lab, inverse);
}

const vkft_verdict *vkft_lab_failure(const vkft_lab *lab)
{
    for (uint32_t i = 0; i < lab->count; i++)
        if (!lab->verdicts[i].right)
            return &lab->verdicts[i];
    return NULL;
}
