/* The keys of rows: which shape they make, how users and other programs spell them, and which ones nobody uses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/shape_private.h"
#include "runtime/base/json.h"

/* The names of the known shapes, each with other spellings that are taken without asking. */
static const struct {
    const char *name, *others[5];
} known[] = {
    {"text", {0}},
    {"prompt", {"query", "problem", "input", "ctx"}},
    {"completion", {"response", "solution", "output"}},
    {"instruction", {0}},
    {"input", {"context"}},
    {"output", {"response"}},
    {"question", {"Q", "question_stem"}},
    {"answer", {"A"}},
    {"answers", {0}},
    {"answerKey", {"answer_key", "answer_idx", "answer_index", "gold"}},
    {"choices", {"options", "endings"}},
    {"context", {0}},
    {"messages", {0}},
    {"conversations", {"conversation"}},
    {"system", {"system_prompt"}},
    {"history", {0}},
    {"tools", {0}},
    {"input_ids", {0}},
    {"labels", {0}},
    {"paragraphs", {0}},
    {"chosen", {0}},
    {"rejected", {0}},
    {"label", {"kto_tag"}},
    {"prompt_ids", {"prompt_input_ids"}},
    {"chosen_ids", {"chosen_input_ids"}},
    {"rejected_ids", {"rejected_input_ids"}},
    {"completion_ids", {"completion_input_ids"}},
};
#define KNOWN (sizeof known / sizeof *known)

/* The formats: the name of each, the keys that make it, and those that it can use besides. */
static const struct {
    const char *shown;
    const char *required[2], *either; /* either: may stand for the second one */
    const char *optional[7], *in_chats[2];
} formats[] = {
    [VKFT_DATA_TEXT] = {"text", {"text"}, NULL, {0}, {0}},
    [VKFT_DATA_CORPUS] = {"plain text", {0}, NULL, {0}, {0}},
    [VKFT_DATA_COMPLETION] = {"prompt/completion", {"prompt", "completion"}, NULL, {0}, {"system", "history"}},
    [VKFT_DATA_INSTRUCTION] =
        {"instruction/input/output", {"instruction", "output"}, NULL, {"input"}, {"system", "history"}},
    [VKFT_DATA_QUESTION] =
        {"question/answer", {"question", "answer"}, "answers", {"context", "is_impossible"}, {"system", "history"}},
    [VKFT_DATA_CHOICES] = {"question/choices/answer",
                           {"choices", "question"},
                           "prompt",
                           {"answer", "answerKey", "label", "context"},
                           {"system", "history"}},
    [VKFT_DATA_SQUAD] = {"paragraphs with questions (SQuAD)", {"paragraphs"}, NULL, {0}, {0}},
    [VKFT_DATA_MESSAGES] = {"messages", {"messages"}, NULL, {"system", "tools", "chat_template_kwargs"}, {0}},
    [VKFT_DATA_CONVERSATIONS] =
        {"conversations", {"conversations"}, NULL, {"system", "tools", "chat_template_kwargs"}, {0}},
    [VKFT_DATA_DIALOGUE] = {"prompt/completion of messages",
                            {"prompt", "completion"},
                            NULL,
                            {"system", "tools", "chat_template_kwargs"},
                            {0}},
    [VKFT_DATA_TOKENS] = {"input_ids/labels",
                          {"input_ids"},
                          NULL,
                          {"labels", "attention_mask", "assistant_masks", "completion_mask"},
                          {0}},
    [VKFT_DATA_PAIRS] = {"prompt/chosen/rejected",
                         {"chosen", "rejected"},
                         NULL,
                         {"prompt", "system", "tools", "chat_template_kwargs"},
                         {0}},
    [VKFT_DATA_LABELLED] = {"prompt/completion/label",
                            {"prompt", "completion"},
                            NULL,
                            {"label", "system", "tools", "chat_template_kwargs"},
                            {0}},
    [VKFT_DATA_PAIR_TOKENS] =
        {"prompt_ids/chosen_ids/rejected_ids", {"chosen_ids", "rejected_ids"}, NULL, {"prompt_ids"}, {0}},
    [VKFT_DATA_LABELLED_TOKENS] =
        {"prompt_ids/completion_ids/label", {"prompt_ids", "completion_ids"}, NULL, {"label"}, {0}},
};

const char *vkft_data_format_name(vkft_data_format format)
{
    return formats[format].shown;
}

static size_t find_known(const char *name)
{
    size_t i = 0;
    while (i < KNOWN && strcmp(known[i].name, name) != 0)
        i++;
    return i;
}

static bool read_names(vkft_data_keys *keys, const char *text, vkft_err *err)
{
    if (!text || !*text)
        return true;
    keys->names = strdup(text);
    if (!keys->names)
        return vkft_fail_memory(err, "while reading the names of the fields");
    for (char *pair = keys->names, *next; pair; pair = next) {
        next = strchr(pair, ',');
        if (next)
            *next++ = 0;
        char *equals = strchr(pair, '=');
        if (!equals || equals == pair || !equals[1] || keys->count == sizeof keys->pairs / sizeof *keys->pairs)
            return vkft_fail(err, VKFT_ERR_USAGE,
                             "names of keys: expected NAME=KEY,NAME=KEY such as question=Q,answer=A, found '%.100s'",
                             text);
        *equals = 0;
        if (find_known(pair) == KNOWN)
            return vkft_fail(
                err, VKFT_ERR_USAGE,
                "names of keys: '%.60s' is no name of a known shape; those are text, prompt, completion, "
                "instruction, input, output, question, answer, choices, context, messages, conversations, system, "
                "history, tools, input_ids, labels, chosen, rejected and label",
                pair);
        keys->pairs[keys->count++] = (struct vkft_data_key){pair, equals + 1};
    }
    return true;
}

/* The template with its escapes resolved; NULL with *err set. */
static char *read_template(const char *text, vkft_err *err)
{
    char *out = malloc(strlen(text) + 1), *end = out;
    bool open = false, ok = true;
    for (const char *p = text; out && ok && *p; p++) {
        if (p[0] == '\\' && (p[1] == 'n' || p[1] == 't')) {
            *end++ = *++p == 'n' ? '\n' : '\t';
            continue;
        }
        if ((*p == '{' || *p == '}') && p[1] == *p) {
            *end++ = *p;
            *end++ = *p++;
            continue;
        }
        if (*p == '{' || *p == '}') {
            ok = open == (*p == '}');
            open = *p == '{';
        }
        *end++ = *p;
    }
    if (out && ok && !open) {
        *end = 0;
        return out;
    }
    vkft_fail(err, out ? VKFT_ERR_USAGE : VKFT_ERR_MEMORY,
              "prompt template: a brace without its partner in '%.200s'; expected a text such as "
              "'Question: {question}', with {{ for a brace itself",
              text);
    free(out);
    return NULL;
}

bool vkft_data_keys_new(vkft_data_keys *keys, const char *text, const char *prompt_template, vkft_err *err)
{
    memset(keys, 0, sizeof *keys);
    if (!read_names(keys, text, err))
        return false;
    return !prompt_template || (keys->prompt_template = read_template(prompt_template, err)) != NULL;
}

void vkft_data_keys_free(vkft_data_keys *keys)
{
    free(keys->names);
    free(keys->prompt_template);
    memset(keys, 0, sizeof *keys);
}

/* The row's own member under any of the spellings; one that is not null before one that is. */
static const cJSON *spelled(const vkft_data_keys *keys, const cJSON *row, const char *name)
{
    for (uint32_t i = 0; i < keys->count; i++)
        if (strcmp(keys->pairs[i].name, name) == 0)
            return cJSON_GetObjectItemCaseSensitive(row, keys->pairs[i].key);
    const cJSON *first = cJSON_GetObjectItemCaseSensitive(row, name);
    size_t k = find_known(name);
    for (size_t i = 0; k < KNOWN && known[k].others[i] && (!first || cJSON_IsNull(first)); i++) {
        const cJSON *other = cJSON_GetObjectItemCaseSensitive(row, known[k].others[i]);
        first = other ? other : first;
    }
    return first;
}

const cJSON *vkft_data_member(const vkft_data_keys *keys, const cJSON *row, const char *name, const char **key)
{
    const cJSON *item = spelled(keys, row, name);
    *key = item ? item->string : name;
    for (uint32_t i = 0; !item && i < keys->count; i++)
        if (strcmp(keys->pairs[i].name, name) == 0)
            *key = keys->pairs[i].key;
    return item && !cJSON_IsNull(item) ? item : NULL;
}

/* Whether the row has this key; with_null: null will do. */
static bool has(const vkft_data_keys *keys, const cJSON *row, const char *name, bool with_null)
{
    const cJSON *item = spelled(keys, row, name);
    return item && (with_null || !cJSON_IsNull(item));
}

static bool has_shape(const vkft_data_keys *keys, const cJSON *row, vkft_data_format format, bool with_null)
{
    const char *const *required = formats[format].required, *const *optional = formats[format].optional;
    if (format == VKFT_DATA_CHOICES && !has(keys, row, optional[0], with_null) &&
        !has(keys, row, optional[1], with_null) && !has(keys, row, optional[2], with_null))
        return false; /* nothing says which one is right */
    return has(keys, row, required[0], with_null) &&
           (!required[1] || has(keys, row, required[1], with_null) ||
            (formats[format].either && has(keys, row, formats[format].either, with_null)));
}

static bool is_list_of_messages(const cJSON *value)
{
    return cJSON_IsArray(value) && (!value->child || cJSON_IsObject(value->child));
}

static bool detect(const vkft_data_keys *keys, const cJSON *row, bool with_null, vkft_data_format *format)
{
    static const vkft_data_format order[] = {VKFT_DATA_TOKENS,      VKFT_DATA_MESSAGES, VKFT_DATA_CONVERSATIONS,
                                             VKFT_DATA_INSTRUCTION, VKFT_DATA_CHOICES,  VKFT_DATA_QUESTION,
                                             VKFT_DATA_COMPLETION,  VKFT_DATA_SQUAD,    VKFT_DATA_TEXT};
    static const vkft_data_format of_choices[][2] = {
        [VKFT_PREFERENCES_PAIRS] = {VKFT_DATA_PAIR_TOKENS, VKFT_DATA_PAIRS},
        [VKFT_PREFERENCES_LABELLED] = {VKFT_DATA_LABELLED_TOKENS, VKFT_DATA_LABELLED},
    };
    if (keys->preferences != VKFT_PREFERENCES_NONE) {
        const vkft_data_format *choices = of_choices[keys->preferences];
        *format = has_shape(keys, row, choices[0], with_null) ? choices[0] : choices[1];
        return has_shape(keys, row, *format, with_null);
    }
    size_t i = 0;
    while (i < sizeof order / sizeof *order && !has_shape(keys, row, order[i], with_null))
        i++;
    if (i == sizeof order / sizeof *order)
        return false;
    *format = order[i];
    if (*format == VKFT_DATA_COMPLETION &&
        (is_list_of_messages(spelled(keys, row, "prompt")) || is_list_of_messages(spelled(keys, row, "completion"))))
        *format = VKFT_DATA_DIALOGUE;
    return true;
}

static void add_key(char *text, size_t size, const char *key)
{
    size_t at = strlen(text);
    char shown[64];
    snprintf(shown, sizeof shown, "%.60s", key);
    vkft_clean_line(shown, 44);
    bool quote = !*shown || strpbrk(shown, " ,;\"");
    snprintf(text + at, size - at, "%s%s%s%s", at ? ", " : "", quote ? "'" : "", shown, quote ? "'" : "");
}

void vkft_list_keys(const cJSON *row, char *text, size_t size)
{
    const cJSON *item;
    snprintf(text, size, "%s", row && row->child ? "" : "none");
    cJSON_ArrayForEach(item, row)
    {
        if (strlen(text) + 60 > size) {
            snprintf(text + strlen(text), size - strlen(text), ", ...");
            return;
        }
        add_key(text, size, item->string);
    }
}

static bool is_named_by_user(const vkft_data_keys *keys, const char *key)
{
    for (uint32_t i = 0; i < keys->count; i++)
        if (strcmp(keys->pairs[i].key, key) == 0)
            return true;
    return false;
}

/* Rows with a better and a worse answer, unless the user says which one is to be learned. */
static bool refuse_preference(const vkft_data_keys *keys, const cJSON *row, const char *place, vkft_err *err)
{
    char found[400];
    const cJSON *chosen = vkft_json_member(row, "chosen"), *rejected = vkft_json_member(row, "rejected");
    if (keys->preferences != VKFT_PREFERENCES_NONE || (!chosen && !rejected) || is_named_by_user(keys, "chosen") ||
        is_named_by_user(keys, "rejected"))
        return true;
    vkft_list_keys(row, found, sizeof found);
    vkft_fail(
        err, VKFT_ERR_INPUT,
        "%s: keys found: %s; rows with chosen and rejected answers are for preference training, which this is not",
        place, found);
    return vkft_advise(err, VKFT_ADVICE_CHOSEN_ANSWERS);
}

static bool check_object(const cJSON *row, const char *place, vkft_err *err)
{
    char buffer[100], found[100];
    if (cJSON_IsObject(row))
        return true;
    snprintf(found, sizeof found, "%s", vkft_json_describe(row, buffer, sizeof buffer));
    vkft_clean_line(found, sizeof found);
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s found; expected an object such as {\"text\": \"...\"}%s", place,
                     found, cJSON_IsArray(row) ? ", or {\"messages\": [...]} for a conversation" : "");
}

/* What is wrong where no shape is found, beyond the names of the keys. */
static const char *hint_for(const cJSON *row)
{
    const cJSON *only = row->child && !row->child->next ? row->child : NULL;
    if (only && strchr(only->string, ';'))
        return "the columns seem to be separated by ';': expected ','; ";
    if (vkft_json_member(row, "role") && vkft_json_member(row, "content"))
        return "a conversation is one row, {\"messages\": [...]}; ";
    return "";
}

bool vkft_shape_detect(const vkft_data_keys *keys, const cJSON *row, const char *place, vkft_data_format *format,
                       vkft_err *err)
{
    char found[400];
    if (!check_object(row, place, err) || !refuse_preference(keys, row, place, err))
        return false;
    if (detect(keys, row, false, format) || detect(keys, row, true, format))
        return true;
    vkft_list_keys(row, found, sizeof found);
    if (keys->preferences != VKFT_PREFERENCES_NONE) {
        vkft_fail(err, VKFT_ERR_INPUT, "%s: keys found: %s; expected %s", place, found,
                  keys->preferences == VKFT_PREFERENCES_PAIRS
                      ? "prompt, chosen and rejected: this training learns from pairs of answers"
                      : "prompt, completion and label (true or false): this training learns from good and bad answers");
        return vkft_advise(err, VKFT_ADVICE_NAME_KEYS);
    }
    vkft_fail(err, VKFT_ERR_INPUT,
              "%s: keys found: %s; %sexpected text, or prompt and completion, or instruction and output (and "
              "input), or question and answer (and context), or question, choices and answer, or messages, or "
              "conversations, or input_ids (and "
              "labels)",
              place, found, hint_for(row));
    return vkft_advise(err, VKFT_ADVICE_NAME_KEYS);
}

bool vkft_shape_check(const vkft_data_keys *keys, const cJSON *row, vkft_data_format format, const char *place,
                      vkft_err *err)
{
    vkft_data_format other;
    if (!check_object(row, place, err) || !refuse_preference(keys, row, place, err))
        return false;
    if (has_shape(keys, row, format, false) || !detect(keys, row, false, &other) || other == format ||
        (format == VKFT_DATA_INSTRUCTION && other == VKFT_DATA_COMPLETION)) /* by its input and output alone */
        return true;
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: a row of %s among rows of %s; all rows must have one shape", place,
                     vkft_data_format_name(other), vkft_data_format_name(format));
}

/* Whether {key} stands in the template under any of its names. */
static bool in_template(const vkft_data_keys *keys, const cJSON *row, const cJSON *item)
{
    char name[64];
    for (const char *p = keys->prompt_template; p && (p = strchr(p, '{')) != NULL; p++) {
        size_t n = strcspn(p + 1, "}");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), p + 1);
        if (spelled(keys, row, name) == item)
            return true;
    }
    return false;
}

/* Whether the key in this place of formats[] is used beside a template for the prompt. */
static bool is_answer(vkft_data_format format, size_t list, size_t at)
{
    return format == VKFT_DATA_CHOICES ? (list == 0 ? at == 0 : list == 1 && at < 3) : list == 0 && at == 1;
}

static bool is_used(const vkft_data_keys *keys, const cJSON *row, const cJSON *item, vkft_data_format format,
                    bool as_chat)
{
    const char *const *lists[] = {formats[format].required, formats[format].optional, formats[format].in_chats};
    static const size_t counts[] = {2, 7, 2};
    bool own_prompt = keys->prompt_template && formats[format].in_chats[0]; /* its keys stand in the template */
    if (in_template(keys, row, item) || (formats[format].either && spelled(keys, row, formats[format].either) == item))
        return true;
    if (cJSON_IsBool(item) && (strcmp(item->string, "label") == 0 || strcmp(item->string, "kto_tag") == 0))
        return true;
    for (size_t l = 0; l < (as_chat ? 3 : 2); l++)
        for (size_t i = 0; i < counts[l] && lists[l][i]; i++)
            if (spelled(keys, row, lists[l][i]) == item)
                return !own_prompt || is_answer(format, l, i);
    return false;
}

/* Whether a key is this name of the known shapes, or another spelling of it. */
static bool is_spelling(const vkft_data_keys *keys, const char *name, const char *key)
{
    size_t k = find_known(name);
    bool is = strcmp(name, key) == 0;
    for (size_t i = 0; !is && k < KNOWN && i < 4 && known[k].others[i]; i++)
        is = strcmp(known[k].others[i], key) == 0;
    for (uint32_t i = 0; !is && i < keys->count; i++)
        is = strcmp(keys->pairs[i].name, name) == 0 && strcmp(keys->pairs[i].key, key) == 0;
    return is;
}

static bool stands_in_template(const vkft_data_keys *keys, const char *key)
{
    char name[64];
    for (const char *p = keys->prompt_template; p && (p = strchr(p, '{')) != NULL; p++) {
        size_t n = strcspn(p + 1, "}");
        snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : sizeof name - 1), p + 1);
        if (is_spelling(keys, name, key))
            return true;
    }
    return false;
}

bool vkft_shape_may_use(const vkft_data_keys *keys, vkft_data_format format, const char *key)
{
    static const char *const always[] = {"label", "chosen", "rejected"}; /* they may refuse the row */
    for (size_t i = 0; i < sizeof always / sizeof *always; i++)
        if (is_spelling(keys, always[i], key))
            return true;
    for (size_t f = 0; f < VKFT_DATA_FORMATS; f++) {
        const char *const *lists[] = {formats[f].required, &formats[f].either, formats[f].optional,
                                      formats[f].in_chats};
        static const size_t counts[] = {2, 1, 7, 2};
        for (size_t l = 0; l < 4 && (f == format || format == VKFT_DATA_FORMATS); l++)
            for (size_t i = 0; i < counts[l] && lists[l][i]; i++)
                if (is_spelling(keys, lists[l][i], key))
                    return true;
    }
    return stands_in_template(keys, key);
}

void vkft_shape_unused(const vkft_data_keys *keys, const cJSON *row, vkft_data_format format, bool as_chat, char *text,
                       size_t size)
{
    const cJSON *item;
    text[0] = 0;
    cJSON_ArrayForEach(item, row)
    {
        if (is_used(keys, row, item, format, as_chat))
            continue;
        if (strlen(text) + 60 > size) {
            snprintf(text + strlen(text), size - strlen(text), ", ...");
            return;
        }
        add_key(text, size, item->string);
    }
}
