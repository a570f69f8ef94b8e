/* Lines and JSON strings. See line.h. */
#include "host/cli/json_lines.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

bool text_append(vkft_text *text, const char *data, size_t length)
{
    if (length > SIZE_MAX / 2 - text->length - 1)
        return false;
    size_t need = text->length + length + 1;
    if (need > text->capacity) {
        size_t capacity = need < 128 ? 128 : need + need / 2;
        char *grown = realloc(text->data, capacity);
        if (!grown)
            return false;
        text->data = grown;
        text->capacity = capacity;
    }
    memcpy(text->data + text->length, data, length);
    text->length += length;
    text->data[text->length] = 0;
    return true;
}

bool line_read(FILE *in, vkft_text *line, bool *failed)
{
    line->length = 0;
    *failed = !text_append(line, "", 0);
    int c = EOF;
    while (!*failed && (c = getc(in)) != EOF && c != '\n') {
        char byte = (char)c;
        *failed = !text_append(line, &byte, 1);
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

static bool append_code_point(vkft_text *out, uint32_t c)
{
    char utf8[4];
    size_t n;
    if (c < 0x80) {
        utf8[0] = (char)c;
        n = 1;
    } else if (c < 0x800) {
        utf8[0] = (char)(0xC0 | c >> 6);
        utf8[1] = (char)(0x80 | (c & 63));
        n = 2;
    } else if (c < 0x10000) {
        utf8[0] = (char)(0xE0 | c >> 12);
        utf8[1] = (char)(0x80 | (c >> 6 & 63));
        utf8[2] = (char)(0x80 | (c & 63));
        n = 3;
    } else {
        utf8[0] = (char)(0xF0 | c >> 18);
        utf8[1] = (char)(0x80 | (c >> 12 & 63));
        utf8[2] = (char)(0x80 | (c >> 6 & 63));
        utf8[3] = (char)(0x80 | (c & 63));
        n = 4;
    }
    return text_append(out, utf8, n);
}

/* Reads \uXXXX, with *p behind the u, and the second half of a pair where there is one. -1: not four hex digits. */
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

/* One escape, with *p behind the backslash; the code point, or -1. */
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
        bool stored = text_append(out, start, (size_t)(p - start));
        if (stored && p < end && *p == '\\') {
            p++;
            int32_t c = escape(&p, end);
            *problem = "wrong escape in the JSON string";
            if (c < 0)
                return false;
            stored = append_code_point(out, (uint32_t)c);
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
    bool ok = text_append(out, "\"", 1);
    for (size_t i = 0; ok && i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        char escaped[8];
        if (c == '"' || c == '\\')
            ok = text_append(out, "\\", 1) && text_append(out, text + i, 1);
        else if (c == '\n')
            ok = text_append(out, "\\n", 2);
        else if (c < 0x20)
            ok = text_append(out, escaped, (size_t)snprintf(escaped, sizeof escaped, "\\u%04x", c));
        else
            ok = text_append(out, text + i, 1);
    }
    return ok && text_append(out, "\"", 1);
}
