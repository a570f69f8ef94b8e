/* What this process has mapped and is writing, for the handler of a signal that ends it.
 *
 * A mapped file that somebody cuts off ends the program at the next access with SIGBUS, wherever that is. All functions
 * may be called by several threads, and those of the second part by a signal handler.
 */
#ifndef VKFT_IN_USE_H
#define VKFT_IN_USE_H

#include <stddef.h>
#include <stdint.h>

/* name: of the file that is mapped, or of a temporary file, which is to go; both are copied. What there is no room for
 * is not kept. */
void vkft_in_use_map(const void *begin, uint64_t size, const char *name);
void vkft_in_use_unmap(const void *begin);
void vkft_in_use_write(const char *temporary);
void vkft_in_use_written(const char *temporary);

/* The file that is mapped at this address; NULL: none. */
const char *vkft_in_use_at(const void *address);
/* Removes the temporary files. */
void vkft_in_use_remove_temporaries(void);

#endif
