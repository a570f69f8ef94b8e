/* See children.h. */
#include "host/doctor/children.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/doctor/examine.h"
#include "runtime/base/os/child.h"

#define MARK "--child"
#define MAX_ARGUMENTS 8

/* What a child has said so far. */
typedef struct reader {
    const vkft_doctor_listener *to;
    char line[2048]; /* the present one */
    size_t length;
    char stage[200]; /* what it was doing last */
    char said[200];  /* and the last words of its driver */
} reader;

static void finish_line(reader *r)
{
    r->line[r->length] = 0;
    r->length = 0;
    if (!r->line[0])
        return;
    vkft_doctor_line line = vkft_doctor_line_parse(r->line);
    if (strcmp(line.kind, "stage") == 0)
        snprintf(r->stage, sizeof r->stage, "%.199s", line.a);
    if (strcmp(line.kind, "said") == 0)
        snprintf(r->said, sizeof r->said, "%.199s", line.a);
    r->to->line(r->to->context, &line);
}

static void read_bytes(reader *r, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '\n')
            finish_line(r);
        else if (data[i] != '\r' && r->length + 1 < sizeof r->line)
            r->line[r->length++] = data[i];
    }
}

bool vkft_child_run(const char *const *arguments, const char *const *environment, uint32_t timeout_s,
                    const vkft_doctor_listener *to, char why[VKFT_CHILD_WHY])
{
    const char *all[MAX_ARGUMENTS] = {"doctor", MARK};
    for (int i = 0; arguments[i]; i++)
        all[i + 2] = arguments[i];
    vkft_os_child *child = vkft_os_child_start(all, environment);
    if (!child) {
        snprintf(why, VKFT_CHILD_WHY, "a child process cannot be started: %s", strerror(errno));
        return false;
    }
    char data[4096];
    reader r = {.to = to};
    long long n;
    while ((n = vkft_os_child_read(child, data, sizeof data, timeout_s)) > 0)
        read_bytes(&r, data, (size_t)n);
    finish_line(&r);
    bool silent = n < 0;
    vkft_os_ending ending;
    vkft_os_child_end(child, silent, &ending);
    if (!silent && !ending.crashed)
        return true;
    size_t length = 0;
    if (silent)
        length = (size_t)snprintf(why, VKFT_CHILD_WHY, "the driver did not answer for %u s and was ended", timeout_s);
    else
        length = (size_t)snprintf(why, VKFT_CHILD_WHY, "the driver crashed: %s", ending.how);
    if (r.stage[0])
        length += (size_t)snprintf(why + length, VKFT_CHILD_WHY - length, ", in: %s", r.stage);
    if (r.said[0])
        snprintf(why + length, VKFT_CHILD_WHY - length, "; its last words: %s", r.said);
    return false;
}

static void print_line(void *context, const vkft_doctor_line *line)
{
    char text[2048];
    (void)context;
    vkft_doctor_line_text(line, text, sizeof text);
    printf("%s\n", text);
    fflush(stdout); /* before the driver may crash */
}

bool vkft_doctor_is_child(int argc, char **argv, int *code)
{
    const vkft_doctor_listener to = {.line = print_line};
    if (argc < 2 || strcmp(argv[0], MARK) != 0)
        return false;
    const char *selector = argc > 2 ? argv[2] : NULL;
    bool ok = false;
    if (strcmp(argv[1], "list") == 0)
        ok = vkft_doctor_list(&to);
    else if (strcmp(argv[1], "probe") == 0)
        ok = vkft_doctor_probe(selector, &to);
    else if (strcmp(argv[1], "examine") == 0)
        ok = vkft_doctor_examine(selector, argc > 3 && strcmp(argv[3], "quick") == 0, &to);
    *code = !ok;
    return true;
}
