/* The tests that run the program do so from Linux, through Wine: tools/test-windows. */
#include "tests/support/system/system.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

const bool vkft_test_has_posix = false;

const char *vkft_test_program_path(void)
{
    return VKFT_PROGRAM;
}

bool vkft_test_program_is_foreign(void)
{
    return false;
}

void vkft_test_end_with_parent(void)
{
}

int vkft_test_run(const char *arguments, const char *out, const char *err)
{
    (void)arguments, (void)out, (void)err;
    skip();
    return 0;
}

bool vkft_test_limit_file_size(uint64_t bytes)
{
    (void)bytes;
    return false;
}

void vkft_test_environment(const char *name, const char *value)
{
    _putenv_s(name, value ? value : "");
}

void vkft_test_set_writable(const char *dir, bool writable)
{
    (void)dir, (void)writable;
}

bool vkft_test_set_modified(const char *path, int64_t ns)
{
    (void)path, (void)ns;
    return false;
}

bool vkft_test_give_away(const char *path)
{
    (void)path;
    return false;
}

bool vkft_test_make_loop(const char *path)
{
    (void)path;
    return false;
}
