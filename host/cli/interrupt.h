/* Ctrl-C, a request to end, and a terminal that is gone: they ask the work to save and stop. A second Ctrl-C ends the
 * program at once. */
#ifndef VKFT_INTERRUPT_H
#define VKFT_INTERRUPT_H

#include <stdbool.h>

#define EXIT_INTERRUPTED 130

/* From now on SIGINT, SIGTERM and SIGHUP, each unless it was ignored (on Windows: Ctrl-C, Ctrl-Break, closing the
 * console, logging off and shutting down), set a flag. */
void interrupt_install(void);
/* The same for a program that shows itself that it stops: nothing is written to stderr. */
void interrupt_install_silent(void);
/* A Ctrl-C that was obeyed is forgotten, and the next one is a first one again. false: it was a request to end. */
bool interrupt_forget(void);
/* From now on a reader that ends (`| head`, a tee) costs its output alone, and not the work. */
void interrupt_outlive_readers(void);

/* The observers' `interrupted`; context is not used. */
bool interrupt_requested(void *context);

#endif
