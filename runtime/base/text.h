/* Texts: growing ones, copies, endings, the nearest word to a mistyped one, sizes and times in words. */
#ifndef VKFT_TEXT_H
#define VKFT_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/base/error.h"

/* A growing text; starts as all zeros. */
typedef struct vkft_text {
    char *data; /* zero-terminated; may contain zero bytes; NULL before the first append */
    size_t length, capacity;
} vkft_text;

/* Appends bytes and keeps a zero after the last one. */
bool vkft_text_append(vkft_text *text, const char *data, size_t length, vkft_err *err);
/* The same; an error when the text would have more than limit bytes. */
bool vkft_text_append_within(vkft_text *text, size_t limit, const char *data, size_t length, vkft_err *err);
/* Replaces text by the next line without its newline ("\n" or "\r\n"), zero bytes included. false: end of input, or
 * *failed (out of memory, read error). */
bool vkft_text_read_line(FILE *in, vkft_text *text, bool *failed);
void vkft_text_free(vkft_text *text);
/* Appends an argument so that a shell reads it back as one, whatever it holds; on_windows: so that cmd.exe and the
 * program do, of which cmd.exe still replaces %NAME%. */
bool vkft_text_append_argument(vkft_text *text, bool on_windows, const char *argument, vkft_err *err);

/* A copy, malloc'ed; NULL when out of memory. */
char *vkft_string_copy(const char *string);
/* Whether `ending` is the last part of the string and not all of it: "a.json" ends with ".json", ".json" does not. */
bool vkft_string_ends_with(const char *string, const char *ending);
/* For qsort of an array of strings. */
int vkft_string_compare(const void *a, const void *b);
/* The nearest of names to a mistyped word, or NULL when none is near. */
const char *vkft_string_nearest(const char *word, const char *const *names, uint32_t count);

/* The white space of JSON: space, tab, newline, carriage return. */
static inline bool vkft_is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* As Python's repr of a float: the shortest digits that read back as the same number, "2.0", "1e+16", "nan". */
void vkft_float_text(double number, char *text, size_t size);
/* "1.5 KiB", "2.00 GiB". */
void vkft_bytes_text(uint64_t bytes, char *text, size_t size);
/* "1:02:03" or "2:03", rounded to seconds. */
void vkft_time_text(double seconds, char *text, size_t size);

#endif
