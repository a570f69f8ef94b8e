/* Truncated inputs. See truncation.h.
 *
 * The access fails in the middle of whatever computes; nothing can go on from there. Checkpoints and finished files are
 * whole at any moment, so ending at once is safe.
 */
#include "host/cli/truncation.h"

#ifdef _WIN32

void truncation_install(void)
{
    /* Windows does not let a mapped file be cut off. */
}

#else

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/os/in_use.h"

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* nowhere to say it */
}

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    (void)context;
    const char *file = vkft_in_use_at(info->si_addr);
    if (!file) { /* not of ours: the fault happens again, and ends the process as it would have */
        signal(number, SIG_DFL);
        return;
    }
    say("\nvkft: error: '");
    say(file);
    say("' was cut off while it was read, or its disk failed; run again, and do not change input files during a run\n");
    vkft_in_use_remove_temporaries();
    _exit(EXIT_FAILURE);
}

void truncation_install(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
}

#endif
