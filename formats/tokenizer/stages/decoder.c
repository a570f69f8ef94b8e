/* Decoders: tokens back to text, and streaming. */
#include "formats/tokenizer/stages/decoder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"

static bool set_content(vkft_decoder_step *step, const char *text, vkft_err *err)
{
    step->content = strdup(text);
    return step->content || vkft_fail_memory(err, "while decoding");
}

static bool read_step(vkft_decoder_step *step, const cJSON *json, const char *type, const char *where, vkft_err *err)
{
    const char *text = "\xe2\x96\x81", *scheme = "always";
    if (strcmp(type, "ByteLevel") == 0) {
        step->kind = VKFT_DECODE_BYTE_LEVEL;
        return true;
    }
    if (strcmp(type, "ByteFallback") == 0) {
        step->kind = VKFT_DECODE_BYTE_FALLBACK;
        return true;
    }
    if (strcmp(type, "Fuse") == 0) {
        step->kind = VKFT_DECODE_FUSE;
        return true;
    }
    if (strcmp(type, "Strip") == 0) {
        step->kind = VKFT_DECODE_STRIP;
        return vkft_json_get_string(json, "content", true, &text, where, err) && set_content(step, text, err) &&
               vkft_json_get_u32(json, "start", false, &step->start, where, err) &&
               vkft_json_get_u32(json, "stop", false, &step->stop, where, err);
    }
    if (strcmp(type, "Replace") == 0) {
        step->kind = VKFT_DECODE_REPLACE;
        return vkft_json_get_string(json, "content", true, &text, where, err) && set_content(step, text, err) &&
               vkft_pattern_new(&step->pattern, vkft_json_member(json, "pattern"), where, err);
    }
    if (strcmp(type, "Metaspace") == 0) {
        bool add_prefix_space = true;
        step->kind = VKFT_DECODE_METASPACE;
        if (!vkft_json_get_string(json, "replacement", false, &text, where, err) || !set_content(step, text, err) ||
            !vkft_json_get_string(json, "prepend_scheme", false, &scheme, where, err) ||
            !vkft_json_get_bool(json, "add_prefix_space", false, &add_prefix_space, where, err))
            return false;
        step->strip_first = add_prefix_space && strcmp(scheme, "never") != 0;
        return true;
    }
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: \"%s\" is not supported; supported are ByteLevel, ByteFallback, Fuse, Strip, Replace, "
                     "Metaspace and Sequence",
                     where, type);
}

bool vkft_decoder_new(vkft_decoder *d, const cJSON *json, const char *file, vkft_err *err)
{
    char where[600];
    const char *type;
    if (!json || cJSON_IsNull(json))
        return true;
    snprintf(where, sizeof where, "%.500s: decoder", file);
    if (!vkft_json_get_string(json, "type", true, &type, where, err))
        return false;
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *part, *parts;
        if (!vkft_json_get_array(json, "decoders", true, &parts, where, err))
            return false;
        cJSON_ArrayForEach(part, parts) if (!vkft_decoder_new(d, part, file, err)) return false;
        return true;
    }
    if (d->count == VKFT_MAX_STEPS)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: more than %d steps", where, VKFT_MAX_STEPS);
    vkft_decoder_step *steps = realloc(d->steps, (d->count + 1) * sizeof *steps);
    if (!steps)
        return vkft_fail_memory(err, "while decoding");
    d->steps = steps;
    steps[d->count] = (vkft_decoder_step){0};
    return read_step(&steps[d->count++], json, type, where, err);
}

void vkft_decoder_free(vkft_decoder *d)
{
    for (uint32_t i = 0; i < d->count; i++) {
        vkft_pattern_free(&d->steps[i].pattern);
        free(d->steps[i].content);
    }
    free(d->steps);
    *d = (vkft_decoder){0};
}

/* Tokens on their way through the steps. */
typedef struct token_list {
    vkft_text *tokens;
    uint32_t count;
    size_t limit; /* what steps may still write in place of something */
    vkft_err *err;
} token_list;

/* Puts text in the place of token i. */
static bool set_token(token_list *l, uint32_t i, vkft_text *text)
{
    vkft_text_free(&l->tokens[i]);
    l->tokens[i] = *text;
    *text = (vkft_text){0};
    return vkft_text_append(&l->tokens[i], "", 0, l->err);
}

/* All tokens become one. */
static bool fuse(token_list *l, bool (*take)(vkft_text *text, const vkft_text *token, vkft_err *err), bool valid)
{
    vkft_text raw = {0}, text = {0};
    bool ok = true;
    for (uint32_t i = 0; ok && i < l->count; i++)
        ok = take(&raw, &l->tokens[i], l->err);
    ok = ok && (valid ? vkft_text_append(&text, raw.data, raw.length, l->err)
                      : vkft_text_append_valid(&text, raw.data, raw.length, l->err));
    if (ok && l->count) {
        ok = set_token(l, 0, &text);
        for (uint32_t i = 1; i < l->count; i++)
            l->tokens[i].length = 0;
    }
    vkft_text_free(&raw);
    vkft_text_free(&text);
    return ok;
}

static bool take_text(vkft_text *text, const vkft_text *token, vkft_err *err)
{
    return vkft_text_append(text, token->data, token->length, err);
}

/* The bytes that the token's characters stand for, or the token as it is when one of them stands for none. */
static bool take_bytes(vkft_text *text, const vkft_text *token, vkft_err *err)
{
    size_t begin = text->length;
    for (size_t i = 0; i < token->length;) {
        size_t n = vkft_utf8_length(token->data + i, token->length - i);
        int byte = n ? vkft_point_to_byte(vkft_utf8_decode(token->data + i, n)) : -1;
        if (byte < 0) {
            text->length = begin;
            return take_text(text, token, err);
        }
        char c = (char)byte;
        if (!vkft_text_append(text, &c, 1, err))
            return false;
        i += n;
    }
    return true;
}

static bool is_byte_token(const vkft_text *token, unsigned *byte)
{
    return token->length == 6 && memcmp(token->data, "<0x", 3) == 0 && token->data[5] == '>' &&
           sscanf(token->data + 3, "%2X", byte) == 1;
}

/* Runs of <0xXX> become their bytes when those are valid UTF-8, else one U+FFFD a byte. */
static bool byte_fallback(token_list *l)
{
    for (uint32_t i = 0; i < l->count;) {
        vkft_text run = {0};
        unsigned byte;
        uint32_t end = i;
        for (; end < l->count && is_byte_token(&l->tokens[end], &byte); end++) {
            char c = (char)byte;
            if (!vkft_text_append(&run, &c, 1, l->err)) {
                vkft_text_free(&run);
                return false;
            }
        }
        if (end == i) {
            i++;
            continue;
        }
        size_t at = 0, n = 1;
        while (at < run.length && (n = vkft_utf8_length(run.data + at, run.length - at)))
            at += n;
        bool valid = at == run.length && n;
        vkft_text text = {0};
        bool ok = true;
        for (uint32_t k = 0; ok && k < end - i; k++)
            ok = valid ? vkft_text_append(&text, &run.data[k], 1, l->err)
                       : vkft_text_append(&text, "\xef\xbf\xbd", 3, l->err);
        ok = ok && set_token(l, i, &text);
        for (uint32_t k = i + 1; ok && k < end; k++)
            l->tokens[k].length = 0;
        vkft_text_free(&run);
        vkft_text_free(&text);
        if (!ok)
            return false;
        i = end;
    }
    return true;
}

static void strip(const vkft_decoder_step *step, vkft_text *token)
{
    size_t n = strlen(step->content), length = token->length, from = 0;
    const char *data = token->data;
    for (uint32_t k = 0; n && k < step->start && from + n <= length && memcmp(data + from, step->content, n) == 0; k++)
        from += n;
    for (uint32_t k = 0; n && k < step->stop && length >= from + n && memcmp(data + length - n, step->content, n) == 0;
         k++)
        length -= n;
    token->length = length - from;
    memmove(token->data, data + from, token->length);
}

static bool replace(const vkft_decoder_step *step, token_list *l, uint32_t index)
{
    const vkft_text *token = &l->tokens[index];
    vkft_text text = {0};
    bool ok = true;
    vkft_match match = {0};
    size_t at = 0;
    do {
        ok = vkft_pattern_next(&step->pattern, token->data, token->length, &match, l->err) &&
             vkft_text_append(&text, token->data + at, match.begin - at, l->err) &&
             (!match.found || vkft_text_append_within(&text, l->limit, step->content, strlen(step->content), l->err));
        at = match.end;
    } while (ok && match.found);
    l->limit -= ok && text.length < l->limit ? text.length : 0;
    ok = ok && set_token(l, index, &text);
    vkft_text_free(&text);
    return ok;
}

static bool metaspace(const vkft_decoder_step *step, token_list *l, uint32_t index)
{
    const vkft_text *token = &l->tokens[index];
    size_t n = strlen(step->content);
    vkft_text text = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < token->length;) {
        bool marker = n && i + n <= token->length && memcmp(token->data + i, step->content, n) == 0;
        if (!marker)
            ok = vkft_text_append(&text, token->data + i, 1, l->err);
        else if (!(index == 0 && step->strip_first))
            ok = vkft_text_append(&text, " ", 1, l->err);
        i += marker ? n : 1;
    }
    ok = ok && set_token(l, index, &text);
    vkft_text_free(&text);
    return ok;
}

static bool apply(const vkft_decoder_step *step, token_list *l)
{
    switch (step->kind) {
    case VKFT_DECODE_BYTE_LEVEL: return fuse(l, take_bytes, false);
    case VKFT_DECODE_FUSE: return fuse(l, take_text, true);
    case VKFT_DECODE_BYTE_FALLBACK: return byte_fallback(l);
    default: break;
    }
    for (uint32_t i = 0; i < l->count; i++) {
        if (step->kind == VKFT_DECODE_STRIP)
            strip(step, &l->tokens[i]);
        else if (!(step->kind == VKFT_DECODE_REPLACE ? replace(step, l, i) : metaspace(step, l, i)))
            return false;
    }
    return true;
}

bool vkft_decoder_apply(const vkft_decoder *d, vkft_text *tokens, uint32_t count, vkft_text *out, vkft_err *err)
{
    token_list l = {.tokens = tokens, .count = count, .err = err};
    size_t length = 0;
    for (uint32_t i = 0; i < count; i++)
        length += tokens[i].length;
    l.limit = vkft_longest_text(length);
    for (uint32_t i = 0; i < d->count; i++)
        if (!apply(&d->steps[i], &l))
            return false;
    for (uint32_t i = 0; i < count; i++)
        if ((d->count == 0 && i > 0 && !vkft_text_append(out, " ", 1, err)) ||
            !vkft_text_append(out, tokens[i].data, tokens[i].length, err))
            return false;
    return true;
}
