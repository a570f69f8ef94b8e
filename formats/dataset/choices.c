/* Rows with choices one of which is the answer, as data sets for evaluation have them: ARC and OpenBookQA ({"text":
 * [...], "label": [...]} and answerKey), MMLU (a list, and the answer's number), HellaSwag (ctx, endings, label), RACE
 * (options, and a letter). Prompts are those of lm-evaluation-harness, which numbers are compared with. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/prompt.h"
#include "formats/dataset/shape_private.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

#define LETTERS 26u

static const char *const letters[LETTERS] = {"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L", "M",
                                             "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z"};

typedef struct choices {
    const char *key;   /* what the row calls them */
    const char **text; /* [count], and then as many labels */
    const char **label;
    uint32_t count;
    bool labelled; /* by the row; else A, B, ... */
} choices;

static cJSON *member(visitor *v, const cJSON *row, const char *name, const char **key)
{
    return (cJSON *)(uintptr_t)vkft_data_member(v->keys, row, name, key);
}

/* The value as a text; NULL: the row is rejected, or out of memory. */
static const char *text_of(visitor *v, cJSON *value, const char *key)
{
    char found[100];
    if ((cJSON_IsNumber(value) || cJSON_IsBool(value)) && !visitor_make_string(value))
        visitor_fail_memory(v);
    else if (!cJSON_IsString(value))
        visitor_reject(v, cJSON_IsNull(value) ? VKFT_BAD_NULL : VKFT_BAD_VALUE,
                       "%s holds %s; expected texts, or {\"text\": [...], \"label\": [...]}", key,
                       vkft_json_describe(value, found, sizeof found));
    return v->failed ? NULL : cJSON_GetStringValue(value);
}

/* One choice: a text, {"text", "label"}, or a text under its label. */
static bool read_choice(visitor *v, cJSON *item, cJSON *label, choices *c)
{
    bool object = cJSON_IsObject(item);
    cJSON *text = object ? cJSON_GetObjectItemCaseSensitive(item, "text") : item;
    label = object ? cJSON_GetObjectItemCaseSensitive(item, "label") : label;
    if (object && !text)
        return visitor_reject(v, VKFT_BAD_NULL, "%s has an object without text", c->key);
    const char *shown = text_of(v, text, c->key);
    if (!shown)
        return false;
    if (!*shown)
        return visitor_reject(v, VKFT_BAD_EMPTY, "%s has an empty text", c->key);
    c->labelled = c->labelled || label;
    const char *name = label ? text_of(v, label, c->key) : c->count < LETTERS ? letters[c->count] : "";
    c->text[c->count] = shown;
    c->label[c->count++] = name;
    return name != NULL;
}

static bool read_choices(visitor *v, const cJSON *row, choices *c)
{
    cJSON *list = member(v, row, "choices", &c->key), *labels = NULL, *item;
    if (!list)
        return visitor_reject(v, VKFT_BAD_NULL, "%s is missing or null", c->key);
    bool named = cJSON_IsObject(list) && !cJSON_IsArray(vkft_json_member(list, "text")); /* {"A": "...", "B": "..."} */
    if (cJSON_IsObject(list) && !named) {
        labels = cJSON_GetObjectItemCaseSensitive(list, "label");
        list = cJSON_GetObjectItemCaseSensitive(list, "text");
    }
    int count = cJSON_GetArraySize(list);
    if (count < 2 || (labels && cJSON_GetArraySize(labels) != count))
        return visitor_reject(v, VKFT_BAD_VALUE,
                              count < 2 ? "%s has less than two" : "%s has not as many labels as texts", c->key);
    c->text = calloc(2 * (size_t)count, sizeof *c->text);
    c->label = c->text + count;
    if (!c->text)
        return visitor_fail_memory(v);
    cJSON *label = labels ? labels->child : NULL;
    cJSON_ArrayForEach(item, list)
    {
        if (!read_choice(v, item, label, c))
            return false;
        if (named)
            c->label[c->count - 1] = item->string;
        label = label ? label->next : NULL;
    }
    c->labelled = c->labelled || named;
    return true;
}

/* The choice of this label or text; count: none. */
static uint32_t find(const char *const *list, uint32_t count, const char *text)
{
    uint32_t i = 0;
    while (i < count && strcmp(list[i], text) != 0)
        i++;
    return i;
}

static uint32_t find_number(const choices *c, const char *text)
{
    char *end = NULL;
    unsigned long n = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && n < c->count ? (uint32_t)n : c->count;
}

/* Which one is right: a label of the row first; else a letter, a text, or a number from 0 on, where they agree. */
static bool find_right(visitor *v, const cJSON *row, const choices *c, uint32_t *right)
{
    static const char *const names[] = {"answer", "answerKey", "label"};
    const char *key = NULL, *first = NULL;
    cJSON *value = NULL;
    for (size_t i = 0; i < 3 && !value; i++) {
        value = member(v, row, names[i], &key);
        first = first ? first : key;
    }
    if (!value)
        return visitor_reject(v, VKFT_BAD_NULL, "%s is missing or null", first);
    bool number = cJSON_IsNumber(value);
    const char *text = text_of(v, value, key);
    if (!text)
        return false;
    if (!*text)
        return visitor_reject(v, VKFT_BAD_UNANSWERABLE, "%s is empty", key);
    *right = find(c->label, c->count, text);
    if (c->labelled && *right < c->count)
        return true;
    const uint32_t meant[] = {c->labelled ? c->count : *right, number ? c->count : find(c->text, c->count, text),
                              find_number(c, text)};
    *right = c->count;
    for (size_t i = 0; i < 3; i++) {
        if (*right < c->count && meant[i] < c->count && meant[i] != *right)
            return visitor_reject(v, VKFT_BAD_VALUE, "%s may be a letter, a text or a number of %s, which differ", key,
                                  c->key);
        *right = meant[i] < c->count ? meant[i] : *right;
    }
    return *right < c->count ||
           visitor_reject(v, VKFT_BAD_VALUE, "%s names none of %s; expected a label, a text, or a number from 0 on",
                          key, c->key);
}

/* "A. ...\nB. ...": what {choices} stands for in a template; the answers are then the labels. NULL: out of memory. */
static cJSON *listed(const choices *c)
{
    vkft_text text = {0};
    bool ok = true;
    for (uint32_t i = 0; ok && i < c->count; i++)
        ok = vkft_text_append(&text, "\n", i > 0, NULL) &&
             vkft_text_append(&text, c->label[i], strlen(c->label[i]), NULL) &&
             vkft_text_append(&text, ". ", 2, NULL) && vkft_text_append(&text, c->text[i], strlen(c->text[i]), NULL);
    cJSON *list = ok && text.data ? cJSON_CreateString(text.data) : NULL;
    vkft_text_free(&text);
    return list;
}

static bool lists_choices(const visitor *v)
{
    return v->keys->prompt_template && strstr(v->keys->prompt_template, "{choices}");
}

/* The user's template. NULL: out of memory. */
static char *fill_template(visitor *v, cJSON *row, const choices *c)
{
    cJSON *list = lists_choices(v) ? listed(c) : NULL, *texts = NULL;
    bool ok = list || !lists_choices(v);
    if (list) { /* the texts are those of the member, which waits */
        texts = cJSON_DetachItemFromObjectCaseSensitive(row, c->key);
        ok = cJSON_AddItemToObject(row, texts->string, list);
    }
    char *prompt = ok ? visitor_fill_template(v, row, NULL) : NULL;
    if (texts) {
        cJSON_DeleteItemFromObjectCaseSensitive(row, texts->string);
        cJSON_AddItemToArray(row, texts);
    }
    return prompt;
}

/* "Question: ...\nAnswer:", with a context before it; a text that is to be continued as it is. NULL: the row is
 * rejected, or out of memory. */
static char *make_prompt(visitor *v, cJSON *row, const choices *c)
{
    const char *key, *question, *context;
    bool asks = member(v, row, "question", &key) != NULL;
    if (!visitor_text(v, row, asks ? "question" : "prompt", true, &question) ||
        !visitor_text(v, row, "context", false, &context))
        return NULL;
    char *prompt;
    if (v->keys->prompt_template) {
        prompt = fill_template(v, row, c);
    } else if (v->sink->as_chat || !asks) {
        prompt = vkft_joined_prompt(asks ? context : NULL, "\n\n", question);
    } else {
        prompt = vkft_choices_prompt(question, context);
    }
    if (!prompt)
        visitor_fail_memory(v);
    return prompt;
}

/* Between a prompt and its answer there is white space: a space, unless the prompt ends in some. */
static const char *separator_after(const char *prompt)
{
    size_t n = strlen(prompt);
    return n && strchr(" \t\r\n", prompt[n - 1]) ? "" : " ";
}

/* Takes over prompt. */
static void emit(visitor *v, cJSON *row, char *prompt, const choices *c, uint32_t right)
{
    const char *const *text = lists_choices(v) ? c->label : c->text;
    vkft_alternatives all = {
        .prompt = prompt, .separator = separator_after(prompt), .text = text, .count = c->count, .right = right};
    v->alternatives = &all;
    if (v->sink->as_chat) {
        all.prompt = NULL;
        visit_pair(v, row, prompt, text[right]);
    } else {
        char *completion = vkft_joined_prompt(all.separator, "", text[right]);
        if (completion) {
            visitor_example(v, &(vkft_example){.prompt = prompt, .completion = completion});
        } else {
            visitor_fail_memory(v);
        }
        free(completion);
        free(prompt);
    }
    v->alternatives = NULL;
}

void visit_alternatives(visitor *v, cJSON *row)
{
    choices c = {0};
    uint32_t right = 0;
    char *prompt;
    if (!read_choices(v, row, &c) || !find_right(v, row, &c, &right)) {
        /* said */
    } else if (lists_choices(v) && !c.labelled && c.count > LETTERS) {
        visitor_reject(v, VKFT_BAD_VALUE, "%s are more than there are letters", c.key);
    } else if ((prompt = make_prompt(v, row, &c)) != NULL) {
        emit(v, row, prompt, &c, right);
    }
    free((void *)c.text);
}
