/* See merges.h. */
#include "formats/tokenizer/files/merges.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/text.h"
#include "runtime/base/utf8.h"

typedef struct cut {
    double score;
    uint32_t whole, left, right;        /* tokens */
    uint32_t left_length, right_length; /* in characters; 0: they do not count */
} cut;

typedef struct cut_list {
    cut *cuts;
    size_t count, capacity;
} cut_list;

#define ORDER(a, b) ((a) < (b) ? -1 : (a) > (b))

static int compare(const void *a, const void *b)
{
    const cut *x = a, *y = b;
    int order = ORDER(y->score, x->score);
    order = order ? order : ORDER(y->left_length, x->left_length);
    order = order ? order : ORDER(y->right_length, x->right_length);
    order = order ? order : ORDER(x->whole, y->whole);
    order = order ? order : ORDER(x->left, y->left);
    return order ? order : ORDER(x->right, y->right);
}

static bool push(cut_list *list, cut c, vkft_err *err)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 4096;
        cut *cuts = realloc(list->cuts, capacity * sizeof *cuts);
        if (!cuts)
            return vkft_fail_memory(err, "for the tokenizer's merges");
        list->cuts = cuts;
        list->capacity = capacity;
    }
    list->cuts[list->count++] = c;
    return true;
}

static uint32_t characters(const char *text, size_t length)
{
    uint32_t n = 0;
    for (size_t i = 0; i < length; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

static bool cut_token(const vkft_ranked_token *tokens, uint32_t whole, const vkft_string_map *ids, bool by_characters,
                      cut_list *list, vkft_err *err)
{
    const vkft_ranked_token *t = &tokens[whole];
    if (t->length > VKFT_MAX_TOKEN_BYTES)
        return vkft_fail(err, VKFT_ERR_INPUT, "the tokenizer's token %u has %zu bytes; at most %u are supported", whole,
                         t->length, VKFT_MAX_TOKEN_BYTES);
    for (size_t at = 1; at < t->length; at++) {
        if (by_characters && ((unsigned char)t->text[at] & 0xc0) == 0x80)
            continue;
        int32_t left = vkft_string_map_get(ids, t->text, at),
                right = left < 0 ? -1 : vkft_string_map_get(ids, t->text + at, t->length - at);
        if (right < 0)
            continue;
        cut c = {.score = t->score, .whole = whole, .left = (uint32_t)left, .right = (uint32_t)right};
        if (by_characters) {
            c.left_length = characters(t->text, at);
            c.right_length = characters(t->text + at, t->length - at);
        }
        if (!push(list, c, err))
            return false;
    }
    return true;
}

static bool append(const vkft_ranked_token *tokens, const cut *c, vkft_text *buffer, cJSON *merges, vkft_err *err)
{
    const char *left = tokens[c->left].name, *right = tokens[c->right].name;
    buffer->length = 0;
    if (!vkft_text_append(buffer, left, strlen(left), err) || !vkft_text_append(buffer, " ", 1, err) ||
        !vkft_text_append(buffer, right, strlen(right), err))
        return false;
    return cJSON_AddItemToArray(merges, cJSON_CreateString(buffer->data)) ||
           vkft_fail_memory(err, "for the tokenizer's merges");
}

bool vkft_merges_generate(const vkft_ranked_token *tokens, uint32_t count, const vkft_string_map *ids,
                          bool by_characters, cJSON *merges, vkft_err *err)
{
    cut_list list = {0};
    vkft_text buffer = {0};
    bool ok = true;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = cut_token(tokens, i, ids, by_characters, &list, err);
    if (ok && list.count)
        qsort(list.cuts, list.count, sizeof *list.cuts, compare);
    for (size_t i = 0; ok && i < list.count; i++)
        ok = append(tokens, &list.cuts[i], &buffer, merges, err);
    vkft_text_free(&buffer);
    free(list.cuts);
    return ok;
}
