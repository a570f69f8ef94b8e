/* See markup.h. */
#include "host/plot/markup.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool vkft_markup_append(vkft_text *out, const char *markup, vkft_err *err)
{
    return vkft_text_append(out, markup, strlen(markup), err);
}

bool vkft_markup_escape(vkft_text *out, const char *text, vkft_err *err)
{
    bool ok = true;
    for (; ok && *text; text++) {
        switch (*text) {
        case '&': ok = vkft_markup_append(out, "&amp;", err); break;
        case '<': ok = vkft_markup_append(out, "&lt;", err); break;
        case '>': ok = vkft_markup_append(out, "&gt;", err); break;
        case '"': ok = vkft_markup_append(out, "&quot;", err); break;
        case '\'': ok = vkft_markup_append(out, "&#39;", err); break;
        default: ok = vkft_text_append(out, text, 1, err);
        }
    }
    return ok;
}

bool vkft_markup_format(vkft_text *out, vkft_err *err, const char *format, ...)
{
    char text[1001];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    assert(length >= 0 && (size_t)length < sizeof text);
    return vkft_text_append(out, text, (size_t)length, err);
}

const char *vkft_markup_colour(size_t index)
{
    static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                          "#56b4e9", "#d55e00", "#8c8c00", "#7f7f7f"};
    return colours[index % (sizeof colours / sizeof *colours)];
}
