/* A command's flags as a recipe. See flags.h. */
#include "host/cli/flags/flags_private.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/utf8.h"

/* Whether YAML takes the character as it is in a text between double quotes. */
static bool is_plain(uint32_t point)
{
    return point >= 0x20 && (point < 0x7f || point >= 0xa0) && point != '"' && point != '\\' && point != 0x2028 &&
           point != 0x2029 && point != 0xfeff && point != 0xfffe && point != 0xffff;
}

static bool print_text(const flag *f, const char *text, FILE *out, vkft_err *err)
{
    size_t length = strlen(text);
    if (!vkft_utf8_valid(text, length))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "--%s: '%s' is not UTF-8, as a recipe must be; rename the file, or use the flag", f->name,
                         text);
    fputc('"', out);
    for (size_t at = 0, n; at < length; at += n) {
        n = vkft_utf8_length(text + at, length - at);
        uint32_t point = vkft_utf8_decode(text + at, n);
        if (is_plain(point))
            fwrite(text + at, 1, n, out);
        else
            fprintf(out, "\\u%04x", point);
    }
    fputc('"', out);
    return true;
}

static bool print_texts(const flag *f, const char *const *texts, FILE *out, vkft_err *err)
{
    fputc('[', out);
    for (uint32_t i = 0; texts[i]; i++) {
        if (i)
            fputs(", ", out);
        if (!print_text(f, texts[i], out, err))
            return false;
    }
    fputc(']', out);
    return true;
}

/* The text of FLAG_TEXT, the first one of FLAG_TEXTS; NULL: none, or another kind. */
static const char *first_text(const flag *f, const void *options)
{
    bool is_text = f->kind == FLAG_TEXT || f->kind == FLAG_TEXTS;
    return is_text ? *(const char *const *)(const void *)((const char *)options + f->offset) : NULL;
}

static bool is_given(const flag *f, const void *options)
{
    return !f->given || *(const bool *)((const char *)options + f->given);
}

/* Whether the flag stays as it is without a line: a text that is absent, or a value that only stands for what
 * default_text says. */
static bool has_no_value(const flag *f, const void *options, const char *value)
{
    if (f->kind == FLAG_TEXT || f->kind == FLAG_TEXTS)
        return !first_text(f, options);
    if (f->default_text && !is_given(f, options)) /* "nf4; stored for ..." begins with its value */
        return f->kind != FLAG_CHOICE || strncmp(f->default_text, value, strlen(value)) != 0;
    return f->default_text && f->kind != FLAG_SWITCH && f->kind != FLAG_CHOICE &&
           !flag_in_range(&f->range, strtod(value, NULL));
}

/* Why a line with the value would change what it should record, or only bring a note; NULL: it would not. */
static const char *why_not(const flag_table *table, const flag *f, const void *options)
{
    for (const flag_idle *row = table->idle; row && row->flag; row++)
        if (strcmp(row->flag, f->name) == 0 && row->where(options))
            return row->why;
    return is_given(f, options) ? NULL : "";
}

static bool print_flag(const flag_table *table, const flag *f, const void *options, FILE *out, vkft_err *err)
{
    char value[256];
    flag_value_text(f, options, value, sizeof value);
    bool none = has_no_value(f, options, value), texts = f->kind == FLAG_TEXTS, text = f->kind == FLAG_TEXT;
    const char *why = why_not(table, f, options);
    fprintf(out, "%s%s: ", why && !none ? "# " : "", f->name);
    if (none)
        fputs("null", out);
    else if (f->kind == FLAG_SWITCH)
        fputs(strcmp(value, "on") == 0 ? "true" : "false", out);
    else if (!text && !texts)
        fputs(value, out);
    else if (!(texts ? print_texts(f, (const char *const *)(const void *)((const char *)options + f->offset), out, err)
                     : print_text(f, first_text(f, options), out, err)))
        return false;
    if (none && f->default_text && *f->default_text && strcmp(f->default_text, "none") != 0)
        fprintf(out, "   # %s", f->default_text);
    else if (why && !none)
        fprintf(out, "   # %s%s%s%s", *why ? "no effect " : "the default", why, !*why && f->default_text ? ": " : "",
                !*why && f->default_text ? f->default_text : "");
    fputc('\n', out);
    return true;
}

bool flags_print_recipe(const flag_table *table, const void *options, const char *const *without, FILE *out,
                        vkft_err *err)
{
    bool ok = true;
    for (uint32_t i = 0; ok && i < table->count; i++) {
        const flag *f = &table->flags[i];
        bool left_out = false;
        for (size_t w = 0; without[w]; w++)
            left_out |= strcmp(f->name, without[w]) == 0;
        if (f->kind == FLAG_HEADING)
            fprintf(out, "\n# %s\n", f->name);
        else if (!left_out)
            ok = print_flag(table, f, options, out, err);
    }
    return ok;
}
