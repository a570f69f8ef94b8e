/* vkft chat: a conversation at the terminal, or line by line through pipes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/chat/talk.h"
#include "host/cli/cli.h"
#include "host/cli/fetch.h"
#include "host/cli/interrupt.h"
#include "host/cli/line_input.h"
#include "host/cli/progress.h"
#include "host/cli/spellings.h"
#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"

#define EXIT_CLOSED_PIPE 141 /* what a shell says of a program that SIGPIPE has ended */

typedef struct chat_options {
    vkft_talk_options run;
    bool json;
} chat_options;

#define AT(member) .offset = offsetof(chat_options, run.generate.member)
#define GIVEN(member) .given = offsetof(chat_options, run.generate.member)

static const flag chat_flags[] = {
    CLI_MODEL_FLAGS(AT, GIVEN),
    CLI_ADAPTER_FLAG(AT),
    CLI_CHAT_TEMPLATE_FLAGS(AT),
    {.kind = FLAG_TEXT,
     .name = "system",
     .value = "TEXT",
     .help = "system prompt",
     .default_text = "none",
     .may_be_empty = true,
     .offset = offsetof(chat_options, run.system)},
    {.kind = FLAG_U32,
     .name = "context",
     .value = "N",
     .help =
         "how many tokens the conversation may have, answers included; past them the oldest questions are forgotten",
     .default_text = "what the model has, at most 4096",
     .range = AT_LEAST(2),
     .offset = offsetof(chat_options, run.context)},
    {.kind = FLAG_U32,
     .name = "max-new-tokens",
     .value = "N",
     .help = "maximum number of tokens of an answer",
     .default_text = "what the context has room for",
     .range = AT_LEAST(1),
     AT(max_new_tokens),
     GIVEN(max_new_tokens_given)},
    CLI_SAMPLING_FLAGS(AT, GIVEN),
    {.kind = FLAG_SWITCH, .name = "ignore-eos", .help = "continue after the end-of-text token", AT(ignore_eos)},
    {.kind = FLAG_SWITCH,
     .name = "json",
     .help = "each line of standard input is a question, plain or as JSON; each answer is one line of JSON",
     .offset = offsetof(chat_options, json)},
};

_Static_assert(VKFT_DEFAULT_CONTEXT == 4096, "as the help of --context says");

static bool has_no_super_scales(const void *options)
{
    return cli_has_no_super_scales(&((const chat_options *)options)->run.generate.model);
}

static const flag_idle chat_idle[] = {
    {"double-quant", has_no_super_scales, "without --quant nf4"},
    {0},
};

static const flag_table chat_table = {
    .command = "chat",
    .usage = "--model PATH [--adapter DIR] [flags]",
    .about = "Talks with a model through its chat template. /help lists what can be typed beside questions. What the\n"
             "model's generation_config.json says takes precedence over the defaults below.",
    .flags = chat_flags,
    .count = FLAG_COUNT(chat_flags),
    .spellings = cli_spellings,
    .idle = chat_idle,
};

/* What goes on, for callbacks. */
typedef struct chat {
    vkft_talk talk;
    line_input *input;
    bool json, person;
    bool line_open;   /* an answer is written, and its last line has no end yet */
    int write_error;  /* errno of standard output; 0: none */
    bool line_failed; /* a line was answered by an error */
} chat;

static void write_out(chat *c, const char *text, size_t length)
{
    if (c->write_error)
        return;
    errno = 0;
    fwrite(text, 1, length, stdout);
    if (fflush(stdout) != 0 || ferror(stdout)) /* fwrite does not tell of a line whose end could not be written */
        c->write_error = errno ? errno : EIO;
}

static void end_line(chat *c)
{
    if (c->line_open)
        write_out(c, "\n", 1);
    c->line_open = false;
}

static void on_answer(void *context, const char *whose)
{
    chat *c = context;
    if (c->json)
        return;
    if (whose) {
        write_out(c, "[", 1);
        write_out(c, whose, strlen(whose));
        write_out(c, "]\n", 2);
    }
    c->line_open = true;
}

static void on_text(void *context, const char *text, size_t length)
{
    chat *c = context;
    if (!c->json)
        write_out(c, text, length);
}

static void on_message(void *context, const char *line)
{
    end_line(context);
    fprintf(stderr, "%s\n", line);
}

/* Nobody reads the answer, or it is to stop. */
static bool must_stop(void *context)
{
    const chat *c = context;
    return c->write_error || interrupt_requested(NULL);
}

static const char *finish_reason(vkft_text_end end)
{
    return end == VKFT_TEXT_INTERRUPTED                                         ? "interrupted"
           : end == VKFT_TEXT_ENDED_BY_LENGTH || end == VKFT_TEXT_ENDED_BY_ROOM ? "length"
                                                                                : "stop";
}

static void put_answer(const chat *c, const vkft_spoken *answer, vkft_json_node o)
{
    vkft_json_put_string(o, "role", "assistant");
    vkft_json_put_string(o, "content", answer->text.data);
    vkft_json_put_string(o, "finish_reason", finish_reason(answer->numbers.end));
    if (c->talk.speaker.adapter)
        vkft_json_put_bool(o, "adapter", answer->adapted);
    vkft_json_put_number(o, "prompt_tokens", answer->numbers.prompt_tokens);
    vkft_json_put_number(o, "cached_tokens", answer->numbers.kept_tokens);
    vkft_json_put_number(o, "new_tokens", answer->numbers.new_tokens);
    vkft_json_put_number(o, "prompt_seconds", answer->numbers.prompt_seconds);
    vkft_json_put_number(o, "new_seconds", answer->numbers.new_seconds);
}

/* One line on standard output. error: NULL, or what went wrong. */
static bool print_json(chat *c, const vkft_reply *reply, const char *error, vkft_err *err)
{
    bool failed = false;
    vkft_json_node o = vkft_json_make_object(&failed);
    if (error) {
        vkft_json_put_string(o, "error", error);
    } else if (reply->count == 1) {
        put_answer(c, &reply->answers[0], o);
    } else {
        vkft_json_put_string(o, "command", reply->command);
        if (reply->count) {
            vkft_json_node list = vkft_json_put_array(o, "answers");
            for (uint32_t i = 0; i < reply->count; i++)
                put_answer(c, &reply->answers[i], vkft_json_put_object(list, NULL));
        } else {
            vkft_json_put_string(o, "message", reply->said.data ? reply->said.data : "");
        }
    }
    cJSON *value = vkft_json_made(o);
    char *text = value ? cJSON_PrintUnformatted(value) : NULL;
    cJSON_Delete(value);
    if (!text)
        return vkft_fail_memory(err, "for an answer");
    write_out(c, text, strlen(text));
    write_out(c, "\n", 1);
    cJSON_free(text);
    return true;
}

static void print_reply(chat *c, const vkft_reply *reply)
{
    end_line(c);
    if (reply->said.length) {
        write_out(c, reply->said.data, reply->said.length);
        write_out(c, "\n", 1);
    }
    if (c->person && !reply->end)
        write_out(c, "\n", 1);
}

/* {"role": "user" or "system", "content": TEXT}, or {"messages": [...]}. */
static bool take_object(chat *c, const cJSON *object, const vkft_talk_listener *listener, vkft_reply *reply,
                        vkft_err *err)
{
    static const char where[] = "the line";
    const char *role = "user", *content = NULL;
    const cJSON *messages = NULL;
    if (!vkft_json_get_array(object, "messages", false, &messages, where, err))
        return false;
    if (messages)
        return vkft_talk_continue(&c->talk, messages, listener, reply, err);
    if (!vkft_json_get_string(object, "role", false, &role, where, err) ||
        !vkft_json_get_string(object, "content", true, &content, where, err))
        return false;
    if (strcmp(role, "user") == 0)
        return vkft_talk_ask(&c->talk, content, listener, reply, err);
    if (strcmp(role, "system") != 0)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "the line: role: found \"%.40s\", expected \"user\" or \"system\"; a whole conversation is "
                         "{\"messages\": [...]}",
                         role);
    reply->command = "/system";
    return vkft_history_set_system(&c->talk.history, *content ? content : NULL, err);
}

/* A line of --json: a JSON string or object where it begins as one; else it is the question itself, or a command. */
static bool take_json(chat *c, const vkft_text *line, const vkft_talk_listener *listener, vkft_reply *reply,
                      vkft_err *err)
{
    if (!strchr("\"{[", line->data[0]))
        return vkft_talk_is_command(line->data) ? vkft_talk_obey(&c->talk, line->data, listener, reply, err)
                                                : vkft_talk_ask(&c->talk, line->data, listener, reply, err);
    cJSON *value = vkft_json_parse(line->data, line->length, "the line", err);
    bool ok = value != NULL;
    if (ok && cJSON_IsString(value))
        ok = vkft_talk_ask(&c->talk, value->valuestring, listener, reply, err);
    else if (ok && cJSON_IsObject(value))
        ok = take_object(c, value, listener, reply, err);
    else if (ok)
        ok = vkft_fail(err, VKFT_ERR_INPUT, "the line: expected a JSON string or object, found an array");
    cJSON_Delete(value);
    return ok;
}

/* false: the conversation cannot go on, which is in *err. */
static bool take_line(chat *c, const vkft_text *line, bool *end, vkft_err *err)
{
    const vkft_talk_listener listener = {.general = {.context = c, .message = on_message, .interrupted = must_stop},
                                         .answer = on_answer,
                                         .text = on_text};
    vkft_reply reply = {0};
    bool ok = c->json                            ? take_json(c, line, &listener, &reply, err)
              : vkft_talk_is_command(line->data) ? vkft_talk_obey(&c->talk, line->data, &listener, &reply, err)
                                                 : vkft_talk_ask(&c->talk, line->data, &listener, &reply, err);
    bool goes_on = ok || err->kind == VKFT_ERR_INPUT || err->kind == VKFT_ERR_IO;
    end_line(c);
    if (!ok && goes_on) {
        c->line_failed = true;
        if (c->json)
            goes_on = print_json(c, &reply, err->message, err);
        else
            cli_fail(&chat_table, err);
    } else if (ok && c->json && !reply.end) {
        goes_on = print_json(c, &reply, NULL, err);
    } else if (ok && !c->json) {
        print_reply(c, &reply);
    }
    *end = reply.end;
    vkft_reply_free(&reply);
    return goes_on;
}

/* A message: a line, and the next one where it ends with a backslash. */
static line_input_outcome read_message(chat *c, vkft_text *message, vkft_err *err)
{
    vkft_text line = {0};
    line_input_outcome outcome;
    message->length = 0;
    for (bool more = true; more;) {
        bool first = !message->length;
        outcome = line_input_read(c->input, first ? "> " : ". ", &line, err);
        if (outcome != LINE_INPUT_READ) {
            if (outcome == LINE_INPUT_END && !first)
                outcome = LINE_INPUT_READ;
            break;
        }
        more = !c->json && line.length && line.data[line.length - 1] == '\\';
        if (more)
            line.data[line.length - 1] = '\n';
        if (!vkft_text_append(message, line.data, line.length, err)) {
            outcome = LINE_INPUT_FAILED;
            break;
        }
    }
    vkft_text_free(&line);
    return outcome;
}

/* Until there are no more lines. The exit code. */
static int talk(chat *c)
{
    vkft_text message = {0};
    vkft_err err = {0};
    int code = EXIT_SUCCESS;
    for (bool end = false; !end && !c->write_error;) {
        line_input_outcome outcome = read_message(c, &message, &err);
        if (outcome == LINE_INPUT_FAILED)
            code = cli_fail(&chat_table, &err);
        if (outcome != LINE_INPUT_READ) {
            if (c->person)
                write_out(c, "\n", 1);
            if (outcome == LINE_INPUT_INTERRUPTED)
                code = EXIT_INTERRUPTED;
            break;
        }
        if (!message.length)
            continue;
        err = (vkft_err){0};
        if (!take_line(c, &message, &end, &err)) {
            code = cli_fail(&chat_table, &err);
            break;
        }
        bool stays = c->person || c->json;
        if (interrupt_requested(NULL) && !(stays && interrupt_forget())) {
            code = EXIT_INTERRUPTED;
            break;
        }
    }
    vkft_text_free(&message);
    return code == EXIT_SUCCESS && c->line_failed && !c->person ? EXIT_WORK_FAILED : code;
}

static int run(chat *c, const vkft_talk_options *options)
{
    vkft_err err = {0};
    progress display = progress_new(&chat_table);
    vkft_observer observer = progress_observer(&display);
    bool ok = vkft_talk_open(&c->talk, options, &observer, &err);
    progress_close(&display);
    if (ok)
        ok = (c->input = line_input_open(c->person, &err)) != NULL;
    if (!ok)
        return cli_fail(&chat_table, &err);
    if (c->person)
        printf("%s%s%s. /help lists commands, Ctrl-D ends.\n\n", vkft_session_model_name(&c->talk.speaker.session),
               options->generate.adapter ? " with " : "", options->generate.adapter ? options->generate.adapter : "");
    int code = talk(c);
    line_input_close(c->input);
    if (c->write_error == EPIPE)
        return EXIT_CLOSED_PIPE;
    if (c->write_error == EIO && c->person) /* the terminal is gone */
        return EXIT_INTERRUPTED;
    if (c->write_error && code == EXIT_SUCCESS) {
        errno = c->write_error;
        vkft_fail_errno(&err, "cannot write to standard output");
        code = cli_fail(&chat_table, &err);
    }
    return code;
}

int cmd_chat(int argc, char **argv)
{
    chat_options options = {.run = {.generate = vkft_generate_defaults()}};
    vkft_recipe recipe = {0};
    int code;
    if (!cli_flags(&chat_table, &options, argc, argv, &recipe, &code))
        return code;
    chat *c = calloc(1, sizeof *c); /* the talk is large, and keeps its place */
    vkft_err err = {0};
    if (!c) {
        vkft_fail_memory(&err, "for a conversation");
        code = cli_fail(&chat_table, &err);
    } else {
        c->json = options.json;
        c->person = !options.json && line_input_has_person();
        interrupt_install_silent();
        if (cli_fetch(&chat_table, &options, false, &recipe, &err)) {
            code = run(c, &options.run);
            vkft_talk_close(&c->talk);
        } else {
            code = cli_fail(&chat_table, &err);
        }
    }
    free(c);
    recipe_free(&recipe);
    return code;
}
