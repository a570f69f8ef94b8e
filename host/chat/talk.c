/* See talk.h. */
#include "host/chat/talk.h"

#include <string.h>

#include "host/chat/held_text.h"
#include "runtime/base/size.h"

#define MAX_STOPS 64

void vkft_reply_free(vkft_reply *reply)
{
    vkft_text_free(&reply->said);
    for (uint32_t i = 0; i < 2; i++)
        vkft_text_free(&reply->answers[i].text);
    *reply = (vkft_reply){0};
}

bool vkft_talk_open(vkft_talk *talk, const vkft_talk_options *options, const vkft_observer *observer, vkft_err *err)
{
    *talk = (vkft_talk){.options = *options, .adapted = options->generate.adapter != NULL};
    return vkft_history_new(&talk->history, err) && vkft_history_set_system(&talk->history, options->system, err) &&
           vkft_speaker_open(&talk->speaker, &options->generate.model, options->generate.adapter, options->context,
                             observer, err);
}

void vkft_talk_close(vkft_talk *talk)
{
    vkft_history_free(&talk->history);
    vkft_speaker_close(&talk->speaker);
}

/* An answer on its way to the listener. */
typedef struct speaking {
    const vkft_talk *talk;
    const vkft_talk_listener *listener;
    vkft_held_text held;
    vkft_spoken *answer;
    bool failed;
} speaking;

static void show(speaking *s, const vkft_text *shown)
{
    if (!shown->length)
        return;
    s->failed |= !vkft_text_append(&s->answer->text, shown->data, shown->length, NULL);
    if (s->listener->text)
        s->listener->text(s->listener->general.context, shown->data, shown->length);
}

static void on_text(void *context, const char *text, size_t length)
{
    speaking *s = context;
    const char *stops[MAX_STOPS + 1] = {NULL};
    vkft_text shown = {0};
    for (uint32_t i = 0; i < MAX_STOPS && (stops[i] = vkft_generator_stop(&s->talk->speaker.generator, i)); i++) {
    }
    s->failed |= !vkft_held_text_push(&s->held, text, length, stops, &shown, NULL);
    show(s, &shown);
    vkft_text_free(&shown);
}

static bool is_interrupted(void *context)
{
    const speaking *s = context;
    return vkft_observer_interrupted(&s->listener->general);
}

static void on_message(void *context, const char *line)
{
    const speaking *s = context;
    if (!s->talk->told)
        vkft_observer_say(&s->listener->general, "%s", line);
}

/* The conversation in tokens, with room for an answer: a quarter of the context, or as much as answers may have.
 * Where there is none, the oldest questions are forgotten. */
static bool fit(vkft_talk *talk, const vkft_talk_listener *listener, vkft_ids *ids, vkft_err *err)
{
    const vkft_generate_options *o = &talk->options.generate;
    const uint32_t context = talk->speaker.context, before = talk->history.forgotten;
    uint32_t room = max_u32(context / 4, 1);
    if (o->max_new_tokens_given)
        room = min_u32(room, o->max_new_tokens);
    bool ok;
    do {
        cJSON *seen = vkft_history_seen(&talk->history, err);
        ids->count = 0;
        ok = seen && vkft_speaker_encode(&talk->speaker, seen, ids, err);
        cJSON_Delete(seen);
    } while (ok && (uint64_t)ids->count + room > context && vkft_history_forget(&talk->history));
    uint32_t forgotten = talk->history.forgotten - before;
    if (ok && ids->count >= context)
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "the question has %u tokens, with the system prompt and what the chat template adds, and the "
                       "context has %u; ask for less, or begin again with --context N",
                       ids->count, context);
    if (!ok)
        talk->history.forgotten = before;
    else if (forgotten)
        vkft_observer_say(&listener->general,
                          "[the context of %u tokens is full: the model sees the oldest %u messages no more]", context,
                          talk->history.forgotten);
    return ok;
}

static void say_end(const vkft_talk *talk, const vkft_talk_listener *listener, const vkft_generate_result *r)
{
    if (r->end == VKFT_TEXT_ENDED_BY_LENGTH && talk->options.generate.max_new_tokens_given)
        vkft_observer_say(&listener->general, "[the answer ends here: --max-new-tokens %u]", r->new_tokens);
    else if (r->end == VKFT_TEXT_ENDED_BY_LENGTH || r->end == VKFT_TEXT_ENDED_BY_ROOM)
        vkft_observer_say(&listener->general, "[the answer ends here: the context of %u tokens is full]",
                          talk->speaker.context);
    else if (r->end == VKFT_TEXT_INTERRUPTED)
        vkft_observer_say(&listener->general, "[stopped]");
}

static bool produce(vkft_talk *talk, const vkft_ids *ids, speaking *s, vkft_err *err)
{
    vkft_generate_options options = talk->options.generate;
    vkft_generator *generator = &talk->speaker.generator;
    const vkft_generate_observer observer = {
        .general = {.context = s, .message = on_message, .interrupted = is_interrupted}, .text = on_text};
    vkft_batch_limits needed;
    vkft_text rest = {0};
    options.seed += talk->answers;
    if (!options.max_new_tokens_given)
        options.max_new_tokens = talk->speaker.context;
    options.max_new_tokens_given = true; /* the lengths of generation_config.json are for single texts */
    bool ok = vkft_generator_begin(generator, &options, &observer, ids->data, ids->count, &needed, err) &&
              vkft_generator_produce(generator, &s->answer->numbers, err);
    talk->told = true;
    if (ok && !vkft_held_text_finish(&s->held, &rest, err))
        ok = false;
    show(s, &rest);
    vkft_text_free(&rest);
    return ok &&
           ((!s->failed && vkft_text_append(&s->answer->text, "", 0, err)) || vkft_fail_memory(err, "for an answer"));
}

bool vkft_talk_answer(vkft_talk *talk, bool adapted, const char *whose, const vkft_talk_listener *listener,
                      vkft_reply *reply, vkft_err *err)
{
    vkft_ids ids = {0};
    speaking s = {.talk = talk, .listener = listener, .answer = &reply->answers[reply->count]};
    s.answer->adapted = adapted;
    bool ok =
        vkft_speaker_use_adapter(&talk->speaker, adapted, &listener->general, err) && fit(talk, listener, &ids, err);
    if (ok) {
        if (listener->answer)
            listener->answer(listener->general.context, whose);
        ok = produce(talk, &ids, &s, err);
    }
    vkft_held_text_free(&s.held);
    vkft_ids_free(&ids);
    if (!ok)
        return false;
    reply->count++;
    say_end(talk, listener, &s.answer->numbers);
    return true;
}

bool vkft_talk_go_on(vkft_talk *talk, const vkft_talk_listener *listener, vkft_reply *reply, vkft_err *err)
{
    if (!vkft_talk_answer(talk, talk->adapted, NULL, listener, reply, err))
        return false;
    talk->answers++;
    return vkft_history_add(&talk->history, "assistant", reply->answers[reply->count - 1].text.data, err);
}

bool vkft_talk_ask(vkft_talk *talk, const char *question, const vkft_talk_listener *listener, vkft_reply *reply,
                   vkft_err *err)
{
    if (!vkft_history_add(&talk->history, "user", question, err))
        return false;
    if (vkft_talk_go_on(talk, listener, reply, err))
        return true;
    vkft_history_remove_last(&talk->history);
    return false;
}

bool vkft_talk_continue(vkft_talk *talk, const cJSON *messages, const vkft_talk_listener *listener, vkft_reply *reply,
                        vkft_err *err)
{
    vkft_history before = talk->history;
    bool ok = vkft_history_new(&talk->history, err) && vkft_history_replace(&talk->history, messages, err) &&
              vkft_talk_go_on(talk, listener, reply, err);
    if (ok) {
        vkft_history_free(&before);
    } else {
        vkft_history_free(&talk->history);
        talk->history = before;
    }
    return ok;
}
