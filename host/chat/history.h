/* The messages of a conversation, as chat templates take them, and which of them the model still sees. */
#ifndef VKFT_CHAT_HISTORY_H
#define VKFT_CHAT_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "runtime/base/error.h"

typedef struct vkft_history {
    cJSON *messages;    /* [{"role", "content"}, ...]; a system prompt is the first one */
    uint32_t forgotten; /* of those after the system prompt: the model sees them no more */
} vkft_history;

/* Empty. Error: out of memory, as in the functions below. Test: test_history */
bool vkft_history_new(vkft_history *history, vkft_err *err);
void vkft_history_free(vkft_history *history);

/* text NULL: none. */
bool vkft_history_set_system(vkft_history *history, const char *text, vkft_err *err);
const char *vkft_history_system(const vkft_history *history); /* NULL: none; until it is set again */

bool vkft_history_add(vkft_history *history, const char *role, const char *text, vkft_err *err);
/* Whether the last message is of this role. */
bool vkft_history_ends_with(const vkft_history *history, const char *role);
void vkft_history_remove_last(vkft_history *history);
/* All but the system prompt goes. */
void vkft_history_clear(vkft_history *history);
/* Becomes a copy of these messages. Error: they are no messages, or the last one is not the user's. */
bool vkft_history_replace(vkft_history *history, const cJSON *messages, vkft_err *err);

/* The oldest question that the model sees, and what was answered to it, are forgotten. false: it is the last one. */
bool vkft_history_forget(vkft_history *history);
/* What the model sees: free with cJSON_Delete; the messages in it are history's. NULL: out of memory. */
cJSON *vkft_history_seen(const vkft_history *history, vkft_err *err);

#endif
