/* What a system says of itself beside files: rights on devices, groups, the registry, names. */
#ifndef VKFT_OS_MACHINE_H
#define VKFT_OS_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool vkft_os_is_windows(void);

/* At most size - 1 bytes of a file, zero-terminated, without the newline at the end; files of /sys and /proc do not
 * know their size. false: it cannot be read; text is "" then. */
bool vkft_os_read_text(const char *path, char *text, size_t size);

/* Whether this user may read and write it. */
bool vkft_os_may_use(const char *path);
/* The group that a file belongs to; false: there are no groups, or it has no name. */
bool vkft_os_file_group(const char *path, char *group, size_t size);
/* Whether this process has the group; *after_login: whether the next login of its user will have it. */
bool vkft_os_has_group(const char *group, bool *after_login);

/* A number below HKEY_LOCAL_MACHINE. false: it is not there, or this is not Windows. */
bool vkft_os_registry_number(const char *key, const char *name, uint32_t *value);

/* The machine's name and the user's, so that they can be taken out of reports; "" where unknown. */
void vkft_os_private_names(char *host, char *user, size_t size);

#endif
