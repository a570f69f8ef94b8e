/* "name=value,...". See arguments.h. */
#include "host/trainable/optimizer/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct parser {
    const vkft_argument *list;
    uint32_t count;
    const char *flag, *owner;
} parser;

static bool fail_unknown(const parser *p, const char *name, size_t length, vkft_err *err)
{
    char known[160] = "none";
    for (uint32_t i = 0, at = 0; i < p->count; i++)
        at += (uint32_t)snprintf(known + at, sizeof known - at, "%s%s", i ? ", " : "", p->list[i].name);
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: %s has no argument '%.*s'; it has: %s", p->flag, p->owner, (int)length,
                     name, known);
}

static bool fail_value(const parser *p, const vkft_argument *argument, const char *text, size_t length, vkft_err *err)
{
    char expected[128];
    if (argument->words) {
        uint32_t at = (uint32_t)snprintf(expected, sizeof expected, "one of ");
        for (const char *const *word = argument->words; *word; word++)
            at += (uint32_t)snprintf(expected + at, sizeof expected - at, "%s%s", word > argument->words ? ", " : "",
                                     *word);
    } else {
        snprintf(expected, sizeof expected, "at least %g and below %g", argument->minimum, argument->below);
    }
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: found '%.*s', expected %s=X with X %s", p->flag, (int)length, text,
                     argument->name, expected);
}

/* The value in `length` characters; false: none, or out of range. */
static bool read_value(const vkft_argument *argument, const char *text, size_t length, double *value)
{
    char *end = NULL;
    if (argument->words) {
        for (uint32_t i = 0; argument->words[i]; i++)
            if (strlen(argument->words[i]) == length && memcmp(argument->words[i], text, length) == 0) {
                *value = i;
                return true;
            }
        return false;
    }
    *value = strtod(text, &end);
    return length && end == text + length && *value >= argument->minimum && *value < argument->below;
}

/* One "name=value", `length` characters. */
static bool parse_one(const parser *p, const char *text, size_t length, double *values, vkft_err *err)
{
    const char *equals = memchr(text, '=', length);
    size_t name = equals ? (size_t)(equals - text) : length;
    uint32_t i = 0;
    while (i < p->count && (strlen(p->list[i].name) != name || memcmp(p->list[i].name, text, name) != 0))
        i++;
    if (i == p->count)
        return fail_unknown(p, text, name, err);
    if (!equals || !read_value(&p->list[i], equals + 1, length - name - 1, &values[i]))
        return fail_value(p, &p->list[i], text, length, err);
    return true;
}

bool vkft_arguments_parse(const vkft_argument *list, uint32_t max, const char *flag, const char *owner,
                          const char *text, double *values, vkft_err *err)
{
    parser p = {.list = list, .flag = flag, .owner = owner};
    while (p.count < max && list[p.count].name) {
        values[p.count] = list[p.count].value;
        p.count++;
    }
    while (text && *text) {
        size_t length = strcspn(text, ",");
        if (!parse_one(&p, text, length, values, err))
            return false;
        text += length + (text[length] == ',');
    }
    return true;
}
