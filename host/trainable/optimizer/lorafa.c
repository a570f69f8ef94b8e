/* LoRA-FA, as PEFT's create_lorafa_optimizer: A stays as it is, and the gradient of B becomes that of the whole
 * product's best approximation, g C with C = (A A^T)^-1 / scale^2, before an AdamW that adds epsilon first and decays
 * last. C is constant. The formula is in shaders/optimizer/lorafa.comp. PEFT multiplies by C in bf16 where it can,
 * which is not done here. Source: Zhang et al. 2023; PEFT. Test: test_optimizer
 */
#include "host/trainable/optimizer/optimizer.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/trainable/start/decompose.h"
#include "shaders/optimizer/args.h"

static uint64_t values(const vkft_parameter_tensor *t, uint32_t i)
{
    (void)i;
    return t->frozen ? 0 : t->floats;
}

static uint64_t constants(const vkft_parameter_tensor *t)
{
    return t->lora_scale != 0 ? (uint64_t)t->cols * t->cols : 0;
}

/* The pseudoinverse of a + 1e-8, which PEFT adds in f32, through singular values; those are left out that
 * torch.linalg.pinv leaves out. */
static bool invert(float *a, uint32_t r, double factor, float *inverse)
{
    vkft_factors f;
    for (uint32_t i = 0; i < r; i++)
        a[(size_t)i * r + i] += 1e-8f;
    if (!vkft_decompose_svd(a, r, r, r, 0, &f))
        return false;
    for (uint32_t i = 0; i < r; i++)
        for (uint32_t j = 0; j < r; j++) {
            double sum = 0;
            for (uint32_t k = 0; k < r; k++)
                if (f.values[k] > f.values[0] * r * (double)FLT_EPSILON)
                    sum += f.right[(size_t)k * r + i] * f.left[(size_t)j * r + k] / f.values[k];
            inverse[(size_t)i * r + j] = (float)(factor * sum);
        }
    vkft_factors_free(&f);
    return true;
}

static bool fill_constants(const vkft_parameter_tensor *before, const vkft_parameter_tensor *t, const float *p,
                           float *c)
{
    uint32_t r = before->rows, n = before->cols;
    const float *A = p + before->offset;
    float *square = calloc((size_t)r * r, sizeof *square);
    for (uint32_t i = 0; square && i < r; i++)
        for (uint32_t j = 0; j < r; j++) {
            double sum = 0;
            for (uint32_t k = 0; k < n; k++)
                sum += (double)A[(size_t)i * n + k] * (double)A[(size_t)j * n + k];
            square[(size_t)i * r + j] = (float)sum;
        }
    bool ok = square && invert(square, r, 1 / ((double)t->lora_scale * (double)t->lora_scale), c);
    free(square);
    return ok;
}

static void record(vkft_commands *cmds, const vkft_optimizer_options *o, const vkft_optimizer_slice *slice)
{
    if (slice->tensor->frozen)
        return;
    struct lorafa_args args = {
        .p = slice->p,
        .g = slice->g,
        .m = slice->state[0],
        .v = slice->state[1],
        .c = slice->constants,
        .step = slice->step,
        .n = slice->tensor->rows * slice->tensor->cols,
        .decayed = slice->decayed,
        .r = constants(slice->tensor) ? slice->tensor->cols : 0,
        .beta1 = (float)o->beta1,
        .beta2 = (float)o->beta2,
        .epsilon = (float)o->epsilon,
        .weight_decay = (float)o->weight_decay,
        .rate = slice->rate,
    };
    vkft_launch(cmds, VKFT_KERNEL_lorafa, &args, sizeof args, args.n, 1, (16.0 + 2.0 * args.r) * args.n);
}

const vkft_optimizer_kind vkft_optimizer_lorafa = {
    .name = "lorafa",
    .state = {{"exp_avg", VKFT_F32}, {"exp_avg_sq", VKFT_F32}},
    .values = values,
    .constants = constants,
    .fill_constants = fill_constants,
    .before_step = vkft_adamw_before_step,
    .record = record,
};
