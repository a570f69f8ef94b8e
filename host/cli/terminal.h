/* What the command line needs to know of the terminal, one spelling for Linux, macOS and Windows. */
#ifndef VKFT_TERMINAL_H
#define VKFT_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/* Prepares standard streams and argv: on Windows, UTF-8 arguments (malloc'ed, kept until exit), UTF-8 output and escape
 * sequences. */
void terminal_setup(int *argc, char ***argv);

bool terminal_stderr_is_terminal(void);
bool terminal_stdout_is_terminal(void);
uint32_t terminal_width(void); /* of stderr, in columns; 80 when unknown */

#endif
