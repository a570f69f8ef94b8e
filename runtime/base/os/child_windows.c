/* child.h on Windows; empty elsewhere. */
#ifdef _WIN32

#include "runtime/base/os/child.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>
#include <windows.h>

struct vkft_os_child {
    HANDLE process, output;
};

#define COMMAND_CHARS 32768u

static bool append(wchar_t *text, size_t size, const wchar_t *part)
{
    if (wcslen(text) + wcslen(part) + 1 > size)
        return false;
    wcscat(text, part);
    return true;
}

/* Between quotes; backslashes before a quote are doubled, as the C runtime reads them back. */
static bool append_argument(wchar_t *command, const char *argument)
{
    wchar_t wide[4096], quoted[8200] = L" \"";
    size_t n = 2, slashes = 0;
    if (!MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, argument, -1, wide, 4096))
        return false;
    for (const wchar_t *c = wide;; c++) {
        if (*c == L'"' || !*c)
            for (; slashes; slashes--)
                quoted[n++] = L'\\';
        slashes = *c == L'\\' ? slashes + 1 : 0;
        if (*c == L'"')
            quoted[n++] = L'\\';
        if (!*c)
            break;
        quoted[n++] = *c;
    }
    quoted[n++] = L'"';
    quoted[n] = 0;
    return append(command, COMMAND_CHARS, quoted);
}

/* Sets the additions in this process for as long as the child starts, and puts back what was there. */
static void swap_environment(const char *const *environment, wchar_t **before, bool set)
{
    for (size_t i = 0; environment && environment[i]; i++) {
        wchar_t wide[4096], old[4096];
        MultiByteToWideChar(CP_UTF8, 0, environment[i], -1, wide, 4096);
        wchar_t *equals = wcschr(wide, L'=');
        if (!equals)
            continue;
        *equals = 0;
        if (set) {
            before[i] = GetEnvironmentVariableW(wide, old, 4096) ? _wcsdup(old) : NULL;
            SetEnvironmentVariableW(wide, equals + 1);
        } else {
            SetEnvironmentVariableW(wide, before[i]);
            free(before[i]);
        }
    }
}

/* program NULL: this one. */
static vkft_os_child *start(const char *program, const char *const *arguments, const char *const *environment)
{
    vkft_os_child *child = calloc(1, sizeof *child);
    wchar_t *path = calloc(COMMAND_CHARS, sizeof *path), *command = calloc(COMMAND_CHARS, sizeof *command);
    wchar_t *before[16] = {0};
    HANDLE write_end = NULL, input = INVALID_HANDLE_VALUE;
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof inherit, .bInheritHandle = TRUE};
    bool ok = child && path && command &&
              (program ? MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, program, -1, path, COMMAND_CHARS - 1) > 0
                       : GetModuleFileNameW(NULL, path, COMMAND_CHARS - 1) > 0);
    ok = ok && append(command, COMMAND_CHARS, L"\"") && append(command, COMMAND_CHARS, path) &&
         append(command, COMMAND_CHARS, L"\"");
    for (size_t i = 0; ok && arguments[i]; i++)
        ok = append_argument(command, arguments[i]);
    if (ok) {
        ok = CreatePipe(&child->output, &write_end, &inherit, 0) &&
             SetHandleInformation(child->output, HANDLE_FLAG_INHERIT, 0);
        input = CreateFileW(L"NUL", GENERIC_READ, 0, &inherit, OPEN_EXISTING, 0, NULL);
    }
    if (ok) {
        STARTUPINFOW how = {.cb = sizeof how,
                            .dwFlags = STARTF_USESTDHANDLES,
                            .hStdInput = input,
                            .hStdOutput = write_end,
                            .hStdError = write_end};
        PROCESS_INFORMATION started;
        swap_environment(environment, before, true);
        ok = CreateProcessW(path, command, NULL, NULL, TRUE, 0, NULL, NULL, &how, &started);
        swap_environment(environment, before, false);
        if (ok) {
            CloseHandle(started.hThread);
            child->process = started.hProcess;
        }
    }
    if (write_end)
        CloseHandle(write_end);
    if (input != INVALID_HANDLE_VALUE)
        CloseHandle(input);
    free(path), free(command);
    if (ok)
        return child;
    if (child && child->output)
        CloseHandle(child->output);
    free(child);
    errno = EIO;
    return NULL;
}

vkft_os_child *vkft_os_child_start(const char *const *arguments, const char *const *environment)
{
    return start(NULL, arguments, environment);
}

vkft_os_child *vkft_os_program_start(const char *path, const char *const *arguments, const char *const *environment)
{
    return start(path, arguments, environment);
}

long long vkft_os_child_read(vkft_os_child *child, void *data, size_t size, double seconds)
{
    ULONGLONG end = GetTickCount64() + (ULONGLONG)(seconds * 1000);
    for (;;) {
        DWORD there = 0, n = 0;
        if (!PeekNamedPipe(child->output, NULL, 0, NULL, &there, NULL))
            return 0; /* the other end is closed */
        if (there) {
            DWORD wanted = there < size ? there : (DWORD)size;
            return ReadFile(child->output, data, wanted, &n, NULL) ? (long long)n : 0;
        }
        if (GetTickCount64() >= end)
            return -1;
        Sleep(10);
    }
}

void vkft_os_child_end(vkft_os_child *child, bool end_it, vkft_os_ending *ending)
{
    *ending = (vkft_os_ending){0};
    if (!child)
        return;
    if (end_it)
        TerminateProcess(child->process, 1);
    DWORD code = 0;
    bool ended = WaitForSingleObject(child->process, 5000) == WAIT_OBJECT_0;
    ended = ended && GetExitCodeProcess(child->process, &code);
    ending->crashed = !ended || end_it || code >= 0xc0000000u; /* status codes of the system: access violation, ... */
    if (!ended)
        snprintf(ending->how, sizeof ending->how, "it cannot be ended");
    else if (ending->crashed)
        snprintf(ending->how, sizeof ending->how, "status 0x%08lx", (unsigned long)code);
    else
        ending->code = (int)code;
    CloseHandle(child->output);
    CloseHandle(child->process);
    free(child);
}

#endif
