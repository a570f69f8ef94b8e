/* A tokenizer's keys from its tokenizer.json.
 *
 * Byte-level BPE is written with its merges ("gpt2"). SentencePiece's BPE ("llama") has scores instead, by which
 * llama.cpp joins pieces: the highest one first. Of a tokenizer.json they are the ranks of the merges that make a
 * piece, with a minus sign, which gives the same order.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/keys.h"
#include "formats/tokenizer/files/sentencepiece.h"
#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"

typedef struct token {
    const char *text; /* NULL: there is none of this id */
    uint32_t kind;    /* VKFT_SP_NORMAL, ... */
    float score;
} token;

typedef struct maker {
    vkft_gguf_writer *writer;
    const vkft_config *config;
    const cJSON *root, *model;
    token *tokens;
    uint32_t count;
    bool pieces; /* of SentencePiece */
    vkft_string_map ids;
    vkft_err *err;
} maker;

static void put_text(const maker *m, const char *key, const char *text)
{
    vkft_gguf_put_string(m->writer, key, text, strlen(text));
}

static bool add_token(maker *m, const char *text, const cJSON *id, uint32_t kind)
{
    if (!cJSON_IsNumber(id) || !(id->valuedouble >= 0 && id->valuedouble < m->count) || !text)
        return vkft_fail(m->err, VKFT_ERR_INPUT,
                         "the tokenizer's token '%.60s' has id %.0f, for which the embedding of %" PRIu32
                         " rows has no row",
                         text ? text : "", cJSON_IsNumber(id) ? id->valuedouble : -1.0, m->count);
    token *t = &m->tokens[(uint32_t)id->valuedouble];
    t->text = text;
    t->kind = kind;
    return true;
}

static bool is_byte(const char *text)
{
    return strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && text[5] == '>';
}

static bool collect_tokens(maker *m)
{
    const cJSON *item, *vocab = vkft_json_member(m->model, "vocab");
    const char *unknown = cJSON_GetStringValue(vkft_json_member(m->model, "unk_token"));
    cJSON_ArrayForEach(item, vocab)
    {
        bool byte = m->pieces && item->string && is_byte(item->string);
        if (!add_token(m, item->string, item, byte ? VKFT_SP_BYTE : VKFT_SP_NORMAL))
            return false;
    }
    cJSON_ArrayForEach(item, vkft_json_member(m->root, "added_tokens"))
    {
        const char *text = cJSON_GetStringValue(vkft_json_member(item, "content"));
        bool special = cJSON_IsTrue(vkft_json_member(item, "special"));
        bool is_unknown = m->pieces && text && unknown && strcmp(text, unknown) == 0;
        if (!add_token(m, text, vkft_json_member(item, "id"),
                       is_unknown ? VKFT_SP_UNKNOWN
                       : special  ? VKFT_SP_CONTROL
                                  : VKFT_SP_USER_DEFINED))
            return false;
    }
    return true;
}

static bool index_tokens(maker *m)
{
    if (!vkft_string_map_new(&m->ids, m->count, m->err))
        return false;
    for (uint32_t i = 0; i < m->count; i++)
        if (m->tokens[i].text && vkft_string_map_get(&m->ids, m->tokens[i].text, strlen(m->tokens[i].text)) < 0)
            vkft_string_map_put(&m->ids, m->tokens[i].text, strlen(m->tokens[i].text), (int32_t)i);
    return true;
}

/* A merge "left right" or ["left", "right"] as the two, in a buffer of which the first one ends at the space. */
static bool merge_text(const cJSON *merge, vkft_text *text, size_t *space)
{
    const char *one = cJSON_GetStringValue(merge), *left = cJSON_GetStringValue(cJSON_GetArrayItem(merge, 0)),
               *right = cJSON_GetStringValue(cJSON_GetArrayItem(merge, 1));
    text->length = 0;
    if (one && vkft_text_append(text, one, strlen(one), NULL)) {
        const char *at = strchr(one, ' ');
        *space = at ? (size_t)(at - one) : 0;
        return at != NULL;
    }
    *space = left ? strlen(left) : 0;
    return left && right && vkft_text_append(text, left, strlen(left), NULL) && vkft_text_append(text, " ", 1, NULL) &&
           vkft_text_append(text, right, strlen(right), NULL);
}

static bool fail_merge(const maker *m, uint64_t index)
{
    return vkft_fail(m->err, VKFT_ERR_INPUT, "the tokenizer's merge %" PRIu64 " is not two texts", index);
}

static bool put_merges(const maker *m)
{
    const cJSON *item, *merges = vkft_json_member(m->model, "merges");
    vkft_text text = {0};
    uint64_t index = 0;
    size_t space;
    bool ok = true;
    vkft_gguf_put_array(m->writer, "tokenizer.ggml.merges", VKFT_GGUF_STRING, (uint64_t)cJSON_GetArraySize(merges));
    cJSON_ArrayForEach(item, merges)
    {
        ok = ok && (merge_text(item, &text, &space) || fail_merge(m, index));
        if (ok)
            vkft_gguf_put_element_string(m->writer, text.data, text.length);
        index++;
    }
    vkft_text_free(&text);
    return ok;
}

static bool set_scores(maker *m)
{
    const cJSON *item, *merges = vkft_json_member(m->model, "merges");
    const float lowest = -(float)(cJSON_GetArraySize(merges) + 1);
    vkft_text text = {0};
    uint64_t rank = 0;
    size_t space;
    bool ok = index_tokens(m);
    for (uint32_t i = 0; i < m->count; i++)
        m->tokens[i].score = m->tokens[i].kind == VKFT_SP_NORMAL ? lowest : 0;
    cJSON_ArrayForEach(item, merges)
    {
        ok = ok && (merge_text(item, &text, &space) || fail_merge(m, rank));
        if (!ok)
            break;
        memmove(text.data + space, text.data + space + 1, text.length - space); /* with the zero past the end */
        int32_t id = vkft_string_map_get(&m->ids, text.data, text.length - 1);
        if (id >= 0 && m->tokens[id].score == lowest)
            m->tokens[id].score = -(float)rank;
        rank++;
    }
    vkft_text_free(&text);
    return ok;
}

static void put_tokens(const maker *m)
{
    vkft_gguf_put_array(m->writer, "tokenizer.ggml.tokens", VKFT_GGUF_STRING, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        char unused[32];
        snprintf(unused, sizeof unused, "[PAD%" PRIu32 "]", i);
        const char *text = m->tokens[i].text ? m->tokens[i].text : unused;
        vkft_gguf_put_element_string(m->writer, text, strlen(text));
    }
    vkft_gguf_put_array(m->writer, "tokenizer.ggml.token_type", VKFT_GGUF_I32, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        const uint8_t kind[4] = {(uint8_t)(m->tokens[i].text ? m->tokens[i].kind : VKFT_SP_UNUSED)};
        vkft_gguf_put_element(m->writer, kind, sizeof kind);
    }
    if (!m->pieces)
        return;
    vkft_gguf_put_array(m->writer, "tokenizer.ggml.scores", VKFT_GGUF_F32, m->count);
    for (uint32_t i = 0; i < m->count; i++)
        vkft_gguf_put_element(m->writer, &m->tokens[i].score, sizeof(float));
}

/* Whether a part of tokenizer.json, or one inside it, is of this type and puts a space before a text. */
static bool adds_prefix(const cJSON *part)
{
    const char *type = cJSON_GetStringValue(vkft_json_member(part, "type")),
               *scheme = cJSON_GetStringValue(vkft_json_member(part, "prepend_scheme"));
    if (type && strcmp(type, "Prepend") == 0)
        return true;
    if (type && strcmp(type, "Metaspace") == 0)
        return !scheme || strcmp(scheme, "never") != 0;
    const cJSON *item;
    bool found = false;
    cJSON_ArrayForEach(item, vkft_json_member(part, "normalizers")) found |= adds_prefix(item);
    cJSON_ArrayForEach(item, vkft_json_member(part, "pretokenizers")) found |= adds_prefix(item);
    return found;
}

static bool put_kind(maker *m)
{
    if (m->pieces) {
        put_text(m, "tokenizer.ggml.model", "llama");
        put_text(m, "tokenizer.ggml.pre", "default");
        vkft_gguf_put_bool(m->writer, "tokenizer.ggml.add_space_prefix",
                           adds_prefix(vkft_json_member(m->root, "normalizer")) ||
                               adds_prefix(vkft_json_member(m->root, "pre_tokenizer")));
        return set_scores(m);
    }
    const char *pre = vkft_gguf_pre_of(m->root);
    if (!pre)
        return vkft_fail(
            m->err, VKFT_ERR_INPUT,
            "the tokenizer cuts texts by rules for which tokenizer.ggml.pre has no name that is known here: "
            "it cannot be written into a GGUF file");
    put_text(m, "tokenizer.ggml.model", "gpt2");
    put_text(m, "tokenizer.ggml.pre", pre);
    return put_merges(m);
}

static void put_id(const maker *m, const char *key, int32_t id)
{
    if (id >= 0 && (uint32_t)id < m->count)
        vkft_gguf_put_u32(m->writer, key, (uint32_t)id);
}

/* The id of a token that tokenizer_config.json names. */
static int32_t named(const cJSON *config, const vkft_tokenizer *tokenizer, const char *key)
{
    const cJSON *value = vkft_json_member(config, key);
    const char *text = cJSON_GetStringValue(cJSON_IsObject(value) ? vkft_json_member(value, "content") : value);
    return text ? vkft_tokenizer_id(tokenizer, text) : -1;
}

/* Where a turn of a conversation ends otherwise than a text: the token that the template has and the tokenizer's eos
 * is not. llama.cpp stops at both. */
static int32_t end_of_turn(const maker *m, int32_t eos, const char *chat)
{
    const vkft_config *c = m->config;
    if (!chat || (eos >= 0 && (uint32_t)eos < m->count && m->tokens[eos].text && strstr(chat, m->tokens[eos].text)))
        return -1;
    for (uint32_t i = 0; i < c->eos_count; i++) {
        int32_t id = c->eos_token_ids[i];
        if (id != eos && id >= 0 && (uint32_t)id < m->count && m->tokens[id].text && strstr(chat, m->tokens[id].text))
            return id;
    }
    return -1;
}

/* The token that the tokenizer puts before a text, and the one past it; -1: none. */
static bool find_frame(const maker *m, const vkft_tokenizer *tokenizer, int32_t *before, int32_t *after)
{
    vkft_ids plain = {0}, full = {0};
    bool ok = vkft_tokenizer_encode(tokenizer, "a", 1, false, &plain, m->err) &&
              vkft_tokenizer_encode(tokenizer, "a", 1, true, &full, m->err);
    uint32_t first = 0;
    while (ok && first + plain.count < full.count &&
           memcmp(full.data + first, plain.data, plain.count * sizeof *plain.data) != 0)
        first++;
    uint32_t last = ok ? full.count - first - plain.count : 0;
    if (ok && (first > 1 || last > 1))
        ok = vkft_fail(m->err, VKFT_ERR_INPUT,
                       "the tokenizer puts %u tokens before a text and %u past it; a GGUF file can say one of each",
                       first, last);
    *before = ok && first ? full.data[0] : -1;
    *after = ok && last ? full.data[full.count - 1] : -1;
    vkft_ids_free(&plain);
    vkft_ids_free(&full);
    return ok;
}

static bool put_special(const maker *m, const vkft_small_file files[], const char *chat)
{
    const vkft_small_file *text = &files[VKFT_FILE_TOKENIZER_CONFIG];
    vkft_tokenizer *tokenizer = NULL;
    int32_t before, after;
    if (!vkft_tokenizer_from_files(files, &tokenizer, m->err))
        return false;
    bool ok = find_frame(m, tokenizer, &before, &after);
    cJSON *config = text->data ? vkft_json_parse_config(text->data, text->length, "tokenizer_config.json", NULL) : NULL;
    int32_t bos = before >= 0 ? before : vkft_tokenizer_bos_id(tokenizer),
            eos = after >= 0 ? after : vkft_tokenizer_eos_id(tokenizer);
    bos = bos >= 0 ? bos : m->config->bos_token_id;
    eos = eos >= 0 ? eos : m->config->eos_count ? m->config->eos_token_ids[0] : -1;
    if (ok) {
        put_id(m, "tokenizer.ggml.bos_token_id", bos);
        put_id(m, "tokenizer.ggml.eos_token_id", eos);
        put_id(m, "tokenizer.ggml.eot_token_id", end_of_turn(m, eos, chat));
        put_id(m, "tokenizer.ggml.unknown_token_id", named(config, tokenizer, "unk_token"));
        put_id(m, "tokenizer.ggml.padding_token_id", named(config, tokenizer, "pad_token"));
        vkft_gguf_put_bool(m->writer, "tokenizer.ggml.add_bos_token", before >= 0);
        vkft_gguf_put_bool(m->writer, "tokenizer.ggml.add_eos_token", after >= 0);
    }
    cJSON_Delete(config);
    vkft_tokenizer_free(tokenizer);
    return ok;
}

/* A model without a tokenizer still has ids that mean something. */
static void put_without(const maker *m, const vkft_observer *observer)
{
    vkft_observer_say(observer, "the model has no tokenizer, so the file has none: llama.cpp reads no text with it");
    put_text(m, "tokenizer.ggml.model", "no_vocab");
    put_id(m, "tokenizer.ggml.bos_token_id", m->config->bos_token_id);
    put_id(m, "tokenizer.ggml.eos_token_id", m->config->eos_count ? m->config->eos_token_ids[0] : -1);
}

bool vkft_gguf_put_tokenizer(vkft_gguf_writer *writer, const vkft_small_file files[VKFT_TOKENIZER_FILES],
                             const vkft_config *config, const char *chat_template, const vkft_observer *observer,
                             vkft_err *err)
{
    maker m = {.writer = writer, .config = config, .count = config->vocab_size, .err = err};
    cJSON *root;
    if (!vkft_tokenizer_json_of_files(files, &root, err))
        return false;
    if (!root) {
        put_without(&m, observer);
        return true;
    }
    m.root = root;
    m.model = vkft_json_member(root, "model");
    m.tokens = calloc(m.count + 1ull, sizeof *m.tokens);
    m.pieces = cJSON_IsTrue(vkft_json_member(m.model, "byte_fallback"));
    const char *type = cJSON_GetStringValue(vkft_json_member(m.model, "type"));
    bool ok = m.tokens || vkft_fail_memory(err, "for the tokenizer");
    if (ok && ((type && strcmp(type, "BPE") != 0) || !vkft_json_member(m.model, "merges")))
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "a tokenizer of type '%.40s' cannot be written into a GGUF file; expected BPE",
                       type ? type : "missing");
    ok = ok && collect_tokens(&m) && put_kind(&m);
    if (ok)
        put_tokens(&m);
    ok = ok && put_special(&m, files, chat_template);
    if (ok && chat_template)
        put_text(&m, "tokenizer.chat_template", chat_template);
    vkft_string_map_free(&m.ids);
    free(m.tokens);
    cJSON_Delete(root);
    return ok;
}
