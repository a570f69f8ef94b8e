/* See generator.h. */
#include "host/generate/generator.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/text_stream.h"
#include "runtime/base/os/os.h"
#include "runtime/base/size.h"

#define PROMPT_CHUNK 256u

/* With an encoder the prompt is its source, and the decoder begins with a token of its own. */
static bool split_source(vkft_generator *gen, vkft_err *err)
{
    const vkft_config *c = gen->session->config;
    gen->prompt_tokens = gen->ids.count;
    if (!c->encoder_layers)
        return true;
    int32_t start = gen->model_defaults.decoder_start_token_id >= 0 ? gen->model_defaults.decoder_start_token_id
                                                                    : c->decoder_start_token_id;
    if (start < 0)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: neither config.json nor generation_config.json has decoder_start_token_id",
                         vkft_session_model_name(gen->session));
    if ((uint32_t)start >= c->vocab_size)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: decoder_start_token_id is %d, but the vocabulary has %u entries",
                         vkft_session_model_name(gen->session), start, c->vocab_size);
    const vkft_ids prompt = gen->ids;
    gen->ids = gen->source; /* its memory */
    gen->ids.count = 0;
    gen->source = prompt;
    return vkft_ids_push(&gen->ids, start, err);
}

static void record_encode(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch,
                          const vkft_limits *limits, const void *context)
{
    const vkft_generator *gen = context;
    (void)limits;
    vkft_decoder_encode(graph, model, batch, gen->cache.layers);
}

static void record_next(vkft_graph *graph, const vkft_model *model, const vkft_batch *batch, const vkft_limits *limits,
                        const void *context)
{
    const vkft_generator *gen = context;
    (void)limits;
    vkft_decoder_next(graph, model, batch, gen->cache.layers, gen->logits.address);
}

static uint64_t logits_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_generator *gen = owner;
    (void)limits;
    return gen->session->config->vocab_size * sizeof(float);
}

static bool allocate_logits(void *owner, vkft_session *session, vkft_err *err)
{
    vkft_generator *gen = owner;
    return vkft_buffer_new(session->dev, logits_bytes(owner, NULL), VKFT_MEMORY_HOST, "logits", &gen->logits, err);
}

/* What generation needs of the session: ways to run the model, and memory. */
static bool add_needs(vkft_generator *gen, vkft_err *err)
{
    vkft_session *r = gen->session;
    const vkft_pass_spec encode = {.name = "encoder", .record = record_encode, .context = gen},
                         next = {.name = "generation", .record = record_next, .context = gen};
    vkft_session_need(r, (vkft_holding){"logits (host)", VKFT_MEMORY_HOST, logits_bytes, allocate_logits, gen});
    gen->logits_host = malloc(logits_bytes(gen, NULL));
    gen->candidates = malloc(r->config->vocab_size * sizeof *gen->candidates);
    return ((gen->logits_host && gen->candidates) || vkft_fail_memory(err, "for the logits")) &&
           vkft_kv_cache_open(&gen->cache, r, err) &&
           (!r->config->encoder_layers || (gen->encode = vkft_session_add_pass(r, &encode, err))) &&
           (gen->next = vkft_session_add_pass(r, &next, err));
}

static bool encode_source(vkft_generator *gen, vkft_err *err)
{
    vkft_session *r = gen->session;
    if (!gen->encode)
        return true;
    vkft_batch_fill_source(&r->batch, gen->source.data, gen->source.count);
    return vkft_pass_run(gen->encode, &r->model, &r->batch, err);
}

/* A logit may be -infinity: that token is never taken. */
static bool check_logits(const vkft_generator *gen, vkft_err *err)
{
    uint32_t finite = 0, wrong = 0, n = gen->session->config->vocab_size;
    for (uint32_t i = 0; i < n; i++) {
        finite += isfinite(gen->logits_host[i]) != 0;
        wrong += isnan(gen->logits_host[i]) || gen->logits_host[i] == INFINITY;
    }
    return (finite && !wrong) ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%u of the %u logits after %u tokens are not finite: weights or adapter are not, or are so large "
                     "that their products are not",
                     n - finite, n, gen->ids.count);
}

/* Runs the tokens that the cache does not hold yet; the logits are of the last one. *interrupted: between two of many
 * chunks; there are no logits. */
static bool extend(vkft_generator *gen, bool *interrupted, vkft_err *err)
{
    vkft_session *r = gen->session;
    uint32_t end = gen->ids.count;
    bool other_tables = vkft_session_set_length(r, end);
    if (other_tables && r->config->rope.type == VKFT_ROPE_LONGROPE)
        gen->cached = 0; /* keys were rotated by other factors; dynamic scaling keeps them, as transformers does */
    while (gen->cached < end) {
        uint32_t count = min_u32(end - gen->cached, r->batch.limits.tokens);
        vkft_batch_fill_next(&r->batch, gen->ids.data + gen->cached, count, gen->cached, r->config->sliding_window);
        if (!vkft_pass_run(gen->next, &r->model, &r->batch, err))
            return false;
        gen->cached += count;
        *interrupted = gen->cached < end && vkft_observer_interrupted(&gen->observer->general);
        if (*interrupted)
            return true;
    }
    memcpy(gen->logits_host, gen->logits.mapped, logits_bytes(gen, NULL));
    return check_logits(gen, err);
}

static bool ends(const vkft_generator *gen, int32_t id)
{
    for (uint32_t i = 0; i < gen->settings.eos_count; i++)
        if (gen->settings.eos[i] == id)
            return true;
    return false;
}

static bool is_stop(const vkft_generator *gen, size_t from, const char *stop)
{
    size_t length = strlen(stop);
    return gen->text.length && strstr(gen->text.data + (from > length ? from - length : 0), stop);
}

const char *vkft_generator_stop(const vkft_generator *gen, uint32_t index)
{
    const vkft_text *strings = &gen->model_defaults.stop_strings;
    const char *const *own = gen->options->stop;
    if (own[0]) {
        uint32_t count = 0;
        while (own[count])
            count++;
        return index < count ? own[index] : NULL;
    }
    for (size_t at = 0; at < strings->length; at += strlen(strings->data + at) + 1)
        if (index-- == 0)
            return strings->data + at;
    return NULL;
}

/* Looks for the strings that end the text in the new part of it, which may complete one. */
static bool has_stop(vkft_generator *gen, const vkft_text *new_part, bool *stop, vkft_err *err)
{
    size_t from = gen->text.length;
    if (!vkft_generator_stop(gen, 0) || !new_part->length)
        return true;
    if (!vkft_text_append(&gen->text, new_part->data, new_part->length, err))
        return false;
    for (uint32_t i = 0; vkft_generator_stop(gen, i); i++)
        *stop |= is_stop(gen, from, vkft_generator_stop(gen, i));
    return true;
}

/* *stop: the text has one of the strings that end it. */
static bool emit(vkft_generator *gen, vkft_text_stream *stream, int32_t id, bool *stop, vkft_err *err)
{
    const vkft_generate_observer *observer = gen->observer;
    if (observer->token)
        observer->token(observer->general.context, id);
    if (!stream)
        return true;
    vkft_text text = {0};
    bool ok = vkft_text_stream_push(stream, id, &text, err) && has_stop(gen, &text, stop, err);
    if (ok && text.length && observer->text)
        observer->text(observer->general.context, text.data, text.length);
    vkft_text_free(&text);
    return ok;
}

static bool read_model_defaults(vkft_generator *gen, vkft_err *err)
{
    size_t length;
    const vkft_model_file *file = gen->session->file;
    const char *text = file ? vkft_model_file_blob(file, "generation_config.json", &length) : NULL;
    gen->model_defaults = vkft_generation_config_none();
    return !text || vkft_generation_config_parse(text, length, "generation_config.json", &gen->model_defaults, err);
}

static bool choose_settings(vkft_generator *gen, vkft_err *err)
{
    const vkft_tokenizer *tok = gen->session->text.tokenizer;
    if (gen->options->stop[0] && !tok)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s has no tokenizer, so --stop cannot be found in its text",
                         vkft_session_model_name(gen->session));
    const vkft_generation_source source = {.options = gen->options,
                                           .model = &gen->model_defaults,
                                           .config = gen->session->config,
                                           .tokenizer_eos = tok ? vkft_tokenizer_eos_id(tok) : -1,
                                           .tokens = gen->ids.count};
    return vkft_generation_settings_choose(&source, &gen->observer->general, &gen->settings, err);
}

/* The next token, by the logits of those before it. */
static bool choose_token(vkft_generator *gen, uint64_t index, int32_t *id, vkft_err *err)
{
    uint32_t vocab_size = gen->session->config->vocab_size;
    if (!vkft_token_rules_apply(&gen->settings.rules, gen->ids.data, gen->ids.count, gen->logits_host, vocab_size,
                                gen->candidates))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "no token may come after %u tokens: no_repeat_ngram_size or the lists of tokens in the "
                         "model's generation_config.json forbid all",
                         gen->ids.count);
    *id = (int32_t)vkft_sample_token(&gen->settings.sampler, gen->logits_host, vocab_size, index, gen->candidates);
    return true;
}

/* The prompt, as far as the cache does not hold it. */
static bool read_prompt(vkft_generator *gen, vkft_generate_result *result, bool *interrupted, vkft_err *err)
{
    double started = vkft_os_seconds();
    result->prompt_tokens = gen->prompt_tokens;
    result->kept_tokens = gen->cached;
    vkft_session_set_length(gen->session, gen->ids.count);
    if (!encode_source(gen, err) || !extend(gen, interrupted, err))
        return false;
    result->prompt_seconds = vkft_os_seconds() - started;
    return true;
}

/* Why the text ends here, unless it goes on. */
static bool is_ended(const vkft_generator *gen, bool stop, vkft_generate_result *result)
{
    bool interrupted = vkft_observer_interrupted(&gen->observer->general),
         full = result->new_tokens == gen->settings.max_new_tokens, no_room = gen->ids.count >= gen->positions;
    result->end = stop          ? VKFT_TEXT_ENDED_BY_STRING
                  : interrupted ? VKFT_TEXT_INTERRUPTED
                  : full        ? VKFT_TEXT_ENDED_BY_LENGTH
                                : VKFT_TEXT_ENDED_BY_ROOM;
    return stop || interrupted || full || no_room;
}

static bool continue_text(vkft_generator *gen, vkft_text_stream *stream, vkft_generate_result *result, vkft_err *err)
{
    const vkft_generate_observer *observer = gen->observer;
    bool stop = false, interrupted = false;
    if (!read_prompt(gen, result, &interrupted, err))
        return false;
    double started = vkft_os_seconds();
    while (!interrupted) {
        int32_t id = -1;
        if (!choose_token(gen, result->new_tokens, &id, err))
            return false;
        result->new_tokens++;
        result->end = VKFT_TEXT_ENDED_BY_TOKEN;
        if (ends(gen, id))
            break;
        if (!vkft_ids_push(&gen->ids, id, err) || !emit(gen, stream, id, &stop, err))
            return false;
        if (is_ended(gen, stop, result))
            break;
        if (!extend(gen, &interrupted, err))
            return false;
    }
    if (interrupted)
        result->end = VKFT_TEXT_INTERRUPTED;
    if (gen->ids.count >= gen->positions && result->new_tokens < gen->settings.max_new_tokens && !gen->max_positions)
        vkft_observer_say(&observer->general, "ended after %u tokens, prompt included: the model has no more positions",
                          gen->ids.count);
    result->new_seconds = vkft_os_seconds() - started;
    return true;
}

static bool finish_text(const vkft_generator *gen, vkft_text_stream *stream, vkft_err *err)
{
    vkft_text text = {0};
    bool ok = !stream || !gen->observer->text || vkft_text_stream_finish(stream, &text, err);
    if (ok && text.length)
        gen->observer->text(gen->observer->general.context, text.data, text.length);
    vkft_text_free(&text);
    return ok;
}

bool vkft_generator_open(vkft_generator *gen, vkft_session *session, vkft_err *err)
{
    *gen = (vkft_generator){.session = session};
    return read_model_defaults(gen, err) && add_needs(gen, err);
}

void vkft_generator_close(vkft_generator *gen)
{
    if (!gen->session)
        return;
    vkft_kv_cache_close(&gen->cache, gen->session->dev);
    vkft_buffer_free(gen->session->dev, &gen->logits);
    free(gen->logits_host);
    free(gen->candidates);
    vkft_ids_free(&gen->ids);
    vkft_ids_free(&gen->source);
    vkft_text_free(&gen->text);
    vkft_generation_config_free(&gen->model_defaults);
    *gen = (vkft_generator){0};
}

vkft_batch_limits vkft_generator_limits(uint32_t positions)
{
    return (vkft_batch_limits){.tokens = min_u32(positions, PROMPT_CHUNK), .rows = 1, .positions = positions};
}

/* How many tokens of the new text the cache holds already; the last one is always computed, for its logits. Positions
 * that are scaled by the length of the text have other keys in another text. */
static uint32_t count_cached(const vkft_generator *gen, const int32_t *ids, uint32_t count)
{
    vkft_rope_type rope = gen->session->config->rope.type;
    uint32_t same = 0;
    if (!gen->keeps || gen->encode || rope == VKFT_ROPE_DYNAMIC || rope == VKFT_ROPE_LONGROPE)
        return 0;
    while (same < gen->cached && same + 1 < count && gen->ids.data[same] == ids[same])
        same++;
    return same;
}

bool vkft_generator_check_ids(const vkft_session *session, const vkft_ids *ids, vkft_err *err)
{
    for (uint32_t i = 0; i < ids->count; i++)
        if ((uint32_t)ids->data[i] >= session->config->vocab_size)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "the tokenizer gives id %d, but the model's vocabulary has %u entries", ids->data[i],
                             session->config->vocab_size);
    return true;
}

bool vkft_generator_begin(vkft_generator *gen, const vkft_generate_options *options,
                          const vkft_generate_observer *observer, const int32_t *ids, uint32_t count,
                          vkft_batch_limits *limits, vkft_err *err)
{
    const vkft_config *c = gen->session->config;
    const uint32_t limit = gen->max_positions ? gen->max_positions : c->max_position;
    gen->options = options;
    gen->observer = observer;
    gen->cached = count_cached(gen, ids, count);
    gen->ids.count = 0;
    gen->text.length = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!vkft_ids_push(&gen->ids, ids[i], err))
            return false;
    if (!count)
        return vkft_fail(err, VKFT_ERR_INPUT, "the prompt has no tokens; give some text");
    if (!split_source(gen, err) || !choose_settings(gen, err))
        return false;
    uint64_t wanted = (uint64_t)gen->ids.count + gen->settings.max_new_tokens;
    uint32_t source = c->encoder_layers ? gen->source.count : 0;
    if (gen->ids.count >= limit)
        return vkft_fail(err, VKFT_ERR_INPUT, "the prompt has %u tokens and the model takes at most %u", gen->ids.count,
                         limit);
    gen->positions = wanted < limit ? (uint32_t)wanted : limit;
    *limits = vkft_generator_limits(max_u32(gen->positions, source));
    limits->tokens = min_u32(gen->ids.count, PROMPT_CHUNK);
    limits->source_tokens = source;
    return true;
}

bool vkft_generator_produce(vkft_generator *gen, vkft_generate_result *result, vkft_err *err)
{
    const vkft_tokenizer *tok = gen->session->text.tokenizer;
    vkft_text_stream *stream = tok ? vkft_text_stream_new(tok, true, err) : NULL;
    *result = (vkft_generate_result){0};
    bool ok = (stream || !tok) && continue_text(gen, stream, result, err) && finish_text(gen, stream, err);
    vkft_text_stream_free(stream);
    return ok;
}
