/* Added tokens: those that are matched in the text before the model sees it. */
#include "formats/tokenizer/stages/added.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "runtime/base/json.h"
#include "runtime/base/size.h"
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
    a->name = strdup(content);
    if (!a->name)
        return vkft_fail_memory(err, "for the tokenizer");
    if (vkft_string_map_get(&added->names, a->name, strlen(a->name)) < 0) /* the first one of a name counts */
        vkft_string_map_put(&added->names, a->name, strlen(a->name), id);
    return true;
}

static int compare(const void *a, const void *b)
{
    const vkft_added_token *x = *(vkft_added_token *const *)a, *y = *(vkft_added_token *const *)b;
    int order = memcmp(x->content, y->content, min_u32(x->length, y->length));
    order = order ? order : (x->length > y->length) - (x->length < y->length);
    return order ? order : (x > y) - (x < y);
}

static bool same_content(const vkft_added_token *a, const vkft_added_token *b)
{
    return a->length == b->length && memcmp(a->content, b->content, a->length) == 0;
}

/* Sorts the tokens of one kind, so that the longest one at a place is found by halving. */
static bool sort_tokens(vkft_added_tokens *added, bool normalized, vkft_err *err)
{
    struct vkft_added_order *order = &added->order[normalized];
    uint32_t count = 0, kept = 0;
    order->tokens = calloc(added->count + 1ull, sizeof *order->tokens);
    if (!order->tokens)
        return vkft_fail_memory(err, "for the tokenizer");
    for (uint32_t i = 0; i < added->count; i++)
        if (added->tokens[i].length && added->tokens[i].normalized == normalized)
            order->tokens[count++] = &added->tokens[i];
    qsort(order->tokens, count, sizeof *order->tokens, compare);
    for (uint32_t i = 0; i < count; i++)
        if (!kept || !same_content(order->tokens[kept - 1], order->tokens[i]))
            order->tokens[kept++] = order->tokens[i];
    for (uint32_t i = 0; i < kept; i++)
        order->begin[(unsigned char)order->tokens[i]->content[0] + 1] = i + 1;
    for (uint32_t c = 1; c <= 256; c++)
        order->begin[c] = max_u32(order->begin[c], order->begin[c - 1]);
    return true;
}

/* Those of tokenizer.json, with the flags that tokenizer_config.json has for them. by_id: its members, by their keys,
 * which are ids. */
static bool read_list(vkft_added_tokens *added, const vkft_normalizers *normalizers, const cJSON *list,
                      const vkft_string_map *by_id, const cJSON **members, const char *where, vkft_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        char key[16];
        int32_t id;
        if (!vkft_json_get_i32(item, "id", true, &id, where, err))
            return false;
        int n = snprintf(key, sizeof key, "%d", id);
        int32_t index = vkft_string_map_get(by_id, key, (size_t)n);
        const cJSON *flags = index >= 0 ? members[index] : NULL;
        bool same = flags && !vkft_json_member(flags, VKFT_LEGACY_TOKEN) &&
                    cJSON_Compare(vkft_json_member(flags, "content"), vkft_json_member(item, "content"), true);
        if (!add_token(added, normalizers, same ? flags : item, id, where, err))
            return false;
    }
    return true;
}

/* The other ones of tokenizer_config.json. */
static bool read_decoder(vkft_added_tokens *added, const vkft_normalizers *normalizers, const cJSON *decoder,
                         const char *where, vkft_err *err)
{
    const cJSON *item;
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
        if (vkft_string_map_get(&added->names, content, strlen(content)) < 0 &&
            !add_token(added, normalizers, item, (int32_t)id, where, err))
            return false;
    }
    return true;
}

static int32_t next_id(const vkft_added_tokens *added, const vkft_vocab *vocab)
{
    int32_t next = (int32_t)vocab->size;
    for (uint32_t i = 0; i < added->count; i++)
        next = added->tokens[i].id >= next ? added->tokens[i].id + 1 : next;
    return next;
}

/* Those that a file names as special without their ids. */
static bool read_special(vkft_added_tokens *added, const vkft_normalizers *normalizers, const cJSON *special,
                         const vkft_vocab *vocab, const char *where, vkft_err *err)
{
    const cJSON *item;
    int32_t next = next_id(added, vocab);
    cJSON_ArrayForEach(item, special)
    {
        const char *content = cJSON_GetStringValue(vkft_json_member(item, "content"));
        size_t n = content ? strlen(content) : 0;
        if (n == 0 || vkft_string_map_get(&added->names, content, n) >= 0)
            continue;
        int32_t id = vkft_string_map_get(&vocab->ids, content, n);
        if (!add_token(added, normalizers, item, id >= 0 ? id : next++, where, err))
            return false;
    }
    return true;
}

bool vkft_added_tokens_read(vkft_added_tokens *added, const vkft_normalizers *normalizers, const cJSON *list,
                            const cJSON *decoder, const cJSON *special, const vkft_vocab *vocab, const char *where,
                            vkft_err *err)
{
    uint32_t listed = (uint32_t)cJSON_GetArraySize(list), named = (uint32_t)cJSON_GetArraySize(decoder),
             more = (uint32_t)cJSON_GetArraySize(special);
    vkft_string_map by_id = {0};
    const cJSON *item, **members = calloc(named + 1ull, sizeof *members);
    added->tokens = calloc((size_t)listed + named + more + 1, sizeof *added->tokens);
    bool ok = (members && added->tokens) || vkft_fail_memory(err, "for the tokenizer");
    ok =
        ok && vkft_string_map_new(&by_id, named, err) && vkft_string_map_new(&added->names, listed + named + more, err);
    int32_t index = 0;
    if (ok)
        cJSON_ArrayForEach(item, decoder)
        {
            if (vkft_string_map_get(&by_id, item->string, strlen(item->string)) < 0)
                vkft_string_map_put(&by_id, item->string, strlen(item->string), index);
            members[index++] = item;
        }
    ok = ok && read_list(added, normalizers, list, &by_id, members, where, err) &&
         read_decoder(added, normalizers, decoder, where, err) &&
         read_special(added, normalizers, special, vocab, where, err) && sort_tokens(added, false, err) &&
         sort_tokens(added, true, err);
    vkft_string_map_free(&by_id);
    free(members);
    return ok;
}

void vkft_added_tokens_free(vkft_added_tokens *added)
{
    for (uint32_t i = 0; i < added->count; i++) {
        free(added->tokens[i].content);
        free(added->tokens[i].name);
    }
    free(added->tokens);
    free(added->order[0].tokens);
    free(added->order[1].tokens);
    vkft_string_map_free(&added->names);
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

/* \w of Unicode's regular expressions (UTS #18, annex C), by which the package tokenizers finds the ends of words: what
 * is alphabetic, marks, decimal digits, connectors, and the two characters that control joining. */
static bool is_word(const char *s, size_t n)
{
    const uint32_t point = vkft_utf8_decode(s, n);
    switch (utf8proc_category((utf8proc_int32_t)point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return true;
    case UTF8PROC_CATEGORY_SO: /* letters in circles and squares */
        return (point >= 0x24b6 && point <= 0x24e9) || (point >= 0x1f130 && point <= 0x1f149) ||
               (point >= 0x1f150 && point <= 0x1f169) || (point >= 0x1f170 && point <= 0x1f189);
    default: return point == 0x200c || point == 0x200d;
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

/* The first of some tokens whose byte at `at`, which they all have, is at least `byte`. */
static uint32_t first_from(const struct vkft_added_order *order, uint32_t begin, uint32_t end, size_t at, unsigned byte)
{
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        if ((unsigned char)order->tokens[middle]->content[at] < byte)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

/* The longest added token of the wanted kind at this place. Those that agree with the text so far are order->tokens
 * from begin to end; one that ends there is the first of them. */
static const vkft_added_token *added_at(const vkft_added_tokens *added, bool normalized, const char *text,
                                        size_t available)
{
    const struct vkft_added_order *order = &added->order[normalized];
    const vkft_added_token *best = NULL;
    uint32_t begin = order->begin[(unsigned char)text[0]], end = order->begin[(unsigned char)text[0] + 1];
    for (size_t agreed = 1; begin < end; agreed++) {
        if (order->tokens[begin]->length == agreed)
            best = order->tokens[begin++];
        if (agreed == available)
            break;
        unsigned char next = (unsigned char)text[agreed];
        begin = first_from(order, begin, end, agreed, next);
        end = first_from(order, begin, end, agreed, next + 1u);
    }
    return best;
}

const vkft_added_token *vkft_added_tokens_find(const vkft_added_tokens *added, bool normalized, const char *text,
                                               size_t length, size_t start, size_t *begin, size_t *end)
{
    for (size_t i = start; i < length; i++) {
        const vkft_added_token *a = added_at(added, normalized, text + i, length - i);
        if (!a)
            continue;
        *begin = i;
        *end = i + a->length;
        bool plain = a->special && added->split_special;
        if (plain || (a->single_word && !stands_alone(text, length, *begin, *end))) {
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
