/* The commands of the program, and what they share. A command gets argv without program and command, and returns the exit code. */
#ifndef VKFT_CLI_H
#define VKFT_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "flags.h"
#include "vkft_error.h"

#define EXIT_WORK_FAILED 1
#define EXIT_USAGE 2

int cmd_devices(int argc, char **argv);
int cmd_convert(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_generate(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_bench(int argc, char **argv);

/* Parses a command's flags. false: the command ends with *code, because help was printed or the flags are wrong, which was said. */
bool cli_flags(const flag_table *table, void *options, int argc, char **argv, vkft_recipe *recipe, int *code);

/* Says what went wrong and gives the exit code that belongs to it. */
int cli_fail(const vkft_err *err);

/* Prints one JSON value and a newline on stdout, and frees it. NULL: out of memory, said as an error; the exit code. */
int cli_print_json(cJSON *value);

/* A number, or null for NaN and infinity, which JSON lacks. */
void cli_json_number(cJSON *object, const char *name, double value);

/* Values that several commands take. */
extern const flag_choice cli_quant_choices[]; /* how frozen weights are kept */

#endif
