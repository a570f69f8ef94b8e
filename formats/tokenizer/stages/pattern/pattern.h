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

/* Zeroed before the first one. */
typedef struct vkft_match {
    size_t begin, end; /* both the text's length when it is not found */
    bool found;
} vkft_match;
/* The next match after this one; an empty one counts, unless it is at the end of the one before. text is valid UTF-8,
 * and characters are not cut. Error: the expression needs more steps or memory than PCRE2 may use. */
bool vkft_pattern_next(const vkft_pattern *pattern, const char *text, size_t length, vkft_match *match, vkft_err *err);

#endif
