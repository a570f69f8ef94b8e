/* What a line that begins with / does to a conversation. See talk.h. */
#include "host/chat/talk.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"

typedef struct call {
    vkft_talk *talk;
    const char *argument; /* "": none */
    const vkft_talk_listener *listener;
    vkft_reply *reply;
    vkft_err *err;
} call;

typedef struct command {
    const char *name, *argument, *help;
    bool (*run)(const call *c);
} command;

static bool say(const call *c, const char *text)
{
    vkft_text *said = &c->reply->said;
    return (!said->length || vkft_text_append(said, "\n", 1, c->err)) &&
           vkft_text_append(said, text, strlen(text), c->err);
}

static bool regenerate(const call *c)
{
    vkft_history *history = &c->talk->history;
    const vkft_generate_options *o = &c->talk->options.generate;
    if (!vkft_history_ends_with(history, "assistant"))
        return vkft_fail(c->err, VKFT_ERR_INPUT, "/regenerate: nothing was answered yet");
    const cJSON *last = cJSON_GetArrayItem(history->messages, cJSON_GetArraySize(history->messages) - 1);
    char *before = vkft_string_copy(cJSON_GetStringValue(vkft_json_member(last, "content")));
    if (!before)
        return vkft_fail_memory(c->err, "for an answer");
    vkft_history_remove_last(history);
    bool ok = vkft_talk_go_on(c->talk, c->listener, c->reply, c->err);
    if (!ok)
        vkft_history_add(history, "assistant", before, NULL);
    else if (c->talk->speaker.generator.settings.sampler.temperature <= 0)
        vkft_observer_say(&c->listener->general,
                          "[the likeliest token is always taken, so the answer stays the same%s]",
                          o->temperature_given ? "" : "; --temperature changes that");
    free(before);
    return ok;
}

static bool set_system(const call *c)
{
    vkft_history *history = &c->talk->history;
    if (!*c->argument) {
        const char *system = vkft_history_system(history);
        return say(c, system ? system : "there is no system prompt; /system TEXT sets one");
    }
    bool none = strcmp(c->argument, "\"\"") == 0;
    return vkft_history_set_system(history, none ? NULL : c->argument, c->err) &&
           say(c, none ? "no system prompt from now on" : "the system prompt is another one from now on");
}

static bool clear(const call *c)
{
    vkft_history_clear(&c->talk->history);
    return say(c, "the conversation begins anew");
}

static bool has_adapter(const call *c, const char *name)
{
    return c->talk->speaker.adapter ||
           vkft_fail(c->err, VKFT_ERR_INPUT, "%s: there is no adapter; begin again with --adapter DIR", name);
}

static bool switch_adapter(const call *c)
{
    bool on = strcmp(c->argument, "on") == 0, off = strcmp(c->argument, "off") == 0;
    if (!has_adapter(c, "/adapter"))
        return false;
    if (*c->argument && !on && !off)
        return vkft_fail(c->err, VKFT_ERR_INPUT, "/adapter: expected on, off or nothing, found '%s'", c->argument);
    c->talk->adapted = *c->argument ? on : !c->talk->adapted;
    return say(c, c->talk->adapted ? "with the adapter from now on" : "without the adapter from now on");
}

/* Both with the same seed, after the same messages. */
static bool answer_both(const call *c)
{
    return vkft_talk_answer(c->talk, false, "without the adapter", c->listener, c->reply, c->err) &&
           (vkft_observer_interrupted(&c->listener->general) ||
            vkft_talk_answer(c->talk, true, "with the adapter", c->listener, c->reply, c->err));
}

static bool compare(const call *c)
{
    vkft_history *history = &c->talk->history;
    if (!has_adapter(c, "/compare"))
        return false;
    if (!vkft_history_ends_with(history, "assistant"))
        return vkft_fail(c->err, VKFT_ERR_INPUT, "/compare: nothing was asked yet");
    cJSON *answer = cJSON_DetachItemFromArray(history->messages, cJSON_GetArraySize(history->messages) - 1);
    bool ok = answer_both(c);
    cJSON_AddItemToArray(history->messages, answer);
    return ok;
}

/* As a row of training data. */
static bool save(const call *c)
{
    bool found = false;
    if (!*c->argument)
        return vkft_fail(c->err, VKFT_ERR_INPUT, "/save: expected the name of a file");
    if (!vkft_file_find(c->argument, &found, c->err))
        return false;
    if (found)
        return vkft_fail(c->err, VKFT_ERR_INPUT, "/save: there is a file %s already; choose another name", c->argument);
    cJSON *row = cJSON_CreateObject();
    char *text = row && cJSON_AddItemReferenceToObject(row, "messages", c->talk->history.messages)
                     ? cJSON_PrintUnformatted(row)
                     : NULL;
    vkft_text line = {0};
    bool ok = (text && vkft_text_append(&line, text, strlen(text), NULL) && vkft_text_append(&line, "\n", 1, NULL)) ||
              vkft_fail_memory(c->err, "for a conversation");
    ok = ok && vkft_file_write(c->argument, line.data, line.length, c->err) &&
         say(c, "saved, as a row that 'vkft train' can learn from");
    cJSON_Delete(row);
    cJSON_free(text);
    vkft_text_free(&line);
    return ok;
}

static bool end(const call *c)
{
    c->reply->end = true;
    return true;
}

static bool help(const call *c);

static const command commands[] = {
    {"/help", "", "this list", help},
    {"/regenerate", "", "answer the last question once more, with another seed", regenerate},
    {"/system", " TEXT", "change the system prompt; \"\" removes it, nothing shows it", set_system},
    {"/clear", "", "forget the conversation, but not the system prompt", clear},
    {"/adapter", "", "switch the adapter off or on", switch_adapter},
    {"/compare", "", "answer the last question without the adapter and with it", compare},
    {"/save", " FILE", "write the conversation into a .jsonl file", save},
    {"/exit", "", "end; so does Ctrl-D", end},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static bool help(const call *c)
{
    bool ok = true;
    for (size_t i = 0; ok && i < COMMANDS; i++) {
        char name[32], line[160];
        snprintf(name, sizeof name, "%s%s", commands[i].name, commands[i].argument);
        snprintf(line, sizeof line, "%-14s%s", name, commands[i].help);
        ok = say(c, line);
    }
    return ok && say(c, "Ctrl-C stops an answer. A line that ends with \\ goes on in the next one.");
}

static bool unknown(const char *name, vkft_err *err)
{
    const char *names[COMMANDS];
    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i].name;
    const char *near = vkft_string_nearest(name, names, COMMANDS);
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "unknown command '%.40s'%s%s; /help lists all, and a question may begin with a space", name,
                     near ? ", did you mean " : "", near ? near : "");
}

bool vkft_talk_is_command(const char *line)
{
    return line[0] == '/';
}

bool vkft_talk_obey(vkft_talk *talk, const char *line, const vkft_talk_listener *listener, vkft_reply *reply,
                    vkft_err *err)
{
    const size_t length = strcspn(line, " \t\n");
    const char *argument = line + length + strspn(line + length, " \t\n");
    for (size_t i = 0; i < COMMANDS; i++)
        if (strlen(commands[i].name) == length && memcmp(line, commands[i].name, length) == 0) {
            const call c = {talk, argument, listener, reply, err};
            reply->command = commands[i].name;
            return commands[i].run(&c);
        }
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)(length < 60 ? length : 60), line);
    return unknown(name, err);
}
