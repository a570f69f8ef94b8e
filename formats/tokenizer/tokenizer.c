/* The tokenizer as a whole: reading tokenizer.json, added tokens, encoding, decoding.
 *
 * Encoding: added tokens that are matched in the raw text cut it into sections; each section is normalized, cut again
 * at the added tokens that are matched in normalized text, pre-tokenized into pieces, and the pieces go through the
 * model. The post-processor puts special tokens around the whole.
 */
#include "formats/tokenizer/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/stages/added.h"
#include "formats/tokenizer/stages/bpe.h"
#include "formats/tokenizer/stages/decoder.h"
#include "formats/tokenizer/stages/normalizer.h"
#include "formats/tokenizer/stages/post_processor.h"
#include "formats/tokenizer/stages/pre_tokenizer.h"
#include "formats/tokenizer/stages/unigram.h"
#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"

struct vkft_tokenizer {
    cJSON *root; /* owns the vocabulary's strings */
    vkft_normalizers normalizers;
    vkft_pre_tokenizer pre;
    vkft_vocab vocab;
    bool is_unigram;
    vkft_bpe bpe; /* or */
    vkft_unigram unigram;
    vkft_decoder decoder;
    vkft_added_tokens added;
    const char **tokens; /* by id, added ones too; NULL where there is none */
    bool *special;       /* by id */
    uint32_t vocab_size; /* highest id + 1 */
    vkft_post_processor post;
    int32_t bos_id, eos_id;
};

/* Tables by id over the model's tokens and the added ones. */
static bool index_tokens(vkft_tokenizer *tok, vkft_err *err)
{
    tok->vocab_size = tok->vocab.size;
    for (uint32_t i = 0; i < tok->added.count; i++)
        if ((uint32_t)tok->added.tokens[i].id >= tok->vocab_size)
            tok->vocab_size = (uint32_t)tok->added.tokens[i].id + 1;
    tok->tokens = calloc(tok->vocab_size + 1ull, sizeof *tok->tokens);
    tok->special = calloc(tok->vocab_size + 1ull, sizeof *tok->special);
    if (!tok->tokens || !tok->special)
        return vkft_fail_memory(err, "for the tokenizer");
    memcpy(tok->tokens, tok->vocab.tokens, tok->vocab.size * sizeof *tok->tokens);
    for (uint32_t i = 0; i < tok->added.count; i++) {
        const vkft_added_token *a = &tok->added.tokens[i];
        tok->tokens[a->id] = a->content;
        tok->special[a->id] = a->special;
    }
    return true;
}

int32_t vkft_tokenizer_id(const vkft_tokenizer *tok, const char *token)
{
    int32_t id = vkft_string_map_get(&tok->added.names, token, strlen(token));
    return id >= 0 ? id : vkft_string_map_get(&tok->vocab.ids, token, strlen(token));
}

static bool read_model(vkft_tokenizer *tok, const cJSON *model, const char *file, vkft_err *err)
{
    char where[600];
    const char *type = "BPE";
    snprintf(where, sizeof where, "%.500s: model", file);
    if (!vkft_json_get_string(model, "type", false, &type, where, err))
        return false;
    if (strcmp(type, "BPE") == 0)
        return vkft_bpe_new(&tok->bpe, &tok->vocab, model, where, err);
    tok->is_unigram = strcmp(type, "Unigram") == 0;
    return tok->is_unigram ? vkft_unigram_new(&tok->unigram, &tok->vocab, model, where, err)
                           : vkft_fail(err, VKFT_ERR_INPUT,
                                       "%s: type \"%s\" is not supported; supported are BPE and Unigram", where, type);
}

/* A token of tokenizer_config.json: a string or an object with "content"; -1: none. */
static int32_t config_token(const vkft_tokenizer *tok, const cJSON *config, const char *key)
{
    const cJSON *value = vkft_json_member(config, key);
    const char *text =
        cJSON_IsObject(value) ? cJSON_GetStringValue(vkft_json_member(value, "content")) : cJSON_GetStringValue(value);
    return text ? vkft_tokenizer_id(tok, text) : -1;
}

/* {"content", "special": true, ...} of a token that is a string or an object. */
static bool list_special(cJSON *list, const cJSON *value)
{
    static const char *const flags[] = {"lstrip", "rstrip", "single_word", "normalized"};
    const char *text =
        cJSON_IsObject(value) ? cJSON_GetStringValue(vkft_json_member(value, "content")) : cJSON_GetStringValue(value);
    cJSON *token = text ? cJSON_CreateObject() : NULL;
    bool ok =
        !text || (token && cJSON_AddStringToObject(token, "content", text) && cJSON_AddTrueToObject(token, "special"));
    for (size_t i = 0; text && ok && i < 4; i++)
        ok = cJSON_AddBoolToObject(token, flags[i], cJSON_IsTrue(vkft_json_member(value, flags[i])));
    if (ok && text && cJSON_AddItemToArray(list, token))
        return true;
    cJSON_Delete(token);
    return ok && !text;
}

/* The special tokens that tokenizer_config.json names, in the order in which transformers adds those that are new.
 * NULL: out of memory. */
static cJSON *special_tokens(const cJSON *config)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    const cJSON *extra = vkft_json_member(config, "extra_special_tokens"), *item;
    cJSON *list = cJSON_CreateArray();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < sizeof names / sizeof *names; i++)
        ok = list_special(list, vkft_json_member(config, names[i]));
    if (!extra || (cJSON_IsArray(extra) && !extra->child))
        extra = vkft_json_member(config, "additional_special_tokens");
    cJSON_ArrayForEach(item, extra) ok = ok && list_special(list, item);
    if (ok)
        return list;
    cJSON_Delete(list);
    return NULL;
}

/* Puts the special token before or after A, unless there is one already. */
static bool add_edge(vkft_post_processor *post, int32_t id, bool after, vkft_err *err)
{
    vkft_ids *ids = &post->single;
    int32_t there = ids->data[after ? ids->count - 1 : 0];
    if (id < 0 || there != VKFT_POST_A)
        return true;
    if (!vkft_ids_push(ids, id, err))
        return false;
    if (!after) {
        memmove(ids->data + 1, ids->data, (ids->count - 1) * sizeof *ids->data);
        ids->data[0] = id;
    }
    return true;
}

/* "add_prefix_space" of tokenizer_config.json goes before what tokenizer.json says, as in transformers. */
static void set_prefix_space(vkft_tokenizer *tok, bool add)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < tok->pre.count; i++) {
        if (tok->pre.steps[i].kind == VKFT_PRE_BYTE_LEVEL)
            tok->pre.steps[i].add_prefix_space = add;
        else if (tok->pre.steps[i].kind == VKFT_PRE_METASPACE && !add)
            tok->pre.steps[i].scheme = VKFT_PREPEND_NEVER;
    }
    for (uint32_t i = 0; !add && i < tok->decoder.count; i++)
        if (tok->decoder.steps[i].kind == VKFT_DECODE_STRIP)
            tok->decoder.steps[i].start = 0;
    for (uint32_t i = 0; !add && i < tok->normalizers.count; i++) {
        vkft_normalizer *step = &tok->normalizers.steps[i];
        if (step->kind == VKFT_NORMALIZE_PREPEND)
            free(step->content);
        else
            tok->normalizers.steps[kept++] = *step;
    }
    tok->normalizers.count = add ? tok->normalizers.count : kept;
}

static bool read_config(vkft_tokenizer *tok, const cJSON *config, vkft_err *err)
{
    bool add_bos = false, add_eos = false;
    tok->bos_id = config_token(tok, config, "bos_token");
    tok->eos_id = config_token(tok, config, "eos_token");
    return vkft_json_get_bool(config, "add_bos_token", false, &add_bos, VKFT_TOKENIZER_CONFIG, err) &&
           vkft_json_get_bool(config, "add_eos_token", false, &add_eos, VKFT_TOKENIZER_CONFIG, err) &&
           vkft_json_get_bool(config, "split_special_tokens", false, &tok->added.split_special, VKFT_TOKENIZER_CONFIG,
                              err) &&
           (!add_bos || add_edge(&tok->post, tok->bos_id, false, err)) &&
           (!add_eos || add_edge(&tok->post, tok->eos_id, true, err));
}

vkft_tokenizer *vkft_tokenizer_new(const char *json, size_t json_length, const char *config_json, size_t config_length,
                                   const char *file, vkft_err *err)
{
    cJSON *root = vkft_json_parse_config(json, json_length, file, err);
    return root ? vkft_tokenizer_from_json(root, config_json, config_length, file, err) : NULL;
}

/* Text stays valid UTF-8 through all stages, which need not check it again: so must be whatever a stage may put into
 * it. */
static bool check_strings(const cJSON *node, const char *file, vkft_err *err)
{
    const cJSON *child;
    if (cJSON_IsString(node) && !vkft_utf8_valid(node->valuestring, strlen(node->valuestring)))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: \"%.60s\" in %.60s is not valid UTF-8, or holds a zero character",
                         file, node->valuestring, node->string ? node->string : "a list");
    cJSON_ArrayForEach(child, node) if (!check_strings(child, file, err)) return false;
    return true;
}

/* All but the vocabulary, which may hold any bytes: they are repaired where they are decoded. */
static bool check_root(const cJSON *root, const char *file, vkft_err *err)
{
    const cJSON *child;
    cJSON_ArrayForEach(child, root) if (!(child->string && strcmp(child->string, "model") == 0) &&
                                        !check_strings(child, file, err)) return false;
    return true;
}

static bool read_stages(vkft_tokenizer *tok, const cJSON *config, const char *file, vkft_err *err)
{
    const cJSON *root = tok->root, *model, *added = NULL, *decoder = NULL,
                *prefix_space = vkft_json_member(config, "add_prefix_space");
    char where[600];
    snprintf(where, sizeof where, "%.500s: added_tokens", file);
    if (!check_root(root, file, err) || !check_strings(config, VKFT_TOKENIZER_CONFIG, err) ||
        !vkft_json_get_object(root, "model", true, &model, file, err) ||
        !vkft_json_get_array(root, "added_tokens", false, &added, file, err) ||
        !vkft_json_get_object(config, "added_tokens_decoder", false, &decoder, VKFT_TOKENIZER_CONFIG, err) ||
        !vkft_normalizers_new(&tok->normalizers, vkft_json_member(root, "normalizer"), file, err) ||
        !vkft_pre_tokenizer_new(&tok->pre, vkft_json_member(root, "pre_tokenizer"), file, err) ||
        !vkft_decoder_new(&tok->decoder, vkft_json_member(root, "decoder"), file, err))
        return false;
    if (cJSON_IsBool(prefix_space))
        set_prefix_space(tok, cJSON_IsTrue(prefix_space));
    cJSON *special = special_tokens(config);
    bool ok = (special || vkft_fail_memory(err, "for the tokenizer")) && read_model(tok, model, file, err) &&
              vkft_added_tokens_read(&tok->added, &tok->normalizers, added, decoder, special, &tok->vocab, where, err);
    cJSON_Delete(special);
    return ok && index_tokens(tok, err) &&
           vkft_post_processor_new(&tok->post, vkft_json_member(root, "post_processor"), file, err) &&
           (!config || read_config(tok, config, err));
}

vkft_tokenizer *vkft_tokenizer_from_json(cJSON *root, const char *config_json, size_t config_length, const char *file,
                                         vkft_err *err)
{
    vkft_tokenizer *tok = calloc(1, sizeof *tok);
    if (!tok) {
        cJSON_Delete(root);
        vkft_fail_memory(err, "for the tokenizer");
        return NULL;
    }
    tok->root = root;
    tok->bos_id = tok->eos_id = -1;
    cJSON *config = config_json ? vkft_json_parse_config(config_json, config_length, VKFT_TOKENIZER_CONFIG, err) : NULL;
    bool ok = (config || !config_json) && read_stages(tok, config, file, err);
    cJSON_Delete(config);
    if (!ok) {
        vkft_tokenizer_free(tok);
        return NULL;
    }
    return tok;
}

void vkft_tokenizer_free(vkft_tokenizer *tok)
{
    if (!tok)
        return;
    vkft_normalizers_free(&tok->normalizers);
    vkft_pre_tokenizer_free(&tok->pre);
    vkft_bpe_free(&tok->bpe);
    vkft_unigram_free(&tok->unigram);
    vkft_vocab_free(&tok->vocab);
    vkft_decoder_free(&tok->decoder);
    vkft_added_tokens_free(&tok->added);
    free(tok->tokens);
    free(tok->special);
    vkft_post_processor_free(&tok->post);
    cJSON_Delete(tok->root);
    free(tok);
}

/* What encoding works with from call to call. */
typedef struct encoder {
    const vkft_tokenizer *tok;
    vkft_ids *ids;
    vkft_piece_list pieces;
    bool at_start;
    vkft_err *err;
} encoder;

/* Plain text without added tokens, normalized. */
static bool encode_plain(encoder *e, const char *text, size_t length)
{
    vkft_text copy = {0};
    bool ok = vkft_text_append(&copy, text, length, e->err) &&
              vkft_pre_tokenizer_apply(&e->tok->pre, &copy, e->at_start, &e->pieces, e->err);
    for (uint32_t i = 0; ok && i < e->pieces.count; i++) {
        struct vkft_span span = e->pieces.spans[i];
        const char *piece = copy.data + span.begin;
        ok = e->tok->is_unigram ? vkft_unigram_encode(&e->tok->unigram, piece, span.end - span.begin, e->ids, e->err)
                                : vkft_bpe_encode(&e->tok->bpe, piece, span.end - span.begin, e->ids, e->err);
    }
    vkft_text_free(&copy);
    return ok;
}

static bool encode_section(encoder *e, const char *text, size_t length);

/* Cuts at the added tokens of one kind; what lies between goes to the next stage. */
static bool encode_between(encoder *e, bool normalized, const char *text, size_t length)
{
    size_t at = 0, begin, end;
    for (const vkft_added_token *a;
         (a = vkft_added_tokens_find(&e->tok->added, normalized, text, length, at, &begin, &end)); at = end) {
        if (begin > at &&
            !(normalized ? encode_plain(e, text + at, begin - at) : encode_section(e, text + at, begin - at)))
            return false;
        e->at_start = false;
        if (!vkft_ids_push(e->ids, a->id, e->err))
            return false;
    }
    return at >= length ||
           (normalized ? encode_plain(e, text + at, length - at) : encode_section(e, text + at, length - at));
}

/* Raw text without special tokens. */
static bool encode_section(encoder *e, const char *text, size_t length)
{
    vkft_text normal = {0};
    bool ok = vkft_text_append(&normal, text, length, e->err) &&
              vkft_normalizers_apply(&e->tok->normalizers, &normal, e->err) &&
              encode_between(e, true, normal.data, normal.length);
    vkft_text_free(&normal);
    e->at_start = false;
    return ok;
}

static bool encode_sequence(const vkft_tokenizer *tok, const char *text, size_t length, vkft_ids *out, vkft_err *err)
{
    encoder e = {.tok = tok, .ids = out, .at_start = true, .err = err};
    vkft_text valid = {0};
    bool ok = vkft_text_append_valid(&valid, text, length, err) && encode_between(&e, false, valid.data, valid.length);
    vkft_text_free(&valid);
    vkft_pieces_free(&e.pieces);
    return ok;
}

bool vkft_tokenizer_encode(const vkft_tokenizer *tok, const char *text, size_t length, bool add_special_tokens,
                           vkft_ids *out, vkft_err *err)
{
    if (!add_special_tokens)
        return encode_sequence(tok, text, length, out, err);
    for (uint32_t i = 0; i < tok->post.single.count; i++) {
        int32_t part = tok->post.single.data[i];
        if (!(part >= 0 ? vkft_ids_push(out, part, err) : encode_sequence(tok, text, length, out, err)))
            return false;
    }
    return true;
}

bool vkft_tokenizer_encode_prompt(const vkft_tokenizer *tok, const char *text, size_t length, vkft_ids *out,
                                  vkft_err *err)
{
    for (uint32_t i = 0; i < tok->post.single.count && tok->post.single.data[i] >= 0; i++)
        if (!vkft_ids_push(out, tok->post.single.data[i], err))
            return false;
    return encode_sequence(tok, text, length, out, err);
}

bool vkft_tokenizer_adds_prefix(const vkft_tokenizer *tok)
{
    for (uint32_t i = 0; i < tok->normalizers.count; i++)
        if (tok->normalizers.steps[i].kind == VKFT_NORMALIZE_PREPEND)
            return true;
    for (uint32_t i = 0; i < tok->pre.count; i++) {
        const vkft_pre_step *step = &tok->pre.steps[i];
        if ((step->kind == VKFT_PRE_METASPACE && step->scheme != VKFT_PREPEND_NEVER) ||
            (step->kind == VKFT_PRE_BYTE_LEVEL && step->add_prefix_space))
            return true;
    }
    return false;
}

bool vkft_tokenizer_encode_pair(const vkft_tokenizer *tok, const char *a, size_t a_length, const char *b,
                                size_t b_length, bool add_special_tokens, vkft_ids *out, vkft_err *err)
{
    if (!add_special_tokens)
        return encode_sequence(tok, a, a_length, out, err) && encode_sequence(tok, b, b_length, out, err);
    for (uint32_t i = 0; i < tok->post.pair.count; i++) {
        int32_t part = tok->post.pair.data[i];
        bool ok = part >= 0             ? vkft_ids_push(out, part, err)
                  : part == VKFT_POST_A ? encode_sequence(tok, a, a_length, out, err)
                                        : encode_sequence(tok, b, b_length, out, err);
        if (!ok)
            return false;
    }
    return true;
}

bool vkft_tokenizer_has(const vkft_tokenizer *tok, int32_t id)
{
    return id >= 0 && (uint32_t)id < tok->vocab_size && tok->tokens[id];
}

bool vkft_tokenizer_is_special(const vkft_tokenizer *tok, int32_t id)
{
    return id >= 0 && (uint32_t)id < tok->vocab_size && tok->special[id];
}

bool vkft_tokenizer_decode(const vkft_tokenizer *tok, const int32_t *ids, uint32_t count, bool skip_special_tokens,
                           vkft_text *out, vkft_err *err)
{
    vkft_text *tokens = calloc(count + 1ull, sizeof *tokens);
    uint32_t n = 0;
    bool ok = tokens || vkft_fail_memory(err, "for the tokenizer");
    for (uint32_t i = 0; ok && i < count; i++) {
        if (!vkft_tokenizer_has(tok, ids[i])) {
            ok = vkft_fail(err, VKFT_ERR_INPUT, "token id %d is not in the tokenizer's vocabulary of %u", ids[i],
                           tok->vocab_size);
        } else if (!(skip_special_tokens && vkft_tokenizer_is_special(tok, ids[i]))) {
            const char *token = tok->tokens[ids[i]];
            ok = vkft_text_append_valid(&tokens[n++], token, strlen(token), err);
        }
    }
    ok = ok && vkft_decoder_apply(&tok->decoder, tokens, n, out, err) && vkft_text_append(out, "", 0, err);
    for (uint32_t i = 0; i < n; i++)
        vkft_text_free(&tokens[i]);
    free(tokens);
    return ok;
}

uint32_t vkft_tokenizer_vocab_size(const vkft_tokenizer *tok)
{
    return tok->vocab_size;
}

int32_t vkft_tokenizer_bos_id(const vkft_tokenizer *tok)
{
    return tok->bos_id;
}

int32_t vkft_tokenizer_eos_id(const vkft_tokenizer *tok)
{
    return tok->eos_id;
}
