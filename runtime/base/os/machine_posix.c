/* machine.h on Linux, macOS and other POSIX systems; empty on Windows. */
#ifndef _WIN32

#include "runtime/base/os/machine.h"

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool vkft_os_is_windows(void)
{
    return false;
}

bool vkft_os_may_use(const char *path)
{
    return access(path, R_OK | W_OK) == 0;
}

bool vkft_os_file_group(const char *path, char *group, size_t size)
{
    struct stat info;
    const struct group *entry = stat(path, &info) == 0 ? getgrgid(info.st_gid) : NULL;
    snprintf(group, size, "%s", entry ? entry->gr_name : "");
    return entry != NULL;
}

bool vkft_os_has_group(const char *group, bool *after_login)
{
    gid_t list[1024];
    int count = getgroups(1024, list);
    const struct group *entry = getgrnam(group);
    *after_login = false;
    if (!entry)
        return false;
    gid_t wanted = entry->gr_gid;
    char *const *member = entry->gr_mem;
    const struct passwd *me = getpwuid(getuid());
    while (me && *member && !*after_login)
        *after_login = strcmp(*member++, me->pw_name) == 0;
    bool has = getegid() == wanted;
    for (int i = 0; i < count; i++)
        has |= list[i] == wanted;
    return has;
}

bool vkft_os_registry_number(const char *key, const char *name, uint32_t *value)
{
    (void)key, (void)name, (void)value;
    return false;
}

void vkft_os_private_names(char *host, char *user, size_t size)
{
    const struct passwd *me = getpwuid(getuid());
    snprintf(user, size, "%s", me ? me->pw_name : "");
    if (gethostname(host, size) != 0)
        host[0] = 0;
    host[size - 1] = 0;
}

#endif
