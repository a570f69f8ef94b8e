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
    bool *out_of_memory;  /* which is no answer to what a template does */
    uint32_t *steps_left; /* of the template, for one answer: it is rendered several times to find its place */
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
static bool name_other_loops(vkft_jinja_output *out)
{
    bool all = true;
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
        one = one && message != VKFT_JINJA_MIXED;
        all = all && one && message;
        for (uint32_t k = i; k < next; k++)
            out->runs[k].writer = one ? message : 0;
    }
    return all;
}

static bool is_part_of(const vkft_jinja_run *run, uint32_t message)
{
    return run->writer == message + 1;
}

/* A message that is written outside of loops has the stretch around its data that belongs to nobody else, if the text
 * ends with it: between two messages nothing would tell where the one ends and the other begins. */
static void name_stretch(vkft_jinja_output *out, uint32_t message)
{
    vkft_jinja_run *runs = out->runs;
    uint32_t first = 0, last;
    for (uint32_t i = 0; i < out->run_count; i++)
        if (is_part_of(&runs[i], message))
            return;
    while (first < out->run_count && (runs[first].writer || runs[first].origin != message + 1))
        first++;
    if (first == out->run_count)
        return;
    for (last = first; last + 1 < out->run_count && !runs[last + 1].writer &&
                       (!runs[last + 1].origin || runs[last + 1].origin == message + 1);)
        last++;
    if (last + 1 < out->run_count)
        return;
    while (first > 0 && !runs[first - 1].writer && !runs[first - 1].origin)
        first--;
    for (uint32_t i = first; i <= last; i++)
        runs[i].writer = message + 1;
}

/* false: there are iterations of which nothing tells what message they are about, if any. */
static bool name_writers(vkft_jinja_output *out, const cJSON *messages)
{
    const cJSON *message;
    uint32_t number = 0;
    bool all = name_other_loops(out);
    cJSON_ArrayForEach(message, messages)
    {
        if (vkft_chat_is_assistant(message))
            name_stretch(out, number);
        number++;
    }
    return all;
}

static part part_of(const vkft_jinja_output *out, uint32_t message)
{
    part p = {NOWHERE, 0, NOWHERE, 0};
    for (uint32_t i = 0; i < out->run_count; i++) {
        const vkft_jinja_run *run = &out->runs[i];
        if (!is_part_of(run, message))
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
        if (inside && !is_part_of(run, message))
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
    vkft_err why = {0};
    c.messages = messages;
    out->max_steps = *f->steps_left;
    bool ok = messages && out->max_steps && vkft_chat_render(f->chat, &c, prompt, out, &why);
    *f->steps_left -= min_u32(out->steps, *f->steps_left);
    *f->out_of_memory = *f->out_of_memory || why.kind == VKFT_ERR_MEMORY;
    return ok;
}

static bool keep_text(const finder *f, vkft_text *text, const char *data, size_t length)
{
    bool ok = vkft_text_append(text, data, length, NULL);
    *f->out_of_memory = *f->out_of_memory || !ok;
    return ok;
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
    *f->out_of_memory = *f->out_of_memory || !list;
    return list;
}

/* "?", or [{"type": "text", "text": "?"}] for templates whose contents are lists. */
static bool add_content(cJSON *message, bool parts)
{
    if (!parts)
        return cJSON_AddStringToObject(message, "content", "?");
    cJSON *list = cJSON_AddArrayToObject(message, "content"), *item = cJSON_CreateObject();
    if (list && item && cJSON_AddItemToArray(list, item))
        return cJSON_AddStringToObject(item, "type", "text") && cJSON_AddStringToObject(item, "text", "?");
    cJSON_Delete(item);
    return false;
}

/* Adds a message with a content of the kind that message `like` has to a list of messages, which is freed when that
 * fails. */
static cJSON *with_message(const finder *f, cJSON *messages, const char *role, uint32_t like)
{
    const cJSON *given = cJSON_GetArrayItem(f->conversation->messages, (int)like);
    cJSON *message = cJSON_CreateObject();
    if (messages && message && cJSON_AddStringToObject(message, "role", role) &&
        add_content(message, cJSON_IsArray(vkft_json_member(given, "content"))) &&
        cJSON_AddItemToArray(messages, message))
        return messages;
    cJSON_Delete(message);
    cJSON_Delete(messages);
    *f->out_of_memory = *f->out_of_memory || role;
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

/* Where the last stretch begins that no message and no loop wrote. */
static size_t common_tail(const vkft_jinja_output *out)
{
    uint32_t i = out->run_count;
    while (i > 0 && !out->runs[i - 1].writer && !out->runs[i - 1].origin)
        i--;
    return i < out->run_count ? out->runs[i].begin : out->text.length;
}

/* Where the prompt begins in a text, by the same text without it. NOWHERE: that does not tell. */
static size_t prompt_begin(const vkft_jinja_output *with, const vkft_jinja_output *without)
{
    bytes a = text_of(with), b = text_of(without);
    size_t same = common_prefix(a, b);
    if (same == a.length && same == b.length) /* there is always one, or none at all */
        return common_tail(with);
    if (same < b.length) /* the text ends otherwise without a prompt */
        same = whole_marks(a.data, same);
    for (uint32_t i = 0; i < with->run_count; i++)
        if (with->runs[i].end > same && with->runs[i].origin)
            return NOWHERE;
    return same == a.length ? NOWHERE : same;
}

/* What the prompt adds to these messages, which are freed; *known: that can be told. */
static void prompt_after(const finder *f, cJSON *messages, vkft_text *prompt, bool *known)
{
    vkft_jinja_output with = {0}, without = {0};
    *known = render(f, messages, true, &with) && render(f, messages, false, &without);
    size_t begin = *known ? prompt_begin(&with, &without) : NOWHERE;
    *known = begin != NOWHERE && keep_text(f, prompt, text_of(&with).data + begin, with.text.length - begin);
    vkft_jinja_output_free(&with);
    vkft_jinja_output_free(&without);
    cJSON_Delete(messages);
}

/* ---- where the prompt ends in a part ---- */

typedef struct match {
    size_t begin, length;
    bool complete; /* all of the prompt, or all that stands before the message's data */
    bool twice;    /* there is another one of the same length */
} match;

/* A prompt's length without white space at its end, which a template may leave out of an answer. */
static size_t needed_length(bytes prompt)
{
    size_t n = prompt.length;
    while (n > 0 && vkft_is_space(prompt.data[n - 1]))
        n--;
    return n;
}

/* The longest beginning of the prompt in what stands before the data, complete with `needed` bytes. What a template
 * puts before the first message, such as a system text of its own, may stand before it. */
static match find_match(bytes head, bool data_follows, bytes prompt, size_t needed)
{
    match best = {0};
    for (size_t i = 0; i < head.length; i++) {
        bytes rest = {head.data + i, head.length - i};
        size_t n = common_prefix(rest, prompt);
        bool complete = n >= needed || (data_follows && n == rest.length);
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
    return (bytes){text_of(out).data + p->begin, p->data_begin - p->begin};
}

/* What a template writes before the text of an answer in place of this message, as the last one or before another
 * question; false: not known. */
static bool plain_head(const finder *f, uint32_t message, bool last, vkft_text *head)
{
    const cJSON *item = cJSON_GetArrayItem(f->conversation->messages, (int)message);
    vkft_jinja_output out = {0};
    cJSON *messages = first_messages(f, message);
    messages = with_message(f, messages, cJSON_GetStringValue(vkft_json_member(item, "role")), message);
    messages = last ? messages : with_message(f, messages, "user", message);
    bool ok = render(f, messages, false, &out);
    if (ok) {
        name_writers(&out, messages);
        part p = part_of(&out, message);
        ok = p.begin != NOWHERE && p.data_begin < p.data_end;
        ok = ok && keep_text(f, head, text_of(&out).data + p.begin, p.data_begin - p.begin);
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
    bool ok = plain_head(f, message, true, &plain) || plain_head(f, message, false, &plain);
    if (ok) {
        bytes common = {plain.data ? plain.data : "", plain.length};
        match m = find_match(head, data_follows, common, common.length);
        *length = is_blank(common) ? 0 : m.begin + m.length;
        ok = is_blank(common) || (m.complete && !m.twice);
    }
    vkft_text_free(&plain);
    return ok;
}

/* A head that leaves the prompt halfway counts where that of a plain answer does so at the same place. */
static bool leaves_as_plain(const finder *f, uint32_t message, bytes prompt, size_t length)
{
    bool same = false;
    for (int last = 1; last >= 0 && length && !same; last--) {
        vkft_text plain = {0};
        same = plain_head(f, message, last, &plain) &&
               find_match((bytes){plain.data ? plain.data : "", plain.length}, true, prompt, needed_length(prompt))
                       .length == length;
        vkft_text_free(&plain);
    }
    return same;
}

/* By the prompt that follows the messages before the answer; or a question, where the template refuses those, such as
 * none at all, or writes another prompt after them. */
static bool after_prompt(const finder *f, uint32_t message, bool question, bytes head, bool data_follows,
                         size_t *length)
{
    vkft_text text = {0};
    bool known, ok = false;
    prompt_after(f, question ? with_message(f, cJSON_CreateArray(), "user", message) : first_messages(f, message),
                 &text, &known);
    bytes prompt = {text.data ? text.data : "", text.length};
    if (known && prompt.length) {
        match m = find_match(head, data_follows, prompt, needed_length(prompt));
        bool nothing = !m.complete && data_follows && is_blank(head);
        *length = nothing ? 0 : m.begin + m.length;
        ok = nothing || (!m.twice && (m.complete || (!question && leaves_as_plain(f, message, prompt, m.length))));
    } else if (known || question) {
        ok = after_common_head(f, message, head, data_follows, length);
    }
    vkft_text_free(&text);
    return ok;
}

/* How much of a part's head is the prompt. */
static bool head_length(const finder *f, uint32_t message, bytes head, bool data_follows, size_t *length)
{
    return (message > 0 && after_prompt(f, message, false, head, data_follows, length)) ||
           after_prompt(f, message, true, head, data_follows, length) ||
           refuse(f, message, "begins it otherwise than its prompt for an answer");
}

/* ---- turns ---- */

/* Some templates end an answer when they write the next message: what stands before its head, which is then longer than
 * that of such a message alone. */
static size_t end_in_next(const finder *f, const vkft_jinja_output *out, uint32_t message)
{
    const cJSON *messages = f->conversation->messages, *next = cJSON_GetArrayItem(messages, (int)message + 1);
    const char *role = cJSON_GetStringValue(vkft_json_member(next, "role"));
    part p = part_of(out, message + 1);
    vkft_jinja_output alone = {0};
    cJSON *one = role && p.begin != NOWHERE && !vkft_chat_is_assistant(next)
                     ? with_message(f, cJSON_CreateArray(), role, message + 1)
                     : NULL;
    size_t end = NOWHERE;
    if (render(f, one, false, &alone)) {
        name_other_loops(&alone);
        part q = part_of(&alone, 0);
        bytes head = head_of(out, &p), usual = q.begin == NOWHERE ? (bytes){0} : head_of(&alone, &q);
        if (usual.length > 0 && usual.length < head.length &&
            memcmp(head.data + head.length - usual.length, usual.data, usual.length) == 0)
            end = p.begin + head.length - usual.length;
    }
    vkft_jinja_output_free(&alone);
    cJSON_Delete(one);
    return end;
}

/* Where the next message's part begins after `end`, or the text ends. */
static size_t next_part(const vkft_jinja_output *out, size_t end)
{
    for (uint32_t i = 0; i < out->run_count; i++)
        if (out->runs[i].begin >= end && (out->runs[i].writer || out->runs[i].origin))
            return out->runs[i].begin;
    return out->text.length;
}

/* Whether a template ought to write something of the message's content; thoughts may be left out. */
static bool has_text(const finder *f, uint32_t message)
{
    const cJSON *item = cJSON_GetArrayItem(f->conversation->messages, (int)message);
    const char *text = cJSON_GetStringValue(vkft_json_member(item, "content"));
    return text && !is_blank((bytes){text, strlen(text)}) && !strstr(text, "</think>") &&
           !vkft_json_member(item, "tool_calls");
}

/* *found is false for a message of which the template writes nothing; all_named: what all loops are about is known. */
static bool find_turn(const finder *f, const vkft_jinja_output *out, uint32_t message, bool all_named, vkft_turn *turn,
                      bool *found)
{
    part p = part_of(out, message);
    size_t length = 0;
    *found = p.begin != NOWHERE;
    if (!*found && !all_named)
        return refuse(f, message, "has loops other than one over the messages, and writes no text of it");
    if (*found && p.data_begin == p.data_end && has_text(f, message))
        return refuse(f, message, "writes none of its text");
    if (*found && !head_length(f, message, head_of(out, &p), p.data_begin < p.data_end, &length))
        return false;
    size_t begin = *found ? p.begin + length : 0;
    if (!check_part(f, out, message, &p, begin))
        return false;
    *turn = (vkft_turn){.message = message, .begin = begin, .end = p.end};
    if (*found) {
        turn->tail = p.data_begin < p.data_end ? p.data_end : begin;
        bool ends_itself = !is_blank((bytes){out->text.data + turn->tail, p.end - turn->tail});
        size_t later = ends_itself ? NOWHERE : end_in_next(f, out, message);
        turn->in_next = later != NOWHERE;
        turn->limit = turn->in_next ? later : next_part(out, p.end);
    }
    return true;
}

bool vkft_chat_turns(const vkft_chat_template *chat, const vkft_conversation *conversation, vkft_jinja_output *rendered,
                     vkft_turn **turns, uint32_t *count, vkft_err *err)
{
    bool out_of_memory = false;
    uint32_t steps_left;
    const finder f = {chat, conversation, &out_of_memory, &steps_left, err};
    uint32_t messages = (uint32_t)cJSON_GetArraySize(conversation->messages), i = 0;
    const cJSON *message;
    *count = 0;
    *turns = malloc((messages + 1ull) * sizeof **turns);
    if (!*turns)
        return vkft_fail_memory(err, "for a conversation");
    bool all_named = name_writers(rendered, conversation->messages);
    cJSON_ArrayForEach(message, conversation->messages)
    {
        bool found = false;
        steps_left = VKFT_JINJA_MAX_STEPS;
        bool ok = !vkft_chat_is_assistant(message) || find_turn(&f, rendered, i, all_named, &(*turns)[*count], &found);
        if (!steps_left)
            ok = refuse(&f, i, "takes too many steps to show where it begins");
        if (out_of_memory)
            ok = vkft_fail_memory(err, "for a conversation");
        if (!ok) {
            free(*turns);
            *turns = NULL;
            return false;
        }
        *count += found;
        i++;
    }
    return true;
}
