/* See library.h. */
#include "runtime/base/os/library.h"

#include <stddef.h>

#ifdef _WIN32
#include <windows.h>

void *vkft_library_open(const char *const *names)
{
    void *library = NULL;
    for (; !library && *names; names++)
        library = (void *)LoadLibraryA(*names);
    return library;
}

vkft_library_function vkft_library_find(void *library, const char *name)
{
    return (vkft_library_function)(void (*)(void))GetProcAddress((HMODULE)library, name);
}

void vkft_library_close(void *library)
{
    if (library)
        FreeLibrary((HMODULE)library);
}
#else
#include <dlfcn.h>

void *vkft_library_open(const char *const *names)
{
    void *library = NULL;
    for (; !library && *names; names++)
        library = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
    return library;
}

vkft_library_function vkft_library_find(void *library, const char *name)
{
    vkft_library_function function;
    *(void **)(void *)&function = dlsym(library, name);
    return function;
}

void vkft_library_close(void *library)
{
    if (library)
        dlclose(library);
}
#endif
