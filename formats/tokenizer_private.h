/* The stages of a tokenizer: text -> normalizer -> pre-tokenizer -> model -> post-processor, and ids -> decoder. Internal to formats.
 *
 * Each stage is built from its part of tokenizer.json and is immutable afterwards. Names are those of the `tokenizers` package.
 */
#ifndef VKFT_TOKENIZER_PRIVATE_H
#define VKFT_TOKENIZER_PRIVATE_H

#include <cjson/cJSON.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "tokenizer.h"
#include "utf8.h"

/* A literal string or a regular expression. */
typedef struct vkft_pattern {
    char *literal; /* or */
    pcre2_code *regex;
} vkft_pattern;

/* json: {"String": "..."} or {"Regex": "..."}. */
bool vkft_pattern_new(vkft_pattern *pattern, const cJSON *json, const char *where, vkft_err *err);
bool vkft_pattern_regex(vkft_pattern *pattern, const char *expression, const char *where, vkft_err *err);
void vkft_pattern_free(vkft_pattern *pattern);
/* The first non-empty match at or after start; false: none. An error (out of a limit) counts as none. */
bool vkft_pattern_find(const vkft_pattern *pattern, const char *text, size_t length, size_t start, size_t *begin, size_t *end);

typedef enum vkft_normalizer_kind {
    VKFT_NORMALIZE_NFC, VKFT_NORMALIZE_NFD, VKFT_NORMALIZE_NFKC, VKFT_NORMALIZE_NFKD, VKFT_NORMALIZE_PREPEND,
    VKFT_NORMALIZE_REPLACE, VKFT_NORMALIZE_STRIP, VKFT_NORMALIZE_LOWERCASE,
} vkft_normalizer_kind;

typedef struct vkft_normalizer {
    vkft_normalizer_kind kind;
    vkft_pattern pattern; /* replace */
    char *content;        /* replace, prepend */
    bool left, right;     /* strip */
} vkft_normalizer;

typedef struct vkft_normalizers {
    vkft_normalizer *steps;
    uint32_t count;
} vkft_normalizers;

bool vkft_normalizers_new(vkft_normalizers *n, const cJSON *json, const char *file, vkft_err *err);
void vkft_normalizers_free(vkft_normalizers *n);
/* text is replaced by its normal form. */
bool vkft_normalizers_apply(const vkft_normalizers *n, vkft_text *text, vkft_err *err);

/* Pieces of a text. */
typedef struct vkft_piece_list {
    struct vkft_span {
        size_t begin, end;
    } *spans;
    uint32_t count, capacity;
} vkft_piece_list;
bool vkft_pieces_push(vkft_piece_list *pieces, size_t begin, size_t end, vkft_err *err); /* empty pieces are dropped */
void vkft_pieces_free(vkft_piece_list *pieces);

typedef enum vkft_pre_kind {
    VKFT_PRE_SPLIT, VKFT_PRE_DIGITS, VKFT_PRE_BYTE_LEVEL, VKFT_PRE_METASPACE, VKFT_PRE_PUNCTUATION, VKFT_PRE_WHITESPACE_SPLIT,
} vkft_pre_kind;

typedef enum vkft_behavior {
    VKFT_REMOVED, VKFT_ISOLATED, VKFT_MERGED_WITH_PREVIOUS, VKFT_MERGED_WITH_NEXT, VKFT_CONTIGUOUS,
} vkft_behavior;

typedef enum vkft_prepend_scheme { VKFT_PREPEND_NEVER, VKFT_PREPEND_FIRST, VKFT_PREPEND_ALWAYS } vkft_prepend_scheme;

typedef struct vkft_pre_step {
    vkft_pre_kind kind;
    vkft_pattern pattern; /* what separates */
    vkft_behavior behavior;
    bool invert;
    bool split;                 /* metaspace; byte level: use_regex */
    bool add_prefix_space;      /* byte level */
    vkft_prepend_scheme scheme; /* metaspace */
    char *replacement;          /* metaspace */
} vkft_pre_step;

typedef struct vkft_pre_tokenizer {
    vkft_pre_step *steps;
    uint32_t count;
} vkft_pre_tokenizer;

bool vkft_pre_tokenizer_new(vkft_pre_tokenizer *p, const cJSON *json, const char *file, vkft_err *err);
void vkft_pre_tokenizer_free(vkft_pre_tokenizer *p);
/* Splits text, which steps may also rewrite (byte level, metaspace). at_start: the text begins the whole input. */
bool vkft_pre_tokenizer_apply(const vkft_pre_tokenizer *p, vkft_text *text, bool at_start, vkft_piece_list *pieces, vkft_err *err);

/* Byte b as the character of GPT-2's printable alphabet, and back (-1: not in it). */
uint32_t vkft_byte_to_point(unsigned char byte);
int vkft_point_to_byte(uint32_t point);

/* A map from strings to ids. */
typedef struct vkft_string_map {
    struct vkft_string_entry {
        const char *key; /* borrowed */
        uint32_t length;
        int32_t value;
    } *entries;
    uint32_t capacity; /* a power of two */
} vkft_string_map;
bool vkft_string_map_new(vkft_string_map *map, uint32_t count, vkft_err *err);
void vkft_string_map_free(vkft_string_map *map);
void vkft_string_map_put(vkft_string_map *map, const char *key, size_t length, int32_t value);
int32_t vkft_string_map_get(const vkft_string_map *map, const char *key, size_t length); /* -1: absent */

typedef struct vkft_merge {
    int32_t left, right; /* ids */
    int32_t rank, merged;
} vkft_merge;

typedef struct vkft_bpe {
    vkft_string_map vocab;
    vkft_merge *merges; /* hash table by (left, right), capacity a power of two; left < 0: empty */
    uint32_t merge_capacity;
    int32_t unk_id; /* -1: none */
    int32_t byte_ids[256]; /* <0x00> ...; -1 where absent */
    bool byte_fallback, fuse_unk, ignore_merges;
} vkft_bpe;

bool vkft_bpe_new(vkft_bpe *bpe, const cJSON *model, const char *file, vkft_err *err);
void vkft_bpe_free(vkft_bpe *bpe);
bool vkft_bpe_encode(const vkft_bpe *bpe, const char *piece, size_t length, vkft_ids *ids, vkft_err *err);

typedef enum vkft_decoder_kind {
    VKFT_DECODE_BYTE_LEVEL, VKFT_DECODE_BYTE_FALLBACK, VKFT_DECODE_FUSE, VKFT_DECODE_STRIP, VKFT_DECODE_REPLACE, VKFT_DECODE_METASPACE,
} vkft_decoder_kind;

typedef struct vkft_decoder_step {
    vkft_decoder_kind kind;
    vkft_pattern pattern; /* replace */
    char *content;        /* replace; strip: the character; metaspace: the replacement */
    uint32_t start, stop; /* strip */
    bool strip_first;     /* metaspace: the first token's marker was added by the encoder */
} vkft_decoder_step;

typedef struct vkft_decoder {
    vkft_decoder_step *steps;
    uint32_t count;
} vkft_decoder;

bool vkft_decoder_new(vkft_decoder *d, const cJSON *json, const char *file, vkft_err *err);
void vkft_decoder_free(vkft_decoder *d);
/* The steps rewrite the tokens in place; the result is appended to out, valid UTF-8. */
bool vkft_decoder_apply(const vkft_decoder *d, vkft_text *tokens, uint32_t count, vkft_text *out, vkft_err *err);

typedef struct vkft_added_token {
    const char *name; /* as tokenizer.json has it */
    char *content;    /* what is matched and what it decodes to: normalized when `normalized` says so */
    uint32_t length;
    int32_t id;
    bool special, lstrip, rstrip, single_word, normalized;
} vkft_added_token;

struct vkft_tokenizer {
    cJSON *root; /* owns the vocabulary's strings */
    vkft_normalizers normalizers;
    vkft_pre_tokenizer pre;
    vkft_bpe bpe;
    vkft_decoder decoder;
    vkft_added_token *added;
    uint32_t added_count;
    const char **tokens; /* by id; NULL where there is none */
    uint32_t vocab_size; /* highest id + 1 */
    vkft_ids prefix, suffix; /* special tokens of the post-processor for one sequence */
    int32_t bos_id, eos_id;
};

#endif
