/* Added tokens: those that are matched in the text before the model sees it. */
#include "formats/tokenizer/stages/added.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"

/* item: the token's content and flags. */
static bool add_token(vkft_added_tokens *added, const vkft_normalizers *normalizers, const cJSON *item, int32_t id,
                      const char *where, vkft_err *err)
{
    vkft_added_token *a = &added->tokens[added->count];
    const char *content;
    vkft_text text = {0};
    a->id = id;
    a->normalized = true;
    if (!vkft_json_get_string(item, "content", true, &content, where, err) ||
        !vkft_json_get_bool(item, "special", false, &a->special, where, err) ||
        !vkft_json_get_bool(item, "lstrip", false, &a->lstrip, where, err) ||
        !vkft_json_get_bool(item, "rstrip", false, &a->rstrip, where, err) ||
        !vkft_json_get_bool(item, "single_word", false, &a->single_word, where, err) ||
        !vkft_json_get_bool(item, "normalized", false, &a->normalized, where, err))
        return false;
    if (id < 0 || (uint32_t)id >= VKFT_MAX_VOCABULARY)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: the id %d of \"%.60s\" is out of range", where, id, content);
    added->count++;
    if (!vkft_text_append(&text, content, strlen(content), err) ||
        (a->normalized && !vkft_normalizers_apply(normalizers, &text, err))) {
        vkft_text_free(&text);
        return false;
    }
    a->content = text.data;
    a->length = (uint32_t)text.length;
    if (a->length)
        added->first[a->normalized][(unsigned char)a->content[0]] = true;
    a->name = strdup(content);
    return a->name || vkft_fail_memory(err, "for the tokenizer");
}

static bool is_added(const vkft_added_tokens *added, const char *name)
{
    for (uint32_t i = 0; i < added->count; i++)
        if (strcmp(added->tokens[i].name, name) == 0)
            return true;
    return false;
}

bool vkft_added_tokens_read(vkft_added_tokens *added, const vkft_normalizers *normalizers, const cJSON *list,
                            const cJSON *decoder, const char *where, vkft_err *err)
{
    const cJSON *item;
    added->tokens =
        calloc((size_t)cJSON_GetArraySize(list) + (size_t)cJSON_GetArraySize(decoder) + 1, sizeof *added->tokens);
    if (!added->tokens)
        return vkft_fail_memory(err, "for the tokenizer");
    cJSON_ArrayForEach(item, list)
    {
        char key[16];
        int32_t id;
        if (!vkft_json_get_i32(item, "id", true, &id, where, err))
            return false;
        snprintf(key, sizeof key, "%d", id);
        const cJSON *flags = vkft_json_member(decoder, key);
        bool same = flags && cJSON_Compare(vkft_json_member(flags, "content"), vkft_json_member(item, "content"), true);
        if (!add_token(added, normalizers, same ? flags : item, id, where, err))
            return false;
    }
    cJSON_ArrayForEach(item, decoder)
    {
        const char *content = cJSON_GetStringValue(vkft_json_member(item, "content"));
        char *end;
        long id = strtol(item->string, &end, 10);
        if (!content || *end || id < 0 || id >= (long)VKFT_MAX_VOCABULARY)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             VKFT_TOKENIZER_CONFIG
                             ": added_tokens_decoder: \"%.40s\" is not a token id with its \"content\"",
                             item->string);
        if (!is_added(added, content) && !add_token(added, normalizers, item, (int32_t)id, where, err))
            return false;
    }
    return true;
}

void vkft_added_tokens_free(vkft_added_tokens *added)
{
    for (uint32_t i = 0; i < added->count; i++) {
        free(added->tokens[i].content);
        free(added->tokens[i].name);
    }
    free(added->tokens);
    *added = (vkft_added_tokens){0};
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
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return true;
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
static const vkft_added_token *added_at(const vkft_added_tokens *added, bool normalized, const char *text,
                                        size_t available)
{
    const vkft_added_token *best = NULL;
    for (uint32_t i = 0; i < added->count; i++) {
        const vkft_added_token *a = &added->tokens[i];
        if (a->normalized == normalized && a->length && a->length <= available && a->content[0] == text[0] &&
            (!best || a->length > best->length) && memcmp(a->content, text, a->length) == 0)
            best = a;
    }
    return best;
}

const vkft_added_token *vkft_added_tokens_find(const vkft_added_tokens *added, bool normalized, const char *text,
                                               size_t length, size_t start, size_t *begin, size_t *end)
{
    const bool *first = added->first[normalized];
    for (size_t i = start; i < length; i++) {
        const vkft_added_token *a =
            !first[(unsigned char)text[i]] ? NULL : added_at(added, normalized, text + i, length - i);
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
            if (!vkft_utf8_is_space(vkft_utf8_decode(text + at, *begin - at)))
                break;
            *begin = at;
        }
        for (size_t n; a->rstrip && (n = vkft_utf8_length(text + *end, length - *end)) &&
                       vkft_utf8_is_space(vkft_utf8_decode(text + *end, n));)
            *end += n;
        return a;
    }
    return NULL;
}
