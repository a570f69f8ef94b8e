/* Patterns of tokenizer.json: a literal string or a regular expression. */
#ifndef VKFT_TOKENIZER_PATTERN_H
#define VKFT_TOKENIZER_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/base/error.h"

/* A literal string or a regular expression. */
typedef struct vkft_pattern {
    char *literal; /* or */
    pcre2_code *regex;
    char *name; /* of the expression in errors: where it stands, and the beginning of its text */
} vkft_pattern;

/* json: {"String": "..."} or {"Regex": "..."}. */
bool vkft_pattern_new(vkft_pattern *pattern, const cJSON *json, const char *where, vkft_err *err);
bool vkft_pattern_regex(vkft_pattern *pattern, const char *expression, const char *where, vkft_err *err);
void vkft_pattern_free(vkft_pattern *pattern);
/* The first non-empty match at or after start: *begin and *end; both are length when there is none. text is valid UTF-8
 * and start the beginning of a character, and so are *begin and *end. Error: the expression needs more steps or memory
 * than PCRE2 may use. */
bool vkft_pattern_find(const vkft_pattern *pattern, const char *text, size_t length, size_t start, size_t *begin,
                       size_t *end, vkft_err *err);

#endif
