/* From the keys of a row to prompt and completion, messages, text or tokens.
 *
 * Names that several data sets use for one thing (answer and A, output and response) count as one; --data-keys names
 * any other.
 */
#include "formats/dataset/shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/prompt.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"

/* The names of the known shapes, each with another spelling that is taken without asking. */
static const char *const known_names[][2] = {
    {"text", "text"},
    {"prompt", "prompt"},
    {"completion", "response"},
    {"instruction", "instruction"},
    {"input", "context"},
    {"output", "response"},
    {"question", "Q"},
    {"answer", "A"},
    {"answers", "answers"},
    {"context", "context"},
    {"messages", "messages"},
    {"conversations", "conversation"},
    {"system", "system"},
    {"tools", "tools"},
    {"input_ids", "input_ids"},
    {"labels", "labels"},
    {"paragraphs", "paragraphs"},
};
#define KNOWN (sizeof known_names / sizeof *known_names)

const char *vkft_data_format_name(vkft_data_format format)
{
    static const char *const names[] = {"text",
                                        "plain text",
                                        "prompt/completion",
                                        "instruction/input/output",
                                        "question/answer",
                                        "paragraphs with questions (SQuAD)",
                                        "messages",
                                        "conversations",
                                        "input_ids/labels"};
    return names[format];
}

static bool is_known(const char *name)
{
    for (size_t i = 0; i < KNOWN; i++)
        if (strcmp(known_names[i][0], name) == 0)
            return true;
    return false;
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
        if (!is_known(pair))
            return vkft_fail(err, VKFT_ERR_USAGE,
                             "names of keys: '%.60s' is no name of a known shape; those are text, prompt, completion, "
                             "instruction, input, output, question, answer, context, messages, conversations, system, "
                             "tools, input_ids "
                             "and labels",
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

/* The member that has this name in the known shapes, and in *key what the row calls it; NULL: absent or null. */
static const cJSON *member(const vkft_data_keys *keys, const cJSON *row, const char *name, const char **key)
{
    *key = name;
    for (uint32_t i = 0; i < keys->count; i++)
        if (strcmp(keys->pairs[i].name, name) == 0) {
            *key = keys->pairs[i].key;
            return vkft_json_member(row, *key);
        }
    const cJSON *value = vkft_json_member(row, name);
    for (size_t i = 0; !value && i < KNOWN; i++)
        if (strcmp(known_names[i][0], name) == 0) {
            *key = known_names[i][1];
            value = vkft_json_member(row, *key);
        }
    return value;
}

static bool has(const vkft_data_keys *keys, const cJSON *row, const char *name)
{
    const char *key;
    return member(keys, row, name, &key) != NULL;
}

static bool detect(const vkft_data_keys *keys, const cJSON *row, vkft_data_format *format)
{
    if (has(keys, row, "input_ids"))
        *format = VKFT_DATA_TOKENS;
    else if (has(keys, row, "messages"))
        *format = VKFT_DATA_MESSAGES;
    else if (has(keys, row, "conversations"))
        *format = VKFT_DATA_CONVERSATIONS;
    else if (has(keys, row, "instruction") && has(keys, row, "output"))
        *format = VKFT_DATA_INSTRUCTION;
    else if (has(keys, row, "question") && (has(keys, row, "answer") || has(keys, row, "answers")))
        *format = VKFT_DATA_QUESTION;
    else if (has(keys, row, "prompt") && has(keys, row, "completion"))
        *format = VKFT_DATA_COMPLETION;
    else if (has(keys, row, "paragraphs"))
        *format = VKFT_DATA_SQUAD;
    else if (has(keys, row, "text"))
        *format = VKFT_DATA_TEXT;
    else
        return false;
    return true;
}

static void list_keys(const cJSON *row, char *text, size_t size)
{
    const cJSON *item;
    text[0] = 0;
    cJSON_ArrayForEach(item, row)
    {
        size_t at = strlen(text);
        snprintf(text + at, size - at, "%s%.40s", at ? ", " : "", item->string);
    }
}

bool vkft_shape_detect(const vkft_data_keys *keys, const cJSON *row, const char *place, vkft_data_format *format,
                       vkft_err *err)
{
    char found[400];
    if (!cJSON_IsObject(row))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s found; expected an object such as {\"text\": \"...\"}", place,
                         vkft_json_describe(row, found, sizeof found));
    if (detect(keys, row, format))
        return true;
    list_keys(row, found, sizeof found);
    vkft_fail(err, VKFT_ERR_INPUT,
              "%s: keys found: %s; expected text, or prompt and completion, or instruction and output (and "
              "input), or question and answer (and context), or messages, or conversations, or input_ids (and "
              "labels)",
              place, found[0] ? found : "none");
    return vkft_advise(err, VKFT_ADVICE_NAME_KEYS);
}

static bool get_string(const vkft_data_keys *keys, const cJSON *row, const char *name, bool required, const char **text,
                       const char *place, vkft_err *err)
{
    const char *key;
    char found[100];
    const cJSON *value = member(keys, row, name, &key);
    *text = NULL;
    if (!value && !required)
        return true;
    if (cJSON_IsString(value)) {
        *text = value->valuestring;
        return true;
    }
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s is %s; expected a string", place, key,
                     value ? vkft_json_describe(value, found, sizeof found) : "missing");
}

typedef struct visitor {
    const vkft_data_keys *keys;
    const char *place;
    bool (*visit)(void *context, const vkft_example *example, const char *place, vkft_err *err);
    void *context;
    vkft_err *err;
} visitor;

/* Takes over prompt. */
static bool visit_pair(const visitor *v, char *prompt, const char *completion)
{
    if (!prompt)
        return vkft_fail_memory(v->err, "while reading %s", v->place);
    vkft_example example = {.prompt = prompt, .completion = completion};
    bool ok = v->visit(v->context, &example, v->place, v->err);
    free(prompt);
    return ok;
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

/* The user's template with the row's values; context is that of a question whose row has none itself. NULL: out of
 * memory. */
static char *fill_template(const visitor *v, const cJSON *row, const char *context)
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
        value = cJSON_GetStringValue(member(v->keys, row, name, &key));
        if (!value && context && strcmp(name, "context") == 0)
            value = context;
        if (value)
            append(&text, &length, value, strlen(value));
        p += n + (p[n] == '}');
    }
    return text;
}

static bool visit_completion(const visitor *v, const cJSON *row)
{
    vkft_example example = {0};
    if (v->keys->prompt_template)
        return get_string(v->keys, row, "completion", true, &example.completion, v->place, v->err) &&
               visit_pair(v, fill_template(v, row, NULL), example.completion);
    return get_string(v->keys, row, "prompt", true, &example.prompt, v->place, v->err) &&
           get_string(v->keys, row, "completion", true, &example.completion, v->place, v->err) &&
           v->visit(v->context, &example, v->place, v->err);
}

static bool visit_instruction(const visitor *v, const cJSON *row)
{
    const char *instruction, *input, *output;
    return get_string(v->keys, row, "instruction", true, &instruction, v->place, v->err) &&
           get_string(v->keys, row, "input", false, &input, v->place, v->err) &&
           get_string(v->keys, row, "output", true, &output, v->place, v->err) &&
           visit_pair(
               v, v->keys->prompt_template ? fill_template(v, row, NULL) : vkft_instruction_prompt(instruction, input),
               output);
}

/* The first answer: a string, {"text": ["..."]} or [{"text": "..."}]. */
static const char *first_answer(const cJSON *answers)
{
    if (cJSON_IsObject(answers))
        answers = vkft_json_member(answers, "text");
    if (cJSON_IsArray(answers))
        answers = cJSON_GetArrayItem(answers, 0);
    if (cJSON_IsObject(answers))
        answers = vkft_json_member(answers, "text");
    return cJSON_GetStringValue(answers);
}

static bool visit_question(const visitor *v, const cJSON *row, const char *context)
{
    const char *question, *answer, *key;
    if (!get_string(v->keys, row, "question", true, &question, v->place, v->err))
        return false;
    const cJSON *value = member(v->keys, row, "answer", &key);
    if (!value)
        value = member(v->keys, row, "answers", &key);
    answer = first_answer(value);
    if (!answer)
        return vkft_fail(v->err, VKFT_ERR_INPUT,
                         "%s: %s holds no text; expected a string, or a list of answers with at least one", v->place,
                         key);
    return visit_pair(
        v, v->keys->prompt_template ? fill_template(v, row, context) : vkft_question_prompt(question, context), answer);
}

static bool visit_squad(const visitor *v, const cJSON *row)
{
    const cJSON *paragraphs, *paragraph, *questions, *question;
    if (!vkft_json_get_array(row, "paragraphs", true, &paragraphs, v->place, v->err))
        return false;
    cJSON_ArrayForEach(paragraph, paragraphs)
    {
        const char *context;
        if (!get_string(v->keys, paragraph, "context", true, &context, v->place, v->err) ||
            !vkft_json_get_array(paragraph, "qas", true, &questions, v->place, v->err))
            return false;
        cJSON_ArrayForEach(question, questions)
        {
            if (cJSON_IsTrue(vkft_json_member(question, "is_impossible")))
                continue;
            if (!visit_question(v, question, context))
                return false;
        }
    }
    return true;
}

static cJSON *message_new(const char *role, const char *content)
{
    cJSON *message = cJSON_CreateObject();
    if (message && cJSON_AddStringToObject(message, "role", role) &&
        (content ? cJSON_AddStringToObject(message, "content", content) : cJSON_AddNullToObject(message, "content")))
        return message;
    cJSON_Delete(message);
    return NULL;
}

/* ShareGPT's {"name", "arguments"} or a list of them, as text, becomes the assistant's tool_calls; any other text stays
 * content. */
static cJSON *tool_call_message(const char *text)
{
    cJSON *call = cJSON_Parse(text), *message = NULL;
    bool list = cJSON_IsArray(call);
    const cJSON *first = list ? cJSON_GetArrayItem(call, 0) : call;
    if (!vkft_json_member(first, "name")) {
        cJSON_Delete(call);
        return message_new("assistant", text);
    }
    message = message_new("assistant", NULL);
    cJSON *calls = cJSON_AddArrayToObject(message, "tool_calls");
    while (calls && call) {
        cJSON *function = list ? cJSON_DetachItemFromArray(call, 0) : call;
        if (!function)
            break;
        cJSON *entry = cJSON_CreateObject();
        cJSON_AddStringToObject(entry, "type", "function");
        cJSON_AddItemToObject(entry, "function", function);
        cJSON_AddItemToArray(calls, entry);
        if (!list)
            call = NULL;
    }
    cJSON_Delete(call);
    return message;
}

static const char *role_of(const char *from)
{
    static const char *const roles[][2] = {
        {"human", "user"},        {"user", "user"},       {"gpt", "assistant"},          {"assistant", "assistant"},
        {"chatgpt", "assistant"}, {"model", "assistant"}, {"bot", "assistant"},          {"system", "system"},
        {"observation", "tool"},  {"tool", "tool"},       {"function_response", "tool"},
    };
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i][0], from) == 0)
            return roles[i][1];
    return NULL;
}

/* ShareGPT's turns as messages; NULL: an error. */
static cJSON *convert_conversation(const visitor *v, const cJSON *turns, const char *system)
{
    cJSON *messages = cJSON_CreateArray();
    const cJSON *turn;
    uint32_t number = 0;
    if (system && *system)
        cJSON_AddItemToArray(messages, message_new("system", system));
    cJSON_ArrayForEach(turn, turns)
    {
        const char *from = cJSON_GetStringValue(vkft_json_member(turn, "from")),
                   *value = cJSON_GetStringValue(vkft_json_member(turn, "value"));
        const char *role = from ? role_of(from) : NULL;
        bool call = from && (strcmp(from, "function_call") == 0 || strcmp(from, "tool_call") == 0);
        number++;
        if (!value || (!role && !call)) {
            vkft_fail(v->err, VKFT_ERR_INPUT,
                      "%s: turn %u of the conversation has from '%.40s'%s; expected \"from\": human, gpt, system, "
                      "function_call or observation, and a string \"value\"",
                      v->place, number, from ? from : "", value ? "" : " and no value");
            cJSON_Delete(messages);
            return NULL;
        }
        cJSON_AddItemToArray(messages, call ? tool_call_message(value) : message_new(role, value));
    }
    return messages;
}

/* Tools as chat templates expect them: [{"type": "function", "function": {...}}]; NULL: there are none, or *ok is
 * false. */
static cJSON *read_tools(const visitor *v, const cJSON *row, bool *ok)
{
    const char *key;
    const cJSON *value = member(v->keys, row, "tools", &key);
    *ok = true;
    if (!value || (cJSON_IsString(value) && !value->valuestring[0]))
        return NULL;
    cJSON *tools = cJSON_IsString(value) ? cJSON_Parse(value->valuestring) : cJSON_Duplicate(value, true);
    if (!cJSON_IsArray(tools)) {
        cJSON_Delete(tools);
        *ok = vkft_fail(v->err, VKFT_ERR_INPUT, "%s: %s is no array of tools", v->place, key);
        return NULL;
    }
    for (int i = 0; i < cJSON_GetArraySize(tools); i++) {
        const cJSON *tool = cJSON_GetArrayItem(tools, i);
        if (!vkft_json_member(tool, "name") || vkft_json_member(tool, "function"))
            continue;
        cJSON *wrapped = cJSON_CreateObject();
        cJSON_AddStringToObject(wrapped, "type", "function");
        cJSON_AddItemToObject(wrapped, "function", cJSON_Duplicate(tool, true));
        cJSON_ReplaceItemInArray(tools, i, wrapped);
    }
    if (cJSON_GetArraySize(tools) > 0)
        return tools;
    cJSON_Delete(tools);
    return NULL;
}

static bool check_messages(const visitor *v, const cJSON *messages, const char *key)
{
    const cJSON *message;
    uint32_t number = 0;
    cJSON_ArrayForEach(message, messages)
    {
        number++;
        if (!cJSON_IsString(vkft_json_member(message, "role")))
            return vkft_fail(v->err, VKFT_ERR_INPUT,
                             "%s: %s[%u] has no \"role\"; expected {\"role\": \"user\", \"content\": \"...\"}",
                             v->place, key, number - 1);
    }
    return number > 0 ||
           vkft_fail(v->err, VKFT_ERR_INPUT, "%s: %s is empty or no array; expected a list of messages", v->place, key);
}

static bool visit_chat(const visitor *v, const cJSON *row, bool sharegpt)
{
    const char *key, *system = NULL;
    bool ok;
    const cJSON *list = member(v->keys, row, sharegpt ? "conversations" : "messages", &key);
    cJSON *converted = NULL, *tools = read_tools(v, row, &ok);
    if (ok && sharegpt && !vkft_json_member(cJSON_GetArrayItem(list, 0), "role")) {
        ok = get_string(v->keys, row, "system", false, &system, v->place, v->err);
        converted = ok ? convert_conversation(v, list, system) : NULL;
        ok = converted != NULL;
        list = converted;
    }
    vkft_example example = {
        .conversation = {.messages = list, .tools = tools, .variables = vkft_json_member(row, "chat_template_kwargs")}};
    ok = ok && check_messages(v, list, key) && v->visit(v->context, &example, v->place, v->err);
    cJSON_Delete(converted);
    cJSON_Delete(tools);
    return ok;
}

bool vkft_shape_examples(const vkft_data_keys *keys, const cJSON *row, vkft_data_format format, const char *place,
                         bool (*visit)(void *context, const vkft_example *example, const char *place, vkft_err *err),
                         void *context, vkft_err *err)
{
    visitor v = {keys, place, visit, context, err};
    vkft_example example = {.row = row};
    const char *text;
    switch (format) {
    case VKFT_DATA_TOKENS: return visit(context, &example, place, err);
    case VKFT_DATA_INSTRUCTION: return visit_instruction(&v, row);
    case VKFT_DATA_QUESTION:
        return get_string(keys, row, "context", false, &text, place, err) && visit_question(&v, row, text);
    case VKFT_DATA_SQUAD: return visit_squad(&v, row);
    case VKFT_DATA_MESSAGES: return visit_chat(&v, row, false);
    case VKFT_DATA_CONVERSATIONS: return visit_chat(&v, row, true);
    case VKFT_DATA_COMPLETION: return visit_completion(&v, row);
    default:
        if (!get_string(keys, row, "text", true, &text, place, err))
            return false;
        example = (vkft_example){.text = text};
        return visit(context, &example, place, err);
    }
}
