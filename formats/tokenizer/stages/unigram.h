/* The Unigram model. */
#ifndef VKFT_TOKENIZER_UNIGRAM_H
#define VKFT_TOKENIZER_UNIGRAM_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/ids.h"
#include "formats/tokenizer/stages/vocab.h"

typedef struct vkft_unigram {
    const vkft_vocab *vocab;
    double *scores; /* by id */
    double unk_score;
    int32_t unk_id; /* -1: none */
    int32_t byte_ids[256];
    bool byte_fallback;
    struct vkft_trie_edge {
        uint32_t from; /* node << 8 | byte; UINT32_MAX: empty */
        uint32_t to;
    } * edges; /* hash table, capacity a power of two */
    uint32_t edge_capacity;
    int32_t *node_ids; /* -1: no token ends here */
    uint32_t node_count;
} vkft_unigram;

bool vkft_unigram_new(vkft_unigram *u, vkft_vocab *vocab, const cJSON *model, const char *where, vkft_err *err);
void vkft_unigram_free(vkft_unigram *u);
bool vkft_unigram_encode(const vkft_unigram *u, const char *piece, size_t length, vkft_ids *ids, vkft_err *err);

#endif
