/* Parquet files: tables in which every column is stored by itself, read row by row as the JSON lines that the same data
 * would be. A page of each column that is read is in memory at a time, and its dictionary.
 *
 * Strings, numbers and booleans are JSON's; lists are arrays, structs and maps are objects, in any nesting. Decimals
 * are numbers with all their digits; dates and times are texts as Python's isoformat() writes them; bytes are text
 * where they are UTF-8.
 *
 * Source: github.com/apache/parquet-format. Test: test_parquet */
#ifndef VKFT_PARQUET_H
#define VKFT_PARQUET_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/text.h"

typedef struct vkft_parquet vkft_parquet;

/* data: the whole file, borrowed until it is closed. path is what errors name. NULL with an error: no Parquet file, cut
 * off, damaged, or encrypted. */
vkft_parquet *vkft_parquet_open(const char *path, const uint8_t *data, uint64_t size, vkft_err *err);
void vkft_parquet_close(vkft_parquet *file); /* NULL is fine */

/* Reads from now on only the columns that are wanted; the others are null in each row and their data is not looked at.
 * A column that was left out once stays so. Without a call all are read. */
void vkft_parquet_choose(vkft_parquet *file, bool (*is_wanted)(void *context, const char *name), void *context);

/* Appends the next row, one JSON object without line ends. *found is false at the end. Error: what is damaged, or what
 * kind of column cannot be read, with its name. */
bool vkft_parquet_next(vkft_parquet *file, vkft_text *row, bool *found, vkft_err *err);

/* About how many bytes of the file have been read. */
uint64_t vkft_parquet_position(const vkft_parquet *file);

#endif
