/* Walking over the rows of a JSON data file. Internal to formats. */
#ifndef VKFT_DATASET_ROWS_H
#define VKFT_DATASET_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "vkft_error.h"

/* place: "data.jsonl: line 17", for errors. Returning false stops. */
typedef bool (*vkft_row_visitor)(void *context, const cJSON *row, const char *place);

/* One object a line; blank lines and a byte order mark are skipped. */
bool vkft_rows_of_lines(const char *path, const char *text, uint64_t length, vkft_row_visitor visit, void *context, vkft_err *err);
/* An array of objects. */
bool vkft_rows_of_array(const char *path, const char *text, uint64_t length, vkft_row_visitor visit, void *context, vkft_err *err);

#endif
