/* tokenizer.json and tokenizer_config.json from the keys of a GGUF file.
 *
 * tokenizer.ggml.model says the kind: "gpt2" is byte-level BPE, whose rules for cutting text have a name in
 * tokenizer.ggml.pre; "llama" is SentencePiece's BPE, as in Llama 2, Mistral and Gemma.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/keys.h"
#include "formats/gguf/model.h"
#include "formats/tokenizer/files/models.h"
#include "formats/tokenizer/files/source.h"
#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/text.h"
#include "runtime/base/utf8.h"

#define SPLIT(regex)                                                                                                   \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex                    \
    "\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"              \
    "\"trim_offsets\":true,\"use_regex\":false}]}"
#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define GPT4(digits)                                                                                                   \
    SPLIT(ENDINGS "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits "| "                                              \
                  "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*" SPACES)
/* words in which capitals begin a new part */
#define CASED(ending, digits)                                                                                          \
    SPLIT("[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*"                              \
          "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+" ending                                                              \
          "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]+"                             \
          "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]*" ending "|" digits                                                   \
          "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*" SPACES)
#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define DIGITS                                                                                                         \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true}," BYTE_LEVEL "]}"
#define WITH(normalizer, pre) "{\"normalizer\":" normalizer ",\"pre_tokenizer\":" pre ",\"decoder\":" BYTE_LEVEL "}"
#define NFC "{\"type\":\"NFC\"}"

/* The parts of tokenizer.json for a name in tokenizer.ggml.pre. */
static const struct pre {
    const char *name, *parts;
    bool ignore_merges, add_bos; /* add_bos: unless tokenizer.ggml.add_bos_token says */
} pres[] = {
    {"gpt-2", WITH("null", BYTE_LEVEL), false, false},
    {"phi-2", WITH("null", BYTE_LEVEL), false, false},
    {"olmo", WITH(NFC, BYTE_LEVEL), false, false},
    {"mpt", WITH(NFC, BYTE_LEVEL), false, false},
    {"llama-bpe", WITH("null", GPT4("\\\\p{N}{1,3}")), true, true},
    {"llama3", WITH("null", GPT4("\\\\p{N}{1,3}")), true, true},
    {"llama-v3", WITH("null", GPT4("\\\\p{N}{1,3}")), true, true},
    {"dbrx", WITH("null", GPT4("\\\\p{N}{1,3}")), false, false},
    {"smaug-bpe", WITH("null", GPT4("\\\\p{N}{1,3}")), false, false},
    {"qwen2", WITH(NFC, GPT4("\\\\p{N}")), false, false},
    {"deepseek-r1-qwen", WITH("null", GPT4("\\\\p{N}")), false, false},
    {"smollm", WITH("null", DIGITS), false, false},
    {"starcoder", WITH("null", DIGITS), false, false},
    {"refact", WITH("null", DIGITS), false, false},
    {"gpt-4o", WITH("null", CASED(ENDINGS "?", "\\\\p{N}{1,3}")), false, false},
    {"tekken", WITH("null", CASED("", "\\\\p{N}")), true, true},
};
#define PRES (sizeof pres / sizeof *pres)

/* Appends what a part of a tokenizer.json does to a text, in one spelling. */
static void describe(const cJSON *part, vkft_text *out)
{
    static const char *const lists[] = {"normalizers", "pretokenizers"}, *const texts[] = {"type", "behavior"},
                             *const switches[] = {"invert", "individual_digits", "add_prefix_space", "use_regex"};
    const cJSON *item;
    const char *type = cJSON_GetStringValue(vkft_json_member(part, "type"));
    for (size_t i = 0; i < 2; i++)
        cJSON_ArrayForEach(item, vkft_json_member(part, lists[i])) describe(item, out);
    if (!type || strcmp(type, "Sequence") == 0)
        return;
    const cJSON *pattern = vkft_json_member(part, "pattern");
    const char *regex = cJSON_GetStringValue(vkft_json_member(pattern, "Regex")),
               *string = cJSON_GetStringValue(vkft_json_member(pattern, "String"));
    for (size_t i = 0; i < 2; i++) {
        const char *text = cJSON_GetStringValue(vkft_json_member(part, texts[i]));
        vkft_text_append(out, text ? text : "", text ? strlen(text) : 0, NULL);
        vkft_text_append(out, "|", 1, NULL);
    }
    for (size_t i = 0; i < 4; i++) {
        const cJSON *value = vkft_json_member(part, switches[i]);
        bool by_default = i == 3 && strcmp(type, "ByteLevel") == 0;
        vkft_text_append(out,
                         cJSON_IsBool(value) ? (cJSON_IsTrue(value) ? "1" : "0")
                         : by_default        ? "1"
                                             : "0",
                         1, NULL);
    }
    const char *what = regex ? regex : string ? string : "";
    vkft_text_append(out, what, strlen(what), NULL);
    vkft_text_append(out, "\n", 1, NULL);
}

/* The same of both parts that change what is cut. */
static void describe_root(const cJSON *root, vkft_text *out)
{
    describe(vkft_json_member(root, "normalizer"), out);
    vkft_text_append(out, "\n", 1, NULL);
    describe(vkft_json_member(root, "pre_tokenizer"), out);
}

const char *vkft_gguf_pre_of(const cJSON *tokenizer)
{
    bool ignore_merges = cJSON_IsTrue(vkft_json_member(vkft_json_member(tokenizer, "model"), "ignore_merges"));
    const char *found = NULL;
    vkft_text wanted = {0};
    describe_root(tokenizer, &wanted);
    for (size_t i = 0; i < PRES && !found; i++) {
        vkft_text text = {0};
        cJSON *root = cJSON_Parse(pres[i].parts);
        describe_root(root, &text);
        if (pres[i].ignore_merges == ignore_merges && text.data && wanted.data && strcmp(text.data, wanted.data) == 0)
            found = pres[i].name;
        cJSON_Delete(root);
        vkft_text_free(&text);
    }
    vkft_text_free(&wanted);
    return found;
}

typedef struct maker {
    const vkft_gguf *gguf;
    const vkft_gguf_value *tokens, *types; /* types NULL: all are normal */
    cJSON *root, *added;
    bool add_bos, add_eos;
    vkft_err *err;
} maker;

static bool fail(const maker *m, const char *what)
{
    return vkft_fail(m->err, VKFT_ERR_INPUT, "%s: tokenizer.ggml: %s", vkft_gguf_path(m->gguf), what);
}

static uint32_t kind_of(const maker *m, uint64_t id)
{
    return m->types ? (uint32_t)vkft_gguf_number(m->types, id) : VKFT_SP_NORMAL;
}

/* The next token as a string of C, malloc'ed. */
static char *next_token(const maker *m, uint64_t id, uint64_t *at)
{
    uint64_t length;
    const char *text = vkft_gguf_string(m->tokens, at, &length);
    if (memchr(text, 0, length) || !vkft_utf8_valid(text, length)) {
        vkft_fail(m->err, VKFT_ERR_INPUT, "%s: token %" PRIu64 " is not valid UTF-8, or holds a zero character",
                  vkft_gguf_path(m->gguf), id);
        return NULL;
    }
    char *copy = malloc(length + 1);
    if (!copy) {
        vkft_fail_memory(m->err, "for the tokenizer");
        return NULL;
    }
    memcpy(copy, text, length);
    copy[length] = 0;
    return copy;
}

static const struct pre *find_pre(const maker *m)
{
    char *name = NULL;
    const struct pre *found = NULL;
    if (!vkft_gguf_get_string(m->gguf, "tokenizer.ggml.pre", false, &name, m->err))
        return NULL;
    for (size_t i = 0; i < PRES && name && !found; i++)
        found = strcmp(pres[i].name, name) == 0 ? &pres[i] : NULL;
    if (!found) {
        vkft_text known = {0};
        for (size_t i = 0; i < PRES; i++) {
            vkft_text_append(&known, i ? ", " : "", i ? 2 : 0, NULL);
            vkft_text_append(&known, pres[i].name, strlen(pres[i].name), NULL);
        }
        vkft_fail(m->err, VKFT_ERR_INPUT,
                  "%s: tokenizer.ggml.pre is '%.60s', which is not supported; supported are %s: use the model's "
                  "safetensors, or a newer GGUF file of it",
                  vkft_gguf_path(m->gguf), name ? name : "missing", known.data ? known.data : "");
        vkft_text_free(&known);
    }
    free(name);
    return found;
}

static bool add_token(const maker *m, uint64_t id, const char *content, bool special)
{
    cJSON *token = cJSON_CreateObject();
    bool ok = token && cJSON_AddItemToArray(m->added, token) && cJSON_AddNumberToObject(token, "id", (double)id) &&
              cJSON_AddStringToObject(token, "content", content) && cJSON_AddFalseToObject(token, "single_word") &&
              cJSON_AddFalseToObject(token, "lstrip") && cJSON_AddFalseToObject(token, "rstrip") &&
              cJSON_AddFalseToObject(token, "normalized") && cJSON_AddBoolToObject(token, "special", special);
    return ok || vkft_fail_memory(m->err, "for the tokenizer");
}

static bool add_vocabulary(const maker *m, cJSON *vocab)
{
    uint64_t at = 0;
    for (uint64_t id = 0; id < m->tokens->count; id++) {
        char *token = next_token(m, id, &at);
        if (!token)
            return false;
        uint32_t kind = kind_of(m, id);
        bool special = kind == VKFT_SP_CONTROL || kind == VKFT_SP_UNKNOWN;
        bool ok = cJSON_AddNumberToObject(vocab, token, (double)id) || vkft_fail_memory(m->err, "for the tokenizer");
        ok = ok && ((!special && kind != VKFT_SP_USER_DEFINED) || add_token(m, id, token, special));
        free(token);
        if (!ok)
            return false;
    }
    return true;
}

static bool add_merges(const maker *m, cJSON *list)
{
    const vkft_gguf_value *merges;
    if (!vkft_gguf_get_array(m->gguf, "tokenizer.ggml.merges", true, true, &merges, m->err))
        return false;
    uint64_t at = 0, length;
    for (uint64_t i = 0; i < merges->count; i++) {
        const char *text = vkft_gguf_string(merges, &at, &length);
        char *copy = length < 65536 ? malloc(length + 1) : NULL;
        if (!copy)
            return fail(m, "a merge is too long");
        memcpy(copy, text, length);
        copy[length] = 0;
        bool ok = !memchr(copy, 0, length) && vkft_utf8_valid(copy, length);
        cJSON *item = ok ? cJSON_CreateString(copy) : NULL;
        free(copy);
        if (!item || !cJSON_AddItemToArray(list, item))
            return ok ? vkft_fail_memory(m->err, "for the tokenizer") : fail(m, "a merge is not valid UTF-8");
    }
    return true;
}

static bool make_gpt2(maker *m)
{
    const struct pre *pre = find_pre(m);
    if (!pre)
        return false;
    m->root = vkft_json_parse(pre->parts, strlen(pre->parts), "tokenizer", m->err);
    m->add_bos = pre->add_bos;
    if (!m->root)
        return false;
    cJSON *model = cJSON_AddObjectToObject(m->root, "model");
    if (!model || !cJSON_AddStringToObject(model, "type", "BPE") ||
        !cJSON_AddBoolToObject(model, "ignore_merges", pre->ignore_merges))
        return vkft_fail_memory(m->err, "for the tokenizer");
    cJSON *vocab = cJSON_AddObjectToObject(model, "vocab"), *merges = cJSON_AddArrayToObject(model, "merges");
    if (!vocab || !merges)
        return vkft_fail_memory(m->err, "for the tokenizer");
    return add_vocabulary(m, vocab) && add_merges(m, merges);
}

/* Phi-3's special tokens take the white space after them, but for these; files do not keep it. */
static bool strip_right(cJSON *added)
{
    static const char *const not_these[] = {"<unk>", "<s>", "<|endoftext|>"};
    cJSON *token;
    cJSON_ArrayForEach(token, added)
    {
        const char *content = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(token, "content"));
        bool strip = content != NULL;
        for (size_t i = 0; strip && i < 3; i++)
            strip = strcmp(content, not_these[i]) != 0;
        cJSON_DeleteItemFromObjectCaseSensitive(token, "rstrip");
        if (!cJSON_AddBoolToObject(token, "rstrip", strip))
            return false;
    }
    return true;
}

static bool make_pieces(const maker *m, vkft_sentencepiece *sp)
{
    const vkft_gguf_value *scores;
    if (!vkft_gguf_get_array(m->gguf, "tokenizer.ggml.scores", true, false, &scores, m->err))
        return false;
    if (scores->count != m->tokens->count || m->tokens->count > UINT32_MAX)
        return fail(m, "there is not a score for every token");
    sp->model = VKFT_SP_BPE;
    sp->byte_fallback = true;
    sp->pieces = calloc((size_t)m->tokens->count + 1, sizeof *sp->pieces);
    if (!sp->pieces)
        return vkft_fail_memory(m->err, "for the tokenizer");
    uint64_t at = 0;
    for (uint32_t id = 0; id < m->tokens->count; id++) {
        char *token = next_token(m, id, &at);
        if (!token)
            return false;
        sp->pieces[sp->count++] =
            (struct vkft_sp_piece){.text = token, .score = vkft_gguf_number(scores, id), .kind = kind_of(m, id)};
    }
    return true;
}

static bool make_llama(maker *m)
{
    vkft_sentencepiece sp = {.add_dummy_prefix = true};
    uint32_t next_id;
    m->add_bos = true;
    const char *parts = NULL;
    bool ok = vkft_gguf_get_bool(m->gguf, "tokenizer.ggml.add_space_prefix", false, &sp.add_dummy_prefix, m->err) &&
              make_pieces(m, &sp);
    if (ok) {
        parts = vkft_tokenizer_llama_parts(sp.add_dummy_prefix);
        m->root = vkft_json_parse(parts, strlen(parts), "tokenizer", m->err);
        cJSON *model = m->root ? vkft_model_of_sentencepiece(&sp, 0, &next_id, m->err) : NULL;
        ok = model &&
             (cJSON_AddItemToObject(m->root, "model", model) || vkft_fail_memory(m->err, "for the tokenizer")) &&
             vkft_add_sentencepiece_tokens(&sp, m->root, m->added, m->err);
    }
    vkft_sentencepiece_free(&sp);
    const vkft_gguf_arch *arch = ok ? vkft_gguf_arch_of(m->gguf, m->err) : NULL;
    if (arch && strcmp(arch->name, "phi3") == 0)
        return strip_right(m->added) || vkft_fail_memory(m->err, "for the tokenizer");
    return arch != NULL;
}

/* The special tokens, what is put around a text, the chat templates. */
static bool make_config(const maker *m, char **text)
{
    static const struct {
        const char *key, *name;
    } tokens[] = {{"tokenizer.ggml.bos_token_id", "bos_token"},
                  {"tokenizer.ggml.eos_token_id", "eos_token"},
                  {"tokenizer.ggml.unknown_token_id", "unk_token"},
                  {"tokenizer.ggml.padding_token_id", "pad_token"}};
    bool failed = false, add_bos = m->add_bos, add_eos = m->add_eos;
    char *chat = NULL;
    vkft_json_node json = vkft_json_make_object(&failed);
    bool ok = vkft_gguf_get_bool(m->gguf, "tokenizer.ggml.add_bos_token", false, &add_bos, m->err) &&
              vkft_gguf_get_bool(m->gguf, "tokenizer.ggml.add_eos_token", false, &add_eos, m->err) &&
              vkft_gguf_get_string(m->gguf, "tokenizer.chat_template", false, &chat, m->err);
    for (size_t i = 0; ok && i < sizeof tokens / sizeof *tokens; i++) {
        uint32_t id = UINT32_MAX;
        uint64_t at = 0, length = 0;
        ok = vkft_gguf_get_u32(m->gguf, tokens[i].key, false, &id, m->err);
        if (!ok || id >= m->tokens->count)
            continue;
        for (uint32_t t = 0; t < id; t++)
            vkft_gguf_string(m->tokens, &at, &length);
        char *token = next_token(m, id, &at);
        ok = token != NULL;
        if (ok)
            vkft_json_put_string(json, tokens[i].name, token);
        free(token);
    }
    vkft_json_put_bool(json, "add_bos_token", add_bos);
    vkft_json_put_bool(json, "add_eos_token", add_eos);
    vkft_json_put_string(json, "tokenizer_class", "PreTrainedTokenizerFast");
    if (chat)
        vkft_json_put_string(json, "chat_template", chat);
    free(chat);
    cJSON *value = ok ? vkft_json_made(json) : NULL;
    *text = value ? cJSON_Print(value) : NULL;
    if (!ok)
        cJSON_Delete(json.value);
    cJSON_Delete(value);
    return *text || (ok ? vkft_fail_memory(m->err, "for the tokenizer") : false);
}

static bool make(maker *m, const char *model, char **json, char **config)
{
    const vkft_gguf_value *types;
    if (!vkft_gguf_get_array(m->gguf, "tokenizer.ggml.tokens", true, true, &m->tokens, m->err) ||
        !vkft_gguf_get_array(m->gguf, "tokenizer.ggml.token_type", false, false, &types, m->err))
        return false;
    if (types && types->count != m->tokens->count)
        return fail(m, "there is not a type for every token");
    for (uint64_t i = 0; types && i < types->count; i++)
        if (!(vkft_gguf_number(types, i) >= 0 && vkft_gguf_number(types, i) <= VKFT_SP_BYTE))
            return fail(m, "a token's type is not one of 0 to 6");
    m->types = types;
    bool ok;
    if (strcmp(model, "gpt2") == 0)
        ok = make_gpt2(m);
    else if (strcmp(model, "llama") == 0)
        ok = make_llama(m);
    else
        ok = vkft_fail(m->err, VKFT_ERR_INPUT,
                       "%s: tokenizer.ggml.model is '%.60s', which is not supported; supported are gpt2 and llama: use "
                       "the model's safetensors",
                       vkft_gguf_path(m->gguf), model);
    if (!ok || !make_config(m, config))
        return false;
    if (!cJSON_AddItemToObject(m->root, "added_tokens", m->added))
        return vkft_fail_memory(m->err, "for the tokenizer");
    m->added = NULL;
    *json = cJSON_PrintUnformatted(m->root);
    return *json || vkft_fail_memory(m->err, "for the tokenizer");
}

bool vkft_gguf_tokenizer(const vkft_gguf *gguf, char **json, char **config, vkft_err *err)
{
    char *model = NULL;
    *json = *config = NULL;
    if (!vkft_gguf_get_string(gguf, "tokenizer.ggml.model", false, &model, err))
        return false;
    bool ok = true;
    if (model && strcmp(model, "none") != 0 && strcmp(model, "no_vocab") != 0) {
        maker m = {.gguf = gguf, .err = err, .added = cJSON_CreateArray()};
        ok = m.added ? make(&m, model, json, config) : vkft_fail_memory(err, "for the tokenizer");
        cJSON_Delete(m.root);
        cJSON_Delete(m.added);
    }
    free(model);
    if (!ok) {
        cJSON_free(*config);
        *config = NULL;
    }
    return ok;
}

bool vkft_gguf_files_make(const vkft_gguf *gguf, vkft_gguf_files *files, vkft_err *err)
{
    *files = (vkft_gguf_files){0};
    bool ok = vkft_gguf_config(gguf, &files->config, err) &&
              vkft_gguf_tokenizer(gguf, &files->tokenizer, &files->tokenizer_config, err);
    if (!ok)
        vkft_gguf_files_free(files);
    return ok;
}

void vkft_gguf_files_free(vkft_gguf_files *files)
{
    cJSON_free(files->config);
    cJSON_free(files->tokenizer);
    cJSON_free(files->tokenizer_config);
    *files = (vkft_gguf_files){0};
}
