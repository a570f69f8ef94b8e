/* The terminal. */
#include "host/cli/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32

#include <windows.h>

#include <fcntl.h>
#include <io.h>
#include <shellapi.h>

/* Windows hands arguments in UTF-16; the C runtime would squeeze them into the code page and lose what does not fit. */
static char **utf8_arguments(int *argc)
{
    int count = 0;
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), &count);
    char **args = wide ? calloc((size_t)count + 1, sizeof *args) : NULL;
    for (int i = 0; args && i < count; i++) {
        int bytes = WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, NULL, 0, NULL, NULL);
        args[i] = bytes > 0 ? malloc((size_t)bytes) : NULL;
        if (!args[i]) {
            LocalFree(wide);
            return NULL;
        }
        WideCharToMultiByte(CP_UTF8, 0, wide[i], -1, args[i], bytes, NULL, NULL);
    }
    if (wide)
        LocalFree(wide);
    *argc = count;
    return args;
}

void terminal_setup(int *argc, char ***argv)
{
    int count = 0;
    char **args = utf8_arguments(&count);
    if (args && count > 0) {
        *argc = count;
        *argv = args;
    }
    SetConsoleOutputCP(CP_UTF8);
    SetConsoleCP(CP_UTF8);
    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    DWORD mode = 0;
    HANDLE console = GetStdHandle(STD_ERROR_HANDLE);
    if (GetConsoleMode(console, &mode))
        SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
    console = GetStdHandle(STD_OUTPUT_HANDLE);
    if (GetConsoleMode(console, &mode))
        SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

bool terminal_stderr_is_terminal(void)
{
    return _isatty(_fileno(stderr)) != 0;
}

bool terminal_stdout_is_terminal(void)
{
    return _isatty(_fileno(stdout)) != 0;
}

uint32_t terminal_width(void)
{
    CONSOLE_SCREEN_BUFFER_INFO info;
    if (GetConsoleScreenBufferInfo(GetStdHandle(STD_ERROR_HANDLE), &info) && info.srWindow.Right > info.srWindow.Left)
        return (uint32_t)(info.srWindow.Right - info.srWindow.Left + 1);
    return 80;
}

#else

#include <sys/ioctl.h>
#include <unistd.h>

void terminal_setup(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
}

/* "dumb" draws no lines over and shows no colours. */
static bool is_capable(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && !(term && strcmp(term, "dumb") == 0);
}

bool terminal_stderr_is_terminal(void)
{
    return is_capable(STDERR_FILENO);
}

bool terminal_stdout_is_terminal(void)
{
    return is_capable(STDOUT_FILENO);
}

uint32_t terminal_width(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

#endif
