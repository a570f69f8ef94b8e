/* Post-processors: the special tokens around one sequence and around a pair. */
#include "formats/tokenizer/stages/post_processor.h"

#include <stdio.h>
#include <string.h>

#include "formats/tokenizer/stages/vocab.h"
#include "runtime/base/json.h"

void vkft_post_processor_free(vkft_post_processor *post)
{
    vkft_ids_free(&post->single);
    vkft_ids_free(&post->pair);
}

static bool push(vkft_ids *out, int32_t id, const char *where, vkft_err *err)
{
    if (out->count == VKFT_MAX_STEPS)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: a template has more than %d parts", where, VKFT_MAX_STEPS);
    return vkft_ids_push(out, id, err);
}

/* The ids of a special token, which `specials` maps by its name. */
static bool push_special(vkft_ids *out, const cJSON *special, const cJSON *specials, const char *where, vkft_err *err)
{
    const char *name;
    if (!vkft_json_get_string(special, "id", true, &name, where, err))
        return false;
    const cJSON *id, *ids = vkft_json_member(vkft_json_member(specials, name), "ids");
    if (!cJSON_IsArray(ids))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: special token \"%.60s\" has no ids", where, name);
    cJSON_ArrayForEach(id, ids)
    {
        uint64_t number;
        if (!vkft_json_is_u64(id, &number) || number >= VKFT_MAX_VOCABULARY)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: special token \"%.60s\" has an id out of range", where, name);
        if (!push(out, (int32_t)number, where, err))
            return false;
    }
    return true;
}

/* [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}, ...] */
static bool read_template(vkft_ids *out, const cJSON *parts, const cJSON *specials, const char *where, vkft_err *err)
{
    const cJSON *part;
    cJSON_ArrayForEach(part, parts)
    {
        const cJSON *special = vkft_json_member(part, "SpecialToken"), *sequence = vkft_json_member(part, "Sequence");
        const char *name;
        if (special) {
            if (!push_special(out, special, specials, where, err))
                return false;
        } else {
            if (!vkft_json_get_string(sequence, "id", true, &name, where, err))
                return false;
            if (strcmp(name, "A") != 0 && strcmp(name, "B") != 0)
                return vkft_fail(err, VKFT_ERR_INPUT, "%s: the sequence \"%.60s\" is neither \"A\" nor \"B\"", where,
                                 name);
            if (!push(out, *name == 'A' ? VKFT_POST_A : VKFT_POST_B, where, err))
                return false;
        }
    }
    return true;
}

/* "cls": ["[CLS]", 101] */
static bool read_pair_token(const cJSON *post, const char *key, int32_t *id, const char *where, vkft_err *err)
{
    uint64_t number;
    if (!vkft_json_is_u64(cJSON_GetArrayItem(vkft_json_member(post, key), 1), &number) || number >= VKFT_MAX_VOCABULARY)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s is not [\"token\", id]", where, key);
    *id = (int32_t)number;
    return true;
}

/* BERT: [CLS] A [SEP] B [SEP]. RoBERTa: <s> A </s> </s> B </s>. */
static bool read_bert(vkft_post_processor *post, const cJSON *json, bool doubled, const char *where, vkft_err *err)
{
    int32_t cls, sep;
    if (!read_pair_token(json, "cls", &cls, where, err) || !read_pair_token(json, "sep", &sep, where, err))
        return false;
    const int32_t pair[] = {cls, VKFT_POST_A, sep, sep, VKFT_POST_B, sep};
    for (int i = 0; i < 6; i++)
        if ((i < 3 && !vkft_ids_push(&post->single, pair[i], err)) ||
            ((i != 3 || doubled) && !vkft_ids_push(&post->pair, pair[i], err)))
            return false;
    return true;
}

static bool read(vkft_post_processor *post, const cJSON *json, const char *where, vkft_err *err)
{
    const char *type;
    const cJSON *part, *parts, *single, *pair = NULL;
    if (!json || cJSON_IsNull(json))
        return true;
    if (!vkft_json_get_string(json, "type", true, &type, where, err))
        return false;
    if (strcmp(type, "ByteLevel") == 0)
        return true;
    if (strcmp(type, "Sequence") == 0) {
        if (!vkft_json_get_array(json, "processors", true, &parts, where, err))
            return false;
        cJSON_ArrayForEach(part, parts) if (!read(post, part, where, err)) return false;
        return true;
    }
    if (post->single.count)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: two parts of the sequence add special tokens; expected one", where);
    if (strcmp(type, "TemplateProcessing") == 0) {
        const cJSON *specials = vkft_json_member(json, "special_tokens");
        return vkft_json_get_array(json, "single", true, &single, where, err) &&
               vkft_json_get_array(json, "pair", false, &pair, where, err) &&
               read_template(&post->single, single, specials, where, err) &&
               read_template(&post->pair, pair, specials, where, err);
    }
    bool roberta = strcmp(type, "RobertaProcessing") == 0;
    if (roberta || strcmp(type, "BertProcessing") == 0)
        return read_bert(post, json, roberta, where, err);
    return vkft_fail(
        err, VKFT_ERR_INPUT,
        "%s: \"%s\" is not supported; supported are TemplateProcessing, BertProcessing, RobertaProcessing, "
        "ByteLevel and Sequence",
        where, type);
}

bool vkft_post_processor_new(vkft_post_processor *post, const cJSON *json, const char *file, vkft_err *err)
{
    char where[600];
    snprintf(where, sizeof where, "%.500s: post_processor", file);
    if (!read(post, json, where, err))
        return false;
    if (post->single.count == 0 && !vkft_ids_push(&post->single, VKFT_POST_A, err))
        return false;
    return post->pair.count ||
           (vkft_ids_push(&post->pair, VKFT_POST_A, err) && vkft_ids_push(&post->pair, VKFT_POST_B, err));
}
