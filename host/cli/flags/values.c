/* The values of flags: read from text, and as text again, for help and for what a run was started with. */
#include "host/cli/flags/flags_private.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *choice_name(const flag *f, const void *member)
{
    int value;
    memcpy(&value, member, sizeof value);
    for (const flag_choice *c = f->choices; c->name; c++)
        if (c->value == value)
            return c->name;
    return "";
}

/* The shortest text that reads back as x; single: as a float. Whole numbers that people write out are written out. */
static void number_text(double x, bool single, char *text, size_t size)
{
    if (fabs(x) < 1e6 && x == floor(x)) {
        snprintf(text, size, "%.0f", x == 0 ? 0.0 : x); /* -0 is 0 */
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, x);
        double back = strtod(text, NULL);
        if (back == x || (single && (float)back == (float)x))
            return;
    }
}

static void texts_text(const void *member, char *text, size_t size)
{
    const char *const *texts = member;
    snprintf(text, size, "%s", texts[0] ? texts[0] : "none");
    for (uint32_t i = 1; texts[0] && texts[i]; i++) {
        size_t n = strlen(text);
        snprintf(text + n, size - n, ", %s", texts[i]);
    }
}

void flag_value_text(const flag *f, const void *options, char *text, size_t size)
{
    const void *member = (const char *)options + f->offset;
    text[0] = 0;
    switch (f->kind) {
    case FLAG_SWITCH: snprintf(text, size, "%s", *(const bool *)member ? "on" : "off"); break;
    case FLAG_U32: snprintf(text, size, "%u", *(const uint32_t *)member); break;
    case FLAG_U64: snprintf(text, size, "%llu", (unsigned long long)*(const uint64_t *)member); break;
    case FLAG_I64: snprintf(text, size, "%lld", (long long)*(const int64_t *)member); break;
    case FLAG_FLOAT: number_text((double)*(const float *)member, true, text, size); break;
    case FLAG_DOUBLE: number_text(*(const double *)member, false, text, size); break;
    case FLAG_TEXT: {
        const char *value = *(const char *const *)member;
        snprintf(text, size, "%s", value ? value : "none");
        break;
    }
    case FLAG_TEXTS: texts_text(member, text, size); break;
    case FLAG_CHOICE: snprintf(text, size, "%s", choice_name(f, member)); break;
    case FLAG_HEADING: break;
    }
}

bool flags_settings(const flag_table *table, const void *options, vkft_settings *settings, vkft_err *err)
{
    *settings = (vkft_settings){.list = calloc(table->count + 1u, sizeof *settings->list)};
    for (uint32_t i = 0; settings->list && i < table->count; i++) {
        const flag *f = &table->flags[i];
        if (f->kind == FLAG_HEADING)
            continue;
        char number[64];
        const char *text = number;
        flag_value_text(f, options, number, sizeof number);
        if (f->kind == FLAG_TEXT) /* of any length */
            text = *(const char *const *)(const void *)((const char *)options + f->offset);
        vkft_setting *s = &settings->list[settings->count++];
        *s = (vkft_setting){f->name, strdup(text ? text : number), f->same_run};
        if (!s->value)
            break;
    }
    if (settings->list && (!settings->count || settings->list[settings->count - 1].value))
        return true;
    flags_settings_free(settings);
    return vkft_fail_memory(err, "for the settings of the run");
}

void flags_settings_free(vkft_settings *settings)
{
    for (uint32_t i = 0; i < settings->count; i++)
        free(settings->list[i].value);
    free(settings->list);
    *settings = (vkft_settings){0};
}

void flag_range_text(const flag_range *range, char *text, size_t size)
{
    text[0] = 0;
    if (range->min == 0 && range->max == 0)
        return;
    int n = snprintf(text, size, "%s %.10g", range->above_min ? "above" : "at least", range->min);
    if (isfinite(range->max) && n >= 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " and %s %.10g", range->below_max ? "below" : "at most", range->max);
}

bool flag_in_range(const flag_range *range, double x)
{
    if (range->min == 0 && range->max == 0)
        return true;
    return (range->above_min ? x > range->min : x >= range->min) &&
           (range->below_max ? x < range->max : x <= range->max);
}

bool flag_wrong_number(const flag *f, const char *text, const char *origin, vkft_err *err)
{
    char range[64];
    flag_range_text(&f->range, range, sizeof range);
    const char *what = f->kind == FLAG_FLOAT || f->kind == FLAG_DOUBLE ? "number" : "whole number";
    return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected a %s%s%s, found '%s'", origin, what, range[0] ? ", " : "",
                     range, text);
}

static bool set_integer(const flag *f, void *member, const char *text, const char *origin, vkft_err *err)
{
    char *end = NULL;
    errno = 0;
    if (f->kind == FLAG_I64) {
        long long x = strtoll(text, &end, 10);
        if (end == text || *end || errno || !flag_in_range(&f->range, (double)x))
            return flag_wrong_number(f, text, origin, err);
        *(int64_t *)member = x;
        return true;
    }
    unsigned long long x = strtoull(text, &end, 10);
    bool fits = f->kind == FLAG_U64 || x <= UINT32_MAX;
    if (end == text || *end || errno || strchr(text, '-') || !fits || !flag_in_range(&f->range, (double)x))
        return flag_wrong_number(f, text, origin, err);
    if (f->kind == FLAG_U64)
        *(uint64_t *)member = x;
    else
        *(uint32_t *)member = (uint32_t)x;
    return true;
}

static bool set_number(const flag *f, void *member, const char *text, const char *origin, vkft_err *err)
{
    char *end = NULL;
    double x = strtod(text, &end);
    bool single = f->kind == FLAG_FLOAT;
    if (single) /* what is stored must be in range: 1e-50 is above 0, but its float is not */
        x = (double)(float)x;
    if (end == text || *end || !isfinite(x) || !flag_in_range(&f->range, x))
        return flag_wrong_number(f, text, origin, err);
    if (single)
        *(float *)member = (float)x;
    else
        *(double *)member = x;
    return true;
}

bool flag_read_switch(const char *text, bool *on)
{
    static const char *const yes[] = {"true", "True", "yes", "on", "1"};
    static const char *const no[] = {"false", "False", "no", "off", "0"};
    for (uint32_t i = 0; i < FLAG_COUNT(yes); i++) {
        *on = strcmp(text, yes[i]) == 0;
        if (*on || strcmp(text, no[i]) == 0)
            return true;
    }
    return false;
}

bool flag_wrong_switch(const char *text, const char *origin, vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected true or false, found '%s'", origin, text);
}

static const flag_choice *find_choice(const flag *f, const char *text, const char *origin, vkft_err *err)
{
    char list[512] = "";
    size_t length = 0;
    bool coming = false;
    for (const flag_choice *c = f->choices; c->name; c++) {
        bool named = strcmp(c->name, text) == 0;
        if (named && !c->coming)
            return c;
        coming |= named;
        if (!c->coming && length < sizeof list)
            length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", length ? ", " : "", c->name);
    }
    if (coming)
        vkft_fail(err, VKFT_ERR_USAGE, "%s: '%s' is not in this version; use one of %s", origin, text, list);
    else
        vkft_fail(err, VKFT_ERR_USAGE, "%s: expected %s, found '%s'", origin, list, text);
    return NULL;
}

void flag_clear_texts(const flag *f, void *options)
{
    const char **texts = (const char **)(void *)((char *)options + f->offset);
    texts[0] = NULL;
}

static bool add_text(const flag *f, const char **texts, const char *text, const char *origin, vkft_err *err)
{
    uint32_t n = 0;
    while (texts[n])
        n++;
    if (!*text)
        return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected %s, found nothing", origin, f->value);
    if (n == FLAG_TEXTS_MAX)
        return vkft_fail(err, VKFT_ERR_USAGE, "%s: '%s' is one more than the %d that can be given", origin, text,
                         FLAG_TEXTS_MAX);
    texts[n] = text;
    texts[n + 1] = NULL;
    return true;
}

bool flag_set_value(const flag *f, void *options, const char *text, const char *origin, vkft_err *err)
{
    char *member = (char *)options + f->offset;
    bool ok = true;
    switch (f->kind) {
    case FLAG_SWITCH: {
        bool on;
        ok = flag_read_switch(text, &on) || flag_wrong_switch(text, origin, err);
        if (ok)
            *(bool *)member = on;
        break;
    }
    case FLAG_U32:
    case FLAG_U64:
    case FLAG_I64: ok = set_integer(f, member, text, origin, err); break;
    case FLAG_FLOAT:
    case FLAG_DOUBLE: ok = set_number(f, member, text, origin, err); break;
    case FLAG_TEXT:
        if (!*text && !f->may_be_empty)
            return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected %s, found nothing", origin,
                             f->value ? f->value : f->name);
        ok = !f->choices || find_choice(f, text, origin, err);
        if (ok)
            *(const char **)(void *)member = text;
        break;
    case FLAG_TEXTS: ok = add_text(f, (const char **)(void *)member, text, origin, err); break;
    case FLAG_CHOICE: {
        const flag_choice *choice = find_choice(f, text, origin, err);
        ok = choice != NULL;
        if (ok)
            memcpy(member, &choice->value, sizeof choice->value);
        break;
    }
    case FLAG_HEADING: break;
    }
    if (ok && f->given)
        *(bool *)((char *)options + f->given) = true;
    return ok;
}
