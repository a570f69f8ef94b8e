/* What a server answers. */
#ifndef VKFT_HUB_ANSWER_H
#define VKFT_HUB_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "host/hub/settings.h"
#include "runtime/base/error.h"

/* What the head of an answer says. */
typedef struct vkft_hub_answer {
    long status;
    uint64_t first;            /* of the bytes that the body has, by Content-Range; 0 without */
    uint64_t whole;            /* bytes of the whole file; UINT64_MAX: not said */
    long retry_after;          /* seconds; -1: not said */
    char tag[80];              /* X-Linked-Etag, else ETag, without quotation marks */
    char code[48], words[256]; /* X-Error-Code, X-Error-Message */
} vkft_hub_answer;

/* Takes a line "Name: value" of a head into the answer; a line "HTTP/..." begins a new one. */
void vkft_hub_head_line(vkft_hub_answer *answer, const char *line, size_t length);

/* Fills err with what an answer that is no success means; returns false. */
bool vkft_hub_fail_answer(const vkft_hub_settings *settings, const char *what, const vkft_hub_answer *answer,
                          vkft_err *err);

#endif
