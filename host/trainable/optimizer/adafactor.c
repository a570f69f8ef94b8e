/* Adafactor, as transformers' Trainer has it for --optim adafactor: with the schedule's learning rate, without scaling
 * by the size of parameters and without a first moment. The state of a matrix is the means of its rows, then those of
 * its columns. A vector is a matrix of one row: its second moment is not factored, as in transformers. The formulas are
 * in shaders/optimizer/args.h. Source: Shazeer & Stern 2018; transformers.optimization.Adafactor. Test: test_optimizer
 */
#include "host/trainable/optimizer/optimizer.h"

#include <math.h>

#include "runtime/base/size.h"
#include "shaders/optimizer/args.h"

#define DECAY_RATE 0.8
#define SLICE 1024u                       /* elements at least */
#define PARTS (VKFT_OPTIMIZER_PARTS - 2u) /* at most; the scratch's last floats are totals */

typedef struct shape {
    uint32_t rows, cols;
} shape;

static shape shape_of(const vkft_parameter_tensor *t)
{
    return t->cols == 1 ? (shape){1, t->rows} : (shape){t->rows, t->cols};
}

static uint64_t values(const vkft_parameter_tensor *t, uint32_t i)
{
    (void)i;
    shape s = shape_of(t);
    return (uint64_t)s.rows + s.cols;
}

static void before_step(const vkft_optimizer_options *o, uint64_t t, struct step_state *step)
{
    (void)o;
    step->correction1 = (float)pow((double)t, -DECAY_RATE);
}

static void record_sum(vkft_commands *cmds, uint64_t x, uint32_t n, uint64_t y)
{
    struct sum_args sum = {.x = x, .y = y, .n = n, .parts = 1};
    vkft_launch_workgroups(cmds, VKFT_KERNEL_sum, &sum, sizeof sum, 1, 1, n);
}

static void record(vkft_commands *cmds, const vkft_optimizer_options *o, const vkft_optimizer_slice *slice)
{
    shape s = shape_of(slice->tensor);
    uint64_t n = (uint64_t)s.rows * s.cols, totals = slice->scratch + PARTS * sizeof(float);
    struct adafactor_args args = {
        .p = slice->p,
        .g = slice->g,
        .v = slice->state[0],
        .total = totals,
        .partial = slice->scratch,
        .step = slice->step,
        .rows = s.rows,
        .cols = s.cols,
        .parts = (uint32_t)min_u64(PARTS, ceil_div_u64(n, SLICE)),
        .decayed = slice->decayed,
        .weight_decay = (float)o->weight_decay,
        .rate = slice->rate,
    };
    double work = (double)n;
    vkft_launch_workgroups(cmds, VKFT_KERNEL_adafactor_rows, &args, sizeof args, s.rows, 1, 3 * work);
    vkft_launch(cmds, VKFT_KERNEL_adafactor_columns, &args, sizeof args, (uint64_t)s.cols * ADAFACTOR_LANES, 1,
                3 * work);
    record_sum(cmds, args.v, s.rows, totals);
    vkft_launch_workgroups(cmds, VKFT_KERNEL_adafactor_squares, &args, sizeof args, args.parts, 1, 8 * work);
    record_sum(cmds, args.partial, args.parts, totals + sizeof(float));
    vkft_launch(cmds, VKFT_KERNEL_adafactor, &args, sizeof args, n, 1, 10 * work);
}

const vkft_optimizer_kind vkft_optimizer_adafactor = {
    .name = "adafactor",
    .state = {{"exp_avg_sq", VKFT_F32}},
    .values = values,
    .before_step = before_step,
    .record = record,
};
