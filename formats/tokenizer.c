/* The tokenizer as a whole: reading tokenizer.json, added tokens, encoding, decoding.
 *
 * Encoding: added tokens that are matched in the raw text cut it into sections; each section is normalized, cut again at the added tokens
 * that are matched in normalized text, pre-tokenized into pieces, and the pieces go through the model. The post-processor puts special
 * tokens around the whole.
 */
#include "tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "json_file.h"
#include "tokenizer_private.h"

#define MAX_VOCABULARY (1u << 24)

static bool out_of_memory(vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory for the tokenizer");
}

void vkft_ids_free(vkft_ids *ids)
{
    free(ids->data);
    *ids = (vkft_ids){0};
}

bool vkft_ids_push(vkft_ids *ids, int32_t id, vkft_err *err)
{
    if (ids->count == ids->capacity) {
        if (ids->capacity > UINT32_MAX / 8)
            return vkft_fail(err, VKFT_ERR_MEMORY, "a text has too many tokens");
        uint32_t capacity = ids->capacity ? 2 * ids->capacity : 64;
        int32_t *data = realloc(ids->data, capacity * sizeof *data);
        if (!data)
            return vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory for %u token ids", capacity);
        ids->data = data;
        ids->capacity = capacity;
    }
    ids->data[ids->count++] = id;
    return true;
}

static bool read_added(vkft_tokenizer *tok, const cJSON *list, const char *where, vkft_err *err)
{
    const cJSON *item;
    tok->added = calloc((size_t)cJSON_GetArraySize(list) + 1, sizeof *tok->added);
    if (!tok->added)
        return out_of_memory(err);
    cJSON_ArrayForEach(item, list)
    {
        vkft_added_token *a = &tok->added[tok->added_count];
        const char *content;
        a->normalized = true;
        if (!vkft_json_get_string(item, "content", true, &content, where, err) ||
            !vkft_json_get_i32(item, "id", true, &a->id, where, err) ||
            !vkft_json_get_bool(item, "special", false, &a->special, where, err) ||
            !vkft_json_get_bool(item, "lstrip", false, &a->lstrip, where, err) ||
            !vkft_json_get_bool(item, "rstrip", false, &a->rstrip, where, err) ||
            !vkft_json_get_bool(item, "single_word", false, &a->single_word, where, err) ||
            !vkft_json_get_bool(item, "normalized", false, &a->normalized, where, err))
            return false;
        if (a->id < 0 || (uint32_t)a->id >= MAX_VOCABULARY)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: the id %d of \"%.60s\" is out of range", where, a->id, content);
        vkft_text text = {0};
        tok->added_count++;
        if (!vkft_text_append(&text, content, strlen(content), err) ||
            (a->normalized && !vkft_normalizers_apply(&tok->normalizers, &text, err))) {
            vkft_text_free(&text);
            return false;
        }
        a->name = content;
        a->content = text.data;
        a->length = (uint32_t)text.length;
    }
    return true;
}

static bool index_tokens(vkft_tokenizer *tok, const char *where, vkft_err *err)
{
    uint32_t highest = 0;
    for (uint32_t i = 0; i < tok->bpe.vocab.capacity; i++)
        if (tok->bpe.vocab.entries[i].key && (uint32_t)tok->bpe.vocab.entries[i].value + 1 > highest)
            highest = (uint32_t)tok->bpe.vocab.entries[i].value + 1;
    for (uint32_t i = 0; i < tok->added_count; i++)
        if ((uint32_t)tok->added[i].id + 1 > highest)
            highest = (uint32_t)tok->added[i].id + 1;
    if (highest > MAX_VOCABULARY)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: the highest token id is %u; at most %u are supported", where, highest - 1, MAX_VOCABULARY);
    tok->vocab_size = highest;
    tok->tokens = calloc(highest + 1ull, sizeof *tok->tokens);
    if (!tok->tokens)
        return out_of_memory(err);
    for (uint32_t i = 0; i < tok->bpe.vocab.capacity; i++)
        if (tok->bpe.vocab.entries[i].key)
            tok->tokens[tok->bpe.vocab.entries[i].value] = tok->bpe.vocab.entries[i].key;
    for (uint32_t i = 0; i < tok->added_count; i++)
        tok->tokens[tok->added[i].id] = tok->added[i].content;
    return true;
}

int32_t vkft_tokenizer_id(const vkft_tokenizer *tok, const char *token)
{
    for (uint32_t i = 0; i < tok->added_count; i++)
        if (strcmp(tok->added[i].name, token) == 0)
            return tok->added[i].id;
    return vkft_string_map_get(&tok->bpe.vocab, token, strlen(token));
}

/* One entry of a template: {"SpecialToken": {"id": "<s>"}} or {"Sequence": ...}. */
static bool read_template(vkft_tokenizer *tok, const cJSON *post, const char *where, vkft_err *err)
{
    const cJSON *single, *entry, *specials = vkft_json_member(post, "special_tokens");
    bool after = false;
    if (!vkft_json_get_array(post, "single", true, &single, where, err))
        return false;
    cJSON_ArrayForEach(entry, single)
    {
        const cJSON *special = vkft_json_member(entry, "SpecialToken");
        if (!special) {
            after = true;
            continue;
        }
        const char *name;
        if (!vkft_json_get_string(special, "id", true, &name, where, err))
            return false;
        const cJSON *id, *ids = vkft_json_member(vkft_json_member(specials, name), "ids");
        if (!cJSON_IsArray(ids))
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: special token \"%.60s\" has no ids", where, name);
        cJSON_ArrayForEach(id, ids)
        {
            uint64_t number;
            if (!vkft_json_is_u64(id, &number) || number >= MAX_VOCABULARY)
                return vkft_fail(err, VKFT_ERR_INPUT, "%s: special token \"%.60s\" has an id out of range", where, name);
            if (!vkft_ids_push(after ? &tok->suffix : &tok->prefix, (int32_t)number, err))
                return false;
        }
    }
    return true;
}

static bool read_post_processor(vkft_tokenizer *tok, const cJSON *post, const char *file, vkft_err *err)
{
    char where[600];
    const char *type;
    if (!post || cJSON_IsNull(post))
        return true;
    snprintf(where, sizeof where, "%.500s: post_processor", file);
    if (!vkft_json_get_string(post, "type", true, &type, where, err))
        return false;
    if (strcmp(type, "ByteLevel") == 0)
        return true;
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(tok, post, where, err);
    if (strcmp(type, "Sequence") == 0) {
        const cJSON *part, *parts;
        if (!vkft_json_get_array(post, "processors", true, &parts, where, err))
            return false;
        cJSON_ArrayForEach(part, parts)
            if (!read_post_processor(tok, part, file, err))
                return false;
        return true;
    }
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: \"%s\" is not supported; supported are TemplateProcessing, ByteLevel and Sequence", where,
                     type);
}

/* A token of tokenizer_config.json: a string or an object with "content"; -1: none. */
static int32_t config_token(const vkft_tokenizer *tok, const cJSON *config, const char *key)
{
    const cJSON *value = vkft_json_member(config, key);
    const char *text = cJSON_IsObject(value) ? cJSON_GetStringValue(vkft_json_member(value, "content")) : cJSON_GetStringValue(value);
    return text ? vkft_tokenizer_id(tok, text) : -1;
}

static bool read_config(vkft_tokenizer *tok, const char *json, size_t length, vkft_err *err)
{
    bool add_bos = false, add_eos = false;
    const char *file = "tokenizer_config.json";
    cJSON *config = vkft_json_parse(json, length, file, err);
    if (!config)
        return false;
    tok->bos_id = config_token(tok, config, "bos_token");
    tok->eos_id = config_token(tok, config, "eos_token");
    bool ok = vkft_json_get_bool(config, "add_bos_token", false, &add_bos, file, err) &&
              vkft_json_get_bool(config, "add_eos_token", false, &add_eos, file, err);
    cJSON_Delete(config);
    if (ok && add_bos && tok->prefix.count == 0 && tok->bos_id >= 0)
        ok = vkft_ids_push(&tok->prefix, tok->bos_id, err);
    if (ok && add_eos && tok->suffix.count == 0 && tok->eos_id >= 0)
        ok = vkft_ids_push(&tok->suffix, tok->eos_id, err);
    return ok;
}

vkft_tokenizer *vkft_tokenizer_new(const char *json, size_t json_length, const char *config_json, size_t config_length,
                                   const char *file, vkft_err *err)
{
    char where[600];
    const cJSON *model, *added = NULL;
    vkft_tokenizer *tok = calloc(1, sizeof *tok);
    if (!tok) {
        out_of_memory(err);
        return NULL;
    }
    tok->bos_id = tok->eos_id = -1;
    snprintf(where, sizeof where, "%.500s: added_tokens", file);
    tok->root = vkft_json_parse(json, json_length, file, err);
    if (tok->root && vkft_json_get_object(tok->root, "model", true, &model, file, err) &&
        vkft_json_get_array(tok->root, "added_tokens", false, &added, file, err) &&
        vkft_normalizers_new(&tok->normalizers, vkft_json_member(tok->root, "normalizer"), file, err) &&
        vkft_pre_tokenizer_new(&tok->pre, vkft_json_member(tok->root, "pre_tokenizer"), file, err) &&
        vkft_decoder_new(&tok->decoder, vkft_json_member(tok->root, "decoder"), file, err) &&
        vkft_bpe_new(&tok->bpe, model, file, err) && read_added(tok, added, where, err) && index_tokens(tok, where, err) &&
        read_post_processor(tok, vkft_json_member(tok->root, "post_processor"), file, err) &&
        (!config_json || read_config(tok, config_json, config_length, err)))
        return tok;
    vkft_tokenizer_free(tok);
    return NULL;
}

void vkft_tokenizer_free(vkft_tokenizer *tok)
{
    if (!tok)
        return;
    vkft_normalizers_free(&tok->normalizers);
    vkft_pre_tokenizer_free(&tok->pre);
    vkft_bpe_free(&tok->bpe);
    vkft_decoder_free(&tok->decoder);
    for (uint32_t i = 0; i < tok->added_count; i++)
        free(tok->added[i].content);
    free(tok->added);
    free(tok->tokens);
    vkft_ids_free(&tok->prefix);
    vkft_ids_free(&tok->suffix);
    cJSON_Delete(tok->root);
    free(tok);
}

static bool is_white(const char *s, size_t n)
{
    uint32_t p = vkft_utf8_decode(s, n);
    return p == ' ' || (p >= 9 && p <= 13) || p == 0x85 || p == 0xa0 || p == 0x1680 || (p >= 0x2000 && p <= 0x200a) || p == 0x2028 ||
           p == 0x2029 || p == 0x202f || p == 0x205f || p == 0x3000;
}

/* Start of the character that ends at `end`. */
static size_t character_before(const char *text, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && ((unsigned char)text[at] & 0xc0) == 0x80)
        at--;
    return at;
}

static bool is_word(const char *s, size_t n)
{
    switch (utf8proc_category((utf8proc_int32_t)vkft_utf8_decode(s, n))) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT: case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_PC: case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME: return true;
    default: return false;
    }
}

static bool stands_alone(const char *text, size_t length, size_t begin, size_t end)
{
    if (begin > 0) {
        size_t at = character_before(text, begin);
        if (is_word(text + at, begin - at))
            return false;
    }
    size_t n = vkft_utf8_length(text + end, length - end);
    return !n || !is_word(text + end, n);
}

/* The longest added token of the wanted kind at this place. */
static const vkft_added_token *added_at(const vkft_tokenizer *tok, bool normalized, const char *text, size_t available)
{
    const vkft_added_token *best = NULL;
    for (uint32_t i = 0; i < tok->added_count; i++) {
        const vkft_added_token *a = &tok->added[i];
        if (a->normalized == normalized && a->length && a->length <= available && a->content[0] == text[0] &&
            (!best || a->length > best->length) && memcmp(a->content, text, a->length) == 0)
            best = a;
    }
    return best;
}

/* The first added token from `start` on; begin and end include the white space that it strips. */
static const vkft_added_token *find_added(const vkft_tokenizer *tok, bool normalized, const char *text, size_t length, size_t start,
                                          size_t *begin, size_t *end)
{
    for (size_t i = start; i < length; i++) {
        const vkft_added_token *a = added_at(tok, normalized, text + i, length - i);
        if (!a)
            continue;
        *begin = i;
        *end = i + a->length;
        if (a->single_word && !stands_alone(text, length, *begin, *end)) {
            i = *end - 1;
            continue;
        }
        while (a->lstrip && *begin > start) {
            size_t at = character_before(text, *begin);
            if (!is_white(text + at, *begin - at))
                break;
            *begin = at;
        }
        for (size_t n; a->rstrip && (n = vkft_utf8_length(text + *end, length - *end)) && is_white(text + *end, n);)
            *end += n;
        return a;
    }
    return NULL;
}

/* What encoding works with from call to call. */
typedef struct encoder {
    const vkft_tokenizer *tok;
    vkft_ids *ids;
    vkft_piece_list pieces;
    bool at_start;
    vkft_err *err;
} encoder;

/* Plain text without added tokens, normalized. */
static bool encode_plain(encoder *e, const char *text, size_t length)
{
    vkft_text copy = {0};
    bool ok = vkft_text_append(&copy, text, length, e->err) &&
              vkft_pre_tokenizer_apply(&e->tok->pre, &copy, e->at_start, &e->pieces, e->err);
    for (uint32_t i = 0; ok && i < e->pieces.count; i++) {
        struct vkft_span span = e->pieces.spans[i];
        ok = vkft_bpe_encode(&e->tok->bpe, copy.data + span.begin, span.end - span.begin, e->ids, e->err);
    }
    vkft_text_free(&copy);
    return ok;
}

static bool encode_section(encoder *e, const char *text, size_t length);

/* Cuts at the added tokens of one kind; what lies between goes to the next stage. */
static bool encode_between(encoder *e, bool normalized, const char *text, size_t length)
{
    size_t at = 0, begin, end;
    for (const vkft_added_token *a; (a = find_added(e->tok, normalized, text, length, at, &begin, &end)); at = end) {
        if (begin > at && !(normalized ? encode_plain(e, text + at, begin - at) : encode_section(e, text + at, begin - at)))
            return false;
        e->at_start = false;
        if (!vkft_ids_push(e->ids, a->id, e->err))
            return false;
    }
    return at >= length ||
           (normalized ? encode_plain(e, text + at, length - at) : encode_section(e, text + at, length - at));
}

/* Raw text without special tokens. */
static bool encode_section(encoder *e, const char *text, size_t length)
{
    vkft_text normal = {0};
    bool ok = vkft_text_append(&normal, text, length, e->err) && vkft_normalizers_apply(&e->tok->normalizers, &normal, e->err) &&
              encode_between(e, true, normal.data, normal.length);
    vkft_text_free(&normal);
    e->at_start = false;
    return ok;
}

static bool push_all(vkft_ids *ids, const vkft_ids *more, vkft_err *err)
{
    for (uint32_t i = 0; i < more->count; i++)
        if (!vkft_ids_push(ids, more->data[i], err))
            return false;
    return true;
}

bool vkft_tokenizer_encode(const vkft_tokenizer *tok, const char *text, size_t length, bool add_special_tokens, vkft_ids *out,
                           vkft_err *err)
{
    encoder e = {.tok = tok, .ids = out, .at_start = true, .err = err};
    vkft_text valid = {0};
    bool ok = vkft_text_append_valid(&valid, text, length, err) && (!add_special_tokens || push_all(out, &tok->prefix, err)) &&
              encode_between(&e, false, valid.data, valid.length) && (!add_special_tokens || push_all(out, &tok->suffix, err));
    vkft_text_free(&valid);
    vkft_pieces_free(&e.pieces);
    return ok;
}

bool vkft_tokenizer_is_special(const vkft_tokenizer *tok, int32_t id)
{
    for (uint32_t i = 0; i < tok->added_count; i++)
        if (tok->added[i].id == id)
            return tok->added[i].special;
    return false;
}

bool vkft_tokenizer_decode(const vkft_tokenizer *tok, const int32_t *ids, uint32_t count, bool skip_special_tokens, vkft_text *out,
                           vkft_err *err)
{
    vkft_text *tokens = calloc(count + 1ull, sizeof *tokens);
    uint32_t n = 0;
    bool ok = tokens || out_of_memory(err);
    for (uint32_t i = 0; ok && i < count; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= tok->vocab_size || !tok->tokens[ids[i]]) {
            ok = vkft_fail(err, VKFT_ERR_INPUT, "token id %d is not in the tokenizer's vocabulary of %u", ids[i], tok->vocab_size);
        } else if (!(skip_special_tokens && vkft_tokenizer_is_special(tok, ids[i]))) {
            const char *token = tok->tokens[ids[i]];
            ok = vkft_text_append(&tokens[n++], token, strlen(token), err);
        }
    }
    ok = ok && vkft_decoder_apply(&tok->decoder, tokens, n, out, err) && vkft_text_append(out, "", 0, err);
    for (uint32_t i = 0; i < n; i++)
        vkft_text_free(&tokens[i]);
    free(tokens);
    return ok;
}

uint32_t vkft_tokenizer_vocab_size(const vkft_tokenizer *tok)
{
    return tok->vocab_size;
}

int32_t vkft_tokenizer_bos_id(const vkft_tokenizer *tok)
{
    return tok->bos_id;
}

int32_t vkft_tokenizer_eos_id(const vkft_tokenizer *tok)
{
    return tok->eos_id;
}
