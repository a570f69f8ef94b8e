/* The stages of a tokenizer: text -> normalizer -> pre-tokenizer -> model -> post-processor, and ids -> decoder.
 * Internal to formats.
 *
 * Each stage is built from its part of tokenizer.json and is immutable afterwards. Names are those of the `tokenizers`
 * package.
 */
#ifndef VKFT_TOKENIZER_PRIVATE_H
#define VKFT_TOKENIZER_PRIVATE_H

#include <cjson/cJSON.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "formats/tokenizer/tokenizer.h"
#include "runtime/base/utf8.h"

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
bool vkft_pattern_find(const vkft_pattern *pattern, const char *text, size_t length, size_t start, size_t *begin,
                       size_t *end);

typedef enum vkft_normalizer_kind {
    VKFT_NORMALIZE_NFC,
    VKFT_NORMALIZE_NFD,
    VKFT_NORMALIZE_NFKC,
    VKFT_NORMALIZE_NFKD,
    VKFT_NORMALIZE_PREPEND,
    VKFT_NORMALIZE_REPLACE,
    VKFT_NORMALIZE_STRIP,
    VKFT_NORMALIZE_LOWERCASE,
    VKFT_NORMALIZE_PRECOMPILED,
} vkft_normalizer_kind;

/* SentencePiece's precompiled character map: a double-array trie of strings, and what each becomes. */
typedef struct vkft_charsmap {
    uint32_t *units;
    uint32_t unit_count;
    char *targets; /* zero-terminated strings, which the trie's values point into */
    size_t target_bytes;
    void *memory;
} vkft_charsmap;

/* base64: "precompiled_charsmap" of tokenizer.json. */
bool vkft_charsmap_new(vkft_charsmap *map, const char *base64, const char *where, vkft_err *err);
void vkft_charsmap_free(vkft_charsmap *map);
/* Bytes written to out, which has room for 3 bytes per 4 characters; -1: not base64. */
long vkft_base64_decode(const char *text, size_t length, unsigned char *out);
/* Appends the mapped text, grapheme by grapheme as the `tokenizers` package does. */
bool vkft_charsmap_apply(const vkft_charsmap *map, const char *text, size_t length, vkft_text *out, vkft_err *err);

typedef struct vkft_normalizer {
    vkft_normalizer_kind kind;
    vkft_pattern pattern; /* replace */
    char *content;        /* replace, prepend */
    bool left, right;     /* strip */
    vkft_charsmap charsmap;
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
    } * spans;
    uint32_t count, capacity;
} vkft_piece_list;
bool vkft_pieces_push(vkft_piece_list *pieces, size_t begin, size_t end, vkft_err *err); /* empty pieces are dropped */
void vkft_pieces_free(vkft_piece_list *pieces);

typedef enum vkft_pre_kind {
    VKFT_PRE_SPLIT,
    VKFT_PRE_DIGITS,
    VKFT_PRE_BYTE_LEVEL,
    VKFT_PRE_METASPACE,
    VKFT_PRE_PUNCTUATION,
    VKFT_PRE_WHITESPACE_SPLIT,
} vkft_pre_kind;

typedef enum vkft_behavior {
    VKFT_REMOVED,
    VKFT_ISOLATED,
    VKFT_MERGED_WITH_PREVIOUS,
    VKFT_MERGED_WITH_NEXT,
    VKFT_CONTIGUOUS,
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
bool vkft_pre_tokenizer_apply(const vkft_pre_tokenizer *p, vkft_text *text, bool at_start, vkft_piece_list *pieces,
                              vkft_err *err);

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
#define VKFT_MAX_VOCABULARY (1u << 24)
/* Ids of <0x00> to <0xFF>; -1 where absent. */
void vkft_vocab_bytes(const vkft_vocab *vocab, int32_t ids[256]);

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

/* What the post-processor makes of one sequence, A, or of a pair: special tokens and the sequences, in order. */
enum { VKFT_POST_A = -1, VKFT_POST_B = -2 };
typedef struct vkft_post_processor {
    vkft_ids single, pair; /* token ids, VKFT_POST_A, VKFT_POST_B */
} vkft_post_processor;
bool vkft_post_processor_new(vkft_post_processor *post, const cJSON *json, const char *file, vkft_err *err);
void vkft_post_processor_free(vkft_post_processor *post);

typedef enum vkft_decoder_kind {
    VKFT_DECODE_BYTE_LEVEL,
    VKFT_DECODE_BYTE_FALLBACK,
    VKFT_DECODE_FUSE,
    VKFT_DECODE_STRIP,
    VKFT_DECODE_REPLACE,
    VKFT_DECODE_METASPACE,
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
    char *name;    /* as tokenizer.json has it */
    char *content; /* what is matched and what it decodes to: normalized when `normalized` says so */
    uint32_t length;
    int32_t id;
    bool special, lstrip, rstrip, single_word, normalized;
} vkft_added_token;

struct vkft_tokenizer {
    cJSON *root; /* owns the vocabulary's strings */
    vkft_normalizers normalizers;
    vkft_pre_tokenizer pre;
    vkft_vocab vocab;
    bool is_unigram;
    vkft_bpe bpe; /* or */
    vkft_unigram unigram;
    vkft_decoder decoder;
    vkft_added_token *added;
    uint32_t added_count;
    bool added_first[2][256]; /* by normalized: first bytes of the added tokens */
    const char **tokens;      /* by id, added ones too; NULL where there is none */
    bool *special;            /* by id */
    uint32_t vocab_size;      /* highest id + 1 */
    vkft_post_processor post;
    int32_t bos_id, eos_id;
};

#define VKFT_TOKENIZER_CONFIG "tokenizer_config.json"

/* Reads into tok->added. list: "added_tokens" of tokenizer.json. decoder: "added_tokens_decoder" of
 * tokenizer_config.json, whose flags go before those of the list and whose other tokens are added too, as in
 * transformers. Either may be NULL. */
bool vkft_added_read(vkft_tokenizer *tok, const cJSON *list, const cJSON *decoder, const char *where, vkft_err *err);
/* The first added token from `start` on that is matched in raw or in normalized text; begin and end include the white
 * space that it strips. NULL: none. */
const vkft_added_token *vkft_added_find(const vkft_tokenizer *tok, bool normalized, const char *text, size_t length,
                                        size_t start, size_t *begin, size_t *end);

/* vkft_tokenizer_new of a parsed tokenizer.json, which becomes the tokenizer's (also when this fails). */
vkft_tokenizer *vkft_tokenizer_from_json(cJSON *root, const char *config_json, size_t config_length, const char *file,
                                         vkft_err *err);

#endif
