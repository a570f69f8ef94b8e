/* Generation with a KV cache: the prompt in chunks, then one token at a time. */
#include "host/generate/generate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/prompt.h"
#include "formats/tokenizer/text_stream.h"
#include "host/model/decoder.h"
#include "formats/config/generation_config.h"
#include "host/model/rope.h"
#include "host/session/session.h"
#include "host/generate/sampler.h"
#include "runtime/base/os/os.h"
#include "runtime/base/size.h"

#define PROMPT_CHUNK 256u

typedef struct generator {
    const vkft_generate_options *options;
    const vkft_generate_observer *observer;
    vkft_generation_config own; /* what the model's authors say */
    vkft_session runner;
    vkft_pass next;
    vkft_buffer logits, arena, scratch, tables, parameters;
    vkft_buffer *cache_buffers; /* per layer: keys, then values */
    vkft_kv *caches;
    float *logits_host;
    vkft_candidate *candidates;
    uint32_t rope_length; /* what the position tables are for, see vkft_rope_length */
    uint32_t positions;   /* capacity of the cache */
    vkft_ids
        ids; /* prompt and what was generated; with an encoder what was generated, behind the decoder's first token */
    vkft_ids source; /* with an encoder: the prompt */
    uint32_t prompt_tokens;
} generator;

vkft_generate_options vkft_generate_defaults(void)
{
    return (vkft_generate_options){.model = vkft_model_defaults(),
                                   .add_special_tokens = true,
                                   .max_new_tokens = 256,
                                   .temperature = 0.8f,
                                   .top_p = 0.95f,
                                   .top_k = 40,
                                   .seed = 42};
}

static bool encode_prompt(generator *gen, vkft_err *err)
{
    const vkft_generate_options *o = gen->options;
    const vkft_tokenizer *tok = gen->runner.text.tokenizer;
    if (!o->prompt) {
        for (uint32_t i = 0; i < o->id_count; i++) {
            if (o->ids[i] < 0 || (uint32_t)o->ids[i] >= gen->runner.config.vocab_size)
                return vkft_fail(err, VKFT_ERR_INPUT, "token id %d is outside the vocabulary of %u", o->ids[i],
                                 gen->runner.config.vocab_size);
            if (!vkft_ids_push(&gen->ids, o->ids[i], err))
                return false;
        }
    } else if (!tok) {
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s has no tokenizer.json, so a text prompt cannot be encoded; give --ids", o->model.path);
    } else {
        char *wrapped = o->instruction ? vkft_instruction_prompt(o->prompt, NULL) : NULL;
        const char *text = wrapped ? wrapped : o->prompt;
        bool ok = vkft_tokenizer_encode(tok, text, strlen(text), o->add_special_tokens, &gen->ids, err);
        free(wrapped);
        if (!ok)
            return false;
        for (uint32_t i = 0; i < gen->ids.count; i++)
            if ((uint32_t)gen->ids.data[i] >= gen->runner.config.vocab_size)
                return vkft_fail(err, VKFT_ERR_INPUT,
                                 "the tokenizer gives id %d, but the model's vocabulary has %u entries",
                                 gen->ids.data[i], gen->runner.config.vocab_size);
    }
    if (gen->ids.count == 0)
        return vkft_fail(err, VKFT_ERR_INPUT, "the prompt has no tokens; give some text");
    return true;
}

/* With an encoder the prompt is its source, and the decoder begins with a token of its own. */
static bool split_source(generator *gen, vkft_err *err)
{
    const vkft_config *c = &gen->runner.config;
    gen->prompt_tokens = gen->ids.count;
    if (!c->encoder_layers)
        return true;
    int32_t start = gen->own.decoder_start_token_id >= 0 ? gen->own.decoder_start_token_id : c->decoder_start_token_id;
    if (start < 0)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: neither config.json nor generation_config.json has decoder_start_token_id",
                         gen->options->model.path);
    gen->source = gen->ids;
    gen->ids = (vkft_ids){0};
    return vkft_ids_push(&gen->ids, start, err);
}

static void record_encode(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch, const void *context)
{
    const generator *gen = context;
    vkft_decoder_encode(graph, model, batch, gen->caches);
}

static void record_next(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch, const void *context)
{
    const generator *gen = context;
    vkft_decoder_next(graph, model, batch, gen->caches, gen->logits.address);
}

/* Plans a pass for the present batch and gives it memory. */
static bool start_pass(generator *gen, vkft_pass *pass, vkft_buffer *arena, vkft_err *err)
{
    vkft_session *r = &gen->runner;
    uint64_t bytes;
    if (!vkft_pass_plan(pass, &r->model, &r->batch, &bytes, err) ||
        !vkft_buffer_new(r->dev, bytes, VKFT_MEMORY_DEVICE, "activations", arena, err))
        return false;
    const vkft_pass_device place = {.dev = r->dev,
                                    .arena = arena->address,
                                    .scratch = gen->scratch.address,
                                    .scratch_bytes = r->model.scratch_bytes};
    return vkft_pass_start(pass, &place, err);
}

/* Runs the encoder once, in memory of its own that is freed again. */
static bool encode_source(generator *gen, vkft_err *err)
{
    vkft_session *r = &gen->runner;
    const vkft_pass_spec spec = {"encoder", false, record_encode, gen};
    vkft_pass pass;
    vkft_buffer arena = {0};
    if (!gen->source.count)
        return true;
    vkft_batch_fill_source(&r->batch, gen->source.data, gen->source.count);
    bool ok = vkft_pass_init(&pass, &spec, err) && start_pass(gen, &pass, &arena, err) &&
              vkft_pass_run(&pass, &r->model, &r->batch, err);
    vkft_pass_free(&pass);
    vkft_buffer_free(r->dev, &arena);
    return ok;
}

static bool allocate_cache(generator *gen, vkft_err *err)
{
    const vkft_config *c = &gen->runner.config;
    uint64_t one = (uint64_t)gen->positions * c->num_kv_heads * c->head_dim * sizeof(float);
    uint64_t cross = (uint64_t)gen->source.count * c->num_kv_heads * c->head_dim * sizeof(float);
    one = round_up(one, VKFT_BUFFER_ALIGNMENT);
    cross = round_up(cross, VKFT_BUFFER_ALIGNMENT);
    for (uint32_t l = 0; l < c->num_layers; l++) {
        vkft_buffer *buffer = &gen->cache_buffers[l];
        if (!vkft_buffer_new(gen->runner.dev, 2 * one + 2 * cross, VKFT_MEMORY_DEVICE, "KV cache", buffer, err))
            return false;
        uint64_t at = buffer->address;
        gen->caches[l] = (vkft_kv){at, at + one, at + 2 * one, at + 2 * one + cross};
    }
    return true;
}

static bool on_load(void *context, uint64_t done, uint64_t total)
{
    (void)done, (void)total;
    const generator *gen = context;
    return !(gen->observer->interrupted && gen->observer->interrupted(gen->observer->context));
}

static bool start(generator *gen, const float *flat, vkft_err *err)
{
    vkft_session *r = &gen->runner;
    const vkft_config *c = &r->config;
    uint64_t V = c->vocab_size;
    uint64_t wanted = (uint64_t)gen->ids.count + gen->options->max_new_tokens;
    if (gen->ids.count >= c->max_position)
        return vkft_fail(err, VKFT_ERR_INPUT, "the prompt has %u tokens and the model takes at most %u", gen->ids.count,
                         c->max_position);
    gen->positions = wanted < c->max_position ? (uint32_t)wanted : c->max_position;
    uint32_t longest = gen->positions > gen->source.count ? gen->positions : gen->source.count;
    uint32_t chunk = gen->ids.count < PROMPT_CHUNK ? gen->ids.count : PROMPT_CHUNK;
    gen->caches = calloc(c->num_layers, sizeof *gen->caches);
    gen->cache_buffers = calloc(c->num_layers, sizeof *gen->cache_buffers);
    gen->logits_host = malloc(V * sizeof *gen->logits_host);
    gen->candidates = malloc(V * sizeof *gen->candidates);
    if (!gen->caches || !gen->cache_buffers || !gen->logits_host || !gen->candidates)
        return vkft_fail_memory(err, "for the logits");
    uint64_t adapter = vkft_trainables_floats(&r->trained) * sizeof(float),
             tables = vkft_model_table_bytes(&r->model, longest);
    vkft_batch_limits limits = {.tokens = chunk, .source_tokens = gen->source.count, .rows = 1, .positions = longest};
    if (!(r->dev = vkft_device_open(gen->options->model.device, err)) ||
        !vkft_model_setup_kernels(&r->model, r->dev, r->compute_dtype, longest, false, err) ||
        !vkft_model_load(&r->model, r->dev, r->file, on_load, gen, err) || !allocate_cache(gen, err) ||
        !vkft_buffer_new(r->dev, V * sizeof(float), VKFT_MEMORY_HOST, "logits", &gen->logits, err) ||
        (tables && !vkft_buffer_new(r->dev, tables, VKFT_MEMORY_HOST, "position tables", &gen->tables, err)) ||
        (r->model.scratch_bytes &&
         !vkft_buffer_new(r->dev, r->model.scratch_bytes, VKFT_MEMORY_DEVICE, "decode scratch", &gen->scratch, err)) ||
        (adapter && (!vkft_buffer_new(r->dev, adapter, VKFT_MEMORY_DEVICE, "adapter", &gen->parameters, err) ||
                     !vkft_buffer_write(r->dev, &gen->parameters, 0, flat, adapter, err))) ||
        !vkft_batch_init(&r->batch, r->dev, &limits, err))
        return false;
    const vkft_parameter_space placed =
        vkft_parameter_space_whole(vkft_trainables_floats(&r->trained), gen->parameters.address);
    vkft_lora_bind(&r->trained.lora, &placed, NULL);
    vkft_model_set_tables(&r->model, gen->tables.address, longest);
    vkft_batch_fill_next(&r->batch, gen->ids.data, chunk, 0, c->sliding_window);
    return vkft_model_write_expert_tables(&r->model, r->dev, err) && start_pass(gen, &gen->next, &gen->arena, err);
}

/* Writes the position tables that the present length calls for. True: what is in the cache was turned by other factors
 * and has to be made again. (Dynamic scaling keeps it, as transformers does.) */
static bool prepare_tables(generator *gen)
{
    vkft_session *r = &gen->runner;
    uint32_t rope_length = vkft_rope_length(&r->config.rope, gen->ids.count);
    bool first = gen->rope_length == 0;
    if (!gen->tables.mapped || gen->rope_length == rope_length)
        return false;
    vkft_model_fill_tables(&r->model, rope_length, r->batch.limits.positions, gen->tables.mapped);
    gen->rope_length = rope_length;
    return !first && r->config.rope.type == VKFT_ROPE_LONGROPE;
}

/* Runs the tokens from `first` on that the cache does not hold yet; the logits are of the last one. */
static bool extend(generator *gen, uint32_t first, vkft_err *err)
{
    vkft_session *r = &gen->runner;
    uint32_t end = gen->ids.count;
    if (prepare_tables(gen))
        first = 0;
    while (first < end) {
        uint32_t count = end - first < r->batch.limits.tokens ? end - first : r->batch.limits.tokens;
        vkft_batch_fill_next(&r->batch, gen->ids.data + first, count, first, r->config.sliding_window);
        if (!vkft_pass_run(&gen->next, &r->model, &r->batch, err))
            return false;
        first += count;
    }
    memcpy(gen->logits_host, gen->logits.mapped, r->config.vocab_size * sizeof(float));
    return true;
}

static bool ends(const generator *gen, int32_t id)
{
    const vkft_config *c = &gen->runner.config;
    const vkft_generation_config *own = &gen->own;
    if (gen->options->ignore_eos)
        return false;
    const int32_t *eos = own->eos_count ? own->eos_token_ids : c->eos_token_ids;
    uint32_t count = own->eos_count ? own->eos_count : c->eos_count;
    for (uint32_t i = 0; i < count; i++)
        if (eos[i] == id)
            return true;
    return gen->runner.text.tokenizer && vkft_tokenizer_eos_id(gen->runner.text.tokenizer) == id;
}

static bool emit(generator *gen, vkft_text_stream *stream, int32_t id, vkft_err *err)
{
    const vkft_generate_observer *observer = gen->observer;
    if (observer->token)
        observer->token(observer->context, id);
    if (!stream || !observer->text)
        return true;
    vkft_text text = {0};
    bool ok = vkft_text_stream_push(stream, id, &text, err);
    if (ok && text.length)
        observer->text(observer->context, text.data, text.length);
    vkft_text_free(&text);
    return ok;
}

/* What the user asked for, else what the model's authors recommend, else this program's defaults. */
static vkft_sampler choose_sampler(const generator *gen)
{
    const vkft_generate_options *o = gen->options;
    const vkft_generation_config *own = &gen->own;
    vkft_sampler s = {o->temperature, o->top_p, o->top_k, o->seed};
    bool sampled = own->do_sample == VKFT_SAMPLE_YES;
    if (!o->temperature_given && own->do_sample == VKFT_SAMPLE_NO)
        s.temperature = 0;
    if (!o->temperature_given && sampled && !isnan(own->temperature))
        s.temperature = (float)own->temperature;
    if (!o->top_p_given && sampled && !isnan(own->top_p))
        s.top_p = (float)own->top_p;
    if (!o->top_k_given && sampled && !isnan(own->top_k))
        s.top_k = (uint32_t)own->top_k;
    return s;
}

static bool read_own(generator *gen, vkft_err *err)
{
    size_t length;
    const char *text = vkft_model_file_blob(gen->runner.file, "generation_config.json", &length);
    gen->own = vkft_generation_config_none();
    return !text || vkft_generation_config_parse(text, length, "generation_config.json", &gen->own, err);
}

static bool produce(generator *gen, vkft_text_stream *stream, vkft_generate_result *result, vkft_err *err)
{
    const vkft_generate_options *o = gen->options;
    const vkft_generate_observer *observer = gen->observer;
    vkft_sampler sampler = choose_sampler(gen);
    double started = vkft_os_seconds();
    result->prompt_tokens = gen->prompt_tokens;
    prepare_tables(gen);
    if (!encode_source(gen, err) || !extend(gen, 0, err))
        return false;
    result->prompt_seconds = vkft_os_seconds() - started;
    started = vkft_os_seconds();
    while (result->new_tokens < o->max_new_tokens) {
        int32_t id = (int32_t)vkft_sample_token(&sampler, gen->logits_host, gen->runner.config.vocab_size,
                                                result->new_tokens, gen->candidates);
        result->new_tokens++;
        if (ends(gen, id))
            break;
        if (!vkft_ids_push(&gen->ids, id, err) || !emit(gen, stream, id, err))
            return false;
        bool interrupted = observer->interrupted && observer->interrupted(observer->context);
        if (interrupted || gen->ids.count >= gen->positions || result->new_tokens == o->max_new_tokens)
            break;
        if (!extend(gen, gen->ids.count - 1, err))
            return false;
    }
    result->new_seconds = vkft_os_seconds() - started;
    return true;
}

static bool finish_text(const generator *gen, vkft_text_stream *stream, vkft_err *err)
{
    vkft_text text = {0};
    bool ok = !stream || !gen->observer->text || vkft_text_stream_finish(stream, &text, err);
    if (ok && text.length)
        gen->observer->text(gen->observer->context, text.data, text.length);
    vkft_text_free(&text);
    return ok;
}

static void close_generator(generator *gen)
{
    vkft_device *dev = gen->runner.dev;
    vkft_pass_free(&gen->next);
    for (uint32_t l = 0; gen->cache_buffers && l < gen->runner.config.num_layers; l++)
        vkft_buffer_free(dev, &gen->cache_buffers[l]);
    vkft_buffer *buffers[] = {&gen->logits, &gen->arena, &gen->scratch, &gen->tables, &gen->parameters};
    for (size_t i = 0; dev && i < sizeof buffers / sizeof *buffers; i++)
        vkft_buffer_free(dev, buffers[i]);
    free(gen->caches);
    free(gen->cache_buffers);
    free(gen->logits_host);
    free(gen->candidates);
    vkft_ids_free(&gen->ids);
    vkft_ids_free(&gen->source);
    vkft_session_close(&gen->runner);
}

bool vkft_generate(const vkft_generate_options *options, const vkft_generate_observer *observer,
                   vkft_generate_result *result, vkft_err *err)
{
    generator gen = {.options = options, .observer = observer};
    float *flat = NULL;
    vkft_text_stream *stream = NULL;
    vkft_observer quiet = {0};
    *result = (vkft_generate_result){0};
    vkft_session_source source = {.model = options->model};
    if (!vkft_session_open(&gen.runner, &source, &quiet, err))
        return false;
    const vkft_pass_spec next = {"generation", false, record_next, &gen};
    bool ok = vkft_pass_init(&gen.next, &next, err) && read_own(&gen, err) &&
              vkft_session_use_adapter(&gen.runner, options->adapter, &flat, err) && encode_prompt(&gen, err) &&
              split_source(&gen, err) && start(&gen, flat, err);
    if (ok && gen.runner.text.tokenizer)
        ok = (stream = vkft_text_stream_new(gen.runner.text.tokenizer, true, err)) != NULL;
    ok = ok && produce(&gen, stream, result, err) && finish_text(&gen, stream, err);
    vkft_text_stream_free(stream);
    free(flat);
    close_generator(&gen);
    return ok;
}
