/* See held_text.h. */
#include "host/chat/held_text.h"

#include <string.h>

#include "runtime/base/size.h"

/* Where the first of the strings begins; the text's length: none is there. */
static size_t find_first(const vkft_text *text, const char *const *stops)
{
    size_t first = text->length;
    for (; *stops; stops++) {
        const char *at = **stops ? strstr(text->data, *stops) : NULL;
        if (at && (size_t)(at - text->data) < first)
            first = (size_t)(at - text->data);
    }
    return first;
}

/* How many bytes at the end of the text are the beginning of one of the strings. */
static size_t count_held(const vkft_text *text, const char *const *stops)
{
    size_t longest = 0;
    for (; *stops; stops++) {
        size_t length = strlen(*stops);
        for (size_t n = length && length - 1 < text->length ? length - 1 : length ? text->length : 0; n > longest; n--)
            if (memcmp(text->data + text->length - n, *stops, n) == 0)
                longest = n;
    }
    return longest;
}

/* Moves the first bytes to out. */
static bool show(vkft_text *held, size_t count, vkft_text *out, vkft_err *err)
{
    if (!vkft_text_append(out, held->data, count, err))
        return false;
    memmove(held->data, held->data + count, held->length - count + 1);
    held->length -= count;
    return true;
}

bool vkft_held_text_push(vkft_held_text *text, const char *part, size_t length, const char *const *stops,
                         vkft_text *out, vkft_err *err)
{
    vkft_text *held = &text->held;
    if (text->ended || !length)
        return true;
    if (!vkft_text_append(held, part, length, err))
        return false;
    size_t first = find_first(held, stops);
    text->ended = first < held->length;
    bool ok = show(held, text->ended ? first : held->length - count_held(held, stops), out, err);
    if (text->ended)
        held->length = 0;
    return ok;
}

bool vkft_held_text_finish(vkft_held_text *text, vkft_text *out, vkft_err *err)
{
    vkft_text *held = &text->held;
    return !held->length || show(held, held->length, out, err);
}

void vkft_held_text_free(vkft_held_text *text)
{
    vkft_text_free(&text->held);
    *text = (vkft_held_text){0};
}
