/* Unigram: the segmentation of a piece into tokens with the highest sum of log-probabilities (Viterbi).
 *
 * best[j] = max over tokens t that end at byte j of best[j - |t|] + score(t); a character that is no token by itself
 * may stand as unknown with the lowest score less 10. Neighbouring unknown characters become one token. Time: bytes x
 * longest token, which has at most VKFT_MAX_TOKEN_BYTES.
 *
 * Source: Kudo 2018; the `tokenizers` package for unknown characters, ties and byte fallback. Test: test_tokenizer
 */
#include "formats/tokenizer/stages/unigram.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/utf8.h"

#define UNKNOWN_PENALTY 10.0
#define MAX_NODES (1u << 24) /* a node and a byte share 32 bits */

static struct vkft_trie_edge *edge_slot(const vkft_unigram *u, uint32_t node, unsigned char byte)
{
    uint32_t from = node << 8 | byte;
    uint32_t i = (uint32_t)((from * 0x9e3779b97f4a7c15u) >> 32) & (u->edge_capacity - 1);
    while (u->edges[i].from != UINT32_MAX && u->edges[i].from != from)
        i = (i + 1) & (u->edge_capacity - 1);
    return &u->edges[i];
}

static void trie_put(vkft_unigram *u, const char *token, int32_t id)
{
    uint32_t node = 0;
    for (const char *c = token; *c; c++) {
        struct vkft_trie_edge *edge = edge_slot(u, node, (unsigned char)*c);
        if (edge->from == UINT32_MAX) {
            *edge = (struct vkft_trie_edge){node << 8 | (unsigned char)*c, u->node_count};
            u->node_ids[u->node_count++] = -1;
        }
        node = edge->to;
    }
    if (node != 0)
        u->node_ids[node] = id;
}

/* One entry of the vocabulary: ["token", score]. */
static bool read_entry(const cJSON *entry, uint32_t index, const char **token, double *score, const char *where,
                       vkft_err *err)
{
    const cJSON *number = cJSON_GetArrayItem(entry, 1);
    *token = cJSON_GetStringValue(cJSON_GetArrayItem(entry, 0));
    if (!*token || !cJSON_IsNumber(number) || cJSON_GetArraySize(entry) != 2)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: vocab: entry %u is not [\"token\", score]", where, index);
    *score = number->valuedouble;
    return isfinite(*score) ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: vocab: the score of \"%.60s\" is not a number", where, *token);
}

static bool read_tokens(vkft_unigram *u, vkft_vocab *vocab, const cJSON *list, const char *where, vkft_err *err)
{
    uint32_t count = (uint32_t)cJSON_GetArraySize(list), id = 0;
    double lowest = DBL_MAX;
    const cJSON *entry;
    if (count == 0 || count >= VKFT_MAX_VOCABULARY)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: vocab has %u entries; expected 1 to %u", where, count,
                         VKFT_MAX_VOCABULARY - 1);
    u->scores = calloc(count, sizeof *u->scores);
    if (!u->scores || !vkft_vocab_new(vocab, count, count, err))
        return u->scores ? false : vkft_fail_memory(err, "for the tokenizer");
    cJSON_ArrayForEach(entry, list)
    {
        const char *token;
        if (!read_entry(entry, id, &token, &u->scores[id], where, err))
            return false;
        lowest = u->scores[id] < lowest ? u->scores[id] : lowest;
        vkft_vocab_put(vocab, token, (int32_t)id++);
    }
    u->unk_score = lowest - UNKNOWN_PENALTY;
    return true;
}

static bool build_trie(vkft_unigram *u, const char *where, vkft_err *err)
{
    size_t bytes = 1;
    for (uint32_t i = 0; i < u->vocab->size; i++) {
        size_t n = strlen(u->vocab->tokens[i]);
        bytes += n;
        if (n > VKFT_MAX_TOKEN_BYTES) /* each byte of a text may be compared with this many */
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: vocab: a token has %zu bytes; at most %u are supported", where,
                             n, VKFT_MAX_TOKEN_BYTES);
    }
    if (bytes > MAX_NODES)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: vocab: the tokens have %zu bytes together; at most %u are supported",
                         where, bytes, MAX_NODES);
    u->edge_capacity = vkft_table_size((uint32_t)bytes);
    u->edges = malloc(u->edge_capacity * sizeof *u->edges);
    u->node_ids = malloc(bytes * sizeof *u->node_ids);
    if (!u->edges || !u->node_ids)
        return vkft_fail_memory(err, "for the tokenizer");
    memset(u->edges, 0xff, u->edge_capacity * sizeof *u->edges);
    u->node_ids[0] = -1;
    u->node_count = 1;
    for (uint32_t i = 0; i < u->vocab->size; i++)
        trie_put(u, u->vocab->tokens[i], (int32_t)i);
    return true;
}

bool vkft_unigram_new(vkft_unigram *u, vkft_vocab *vocab, const cJSON *model, const char *where, vkft_err *err)
{
    const cJSON *list, *unk = vkft_json_member(model, "unk_id");
    u->vocab = vocab;
    u->unk_id = -1;
    if (!vkft_json_get_array(model, "vocab", true, &list, where, err) ||
        !vkft_json_get_bool(model, "byte_fallback", false, &u->byte_fallback, where, err) ||
        (unk && !cJSON_IsNull(unk) && !vkft_json_get_i32(model, "unk_id", true, &u->unk_id, where, err)) ||
        !read_tokens(u, vocab, list, where, err) || !build_trie(u, where, err))
        return false;
    vkft_vocab_bytes(vocab, u->byte_ids);
    return (u->unk_id >= -1 && u->unk_id < (int32_t)vocab->size) ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: unk_id is %d and the vocabulary has %u entries", where, u->unk_id,
                     vocab->size);
}

void vkft_unigram_free(vkft_unigram *u)
{
    free(u->scores);
    free(u->edges);
    free(u->node_ids);
    *u = (vkft_unigram){0};
}

/* The best way to a byte. */
typedef struct path {
    double score;
    uint32_t begin; /* of its last token; UINT32_MAX: not reached */
    int32_t id;     /* of its last token; UNKNOWN: a character that is no token */
} path;

enum { UNKNOWN = -1 };

static void improve(path *to, const path *from, double score, uint32_t begin, int32_t id)
{
    score += from->score;
    if (to->begin == UINT32_MAX || score > to->score)
        *to = (path){score, begin, id};
}

static void search(const vkft_unigram *u, const char *piece, uint32_t length, path *best)
{
    for (uint32_t i = 0; i <= length; i++)
        best[i].begin = UINT32_MAX;
    best[0] = (path){0, 0, UNKNOWN};
    for (uint32_t at = 0; at < length;) {
        uint32_t n = (uint32_t)vkft_utf8_step(piece + at, length - at), node = 0;
        bool single = false;
        for (uint32_t end = at; end < length;) {
            const struct vkft_trie_edge *edge = edge_slot(u, node, (unsigned char)piece[end]);
            if (edge->from == UINT32_MAX)
                break;
            node = edge->to;
            end++;
            int32_t id = u->node_ids[node];
            if (id >= 0) {
                improve(&best[end], &best[at], u->scores[id], at, id);
                single |= end - at == n;
            }
        }
        if (!single)
            improve(&best[at + n], &best[at], u->unk_score, at, UNKNOWN);
        at += n;
    }
}

static bool push_unknown(const vkft_unigram *u, const char *text, uint32_t length, vkft_ids *ids, vkft_err *err)
{
    int32_t whole = vkft_string_map_get(&u->vocab->ids, text, length);
    if (whole >= 0)
        return vkft_ids_push(ids, whole, err);
    bool bytes = u->byte_fallback;
    for (uint32_t i = 0; bytes && i < length; i++)
        bytes = u->byte_ids[(unsigned char)text[i]] >= 0;
    if (!bytes)
        return u->unk_id >= 0
                   ? vkft_ids_push(ids, u->unk_id, err)
                   : vkft_fail(err, VKFT_ERR_INPUT, "the tokenizer has no token for \"%.*s\" and no unknown token",
                               (int)length, text);
    for (uint32_t i = 0; i < length; i++)
        if (!vkft_ids_push(ids, u->byte_ids[(unsigned char)text[i]], err))
            return false;
    return true;
}

/* Turns the links, which lead from the end to the beginning, around: afterwards best[i].begin is where the token that
 * begins at i ends. */
static void reverse_links(path *best, uint32_t length)
{
    uint32_t end = length, next_end = 0;
    int32_t next_id = UNKNOWN;
    for (uint32_t i = end; i > 0;) {
        uint32_t begin = best[i].begin;
        int32_t id = best[i].id;
        if (i < length)
            best[i] = (path){0, next_end, next_id};
        next_end = i;
        next_id = id;
        i = begin;
    }
    best[0] = (path){0, next_end, next_id};
}

bool vkft_unigram_encode(const vkft_unigram *u, const char *piece, size_t length, vkft_ids *ids, vkft_err *err)
{
    if (length > INT32_MAX / 2)
        return vkft_fail(err, VKFT_ERR_INPUT, "a text of %zu bytes is too long to tokenize at once", length);
    path small[128], *best = length < 128 ? small : malloc((length + 1) * sizeof *best);
    if (!best)
        return vkft_fail_memory(err, "for the tokenizer");
    search(u, piece, (uint32_t)length, best);
    reverse_links(best, (uint32_t)length);
    bool ok = true;
    for (uint32_t at = 0, end; ok && at < length; at = end) {
        end = best[at].begin;
        int32_t id = best[at].id;
        if (id != UNKNOWN && id != u->unk_id) {
            ok = vkft_ids_push(ids, id, err);
            continue;
        }
        while (end < length && (best[end].id == UNKNOWN || best[end].id == u->unk_id))
            end = best[end].begin;
        ok = push_unknown(u, piece + at, end - at, ids, err);
    }
    if (best != small)
        free(best);
    return ok;
}
