/* Formatting of an observer's lines. */
#include "runtime/base/observer.h"

#include <stdarg.h>
#include <stdio.h>

void vkft_observer_say(const vkft_observer *observer, const char *format, ...)
{
    if (!observer->message)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    observer->message(observer->context, line);
}
