/* Manual page and shell completions, from the same tables that parse the flags, so that they cannot disagree with the
 * program. Each has a beginning, one part per command, which `vkft COMMAND --help=FORMAT` prints, and an end. */
#ifndef VKFT_FLAGS_EXPORT_H
#define VKFT_FLAGS_EXPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "host/cli/flags/flags.h"

/* One command of the program. */
typedef struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL: not in this version */
    const char *summary;               /* of what it does; or, not in this version, what to do instead */
} cli_command;

/* The names of all formats, comma separated. */
const char *flags_formats(void);

/* The part of one command; options hold the defaults. false: there is no such format. */
bool flags_export(const char *format, const flag_table *table, const void *options, FILE *out);

/* What comes before and after the parts. false: there is no such format. */
bool flags_export_begin(const char *format, const cli_command *commands, uint32_t count, FILE *out);
bool flags_export_end(const char *format, FILE *out);

#endif
