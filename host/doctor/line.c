/* See line.h. */
#include "host/doctor/line.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void vkft_doctor_tell(const vkft_doctor_listener *to, const char *kind, const char *more, const char *what, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, what);
    vsnprintf(text, sizeof text, what, arguments);
    va_end(arguments);
    to->line(to->context, &(vkft_doctor_line){kind, text, more ? more : "", ""});
}

void vkft_doctor_line_text(const vkft_doctor_line *line, char *text, size_t size)
{
    const char *const parts[] = {line->kind, line->a, line->b, line->c};
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        if (n + 1 < size)
            text[n++] = '\t';
        for (const char *c = parts[i]; *c && n + 1 < size; c++)
            text[n++] = (unsigned char)*c < ' ' ? ' ' : *c;
    }
    text[n] = 0;
}

vkft_doctor_line vkft_doctor_line_parse(char *text)
{
    char *part[4] = {"", "", "", ""};
    if (text[0] != '\t')
        return (vkft_doctor_line){"said", text, "", ""};
    for (int i = 0; i < 4 && *text == '\t'; i++) {
        *text++ = 0;
        part[i] = text;
        text += strcspn(text, "\t");
    }
    *text = 0;
    return (vkft_doctor_line){part[0], part[1], part[2], part[3]};
}
