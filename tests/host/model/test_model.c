/* A model as it is laid out, without files: layers of different widths, their gradients, and the order of the list. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/model/decoder.h"
#include "host/model/tensor_spec.h"
#include "host/trainable/all_weights.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

#define TOKENS 9u

static const char llama[] = "{\"model_type\": \"llama\", \"vocab_size\": 61, \"hidden_size\": 32, "
                            "\"intermediate_size\": 48, \"num_hidden_layers\": 3, \"num_attention_heads\": 4, "
                            "\"num_key_value_heads\": 2, \"tie_word_embeddings\": true}";

/* All weights are trained, so that they need no file. */
typedef struct run {
    const vkft_kernel_fixture *f;
    vkft_config config;
    vkft_model model;
    vkft_all_weights set;
    uint32_t floats;
    vkft_guarded parameters, gradients, scratch, step;
    vkft_buffer tables;
    vkft_batch batch;
} run;

static void open_run(run *r, const vkft_kernel_fixture *f)
{
    vkft_err err;
    vkft_device *dev = f->dev;
    *r = (run){.f = f};
    expect_ok(vkft_config_parse(llama, strlen(llama), "config.json", &r->config, &err));
    r->config.layer_intermediate_size[1] = 80;
    r->config.layer_intermediate_size[2] = 17;
    expect_ok(vkft_model_init(&r->model, &r->config, NULL, VKFT_STORAGE_f32, true, &err));
    expect_ok(vkft_all_weights_layout(&r->set, &r->model, VKFT_PARAMETER_SPACE_FLOATS, &err));
    r->floats = (uint32_t)vkft_parameter_space_length(&r->set.layout);

    float *values = vkft_random_array(1, r->floats), *zeros = calloc(r->floats, sizeof *zeros);
    for (uint32_t i = 0; i < r->floats; i++)
        values[i] *= 0.3f;
    uint32_t step[sizeof(struct step_state) / 4] = {0};
    r->parameters = vkft_guarded_floats(f, values, r->floats);
    r->gradients = vkft_guarded_floats(f, zeros, r->floats);
    r->scratch = vkft_guarded_floats(f, NULL, (uint32_t)(r->model.scratch_bytes / sizeof(float)));
    r->step = vkft_guarded_words(f, step, sizeof step / 4);
    free(values), free(zeros);
    const vkft_parameter_space parameters = vkft_parameter_space_whole(r->floats, r->parameters.address),
                               gradients = vkft_parameter_space_whole(r->floats, r->gradients.address);
    vkft_all_weights_bind(&r->set, &parameters, &gradients);

    int32_t ids[TOKENS], labels[TOKENS];
    for (uint32_t i = 0; i < TOKENS; i++)
        ids[i] = labels[i] = (int32_t)(7 * i % 61);
    const vkft_sample sample = {.ids = ids, .labels = labels, .length = TOKENS, .trained = TOKENS - 1},
                      *samples[] = {&sample};
    const vkft_batch_limits limits = {.tokens = TOKENS, .rows = TOKENS - 1, .positions = TOKENS};
    expect_ok(vkft_model_setup_kernels(&r->model, dev, VKFT_F32, TOKENS, true, &err));
    expect_ok(
        vkft_buffer_new(dev, vkft_model_table_bytes(&r->model, TOKENS), VKFT_MEMORY_HOST, "tables", &r->tables, &err));
    vkft_model_set_tables(&r->model, r->tables.address, TOKENS);
    vkft_model_fill_tables(&r->model, TOKENS, TOKENS, r->tables.mapped);
    expect_ok(vkft_batch_init(&r->batch, dev, &limits, &err));
    vkft_batch_fill(&r->batch, samples, 1, 0);
    for (uint32_t i = 0; i < r->batch.rows; i++)
        r->batch.row_weight_host[i] = 1;
}

static void close_run(run *r)
{
    vkft_guarded *all[] = {&r->parameters, &r->gradients, &r->scratch, &r->step};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        vkft_guarded_free(r->f, all[i]);
    vkft_batch_free(&r->batch, r->f->dev);
    vkft_buffer_free(r->f->dev, &r->tables);
    vkft_all_weights_free(&r->set);
    vkft_model_free(&r->model);
}

typedef enum way { EVALUATE, TRAIN, TRAIN_CHECKPOINTED, TRAIN_KEPT_ON_HOST } way;

static void trace(run *r, vkft_graph *g, way how)
{
    static const vkft_checkpointing checkpointing[] = {[TRAIN] = VKFT_CHECKPOINTING_OFF,
                                                       [TRAIN_CHECKPOINTED] = VKFT_CHECKPOINTING_DEVICE,
                                                       [TRAIN_KEPT_ON_HOST] = VKFT_CHECKPOINTING_HOST};
    if (how == EVALUATE)
        vkft_decoder_eval(g, &r->model, &r->batch);
    else
        vkft_decoder_train(g, &r->model, &r->batch, checkpointing[how]);
    assert_false(g->failed);
}

/* The loss; training adds the gradients. */
static double run_model(run *r, way how)
{
    vkft_err err;
    vkft_graph g;
    assert_true(vkft_graph_init(&g));
    g.step = r->step.address;
    vkft_graph_begin_plan(&g);
    trace(r, &g, how);
    assert_true(vkft_plan_solve(g.plan));
    vkft_guarded arena = vkft_guarded_floats(r->f, NULL, (uint32_t)(vkft_plan_total(g.plan) / sizeof(float)));
    assert_int_equal(g.kept_bytes > 0, how == TRAIN_KEPT_ON_HOST);
    vkft_guarded kept = vkft_guarded_floats(r->f, NULL, (uint32_t)(g.kept_bytes / sizeof(float)));
    g.kept = &kept.address;
    vkft_graph_set_device(&g, r->f->dev, r->scratch.address, r->model.scratch_bytes);
    vkft_commands_reset(r->f->cmds);
    vkft_graph_begin_record(&g, r->f->cmds, arena.address);
    trace(r, &g, how);
    expect_ok(vkft_commands_run(r->f->cmds, &err));
    double loss = 0;
    for (uint32_t i = 0; i < r->batch.rows; i++)
        loss += (double)r->batch.loss_host[i];
    vkft_guarded_free(r->f, &arena), vkft_guarded_free(r->f, &kept);
    vkft_graph_free(&g);
    return loss;
}

static double shifted_loss(run *r, const float *values, const float *direction, uint64_t offset, uint32_t n, double by)
{
    vkft_err err;
    vkft_buffer *buffer = &r->parameters.buffer;
    uint64_t start = r->parameters.address - buffer->address + offset * sizeof(float);
    float *moved = malloc(n * sizeof *moved);
    for (uint32_t i = 0; i < n; i++)
        moved[i] = (float)((double)values[i] + by * (double)direction[i]);
    expect_ok(vkft_buffer_write(r->f->dev, buffer, start, moved, n * sizeof *moved, &err));
    double loss = run_model(r, EVALUATE);
    expect_ok(vkft_buffer_write(r->f->dev, buffer, start, values, n * sizeof *values, &err));
    free(moved);
    return loss;
}

/* Along its own gradient each matrix changes the loss by the gradient's length. */
static void check_matrix(run *r, uint32_t slot, const float *values, const float *gradients)
{
    const struct vkft_tensor_spec *spec = &r->model.tensors[slot];
    uint64_t offset = r->set.offset[slot];
    uint32_t n = spec->rows * spec->cols;
    double length = 0;
    float *direction = malloc(n * sizeof *direction);
    for (uint32_t i = 0; i < n; i++)
        length += (double)gradients[offset + i] * (double)gradients[offset + i];
    length = sqrt(length);
    assert_true(length > 1e-3);
    for (uint32_t i = 0; i < n; i++)
        direction[i] = (float)((double)gradients[offset + i] / length);
    const double step = 1e-2;
    double slope = (shifted_loss(r, values + offset, direction, offset, n, step) -
                    shifted_loss(r, values + offset, direction, offset, n, -step)) /
                   (2 * step);
    if (fabs(slope - length) > 1e-2 * length)
        fail_msg("%s: the loss changes by %g along a gradient of length %g", spec->name, slope, length);
    free(direction);
}

static void test_widths(void **state)
{
    static const uint32_t widths[] = {48, 80, 17};
    run r;
    open_run(&r, *state);
    for (uint32_t l = 0; l < 3; l++) {
        const vkft_layer *layer = &r.model.decoder.layers[l];
        assert_int_equal(layer->linear[VKFT_GATE].w.rows, widths[l]);
        assert_int_equal(layer->linear[VKFT_UP].w.rows, widths[l]);
        assert_int_equal(layer->linear[VKFT_DOWN].w.cols, widths[l]);
        assert_int_equal(layer->linear[VKFT_DOWN].w.rows, 32);
    }
    float *values = malloc(r.floats * sizeof *values), *gradients = malloc(r.floats * sizeof *gradients),
          *replayed = malloc(r.floats * sizeof *replayed), *zeros = calloc(r.floats, sizeof *zeros);
    vkft_err err;
    vkft_guarded_read(r.f, &r.parameters, values);
    run_model(&r, TRAIN);
    vkft_guarded_read(r.f, &r.gradients, gradients);
    for (way how = TRAIN_CHECKPOINTED; how <= TRAIN_KEPT_ON_HOST; how++) {
        expect_ok(vkft_buffer_write(r.f->dev, &r.gradients.buffer, r.gradients.address - r.gradients.buffer.address,
                                    zeros, r.floats * sizeof *zeros, &err));
        run_model(&r, how);
        vkft_guarded_read(r.f, &r.gradients, replayed);
        assert_memory_equal(gradients, replayed, r.floats * sizeof *gradients);
    }
    uint32_t checked = 0;
    for (uint32_t i = 0; i < r.model.tensor_count; i++)
        if (strstr(r.model.tensors[i].name, ".mlp.")) {
            check_matrix(&r, i, values, gradients);
            checked++;
        }
    assert_int_equal(checked, 9);
    free(values), free(gradients), free(replayed), free(zeros);
    close_run(&r);
}

/* A mixture's router and experts are adapted only when named, and experts that one kernel multiplies share a number. */
static void test_modules(void **state)
{
    (void)state;
    static const char moe[] = "{\"model_type\": \"mixtral\", \"vocab_size\": 61, \"hidden_size\": 32, "
                              "\"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 4, "
                              "\"num_local_experts\": 3, \"num_key_value_heads\": 2}";
    vkft_err err;
    vkft_config config;
    vkft_model model;
    expect_ok(vkft_config_parse(moe, strlen(moe), "config.json", &config, &err));
    expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_nf4_dq, false, &err));
    uint32_t of_group[7] = {0};
    assert_int_equal(model.module_count, 2 * (4 + 1 + 9) + 2);
    assert_int_equal(model.expert_groups, 6);
    for (uint32_t i = 0; i < model.module_count; i++) {
        const vkft_module *m = &model.modules[i];
        bool gate = strstr(m->name, ".gate") != NULL, expert = strstr(m->name, ".experts.") != NULL;
        assert_int_equal(m->explicit_only, gate || expert || m->embedding || m->head);
        assert_int_equal(m->expert_group != 0, expert);
        of_group[m->expert_group]++;
    }
    assert_int_equal(of_group[0], 2 * (4 + 1) + 2);
    for (uint32_t g = 1; g <= 6; g++)
        assert_int_equal(of_group[g], 3);
    assert_string_equal(model.modules[model.module_count - 1].name, "lm_head");
    assert_string_equal(model.modules[model.module_count - 2].name, "model.embed_tokens");
    assert_string_equal(model.modules[model.module_count - 3].name, "model.layers.1.block_sparse_moe.experts.2.w2");
    assert_int_equal(model.decoder.layers[1].mixture, 1);
    vkft_model_free(&model);
}

/* GPT-2's checkpoints hold linear weights transposed, and embeddings as they are: the list says which are which. */
static void test_linear_weights(void **state)
{
    (void)state;
    static const char gpt2[] = "{\"model_type\": \"gpt2\", \"vocab_size\": 61, \"n_embd\": 32, \"n_layer\": 2, "
                               "\"n_head\": 4, \"n_positions\": 40}";
    vkft_err err;
    vkft_config config;
    vkft_model model;
    expect_ok(vkft_config_parse(gpt2, strlen(gpt2), "config.json", &config, &err));
    expect_ok(vkft_model_init(&model, &config, NULL, VKFT_STORAGE_f32, true, &err));
    uint32_t linear = 0;
    for (uint32_t i = 0; i < model.tensor_count; i++) {
        const struct vkft_tensor_spec *t = &model.tensors[i];
        assert_int_equal(t->linear, strstr(t->name, ".c_") && t->weight);
        linear += t->linear;
    }
    assert_int_equal(linear, 2 * 4);
    vkft_model_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_widths), cmocka_unit_test(test_modules),
                                       cmocka_unit_test(test_linear_weights)};
    return cmocka_run_group_tests_name("model", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
