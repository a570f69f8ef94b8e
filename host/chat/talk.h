/* A conversation with a model: questions, answers, and the commands that steer it. Knows of no terminal. */
#ifndef VKFT_CHAT_TALK_H
#define VKFT_CHAT_TALK_H

#include "host/chat/history.h"
#include "host/chat/speaker.h"

typedef struct vkft_talk_options {
    vkft_generate_options generate; /* model, adapter, how tokens are chosen; without max_new_tokens_given an answer may
                                       fill the context */
    const char *system;             /* NULL: no system prompt */
    uint32_t context;               /* 0: as vkft_speaker_open chooses */
} vkft_talk_options;

/* Who hears of it while it is said; any callback may be NULL. general.message has what is to be known of a conversation
 * beside its text. */
typedef struct vkft_talk_listener {
    vkft_observer general;
    void (*answer)(void *context, const char *whose);             /* one begins; whose: NULL, or which of two */
    void (*text)(void *context, const char *text, size_t length); /* whole characters, as they appear */
} vkft_talk_listener;

typedef struct vkft_spoken {
    vkft_text text;
    vkft_generate_result numbers;
    bool adapted;
} vkft_spoken;

/* What came of a line. */
typedef struct vkft_reply {
    const char *command; /* its name; NULL: the line was a question */
    vkft_text said;      /* by a command: lines without the last newline */
    vkft_spoken answers[2];
    uint32_t count; /* of answers: 2 are without the adapter, and with it */
    bool end;       /* of the conversation */
} vkft_reply;
void vkft_reply_free(vkft_reply *reply);

typedef struct vkft_talk {
    vkft_talk_options options;
    vkft_speaker speaker;
    vkft_history history;
    bool adapted;     /* the next answer is with the adapter */
    uint64_t answers; /* given so far; each has a seed of its own */
    bool told;        /* what is to be known of the settings */
} vkft_talk;

/* Strings of the options are borrowed. The talk keeps its place until it is closed, also where this fails. Error: those
 * of vkft_speaker_open. */
bool vkft_talk_open(vkft_talk *talk, const vkft_talk_options *options, const vkft_observer *observer, vkft_err *err);
void vkft_talk_close(vkft_talk *talk);

/* In the functions below *reply begins as zeros and is the caller's to free, also after an error. After an error of the
 * kind VKFT_ERR_INPUT the conversation is as it was and can go on. Test: test_talk */

/* A question, which is answered. */
bool vkft_talk_ask(vkft_talk *talk, const char *question, const vkft_talk_listener *listener, vkft_reply *reply,
                   vkft_err *err);
/* The conversation becomes these messages, of which the last one is answered. */
bool vkft_talk_continue(vkft_talk *talk, const cJSON *messages, const vkft_talk_listener *listener, vkft_reply *reply,
                        vkft_err *err);
/* Whether a line is a command, "/name" or "/name arguments", known or not; and carrying it out. commands.c */
bool vkft_talk_is_command(const char *line);
bool vkft_talk_obey(vkft_talk *talk, const char *line, const vkft_talk_listener *listener, vkft_reply *reply,
                    vkft_err *err);

/* Answers what the history ends with, a question, into the reply; the history stays as it is. whose: see the listener.
 */
bool vkft_talk_answer(vkft_talk *talk, bool adapted, const char *whose, const vkft_talk_listener *listener,
                      vkft_reply *reply, vkft_err *err);
/* The same as the talk goes on, with the answer in the history. */
bool vkft_talk_go_on(vkft_talk *talk, const vkft_talk_listener *listener, vkft_reply *reply, vkft_err *err);

#endif
