/* From a row to prompt and completion, messages, text or tokens. */
#include "formats/dataset/shape.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/prompt.h"
#include "formats/dataset/shape_private.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"

bool visitor_reject(visitor *v, vkft_bad_reason reason, const char *format, ...)
{
    char message[300];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    vkft_clean_line(message, sizeof message);
    v->failed = v->failed || !v->sink->reject(v->sink->context, reason, message, v->err);
    return false;
}

bool visitor_fail_memory(visitor *v)
{
    v->failed = true;
    return vkft_fail_memory(v->err, "while reading %s", v->place);
}

bool visitor_example(visitor *v, const vkft_example *example)
{
    vkft_example whole = *example;
    whole.alternatives = v->alternatives;
    v->failed = v->failed || !v->sink->example(v->sink->context, &whole, v->err);
    return !v->failed;
}

bool visitor_make_string(cJSON *value)
{
    char buffer[64];
    const char *text = value->valuestring;
    if (cJSON_IsBool(value)) {
        text = cJSON_IsTrue(value) ? "True" : "False";
    } else if (text && strpbrk(text, ".eE")) {
        vkft_float_text(value->valuedouble, buffer, sizeof buffer);
        text = buffer;
    } else if (!text) {
        snprintf(buffer, sizeof buffer, "%.0f", value->valuedouble);
        text = buffer;
    }
    char *copy = cJSON_malloc(strlen(text) + 1);
    if (!copy)
        return false;
    memcpy(copy, text, strlen(text) + 1);
    cJSON_free(value->valuestring);
    value->valuestring = copy;
    value->type = (value->type & ~0xff) | cJSON_String;
    return true;
}

bool visitor_text(visitor *v, cJSON *row, const char *name, bool required, const char **text)
{
    const char *key;
    char found[100];
    cJSON *value = (cJSON *)(uintptr_t)vkft_data_member(v->keys, row, name, &key);
    *text = NULL;
    if (!value && !required)
        return true;
    if (!value)
        return visitor_reject(v, VKFT_BAD_NULL, "%s is %s", key,
                              cJSON_GetObjectItemCaseSensitive(row, key) ? "null" : "missing");
    if ((cJSON_IsNumber(value) || cJSON_IsBool(value)) && !visitor_make_string(value))
        return visitor_fail_memory(v);
    *text = cJSON_GetStringValue(value);
    if (*text)
        return true;
    bool answers = cJSON_GetArraySize(value) > 1 && cJSON_IsString(value->child) &&
                   (strcmp(name, "output") == 0 || strcmp(name, "completion") == 0);
    return visitor_reject(v, VKFT_BAD_VALUE, "%s is %s; expected a string%s", key,
                          vkft_json_describe(value, found, sizeof found),
                          answers ? "; several answers for one prompt are preference data" : "");
}

void visit_pair(visitor *v, cJSON *row, char *prompt, const char *completion)
{
    if (!prompt)
        visitor_fail_memory(v);
    else if (v->sink->as_chat)
        visit_pair_as_chat(v, row, prompt, completion);
    else
        visitor_example(v, &(vkft_example){.prompt = prompt, .completion = completion});
    free(prompt);
}

/* Appends n bytes to a growing text; *text NULL after running out of memory. */
static void append(char **text, size_t *length, const char *data, size_t n)
{
    char *longer = *text ? realloc(*text, *length + n + 1) : NULL;
    if (!longer) {
        free(*text);
        *text = NULL;
        return;
    }
    memcpy(longer + *length, data, n);
    *length += n;
    longer[*length] = 0;
    *text = longer;
}

/* context is that of a question whose row has none itself. */
char *visitor_fill_template(visitor *v, cJSON *row, const char *context)
{
    char *text = calloc(1, 1);
    size_t length = 0;
    for (const char *p = v->keys->prompt_template; text && *p;) {
        if (p[0] != '{' || p[1] == '{') {
            bool twice = (*p == '{' || *p == '}') && p[1] == *p;
            append(&text, &length, p, 1);
            p += twice ? 2 : 1;
            continue;
        }
        char name[64];
        const char *key, *value;
        size_t n = strcspn(++p, "}");
        snprintf(name, sizeof name, "%.*s", (int)min_u64(n, sizeof name - 1), p);
        cJSON *item = (cJSON *)(uintptr_t)vkft_data_member(v->keys, row, name, &key);
        if ((cJSON_IsNumber(item) || cJSON_IsBool(item)) && !visitor_make_string(item)) {
            free(text);
            return NULL;
        }
        value = cJSON_GetStringValue(item);
        if (!value && context && strcmp(name, "context") == 0)
            value = context;
        if (value)
            append(&text, &length, value, strlen(value));
        p += n + (p[n] == '}');
    }
    return text;
}

static void visit_completion(visitor *v, cJSON *row)
{
    const char *prompt = "", *completion;
    bool own = v->keys->prompt_template != NULL;
    if ((own || visitor_text(v, row, "prompt", true, &prompt)) && visitor_text(v, row, "completion", true, &completion))
        visit_pair(v, row, own ? visitor_fill_template(v, row, NULL) : vkft_string_copy(prompt), completion);
}

static void visit_instruction(visitor *v, cJSON *row)
{
    const char *instruction, *input, *output;
    if (!visitor_text(v, row, "instruction", true, &instruction) || !visitor_text(v, row, "input", false, &input) ||
        !visitor_text(v, row, "output", true, &output))
        return;
    char *prompt = v->keys->prompt_template ? visitor_fill_template(v, row, NULL)
                   : v->sink->as_chat       ? vkft_joined_prompt(instruction, "\n", input)
                                            : vkft_instruction_prompt(instruction, input);
    visit_pair(v, row, prompt, output);
}

/* The first answer: a string, {"text": ["..."]} or [{"text": "..."}], or one of these in a list. */
static cJSON *first_answer(cJSON *answers)
{
    if (cJSON_IsObject(answers))
        answers = cJSON_GetObjectItemCaseSensitive(answers, "text");
    if (cJSON_IsArray(answers))
        answers = cJSON_GetArrayItem(answers, 0);
    if (cJSON_IsObject(answers))
        answers = cJSON_GetObjectItemCaseSensitive(answers, "text");
    return answers;
}

/* The answer's text; NULL: the example is rejected, or out of memory. */
static const char *take_answer(visitor *v, cJSON *row)
{
    char found[100];
    const char *key, *plural;
    cJSON *value = (cJSON *)(uintptr_t)vkft_data_member(v->keys, row, "answer", &key);
    if (!value)
        value = (cJSON *)(uintptr_t)vkft_data_member(v->keys, row, "answers", &plural);
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(row, key);
    if (!value) {
        visitor_reject(v, VKFT_BAD_NULL, "%s is %s", key, member ? "null" : "missing");
        return NULL;
    }
    bool listed = cJSON_IsArray(value) || cJSON_IsObject(value);
    cJSON *answer = first_answer(value);
    if (listed && !answer) {
        visitor_reject(v, VKFT_BAD_UNANSWERABLE, "the list of answers is empty");
        return NULL;
    }
    if ((cJSON_IsNumber(answer) || cJSON_IsBool(answer)) && !visitor_make_string(answer)) {
        visitor_fail_memory(v);
        return NULL;
    }
    if (!cJSON_IsString(answer))
        visitor_reject(v, cJSON_IsNull(answer) ? VKFT_BAD_NULL : VKFT_BAD_VALUE,
                       "%s holds %s; expected a string, or a list of answers with at least one", key,
                       vkft_json_describe(answer, found, sizeof found));
    return cJSON_GetStringValue(answer);
}

static void visit_question(visitor *v, cJSON *row, const char *context)
{
    const char *question, *answer;
    if (cJSON_IsTrue(vkft_json_member(row, "is_impossible"))) {
        visitor_reject(v, VKFT_BAD_UNANSWERABLE, "is_impossible is true");
        return;
    }
    if (!visitor_text(v, row, "question", true, &question) || !(answer = take_answer(v, row)))
        return;
    char *prompt = v->keys->prompt_template ? visitor_fill_template(v, row, context)
                   : v->sink->as_chat       ? vkft_joined_prompt(context ? context : "", "\n\n", question)
                                            : vkft_question_prompt(question, context);
    visit_pair(v, row, prompt, answer);
}

static void visit_squad(visitor *v, cJSON *row)
{
    cJSON *paragraphs = cJSON_GetObjectItemCaseSensitive(row, "paragraphs"), *paragraph, *questions, *question;
    if (!cJSON_IsArray(paragraphs))
        visitor_reject(v, cJSON_IsNull(paragraphs) ? VKFT_BAD_NULL : VKFT_BAD_VALUE, "paragraphs is no list");
    cJSON_ArrayForEach(paragraph, paragraphs)
    {
        const char *context;
        questions = cJSON_GetObjectItemCaseSensitive(paragraph, "qas");
        if (!cJSON_IsArray(questions)) {
            visitor_reject(v, VKFT_BAD_VALUE, "a paragraph has no list of questions, \"qas\"");
            continue;
        }
        if (!visitor_text(v, paragraph, "context", true, &context))
            continue;
        cJSON_ArrayForEach(question, questions)
        {
            if (v->failed)
                return;
            visit_question(v, question, context);
        }
    }
}

/* KTO's rows say of each answer whether it is desired. */
static bool is_undesired(const vkft_data_keys *keys, const cJSON *row)
{
    static const char *const labels[] = {"label", "kto_tag"};
    for (size_t i = 0; i < 2; i++) {
        bool named = false;
        for (uint32_t k = 0; k < keys->count; k++)
            named = named || strcmp(keys->pairs[k].key, labels[i]) == 0;
        if (!named && cJSON_IsFalse(vkft_json_member(row, labels[i])))
            return true;
    }
    return false;
}

static void visit_text(visitor *v, cJSON *row)
{
    const char *text;
    if (!visitor_text(v, row, "text", true, &text))
        return;
    if (*text)
        visitor_example(v, &(vkft_example){.text = text});
    else
        visitor_reject(v, VKFT_BAD_EMPTY, "the text is empty");
}

bool vkft_shape_examples(const vkft_data_keys *keys, cJSON *row, vkft_data_format format, const char *place,
                         const vkft_shape_sink *sink, vkft_err *err)
{
    visitor v = {.keys = keys, .sink = sink, .place = place, .err = err};
    const char *context;
    bool answers =
        format < VKFT_DATA_PAIRS && format != VKFT_DATA_TOKENS && format != VKFT_DATA_TEXT && format != VKFT_DATA_SQUAD;
    if (answers && is_undesired(keys, row)) {
        visitor_reject(&v, VKFT_BAD_UNDESIRED, "its label is false, as of a bad answer for KTO");
        return !v.failed;
    }
    switch (format) {
    case VKFT_DATA_TOKENS: visitor_example(&v, &(vkft_example){.row = row}); break;
    case VKFT_DATA_INSTRUCTION: visit_instruction(&v, row); break;
    case VKFT_DATA_QUESTION:
        if (visitor_text(&v, row, "context", false, &context))
            visit_question(&v, row, context);
        break;
    case VKFT_DATA_CHOICES: visit_alternatives(&v, row); break;
    case VKFT_DATA_SQUAD: visit_squad(&v, row); break;
    case VKFT_DATA_MESSAGES: visit_messages(&v, row, false); break;
    case VKFT_DATA_CONVERSATIONS: visit_messages(&v, row, true); break;
    case VKFT_DATA_DIALOGUE: visit_dialogue(&v, row); break;
    case VKFT_DATA_COMPLETION: visit_completion(&v, row); break;
    case VKFT_DATA_PAIRS:
    case VKFT_DATA_LABELLED:
    case VKFT_DATA_PAIR_TOKENS:
    case VKFT_DATA_LABELLED_TOKENS: visit_choice(&v, row, format); break;
    default: visit_text(&v, row); break;
    }
    return !v.failed;
}
