/* Formatting of vkft_err. */
#include "runtime/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool vkft_fail(vkft_err *err, vkft_err_kind kind, const char *format, ...)
{
    if (err) {
        err->kind = kind;
        err->said = false;
        err->advice = VKFT_ADVICE_NONE;
        va_list args;
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return false;
}

bool vkft_advise(vkft_err *err, vkft_advice advice)
{
    if (err)
        err->advice = advice;
    return false;
}

bool vkft_fail_context(vkft_err *err, const char *format, ...)
{
    if (err) {
        char inner[sizeof err->message];
        memcpy(inner, err->message, sizeof inner);
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof err->message)
            snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", inner);
    }
    return false;
}

bool vkft_fail_memory(vkft_err *err, const char *doing, ...)
{
    if (err) {
        char text[sizeof err->message - 64];
        va_list args;
        va_start(args, doing);
        vsnprintf(text, sizeof text, doing, args);
        va_end(args);
        vkft_fail(err, VKFT_ERR_MEMORY, "out of host memory %s", text);
    }
    return false;
}

static const char *advice(int code)
{
    switch (code) {
    case ENOSPC: return "; free space there or choose another directory";
    case EROFS: return "; the file system is read-only, choose another directory";
    case EACCES: return "; check the permissions or choose another directory";
    case ENOENT: return "; check the path";
    case EFAULT: return "; a file that it is copied from was cut off: do not change input files during a run";
    default: return "";
    }
}

bool vkft_fail_errno(vkft_err *err, const char *format, ...)
{
    int code = errno;
    if (err) {
        err->kind = VKFT_ERR_IO;
        err->said = false;
        err->advice = VKFT_ADVICE_NONE;
        va_list args;
        va_start(args, format);
        int n = vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < sizeof err->message)
            snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s%s", strerror(code), advice(code));
    }
    return false;
}
