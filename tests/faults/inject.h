/* The library that lets one call fail, inject.c, as its wrappers of functions see it. */
#ifndef VKFT_INJECT_H
#define VKFT_INJECT_H

#include <inttypes.h>
#include <stdbool.h>

/* Kinds of calls, the first word of a site. */
#define FAULT_MEMORY 'm'
#define FAULT_WRITE 'w' /* changes files */
#define FAULT_READ 'r'
#define FAULT_VULKAN 'v'

/* Whether this call is the one to fail; notes its site. caller: __builtin_return_address(0) of the wrapper. */
bool vkft_fault_hits(char kind, const char *name, const void *caller);
int vkft_fault_error(void);
bool vkft_fault_is_short(void);
/* Whether an address lies in the program itself. */
bool vkft_fault_is_program(const void *address);
/* The function that the wrapper of this name stands in front of. */
void *vkft_fault_next(const char *name);

#endif
