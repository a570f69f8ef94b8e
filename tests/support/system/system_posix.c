#include "tests/support/system/system.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/file.h"

const bool vkft_test_has_posix = true;

const char *vkft_test_program_path(void)
{
    const char *other = getenv("VKFT_TEST_PROGRAM");
    return other ? other : VKFT_PROGRAM;
}

bool vkft_test_program_is_foreign(void)
{
    return getenv("VKFT_TEST_PROGRAM") != NULL;
}

void vkft_test_end_with_parent(void)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
}

int vkft_test_run(const char *arguments, const char *out, const char *err)
{
    char command[9500];
    /* These redirections stand first, so that the arguments may hold others. */
    snprintf(command, sizeof command, "exec > %s 2> %s < /dev/null '%s' %s", out, err, vkft_test_program_path(),
             arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

bool vkft_test_limit_file_size(uint64_t bytes)
{
    struct rlimit limit;
    signal(SIGXFSZ, SIG_IGN);
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0)
        return false;
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    return setrlimit(RLIMIT_FSIZE, &limit) == 0;
}

void vkft_test_environment(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

void vkft_test_set_writable(const char *dir, bool writable)
{
    chmod(dir, writable ? 0700 : 0500);
}

bool vkft_test_set_modified(const char *path, int64_t ns)
{
    const struct timespec time = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    return utimensat(AT_FDCWD, path, (struct timespec[]){time, time}, 0) == 0;
}

bool vkft_test_give_away(const char *path)
{
    return chown(path, 65534, 65534) == 0;
}

bool vkft_test_make_loop(const char *path)
{
    return symlink(vkft_path_base(path), path) == 0;
}
