/* Loading chat templates, rendering them, and finding the assistant's turns in what was rendered.
 *
 * A template without {% generation %} marks does not say which text is the assistant's. Rendering the conversation up
 * to a turn, with the prompt for it, shows where the turn begins; rendering it with the turn, where it ends. Some
 * templates render the last turn differently (Qwen 3 drops earlier thoughts). For those, the end is searched after the
 * turn's content.
 */
#include "formats/chat/chat_template.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/json.h"
#include "runtime/base/size.h"

struct vkft_chat_template {
    vkft_jinja *main, *tool_use; /* tool_use may be NULL */
    cJSON *variables;            /* bos_token, eos_token, ...: strings; and those of the user */
    int64_t now;
};

static bool parse(const char *text, const char *name, vkft_jinja **out, vkft_err *err)
{
    *out = vkft_jinja_new(text, strlen(text), name, err);
    return *out != NULL;
}

/* A template as the JSON files have it: a string, or an array of {"name", "template"}. */
static bool take_templates(vkft_chat_template *chat, const cJSON *value, const char *file, vkft_err *err)
{
    if (cJSON_IsString(value))
        return parse(value->valuestring, file, &chat->main, err);
    const cJSON *item;
    cJSON_ArrayForEach(item, value)
    {
        const char *name, *text;
        if (!vkft_json_get_string(item, "name", true, &name, file, err) ||
            !vkft_json_get_string(item, "template", true, &text, file, err))
            return false;
        vkft_jinja **slot = strcmp(name, "default") == 0    ? &chat->main
                            : strcmp(name, "tool_use") == 0 ? &chat->tool_use
                                                            : NULL;
        if (slot && !*slot && !parse(text, file, slot, err))
            return false;
    }
    return !chat->tool_use || chat->main ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: the list of chat templates has no \"default\"", file);
}

static bool take_special(vkft_chat_template *chat, const cJSON *config, vkft_err *err)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cJSON *value = vkft_json_member(config, names[i]);
        const char *text = cJSON_IsObject(value) ? cJSON_GetStringValue(vkft_json_member(value, "content"))
                                                 : cJSON_GetStringValue(value);
        if (text && !cJSON_AddStringToObject(chat->variables, names[i], text))
            return vkft_fail_memory(err, "for a conversation");
    }
    return true;
}

/* Variables go over those that are there. Error: one that every rendering sets itself. */
static bool add_variables(cJSON *variables, const cJSON *more, const char *where, vkft_err *err)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, more)
    {
        if (strcmp(item->string, "messages") == 0 || strcmp(item->string, "tools") == 0 ||
            strcmp(item->string, "add_generation_prompt") == 0)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: '%s' is no variable that can be set here", where, item->string);
        cJSON_DeleteItemFromObjectCaseSensitive(variables, item->string);
        cJSON *copy = cJSON_Duplicate(item, true);
        if (!copy || !cJSON_AddItemToObject(variables, item->string, copy))
            return vkft_fail_memory(err, "for a conversation");
    }
    return true;
}

static bool take_variables(vkft_chat_template *chat, const char *text, vkft_err *err)
{
    static const char where[] = "--chat-template-kwargs";
    if (!text)
        return true;
    cJSON *given = vkft_json_parse_exact(text, strlen(text), where, 1, err);
    bool ok = given != NULL;
    if (ok && !cJSON_IsObject(given))
        ok = vkft_fail(err, VKFT_ERR_USAGE,
                       "%s: expected a JSON object such as {\"enable_thinking\": false}, found '%s'", where, text);
    ok = ok && add_variables(chat->variables, given, where, err);
    cJSON_Delete(given);
    return ok;
}

static bool take_config(vkft_chat_template *chat, const vkft_chat_sources *s, vkft_err *err)
{
    static const char file[] = "tokenizer_config.json";
    if (!s->tokenizer_config)
        return true;
    cJSON *config = vkft_json_parse(s->tokenizer_config, s->tokenizer_config_length, file, err);
    const cJSON *value = vkft_json_member(config, "chat_template");
    bool ok =
        config && take_special(chat, config, err) && (chat->main || !value || take_templates(chat, value, file, err));
    cJSON_Delete(config);
    return ok;
}

static bool take_json(vkft_chat_template *chat, const vkft_chat_sources *s, vkft_err *err)
{
    static const char file[] = "chat_template.json";
    if (!s->json || chat->main)
        return true;
    cJSON *root = vkft_json_parse(s->json, s->json_length, file, err);
    const cJSON *value = vkft_json_member(root, "chat_template");
    bool ok = root && (value ? take_templates(chat, value, file, err)
                             : vkft_fail(err, VKFT_ERR_INPUT, "%s: no \"chat_template\" in it", file));
    cJSON_Delete(root);
    return ok;
}

bool vkft_chat_template_new(const vkft_chat_sources *sources, vkft_chat_template **out, vkft_err *err)
{
    vkft_chat_template *chat = calloc(1, sizeof *chat);
    *out = NULL;
    if (!chat || !(chat->variables = cJSON_CreateObject())) {
        vkft_chat_template_free(chat);
        return vkft_fail_memory(err, "for a conversation");
    }
    chat->now = (int64_t)time(NULL);
    bool ok = true;
    if (sources->jinja) {
        chat->main = vkft_jinja_new(sources->jinja, sources->jinja_length, sources->jinja_name, err);
        ok = chat->main != NULL;
    }
    ok = ok && take_json(chat, sources, err) && take_config(chat, sources, err) &&
         take_variables(chat, sources->variables, err);
    if (ok && chat->main)
        *out = chat;
    else
        vkft_chat_template_free(chat);
    return ok;
}

void vkft_chat_template_free(vkft_chat_template *chat)
{
    if (!chat)
        return;
    vkft_jinja_free(chat->main);
    vkft_jinja_free(chat->tool_use);
    cJSON_Delete(chat->variables);
    free(chat);
}

static const vkft_jinja *template_for(const vkft_chat_template *chat, const cJSON *tools)
{
    return tools && chat->tool_use ? chat->tool_use : chat->main;
}

bool vkft_chat_template_render(const vkft_chat_template *chat, const vkft_conversation *c, bool add_generation_prompt,
                               vkft_jinja_output *out, vkft_err *err)
{
    cJSON *variables = cJSON_Duplicate(chat->variables, true);
    bool ok = variables && cJSON_AddItemReferenceToObject(variables, "messages", (cJSON *)(uintptr_t)c->messages) &&
              (c->tools ? cJSON_AddItemReferenceToObject(variables, "tools", (cJSON *)(uintptr_t)c->tools)
                        : cJSON_AddNullToObject(variables, "tools") != NULL) &&
              (vkft_json_member(variables, "documents") || cJSON_AddNullToObject(variables, "documents")) &&
              cJSON_AddBoolToObject(variables, "add_generation_prompt", add_generation_prompt);
    if (!ok)
        vkft_fail_memory(err, "for a conversation");
    ok = ok && add_variables(variables, c->variables, "chat_template_kwargs", err) &&
         vkft_jinja_render(template_for(chat, c->tools), variables, chat->now, out, err);
    cJSON_Delete(variables);
    return ok;
}

/* An assistant's turn in the rendered text. */
typedef struct turn_range {
    vkft_byte_range bytes;
    bool exact_end; /* else the end may lie some bytes inside the token that follows */
} turn_range;

/* What finding the turns of one conversation works with. */
typedef struct finder {
    const vkft_chat_template *chat;
    const vkft_conversation *conversation;
    const cJSON *messages;
    const vkft_text *full;
    turn_range *turns;
    uint32_t count;
} finder;

static bool render_part(const finder *f, const cJSON *messages, bool add_generation_prompt, vkft_jinja_output *out)
{
    vkft_conversation part = *f->conversation;
    part.messages = messages;
    return vkft_chat_template_render(f->chat, &part, add_generation_prompt, out, NULL);
}

/* Renders the first `count` messages. False also where the template refuses such a conversation. */
static bool render_first(const finder *f, int count, bool add_generation_prompt, vkft_text *text)
{
    vkft_jinja_output out = {0};
    cJSON *part = cJSON_CreateArray();
    for (int i = 0; part && i < count; i++)
        cJSON_AddItemReferenceToArray(part, cJSON_GetArrayItem(f->messages, i));
    bool ok = part && render_part(f, part, add_generation_prompt, &out);
    cJSON_Delete(part);
    *text = out.text;
    out.text = (vkft_text){0};
    vkft_jinja_output_free(&out);
    return ok;
}

static bool is_prefix(const vkft_text *prefix, const vkft_text *full)
{
    return prefix->length <= full->length && memcmp(prefix->data, full->data, prefix->length) == 0;
}

/* The place of `part` in text from `start` on; SIZE_MAX: none. */
static size_t find(const vkft_text *text, size_t start, const char *part)
{
    size_t n = strlen(part);
    for (size_t i = start; n && i + n <= text->length; i++)
        if (memcmp(text->data + i, part, n) == 0)
            return i;
    return SIZE_MAX;
}

/* The content of a message, which the template may have trimmed at both ends: malloc'ed, NULL when there is none. */
static char *trimmed_content(const cJSON *message)
{
    const char *text = cJSON_GetStringValue(vkft_json_member(message, "content"));
    static const char spaces[] = " \t\r\n";
    if (!text)
        return NULL;
    text += strspn(text, spaces);
    size_t n = strlen(text);
    while (n > 0 && strchr(spaces, text[n - 1]))
        n--;
    char *copy = n ? malloc(n + 1) : NULL;
    if (copy) {
        memcpy(copy, text, n);
        copy[n] = 0;
    }
    return copy;
}

#define MARKER "\x01vkft\x02" /* stands for a message's content where it is looked for */

/* Renders the first `count` messages with MARKER as the content of message i. */
static bool render_marked(const finder *f, int count, int i, vkft_text *text)
{
    cJSON *messages = cJSON_CreateArray(), *marked = cJSON_Duplicate(cJSON_GetArrayItem(f->messages, i), true);
    bool ok =
        messages && marked &&
        (vkft_json_member(marked, "content") ? cJSON_ReplaceItemInObject(marked, "content", cJSON_CreateString(MARKER))
                                             : cJSON_AddStringToObject(marked, "content", MARKER) != NULL);
    for (int k = 0; ok && k < count; k++)
        ok = k == i ? cJSON_AddItemReferenceToArray(messages, marked)
                    : cJSON_AddItemReferenceToArray(messages, cJSON_GetArrayItem(f->messages, k));
    finder part = *f;
    part.messages = messages;
    ok = ok && render_first(&part, count, false, text);
    cJSON_Delete(messages);
    cJSON_Delete(marked);
    return ok;
}

static size_t common_end(const vkft_text *a, const vkft_text *b)
{
    size_t n = 0;
    while (n < a->length && n < b->length && a->data[a->length - 1 - n] == b->data[b->length - 1 - n])
        n++;
    return n;
}

/* The end of message i's text when the template renders the last message differently. Render the conversation again
 * with MARKER as the content. The longest common suffix of both texts shows where the content ends in the original; the
 * end of turn is what follows MARKER, as far as both texts agree. */
static size_t end_by_marker(const finder *f, int i, size_t begin)
{
    vkft_text whole = {0}, last = {0};
    size_t end = SIZE_MAX, at;
    if (render_marked(f, cJSON_GetArraySize(f->messages), i, &whole) && find(&whole, 0, MARKER) != SIZE_MAX)
        end = f->full->length - common_end(f->full, &whole);
    if (end != SIZE_MAX && end < begin)
        end = begin;
    if (end != SIZE_MAX && render_marked(f, i + 1, i, &last) && (at = find(&last, 0, MARKER)) != SIZE_MAX) {
        at += strlen(MARKER);
        while (end == begin && at < last.length &&
               strchr(" \t\r\n", last.data[at])) /* what separates content from tool calls */
            at++;
        while (end < f->full->length && at < last.length && f->full->data[end] == last.data[at])
            end++, at++;
    }
    vkft_text_free(&whole);
    vkft_text_free(&last);
    return end;
}

/* The turn of message i, which is the assistant's; its search begins at `from`. */
static bool find_turn(const finder *f, int i, size_t from, turn_range *turn)
{
    vkft_text before = {0}, with_turn = {0};
    char *content = trimmed_content(cJSON_GetArrayItem(f->messages, i));
    size_t begin = SIZE_MAX, end = SIZE_MAX;
    if (i > 0 && render_first(f, i, true, &before) && is_prefix(&before, f->full))
        begin = before.length;
    else if (content)
        begin = find(f->full, from, content);
    bool rendered = render_first(f, i + 1, false, &with_turn), exact_end = true;
    if (begin != SIZE_MAX && rendered && with_turn.length > begin && is_prefix(&with_turn, f->full)) {
        end = with_turn.length;
    } else if (begin != SIZE_MAX && i + 1 == cJSON_GetArraySize(f->messages)) {
        end = f->full->length;
    } else if (begin != SIZE_MAX) {
        end = end_by_marker(f, i, begin);
        exact_end = false;
    }
    vkft_text_free(&before);
    vkft_text_free(&with_turn);
    free(content);
    *turn = (turn_range){{begin, end}, exact_end};
    return begin != SIZE_MAX && end != SIZE_MAX && begin >= from && end > begin;
}

static bool is_assistant(const cJSON *message)
{
    const char *role = cJSON_GetStringValue(vkft_json_member(message, "role"));
    return role && (strcmp(role, "assistant") == 0 || strcmp(role, "model") == 0);
}

static bool find_turns(finder *f, vkft_err *err)
{
    int count = cJSON_GetArraySize(f->messages);
    size_t from = 0;
    f->turns = malloc(((size_t)count + 1) * sizeof *f->turns);
    if (!f->turns)
        return vkft_fail_memory(err, "for a conversation");
    for (int i = 0; i < count; i++) {
        if (!is_assistant(cJSON_GetArrayItem(f->messages, i)))
            continue;
        turn_range *turn = &f->turns[f->count];
        if (!find_turn(f, i, from, turn)) {
            vkft_fail(err, VKFT_ERR_INPUT,
                      "message %d is the assistant's, but cannot be found in what the chat template makes of the "
                      "conversation; use a template with {%% generation %%} marks",
                      i + 1);
            return vkft_advise(err, VKFT_ADVICE_WHOLE_SAMPLES);
        }
        from = turn->bytes.end;
        f->count++;
    }
    return true;
}

/* How many tokens of ids lie before byte `at` of text; *exact is false when a token stands across it. */
static bool tokens_before(const vkft_tokenizer *tok, const vkft_text *text, size_t at, const vkft_ids *all,
                          uint32_t first, uint32_t *count, bool *exact, vkft_err *err)
{
    vkft_ids part = {0};
    if (!vkft_tokenizer_encode(tok, text->data, at, false, &part, err)) {
        vkft_ids_free(&part);
        return false;
    }
    uint32_t n = 0;
    while (n < part.count && first + n < all->count && part.data[n] == all->data[first + n])
        n++;
    *count = n;
    *exact = n == part.count;
    vkft_ids_free(&part);
    return true;
}

static bool is_blank_token(const vkft_tokenizer *tok, int32_t id)
{
    vkft_text text = {0};
    bool blank = vkft_tokenizer_decode(tok, &id, 1, false, &text, NULL);
    for (size_t i = 0; blank && i < text.length; i++)
        blank = text.data[i] == ' ' || text.data[i] == '\n' || text.data[i] == '\r' || text.data[i] == '\t';
    vkft_text_free(&text);
    return blank;
}

/* A turn ends with its end-of-turn token: of the special and blank tokens at its end, what comes after the first
 * special one (a line break, the end of the text) is not the assistant's. */
static uint32_t end_of_turn(const vkft_tokenizer *tok, const int32_t *ids, uint32_t begin, uint32_t end)
{
    uint32_t at = end, first_special = end;
    for (; at > begin; at--) {
        if (vkft_tokenizer_is_special(tok, ids[at - 1]))
            first_special = at;
        else if (!is_blank_token(tok, ids[at - 1]))
            break;
    }
    return first_special;
}

/* Marks the tokens that hold a byte of the range; unless its end is exact, none that goes beyond its end. */
static bool mark_range(const vkft_tokenizer *tok, const vkft_text *text, turn_range range, bool whole_turn,
                       const vkft_ids *ids, uint32_t first, uint8_t *mask, vkft_err *err)
{
    uint32_t begin, end;
    bool exact;
    if (!tokens_before(tok, text, range.bytes.begin, ids, first, &begin, &exact, err) ||
        !tokens_before(tok, text, range.bytes.end, ids, first, &end, &exact, err))
        return false;
    end += !exact && range.exact_end;
    end = min_u32(end, ids->count - first);
    if (whole_turn)
        end = end_of_turn(tok, ids->data + first, begin, end);
    for (uint32_t i = begin; i < end; i++)
        mask[first + i] = 1;
    return true;
}

static bool mark_turns(const vkft_tokenizer *tok, const vkft_jinja_output *out, const finder *f, bool marked,
                       vkft_train_on train_on, const vkft_ids *ids, uint32_t first, uint8_t *mask, vkft_err *err)
{
    uint32_t count = marked ? out->generated_count : f->count;
    for (uint32_t i = train_on == VKFT_TRAIN_ON_LAST && count ? count - 1 : 0; i < count; i++) {
        turn_range range = marked ? (turn_range){out->generated[i], true} : f->turns[i];
        if (!mark_range(tok, &out->text, range, !marked, ids, first, mask, err))
            return false;
    }
    return true;
}

bool vkft_chat_template_encode(const vkft_chat_template *chat, const vkft_tokenizer *tok,
                               const vkft_conversation *conversation, vkft_train_on train_on, vkft_ids *ids,
                               uint8_t **mask, vkft_err *err)
{
    vkft_jinja_output out = {0};
    finder f = {.chat = chat, .conversation = conversation, .messages = conversation->messages, .full = &out.text};
    bool marked = vkft_jinja_has_generation(template_for(chat, conversation->tools)),
         all = train_on == VKFT_TRAIN_ON_ALL;
    uint32_t first = ids->count;
    *mask = NULL;
    bool ok = vkft_chat_template_render(chat, conversation, false, &out, err) &&
              vkft_tokenizer_encode(tok, out.text.data ? out.text.data : "", out.text.length, false, ids, err) &&
              (all || marked || find_turns(&f, err));
    if (ok && !(*mask = calloc(ids->count + 1ull, 1)))
        ok = vkft_fail_memory(err, "for a conversation");
    if (ok && all)
        memset(*mask + first, 1, ids->count - first);
    else if (ok)
        ok = mark_turns(tok, &out, &f, marked, train_on, ids, first, *mask, err);
    if (!ok) {
        free(*mask);
        *mask = NULL;
    }
    free(f.turns);
    vkft_jinja_output_free(&out);
    return ok;
}
