/* SentencePiece models (tokenizer.model, spiece.model): the parts of the protobuf that a tokenizer is made of.
 *
 * Source: sentencepiece_model.proto. Test: test_tokenizer, test_tokenizer_vectors
 */
#ifndef VKFT_SENTENCEPIECE_H
#define VKFT_SENTENCEPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

enum {
    VKFT_SP_NORMAL = 1,
    VKFT_SP_UNKNOWN = 2,
    VKFT_SP_CONTROL = 3,
    VKFT_SP_USER_DEFINED = 4,
    VKFT_SP_UNUSED = 5,
    VKFT_SP_BYTE = 6
};
enum { VKFT_SP_UNIGRAM = 1, VKFT_SP_BPE = 2 };

typedef struct vkft_sentencepiece {
    struct vkft_sp_piece {
        char *text; /* zero-terminated */
        double score;
        uint32_t kind; /* VKFT_SP_NORMAL, ... */
    } * pieces;        /* by id */
    uint32_t count, capacity;
    uint32_t model; /* VKFT_SP_UNIGRAM or VKFT_SP_BPE */
    bool add_dummy_prefix, byte_fallback;
    const uint8_t *charsmap; /* borrowed from the file's bytes; NULL: none */
    size_t charsmap_length;
} vkft_sentencepiece;

/* data must outlive sp. Error: not such a file, or damaged, with the byte. */
bool vkft_sentencepiece_read(const uint8_t *data, size_t length, const char *file, vkft_sentencepiece *sp,
                             vkft_err *err);
void vkft_sentencepiece_free(vkft_sentencepiece *sp);

#endif
