/* Shared libraries that are opened at run time, because a machine may lack them. */
#ifndef VKFT_LIBRARY_H
#define VKFT_LIBRARY_H

/* The first of the names (a list that ends with NULL) that the system finds; NULL: none. */
void *vkft_library_open(const char *const *names);
void vkft_library_close(void *library); /* NULL is fine */

/* A function of the library, to be cast to its type; NULL: it has none of this name. */
typedef void (*vkft_library_function)(void);
vkft_library_function vkft_library_find(void *library, const char *name);

#endif
