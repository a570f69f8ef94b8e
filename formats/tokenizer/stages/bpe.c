/* Byte-pair encoding: a piece's characters are merged pair by pair, the lowest rank first, leftmost first among equals.
 *
 * The symbols form a linked list, possible merges a heap by (rank, position), so a piece of n characters takes n log n
 * even when it is a whole document, as in SentencePiece-style models without a pre-tokenizer.
 *
 * Source: Sennrich et al. 2016; the `tokenizers` package for byte fallback and unknown characters. Test: test_tokenizer
 */
#include "formats/tokenizer/stages/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/text.h"
#include "runtime/base/utf8.h"

static vkft_merge *merge_slot(const vkft_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t i = (uint32_t)((key * 0x9e3779b97f4a7c15u) >> 32) & (bpe->merge_capacity - 1);
    while (bpe->merges[i].left >= 0 && (bpe->merges[i].left != left || bpe->merges[i].right != right))
        i = (i + 1) & (bpe->merge_capacity - 1);
    return &bpe->merges[i];
}

static bool read_vocab(vkft_vocab *vocab, const cJSON *json, const char *where, vkft_err *err)
{
    const cJSON *token;
    uint64_t id, size = 0;
    cJSON_ArrayForEach(token, json)
    {
        if (!vkft_json_is_u64(token, &id) || id >= VKFT_MAX_VOCABULARY)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: vocab: the id of \"%.60s\" is not a whole number from 0 to %u",
                             where, token->string, VKFT_MAX_VOCABULARY - 1);
        size = id + 1 > size ? id + 1 : size;
    }
    if (!vkft_vocab_new(vocab, (uint32_t)cJSON_GetArraySize(json), (uint32_t)size, err))
        return false;
    cJSON_ArrayForEach(token, json) vkft_vocab_put(vocab, token->string, (int32_t)token->valuedouble);
    return true;
}

/* The two halves of a merge: "a b" or ["a", "b"]. */
static bool merge_halves(const cJSON *merge, const char **left, size_t *left_length, const char **right)
{
    if (cJSON_IsArray(merge)) {
        *left = cJSON_GetStringValue(cJSON_GetArrayItem(merge, 0));
        *right = cJSON_GetStringValue(cJSON_GetArrayItem(merge, 1));
        *left_length = *left ? strlen(*left) : 0;
        return *left && *right && cJSON_GetArraySize(merge) == 2;
    }
    *left = cJSON_GetStringValue(merge);
    const char *space = *left ? strchr(*left, ' ') : NULL;
    if (!space)
        return false;
    *left_length = (size_t)(space - *left);
    *right = space + 1;
    return strchr(*right, ' ') == NULL;
}

static bool read_merge(vkft_bpe *bpe, const cJSON *merge, int32_t rank, const char *where, vkft_err *err)
{
    const char *left, *right;
    size_t left_length;
    if (!merge_halves(merge, &left, &left_length, &right))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: merges: entry %d is not a pair of tokens", where, rank);
    vkft_text joined = {0};
    if (!vkft_text_append(&joined, left, left_length, err) || !vkft_text_append(&joined, right, strlen(right), err)) {
        vkft_text_free(&joined);
        return false;
    }
    int32_t a = vkft_string_map_get(&bpe->vocab->ids, left, left_length);
    int32_t b = vkft_string_map_get(&bpe->vocab->ids, right, strlen(right));
    int32_t merged = vkft_string_map_get(&bpe->vocab->ids, joined.data, joined.length);
    bool ok = a >= 0 && b >= 0 && merged >= 0;
    if (ok)
        *merge_slot(bpe, a, b) = (vkft_merge){a, b, rank, merged};
    else
        vkft_fail(err, VKFT_ERR_INPUT, "%s: merges: entry %d (%.*s + %s) has a token that is not in the vocabulary",
                  where, rank, (int)left_length, left, right);
    vkft_text_free(&joined);
    return ok;
}

static bool read_merges(vkft_bpe *bpe, const cJSON *merges, const char *where, vkft_err *err)
{
    bpe->merge_capacity = vkft_table_size((uint32_t)cJSON_GetArraySize(merges));
    bpe->merges = malloc(bpe->merge_capacity * sizeof *bpe->merges);
    if (!bpe->merges)
        return vkft_fail_memory(err, "for the tokenizer");
    for (uint32_t i = 0; i < bpe->merge_capacity; i++)
        bpe->merges[i].left = -1;
    const cJSON *merge;
    int32_t rank = 0;
    cJSON_ArrayForEach(merge, merges) if (!read_merge(bpe, merge, rank++, where, err)) return false;
    return true;
}

static bool check_unsupported(const cJSON *model, const char *where, vkft_err *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < 2; i++) {
        const char *text = cJSON_GetStringValue(vkft_json_member(model, affixes[i]));
        if (text && *text)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s \"%s\" is not supported", where, affixes[i], text);
    }
    const cJSON *dropout = vkft_json_member(model, "dropout");
    return !dropout || dropout->valuedouble == 0 ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: dropout %g is not supported", where, dropout->valuedouble);
}

bool vkft_bpe_new(vkft_bpe *bpe, vkft_vocab *vocab, const cJSON *model, const char *where, vkft_err *err)
{
    const char *unk = NULL;
    const cJSON *tokens, *merges;
    bpe->vocab = vocab;
    if (!check_unsupported(model, where, err) || !vkft_json_get_object(model, "vocab", true, &tokens, where, err) ||
        !vkft_json_get_array(model, "merges", true, &merges, where, err) ||
        !vkft_json_get_string(model, "unk_token", false, &unk, where, err) ||
        !vkft_json_get_bool(model, "byte_fallback", false, &bpe->byte_fallback, where, err) ||
        !vkft_json_get_bool(model, "fuse_unk", false, &bpe->fuse_unk, where, err) ||
        !vkft_json_get_bool(model, "ignore_merges", false, &bpe->ignore_merges, where, err) ||
        !read_vocab(vocab, tokens, where, err) || !read_merges(bpe, merges, where, err))
        return false;
    bpe->unk_id = unk ? vkft_string_map_get(&vocab->ids, unk, strlen(unk)) : -1;
    vkft_vocab_bytes(vocab, bpe->byte_ids);
    return true;
}

void vkft_bpe_free(vkft_bpe *bpe)
{
    free(bpe->merges);
    *bpe = (vkft_bpe){0};
}

typedef struct symbol {
    int32_t id;
    int32_t previous, next; /* -1: none */
} symbol;

typedef struct possible_merge {
    int32_t rank, position;
    int32_t left, right; /* ids, to notice that the symbols have changed since */
    int32_t merged;
} possible_merge;

/* The symbols of one piece and the heap of what may be merged. */
typedef struct merging {
    const vkft_bpe *bpe;
    symbol *symbols;
    int32_t count, capacity;
    possible_merge *heap;
    int32_t heap_count;
} merging;

static bool before(const possible_merge *a, const possible_merge *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->position < b->position;
}

static void heap_push(merging *m, possible_merge item)
{
    int32_t i = m->heap_count++;
    while (i > 0 && before(&item, &m->heap[(i - 1) / 2])) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = item;
}

static possible_merge heap_pop(merging *m)
{
    possible_merge top = m->heap[0], last = m->heap[--m->heap_count];
    int32_t i = 0;
    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= m->heap_count)
            break;
        if (child + 1 < m->heap_count && before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!before(&m->heap[child], &last))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = last;
    return top;
}

/* Puts the merge of the symbol at position with its successor on the heap, if there is one. */
static void offer(merging *m, int32_t position)
{
    if (position < 0 || m->symbols[position].next < 0)
        return;
    int32_t left = m->symbols[position].id, right = m->symbols[m->symbols[position].next].id;
    const vkft_merge *merge = merge_slot(m->bpe, left, right);
    if (merge->left >= 0)
        heap_push(m, (possible_merge){merge->rank, position, left, right, merge->merged});
}

/* A symbol that was merged into its left neighbour has id -1. */
static void merge_all(merging *m)
{
    for (int32_t i = 0; i + 1 < m->count; i++)
        offer(m, i);
    while (m->heap_count) {
        possible_merge top = heap_pop(m);
        symbol *left = &m->symbols[top.position];
        if (left->id != top.left || left->next < 0 || m->symbols[left->next].id != top.right)
            continue;
        symbol *right = &m->symbols[left->next];
        left->id = top.merged;
        left->next = right->next;
        if (right->next >= 0)
            m->symbols[right->next].previous = top.position;
        right->id = -1;
        offer(m, left->previous);
        offer(m, top.position);
    }
}

static void add_symbol(merging *m, int32_t id)
{
    int32_t i = m->count++;
    m->symbols[i] = (symbol){id, i - 1, -1};
    if (i > 0)
        m->symbols[i - 1].next = i;
}

static bool all_bytes_known(const vkft_bpe *bpe, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bpe->byte_ids[(unsigned char)s[i]] < 0)
            return false;
    return true;
}

/* The characters of the piece as symbols: from the vocabulary, as bytes, or unknown. A character of n bytes becomes at
 * most n symbols, so that a piece has at most as many as bytes. */
static bool split_characters(merging *m, const char *piece, size_t length)
{
    const vkft_bpe *bpe = m->bpe;
    bool last_unknown = false;
    for (size_t i = 0; i < length;) {
        size_t n = vkft_utf8_step(piece + i, length - i);
        if (n > (size_t)(m->capacity - m->count))
            return false;
        int32_t id = vkft_string_map_get(&bpe->vocab->ids, piece + i, n);
        bool unknown = false;
        if (id >= 0) {
            add_symbol(m, id);
        } else if (bpe->byte_fallback && all_bytes_known(bpe, piece + i, n)) {
            for (size_t k = 0; k < n; k++)
                add_symbol(m, bpe->byte_ids[(unsigned char)piece[i + k]]);
        } else {
            unknown = true;
            if (bpe->unk_id >= 0 && !(bpe->fuse_unk && last_unknown))
                add_symbol(m, bpe->unk_id);
        }
        last_unknown = unknown;
        i += n;
    }
    return true;
}

bool vkft_bpe_encode(const vkft_bpe *bpe, const char *piece, size_t length, vkft_ids *ids, vkft_err *err)
{
    int32_t whole = bpe->ignore_merges ? vkft_string_map_get(&bpe->vocab->ids, piece, length) : -1;
    if (whole >= 0)
        return vkft_ids_push(ids, whole, err);
    if (length > INT32_MAX / 4)
        return vkft_fail(err, VKFT_ERR_INPUT, "a text of %zu bytes is too long to tokenize at once", length);
    /* Every merge adds at most two offers, and there are fewer merges than symbols. */
    symbol small_symbols[64];
    possible_merge small_heap[192];
    merging m = {.bpe = bpe, .symbols = small_symbols, .capacity = 64, .heap = small_heap};
    if (length > 64) {
        m.capacity = (int32_t)length;
        m.symbols = malloc(length * sizeof *m.symbols);
        m.heap = malloc(3 * length * sizeof *m.heap);
    }
    bool ok = (m.symbols && m.heap) || vkft_fail_memory(err, "for the tokenizer");
    ok = ok && (split_characters(&m, piece, length) ||
                vkft_fail(err, VKFT_ERR_INPUT, "a piece of %zu bytes has more symbols than bytes", length));
    if (ok)
        merge_all(&m);
    for (int32_t i = 0; ok && i < m.count; i++)
        if (m.symbols[i].id >= 0)
            ok = vkft_ids_push(ids, m.symbols[i].id, err);
    if (length > 64) {
        free(m.symbols);
        free(m.heap);
    }
    return ok;
}
