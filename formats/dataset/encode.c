/* Tokenizing, masking and cutting the examples of a row. */
#include "formats/dataset/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/size.h"

/* One row on its way. */
typedef struct builder {
    const vkft_row_encoder *encoder;
    vkft_encoded_row *out;
    const char *place;
} builder;

void vkft_encoded_row_free(vkft_encoded_row *row)
{
    vkft_ids_free(&row->ids);
    vkft_ids_free(&row->labels);
    free(row->samples);
    memset(row, 0, sizeof *row);
}

static void name_place(const vkft_row_encoder *e, const vkft_row_slice *slice, char *place, size_t size)
{
    if (e->reader->kind == VKFT_ROWS_ARRAY)
        snprintf(place, size, "%.600s: row %llu (line %llu)", e->path, (unsigned long long)slice->number,
                 (unsigned long long)slice->line);
    else
        snprintf(place, size, "%.600s: line %llu", e->path, (unsigned long long)slice->line);
}

static bool check_ids(const builder *b, uint32_t first, vkft_err *err)
{
    const vkft_ids *ids = &b->out->ids;
    for (uint32_t i = first; i < ids->count; i++)
        if (ids->data[i] < 0 || (uint32_t)ids->data[i] >= b->encoder->options->vocab_size)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: token id %d is outside the model's vocabulary of %u", b->place,
                             ids->data[i], b->encoder->options->vocab_size);
    return true;
}

static bool reserve_sample(vkft_encoded_row *out)
{
    if (out->count < out->capacity)
        return true;
    uint32_t capacity = out->capacity ? 2 * out->capacity : 4;
    vkft_encoded_sample *samples = realloc(out->samples, capacity * sizeof *samples);
    if (samples) {
        out->samples = samples;
        out->capacity = capacity;
    }
    return samples != NULL;
}

/* In tokens; with an encoder both sides have been cut before. */
static uint32_t longest_sample(const vkft_dataset_options *o)
{
    return o->encoder_decoder ? UINT32_MAX : o->max_seq_length;
}

/* Ends the sample whose ids and labels begin at `first` and go to the end: checks it and cuts it to length. */
static bool end_sample(builder *b, uint32_t first, vkft_err *err)
{
    vkft_encoded_row *out = b->out;
    uint32_t all = out->ids.count - first, max_length = longest_sample(b->encoder->options),
             length = min_u32(all, max_length), trained = 0;
    if (!check_ids(b, first, err))
        return false;
    for (uint32_t i = 1; i < length; i++)
        trained += out->labels.data[first + i] >= 0;
    if (trained == 0) {
        uint32_t masked = 0;
        while (masked < all && out->labels.data[first + masked] == VKFT_IGNORE_LABEL)
            masked++;
        vkft_fail(err, VKFT_ERR_INPUT,
                  "%s: nothing is left to train on: %u tokens of which the first %u are the prompt, and at most %u are "
                  "kept; shorten the prompt",
                  b->place, all, masked, max_length);
        return vkft_advise(err, VKFT_ADVICE_LONGER_SAMPLES);
    }
    if (!reserve_sample(out))
        return vkft_fail_memory(err, "while reading %s", b->place);
    out->samples[out->count++] = (vkft_encoded_sample){.length = length, .trained = trained, .dropped = all - length};
    out->ids.count = out->labels.count = first + length;
    return true;
}

/* Labels for the ids that have none yet. */
static bool label(builder *b, bool masked, vkft_err *err)
{
    vkft_encoded_row *out = b->out;
    while (out->labels.count < out->ids.count)
        if (!vkft_ids_push(&out->labels, masked ? VKFT_IGNORE_LABEL : out->ids.data[out->labels.count], err))
            return false;
    return true;
}

static bool encode(const builder *b, const char *text, bool special, vkft_err *err)
{
    char *decoded = strstr(text, "\xc0\x80") ? malloc(strlen(text) + 1) : NULL;
    size_t length = decoded ? vkft_json_decode_zeros(text, decoded) : strlen(text);
    bool ok = vkft_tokenizer_encode(b->encoder->tok, decoded ? decoded : text, length, special, &b->out->ids, err);
    free(decoded);
    return ok;
}

/* EOS, unless the tokenizer put it there already. */
static bool end_with_eos(builder *b, uint32_t first, vkft_err *err)
{
    vkft_ids *ids = &b->out->ids;
    int32_t eos = b->encoder->options->eos_id;
    return eos < 0 || (ids->count > first && ids->data[ids->count - 1] == eos) || vkft_ids_push(ids, eos, err);
}

static bool add_text(builder *b, const char *text, vkft_err *err)
{
    uint32_t first = b->out->ids.count;
    return encode(b, text, true, err) && end_with_eos(b, first, err) && label(b, false, err) &&
           end_sample(b, first, err);
}

/* Cuts what begins at `first` to max_seq_length, keeping the last token where it is EOS; *dropped counts. */
static void cut_side(builder *b, uint32_t first, uint32_t *dropped)
{
    vkft_ids *ids = &b->out->ids;
    uint32_t count = ids->count - first, max_length = b->encoder->options->max_seq_length;
    if (count <= max_length)
        return;
    int32_t last = ids->data[ids->count - 1];
    *dropped += count - max_length;
    ids->count = first + max_length;
    if (last == b->encoder->options->eos_id)
        ids->data[ids->count - 1] = last;
}

/* Ends a sample of two sides, whose source_length first tokens are the encoder's. */
static bool end_two_sides(builder *b, uint32_t first, uint32_t source_length, uint32_t dropped, vkft_err *err)
{
    if (!end_sample(b, first, err))
        return false;
    vkft_encoded_sample *sample = &b->out->samples[b->out->count - 1];
    sample->source_length = source_length;
    sample->dropped = dropped;
    return true;
}

/* Source tokens, the decoder's first token, target tokens, each side cut to length. */
static bool add_source_and_target(builder *b, const char *prompt, const char *completion, vkft_err *err)
{
    uint32_t first = b->out->ids.count, dropped = 0;
    if (!encode(b, prompt, true, err))
        return false;
    cut_side(b, first, &dropped);
    uint32_t source_length = b->out->ids.count - first;
    if (!vkft_ids_push(&b->out->ids, b->encoder->options->decoder_start_id, err) || !label(b, true, err))
        return false;
    uint32_t target = b->out->ids.count;
    if (!encode(b, completion, true, err) || !end_with_eos(b, target, err))
        return false;
    cut_side(b, target, &dropped);
    return label(b, false, err) && end_two_sides(b, first, source_length, dropped, err);
}

static bool add_pair(builder *b, const char *prompt, const char *completion, vkft_err *err)
{
    if (b->encoder->options->encoder_decoder)
        return add_source_and_target(b, prompt, completion, err);
    uint32_t first = b->out->ids.count;
    return encode(b, prompt, true, err) && label(b, b->encoder->options->mask_prompt, err) &&
           encode(b, completion, false, err) && end_with_eos(b, first, err) && label(b, false, err) &&
           end_sample(b, first, err);
}

static bool add_conversation(builder *b, const vkft_conversation *conversation, vkft_err *err)
{
    const vkft_dataset_options *o = b->encoder->options;
    vkft_encoded_row *out = b->out;
    uint32_t first = out->ids.count;
    uint8_t *mask = NULL;
    vkft_train_on train_on = o->mask_prompt ? o->train_on : VKFT_TRAIN_ON_ALL;
    if (!vkft_chat_template_encode(o->chat, b->encoder->tok, conversation, train_on, &out->ids, &mask, err))
        return vkft_fail_context(err, "%s", b->place);
    bool ok = true;
    while (ok && out->labels.count < out->ids.count) {
        uint32_t i = out->labels.count;
        ok = vkft_ids_push(&out->labels, mask[i] ? out->ids.data[i] : VKFT_IGNORE_LABEL, err);
    }
    free(mask);
    return ok && end_sample(b, first, err);
}

static bool add_pair_as_chat(builder *b, const char *prompt, const char *completion, vkft_err *err)
{
    cJSON *messages = cJSON_CreateArray();
    const char *const roles[] = {"user", "assistant"}, *const contents[] = {prompt, completion};
    bool ok = messages != NULL;
    for (int i = 0; ok && i < 2; i++) {
        cJSON *message = cJSON_CreateObject();
        ok = message && cJSON_AddStringToObject(message, "role", roles[i]) &&
             cJSON_AddStringToObject(message, "content", contents[i]) && cJSON_AddItemToArray(messages, message);
    }
    ok = ok ? add_conversation(b, &(vkft_conversation){.messages = messages}, err)
            : vkft_fail_memory(err, "while reading %s", b->place);
    cJSON_Delete(messages);
    return ok;
}

static bool push_numbers(const builder *b, const cJSON *array, const char *key, vkft_ids *out, vkft_err *err)
{
    const cJSON *item;
    uint32_t i = 0;
    cJSON_ArrayForEach(item, array)
    {
        double x = cJSON_IsNumber(item) ? item->valuedouble : 0.5;
        if (x < INT32_MIN || x > INT32_MAX || x != (double)(int32_t)x)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s[%u] is not a whole number", b->place, key, i);
        if (!vkft_ids_push(out, (int32_t)x, err))
            return false;
        i++;
    }
    return true;
}

static bool check_labels(const builder *b, uint32_t first, vkft_err *err)
{
    const vkft_ids *labels = &b->out->labels;
    uint32_t ids = b->out->ids.count - first, count = labels->count - first;
    if (count != ids)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: labels has %u values and input_ids %u; they must be as many",
                         b->place, count, ids);
    for (uint32_t i = 0; i < count; i++) {
        int32_t value = labels->data[first + i];
        if (value != VKFT_IGNORE_LABEL && (value < 0 || (uint32_t)value >= b->encoder->options->vocab_size))
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: labels[%u] is %d; expected -100 or an id below the vocabulary's %u", b->place, i,
                             value, b->encoder->options->vocab_size);
    }
    return true;
}

/* input_ids for the encoder and labels for the decoder, whose input they are too, one place later. */
static bool add_two_sides(builder *b, const cJSON *row, vkft_err *err)
{
    const cJSON *ids, *labels;
    vkft_encoded_row *out = b->out;
    uint32_t first = out->ids.count;
    if (!vkft_json_get_array(row, "input_ids", true, &ids, b->place, err) ||
        !vkft_json_get_array(row, "labels", true, &labels, b->place, err) ||
        !push_numbers(b, ids, "input_ids", &out->ids, err))
        return false;
    uint32_t source_length = out->ids.count - first;
    if (!vkft_ids_push(&out->ids, b->encoder->options->decoder_start_id, err) || !label(b, true, err))
        return false;
    uint32_t target = out->ids.count;
    if (!push_numbers(b, labels, "labels", &out->ids, err))
        return false;
    for (uint32_t i = target; i < out->ids.count; i++) { /* a label that does not count is read as padding */
        bool ignored = out->ids.data[i] == VKFT_IGNORE_LABEL;
        if (!vkft_ids_push(&out->labels, ignored ? VKFT_IGNORE_LABEL : out->ids.data[i], err))
            return false;
        if (ignored)
            out->ids.data[i] = b->encoder->options->decoder_start_id;
    }
    return end_two_sides(b, first, source_length, 0, err);
}

static bool add_tokens(builder *b, const cJSON *row, vkft_err *err)
{
    const cJSON *ids, *labels = NULL;
    uint32_t first = b->out->ids.count;
    if (b->encoder->options->encoder_decoder)
        return add_two_sides(b, row, err);
    if (!vkft_json_get_array(row, "input_ids", true, &ids, b->place, err) ||
        !vkft_json_get_array(row, "labels", false, &labels, b->place, err) ||
        !push_numbers(b, ids, "input_ids", &b->out->ids, err) || !check_ids(b, first, err))
        return false;
    if (labels ? !push_numbers(b, labels, "labels", &b->out->labels, err) || !check_labels(b, first, err)
               : !label(b, false, err))
        return false;
    return end_sample(b, first, err);
}

static bool add_example(void *context, const vkft_example *example, const char *place, vkft_err *err)
{
    builder *b = context;
    (void)place;
    if (example->row)
        return add_tokens(b, example->row, err);
    if (example->conversation.messages)
        return add_conversation(b, &example->conversation, err);
    if (example->text)
        return add_text(b, example->text, err);
    return b->encoder->options->apply_chat_template ? add_pair_as_chat(b, example->prompt, example->completion, err)
                                                    : add_pair(b, example->prompt, example->completion, err);
}

static bool check_needs(const vkft_row_encoder *e, const char *place, vkft_err *err)
{
    bool sides = e->format == VKFT_DATA_COMPLETION || e->format == VKFT_DATA_INSTRUCTION ||
                 e->format == VKFT_DATA_QUESTION || e->format == VKFT_DATA_SQUAD || e->format == VKFT_DATA_TOKENS;
    if (e->options->encoder_decoder && (!sides || e->options->apply_chat_template))
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "%s: rows of %s%s, but the model has an encoder and a decoder; expected a prompt and an answer", place,
            vkft_data_format_name(e->format), e->options->apply_chat_template ? " as conversations" : "");
    bool chat = e->format == VKFT_DATA_MESSAGES || e->format == VKFT_DATA_CONVERSATIONS ||
                (e->options->apply_chat_template && e->format != VKFT_DATA_TOKENS && e->format != VKFT_DATA_TEXT &&
                 e->format != VKFT_DATA_CORPUS);
    if (e->format != VKFT_DATA_TOKENS && !e->tok)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: the model has no tokenizer (no tokenizer.json, vocab.json or tokenizer.model), so text "
                         "cannot be encoded; add it to the model's directory, or give rows of input_ids",
                         place);
    if (!chat || e->options->chat)
        return true;
    vkft_fail(err, VKFT_ERR_INPUT, "%s: the model has no chat template, so conversations cannot be rendered", place);
    return vkft_advise(err, VKFT_ADVICE_GIVE_TEMPLATE);
}

bool vkft_row_encoder_detect(vkft_row_encoder *encoder, const vkft_row_slice *first, vkft_err *err)
{
    char place[700];
    name_place(encoder, first, place, sizeof place);
    encoder->format = VKFT_DATA_CORPUS;
    if (encoder->reader->kind != VKFT_ROWS_CORPUS) {
        cJSON *row = vkft_row_parse(encoder->reader, first, err);
        bool ok = row && vkft_shape_detect(&encoder->keys, row, place, &encoder->format, err);
        cJSON_Delete(row);
        if (!ok)
            return false;
    }
    return check_needs(encoder, place, err);
}

/* A block of a corpus; the special tokens stand before the first. */
static bool encode_block(const vkft_row_encoder *e, const vkft_row_slice *slice, vkft_encoded_row *out, vkft_err *err)
{
    builder b = {.encoder = e, .out = out, .place = e->path};
    return vkft_tokenizer_encode(e->tok, slice->text, slice->length, slice->number == 1, &out->ids, err) &&
           check_ids(&b, 0, err);
}

bool vkft_row_encode(const vkft_row_encoder *encoder, const vkft_row_slice *slice, vkft_encoded_row *out, vkft_err *err)
{
    char place[700];
    vkft_data_format format;
    out->ids.count = out->labels.count = out->count = 0;
    if (encoder->reader->kind == VKFT_ROWS_CORPUS)
        return encode_block(encoder, slice, out, err);
    name_place(encoder, slice, place, sizeof place);
    builder b = {.encoder = encoder, .out = out, .place = place};
    cJSON *row = vkft_row_parse(encoder->reader, slice, err);
    bool ok = row && vkft_shape_detect(&encoder->keys, row, place, &format, err);
    if (ok && format != encoder->format)
        ok = vkft_fail(err, VKFT_ERR_INPUT, "%s: a row of %s among rows of %s; all rows must have one shape", place,
                       vkft_data_format_name(format), vkft_data_format_name(encoder->format));
    ok = ok && vkft_shape_examples(&encoder->keys, row, format, place, add_example, &b, err);
    cJSON_Delete(row);
    return ok;
}
