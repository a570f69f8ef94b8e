/* Ctrl-C: the first one asks the work to save and stop, the second one ends the program at once. */
#ifndef VKFT_INTERRUPT_H
#define VKFT_INTERRUPT_H

#include <stdbool.h>

#define EXIT_INTERRUPTED 130

/* From now on SIGINT and SIGTERM (on Windows: Ctrl-C, Ctrl-Break and closing the console) set a flag. */
void interrupt_install(void);

/* The observers' `interrupted`; context is not used. */
bool interrupt_requested(void *context);

#endif
