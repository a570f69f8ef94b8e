/* How long the system lets a GPU be busy: settings of Linux's drivers, in a tree that is made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/watchdog.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static void test_amdgpu(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t time_ms;
    } cases[] = {
        {"", 0},
        {"\n", 0},
        {"0\n", 0},
        {"-1\n", 0},
        {"10000\n", 10000},
        {"abc\n", 0},
        {"10000,2000", 2000},
        {"1500,60000,1,1", 1500},
        {"10000,-1", 10000},
        {"99999999999\n", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(vkft_watchdog_amdgpu(cases[i].text), cases[i].time_ms);
}

#ifndef _WIN32
static void write_setting(const char *root, const char *name, const char *text)
{
    vkft_err err;
    char *path = vkft_path_join(root, name);
    *strrchr(path, '/') = 0;
    expect_ok(vkft_directory_create(path, &err));
    path[strlen(path)] = '/';
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    free(path);
}

static void test_tree(void **state)
{
    (void)state;
    char *root = vkft_test_directory();
    assert_int_equal(vkft_watchdog_ms(0x1002, root), 0);
    assert_int_equal(vkft_watchdog_ms(0x8086, root), 0);
    write_setting(root, "sys/module/amdgpu/parameters/lockup_timeout", "1000,800\n");
    write_setting(root, "sys/class/drm/card0/engine/rcs0/heartbeat_interval_ms", "2500\n");
    write_setting(root, "sys/class/drm/card1/device/tile0/gt0/engines/ccs/job_timeout_ms", "900\n");
    write_setting(root, "sys/class/drm/renderD128/engine/rcs0/heartbeat_interval_ms", "5\n");
    assert_int_equal(vkft_watchdog_ms(0x1002, root), 800);
    assert_int_equal(vkft_watchdog_ms(0x8086, root), 900);
    assert_int_equal(vkft_watchdog_ms(0x10de, root), 0);
    vkft_test_remove_directory(root);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amdgpu),
#ifndef _WIN32
        cmocka_unit_test(test_tree),
#endif
    };
    return cmocka_run_group_tests_name("watchdog", tests, NULL, NULL);
}
