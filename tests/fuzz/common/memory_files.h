/* Files in memory for harnesses of readers that take a path: the linker sends their calls of runtime/base/file.h here.
 * Each opened file is a copy of exactly its size, so that AddressSanitizer sees a read past its end. */
#ifndef VKFT_FUZZ_MEMORY_FILES_H
#define VKFT_FUZZ_MEMORY_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/common/parts.h"

/* From now on the file of this name, in whatever directory, has this content. Both are borrowed. Other files do not
 * exist. */
void memory_file(const char *name, const uint8_t *data, size_t size);
void memory_files_clear(void);

/* A malloc'ed file of a prefix, the text's length in 8 bytes at length_at, the text, zeros up to a multiple of
 * `alignment`, and data. */
uint8_t *join_file(const uint8_t *prefix, size_t prefix_size, size_t length_at, const uint8_t *text, size_t length,
                   size_t alignment, const uint8_t *data, size_t size, size_t *file_size);

#endif
