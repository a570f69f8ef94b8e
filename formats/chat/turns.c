/* Where the assistant's turns lie in a rendered conversation, for templates without {% generation %} marks.
 *
 * Nothing is searched by its text, which may stand in a question too. The rendering has told for every byte which
 * message's data it is and in which message's iteration of the template's loop it was written (jinja.h). What was
 * written for a message is its part of the text. The part begins with what the prompt for an answer is, which is not
 * trained: rendering the messages before it with and without that prompt shows it. Where a template does not let a turn
 * be told for certain, the conversation is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/chat/chat_template_private.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"

#define NOWHERE SIZE_MAX

typedef struct finder {
    const vkft_chat_template *chat;
    const vkft_conversation *conversation;
    vkft_err *err;
} finder;

/* Bytes inside a text that stays where it is. */
typedef struct bytes {
    const char *data;
    size_t length;
} bytes;

/* What a rendering wrote for one message, and where its own data begins and ends in it. */
typedef struct part {
    size_t begin, end;           /* NOWHERE: nothing was written */
    size_t data_begin, data_end; /* equal to end where none of its data is in it */
} part;

static bool refuse(const finder *f, uint32_t message, const char *why)
{
    return vkft_fail(
        f->err, VKFT_ERR_INPUT,
        "messages[%u] is the assistant's, but its tokens cannot be told for certain: the chat template %s; "
        "use a template with {%% generation %%} marks",
        message, why);
}

/* ---- who wrote what ---- */

/* An iteration of a loop that is not over messages is about the one message whose data it writes, if there is one. */
static void name_other_loops(vkft_jinja_output *out)
{
    for (uint32_t i = 0, next; i < out->run_count; i = next) {
        uint32_t writer = out->runs[i].writer, message = 0;
        bool one = true;
        for (next = i; next < out->run_count && out->runs[next].writer == writer; next++) {
            uint32_t origin = out->runs[next].origin;
            one = one && (!origin || !message || origin == message);
            message = origin ? origin : message;
        }
        if (writer < VKFT_JINJA_OTHER_LOOP)
            continue;
        for (uint32_t k = i; k < next; k++)
            out->runs[k].writer = one && message != VKFT_JINJA_MIXED ? message : 0;
    }
}

static part part_of(const vkft_jinja_output *out, uint32_t message)
{
    part p = {NOWHERE, 0, NOWHERE, 0};
    for (uint32_t i = 0; i < out->run_count; i++) {
        const vkft_jinja_run *run = &out->runs[i];
        if (run->writer != message + 1)
            continue;
        p.begin = p.begin == NOWHERE ? run->begin : p.begin;
        p.end = run->end;
        if (run->origin != message + 1)
            continue;
        p.data_begin = p.data_begin == NOWHERE ? run->begin : p.data_begin;
        p.data_end = run->end;
    }
    if (p.data_begin == NOWHERE)
        p.data_begin = p.data_end = p.end;
    return p;
}

static bool is_role(const finder *f, uint32_t message, const char *name)
{
    const cJSON *item = cJSON_GetArrayItem(f->conversation->messages, (int)message);
    const char *role = cJSON_GetStringValue(vkft_json_member(item, "role"));
    return role && strcmp(role, name) == 0;
}

/* A tool's answer may repeat the call's name and id. Everywhere else the data of an assistant stands in its own part
 * alone. */
static bool may_repeat(const finder *f, uint32_t writer)
{
    return writer && !is_role(f, writer - 1, "user") && !is_role(f, writer - 1, "system") &&
           !vkft_chat_is_assistant(cJSON_GetArrayItem(f->conversation->messages, (int)writer - 1));
}

/* Whether the part is one piece, holds what is the message's own from `begin` on, and all of that. */
static bool check_part(const finder *f, const vkft_jinja_output *out, uint32_t message, const part *p, size_t begin)
{
    for (uint32_t i = 0; i < out->run_count; i++) {
        const vkft_jinja_run *run = &out->runs[i];
        bool inside = p->begin != NOWHERE && run->begin >= p->begin && run->end <= p->end;
        if (inside && run->writer != message + 1)
            return refuse(f, message, "writes its part in several places");
        if (inside && run->begin >= begin && run->origin && run->origin != message + 1)
            return refuse(f, message,
                          run->origin == VKFT_JINJA_MIXED ? "changes its text together with other text"
                                                          : "writes another message's text inside its part");
        if (!inside && run->origin == message + 1 && !may_repeat(f, run->writer))
            return refuse(f, message, "writes its text outside of its part, or in more than one place");
    }
    return true;
}

/* ---- the prompt for an answer ---- */

/* Renders other messages in the conversation's place. Not every conversation can be rendered: false is no error. */
static bool render(const finder *f, const cJSON *messages, bool prompt, vkft_jinja_output *out)
{
    vkft_conversation c = *f->conversation;
    c.messages = messages;
    return messages && vkft_chat_render(f->chat, &c, prompt, out, NULL);
}

/* The first `count` messages; the caller may add more. NULL: out of memory. */
static cJSON *first_messages(const finder *f, uint32_t count)
{
    cJSON *list = cJSON_CreateArray();
    const cJSON *message = f->conversation->messages->child;
    for (uint32_t i = 0; list && i < count; i++, message = message->next)
        if (!cJSON_AddItemReferenceToArray(list, (cJSON *)(uintptr_t)message)) {
            cJSON_Delete(list);
            list = NULL;
        }
    return list;
}

/* Adds {"role", "content"} to a list of messages, which is freed when that fails. */
static cJSON *with_message(cJSON *messages, const char *role, const char *content)
{
    cJSON *message = cJSON_CreateObject();
    if (messages && message && cJSON_AddStringToObject(message, "role", role) &&
        cJSON_AddStringToObject(message, "content", content) && cJSON_AddItemToArray(messages, message))
        return messages;
    cJSON_Delete(message);
    cJSON_Delete(messages);
    return NULL;
}

static size_t common_prefix(bytes a, bytes b)
{
    size_t n = 0;
    while (n < a.length && n < b.length && a.data[n] == b.data[n])
        n++;
    return n;
}

/* The last place at most n bytes into text where a mark or a line ends. */
static size_t whole_marks(const char *text, size_t n)
{
    while (n > 0 && text[n - 1] != '>' && text[n - 1] != ']' && text[n - 1] != '\n')
        n--;
    return n;
}

static bytes text_of(const vkft_jinja_output *out)
{
    return (bytes){out->text.data ? out->text.data : "", out->text.length};
}

/* What the prompt adds to these messages, which are freed. *known is false where they cannot be rendered with it. */
static void prompt_after(const finder *f, cJSON *messages, vkft_text *prompt, bool *known)
{
    vkft_jinja_output with = {0}, without = {0};
    *known = render(f, messages, true, &with);
    if (*known && render(f, messages, false, &without)) {
        bytes a = text_of(&with), b = text_of(&without);
        size_t same = common_prefix(a, b);
        if (same < b.length) /* the text ends otherwise without a prompt */
            same = whole_marks(a.data, same);
        *known = vkft_text_append(prompt, a.data + same, a.length - same, NULL);
    } else {
        *known = false;
    }
    vkft_jinja_output_free(&with);
    vkft_jinja_output_free(&without);
    cJSON_Delete(messages);
}

/* Where a template refuses the messages before an answer, such as none at all, a question stands for them. */
static void find_prompt(const finder *f, uint32_t message, vkft_text *prompt, bool *known)
{
    *known = false;
    if (message > 0)
        prompt_after(f, first_messages(f, message), prompt, known);
    if (!*known)
        prompt_after(f, with_message(cJSON_CreateArray(), "user", "?"), prompt, known);
}

/* ---- where the prompt ends in a part ---- */

typedef struct match {
    size_t begin, length;
    bool complete; /* all of the prompt, or all that stands before the message's data */
    bool twice;    /* there is another one of the same length */
} match;

/* The longest beginning of the prompt in what stands before the data. What a template puts before the first message,
 * such as a system text of its own, may stand before it. */
static match find_match(bytes head, bool data_follows, bytes prompt)
{
    match best = {0};
    for (size_t i = 0; i < head.length; i++) {
        bytes rest = {head.data + i, head.length - i};
        size_t n = common_prefix(rest, prompt);
        bool complete = n == prompt.length || (data_follows && n == rest.length);
        if (n == 0 || complete < best.complete || (complete == best.complete && n < best.length))
            continue;
        bool twice = complete == best.complete && n == best.length;
        best = (match){twice ? best.begin : i, n, complete, twice};
    }
    if (!best.complete)
        best.length = whole_marks(head.data + best.begin, best.length);
    return best;
}

static bytes head_of(const vkft_jinja_output *out, const part *p)
{
    return (bytes){out->text.data + p->begin, p->data_begin - p->begin};
}

/* What a template writes before the text of an answer in place of this message, malloc'ed; false: not known. */
static bool plain_head(const finder *f, uint32_t message, vkft_text *head)
{
    const cJSON *item = cJSON_GetArrayItem(f->conversation->messages, (int)message);
    vkft_jinja_output out = {0};
    cJSON *messages = first_messages(f, message);
    messages = with_message(messages, cJSON_GetStringValue(vkft_json_member(item, "role")), "?");
    bool ok = render(f, messages, false, &out);
    if (ok) {
        name_other_loops(&out);
        part p = part_of(&out, message);
        ok = p.begin != NOWHERE && p.data_begin < p.data_end;
        ok = ok && vkft_text_append(head, out.text.data + p.begin, p.data_begin - p.begin, NULL);
    }
    vkft_jinja_output_free(&out);
    cJSON_Delete(messages);
    return ok;
}

static bool is_blank(bytes text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!vkft_is_space(text.data[i]))
            return false;
    return true;
}

/* A template without a prompt of its own: either it stands in the message before, as [/INST] does, or the heads of all
 * answers begin with it. */
static bool after_common_head(const finder *f, uint32_t message, bytes head, bool data_follows, size_t *length)
{
    vkft_text plain = {0};
    bool ok = plain_head(f, message, &plain);
    if (ok) {
        bytes common = {plain.data ? plain.data : "", plain.length};
        match m = find_match(head, data_follows, common);
        *length = is_blank(common) ? 0 : m.begin + m.length;
        ok = is_blank(common) || (m.complete && !m.twice);
    }
    vkft_text_free(&plain);
    return ok;
}

/* A head that leaves the prompt halfway counts where that of a plain answer does so at the same place. */
static bool leaves_as_plain(const finder *f, uint32_t message, bytes prompt, size_t length)
{
    vkft_text plain = {0};
    bool ok = plain_head(f, message, &plain);
    ok = ok && find_match((bytes){plain.data ? plain.data : "", plain.length}, true, prompt).length == length;
    vkft_text_free(&plain);
    return ok;
}

/* How much of a part's head is the prompt. */
static bool head_length(const finder *f, uint32_t message, bytes head, bool data_follows, size_t *length)
{
    vkft_text text = {0};
    bool known, ok;
    find_prompt(f, message, &text, &known);
    bytes prompt = {text.data ? text.data : "", text.length};
    if (!known || prompt.length == 0) {
        ok = after_common_head(f, message, head, data_follows, length);
    } else {
        match m = find_match(head, data_follows, prompt);
        bool nothing = !m.complete && data_follows && is_blank(head);
        *length = nothing ? 0 : m.begin + m.length;
        ok = nothing || (!m.twice && (m.complete || leaves_as_plain(f, message, prompt, m.length)));
    }
    vkft_text_free(&text);
    return ok || refuse(f, message, "begins it otherwise than its prompt for an answer");
}

/* ---- turns ---- */

/* Where the next message's part begins after `end`, or the text ends. */
static size_t next_part(const vkft_jinja_output *out, size_t end)
{
    for (uint32_t i = 0; i < out->run_count; i++)
        if (out->runs[i].begin >= end && (out->runs[i].writer || out->runs[i].origin))
            return out->runs[i].begin;
    return out->text.length;
}

/* *found is false for a message of which the template writes nothing. */
static bool find_turn(const finder *f, const vkft_jinja_output *out, uint32_t message, vkft_turn *turn, bool *found)
{
    part p = part_of(out, message);
    size_t length = 0;
    *found = p.begin != NOWHERE;
    if (*found && !head_length(f, message, head_of(out, &p), p.data_begin < p.data_end, &length))
        return false;
    size_t begin = *found ? p.begin + length : 0;
    if (!check_part(f, out, message, &p, begin))
        return false;
    *turn = (vkft_turn){message, begin, p.end, p.data_begin < p.data_end ? p.data_end : begin,
                        *found ? next_part(out, p.end) : 0};
    return true;
}

bool vkft_chat_turns(const vkft_chat_template *chat, const vkft_conversation *conversation, vkft_jinja_output *rendered,
                     vkft_turn **turns, uint32_t *count, vkft_err *err)
{
    const finder f = {chat, conversation, err};
    uint32_t messages = (uint32_t)cJSON_GetArraySize(conversation->messages), i = 0;
    const cJSON *message;
    *count = 0;
    *turns = malloc((messages + 1ull) * sizeof **turns);
    if (!*turns)
        return vkft_fail_memory(err, "for a conversation");
    name_other_loops(rendered);
    cJSON_ArrayForEach(message, conversation->messages)
    {
        bool found = false;
        if (vkft_chat_is_assistant(message) && !find_turn(&f, rendered, i, &(*turns)[*count], &found)) {
            free(*turns);
            *turns = NULL;
            return false;
        }
        *count += found;
        i++;
    }
    return true;
}
