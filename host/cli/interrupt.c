/* Interruption. See interrupt.h.
 *
 * The flag is the program's one variable with static storage: a signal handler is given no context.
 */
#include "host/cli/interrupt.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static volatile sig_atomic_t requested;

#define NOTICE "\nvkft: stopping after this step; Ctrl-C once more ends at once\n"

bool interrupt_requested(void *context)
{
    (void)context;
    return requested != 0;
}

#ifdef _WIN32

#include <windows.h>

/* Runs on a thread of its own. Closing the console ends the process as soon as this returns, so that case waits: the
 * main thread saves and exits while it sleeps (Windows allows five seconds). */
static BOOL WINAPI on_console_event(DWORD event)
{
    if (requested)
        ExitProcess(EXIT_INTERRUPTED);
    requested = 1;
    DWORD written;
    WriteFile(GetStdHandle(STD_ERROR_HANDLE), NOTICE, sizeof NOTICE - 1, &written, NULL);
    if (event == CTRL_CLOSE_EVENT || event == CTRL_SHUTDOWN_EVENT)
        Sleep(30000);
    return TRUE;
}

void interrupt_install(void)
{
    SetConsoleCtrlHandler(on_console_event, TRUE);
}

#else

#include <errno.h>
#include <unistd.h>

static void on_signal(int number)
{
    (void)number;
    if (requested)
        _exit(EXIT_INTERRUPTED);
    requested = 1;
    int saved = errno;
    if (write(STDERR_FILENO, NOTICE, sizeof NOTICE - 1) < 0)
        requested = 1; /* nowhere to say it; stopping is what matters */
    errno = saved;
}

void interrupt_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

#endif
