/* machine.h on Windows; empty elsewhere. */
#ifdef _WIN32

#include "runtime/base/os/machine.h"

#include <stdio.h>
#include <windows.h>

bool vkft_os_is_windows(void)
{
    return true;
}

bool vkft_os_may_use(const char *path)
{
    (void)path;
    return true; /* drivers are reached through no files */
}

bool vkft_os_file_group(const char *path, char *group, size_t size)
{
    (void)path;
    snprintf(group, size, "%s", "");
    return false;
}

bool vkft_os_has_group(const char *group, bool *after_login)
{
    (void)group;
    *after_login = false;
    return false;
}

bool vkft_os_registry_number(const char *key, const char *name, uint32_t *value)
{
    DWORD number = 0, size = sizeof number;
    if (RegGetValueA(HKEY_LOCAL_MACHINE, key, name, RRF_RT_REG_DWORD, NULL, &number, &size) != ERROR_SUCCESS)
        return false;
    *value = number;
    return true;
}

void vkft_os_private_names(char *host, char *user, size_t size)
{
    DWORD length = (DWORD)size;
    if (!GetComputerNameA(host, &length))
        host[0] = 0;
    length = (DWORD)size;
    if (!GetUserNameA(user, &length))
        user[0] = 0;
}

#endif
