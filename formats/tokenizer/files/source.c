/* Other sources than tokenizer.json: a tokenizer.json is made of them. See source.h.
 *
 * Source: transformers 5, models/{gpt2,qwen2,llama,gemma,t5}/tokenization_*.py and convert_slow_tokenizer.py.
 */
#include "formats/tokenizer/files/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "formats/tokenizer/files/models.h"
#include "formats/tokenizer/stages/vocab.h"
#include "formats/tokenizer/tokenizer.h"
#include "runtime/base/utf8.h"

const char *const vkft_tokenizer_file_names[VKFT_TOKENIZER_FILES] = {
    "tokenizer.json", "tokenizer_config.json",   "vocab.json",        "merges.txt",  "tokenizer.model",
    "spiece.model",   "special_tokens_map.json", "added_tokens.json", "config.json",
};

#define SPLIT_REGEX(digits)                                                                                            \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits                                     \
    "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+"                                                    \
    "|\\\\s+(?!\\\\S)|\\\\s+"
#define BYTE_LEVEL_SPLIT(digits)                                                                                       \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" SPLIT_REGEX(             \
        digits) "\"},\"behavior\":"                                                                                    \
                "\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}"
#define METASPACE(scheme, split)                                                                                       \
    "{\"type\":\"Metaspace\",\"replacement\":\"\u2581\",\"prepend_scheme\":\"" scheme "\",\"split\":" split "}"
#define REPLACE_SPACE "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}"
#define BYTES_DECODER(more)                                                                                            \
    "{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"\u2581\"},\"content\":\" "   \
    "\"},"                                                                                                             \
    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}" more "]}"

#define LLAMA_DECODER BYTES_DECODER(",{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}")
#define T5_PARTS                                                                                                       \
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"}," METASPACE(          \
        "always", "true") "]},"                                                                                        \
                          "\"decoder\":" METASPACE("always", "true") "}"

/* What a tokenizer class adds to its vocabulary: the parts of tokenizer.json, and the special tokens unless a file
 * names others. */
typedef struct family {
    const char *tokenizer_class,
        *model_type; /* model_type: what config.json's begins with; decides when no class is named */
    uint32_t source; /* VKFT_FILE_VOCAB or VKFT_FILE_MODEL */
    const char *parts;
    const char *bos, *eos, *unk, *pad;
    bool add_bos, add_eos;
    uint32_t extra_ids; /* of T5: <extra_id_99> ... <extra_id_0> after the vocabulary */
} family;

static const family families[] = {
    {"GPT2Tokenizer", "gpt2", VKFT_FILE_VOCAB,
     "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":\"ByteLevel\"}}",
     "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", NULL, false, false, 0},
    {"Qwen2Tokenizer", "qwen", VKFT_FILE_VOCAB,
     "{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":" BYTE_LEVEL_SPLIT(
         "\\\\p{N}") ",\"decoder\":{\"type\":\"ByteLevel\"}}",
     NULL, "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", false, false, 0},
    {"LlamaTokenizer", "llama", VKFT_FILE_MODEL,
     "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\u2581\"}"
     "," REPLACE_SPACE "]},\"decoder\":" LLAMA_DECODER "}",
     "<s>", "</s>", "<unk>", NULL, true, false, 0},
    {"GemmaTokenizer", "gemma", VKFT_FILE_MODEL, "{\"normalizer\":" REPLACE_SPACE ",\"decoder\":" BYTES_DECODER("") "}",
     "<bos>", "<eos>", "<unk>", "<pad>", true, false, 0},
    {"T5Tokenizer", "t5", VKFT_FILE_MODEL, T5_PARTS, NULL, "</s>", "<unk>", "<pad>", false, true, 100},
};
static const family llama3 = {
    "Llama 3",
    NULL,
    VKFT_FILE_MODEL,
    "{\"pre_tokenizer\":" BYTE_LEVEL_SPLIT("\\\\p{N}{1,3}") ",\"decoder\":{\"type\":\"ByteLevel\"}}",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    NULL,
    NULL,
    true,
    false,
    0};
/* A Unigram model of no known class: cut as T5 does, nothing around it. */
static const family unigram = {"Unigram", NULL, VKFT_FILE_MODEL, T5_PARTS, "<s>", "</s>", NULL, NULL, false, false, 0};
#define FAMILIES (sizeof families / sizeof *families)
enum { GPT2, QWEN2, LLAMA, GEMMA, T5 };
/* Instead of those of LlamaTokenizer: when tokenizer_config.json says "legacy": false, and for models that add no space
 * in front. */
static const char llama_not_legacy[] =
    "{\"pre_tokenizer\":" METASPACE("first", "false") ",\"decoder\":" LLAMA_DECODER "}";
static const char llama_no_prefix[] = "{\"normalizer\":" REPLACE_SPACE ",\"decoder\":" BYTES_DECODER("") "}";

/* The work of making tokenizer.json. */
typedef struct maker {
    const vkft_small_file *files;
    const family *family;
    cJSON *config, *model_config; /* tokenizer_config.json, complete, and config.json; NULL: absent */
    cJSON *root, *added;          /* tokenizer.json, its added_tokens */
    vkft_string_map ids;          /* of the model's vocabulary */
    vkft_string_map known;        /* contents of `added` */
    uint32_t next_id;
    vkft_err *err;
} maker;

static bool attach(const maker *m, cJSON *object, const char *key, cJSON *item)
{
    return (item && cJSON_AddItemToObject(object, key, item)) || vkft_fail_memory(m->err, "for the tokenizer");
}

static bool parse(const maker *m, uint32_t file, cJSON **json)
{
    const vkft_small_file *f = &m->files[file];
    *json = f->data ? vkft_json_parse_config(f->data, f->length, vkft_tokenizer_file_names[file], m->err) : NULL;
    return *json || !f->data;
}

/* A special token's text: "..." or {"content": "..."}. */
static const cJSON *special_token(const maker *m, const char *key)
{
    return vkft_json_member(m->config, key);
}

static const char *token_text(const cJSON *value)
{
    return cJSON_IsObject(value) ? cJSON_GetStringValue(vkft_json_member(value, "content"))
                                 : cJSON_GetStringValue(value);
}

static bool choose_family(maker *m, uint32_t source)
{
    const char *class_name = cJSON_GetStringValue(vkft_json_member(m->config, "tokenizer_class"));
    const char *model_type = cJSON_GetStringValue(vkft_json_member(m->model_config, "model_type"));
    m->family = source == VKFT_FILE_VOCAB ? &families[GPT2] : NULL;
    if (class_name && strncmp(class_name, "PreTrainedTokenizer", 19) != 0) {
        for (size_t i = 0; i < FAMILIES; i++) {
            size_t n = strlen(families[i].tokenizer_class);
            if (strncmp(class_name, families[i].tokenizer_class, n) == 0 &&
                (!class_name[n] || strcmp(class_name + n, "Fast") == 0) && families[i].source == source) {
                m->family = &families[i];
                return true;
            }
        }
        return vkft_fail(
            m->err, VKFT_ERR_INPUT,
            "tokenizer_config.json: tokenizer_class \"%s\" is not supported without tokenizer.json; supported "
            "are GPT2Tokenizer and Qwen2Tokenizer (vocab.json), LlamaTokenizer, GemmaTokenizer and T5Tokenizer "
            "(SentencePiece)",
            class_name);
    }
    for (size_t i = 0; model_type && i < FAMILIES; i++)
        if (families[i].source == source &&
            strncmp(model_type, families[i].model_type, strlen(families[i].model_type)) == 0)
            m->family = &families[i];
    return true;
}

/* The ids of the model's vocabulary: an object with them, or a list of [token, score] in their order. */
static bool index_vocabulary(maker *m)
{
    const cJSON *vocab = vkft_json_member(vkft_json_member(m->root, "model"), "vocab"), *entry;
    int32_t id = 0;
    if (!vkft_string_map_new(&m->ids, (uint32_t)cJSON_GetArraySize(vocab), m->err))
        return false;
    cJSON_ArrayForEach(entry, vocab)
    {
        const char *token = entry->string ? entry->string : cJSON_GetStringValue(cJSON_GetArrayItem(entry, 0));
        int32_t value = entry->string ? (cJSON_IsNumber(entry) ? entry->valueint : -1) : id++;
        if (token && vkft_string_map_get(&m->ids, token, strlen(token)) < 0)
            vkft_string_map_put(&m->ids, token, strlen(token), value);
    }
    return true;
}

/* The id of a text in the model's vocabulary; -1: it has none. */
static int32_t model_id(const maker *m, const char *text)
{
    return vkft_string_map_get(&m->ids, text, strlen(text));
}

/* Adds {"id", "content", ...} unless a token of this content is there; `flags` may bring lstrip, rstrip, single_word,
 * normalized. */
static bool add_token(maker *m, int32_t id, const char *content, bool special, const cJSON *flags)
{
    static const char *const names[] = {"single_word", "lstrip", "rstrip", "normalized"};
    if (vkft_string_map_get(&m->known, content, strlen(content)) >= 0)
        return true;
    cJSON *token = cJSON_CreateObject();
    if (!token || !cJSON_AddItemToArray(m->added, token)) {
        cJSON_Delete(token);
        return vkft_fail_memory(m->err, "for the tokenizer");
    }
    bool ok =
        attach(m, token, "id", cJSON_CreateNumber(id)) && attach(m, token, "content", cJSON_CreateString(content));
    for (size_t i = 0; ok && i < 4; i++)
        ok = attach(m, token, names[i], cJSON_CreateBool(cJSON_IsTrue(vkft_json_member(flags, names[i]))));
    if (!ok || !attach(m, token, "special", cJSON_CreateBool(special)))
        return false;
    vkft_string_map_put(&m->known, vkft_json_member(token, "content")->valuestring, strlen(content), id);
    m->next_id = (uint32_t)id >= m->next_id ? (uint32_t)id + 1 : m->next_id;
    return true;
}

/* A token that a file names without an id: that of the vocabulary, else the next free one. */
static bool add_special(maker *m, const char *content, const cJSON *flags)
{
    int32_t id = content ? model_id(m, content) : -1;
    return !content || add_token(m, id >= 0 ? id : (int32_t)m->next_id, content, true, flags);
}

/* "added_tokens_decoder": {"151643": {"content": "<|endoftext|>", ...}, ...} */
static bool add_decoder_tokens(maker *m)
{
    const cJSON *item, *list = vkft_json_member(m->config, "added_tokens_decoder");
    cJSON_ArrayForEach(item, list)
    {
        char *end;
        const char *content;
        bool special = false;
        long id = strtol(item->string, &end, 10);
        if (*end || end == item->string || id < 0 || id >= (long)VKFT_MAX_VOCABULARY)
            return vkft_fail(m->err, VKFT_ERR_INPUT,
                             "tokenizer_config.json: added_tokens_decoder: \"%.40s\" is not a token id", item->string);
        if (!vkft_json_get_string(item, "content", true, &content, "tokenizer_config.json: added_tokens_decoder",
                                  m->err) ||
            !vkft_json_get_bool(item, "special", false, &special, "tokenizer_config.json: added_tokens_decoder",
                                m->err) ||
            !add_token(m, (int32_t)id, content, special, item))
            return false;
    }
    return true;
}

static bool add_named_tokens(maker *m)
{
    const struct {
        const char *key, *text;
    } named[] = {{"bos_token", m->family->bos}, {"eos_token", m->family->eos}, {"unk_token", m->family->unk},
                 {"pad_token", m->family->pad}, {"sep_token", NULL},           {"cls_token", NULL},
                 {"mask_token", NULL}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        const cJSON *value = special_token(m, named[i].key);
        if (!add_special(m, value ? token_text(value) : named[i].text, value))
            return false;
    }
    const cJSON *item, *more = special_token(m, "additional_special_tokens");
    cJSON_ArrayForEach(item, more) if (!add_special(m, token_text(item), item)) return false;
    return true;
}

static bool add_extra_ids(maker *m)
{
    for (int32_t i = (int32_t)m->family->extra_ids - 1; i >= 0; i--) {
        char name[32];
        snprintf(name, sizeof name, "<extra_id_%d>", i);
        if (model_id(m, name) >= 0 && !add_special(m, name, NULL))
            return false;
    }
    return true;
}

/* {"type": "TemplateProcessing", ...} with the special token before or after the sequence. */
static bool add_post_processor(maker *m)
{
    bool add_bos = m->family->add_bos, add_eos = m->family->add_eos;
    if (!vkft_json_get_bool(m->config, "add_bos_token", false, &add_bos, "tokenizer_config.json", m->err) ||
        !vkft_json_get_bool(m->config, "add_eos_token", false, &add_eos, "tokenizer_config.json", m->err))
        return false;
    const cJSON *bos_value = special_token(m, "bos_token"), *eos_value = special_token(m, "eos_token");
    const char *bos = !add_bos ? NULL : bos_value ? token_text(bos_value) : m->family->bos;
    const char *eos = !add_eos ? NULL : eos_value ? token_text(eos_value) : m->family->eos;
    int32_t bos_id = bos ? vkft_string_map_get(&m->known, bos, strlen(bos)) : -1,
            eos_id = eos ? vkft_string_map_get(&m->known, eos, strlen(eos)) : -1;
    char text[512], before[64] = "", after[64] = "", b[64] = "", e[64] = "";
    if (bos_id >= 0) {
        snprintf(before, sizeof before, "{\"SpecialToken\":{\"id\":\"bos\"}},");
        snprintf(b, sizeof b, "\"bos\":{\"ids\":[%d]}%s", bos_id, eos_id >= 0 ? "," : "");
    }
    if (eos_id >= 0) {
        snprintf(after, sizeof after, ",{\"SpecialToken\":{\"id\":\"eos\"}}");
        snprintf(e, sizeof e, "\"eos\":{\"ids\":[%d]}", eos_id);
    }
    snprintf(text, sizeof text,
             "{\"type\":\"TemplateProcessing\",\"single\":[%s{\"Sequence\":{\"id\":\"A\"}}%s],\"pair\":[%s{"
             "\"Sequence\":{\"id\":"
             "\"A\"}}%s,%s{\"Sequence\":{\"id\":\"B\"}}%s],\"special_tokens\":{%s%s}}",
             before, after, before, after, before, after, b, e);
    return attach(m, m->root, "post_processor", cJSON_Parse(text));
}

static bool add_all_tokens(maker *m)
{
    size_t count = 16;
    const cJSON *lists[] = {vkft_json_member(m->config, "added_tokens_decoder"),
                            special_token(m, "additional_special_tokens"), m->added};
    for (size_t i = 0; i < 3; i++)
        count += (size_t)cJSON_GetArraySize(lists[i]);
    if (!vkft_string_map_new(&m->known, (uint32_t)count + m->family->extra_ids, m->err))
        return false;
    const cJSON *item;
    cJSON_ArrayForEach(item, m->added) /* from the model itself */
    {
        const cJSON *content = vkft_json_member(item, "content"), *id = vkft_json_member(item, "id");
        vkft_string_map_put(&m->known, content->valuestring, strlen(content->valuestring), id->valueint);
    }
    return index_vocabulary(m) && add_decoder_tokens(m) && add_extra_ids(m) && add_named_tokens(m);
}

/* tokenizer.json of its parts and the model, which becomes the root's in any case. */
static bool assemble(maker *m, const char *parts, cJSON *model)
{
    m->root = cJSON_Parse(parts);
    if (!m->root || !model) {
        cJSON_Delete(model);
        return m->root ? false : vkft_fail_memory(m->err, "for the tokenizer");
    }
    return attach(m, m->root, "model", model);
}

static bool from_vocab(maker *m)
{
    const vkft_small_file *merges = &m->files[VKFT_FILE_MERGES];
    cJSON *vocab;
    return choose_family(m, VKFT_FILE_VOCAB) && parse(m, VKFT_FILE_VOCAB, &vocab) &&
           assemble(m, m->family->parts,
                    vkft_model_of_merges(vocab, merges->data, merges->length, &m->next_id, m->err));
}

static bool from_ranks(maker *m)
{
    const vkft_small_file *file = &m->files[VKFT_FILE_MODEL];
    m->family = &llama3;
    return assemble(m, m->family->parts,
                    vkft_model_of_ranks(file->data, file->length, "tokenizer.model", &m->next_id, m->err)) &&
           (vkft_json_member(m->config, "added_tokens_decoder") ||
            vkft_add_llama3_tokens(m->added, m->next_id, m->err));
}

const char *vkft_tokenizer_llama_parts(bool add_prefix)
{
    return add_prefix ? families[LLAMA].parts : llama_no_prefix;
}

static const char *sentencepiece_parts(const maker *m, const vkft_sentencepiece *sp)
{
    if (m->family != &families[LLAMA])
        return m->family->parts;
    if (!sp->add_dummy_prefix)
        return llama_no_prefix;
    return cJSON_IsFalse(vkft_json_member(m->config, "legacy")) ? llama_not_legacy : m->family->parts;
}

static bool from_sentencepiece(maker *m, uint32_t which)
{
    const vkft_small_file *file = &m->files[which];
    vkft_sentencepiece sp;
    if (!vkft_sentencepiece_read((const uint8_t *)file->data, file->length, vkft_tokenizer_file_names[which], &sp,
                                 m->err))
        return false;
    bool ok = choose_family(m, VKFT_FILE_MODEL);
    uint32_t extra_ids = m->family ? m->family->extra_ids : 0;
    if (!m->family)
        m->family = sp.model == VKFT_SP_BPE ? &families[LLAMA] : &unigram;
    ok = ok && vkft_json_get_u32(m->config, "extra_ids", false, &extra_ids, "tokenizer_config.json", m->err) &&
         assemble(m, sentencepiece_parts(m, &sp), vkft_model_of_sentencepiece(&sp, extra_ids, &m->next_id, m->err)) &&
         vkft_add_sentencepiece_tokens(&sp, m->root, m->added, m->err);
    vkft_sentencepiece_free(&sp);
    return ok;
}

/* base64 text followed by a rank. */
static bool is_ranks(const vkft_small_file *file)
{
    const char *line = file->data;
    size_t i = 0;
    while (i < file->length &&
           ((line[i] >= '0' && line[i] <= '9') || (line[i] >= 'A' && line[i] <= 'Z') ||
            (line[i] >= 'a' && line[i] <= 'z') || line[i] == '+' || line[i] == '/' || line[i] == '='))
        i++;
    return i > 0 && i + 1 < file->length && line[i] == ' ' && line[i + 1] >= '0' && line[i + 1] <= '9';
}

static bool make(maker *m)
{
    const vkft_small_file *f = m->files;
    m->added = cJSON_CreateArray();
    if (!m->added)
        return vkft_fail_memory(m->err, "for the tokenizer");
    if (!parse(m, VKFT_FILE_TOKENIZER_CONFIG, &m->config) || !parse(m, VKFT_FILE_CONFIG, &m->model_config))
        return false;
    bool ok = f[VKFT_FILE_VOCAB].data         ? from_vocab(m)
              : !f[VKFT_FILE_MODEL].data      ? from_sentencepiece(m, VKFT_FILE_SPIECE)
              : is_ranks(&f[VKFT_FILE_MODEL]) ? from_ranks(m)
                                              : from_sentencepiece(m, VKFT_FILE_MODEL);
    return ok && add_all_tokens(m) && add_post_processor(m);
}

static bool has_tokenizer(const vkft_small_file files[])
{
    return files[VKFT_FILE_TOKENIZER].data || (files[VKFT_FILE_VOCAB].data && files[VKFT_FILE_MERGES].data) ||
           files[VKFT_FILE_MODEL].data || files[VKFT_FILE_SPIECE].data;
}

/* tokenizer.json of other files. NULL: an error. */
static cJSON *make_json(const vkft_small_file files[], vkft_err *err)
{
    maker m = {.files = files, .err = err};
    bool ok = make(&m) && attach(&m, m.root, "added_tokens", m.added);
    if (ok)
        m.added = NULL;
    else
        cJSON_Delete(m.root);
    cJSON_Delete(m.added);
    cJSON_Delete(m.config);
    cJSON_Delete(m.model_config);
    vkft_string_map_free(&m.known);
    vkft_string_map_free(&m.ids);
    return ok ? m.root : NULL;
}

bool vkft_tokenizer_from_files(const vkft_small_file files[VKFT_TOKENIZER_FILES], vkft_tokenizer **tok, vkft_err *err)
{
    const vkft_small_file *json = &files[VKFT_FILE_TOKENIZER], *config = &files[VKFT_FILE_TOKENIZER_CONFIG];
    *tok = NULL;
    if (!has_tokenizer(files))
        return true;
    if (json->data) {
        *tok = vkft_tokenizer_new(json->data, json->length, config->data, config->length, "tokenizer.json", err);
        return *tok != NULL;
    }
    cJSON *root = make_json(files, err);
    if (root)
        *tok = vkft_tokenizer_from_json(root, config->data, config->length, "tokenizer", err);
    return *tok != NULL;
}

bool vkft_tokenizer_json_of_files(const vkft_small_file files[VKFT_TOKENIZER_FILES], cJSON **root, vkft_err *err)
{
    const vkft_small_file *json = &files[VKFT_FILE_TOKENIZER];
    *root = NULL;
    if (!has_tokenizer(files))
        return true;
    *root =
        json->data ? vkft_json_parse_config(json->data, json->length, "tokenizer.json", err) : make_json(files, err);
    return *root != NULL;
}
