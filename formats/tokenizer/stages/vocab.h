/* Vocabularies: strings to ids and back, and GPT-2's alphabet for bytes. */
#ifndef VKFT_TOKENIZER_VOCAB_H
#define VKFT_TOKENIZER_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* Byte b as the character of GPT-2's printable alphabet, and back (-1: not in it). */
uint32_t vkft_byte_to_point(unsigned char byte);
int vkft_point_to_byte(uint32_t point);

/* Slots of a hash table for `count` entries: a power of two, at most half full. */
uint32_t vkft_table_size(uint32_t count);

/* A map from strings to ids. */
typedef struct vkft_string_map {
    struct vkft_string_entry {
        const char *key; /* borrowed */
        uint32_t length;
        int32_t value;
    } * entries;
    uint32_t capacity; /* a power of two */
} vkft_string_map;
bool vkft_string_map_new(vkft_string_map *map, uint32_t count, vkft_err *err);
void vkft_string_map_free(vkft_string_map *map);
void vkft_string_map_put(vkft_string_map *map, const char *key, size_t length, int32_t value);
int32_t vkft_string_map_get(const vkft_string_map *map, const char *key, size_t length); /* -1: absent */

/* The tokens of a model. */
typedef struct vkft_vocab {
    vkft_string_map ids;
    const char **tokens; /* by id; NULL where there is none */
    uint32_t size;       /* highest id + 1 */
} vkft_vocab;
/* Room for `count` strings and ids below `size`. */
bool vkft_vocab_new(vkft_vocab *vocab, uint32_t count, uint32_t size, vkft_err *err);
void vkft_vocab_free(vkft_vocab *vocab);
void vkft_vocab_put(vkft_vocab *vocab, const char *token, int32_t id);
/* The bounds of what a tokenizer's file may ask for. Known tokenizers stay far below. */
#define VKFT_MAX_VOCABULARY (1u << 24)
#define VKFT_MAX_STEPS 64          /* of a sequence of normalizers, pre-tokenizers or decoders, and of a template */
#define VKFT_MAX_TOKEN_BYTES 1024u /* where the work for a token grows with the square of its length */
/* What the stages may make of a text of this many bytes: compatibility forms have up to 11 times as many. */
size_t vkft_longest_text(size_t length);
/* Ids of <0x00> to <0xFF>; -1 where absent. */
void vkft_vocab_bytes(const vkft_vocab *vocab, int32_t ids[256]);

#endif
