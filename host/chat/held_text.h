/* An answer that appears as it is made, without the strings that end it: what may be the beginning of one is held until
 * more is known. */
#ifndef VKFT_CHAT_HELD_TEXT_H
#define VKFT_CHAT_HELD_TEXT_H

#include "runtime/base/text.h"

/* Begins as all zeros. */
typedef struct vkft_held_text {
    vkft_text held;
    bool ended; /* one of the strings was there */
} vkft_held_text;

/* Appends to *out what can be shown after this part of the text: all that is before the first of the strings, but for
 * an end that one of them begins with. stops: up to a NULL. Error: out of memory. Test: test_held_text */
bool vkft_held_text_push(vkft_held_text *text, const char *part, size_t length, const char *const *stops,
                         vkft_text *out, vkft_err *err);
/* The text is over: appends what was held. */
bool vkft_held_text_finish(vkft_held_text *text, vkft_text *out, vkft_err *err);
void vkft_held_text_free(vkft_held_text *text);

#endif
