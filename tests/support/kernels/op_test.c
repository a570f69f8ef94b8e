/* See op_test.h. */
#include "tests/support/kernels/op_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "shaders/core/args.h"

#define SCRATCH_FLOATS (1u << 20)

/* What one check holds: the operands in double for the reference, their device memory, and the graph. */
typedef struct run {
    const vkft_kernel_fixture *f;
    const vkft_op_case *k;
    vkft_operand operands[VKFT_MAX_OPERANDS];
    uint32_t count;
    double *wide[VKFT_MAX_OPERANDS];
    float *before[VKFT_MAX_OPERANDS]; /* of parameters: the gradient memory's first content */
    vkft_guarded memory[VKFT_MAX_OPERANDS], gradient[VKFT_MAX_OPERANDS];
    vkft_guarded y, dy, arena, scratch, step;
    double *weight; /* the loss is sum(weight * y) */
    bool is_loss;
    vkft_graph graph;
} run;

int vkft_op_setup(void **state)
{
    if (vkft_kernel_setup(state))
        return 1;
    vkft_kernel_fixture *f = *state;
    const vkft_ops_constants constants = {.head_dim = VKFT_TEST_HEAD, .softcap = true};
    return !vkft_ops_setup(f->dev, &constants, NULL);
}

static uint32_t size_of(const vkft_operand *o)
{
    return o->rows * o->cols;
}

static bool is_tensor(const vkft_operand *o)
{
    return o->kind == VKFT_OPERAND_TENSOR || o->kind == VKFT_OPERAND_CONSTANT;
}

static bool has_gradient(const vkft_operand *o)
{
    return o->kind == VKFT_OPERAND_TENSOR || o->kind == VKFT_OPERAND_PARAMETER;
}

vkft_weight vkft_operand_weight(const vkft_operand *operand)
{
    return (vkft_weight){.storage = VKFT_STORAGE_f32,
                         .rows = operand->rows,
                         .cols = operand->cols,
                         .part = {operand->address},
                         .grad = operand->grad};
}

static void make_operand(run *r, uint32_t i)
{
    vkft_operand *o = &r->operands[i];
    uint32_t n = size_of(o);
    float *x = vkft_random_array(100 + i, n);
    for (uint32_t j = 0; j < n; j++)
        x[j] = o->values ? o->values[j] : x[j] * (o->spread > 0 ? o->spread : 1);
    r->wide[i] = malloc(n * sizeof *r->wide[i]);
    for (uint32_t j = 0; j < n; j++)
        r->wide[i][j] = (double)x[j];
    r->before[i] = vkft_random_array(200 + i, n);
    r->memory[i] = vkft_guarded_floats(r->f, x, n);
    r->gradient[i] = vkft_guarded_floats(r->f, o->kind == VKFT_OPERAND_PARAMETER ? r->before[i] : NULL, n);
    free(x);
}

/* The op and its backward, for the plan or recording. */
static void trace(run *r)
{
    vkft_graph *g = &r->graph;
    bool recording = g->mode == VKFT_GRAPH_RECORD;
    g->pass.taping = true;
    for (uint32_t i = 0; i < r->count; i++) {
        vkft_operand *o = &r->operands[i];
        o->address = recording ? r->memory[i].address : 0;
        o->grad = o->kind != VKFT_OPERAND_PARAMETER ? 0
                  : recording                       ? r->gradient[i].address
                                                    : 1; /* while planning it only has to be there */
        o->tensor = is_tensor(o) ? vkft_tensor_at(g, o->address, VKFT_F32, o->rows, o->cols) : NULL;
        if (o->kind == VKFT_OPERAND_TENSOR)
            o->tensor->needs_grad = true;
    }
    vkft_tensor *y = r->k->forward(g, r->operands, r->y.address, r->k->context);
    r->is_loss = !y;
    if (y) {
        vkft_op_store(g, y, r->y.address);
        assert_true(y->needs_grad);
        y->grad = vkft_tensor_at(g, r->dy.address, VKFT_F32, y->rows, y->cols);
    }
    vkft_tape_backward(g, 0);
    for (uint32_t i = 0; i < r->count; i++)
        if (r->operands[i].kind == VKFT_OPERAND_TENSOR) {
            assert_non_null(r->operands[i].tensor->grad);
            vkft_op_store(g, r->operands[i].tensor->grad, r->gradient[i].address);
        }
    assert_false(g->failed);
}

static void run_graph(run *r)
{
    vkft_err err;
    const vkft_kernel_fixture *f = r->f;
    vkft_graph *g = &r->graph;
    assert_true(vkft_graph_init(g));
    g->seed = VKFT_TEST_SEED;
    g->pass.dropout = r->k->dropout;
    vkft_graph_begin_plan(g);
    trace(r);
    assert_true(vkft_plan_solve(g->plan) && vkft_plan_check(g->plan));
    r->arena = vkft_guarded_floats(f, NULL, (uint32_t)(vkft_plan_total(g->plan) / sizeof(float)) + 1);
    r->scratch = vkft_guarded_floats(f, NULL, SCRATCH_FLOATS);
    vkft_graph_set_device(g, f->dev, r->scratch.address, SCRATCH_FLOATS * sizeof(float));
    g->step = r->step.address;
    vkft_commands_reset(f->cmds);
    vkft_graph_begin_record(g, f->cmds, r->arena.address);
    trace(r);
    if (!vkft_commands_run(f->cmds, &err))
        fail_msg("%s: %s", r->k->name, err.message);
}

static double loss(const double *x, const void *context)
{
    const run *r = context;
    (void)x; /* an element of r->wide */
    uint32_t n = r->k->rows * r->k->cols;
    double *y = malloc(n * sizeof *y), sum = 0;
    r->k->reference(r->wide, y, r->k->context);
    for (uint32_t i = 0; i < n; i++)
        sum += r->weight[i] * y[i];
    free(y);
    return sum;
}

static void check_gradient(run *r, uint32_t i)
{
    uint32_t n = size_of(&r->operands[i]);
    float *got = malloc(n * sizeof *got);
    double *want = malloc(n * sizeof *want);
    char what[128];
    snprintf(what, sizeof what, "%s: d%s", r->k->name, r->operands[i].name);
    vkft_central_differences(loss, r, r->wide[i], n, want);
    for (uint32_t j = 0; r->operands[i].kind == VKFT_OPERAND_PARAMETER && j < n; j++)
        want[j] += (double)r->before[i][j];
    vkft_guarded_read(r->f, &r->gradient[i], got);
    vkft_assert_close(what, got, want, n, r->k->tolerance);
    free(got);
    free(want);
}

void vkft_check_op(const vkft_kernel_fixture *f, const vkft_op_case *k)
{
    run r = {.f = f, .k = k};
    memcpy(r.operands, k->operands, sizeof r.operands);
    while (r.count < VKFT_MAX_OPERANDS && r.operands[r.count].name)
        r.count++;
    for (uint32_t i = 0; i < r.count; i++)
        make_operand(&r, i);
    uint32_t n = k->rows * k->cols;
    float *dy = vkft_random_array(300, n), *got = malloc(n * sizeof *got);
    double *y = malloc(n * sizeof *y);
    const struct step_state step = {.micro_step = VKFT_TEST_MICRO_STEP};
    r.y = vkft_guarded_floats(f, NULL, n);
    r.dy = vkft_guarded_floats(f, dy, n);
    r.step = vkft_guarded_words(f, (const uint32_t *)(const void *)&step, sizeof step / 4);
    run_graph(&r);

    r.weight = malloc(n * sizeof *r.weight);
    for (uint32_t i = 0; i < n; i++)
        r.weight[i] = r.is_loss ? (double)vkft_test_row_weight(i) : (double)dy[i];
    k->reference(r.wide, y, k->context);
    vkft_guarded_read(f, &r.y, got);
    vkft_assert_close(k->name, got, y, n, k->tolerance);
    for (uint32_t i = 0; i < r.count; i++)
        if (has_gradient(&r.operands[i]))
            check_gradient(&r, i);

    vkft_guarded *all[] = {&r.y, &r.dy, &r.arena, &r.scratch, &r.step};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        vkft_guarded_free(f, all[i]);
    for (uint32_t i = 0; i < r.count; i++) {
        vkft_guarded_free(f, &r.memory[i]);
        vkft_guarded_free(f, &r.gradient[i]);
        free(r.wide[i]);
        free(r.before[i]);
    }
    vkft_graph_free(&r.graph);
    free(dy), free(got), free(y), free(r.weight);
}

float vkft_test_row_weight(uint32_t row)
{
    return 0.25f + 0.125f * (float)(row % 5);
}

vkft_guarded vkft_test_row_weights(const vkft_kernel_fixture *f, uint32_t rows)
{
    float *weight = malloc(rows * sizeof *weight);
    for (uint32_t i = 0; i < rows; i++)
        weight[i] = vkft_test_row_weight(i);
    vkft_guarded guarded = vkft_guarded_floats(f, weight, rows);
    free(weight);
    return guarded;
}
