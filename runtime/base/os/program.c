/* Where a program lies; see child.h. */
#include "runtime/base/os/child.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/os.h"

#ifdef _WIN32
#define LIST_SEPARATOR ';'
#define ENDING ".exe"
#else
#define LIST_SEPARATOR ':'
#define ENDING ""
#endif

static char *program_in(const char *directory, const char *name)
{
    vkft_os_info info;
    const size_t size = strlen(directory) + strlen(name) + sizeof "/" ENDING;
    char *path = malloc(size);
    if (!path)
        return NULL;
    snprintf(path, size, "%s/%s" ENDING, directory, name);
    if (vkft_os_stat(path, &info) && info.is_regular)
        return path;
    free(path);
    return NULL;
}

char *vkft_os_find_program(const char *directory, const char *name)
{
    if (directory)
        return program_in(directory, name);
    char *list = vkft_os_environment("PATH"), *found = NULL;
    for (char *at = list, *end; at && !found; at = end ? end + 1 : NULL) {
        end = strchr(at, LIST_SEPARATOR);
        if (end)
            *end = 0;
        if (*at)
            found = program_in(at, name);
    }
    free(list);
    return found;
}
