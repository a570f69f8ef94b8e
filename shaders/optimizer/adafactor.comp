/* Adafactor on one matrix [rows, cols] f32, whose squared gradients are kept as means of rows and of columns; shaders/optimizer/args.h has the formulas.
 * ROWS, COLUMNS and SQUARES are the kernels before the update. One workgroup a row, LANES invocations a column, one workgroup a slice, one invocation an element.
 * Nothing where step.grad_norm is not finite. RUN elements per iteration, because of llvmpipe's limit (common.glsl); sums have a fixed order.
 * Source: Shazeer & Stern 2018; transformers.optimization.Adafactor. Test: test_kernels_training, test_optimizer */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(adafactor_args)

#define RUN 8
#define LANES ADAFACTOR_LANES

float gradient(uint i)
{
    return args.g.v[i] * args.step.v[STEP_CLIP];
}

float square(uint i)
{
    float g = gradient(i);
    return fma(g, g, 1.0e-30);
}

/* v[i] after this step, where the new squares have this sum, of n values. */
void advance(uint i, float sum, uint n)
{
    float v = args.v.v[i], grow = args.step.v[STEP_CORRECTION1];
    args.v.v[i] = fma(1.0 - grow, v, grow * (sum / float(n)));
}

/* The update of element i before it is clipped. */
float direction(uint i)
{
    uint row = i / args.cols, col = i - row * args.cols;
    float mean = args.total.v[0] / float(args.rows);
    return inversesqrt(args.v.v[row] / mean) * inversesqrt(args.v.v[args.rows + col]) * gradient(i);
}

#if defined(ROWS)

void main()
{
    if (!NORM_IS_FINITE(args.step))
        return;
    uint row = WORKGROUP, first = row * args.cols;
    float sum = 0.0;
    for (uint at = gl_LocalInvocationID.x; at < args.cols; at += RUN * WIDTH) {
        float part = 0.0;
        [[unroll]] for (uint q = 0; q < RUN; q++)
            part += at + q * WIDTH < args.cols ? square(first + at + q * WIDTH) : 0.0;
        sum += part;
    }
    sum = subgroupAdd(sum);
    if (gl_LocalInvocationID.x == 0)
        advance(row, sum, args.cols);
}

#elif defined(COLUMNS)

/* Of each column LANES lanes, whose sums are added in order. Neighbours have neighbouring columns. */
shared float sums[256];

void main()
{
    if (!NORM_IS_FINITE(args.step))
        return;
    uint cols = WIDTH / LANES, mine = gl_LocalInvocationID.x % cols, col = WORKGROUP * cols + mine;
    float sum = 0.0;
    for (uint at = gl_LocalInvocationID.x / cols; col < args.cols && at < args.rows; at += RUN * LANES) {
        float part = 0.0;
        [[unroll]] for (uint q = 0; q < RUN; q++)
            part += at + q * LANES < args.rows ? square((at + q * LANES) * args.cols + col) : 0.0;
        sum += part;
    }
    sums[gl_LocalInvocationID.x] = sum;
    barrier();
    if (gl_LocalInvocationID.x >= cols || col >= args.cols)
        return;
    sum = 0.0;
    for (uint i = 0; i < LANES; i++)
        sum += sums[i * cols + mine];
    advance(args.rows + col, sum, args.rows);
}

#elif defined(SQUARES)

void main()
{
    if (!NORM_IS_FINITE(args.step))
        return;
    uint n = args.rows * args.cols, slice = (n + args.parts - 1) / args.parts, first = min(WORKGROUP * slice, n), end = min(first + slice, n);
    float sum = 0.0;
    for (uint at = first; at < end; at += RUN * WIDTH) {
        float part = 0.0;
        [[unroll]] for (uint q = 0; q < RUN; q++) {
            uint i = at + q * WIDTH + gl_LocalInvocationID.x;
            float x = i < end ? direction(min(i, end - 1)) : 0.0;
            part = fma(x, x, part);
        }
        sum += part;
    }
    sum = subgroupAdd(sum);
    if (gl_LocalInvocationID.x == 0)
        args.partial.v[WORKGROUP] = sum;
}

#else

void main()
{
    uint i = INVOCATION, n = args.rows * args.cols;
    if (i >= n || !NORM_IS_FINITE(args.step))
        return;
    float lr = args.step.v[STEP_LR] * args.rate;
    float p = args.p.v[i] * (i < args.decayed ? 1.0 - lr * args.weight_decay : 1.0);
    args.p.v[i] = p - lr * direction(i) / max(1.0, sqrt(args.total.v[1] / float(n)));
}

#endif
