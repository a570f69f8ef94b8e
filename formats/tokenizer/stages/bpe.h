/* The model of byte-pair encoding. */
#ifndef VKFT_TOKENIZER_BPE_H
#define VKFT_TOKENIZER_BPE_H

#include <cjson/cJSON.h>

#include "formats/tokenizer/ids.h"
#include "formats/tokenizer/stages/vocab.h"

typedef struct vkft_merge {
    int32_t left, right; /* ids */
    int32_t rank, merged;
} vkft_merge;

typedef struct vkft_bpe {
    const vkft_vocab *vocab;
    vkft_merge *merges; /* hash table by (left, right), capacity a power of two; left < 0: empty */
    uint32_t merge_capacity;
    int32_t unk_id; /* -1: none */
    int32_t byte_ids[256];
    bool byte_fallback, fuse_unk, ignore_merges;
} vkft_bpe;

/* Reads the model and its vocabulary, which stays the caller's and must outlive the model. */
bool vkft_bpe_new(vkft_bpe *bpe, vkft_vocab *vocab, const cJSON *model, const char *where, vkft_err *err);
void vkft_bpe_free(vkft_bpe *bpe);
bool vkft_bpe_encode(const vkft_bpe *bpe, const char *piece, size_t length, vkft_ids *ids, vkft_err *err);

#endif
