/* What other programs call the flags. */
#ifndef VKFT_SPELLINGS_H
#define VKFT_SPELLINGS_H

#include "host/cli/flags/flags.h"

/* Of all commands: each knows those of the flags that it has. */
extern const flag_spelling cli_spellings[];

#endif
