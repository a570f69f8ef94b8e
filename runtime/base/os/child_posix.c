/* child.h on Linux, macOS and other POSIX systems; empty on Windows. */
#ifndef _WIN32

#include "runtime/base/os/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

extern char **environ;

struct vkft_os_child {
    pid_t pid;
    int output;
};

static bool program_path(char *path, size_t size)
{
#ifdef __APPLE__
    uint32_t length = (uint32_t)size;
    return _NSGetExecutablePath(path, &length) == 0;
#else
    long n = readlink("/proc/self/exe", path, size - 1);
    if (n <= 0)
        return false;
    path[n] = 0;
    return true;
#endif
}

static size_t count(const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    return n;
}

/* first, then second, then NULL. */
static char **join(const char *const *first, const char *const *second)
{
    size_t n = count(first), m = count(second);
    char **list = malloc((n + m + 1) * sizeof *list);
    for (size_t i = 0; list && i < n + m; i++)
        memcpy(&list[i], i < n ? &first[i] : &second[i - n], sizeof *list);
    if (list)
        list[n + m] = NULL;
    return list;
}

static int spawn(pid_t *pid, const char *path, char **arguments, char **environment, int output)
{
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error)
        return error;
    if (!(error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)) &&
        !(error = posix_spawn_file_actions_adddup2(&actions, output, 1)) &&
        !(error = posix_spawn_file_actions_adddup2(&actions, output, 2)))
        error = posix_spawn(pid, path, &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

vkft_os_child *vkft_os_child_start(const char *const *arguments, const char *const *environment)
{
    char path[4096];
    return program_path(path, sizeof path) ? vkft_os_program_start(path, arguments, environment) : NULL;
}

vkft_os_child *vkft_os_program_start(const char *path, const char *const *arguments, const char *const *environment)
{
    const char *const program[] = {path, NULL};
    int ends[2] = {-1, -1}, error = 0;
    vkft_os_child *child = calloc(1, sizeof *child);
    char **args = join(program, arguments), **env = join(environment, (const char *const *)environ);
    if (!child || !args || !env)
        error = ENOMEM;
    else if (pipe(ends) != 0)
        error = errno;
    if (!error) {
        fcntl(ends[0], F_SETFD, FD_CLOEXEC);
        fcntl(ends[1], F_SETFD, FD_CLOEXEC);
        error = spawn(&child->pid, path, args, env, ends[1]);
        child->output = ends[0];
    }
    if (ends[1] >= 0)
        close(ends[1]);
    if (error && ends[0] >= 0)
        close(ends[0]);
    free(args), free(env);
    if (!error)
        return child;
    free(child);
    errno = error;
    return NULL;
}

long long vkft_os_child_read(vkft_os_child *child, void *data, size_t size, double seconds)
{
    struct pollfd wait = {.fd = child->output, .events = POLLIN};
    int ready = poll(&wait, 1, (int)(seconds * 1000));
    if (ready <= 0)
        return ready < 0 && errno == EINTR ? vkft_os_child_read(child, data, size, seconds) : -1;
    long long n = read(child->output, data, size);
    return n < 0 ? 0 : n;
}

void vkft_os_child_end(vkft_os_child *child, bool end_it, vkft_os_ending *ending)
{
    *ending = (vkft_os_ending){0};
    if (!child)
        return;
    if (end_it)
        kill(child->pid, SIGKILL);
    close(child->output);
    int status = 0;
    pid_t ended = 0;
    for (int i = 0; i < 500 && ended == 0; i++) { /* one that hangs in a driver may never end */
        ended = waitpid(child->pid, &status, WNOHANG);
        if (ended == 0)
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        else if (ended < 0 && errno == EINTR)
            ended = 0;
    }
    ending->crashed = ended <= 0 || !WIFEXITED(status);
    if (ended <= 0)
        snprintf(ending->how, sizeof ending->how, "it cannot be ended");
    else if (WIFEXITED(status))
        ending->code = WEXITSTATUS(status);
    else
        snprintf(ending->how, sizeof ending->how, "signal %d (%.60s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    free(child);
}

#endif
