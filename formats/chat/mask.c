/* A conversation as token ids, with the tokens that are trained marked. */
#include <stdlib.h>
#include <string.h>

#include "formats/chat/chat_template_private.h"
#include "runtime/base/size.h"

/* A rendered text and its ids. Text from a special token on is encoded as it is in the whole: places are found from the
 * last known one, at that byte, before that token. */
typedef struct encoded {
    const vkft_tokenizer *tok;
    const vkft_text *text;
    const int32_t *ids;
    uint32_t count;
    size_t known_byte;
    uint32_t known_token;
} encoded;

/* A place between two bytes of the text, in tokens. */
typedef struct place {
    uint32_t before; /* tokens that end at or before it */
    bool inside;     /* the next token begins before it */
} place;

static bool decoded_length(const vkft_tokenizer *tok, const int32_t *ids, uint32_t count, size_t *length, vkft_err *err)
{
    vkft_text text = {0};
    bool ok = vkft_tokenizer_decode(tok, ids, count, false, &text, err);
    *length = text.length;
    vkft_text_free(&text);
    return ok;
}

/* The text up to the place, encoded by itself, mostly has the first ids of the whole. Where its last ones differ (a
 * token stands across the place, or what follows decides how the text before it is cut), lengths tell which ids of the
 * whole lie before it. */
static bool find_place(encoded *e, size_t at, place *p, vkft_err *err)
{
    vkft_ids part = {0};
    size_t left = 0, taken = 0, from = at > e->known_byte ? e->known_byte : 0;
    if (at == e->known_byte) {
        *p = (place){e->known_token, false};
        return true;
    }
    if (!vkft_tokenizer_encode(e->tok, e->text->data ? e->text->data + from : "", at - from, false, &part, err)) {
        vkft_ids_free(&part);
        return false;
    }
    uint32_t same = 0, first = from ? e->known_token : 0, n, end;
    if (from && (part.count == 0 || part.data[0] != e->ids[first])) { /* a token that is matched in normalized text */
        vkft_ids_free(&part);
        e->known_byte = e->known_token = 0;
        return find_place(e, at, p, err);
    }
    while (same < part.count && first + same < e->count && part.data[same] == e->ids[first + same])
        same++;
    n = first + same;
    bool ok = decoded_length(e->tok, part.data + same, part.count - same, &left, err);
    for (end = n; ok && taken < left && end < e->count; end++) {
        size_t length;
        ok = decoded_length(e->tok, e->ids + n, end + 1 - n, &length, err);
        if (ok && length > left)
            break;
        taken = length;
    }
    *p = (place){end, taken < left};
    if (ok && !p->inside && end < e->count && vkft_tokenizer_is_special(e->tok, e->ids[end])) {
        e->known_byte = at;
        e->known_token = end;
    }
    vkft_ids_free(&part);
    return ok;
}

static bool is_blank(const encoded *e, uint32_t i, bool *blank, vkft_err *err)
{
    vkft_text text = {0};
    bool ok = vkft_tokenizer_decode(e->tok, e->ids + i, 1, false, &text, err);
    *blank = true;
    for (size_t k = 0; k < text.length; k++)
        *blank = *blank && vkft_is_space(text.data[k]);
    vkft_text_free(&text);
    return ok;
}

/* The end of a turn among the tokens from `from` to `end`, of which nothing is the message's own text: after the
 * model's end-of-sequence token; else after the last special token; else after the last one that is no white space;
 * else the end. What follows it, a line's end in most templates, is not the assistant's. *found: there is a special
 * token. */
static bool end_of_turn(const encoded *e, uint32_t from, uint32_t end, uint32_t *after, bool *found, vkft_err *err)
{
    bool blank = true;
    *found = false;
    *after = end;
    while (*after > from && blank) {
        if (!is_blank(e, *after - 1, &blank, err))
            return false;
        *after -= blank;
    }
    *after = *after == from ? end : *after;
    for (uint32_t i = from; i < end; i++) {
        if (!vkft_tokenizer_is_special(e->tok, e->ids[i]))
            continue;
        *found = true;
        *after = i + 1;
        if (e->ids[i] == vkft_tokenizer_eos_id(e->tok))
            break;
    }
    return true;
}

/* Where the template ends a turn after what it wrote for the message: with the next one, by special tokens; or after
 * all messages, by the model's end-of-sequence token. */
static uint32_t end_after_part(const encoded *e, const vkft_turn *turn, uint32_t end, uint32_t limit)
{
    int32_t eos = vkft_tokenizer_eos_id(e->tok), bos = vkft_tokenizer_bos_id(e->tok);
    while (turn->in_next && end < limit && vkft_tokenizer_is_special(e->tok, e->ids[end]) &&
           (e->ids[end] != bos || bos == eos))
        end++;
    return !turn->in_next && end < limit && e->ids[end] == eos ? end + 1 : end;
}

static bool mark_turn(encoded *e, const vkft_turn *turn, uint8_t value, uint8_t *mask, vkft_err *err)
{
    place begin, tail, end, limit;
    bool found;
    if (!find_place(e, turn->begin, &begin, err) || !find_place(e, turn->tail, &tail, err) ||
        !find_place(e, turn->end, &end, err) || !find_place(e, turn->limit, &limit, err))
        return false;
    uint32_t last;
    if (!end_of_turn(e, tail.before + tail.inside, end.before + end.inside, &last, &found, err))
        return false;
    if (!found)
        last = end_after_part(e, turn, last, limit.before);
    if (last > begin.before)
        memset(mask + begin.before, value, last - begin.before);
    return true;
}

/* As transformers: every token that holds a byte of the range. */
static bool mark_range(encoded *e, vkft_byte_range range, uint8_t value, uint8_t *mask, vkft_err *err)
{
    place begin, end;
    if (range.end <= range.begin)
        return true;
    if (!find_place(e, range.begin, &begin, err) || !find_place(e, range.end, &end, err))
        return false;
    uint32_t last = min_u32(end.before + end.inside, e->count);
    if (last > begin.before)
        memset(mask + begin.before, value, last - begin.before);
    return true;
}

/* The message in whose part a byte stands, from 1; 0: none. */
static uint32_t writer_at(const vkft_jinja_output *out, size_t at)
{
    for (uint32_t i = 0; i < out->run_count; i++)
        if (at < out->runs[i].end)
            return out->runs[i].writer < VKFT_JINJA_OTHER_LOOP ? out->runs[i].writer : 0;
    return 0;
}

static bool is_trained(const vkft_conversation *c, uint32_t message)
{
    return !c->untrained || !c->untrained[message];
}

static bool has_untrained(const vkft_conversation *c)
{
    uint32_t count = (uint32_t)cJSON_GetArraySize(c->messages);
    for (uint32_t i = 0; i < count; i++)
        if (!is_trained(c, i))
            return true;
    return false;
}

/* What the template's own marks say. Turns get `value`: those that are trained 1, or those that are not 0. */
static bool mark_generated(encoded *e, const vkft_jinja_output *out, const vkft_conversation *c, bool last_only,
                           uint8_t value, uint8_t *mask, vkft_err *err)
{
    uint32_t last = out->generated_count ? writer_at(out, out->generated[out->generated_count - 1].begin) : 0;
    for (uint32_t i = 0; i < out->generated_count; i++) {
        uint32_t writer = writer_at(out, out->generated[i].begin);
        if (last_only && (last ? writer != last : i + 1 < out->generated_count))
            continue;
        if (!writer && has_untrained(c))
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "some messages are not to be trained, but the chat template does not tell which message a "
                             "{%% generation %%} block belongs to");
        if (value == (!writer || is_trained(c, writer - 1)) && !mark_range(e, out->generated[i], value, mask, err))
            return false;
    }
    return true;
}

static bool mark_turns(encoded *e, const vkft_chat_template *chat, vkft_jinja_output *out, const vkft_conversation *c,
                       bool last_only, uint8_t value, uint8_t *mask, vkft_err *err)
{
    vkft_turn *turns;
    uint32_t count;
    bool ok = vkft_chat_turns(chat, c, out, &turns, &count, err);
    for (uint32_t i = last_only && ok && count ? count - 1 : 0; ok && i < count; i++)
        ok = value != is_trained(c, turns[i].message) || mark_turn(e, &turns[i], value, mask, err);
    free(turns);
    return ok;
}

bool vkft_chat_template_encode(const vkft_chat_template *chat, const vkft_tokenizer *tok,
                               const vkft_conversation *conversation, vkft_train_on train_on, vkft_ids *ids,
                               uint8_t **mask, vkft_err *err)
{
    vkft_jinja_output out = {0};
    vkft_conversation c = *conversation;
    cJSON *messages = vkft_chat_messages(c.messages, err);
    uint32_t first = ids->count;
    *mask = NULL;
    c.messages = messages;
    bool ok = messages && vkft_chat_render(chat, &c, false, &out, err) &&
              vkft_tokenizer_encode(tok, out.text.data ? out.text.data : "", out.text.length, false, ids, err);
    if (ok && !(*mask = calloc(ids->count + 1ull, 1)))
        ok = vkft_fail_memory(err, "for a conversation");
    encoded e = {.tok = tok,
                 .text = &out.text,
                 .ids = ids->count > first ? ids->data + first : NULL,
                 .count = ids->count - first};
    bool all = train_on == VKFT_TRAIN_ON_ALL, last = train_on == VKFT_TRAIN_ON_LAST;
    if (ok && all)
        memset(*mask + first, 1, e.count);
    if (ok && (!all || has_untrained(&c)))
        ok = vkft_jinja_has_generation(vkft_chat_template_for(chat, c.tools))
                 ? mark_generated(&e, &out, &c, last, !all, *mask + first, err)
                 : mark_turns(&e, chat, &out, &c, last, !all, *mask + first, err);
    if (!ok) {
        free(*mask);
        *mask = NULL;
    }
    vkft_jinja_output_free(&out);
    cJSON_Delete(messages);
    return ok;
}
