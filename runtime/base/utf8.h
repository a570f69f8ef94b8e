/* UTF-8: checking, decoding, encoding. */
#ifndef VKFT_UTF8_H
#define VKFT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/text.h"

/* Length of the character at s (1 to 4), 0 when the bytes are not valid UTF-8 (overlong, surrogate, cut off). */
size_t vkft_utf8_length(const char *s, size_t available);
/* The same, and 1 for a byte that begins no character: loops over text always come to its end. 0 only at the end. */
size_t vkft_utf8_step(const char *s, size_t available);
bool vkft_utf8_valid(const char *s, size_t length);
/* Code point of a valid character. */
uint32_t vkft_utf8_decode(const char *s, size_t length);
bool vkft_utf8_is_space(uint32_t point); /* Unicode's White_Space */
/* Writes 1 to 4 bytes and returns their number. */
size_t vkft_utf8_encode(uint32_t point, char out[4]);

/* Appends text with each maximal invalid part replaced by U+FFFD, as Python's errors="replace" does. */
bool vkft_text_append_valid(vkft_text *text, const char *data, size_t length, vkft_err *err);

#endif
