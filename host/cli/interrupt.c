/* Interruption. See interrupt.h.
 *
 * These are the program's only variables with static storage: a signal handler is given no context.
 */
#include "host/cli/interrupt.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t requested;
static volatile sig_atomic_t must_end; /* what came is no Ctrl-C */
static volatile sig_atomic_t silent;
static volatile sig_atomic_t first_ms; /* when the first Ctrl-C came */

#define NOTICE "\nvkft: stopping; Ctrl-C once more ends at once\n"
/* A second Ctrl-C that follows this soon is the first one, sent to a process and then to its group, as timeout(1) does.
 */
#define SAME_MS 200

bool interrupt_requested(void *context)
{
    (void)context;
    return requested != 0;
}

bool interrupt_forget(void)
{
    if (must_end)
        return false;
    first_ms = 0;
    requested = 0;
    return true;
}

void interrupt_install_silent(void)
{
    silent = 1;
    interrupt_install();
}

#ifdef _WIN32

#include <windows.h>

/* Runs on a thread of its own. Closing the console ends the process as soon as this returns, so that case waits: the
 * main thread saves and exits while it sleeps (Windows allows five seconds). */
static BOOL WINAPI on_console_event(DWORD event)
{
    bool closes = event == CTRL_CLOSE_EVENT || event == CTRL_LOGOFF_EVENT || event == CTRL_SHUTDOWN_EVENT;
    int now = (int)(GetTickCount64() & INT_MAX);
    if (requested && !closes && now - first_ms > SAME_MS)
        ExitProcess(EXIT_INTERRUPTED);
    first_ms = requested ? first_ms : now;
    requested = 1;
    must_end = must_end || (event != CTRL_C_EVENT && event != CTRL_BREAK_EVENT);
    DWORD written;
    if (!silent)
        WriteFile(GetStdHandle(STD_ERROR_HANDLE), NOTICE, sizeof NOTICE - 1, &written, NULL);
    if (closes)
        Sleep(30000);
    return TRUE;
}

void interrupt_install(void)
{
    SetConsoleCtrlHandler(on_console_event, TRUE);
}

void interrupt_outlive_readers(void)
{
    /* Writing to a pipe that nobody reads is an error here, and no signal. */
}

#else

#include <errno.h>
#include <time.h>
#include <unistd.h>

static sig_atomic_t now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (sig_atomic_t)((time.tv_sec * 1000 + time.tv_nsec / 1000000) & INT_MAX);
}

/* Only Ctrl-C ends at once: a terminal that goes, a shell and a job scheduler each may send the others more than once.
 */
static void on_signal(int number)
{
    int saved = errno;
    if (number == SIGINT && requested && first_ms && now_ms() - first_ms > SAME_MS)
        _exit(EXIT_INTERRUPTED);
    if (number == SIGINT && !first_ms)
        first_ms = now_ms();
    if (number != SIGINT)
        must_end = 1;
    if (!silent && !requested && write(STDERR_FILENO, NOTICE, sizeof NOTICE - 1) < 0)
        requested = 1; /* nowhere to say it; stopping is what matters */
    requested = 1;
    errno = saved;
}

void interrupt_install(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    /* Without SA_RESTART, so that waiting for a pipe ends. */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) /* nohup, and a shell's `&`, ignore one on purpose */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
}

void interrupt_outlive_readers(void)
{
    signal(SIGPIPE, SIG_IGN);
}

#endif
