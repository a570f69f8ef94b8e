/* See models.h. */
#include "formats/tokenizer/files/models.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/stages/charsmap.h"
#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"
#include "formats/tokenizer/files/merges.h"
#include "runtime/base/size.h"
#include "runtime/base/utf8.h"

/* {"type": "BPE", "vocab": vocab, "merges": [], ...}; vocab becomes the model's in any case. */
static cJSON *bpe_model(cJSON *vocab, const char *flags, cJSON **merges, vkft_err *err)
{
    cJSON *model = cJSON_Parse(flags);
    if (!vocab || !model || !cJSON_AddItemToObject(model, "vocab", vocab)) {
        cJSON_Delete(vocab);
        cJSON_Delete(model);
        vkft_fail_memory(err, "for the tokenizer");
        return NULL;
    }
    *merges = cJSON_AddArrayToObject(model, "merges");
    if (!*merges)
        vkft_fail_memory(err, "for the tokenizer");
    return model;
}

/* Deletes the model unless ok. */
static cJSON *finish(cJSON *model, bool ok)
{
    if (!ok)
        cJSON_Delete(model);
    return ok ? model : NULL;
}

/* Of T5, which has 100. */
#define MAX_EXTRA_IDS 10000u

/* The lines of a text, one by one. */
typedef struct line_reader {
    const char *text;
    size_t length, at;
    uint64_t number;
} line_reader;

static bool next_line(line_reader *r, const char **line, size_t *length)
{
    if (r->at >= r->length)
        return false;
    const char *end = memchr(r->text + r->at, '\n', r->length - r->at);
    *line = r->text + r->at;
    *length = (size_t)((end ? end : r->text + r->length) - *line);
    r->at += *length + 1;
    r->number++;
    if (*length && (*line)[*length - 1] == '\r')
        --*length;
    return true;
}

static bool read_merges(const char *text, size_t text_length, cJSON *merges, vkft_err *err)
{
    line_reader r = {.text = text, .length = text_length};
    const char *line;
    size_t length;
    vkft_text copy = {0};
    bool ok = true;
    while (ok && next_line(&r, &line, &length)) {
        if (length == 0 || (length >= 8 && memcmp(line, "#version", 8) == 0))
            continue;
        const char *space = memchr(line, ' ', length);
        copy.length = 0;
        if (!space || space == line || space == line + length - 1 ||
            memchr(space + 1, ' ', (size_t)(line + length - space - 1)))
            ok = vkft_fail(err, VKFT_ERR_INPUT,
                           "merges.txt: line %" PRIu64 ": \"%.*s\" is not two tokens with a space between", r.number,
                           (int)min_u64(length, 60), line);
        else
            ok = vkft_text_append(&copy, line, length, err) &&
                 (cJSON_AddItemToArray(merges, cJSON_CreateString(copy.data)) ||
                  vkft_fail_memory(err, "for the tokenizer"));
    }
    vkft_text_free(&copy);
    return ok;
}

cJSON *vkft_model_of_merges(cJSON *vocab, const char *merges, size_t length, uint32_t *next_id, vkft_err *err)
{
    cJSON *list = NULL, *model = bpe_model(vocab, "{\"type\":\"BPE\"}", &list, err);
    const cJSON *entry;
    if (!list || !read_merges(merges, length, list, err))
        return finish(model, false);
    cJSON_ArrayForEach(entry, vocab) *next_id =
        cJSON_IsNumber(entry) && entry->valueint >= (int)*next_id ? (uint32_t)entry->valueint + 1 : *next_id;
    return model;
}

/* The tokens of a vocabulary whose merges are to be found. */
typedef struct token_list {
    vkft_ranked_token *tokens;
    uint32_t count, capacity;
} token_list;

static bool push_token(token_list *list, vkft_ranked_token token, vkft_err *err)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 4096;
        vkft_ranked_token *tokens = realloc(list->tokens, capacity * sizeof *tokens);
        if (!tokens)
            return vkft_fail_memory(err, "for the tokenizer");
        list->tokens = tokens;
        list->capacity = capacity;
    }
    list->tokens[list->count++] = token;
    return true;
}

static bool generate(const token_list *list, bool by_characters, cJSON *merges, vkft_err *err)
{
    vkft_string_map ids;
    if (!vkft_string_map_new(&ids, list->count, err))
        return false;
    for (uint32_t i = 0; i < list->count; i++)
        vkft_string_map_put(&ids, list->tokens[i].text, list->tokens[i].length, (int32_t)i);
    bool ok = vkft_merges_generate(list->tokens, list->count, &ids, by_characters, merges, err);
    vkft_string_map_free(&ids);
    return ok;
}

/* "aGVsbG8= 123": the token's bytes and its rank, which is its id. */
static bool read_rank(const line_reader *r, const char *line, size_t length, const char *file, token_list *list,
                      cJSON *vocab, vkft_err *err)
{
    const char *space = memchr(line, ' ', length);
    size_t encoded = space ? (size_t)(space - line) : 0, digits = space ? length - encoded - 1 : 0;
    unsigned char *bytes = malloc(encoded / 4 * 3 + 4);
    long n = bytes ? vkft_base64_decode(line, encoded, bytes) : -1;
    uint32_t rank = 0;
    for (size_t i = 0; i < digits; i++)
        rank = space[1 + i] >= '0' && space[1 + i] <= '9' && rank < VKFT_MAX_VOCABULARY
                   ? 10 * rank + (uint32_t)(space[1 + i] - '0')
                   : UINT32_MAX;
    if (n < 1 || digits == 0 || rank != list->count) {
        free(bytes);
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: line %" PRIu64 ": \"%.*s\" is not a token in base64 and its rank, %u", file, r->number,
                         (int)min_u64(length, 60), line, list->count);
    }
    vkft_text name = {0};
    bool ok = true;
    for (long i = 0; ok && i < n; i++) {
        char point[4];
        ok = vkft_text_append(&name, point, vkft_utf8_encode(vkft_byte_to_point(bytes[i]), point), err);
    }
    cJSON *id = ok ? cJSON_CreateNumber(rank) : NULL;
    ok = id && (cJSON_AddItemToObject(vocab, name.data, id) || vkft_fail_memory(err, "for the tokenizer")) &&
         push_token(list, (vkft_ranked_token){(char *)bytes, (size_t)n, id->string, -(double)rank}, err);
    if (!ok)
        free(bytes);
    vkft_text_free(&name);
    return ok;
}

cJSON *vkft_model_of_ranks(const char *text, size_t text_length, const char *file, uint32_t *next_id, vkft_err *err)
{
    line_reader r = {.text = text, .length = text_length};
    token_list list = {0};
    const char *line;
    size_t length;
    cJSON *vocab = cJSON_CreateObject(), *merges = NULL,
          *model = bpe_model(vocab, "{\"type\":\"BPE\",\"ignore_merges\":true}", &merges, err);
    bool ok = merges != NULL;
    while (ok && next_line(&r, &line, &length))
        ok = length == 0 || read_rank(&r, line, length, file, &list, vocab, err);
    ok = ok && generate(&list, false, merges, err);
    *next_id = list.count;
    for (uint32_t i = 0; i < list.count; i++)
        free((char *)(uintptr_t)list.tokens[i].text);
    free(list.tokens);
    return finish(model, ok);
}

static bool add_token(cJSON *added, uint32_t id, const char *content, bool special, vkft_err *err)
{
    cJSON *token = cJSON_CreateObject();
    if (!token || !cJSON_AddItemToArray(added, token)) {
        cJSON_Delete(token);
        return vkft_fail_memory(err, "for the tokenizer");
    }
    return (cJSON_AddNumberToObject(token, "id", id) && cJSON_AddStringToObject(token, "content", content) &&
            cJSON_AddBoolToObject(token, "special", special) && cJSON_AddFalseToObject(token, "normalized")) ||
           vkft_fail_memory(err, "for the tokenizer");
}

bool vkft_add_llama3_tokens(cJSON *added, uint32_t first_id, vkft_err *err)
{
    static const char *const names[] = {
        "<|begin_of_text|>",
        "<|end_of_text|>",
        NULL,
        NULL,
        "<|finetune_right_pad_id|>",
        NULL,
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|eom_id|>",
        "<|eot_id|>",
        "<|python_tag|>",
    };
    for (uint32_t i = 0, reserved = 0; i < 256; i++) {
        const char *name = i < sizeof names / sizeof *names ? names[i] : NULL;
        char text[48];
        if (!name)
            snprintf(text, sizeof text, "<|reserved_special_token_%u|>", reserved++);
        if (!add_token(added, first_id + i, name ? name : text, true, err))
            return false;
    }
    return true;
}

static cJSON *bpe_of_pieces(const vkft_sentencepiece *sp, vkft_err *err)
{
    token_list list = {0};
    const char *unk = NULL;
    cJSON *vocab = cJSON_CreateObject(), *merges = NULL;
    cJSON *model = bpe_model(vocab, "{\"type\":\"BPE\",\"fuse_unk\":true,\"byte_fallback\":true}", &merges, err);
    bool ok = merges != NULL;
    for (uint32_t i = 0; ok && i < sp->count; i++) {
        const struct vkft_sp_piece *piece = &sp->pieces[i];
        unk = piece->kind == VKFT_SP_UNKNOWN ? piece->text : unk;
        ok = (cJSON_AddNumberToObject(vocab, piece->text, i) || vkft_fail_memory(err, "for the tokenizer")) &&
             push_token(&list, (vkft_ranked_token){piece->text, strlen(piece->text), piece->text, piece->score}, err);
    }
    ok = ok && generate(&list, true, merges, err) &&
         (!unk || cJSON_AddStringToObject(model, "unk_token", unk) || vkft_fail_memory(err, "for the tokenizer"));
    free(list.tokens);
    return finish(model, ok);
}

static bool push_scored(cJSON *vocab, const char *text, double score, vkft_err *err)
{
    cJSON *entry = cJSON_CreateArray(), *token = cJSON_CreateString(text), *number = cJSON_CreateNumber(score);
    if (!entry || !token || !number) {
        cJSON_Delete(entry);
        cJSON_Delete(token);
        cJSON_Delete(number);
        return vkft_fail_memory(err, "for the tokenizer");
    }
    cJSON_AddItemToArray(entry, token);
    cJSON_AddItemToArray(entry, number);
    cJSON_AddItemToArray(vocab, entry);
    return true;
}

static cJSON *unigram_of_pieces(const vkft_sentencepiece *sp, uint32_t extra_ids, vkft_err *err)
{
    cJSON *model = cJSON_Parse("{\"type\":\"Unigram\"}"),
          *vocab = model ? cJSON_AddArrayToObject(model, "vocab") : NULL;
    bool ok = vocab || vkft_fail_memory(err, "for the tokenizer");
    for (uint32_t i = 0; ok && i < sp->count; i++) {
        ok = push_scored(vocab, sp->pieces[i].text, sp->pieces[i].score, err);
        if (ok && sp->pieces[i].kind == VKFT_SP_UNKNOWN)
            ok = cJSON_AddNumberToObject(model, "unk_id", i) || vkft_fail_memory(err, "for the tokenizer");
    }
    for (uint32_t i = extra_ids; ok && i-- > 0;) {
        char name[32];
        snprintf(name, sizeof name, "<extra_id_%u>", i);
        ok = push_scored(vocab, name, 0, err);
    }
    ok = ok && (cJSON_AddBoolToObject(model, "byte_fallback", sp->byte_fallback) ||
                vkft_fail_memory(err, "for the tokenizer"));
    return finish(model, ok);
}

cJSON *vkft_model_of_sentencepiece(const vkft_sentencepiece *sp, uint32_t extra_ids, uint32_t *next_id, vkft_err *err)
{
    bool unigram = sp->model == VKFT_SP_UNIGRAM;
    *next_id = sp->count + (unigram ? extra_ids : 0);
    if (sp->count >= VKFT_MAX_VOCABULARY / 2 || extra_ids > MAX_EXTRA_IDS) {
        vkft_fail(err, VKFT_ERR_INPUT, "the tokenizer has %u pieces and %u extra ids; at most %u and %u are supported",
                  sp->count, extra_ids, VKFT_MAX_VOCABULARY / 2, MAX_EXTRA_IDS);
        return NULL;
    }
    return unigram ? unigram_of_pieces(sp, extra_ids, err) : bpe_of_pieces(sp, err);
}

static char *base64_encode(const uint8_t *data, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = malloc((length + 2) / 3 * 4 + 1), *out = text;
    for (size_t i = 0; text && i < length; i += 3) {
        uint32_t bits = (uint32_t)data[i] << 16 | (i + 1 < length ? (uint32_t)data[i + 1] << 8 : 0) |
                        (i + 2 < length ? data[i + 2] : 0);
        for (unsigned k = 0; k < 4; k++)
            *out++ = k && i + k > length ? '=' : digits[bits >> (18 - 6 * k) & 63];
    }
    if (text)
        *out = 0;
    return text;
}

static bool add_charsmap(const vkft_sentencepiece *sp, cJSON *root, vkft_err *err)
{
    cJSON *normalizer = cJSON_AddObjectToObject(root, "normalizer");
    char *base64 = base64_encode(sp->charsmap, sp->charsmap_length);
    bool ok = normalizer && base64 && cJSON_AddStringToObject(normalizer, "type", "Precompiled") &&
              cJSON_AddStringToObject(normalizer, "precompiled_charsmap", base64);
    free(base64);
    return ok || vkft_fail_memory(err, "for the tokenizer");
}

bool vkft_add_sentencepiece_tokens(const vkft_sentencepiece *sp, cJSON *root, cJSON *added, vkft_err *err)
{
    for (uint32_t i = 0; i < sp->count; i++) {
        uint32_t kind = sp->pieces[i].kind;
        bool special = kind == VKFT_SP_CONTROL || kind == VKFT_SP_UNKNOWN;
        if ((special || kind == VKFT_SP_USER_DEFINED) && !add_token(added, i, sp->pieces[i].text, special, err))
            return false;
    }
    return sp->model != VKFT_SP_UNIGRAM || !sp->charsmap || add_charsmap(sp, root, err);
}
