/* Opening, starting, running batches. See session.h. */
#include "host/session/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "formats/convert/convert.h"
#include "formats/convert/model_open.h"
#include "formats/convert/recognize.h"
#include "formats/gguf/model.h"
#include "runtime/base/file.h"
#include "runtime/base/size.h"
#include "host/engine/matmul/gemm.h"
#include "host/engine/ops/ops.h"
#include "host/model/rope.h"
#include "host/trainable/adapter_notes.h"
#include "shaders/core/args.h"

/* Whether a config.json tells of the model, so that a plan needs no weights. */
static bool is_configured(const char *path)
{
    vkft_model_kind kind = vkft_model_kind_of(path);
    return kind == VKFT_MODEL_CHECKPOINT || kind == VKFT_MODEL_CONFIG || kind == VKFT_MODEL_GGUF;
}

static bool open_config(vkft_session *session, const vkft_model_options *o, vkft_err *err)
{
    const char *path = o->path;
    if (o->random)
        return vkft_config_parse(o->random, strlen(o->random), path, &session->parsed, err);
    if (vkft_model_kind_of(path) == VKFT_MODEL_GGUF)
        return vkft_gguf_config_read(path, &session->parsed, err);
    char *file = vkft_directory_exists(path) ? vkft_path_join(path, "config.json") : strdup(path);
    char *text = NULL;
    size_t size = 0;
    if (file && vkft_directory_exists(path) && !vkft_file_exists(file)) {
        free(file);
        return vkft_model_fail_directory(path, "config.json", err);
    }
    vkft_config *config = &session->parsed;
    bool own_head = false;
    bool ok =
        file ? vkft_file_read(file, 16 << 20, &text, &size, err) : vkft_fail_memory(err, "while reading %s", path);
    ok = ok && vkft_config_parse(text, size, file, config, err);
    if (ok && config->tie_word_embeddings && vkft_directory_exists(path))
        ok = vkft_convert_finds_head(path, config, &own_head, err);
    config->tie_word_embeddings = config->tie_word_embeddings && !own_head;
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

static bool check_compute_dtype(const vkft_session *session, vkft_err *err)
{
    return session->options.compute_dtype != VKFT_BF16 || vkft_model_is_quantized(&session->model) ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "--compute-dtype bf16 is for products with quantized weights, and the model is to have none; give "
                     "--quant nf4, or --compute-dtype fp32");
}

vkft_dtype vkft_session_compute_dtype(const vkft_session *session)
{
    vkft_dtype dtype = session->options.compute_dtype;
    const vkft_caps *caps = session->dev ? vkft_device_get_caps(session->dev) : NULL;
    if (caps && dtype == VKFT_COMPUTE_AUTO)
        dtype = vkft_gemm_has_matrix_cores(caps) ? VKFT_F16 : VKFT_F32;
    return caps && dtype == VKFT_F16 && !vkft_gemm_has_f16(caps) ? VKFT_F32 : dtype;
}

/* It is kept with a run. */
static void settle_compute_dtype(vkft_session *session, const vkft_observer *observer)
{
    vkft_dtype *dtype = &session->options.compute_dtype, wanted = *dtype;
    *dtype = vkft_session_compute_dtype(session);
    if (wanted == VKFT_F16 && *dtype != VKFT_F16)
        vkft_observer_say(observer, "products are computed in fp32: vkft knows neither matrix cores of this device nor "
                                    "mixed dot products");
    if (*dtype == VKFT_F16)
        vkft_observer_say(observer, "products with the model's weights are computed in fp16%s, sums in fp32",
                          vkft_gemm_has_matrix_cores(vkft_device_get_caps(session->dev)) ? " on matrix cores" : "");
}

static void say_note(void *context, const char *line)
{
    vkft_observer_say(context, "%s", line);
}

static void take_from_base(vkft_session *session, vkft_base *base)
{
    session->base = base;
    session->file = base->file;
    session->dev = base->dev;
    session->in_place = base->in_place;
}

/* Also what was opened meanwhile; not weights that are streamed, of which the device holds two blocks. */
static void give_back(vkft_session *session, vkft_base *base)
{
    vkft_residency *weights = &session->model.residency;
    base->file = session->file;
    base->dev = session->dev;
    base->in_place = session->in_place;
    session->file = NULL;
    session->dev = NULL;
    session->in_place = (vkft_in_place){0};
    if (!weights->loaded || weights->ring.slot_bytes)
        return;
    base->weights = *weights;
    *weights = (vkft_residency){0};
}

/* Until the weights are needed the base keeps them: a session may only plan. */
static void take_weights(vkft_session *session, vkft_base *base)
{
    session->model.dev = session->dev;
    session->model.residency = base->weights;
    base->weights = (vkft_residency){0};
}

bool vkft_session_open(vkft_session *session, const vkft_session_source *source, const vkft_observer *observer,
                       vkft_err *err)
{
    memset(session, 0, sizeof *session);
    session->trained.kind = source->trained;
    const vkft_model_options *o = &source->model;
    vkft_storage quant = vkft_storage_variant(o->quant, o->super_scales);
    session->options = *o;
    if (source->base)
        take_from_base(session, source->base);
    bool only_config = o->random || (source->only_config && is_configured(o->path));
    if (only_config) {
        if (!open_config(session, o, err))
            return false;
    } else if (!session->file) {
        progress p = {observer, "converting"};
        vkft_convert_options options = {.quant = quant,
                                        .keep_blocks = !o->quant_explicit && !o->quant_settled,
                                        .progress = on_progress,
                                        .progress_context = &p};
        session->file = vkft_model_open(o->path, &options, o->quant_explicit, err);
        if (!session->file)
            return false;
    }
    session->config = only_config ? &session->parsed : vkft_model_file_config(session->file);
    if (session->config->multimodal_type[0])
        vkft_observer_say(observer, "the model is a %s; only its language model (%s) is used",
                          session->config->multimodal_type, session->config->model_type);
    if (session->file)
        vkft_model_notes(session->file, say_note, (void *)(uintptr_t)observer);
    if (vkft_model_init(&session->model, session->config, session->file, quant,
                        source->trained == VKFT_TRAINABLE_ALL_WEIGHTS, err) &&
        check_compute_dtype(session, err) &&
        (only_config || vkft_model_text_of_file(session->file, &o->chat, &session->text, err))) {
        vkft_model_set_tables(&session->model, VKFT_PLACEHOLDER_ADDRESS, 1);
        return true;
    }
    vkft_session_close(session);
    return false;
}

static uint64_t adapter_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_session *session = owner;
    (void)limits;
    return vkft_trainables_floats(&session->trained) * sizeof(float);
}

static bool upload_adapter(void *owner, vkft_session *session, vkft_err *err)
{
    uint64_t bytes = adapter_bytes(owner, NULL);
    if (!vkft_buffer_new(session->dev, bytes, VKFT_MEMORY_DEVICE, "adapter", &session->adapter, err) ||
        !vkft_buffer_write(session->dev, &session->adapter, 0, session->adapter_values, bytes, err))
        return false;
    free(session->adapter_values);
    session->adapter_values = NULL;
    const vkft_parameter_space placed =
        vkft_parameter_space_whole(vkft_trainables_floats(&session->trained), session->adapter.address);
    vkft_trainables_bind(&session->trained, &placed, NULL);
    return true;
}

static uint64_t square_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_session *session = owner;
    (void)limits;
    return session->trained.adapters.rows * sizeof(float);
}

static bool upload_squares(void *owner, vkft_session *session, vkft_err *err)
{
    uint64_t bytes = square_bytes(owner, NULL);
    vkft_adapter_set *set = &session->trained.adapters;
    if (!vkft_buffer_new(session->dev, bytes, VKFT_MEMORY_DEVICE, "norms of weights", &session->squares, err) ||
        !vkft_buffer_write(session->dev, &session->squares, 0, set->squares, bytes, err))
        return false;
    set->address = session->squares.address;
    return true;
}

static uint64_t origin_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_session *session = owner;
    (void)limits;
    return session->trained.adapters.origin_floats * sizeof(float);
}

static bool allocate_origin(void *owner, vkft_session *session, vkft_err *err)
{
    vkft_adapter_set *set = &session->trained.adapters;
    if (!vkft_buffer_new(session->dev, origin_bytes(owner, NULL), VKFT_MEMORY_DEVICE, "first values", &session->origin,
                         err))
        return false;
    set->origin_address = session->origin.address;
    return vkft_session_write_origin(session, err);
}

bool vkft_session_write_origin(vkft_session *session, vkft_err *err)
{
    const vkft_trainables *t = &session->trained;
    return vkft_trains_all_weights(t) || !t->adapters.origin_floats ||
           vkft_buffer_write(session->dev, &session->origin, 0, t->adapters.origin, origin_bytes(session, NULL), err);
}

static uint64_t token_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_session *session = owner;
    (void)limits;
    return vkft_adapter_set_token_bytes(&session->trained.adapters);
}

static bool upload_tokens(void *owner, vkft_session *session, vkft_err *err)
{
    vkft_adapter_set *set = &session->trained.adapters;
    uint64_t bytes = token_bytes(owner, NULL);
    uint32_t *tables = malloc(bytes);
    if (!tables)
        return vkft_fail_memory(err, "for trained tokens");
    vkft_adapter_set_token_tables(set, tables);
    bool ok = vkft_buffer_new(session->dev, bytes, VKFT_MEMORY_DEVICE, "trained tokens", &session->tokens, err) &&
              vkft_buffer_write(session->dev, &session->tokens, 0, tables, bytes, err);
    free(tables);
    if (ok)
        vkft_adapter_set_place_tokens(set, session->tokens.address);
    return ok;
}

static uint64_t projection_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_session *session = owner;
    (void)limits;
    return session->trained.adapters.projection.floats * sizeof(float);
}

static bool upload_projection(void *owner, vkft_session *session, vkft_err *err)
{
    uint64_t bytes = projection_bytes(owner, NULL);
    vkft_adapter_set *set = &session->trained.adapters;
    if (!vkft_buffer_new(session->dev, bytes, VKFT_MEMORY_DEVICE, "shared matrices", &session->projection, err) ||
        !vkft_buffer_write(session->dev, &session->projection, 0, set->projection.values, bytes, err))
        return false;
    set->projection.address = session->projection.address;
    return true;
}

bool vkft_session_prepare_adapters(vkft_session *session, bool read, vkft_err *err)
{
    vkft_adapter_set *set = &session->trained.adapters;
    for (uint32_t i = 0; i < set->saved_count; i++)
        if (set->saved[i].spec->weight) /* the model keeps its small biases */
            vkft_model_release(&session->model, set->saved[i].spec);
    if (set->origin_floats)
        vkft_session_need(session,
                          (vkft_holding){"first values", VKFT_MEMORY_DEVICE, origin_bytes, allocate_origin, session});
    if (set->tokens_count)
        vkft_session_need(session,
                          (vkft_holding){"trained tokens", VKFT_MEMORY_DEVICE, token_bytes, upload_tokens, session});
    if (read && !vkft_adapter_set_make_projection(set, err))
        return false;
    if (set->projection.floats)
        vkft_session_need(session, (vkft_holding){"shared matrices", VKFT_MEMORY_DEVICE, projection_bytes,
                                                  upload_projection, session});
    if (!set->rows)
        return true;
    if (read && !vkft_adapter_set_read_squares(set, session->file, err))
        return false;
    vkft_session_need(session,
                      (vkft_holding){"norms of weights", VKFT_MEMORY_DEVICE, square_bytes, upload_squares, session});
    return true;
}

const char *vkft_session_model_name(const vkft_session *session)
{
    return session->file ? vkft_model_file_source(session->file) : session->options.path;
}

bool vkft_session_use_adapter(vkft_session *session, const char *dir, const vkft_observer *observer, vkft_err *err)
{
    vkft_adapter_set *lora = &session->trained.adapters;
    vkft_adapter adapter = {0};
    if (!dir)
        return true;
    if (!vkft_adapter_read(dir, vkft_adapter_formats(), &adapter, err))
        return false;
    bool ok = vkft_adapter_set_choose_from(lora, &session->model, &adapter, err) &&
              (!session->file || vkft_adapter_check_copies(lora, &adapter, session->file, err)) &&
              vkft_adapter_say_notes(lora, &adapter, vkft_session_model_name(session), observer, err);
    if (ok) {
        session->adapter_values = malloc((vkft_trainables_floats(&session->trained) + 1) * sizeof(float));
        ok = session->adapter_values || vkft_fail_memory(err, "for the adapter");
    }
    ok = ok && vkft_adapter_set_import(lora, &adapter, session->adapter_values, err);
    vkft_adapter_free(&adapter);
    if (!ok)
        return vkft_fail_context(err, "%s", dir);
    if (!vkft_session_prepare_adapters(session, session->file != NULL, err))
        return false;
    vkft_trainables_bind_placeholders(&session->trained);
    vkft_session_need(session, (vkft_holding){"adapter", VKFT_MEMORY_DEVICE, adapter_bytes, upload_adapter, session});
    return true;
}

vkft_pass *vkft_session_add_pass(vkft_session *session, const vkft_pass_spec *spec, vkft_err *err)
{
    assert(session->pass_count < VKFT_PASSES);
    vkft_pass *pass = &session->passes[session->pass_count];
    if (!vkft_pass_init(pass, spec, err))
        return NULL;
    session->pass_count++;
    return pass;
}

void vkft_session_need(vkft_session *session, vkft_holding holding)
{
    assert(session->holding_count < VKFT_PLAN_ITEMS);
    session->holdings[session->holding_count++] = holding;
}

bool vkft_session_trains(const vkft_session *session)
{
    bool training = false;
    for (uint32_t i = 0; i < session->pass_count; i++)
        training |= session->passes[i].spec.training;
    return training;
}

/* Where the tensors of each pass lie; the same calls made the plan. */
static bool place_passes(vkft_session *session, vkft_err *err)
{
    for (uint32_t i = 0; i < session->pass_count; i++) {
        vkft_pass_bytes bytes;
        if (!vkft_pass_plan(&session->passes[i], &session->model, &session->plan.limits, &bytes, err))
            return false;
        for (uint32_t p = 0; p < VKFT_PLAN_PARTS; p++)
            assert(bytes.arena[p] <= session->plan.arena[p]);
        assert(bytes.kept <= session->plan.kept_bytes);
    }
    return true;
}

static bool allocate_holdings(vkft_session *session, vkft_err *err)
{
    for (uint32_t i = 0; i < session->holding_count; i++) {
        const vkft_holding *h = &session->holdings[i];
        if (h->allocate && !h->allocate(h->owner, session, err))
            return false;
    }
    if (!session->step) {
        if (!vkft_buffer_new(session->dev, sizeof(struct step_state), VKFT_MEMORY_HOST, "step state",
                             &session->own_step, err))
            return false;
        session->step = session->own_step.address;
    }
    return vkft_model_write_expert_tables(&session->model, session->dev, err);
}

/* None where nothing is needed. */
static bool allocate(vkft_session *session, uint64_t bytes, vkft_memory_kind place, const char *label,
                     vkft_buffer *buffer, vkft_err *err)
{
    return bytes == 0 || vkft_buffer_new(session->dev, bytes, place, label, buffer, err);
}

static bool allocate_kept(vkft_session *session, vkft_err *err)
{
    uint64_t left = session->plan.kept_bytes;
    for (uint32_t i = 0; left > 0; i++) {
        uint64_t bytes = min_u64(left, VKFT_KEPT_CHUNK);
        if (!vkft_buffer_new(session->dev, bytes, VKFT_MEMORY_HOST, "block inputs", &session->kept[i], err))
            return false;
        session->kept_address[i] = session->kept[i].address;
        left -= bytes;
    }
    return true;
}

static bool allocate_arena(vkft_session *session, vkft_err *err)
{
    for (uint32_t p = 0; p < VKFT_PLAN_PARTS; p++) {
        if (!allocate(session, session->plan.arena[p], VKFT_MEMORY_DEVICE, "activations", &session->arena[p], err))
            return false;
        session->arena_address[p] = session->arena[p].address;
    }
    return true;
}

static bool allocate_own(vkft_session *session, vkft_err *err)
{
    const vkft_memory_plan *plan = &session->plan;
    uint64_t tables = vkft_model_table_bytes(&session->model, plan->limits.batch.positions);
    if (!allocate_arena(session, err) ||
        !allocate(session, session->model.scratch_bytes, VKFT_MEMORY_DEVICE, "decode scratch", &session->scratch,
                  err) ||
        !allocate(session, tables, VKFT_MEMORY_HOST, "position tables", &session->tables, err) ||
        !allocate_kept(session, err) || !vkft_batch_init(&session->batch, session->dev, &plan->limits.batch, err))
        return false;
    vkft_model_set_tables(&session->model, session->tables.address, plan->limits.batch.positions);
    return true;
}

static void free_own(vkft_session *session)
{
    vkft_buffer *buffers[] = {&session->scratch, &session->tables};
    vkft_batch_free(&session->batch, session->dev);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        vkft_buffer_free(session->dev, buffers[i]);
    for (uint32_t p = 0; p < VKFT_PLAN_PARTS; p++)
        vkft_buffer_free(session->dev, &session->arena[p]);
    for (uint32_t i = 0; i < VKFT_KEPT_CHUNKS; i++)
        vkft_buffer_free(session->dev, &session->kept[i]);
    session->rope_length = 0;
}

static bool start_passes(vkft_session *session, vkft_err *err)
{
    const vkft_pass_device place = {.dev = session->dev,
                                    .arena = session->arena_address,
                                    .scratch = session->scratch.address,
                                    .scratch_bytes = session->scratch.size_bytes,
                                    .kept = session->kept_address,
                                    .step = session->step,
                                    .seed = session->seed,
                                    .profile = session->profile};
    for (uint32_t i = 0; i < session->pass_count; i++)
        if (!vkft_pass_start(&session->passes[i], &place, err))
            return false;
    return true;
}

bool vkft_session_start(vkft_session *session, const vkft_memory_plan *plan, const vkft_observer *observer,
                        vkft_err *err)
{
    const vkft_model_options *o = &session->options;
    progress p = {observer, "loading"};
    session->plan = *plan;
    if (!session->dev && session->no_device.kind != VKFT_ERR_NONE) {
        if (err)
            *err = session->no_device;
        return false;
    }
    if (!session->dev && !(session->dev = vkft_device_open(o->device, err)))
        return false;
    plan = &session->plan;
    settle_compute_dtype(session, observer);
    if (!vkft_session_plan_buffers(session, vkft_device_get_info(session->dev), &session->plan, err) ||
        !vkft_memory_plan_check(plan, vkft_device_get_info(session->dev), err) || !place_passes(session, err) ||
        !vkft_model_setup_kernels(&session->model, session->dev, o->compute_dtype, plan->limits.batch.positions,
                                  vkft_session_trains(session), err))
        return false;
    if (vkft_gemm_of(session->dev)->notice[0])
        vkft_observer_say(observer, "%s", vkft_gemm_of(session->dev)->notice);
    if (session->base)
        take_weights(session, session->base);
    vkft_memory_begin_peak(session->dev);
    return vkft_model_load(&session->model, session->dev, session->file, plan->limits.stream_weights,
                           &session->in_place, on_progress, &p, err) &&
           allocate_holdings(session, err) &&
           ((allocate_own(session, err) && start_passes(session, err)) || vkft_session_shrink(session, err));
}

bool vkft_session_shrink(vkft_session *session, vkft_err *err)
{
    vkft_limits limits = session->plan.limits;
    limits.logits_bytes = VKFT_LOGITS_BYTES;
    while (session->smaller && err->kind == VKFT_ERR_MEMORY) {
        if (!session->smaller(session->smaller_context, &limits))
            return vkft_advise(err, VKFT_ADVICE_LESS_FOR_A_SAMPLE);
        free_own(session);
        if (vkft_session_plan(session, &limits, &session->plan, err) && place_passes(session, err) &&
            allocate_own(session, err) && start_passes(session, err))
            return true;
    }
    return false;
}

void vkft_session_close(vkft_session *session)
{
    for (uint32_t i = 0; i < session->pass_count; i++)
        vkft_pass_free(&session->passes[i]);
    if (session->dev) {
        free_own(session);
        vkft_buffer_free(session->dev, &session->adapter);
        vkft_buffer_free(session->dev, &session->squares);
        vkft_buffer_free(session->dev, &session->projection);
        vkft_buffer_free(session->dev, &session->origin);
        vkft_buffer_free(session->dev, &session->tokens);
        vkft_buffer_free(session->dev, &session->own_step);
    }
    free(session->adapter_values);
    if (session->base)
        give_back(session, session->base);
    vkft_trainables_free(&session->trained);
    vkft_model_free(&session->model);
    vkft_model_text_free(&session->text);
    vkft_in_place_close(&session->in_place, session->dev);
    vkft_model_file_close(session->file);
    vkft_device_close(session->dev);
    memset(session, 0, sizeof *session);
}

bool vkft_session_set_length(vkft_session *session, uint32_t length)
{
    uint32_t before = session->rope_length, wanted = vkft_rope_length(&session->config->rope, length);
    if (!session->tables.mapped || before == wanted)
        return false;
    vkft_model_fill_tables(&session->model, wanted, session->batch.limits.positions, session->tables.mapped);
    session->rope_length = wanted;
    return before != 0;
}

void vkft_session_fill(vkft_session *session, const vkft_sample *const *samples, uint32_t count)
{
    vkft_batch_fill(&session->batch, samples, count, session->config->sliding_window);
    vkft_session_set_length(session, session->batch.longest);
}

bool vkft_session_run(vkft_session *session, vkft_pass *pass, double *loss_sum, vkft_err *err)
{
    vkft_batch *batch = &session->batch;
    if (!vkft_pass_run(pass, &session->model, batch, err))
        return false;
    *loss_sum = 0;
    for (uint32_t i = 0; i < batch->rows; i++)
        *loss_sum += (double)batch->loss_host[i];
    return true;
}

void vkft_session_profile(const vkft_session *session, vkft_profile_row *rows)
{
    for (uint32_t i = 0; i < session->pass_count; i++)
        vkft_pass_add_profile(&session->passes[i], rows);
}
