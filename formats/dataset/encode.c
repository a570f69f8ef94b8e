/* Tokenizing, masking and cutting the examples of a row. */
#include "formats/dataset/encode_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/size.h"

void vkft_encoded_row_free(vkft_encoded_row *row)
{
    vkft_ids_free(&row->ids);
    vkft_ids_free(&row->labels);
    free(row->samples);
    free(row->rejected);
    memset(row, 0, sizeof *row);
}

void vkft_row_encoder_place(const vkft_row_encoder *e, const vkft_row_slice *slice, char *place, size_t size)
{
    if (e->reader->kind == VKFT_ROWS_TABLE)
        snprintf(place, size, "%.600s: row %llu", e->path, (unsigned long long)slice->number);
    else if (vkft_rows_are_numbered(e->reader))
        snprintf(place, size, "%.600s: row %llu (line %llu)", e->path, (unsigned long long)slice->number,
                 (unsigned long long)slice->line);
    else
        snprintf(place, size, "%.600s: line %llu", e->path, (unsigned long long)slice->line);
}

bool builder_check_ids(const builder *b, uint32_t first, vkft_err *err)
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

bool builder_put_sample(builder *b, vkft_encoded_sample sample, vkft_err *err)
{
    if (!reserve_sample(b->out))
        return vkft_fail_memory(err, "while reading %s", b->place);
    b->out->samples[b->out->count++] = sample;
    return true;
}

/* In tokens; with an encoder both sides have been cut before. */
static uint32_t longest_sample(const vkft_dataset_options *o)
{
    return o->encoder_decoder ? UINT32_MAX : o->max_seq_length;
}

static bool add_rejected(builder *b, vkft_bad_reason reason, const char *message, vkft_err *err)
{
    vkft_encoded_row *out = b->out;
    if (out->rejected_count == out->rejected_capacity) {
        uint32_t capacity = out->rejected_capacity ? 2 * out->rejected_capacity : 4;
        vkft_rejected *rejected = realloc(out->rejected, capacity * sizeof *rejected);
        if (!rejected)
            return vkft_fail_memory(err, "while reading %s", b->place);
        out->rejected = rejected;
        out->rejected_capacity = capacity;
    }
    vkft_rejected *added = &out->rejected[out->rejected_count++];
    added->reason = reason;
    snprintf(added->message, sizeof added->message, "%s", message);
    vkft_clean_line(added->message, sizeof added->message);
    return true;
}

bool builder_reject(builder *b, uint32_t first, vkft_bad_reason reason, vkft_err *err, const char *format, ...)
{
    char message[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    b->out->ids.count = b->out->labels.count = first;
    return add_rejected(b, reason, message, err);
}

bool builder_end_sample(builder *b, uint32_t first, vkft_bad_reason reason, vkft_err *err)
{
    vkft_encoded_row *out = b->out;
    uint32_t all = out->ids.count - first, max_length = longest_sample(b->encoder->options),
             length = min_u32(all, max_length), trained = 0, masked = 0;
    if (!builder_check_ids(b, first, err))
        return false;
    for (uint32_t i = 1; i < length; i++)
        trained += out->labels.data[first + i] >= 0;
    while (masked < all && out->labels.data[first + masked] == VKFT_IGNORE_LABEL)
        masked++;
    if (all > max_length && b->encoder->options->drop_long_rows)
        return builder_reject(b, first, VKFT_BAD_TOO_LONG, err, "%u tokens, the maximum is %u", all, max_length);
    if (trained == 0 && all > max_length && masked < all)
        return builder_reject(b, first, VKFT_BAD_LONG_PROMPT, err, "the prompt has %u tokens, the maximum is %u",
                              masked, max_length);
    if (trained == 0)
        return builder_reject(b, first, all < 2 ? VKFT_BAD_EMPTY : reason, err, "%u token%s, %u of them masked", all,
                              all == 1 ? "" : "s", masked);
    out->ids.count = out->labels.count = first + length;
    return builder_put_sample(b, (vkft_encoded_sample){.length = length, .trained = trained, .dropped = all - length},
                              err);
}

bool builder_label(builder *b, bool masked, vkft_err *err)
{
    vkft_encoded_row *out = b->out;
    while (out->labels.count < out->ids.count)
        if (!vkft_ids_push(&out->labels, masked ? VKFT_IGNORE_LABEL : out->ids.data[out->labels.count], err))
            return false;
    return true;
}

bool builder_encode_prompt(const builder *b, const char *text, vkft_ids *ids, vkft_err *err)
{
    char *decoded = strstr(text, "\xc0\x80") ? malloc(strlen(text) + 1) : NULL;
    size_t length = decoded ? vkft_json_decode_zeros(text, decoded) : strlen(text);
    bool ok = vkft_tokenizer_encode_prompt(b->encoder->tok, decoded ? decoded : text, length, ids, err);
    free(decoded);
    return ok;
}

bool builder_encode(const builder *b, const char *text, bool special, vkft_err *err)
{
    bool zeros = strstr(text, "\xc0\x80") != NULL;
    char *decoded = zeros ? malloc(strlen(text) + 1) : NULL;
    if (zeros && !decoded)
        return vkft_fail_memory(err, "while reading %s", b->place);
    size_t length = decoded ? vkft_json_decode_zeros(text, decoded) : strlen(text);
    bool ok = vkft_tokenizer_encode(b->encoder->tok, decoded ? decoded : text, length, special, &b->out->ids, err);
    free(decoded);
    return ok;
}

bool builder_end_with_eos(const builder *b, vkft_ids *ids, uint32_t first, vkft_err *err)
{
    int32_t eos = b->encoder->options->eos_id;
    return eos < 0 || (ids->count > first && ids->data[ids->count - 1] == eos) || vkft_ids_push(ids, eos, err);
}

static bool add_text(builder *b, const char *text, vkft_err *err)
{
    uint32_t first = b->out->ids.count;
    return builder_encode(b, text, true, err) && builder_end_with_eos(b, &b->out->ids, first, err) &&
           builder_label(b, false, err) && builder_end_sample(b, first, VKFT_BAD_EMPTY, err);
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

bool builder_end_two_sides(builder *b, uint32_t first, uint32_t source_length, uint32_t dropped, vkft_bad_reason reason,
                           vkft_err *err)
{
    uint32_t before = b->out->count;
    if (dropped && b->encoder->options->drop_long_rows)
        return builder_reject(b, first, VKFT_BAD_TOO_LONG, err, "%u tokens more than the maximum of %u", dropped,
                              b->encoder->options->max_seq_length);
    if (!builder_end_sample(b, first, reason, err))
        return false;
    if (b->out->count > before) {
        vkft_encoded_sample *sample = &b->out->samples[before];
        sample->source_length = source_length;
        sample->dropped = dropped;
    }
    return true;
}

/* Source tokens, the decoder's first token, target tokens, each side cut to length. */
static bool add_source_and_target(builder *b, const char *prompt, const char *completion, vkft_err *err)
{
    uint32_t first = b->out->ids.count, dropped = 0;
    if (!builder_encode(b, prompt, true, err))
        return false;
    cut_side(b, first, &dropped);
    uint32_t source_length = b->out->ids.count - first;
    if (!vkft_ids_push(&b->out->ids, b->encoder->options->decoder_start_id, err) || !builder_label(b, true, err))
        return false;
    uint32_t target = b->out->ids.count;
    if (!builder_encode(b, completion, true, err) || !builder_end_with_eos(b, &b->out->ids, target, err))
        return false;
    cut_side(b, target, &dropped);
    return builder_label(b, false, err) && builder_end_two_sides(b, first, source_length, dropped, VKFT_BAD_EMPTY, err);
}

/* Prompt and completion as one text, for tokenizers that put a space before any text by itself: the completion would
 * get one that the data does not have. It begins where the prompt's own ids end to agree with those of the whole. */
static bool encode_joined(builder *b, uint32_t first, const char *prompt, const char *completion, vkft_err *err)
{
    size_t n = strlen(prompt), size = n + strlen(completion) + 1;
    char *whole = malloc(size);
    vkft_ids alone = {0}, *ids = &b->out->ids;
    if (whole) {
        memcpy(whole, prompt, n);
        memcpy(whole + n, completion, size - n);
    }
    bool ok = (whole || vkft_fail_memory(err, "while reading %s", b->place)) &&
              builder_encode_prompt(b, prompt, &alone, err) && builder_encode_prompt(b, whole, ids, err);
    for (uint32_t i = 0; ok && i < alone.count && first + i < ids->count && alone.data[i] == ids->data[first + i]; i++)
        ok = vkft_ids_push(&b->out->labels, b->encoder->options->mask_prompt ? VKFT_IGNORE_LABEL : alone.data[i], err);
    vkft_ids_free(&alone);
    free(whole);
    return ok;
}

static bool encode_apart(builder *b, const char *prompt, const char *completion, vkft_err *err)
{
    return builder_encode_prompt(b, prompt, &b->out->ids, err) &&
           builder_label(b, b->encoder->options->mask_prompt, err) && builder_encode(b, completion, false, err);
}

static bool add_pair(builder *b, const char *prompt, const char *completion, vkft_err *err)
{
    if (b->encoder->options->encoder_decoder)
        return add_source_and_target(b, prompt, completion, err);
    uint32_t first = b->out->ids.count;
    return (vkft_tokenizer_adds_prefix(b->encoder->tok) ? encode_joined(b, first, prompt, completion, err)
                                                        : encode_apart(b, prompt, completion, err)) &&
           builder_end_with_eos(b, &b->out->ids, first, err) && builder_label(b, false, err) &&
           builder_end_sample(b, first, VKFT_BAD_EMPTY, err);
}

/* Rejects a conversation in which nothing is trained: because of its roles, or of its weights. */
static bool reject_conversation(builder *b, uint32_t first, const cJSON *messages, vkft_err *err)
{
    char roles[200] = "";
    const cJSON *message;
    bool assistant = false;
    cJSON_ArrayForEach(message, messages)
    {
        const char *role = cJSON_GetStringValue(vkft_json_member(message, "role"));
        size_t at = strlen(roles);
        assistant = assistant || (role && strcmp(role, "assistant") == 0);
        if (role && at < sizeof roles - 50 && !strstr(roles, role))
            snprintf(roles + at, sizeof roles - at, "%s%.40s", at ? ", " : "", role);
    }
    return assistant ? builder_reject(b, first, VKFT_BAD_MASKED, err, "no message of the assistant has a weight")
                     : builder_reject(b, first, VKFT_BAD_NO_ASSISTANT, err,
                                      "no message has the role assistant; roles found: %s", roles);
}

static bool encode_conversation(const builder *b, const vkft_conversation *conversation, uint8_t **mask, vkft_err *err)
{
    const vkft_dataset_options *o = b->encoder->options;
    vkft_train_on train_on = o->mask_prompt ? o->train_on : VKFT_TRAIN_ON_ALL;
    return vkft_chat_template_encode(o->chat, b->encoder->tok, conversation, train_on, &b->out->ids, mask, err);
}

/* A conversation that cannot be rendered once more, now with ids of its tool calls if they have none. */
static bool encode_with_ids(const builder *b, uint32_t first, const vkft_conversation *conversation, uint8_t **mask,
                            bool *given, vkft_err *err)
{
    vkft_conversation copy = *conversation;
    b->out->ids.count = first;
    vkft_err other = {0};
    cJSON *messages = cJSON_Duplicate(conversation->messages, true);
    copy.messages = messages;
    bool ok = messages || vkft_fail_memory(&other, "for a conversation");
    ok =
        ok && vkft_chat_give_call_ids(messages, given, &other) && *given && encode_conversation(b, &copy, mask, &other);
    cJSON_Delete(messages);
    if (other.kind == VKFT_ERR_MEMORY) /* else the first error is the one to tell */
        *err = other;
    return ok;
}

static bool add_conversation(builder *b, const vkft_conversation *conversation, vkft_err *err)
{
    vkft_encoded_row *out = b->out;
    vkft_err failure = {0};
    uint32_t first = out->ids.count, marked = 0, before = out->count;
    uint8_t *mask = NULL;
    bool given = false;
    if (!encode_conversation(b, conversation, &mask, &failure) &&
        (failure.kind != VKFT_ERR_INPUT || !encode_with_ids(b, first, conversation, &mask, &given, &failure))) {
        if (failure.kind == VKFT_ERR_INPUT)
            return builder_reject(b, first, VKFT_BAD_CONVERSATION, err, "%s", failure.message);
        if (err)
            *err = failure;
        return vkft_fail_context(err, "%s", b->place);
    }
    bool ok = true;
    while (ok && out->labels.count < out->ids.count) {
        uint32_t i = out->labels.count;
        marked += mask[i];
        ok = vkft_ids_push(&out->labels, mask[i] ? out->ids.data[i] : VKFT_IGNORE_LABEL, err);
    }
    free(mask);
    if (ok && marked == 0)
        return reject_conversation(b, first, conversation->messages, err);
    ok = ok && builder_end_sample(b, first, VKFT_BAD_EMPTY, err);
    if (ok && out->count > before)
        out->samples[before].made_call_ids = given;
    return ok;
}

static bool add_sample(builder *b, const vkft_example *example, vkft_err *err)
{
    if (example->choice)
        return builder_add_choice(b, example->choice, err);
    if (example->row)
        return builder_add_tokens(b, example->row, err);
    if (example->conversation.messages)
        return add_conversation(b, &example->conversation, err);
    return example->text ? add_text(b, example->text, err) : add_pair(b, example->prompt, example->completion, err);
}

static bool add_example(void *context, const vkft_example *example, vkft_err *err)
{
    builder *b = context;
    uint32_t first = b->out->ids.count, before = b->out->count;
    if (!add_sample(b, example, err))
        return false;
    return !example->alternatives || b->out->count == before ||
           builder_add_alternatives(b, example, first, before, err);
}

static bool reject_example(void *context, vkft_bad_reason reason, const char *message, vkft_err *err)
{
    return add_rejected(context, reason, message, err);
}

bool builder_need_template(const vkft_row_encoder *e, const char *place, vkft_err *err)
{
    if (e->options->chat)
        return true;
    if (e->options->chat_error)
        vkft_fail(err, VKFT_ERR_INPUT, "%s: the model's chat template cannot be used: %s", place,
                  e->options->chat_error);
    else
        vkft_fail(err, VKFT_ERR_INPUT, "%s: the model has no chat template, so conversations cannot be rendered",
                  place);
    return vkft_advise(err, VKFT_ADVICE_GIVE_TEMPLATE);
}

static bool check_needs(const vkft_row_encoder *e, const char *place, vkft_err *err)
{
    bool sides = e->format == VKFT_DATA_COMPLETION || e->format == VKFT_DATA_INSTRUCTION ||
                 e->format == VKFT_DATA_QUESTION || e->format == VKFT_DATA_CHOICES || e->format == VKFT_DATA_SQUAD ||
                 e->format == VKFT_DATA_TOKENS;
    if (e->options->encoder_decoder && (!sides || e->options->apply_chat_template))
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "%s: rows of %s%s, but the model has an encoder and a decoder; expected a prompt and an answer", place,
            vkft_data_format_name(e->format), e->options->apply_chat_template ? " as conversations" : "");
    bool tokens =
        e->format == VKFT_DATA_TOKENS || e->format == VKFT_DATA_PAIR_TOKENS || e->format == VKFT_DATA_LABELLED_TOKENS;
    bool chat =
        e->format == VKFT_DATA_MESSAGES || e->format == VKFT_DATA_CONVERSATIONS || e->format == VKFT_DATA_DIALOGUE ||
        (e->options->apply_chat_template && !tokens && e->format != VKFT_DATA_TEXT && e->format != VKFT_DATA_CORPUS);
    if (!tokens && !e->tok)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: the model has no tokenizer (no tokenizer.json, vocab.json or tokenizer.model), so text "
                         "cannot be encoded; add it to the model's directory, or give rows of input_ids",
                         place);
    return !chat || builder_need_template(e, place, err);
}

bool vkft_row_encoder_detect(vkft_row_encoder *encoder, const vkft_row_slice *slice, char *unused, size_t unused_size,
                             vkft_err *err)
{
    char place[700];
    vkft_row_encoder_place(encoder, slice, place, sizeof place);
    encoder->format = VKFT_DATA_CORPUS;
    unused[0] = 0;
    if (encoder->reader->kind == VKFT_ROWS_CORPUS && encoder->options->preferences != VKFT_PREFERENCES_NONE)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: plain text; preference training needs rows with a prompt and its answers, such as "
                         "{\"prompt\": \"...\", \"chosen\": \"...\", \"rejected\": \"...\"} in a .jsonl file",
                         encoder->path);
    if (encoder->reader->kind != VKFT_ROWS_CORPUS) {
        cJSON *row = vkft_row_parse(encoder->reader, slice, err);
        bool ok = row && vkft_shape_detect(&encoder->keys, row, place, &encoder->format, err);
        if (ok)
            vkft_shape_unused(&encoder->keys, row, encoder->format, encoder->options->apply_chat_template, unused,
                              unused_size);
        if (ok && encoder->options->chat)
            vkft_chat_template_unused(encoder->options->chat,
                                      &(vkft_conversation){.messages = vkft_json_member(row, "messages"),
                                                           .tools = vkft_json_member(row, "tools")},
                                      unused, unused_size);
        cJSON_Delete(row);
        if (!ok)
            return false;
    }
    return check_needs(encoder, place, err);
}

/* The text with \n for \r\n and \r, as Python's text mode reads it; NULL: out of memory. */
static char *plain_lines(const char *text, size_t *length)
{
    char *out = malloc(*length + 1);
    size_t n = 0;
    for (size_t i = 0; out && i < *length; i++) {
        bool pair = text[i] == '\r' && i + 1 < *length && text[i + 1] == '\n';
        out[n++] = text[i] == '\r' ? '\n' : text[i];
        i += pair;
    }
    *length = n;
    return out;
}

/* A block of a corpus; the special tokens stand before the first. */
static bool encode_block(const vkft_row_encoder *e, const vkft_row_slice *slice, vkft_encoded_row *out, vkft_err *err)
{
    builder b = {.encoder = e, .out = out, .place = e->path};
    const char *text = slice->text;
    char *copy = NULL;
    size_t length = slice->length;
    if (!vkft_row_check_text(e->reader, slice, err))
        return false;
    if (memchr(text, '\r', length)) {
        text = copy = plain_lines(text, &length);
        if (!copy)
            return vkft_fail_memory(err, "while reading %s", e->path);
    }
    bool ok = vkft_tokenizer_encode(e->tok, text, length, slice->number == 1, &out->ids, err) &&
              builder_check_ids(&b, 0, err);
    free(copy);
    return ok;
}

bool vkft_row_encode(const vkft_row_encoder *encoder, const vkft_row_slice *slice, vkft_encoded_row *out, vkft_err *err)
{
    char place[700];
    out->ids.count = out->labels.count = out->count = out->rejected_count = 0;
    if (encoder->reader->kind == VKFT_ROWS_CORPUS)
        return encode_block(encoder, slice, out, err);
    vkft_row_encoder_place(encoder, slice, place, sizeof place);
    builder b = {.encoder = encoder, .out = out, .place = place};
    const vkft_shape_sink sink = {.as_chat = encoder->options->apply_chat_template,
                                  .learn_prompts = !encoder->options->mask_prompt,
                                  .example = add_example,
                                  .reject = reject_example,
                                  .context = &b};
    cJSON *row = vkft_row_parse(encoder->reader, slice, err);
    bool ok = row && vkft_shape_check(&encoder->keys, row, encoder->format, place, err) &&
              vkft_shape_examples(&encoder->keys, row, encoder->format, place, &sink, err);
    cJSON_Delete(row);
    return ok;
}
