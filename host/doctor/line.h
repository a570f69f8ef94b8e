/* What the doctor says, line by line: a child that examines a device prints such lines, and its parent reads them.
 *
 * kind       a                b         c
 * "section"  title                               what follows is about this
 * "fact"     name             value              for the report alone
 * "ok", "note", "warning", "problem"
 *            what was found   the line that mends it, or ""
 * "stage"    what is done now
 * "device"   index            name               of a listing
 * "kernel"   name             what is wrong      computes wrong results
 * "said"     text                                by a driver or a library, on the way
 * "ready", "unusable"
 *            why not                             the verdict on a device
 *
 * Test: test_line */
#ifndef VKFT_DOCTOR_LINE_H
#define VKFT_DOCTOR_LINE_H

#include <stdbool.h>

#include "runtime/base/error.h"

typedef struct vkft_doctor_line {
    const char *kind, *a, *b, *c; /* never NULL */
} vkft_doctor_line;

/* Who is told. */
typedef struct vkft_doctor_listener {
    void (*line)(void *context, const vkft_doctor_line *line);
    void *context;
} vkft_doctor_listener;

/* what: format of the first text. more: the second, or NULL. */
void vkft_doctor_tell(const vkft_doctor_listener *to, const char *kind, const char *more, const char *what, ...)
    VKFT_PRINTF(4, 5);

/* As one line of text: each part after a tab, without tabs and newlines of its own. */
void vkft_doctor_line_text(const vkft_doctor_line *line, char *text, size_t size);
/* The reverse; cuts text up. Anything else is "said". */
vkft_doctor_line vkft_doctor_line_parse(char *text);

#endif
