/* Lines of standard input as a person types them, or as they come through a pipe. At a terminal they can be edited:
 * with libedit where it is there, by the console on Windows. Lines have any length and are UTF-8. */
#ifndef VKFT_LINE_INPUT_H
#define VKFT_LINE_INPUT_H

#include <stdbool.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"

typedef struct line_input line_input;

typedef enum line_input_outcome {
    LINE_INPUT_READ,
    LINE_INPUT_END,         /* Ctrl-D, the end of a file, a terminal that is gone */
    LINE_INPUT_INTERRUPTED, /* interrupt_requested */
    LINE_INPUT_FAILED,
} line_input_outcome;

/* edits: there is a person at a terminal, whom a prompt is shown. After interrupt_install. NULL: out of memory. */
line_input *line_input_open(bool edits, vkft_err *err);
void line_input_close(line_input *input);

/* Replaces *line by the next one without its newline. Error: a read error, a zero byte, a line above 64 MiB. What is no
 * UTF-8 becomes U+FFFD. Test: test_chat, test_chat_terminal */
line_input_outcome line_input_read(line_input *input, const char *prompt, vkft_text *line, vkft_err *err);

/* Whether both standard input and standard output are a terminal. */
bool line_input_has_person(void);

#endif
