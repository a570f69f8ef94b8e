/* Planning, allocation and running of batches. */
#include "host/session/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/convert/model_open.h"
#include "runtime/base/file.h"
#include "host/model/rope.h"
#include "runtime/base/size.h"
#include "shaders/core/args.h"

#define PLACEHOLDER_ADDRESS                                                                                            \
    4096u /* an address while there is no device: not 0, which would say that there is no such thing */

const char *vkft_plan_item_name(vkft_plan_item item)
{
    static const char *const names[VKFT_ITEM_COUNT] = {
        "frozen weights", "trained parameters",     "gradients",    "optimizer state",        "activations",
        "decode scratch", "input embedding (host)", "batch (host)", "position tables (host)",
    };
    return names[item];
}

bool vkft_plan_item_on_host(vkft_plan_item item)
{
    return item >= VKFT_ITEM_EMBEDDING;
}

vkft_model_options vkft_model_defaults(void)
{
    return (vkft_model_options){.quant = VKFT_STORAGE_nf4, .super_scales = true, .compute_dtype = VKFT_F32};
}

/* Whether a config.json tells of the model, so that a plan needs no weights. */
static bool is_configured(const char *path)
{
    vkft_model_kind kind = vkft_model_kind_of(path);
    return kind == VKFT_MODEL_CHECKPOINT || kind == VKFT_MODEL_CONFIG;
}

static bool open_config(vkft_session *runner, const char *path, vkft_err *err)
{
    char *file = vkft_directory_exists(path) ? vkft_path_join(path, "config.json") : strdup(path);
    char *text = NULL;
    size_t size = 0;
    bool ok =
        file ? vkft_file_read(file, 16 << 20, &text, &size, err) : vkft_fail_memory(err, "while reading %s", path);
    ok = ok && vkft_config_parse(text, size, file, &runner->config, err);
    free(text);
    free(file);
    return ok;
}

typedef struct progress {
    const vkft_observer *observer;
    const char *what;
} progress;

static bool on_progress(void *context, uint64_t done, uint64_t total)
{
    const progress *p = context;
    vkft_observer_work(p->observer, p->what, done, total);
    return !vkft_observer_interrupted(p->observer);
}

static bool check_compute_dtype(const vkft_session *runner, vkft_err *err)
{
    return runner->compute_dtype == VKFT_F32 || vkft_model_is_quantized(&runner->model) ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "--compute-dtype bf16 is for products with quantized weights, and the model is to have none; give "
                     "--quant nf4, or --compute-dtype fp32");
}

static void record_train(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch, const void *context)
{
    const bool *checkpointing = context;
    vkft_decoder_train(graph, model, batch, *checkpointing);
}

static void record_eval(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch, const void *context)
{
    (void)context;
    vkft_decoder_eval(graph, model, batch);
}

bool vkft_session_open(vkft_session *runner, const vkft_session_source *source, const vkft_observer *observer,
                       vkft_err *err)
{
    memset(runner, 0, sizeof *runner);
    const vkft_model_options *o = &source->model;
    const vkft_pass_spec train = {"training", true, record_train, &runner->checkpointing},
                         eval = {"evaluation", false, record_eval, NULL};
    vkft_storage quant = vkft_storage_variant(o->quant, o->super_scales);
    bool only_config = source->only_config && is_configured(o->path);
    if (only_config) {
        if (!open_config(runner, o->path, err))
            return false;
    } else {
        progress p = {observer, "converting"};
        vkft_convert_options options = {.quant = quant, .progress = on_progress, .progress_context = &p};
        runner->file = vkft_model_open(o->path, &options, o->quant_explicit, err);
        if (!runner->file)
            return false;
        runner->config = *vkft_model_file_config(runner->file);
    }
    runner->compute_dtype = o->compute_dtype;
    if (runner->config.multimodal_type[0] && observer->message) {
        char line[160];
        snprintf(line, sizeof line, "the model is a %s; only its language model (%s) is used",
                 runner->config.multimodal_type, runner->config.model_type);
        observer->message(observer->context, line);
    }
    if (vkft_model_init(&runner->model, &runner->config, runner->file, quant, source->full, err) &&
        check_compute_dtype(runner, err) &&
        (only_config || vkft_model_text_of_file(runner->file, o->chat_template, &runner->text, err)) &&
        vkft_pass_init(&runner->train, &train, err) && vkft_pass_init(&runner->eval, &eval, err))
        return true;
    vkft_session_close(runner);
    return false;
}

bool vkft_session_use_adapter(vkft_session *runner, const char *dir, float **flat, vkft_err *err)
{
    vkft_adapter adapter = {0};
    *flat = NULL;
    if (!dir)
        return true;
    if (!vkft_adapter_read(dir, &adapter, err))
        return false;
    bool ok = vkft_lora_choose_from(&runner->trained.lora, &runner->model, &adapter, err);
    if (ok) {
        *flat = malloc((vkft_trainables_floats(&runner->trained) + 1) * sizeof **flat);
        ok = *flat || vkft_fail_memory(err, "for the adapter");
    }
    ok = ok && vkft_lora_import(&runner->trained.lora, &adapter, *flat, err);
    vkft_adapter_free(&adapter);
    return ok || vkft_fail_context(err, "%s", dir);
}

static bool plan_pass(vkft_session *runner, vkft_pass *pass, vkft_err *err)
{
    uint64_t bytes;
    if (!vkft_pass_plan(pass, &runner->model, &runner->batch, &bytes, err))
        return false;
    runner->plan.bytes[VKFT_ITEM_ACTIVATIONS] = max_u64(runner->plan.bytes[VKFT_ITEM_ACTIVATIONS], bytes);
    return true;
}

bool vkft_session_plan(vkft_session *runner, const vkft_batch_limits *limits, const vkft_optimizer_kind *optimizer,
                       bool checkpointing, vkft_err *err)
{
    bool training = optimizer != NULL;
    vkft_memory_plan *plan = &runner->plan;
    if (runner->model.positions.rows && limits->positions > runner->config.max_position)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "the longest sample has %u tokens and the model has %u positions; give --max-seq-length %u",
                         limits->positions, runner->config.max_position, runner->config.max_position);
    memset(plan, 0, sizeof *plan);
    runner->limits = *limits;
    runner->training = training;
    runner->checkpointing = checkpointing;
    uint64_t trained = vkft_trainables_floats(&runner->trained) * sizeof(float);
    plan->bytes[VKFT_ITEM_WEIGHTS] = runner->model.device_bytes + vkft_model_expert_table_bytes(&runner->model);
    plan->bytes[VKFT_ITEM_EMBEDDING] = runner->model.host_bytes;
    plan->bytes[VKFT_ITEM_SCRATCH] = runner->model.scratch_bytes;
    plan->bytes[VKFT_ITEM_PARAMETERS] = trained;
    plan->bytes[VKFT_ITEM_TABLES] = vkft_model_table_bytes(&runner->model, limits->positions);
    plan->bytes[VKFT_ITEM_BATCH] = vkft_batch_bytes(limits) + sizeof(struct step_state);
    if (training) {
        plan->bytes[VKFT_ITEM_GRADIENTS] = trained;
        plan->bytes[VKFT_ITEM_OPTIMIZER] = vkft_optimizer_bytes(optimizer, trained / sizeof(float));
    }
    runner->batch = (vkft_batch){.limits = *limits,
                                 .tokens = limits->tokens,
                                 .source_tokens = limits->source_tokens,
                                 .rows = limits->rows,
                                 .expert_choice = limits->expert_choice ? PLACEHOLDER_ADDRESS : 0};
    const vkft_parameter_space unplaced =
        vkft_parameter_space_whole(vkft_trainables_floats(&runner->trained), PLACEHOLDER_ADDRESS);
    vkft_trainables_bind(&runner->trained, &unplaced, &unplaced);
    vkft_model_set_tables(&runner->model, PLACEHOLDER_ADDRESS, limits->positions);
    if ((training && !plan_pass(runner, &runner->train, err)) || !plan_pass(runner, &runner->eval, err))
        return false;
    for (vkft_plan_item i = 0; i < VKFT_ITEM_COUNT; i++)
        *(vkft_plan_item_on_host(i) ? &plan->host_bytes : &plan->device_bytes) += plan->bytes[i];
    return true;
}

static bool check_fits(const vkft_session *runner, vkft_err *err)
{
    const vkft_device_info *info = vkft_device_get_info(runner->dev);
    uint64_t needed = runner->plan.device_bytes + (info->unified_memory ? runner->plan.host_bytes : 0);
    if (needed > info->memory_free_bytes)
        return vkft_fail(
            err, VKFT_ERR_MEMORY,
            "the run needs %.2f GiB of memory and %s has %.2f GiB free; lower --max-seq-length, --batch-size "
            "or --lora-r, or see --dry-run",
            gib(needed), info->name, gib(info->memory_free_bytes));
    if (runner->plan.bytes[VKFT_ITEM_ACTIVATIONS] > info->max_allocation_bytes)
        return vkft_fail(
            err, VKFT_ERR_MEMORY,
            "the activations need %.2f GiB in one buffer and %s allows %.2f GiB; lower --max-seq-length or "
            "--batch-size",
            gib(runner->plan.bytes[VKFT_ITEM_ACTIVATIONS]), info->name, gib(info->max_allocation_bytes));
    return true;
}

/* Writes the position tables again when a scaling that follows the length calls for others. */
static void prepare_tables(vkft_session *runner, uint32_t length)
{
    uint32_t wanted = vkft_rope_length(&runner->config.rope, length);
    if (!runner->tables.mapped || runner->rope_length == wanted)
        return;
    vkft_model_fill_tables(&runner->model, wanted, runner->limits.positions, runner->tables.mapped);
    runner->rope_length = wanted;
}

static bool start_parameters(vkft_session *runner, const vkft_optimizer_options *optimizer, const float *parameters,
                             vkft_err *err)
{
    vkft_device *dev = runner->dev;
    uint64_t bytes = runner->plan.bytes[VKFT_ITEM_PARAMETERS];
    if (runner->training) {
        if (!vkft_optimizer_init(&runner->optimizer, dev, vkft_trainables_layout(&runner->trained),
                                 vkft_trainables_decayed(&runner->trained), optimizer, err) ||
            !vkft_optimizer_set(&runner->optimizer, parameters, NULL, err))
            return false;
        vkft_trainables_bind(&runner->trained, &runner->optimizer.parameters, &runner->optimizer.gradients);
        return true;
    }
    if (!vkft_buffer_new(dev, sizeof(struct step_state), VKFT_MEMORY_HOST, "step state", &runner->step, err))
        return false;
    if (bytes == 0)
        return true;
    if (!vkft_buffer_new(dev, bytes, VKFT_MEMORY_DEVICE, "trained parameters", &runner->parameters, err) ||
        !vkft_buffer_write(dev, &runner->parameters, 0, parameters, bytes, err))
        return false;
    const vkft_parameter_space placed =
        vkft_parameter_space_whole(vkft_trainables_floats(&runner->trained), runner->parameters.address);
    vkft_trainables_bind(&runner->trained, &placed, NULL);
    return true;
}

bool vkft_session_start(vkft_session *runner, const char *device, const vkft_optimizer_options *optimizer,
                        const float *parameters, uint64_t seed, const vkft_observer *observer, vkft_err *err)
{
    const vkft_memory_plan *plan = &runner->plan;
    progress p = {observer, "loading"};
    if (!(runner->dev = vkft_device_open(device, err)) || !check_fits(runner, err))
        return false;
    vkft_device *dev = runner->dev;
    if (!vkft_model_setup_kernels(&runner->model, dev, runner->compute_dtype, runner->limits.positions,
                                  runner->training, err) ||
        !vkft_model_load(&runner->model, dev, runner->file, on_progress, &p, err) ||
        !start_parameters(runner, optimizer, parameters, err) ||
        !vkft_model_write_expert_tables(&runner->model, dev, err) ||
        !vkft_buffer_new(dev, plan->bytes[VKFT_ITEM_ACTIVATIONS], VKFT_MEMORY_DEVICE, "activations", &runner->arena,
                         err) ||
        (plan->bytes[VKFT_ITEM_SCRATCH] && !vkft_buffer_new(dev, plan->bytes[VKFT_ITEM_SCRATCH], VKFT_MEMORY_DEVICE,
                                                            "decode scratch", &runner->scratch, err)) ||
        (plan->bytes[VKFT_ITEM_TABLES] && !vkft_buffer_new(dev, plan->bytes[VKFT_ITEM_TABLES], VKFT_MEMORY_HOST,
                                                           "position tables", &runner->tables, err)) ||
        !vkft_batch_init(&runner->batch, dev, &runner->limits, err))
        return false;
    vkft_model_set_tables(&runner->model, runner->tables.address, runner->limits.positions);
    const vkft_pass_device place = {.dev = dev,
                                    .arena = runner->arena.address,
                                    .scratch = runner->scratch.address,
                                    .scratch_bytes = runner->scratch.size_bytes,
                                    .step = runner->training ? runner->optimizer.step.address : runner->step.address,
                                    .seed = seed,
                                    .profile = runner->profile};
    return (!runner->training || vkft_pass_start(&runner->train, &place, err)) &&
           vkft_pass_start(&runner->eval, &place, err);
}

void vkft_session_close(vkft_session *runner)
{
    vkft_pass_free(&runner->train);
    vkft_pass_free(&runner->eval);
    if (runner->dev) {
        vkft_optimizer_free(&runner->optimizer);
        vkft_batch_free(&runner->batch, runner->dev);
        vkft_buffer *buffers[] = {&runner->parameters, &runner->step, &runner->arena, &runner->scratch,
                                  &runner->tables};
        for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
            vkft_buffer_free(runner->dev, buffers[i]);
    }
    vkft_trainables_free(&runner->trained);
    vkft_model_free(&runner->model);
    vkft_model_text_free(&runner->text);
    vkft_model_file_close(runner->file);
    vkft_device_close(runner->dev);
    memset(runner, 0, sizeof *runner);
}

static bool run_pass(vkft_session *runner, vkft_pass *pass, const vkft_sample *const *samples, uint32_t count,
                     double *loss_sum, vkft_err *err)
{
    vkft_batch *batch = &runner->batch;
    vkft_batch_fill(batch, samples, count, runner->config.sliding_window);
    prepare_tables(runner, batch->longest);
    if (!vkft_pass_run(pass, &runner->model, batch, err))
        return false;
    *loss_sum = 0;
    for (uint32_t i = 0; i < batch->rows; i++)
        *loss_sum += (double)batch->loss_host[i];
    return true;
}

bool vkft_session_train_batch(vkft_session *runner, const vkft_sample *const *samples, uint32_t count,
                              double loss_scale, uint32_t micro_step, double *loss_sum, vkft_err *err)
{
    struct step_state *state = vkft_optimizer_step_state(&runner->optimizer);
    state->loss_scale = (float)loss_scale;
    state->micro_step = micro_step;
    return run_pass(runner, &runner->train, samples, count, loss_sum, err);
}

bool vkft_session_eval_batch(vkft_session *runner, const vkft_sample *const *samples, uint32_t count, double *loss_sum,
                             vkft_err *err)
{
    return run_pass(runner, &runner->eval, samples, count, loss_sum, err);
}

void vkft_session_profile(const vkft_session *runner, vkft_profile_row *rows)
{
    vkft_pass_add_profile(&runner->train, rows);
    vkft_pass_add_profile(&runner->eval, rows);
}
