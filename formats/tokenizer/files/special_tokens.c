/* Completes tokenizer_config.json. See special_tokens.h. */
#include "formats/tokenizer/files/special_tokens.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tokenizer/stages/added.h"
#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"

static const vkft_class_tokens classes[] = {
    {"LlamaTokenizer", "llama", "<s>", "</s>", "<unk>", NULL},
    {"GemmaTokenizer", "gemma", "<bos>", "<eos>", "<unk>", "<pad>"},
    {"Qwen2Tokenizer", "qwen", NULL, "<|endoftext|>", "<|endoftext|>", "<|endoftext|>"},
    {"GPT2Tokenizer", "gpt2", "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", NULL},
    {"T5Tokenizer", "t5", NULL, "</s>", "<unk>", "<pad>"},
};

const vkft_class_tokens *vkft_tokenizer_class_tokens(const char *class_name, const char *model_type)
{
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        size_t n = strlen(classes[i].tokenizer_class);
        if (class_name && strncmp(class_name, classes[i].tokenizer_class, n) == 0 &&
            (!class_name[n] || strcmp(class_name + n, "Fast") == 0))
            return &classes[i];
        if (!class_name && model_type && strncmp(model_type, classes[i].model_type, strlen(classes[i].model_type)) == 0)
            return &classes[i];
    }
    return NULL;
}

typedef struct parsed {
    cJSON *config, *map, *added, *model;
} parsed;

static bool parse(const vkft_small_file files[], uint32_t file, cJSON **json, vkft_err *err)
{
    const vkft_small_file *f = &files[file];
    *json = f->data ? vkft_json_parse(f->data, f->length, vkft_tokenizer_file_names[file], err) : NULL;
    return *json || !f->data;
}

/* An item becomes the object's in place of an old one. */
static bool put(cJSON *object, const char *key, cJSON *item)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (item && cJSON_AddItemToObject(object, key, item))
        return true;
    cJSON_Delete(item);
    return false;
}

/* The lists of more special tokens are joined, everything else is replaced. */
static bool take_map(cJSON *config, const cJSON *map)
{
    const cJSON *item, *token;
    bool ok = true;
    cJSON_ArrayForEach(item, map)
    {
        cJSON *copy = cJSON_Duplicate(item, true);
        const cJSON *old = vkft_json_member(config, item->string);
        if (cJSON_IsArray(copy) && cJSON_IsArray(old))
            cJSON_ArrayForEach(token, old)
            {
                cJSON *more = cJSON_Duplicate(token, true);
                ok = ok && more && cJSON_AddItemToArray(copy, more);
            }
        ok = put(config, item->string, copy) && ok;
    }
    return ok;
}

static const char *token_text(const cJSON *value)
{
    return cJSON_IsObject(value) ? cJSON_GetStringValue(vkft_json_member(value, "content"))
                                 : cJSON_GetStringValue(value);
}

static bool is_named_special(const cJSON *config, const char *text)
{
    const cJSON *item, *token;
    cJSON_ArrayForEach(item, config)
    {
        const char *name = token_text(item);
        if (name && vkft_string_ends_with(item->string, "_token") && strcmp(name, text) == 0)
            return true;
        if (cJSON_IsArray(item) && vkft_string_ends_with(item->string, "_special_tokens"))
            cJSON_ArrayForEach(token, item) if (token_text(token) && strcmp(token_text(token), text) == 0) return true;
    }
    return false;
}

/* {"<|im_end|>": 32001, ...} as {"32001": {"content": "<|im_end|>", ...}, ...} */
static bool take_added(cJSON *config, const cJSON *added, vkft_err *err)
{
    cJSON *decoder = added ? cJSON_AddObjectToObject(config, "added_tokens_decoder") : NULL;
    const cJSON *item;
    bool ok = decoder || !added || vkft_fail_memory(err, "for the tokenizer");
    cJSON_ArrayForEach(item, added)
    {
        char id[32];
        uint64_t number;
        if (!vkft_json_is_u64(item, &number) || number >= VKFT_MAX_VOCABULARY)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "added_tokens.json: the id of \"%.60s\" is not a whole number below %u", item->string,
                             VKFT_MAX_VOCABULARY);
        bool special = is_named_special(config, item->string);
        snprintf(id, sizeof id, "%u", (uint32_t)number);
        cJSON *token = ok ? cJSON_AddObjectToObject(decoder, id) : NULL;
        if (!token || !cJSON_AddStringToObject(token, "content", item->string) ||
            !cJSON_AddBoolToObject(token, "special", special) ||
            !cJSON_AddBoolToObject(token, "normalized", !special) || !cJSON_AddTrueToObject(token, VKFT_LEGACY_TOKEN))
            return ok && vkft_fail_memory(err, "for the tokenizer");
    }
    return ok;
}

static bool take_class(cJSON *config, const cJSON *model)
{
    const vkft_class_tokens *c =
        vkft_tokenizer_class_tokens(cJSON_GetStringValue(vkft_json_member(config, "tokenizer_class")),
                                    cJSON_GetStringValue(vkft_json_member(model, "model_type")));
    if (!c)
        return true;
    const char *const tokens[][2] = {
        {"bos_token", c->bos}, {"eos_token", c->eos}, {"unk_token", c->unk}, {"pad_token", c->pad}};
    for (size_t i = 0; i < 4; i++)
        if (tokens[i][1] && !cJSON_HasObjectItem(config, tokens[i][0]) &&
            !cJSON_AddStringToObject(config, tokens[i][0], tokens[i][1]))
            return false;
    return true;
}

bool vkft_special_tokens_config(const vkft_small_file files[VKFT_TOKENIZER_FILES], char **text, vkft_err *err)
{
    parsed p = {0};
    *text = NULL;
    bool ok = parse(files, VKFT_FILE_TOKENIZER_CONFIG, &p.config, err) &&
              parse(files, VKFT_FILE_SPECIAL_TOKENS, &p.map, err) &&
              parse(files, VKFT_FILE_ADDED_TOKENS, &p.added, err) && parse(files, VKFT_FILE_CONFIG, &p.model, err);
    bool any = p.config || p.map || p.added || p.model;
    if (ok && any) {
        p.config = p.config ? p.config : cJSON_CreateObject();
        bool whole = cJSON_HasObjectItem(p.config, "added_tokens_decoder");
        bool done = p.config && (whole || take_map(p.config, p.map)) && take_class(p.config, p.model);
        ok = (done || vkft_fail_memory(err, "for the tokenizer")) && (whole || take_added(p.config, p.added, err));
        *text = ok ? cJSON_PrintUnformatted(p.config) : NULL;
        ok = ok && (*text || vkft_fail_memory(err, "for the tokenizer"));
    }
    cJSON_Delete(p.config);
    cJSON_Delete(p.map);
    cJSON_Delete(p.added);
    cJSON_Delete(p.model);
    return ok;
}
