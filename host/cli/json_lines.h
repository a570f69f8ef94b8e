/* Lines of text and JSON strings, exactly: any length, zero bytes included, which C strings and cJSON cannot carry. */
#ifndef VKFT_JSON_LINES_H
#define VKFT_JSON_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "runtime/base/text.h"

/* Replaces line by the next one without its newline ("\n" or "\r\n"). false: end of input, or *failed (out of memory,
 * read error). */
bool line_read(FILE *in, vkft_text *line, bool *failed);

/* Parses one JSON string, spaces around it allowed, and appends what it says to out as UTF-8; a surrogate without its
 * partner becomes U+FFFD. false: not a JSON string, or out of memory; *problem says which. */
bool json_string_parse(const char *text, size_t length, vkft_text *out, const char **problem);

/* Appends text as a JSON string. UTF-8 stays as it is. */
bool json_string_write(const char *text, size_t length, vkft_text *out);

#endif
