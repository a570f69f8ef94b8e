/* Reading the values of flags. origin names where a value stands, for errors: "--batch-size" or "recipe.yaml:3:
 * batch_size". */
#ifndef VKFT_FLAGS_PRIVATE_H
#define VKFT_FLAGS_PRIVATE_H

#include "host/cli/flags/flags.h"

/* Writes one value to the options; of FLAG_TEXTS, adds one. */
bool flag_set_value(const flag *f, void *options, const char *text, const char *origin, vkft_err *err);
void flag_clear_texts(const flag *f, void *options);

/* A value of a switch; false: it is none. */
bool flag_read_switch(const char *text, bool *on);
bool flag_wrong_switch(const char *text, const char *origin, vkft_err *err);

bool flag_in_range(const flag_range *range, double x);
bool flag_wrong_number(const flag *f, const char *text, const char *origin, vkft_err *err);

#endif
