/* Words for the advice of errors, in terms of the flags that a command has. */
#ifndef VKFT_CLI_ADVICE_H
#define VKFT_CLI_ADVICE_H

#include "host/cli/flags/flags.h"

/* "; lower --batch-size or choose another --device"; empty when the command has no flag that would help. */
void advice_text(const flag_table *table, vkft_advice advice, char *text, size_t size);

#endif
