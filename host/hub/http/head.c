/* Lines of heads. See answer.h. */
#include "host/hub/http/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_text(const char *value, char *text, size_t size)
{
    snprintf(text, size, "%s", value);
}

/* W/"abc" -> abc */
static void set_tag(const char *value, char *text, size_t size)
{
    if (strncmp(value, "W/", 2) == 0)
        value += 2;
    if (*value == '"')
        value++;
    snprintf(text, size, "%s", value);
    text[strcspn(text, "\"")] = 0;
}

static bool read_number(const char *text, uint64_t *number)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    *number = strtoull(text, &end, 10);
    return end != text;
}

/* "bytes 100-199/200" */
static void read_range(const char *value, vkft_hub_answer *a)
{
    const char *slash = strchr(value, '/');
    if (strncmp(value, "bytes ", 6) != 0 || !slash)
        return;
    read_number(value + 6, &a->first);
    if (!read_number(slash + 1, &a->whole))
        a->whole = UINT64_MAX;
}

static void take(vkft_hub_answer *a, const char *name, const char *value)
{
    uint64_t number;
    if (strcmp(name, "etag") == 0 && !a->tag[0])
        set_tag(value, a->tag, sizeof a->tag);
    else if (strcmp(name, "x-linked-etag") == 0)
        set_tag(value, a->tag, sizeof a->tag);
    else if (strcmp(name, "x-error-code") == 0)
        set_text(value, a->code, sizeof a->code);
    else if (strcmp(name, "x-error-message") == 0)
        set_text(value, a->words, sizeof a->words);
    else if (strcmp(name, "retry-after") == 0 && read_number(value, &number))
        a->retry_after = number < 1000000 ? (long)number : 1000000;
    else if (strcmp(name, "content-range") == 0)
        read_range(value, a);
    else if (strcmp(name, "x-linked-size") == 0 && a->status >= 300 && a->status < 400 && read_number(value, &number))
        a->whole = number;
    else if (strcmp(name, "content-length") == 0 && a->status == 200 && read_number(value, &number))
        a->whole = number;
}

void vkft_hub_head_line(vkft_hub_answer *answer, const char *line, size_t length)
{
    char text[2200], *value;
    if (length >= sizeof text)
        return;
    memcpy(text, line, length);
    text[length] = 0;
    while (length && (text[length - 1] == '\r' || text[length - 1] == '\n' || text[length - 1] == ' '))
        text[--length] = 0;
    if (strncmp(text, "HTTP/", 5) == 0) {
        const char *status = strchr(text, ' ');
        *answer =
            (vkft_hub_answer){.status = status ? strtol(status, NULL, 10) : 0, .whole = UINT64_MAX, .retry_after = -1};
        return;
    }
    if (!(value = strchr(text, ':')))
        return;
    *value++ = 0;
    while (*value == ' ' || *value == '\t')
        value++;
    for (char *p = text; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    for (char *p = value; *p; p++) /* they may be part of an error, which is one line of text */
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = ' ';
    take(answer, text, value);
}
