/* Lines and JSON strings. */
#include "host/cli/json_lines.h"

#include <stdint.h>
#include <string.h>

#include "runtime/base/utf8.h"

bool line_read(FILE *in, vkft_text *line, bool *failed)
{
    line->length = 0;
    *failed = !vkft_text_append(line, "", 0, NULL);
    int c = EOF;
    while (!*failed && (c = getc(in)) != EOF && c != '\n') {
        char byte = (char)c;
        *failed = !vkft_text_append(line, &byte, 1, NULL);
    }
    *failed = *failed || ferror(in);
    if (*failed || (c == EOF && line->length == 0))
        return false;
    if (line->length && line->data[line->length - 1] == '\r')
        line->data[--line->length] = 0;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of \uXXXX at p, or -1. */
static int32_t hex_unit(const char *p, const char *end)
{
    int32_t unit = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* Reads \uXXXX, with *p after the u, and the second half of a pair where there is one. -1: not four hex digits. */
static int32_t unicode_escape(const char **p, const char *end)
{
    int32_t unit = hex_unit(*p, end);
    if (unit < 0)
        return -1;
    *p += 4;
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit;
    if (unit < 0xDC00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        int32_t low = hex_unit(*p + 2, end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            *p += 6;
            return 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        }
    }
    return 0xFFFD;
}

/* One escape, with *p after the backslash; the code point, or -1. */
static int32_t escape(const char **p, const char *end)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (*p == end)
        return -1;
    char c = *(*p)++;
    if (c == 'u')
        return unicode_escape(p, end);
    const char *at = c ? strchr(names, c) : NULL;
    return at ? meanings[at - names] : -1;
}

static const char *skip_spaces(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return p;
}

bool json_string_parse(const char *text, size_t length, vkft_text *out, const char **problem)
{
    const char *end = text + length, *p = skip_spaces(text, end);
    *problem = "expected a JSON string in double quotes";
    if (p == end || *p++ != '"')
        return false;
    while (p < end && *p != '"') {
        const char *start = p;
        while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20)
            p++;
        bool stored = vkft_text_append(out, start, (size_t)(p - start), NULL);
        if (stored && p < end && *p == '\\') {
            p++;
            int32_t c = escape(&p, end);
            *problem = "wrong escape in the JSON string";
            if (c < 0)
                return false;
            char character[4];
            stored = vkft_text_append(out, character, vkft_utf8_encode((uint32_t)c, character), NULL);
        } else if (p < end && *p != '"') {
            *problem = "control character in the JSON string, write it as \\u00XX";
            return false;
        }
        *problem = "out of memory";
        if (!stored)
            return false;
    }
    *problem = "the JSON string does not end";
    if (p == end)
        return false;
    *problem = "something follows the JSON string";
    return skip_spaces(p + 1, end) == end;
}

bool json_string_write(const char *text, size_t length, vkft_text *out)
{
    bool ok = vkft_text_append(out, "\"", 1, NULL);
    for (size_t i = 0; ok && i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[8];
        if (c == '"' || c == '\\')
            ok = vkft_text_append(out, "\\", 1, NULL) && vkft_text_append(out, text + i, 1, NULL);
        else if (c == '\n')
            ok = vkft_text_append(out, "\\n", 2, NULL);
        else if (c < 0x20)
            ok = vkft_text_append(out, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c), NULL);
        else
            ok = vkft_text_append(out, text + i, 1, NULL);
    }
    return ok && vkft_text_append(out, "\"", 1, NULL);
}
