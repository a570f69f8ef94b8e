/* Rows for preference training, as TRL reads them: a prompt with a chosen and a rejected answer, or with one that is
 * desired or not; texts or messages. A prompt that a row does not have is what both answers begin with. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/shape_private.h"
#include "runtime/base/json.h"

static const char *const names[2][2] = {{"chosen", "rejected"}, {"completion", NULL}};

/* The row's own value under any spelling. */
static cJSON *member(visitor *v, const cJSON *row, const char *name)
{
    const char *key;
    return (cJSON *)(uintptr_t)vkft_data_member(v->keys, row, name, &key);
}

/* true and false, or 1 and 0. */
static bool read_label(visitor *v, const cJSON *row, bool *desired)
{
    char found[100];
    const cJSON *label = member(v, row, "label");
    if (!label)
        return visitor_reject(v, VKFT_BAD_NULL, "label is missing or null; expected true or false");
    *desired = cJSON_IsTrue(label) || (cJSON_IsNumber(label) && label->valuedouble == 1);
    return *desired || cJSON_IsFalse(label) || (cJSON_IsNumber(label) && label->valuedouble == 0) ||
           visitor_reject(v, VKFT_BAD_VALUE, "label is %s; expected true or false",
                          vkft_json_describe(label, found, sizeof found));
}

/* Where the next letter of valid UTF-8 begins. */
static size_t next_letter(const char *text, size_t at)
{
    for (at++; (text[at] & 0xc0) == 0x80;)
        at++;
    return at;
}

/* TRL's extract_prompt for texts: what both begin with, without a space at its end, and never all of one of them. */
static size_t common_text(const char *a, const char *b)
{
    size_t at = 0, before = 0;
    while (a[at] && b[at]) {
        size_t next = next_letter(a, at);
        if (strncmp(a + at, b + at, next - at) != 0)
            return at && a[at - 1] == ' ' ? at - 1 : at;
        before = at;
        at = next;
    }
    return before;
}

static bool emit(visitor *v, const vkft_choice *choice)
{
    return visitor_example(v, &(vkft_example){.choice = choice});
}

/* Messages: normalized, with what goes with them. */
static void visit_messages_of(visitor *v, cJSON *row, vkft_choice *choice)
{
    cJSON *tools = NULL;
    bool ok = conversation_normalize(v, choice->messages, "prompt");
    for (uint32_t i = 0; ok && i < choice->answers; i++)
        ok = conversation_normalize(v, choice->list[i], names[choice->answers == 1][i]);
    ok = ok && conversation_put_system(v, row, choice->messages) && conversation_read_tools(v, row, &tools) &&
         conversation_read_variables(v, row, &choice->variables);
    choice->tools = tools;
    if (ok)
        emit(v, choice);
    cJSON_Delete(tools);
}

static void visit_texts(visitor *v, cJSON *row, vkft_choice *choice)
{
    const char *prompt = NULL, *const *name = names[choice->answers == 1];
    bool own = v->keys->prompt_template != NULL, ok = own || visitor_text(v, row, "prompt", false, &prompt);
    for (uint32_t i = 0; ok && i < choice->answers; i++)
        ok = visitor_text(v, row, name[i], true, &choice->text[i]);
    if (!ok)
        return;
    if (!own && !prompt && choice->answers == 1) {
        visitor_reject(v, VKFT_BAD_NULL, "prompt is missing or null");
        return;
    }
    char *made = own ? visitor_fill_template(v, row, NULL) : vkft_string_copy(prompt ? prompt : choice->text[0]);
    if (made && !own && !prompt) {
        size_t n = common_text(choice->text[0], choice->text[1]);
        made[n] = 0;
        choice->text[0] += n;
        choice->text[1] += n;
    }
    choice->prompt = made;
    if (!made) {
        visitor_fail_memory(v);
    } else if (!v->sink->as_chat) {
        emit(v, choice);
    } else if (conversation_add_text(v, "user", made, choice->messages)) {
        bool added = true;
        for (uint32_t i = 0; added && i < choice->answers; i++)
            added = conversation_add_text(v, "assistant", choice->text[i], choice->list[i]);
        choice->prompt = NULL;
        if (added)
            visit_messages_of(v, row, choice);
    }
    free(made);
}

/* An answer as messages; one message alone may stand without its list. */
static bool add_answer(visitor *v, cJSON *row, const char *name, cJSON *all)
{
    cJSON *value = member(v, row, name);
    if (!cJSON_IsObject(value))
        return conversation_add_side(v, row, name, "assistant", all);
    cJSON *copy = cJSON_Duplicate(value, true);
    if (copy && cJSON_AddItemToArray(all, copy))
        return true;
    cJSON_Delete(copy);
    return visitor_fail_memory(v);
}

/* Moves what both lists begin with to the prompt, and never all of one of them. */
static bool take_common_messages(visitor *v, vkft_choice *choice)
{
    cJSON *a = choice->list[0], *b = choice->list[1];
    while (a->child && b->child && a->child->next && b->child->next && cJSON_Compare(a->child, b->child, true)) {
        cJSON *message = cJSON_DetachItemViaPointer(a, a->child);
        cJSON_Delete(cJSON_DetachItemViaPointer(b, b->child));
        if (!cJSON_AddItemToArray(choice->messages, message)) {
            cJSON_Delete(message);
            return visitor_fail_memory(v);
        }
    }
    return true;
}

/* TRL takes the prompt out of the answers where it is a text and they are messages, too. */
static void visit_lists(visitor *v, cJSON *row, vkft_choice *choice)
{
    const cJSON *prompt = member(v, row, "prompt");
    bool ok = !cJSON_IsArray(prompt) || conversation_add_side(v, row, "prompt", "user", choice->messages);
    for (uint32_t i = 0; ok && i < choice->answers; i++)
        ok = add_answer(v, row, names[choice->answers == 1][i], choice->list[i]);
    if (ok && choice->answers == 2 && !choice->messages->child)
        ok = take_common_messages(v, choice);
    if (ok && !choice->messages->child && cJSON_IsString(prompt))
        ok = conversation_add_text(v, "user", prompt->valuestring, choice->messages);
    if (ok && !choice->messages->child)
        ok = visitor_reject(v, VKFT_BAD_NULL,
                            "no prompt: neither a key of that name, nor messages that the answers "
                            "have in common");
    if (ok)
        visit_messages_of(v, row, choice);
}

static bool is_list(visitor *v, const cJSON *row, const char *name)
{
    const cJSON *value = name ? member(v, row, name) : NULL;
    return cJSON_IsArray(value) || cJSON_IsObject(value);
}

void visit_choice(visitor *v, cJSON *row, vkft_data_format format)
{
    bool labelled = format == VKFT_DATA_LABELLED || format == VKFT_DATA_LABELLED_TOKENS;
    vkft_choice choice = {.answers = labelled ? 1 : 2};
    if (labelled && !read_label(v, row, &choice.desired))
        return;
    if (format == VKFT_DATA_PAIR_TOKENS || format == VKFT_DATA_LABELLED_TOKENS) {
        choice.row = row;
        emit(v, &choice);
        return;
    }
    cJSON *lists[3] = {cJSON_CreateArray(), cJSON_CreateArray(), cJSON_CreateArray()};
    choice.messages = lists[0], choice.list[0] = lists[1], choice.list[1] = lists[2];
    bool messages =
        is_list(v, row, names[labelled][0]) || is_list(v, row, names[labelled][1]) || is_list(v, row, "prompt");
    if (!lists[0] || !lists[1] || !lists[2])
        visitor_fail_memory(v);
    else if (messages)
        visit_lists(v, row, &choice);
    else
        visit_texts(v, row, &choice);
    for (int i = 0; i < 3; i++)
        cJSON_Delete(lists[i]);
}
