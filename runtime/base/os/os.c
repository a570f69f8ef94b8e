/* What os.h and machine.h build on the calls of each system: transfers of any size. */
#include "runtime/base/os/machine.h"
#include "runtime/base/os/os.h"

#include <errno.h>

#include "runtime/base/size.h"

/* One call transfers at most this much: Linux stops at 2 GiB, Windows takes an unsigned int. */
#define MAX_TRANSFER ((size_t)1 << 30)

bool vkft_os_read(int fd, void *data, size_t size)
{
    uint8_t *p = data;
    while (size) {
        long long n = vkft_os_read_part(fd, p, (size_t)min_u64(size, MAX_TRANSFER));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

bool vkft_os_write_at(int fd, uint64_t offset, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size) {
        long long n = vkft_os_write_part(fd, offset, p, (size_t)min_u64(size, MAX_TRANSFER));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return false;
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

bool vkft_os_read_text(const char *path, char *text, size_t size)
{
    int fd = vkft_os_open_regular(path, true);
    size_t length = 0;
    long long n = fd < 0 ? -1 : 1;
    while (n > 0 && length + 1 < size) {
        n = vkft_os_read_part(fd, text + length, size - 1 - length);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            length += (size_t)n;
    }
    if (fd >= 0)
        vkft_os_close(fd);
    while (length && text[length - 1] == '\n')
        length--;
    text[length] = 0;
    return n >= 0;
}
