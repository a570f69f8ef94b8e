/* Reading a tree like sysfs and a library like NVML, which the tests make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/bench/telemetry/telemetry.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static char *root;

static int setup(void **state)
{
    (void)state;
    root = vkft_test_directory();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vkft_test_remove_directory(root);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    vkft_err err;
    char *path = vkft_path_join(root, name);
    *strrchr(path, '/') = 0;
    expect_ok(vkft_directory_create(path, &err));
    path[strlen(path)] = '/';
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    free(path);
}

static vkft_telemetry_sample read_of(const vkft_device_info *info, bool *known)
{
    vkft_telemetry *t = vkft_telemetry_open(info, root, NULL);
    vkft_telemetry_sample s = vkft_telemetry_read(t);
    *known = t != NULL;
    vkft_telemetry_close(t);
    return s;
}

static void test_amd(void **state)
{
    (void)state;
    bool known;
    vkft_device_info info = {.vendor_id = 0x1002};
    read_of(&info, &known);
    assert_false(known); /* no tree at all */
    write_file("sys/class/drm/card0/device/vendor", "0x8086\n");
    write_file("sys/class/drm/card1/device/vendor", "0x1002\n");
    write_file("sys/class/drm/card1/device/uevent", "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:03:00.0\n");
    write_file("sys/class/drm/card1/device/gpu_busy_percent", "37\n");
    write_file("sys/class/drm/card1/device/hwmon/hwmon4/power1_average", "215000000\n");
    write_file("sys/class/drm/card1/device/hwmon/hwmon4/temp1_input", "61000\n");
    write_file("sys/class/drm/card1/device/hwmon/hwmon4/freq1_input", "2371000000\n");
    write_file("sys/class/drm/card1-DP-1/status", "connected\n");
    vkft_telemetry_sample s = read_of(&info, &known);
    assert_true(known && s.power_w == 215 && s.temperature_c == 61 && s.clock_mhz == 2371 && s.busy_percent == 37);
    /* A second card: the UUID of RADV tells which; without it nothing is told. */
    write_file("sys/class/drm/card2/device/vendor", "0x1002\n");
    write_file("sys/class/drm/card2/device/uevent", "DRIVER=amdgpu\nPCI_SLOT_NAME=0000:0b:00.0\n");
    write_file("sys/class/drm/card2/device/gpu_busy_percent", "5\n");
    read_of(&info, &known);
    assert_false(known);
    const uint32_t address[4] = {0, 0x0b, 0, 0};
    memcpy(info.uuid, address, sizeof address);
    s = read_of(&info, &known);
    assert_true(known && s.busy_percent == 5 && s.power_w == 0 && s.temperature_c == 0 && s.clock_mhz == 0);
    info.caps.software = true;
    read_of(&info, &known);
    assert_false(known);
}

static void test_intel(void **state)
{
    (void)state;
    bool known;
    const vkft_device_info info = {.vendor_id = 0x8086};
    write_file("sys/class/drm/card0/device/vendor", "0x8086\n");
    write_file("sys/class/drm/card0/gt_act_freq_mhz", "1300\n");
    vkft_telemetry_sample s = read_of(&info, &known);
    assert_true(known && s.clock_mhz == 1300 && s.busy_percent == -1 && s.power_w == 0);
}

static void test_nvidia(void **state)
{
    (void)state;
#ifndef VKFT_TEST_NVML
    print_message("skipped: no library to open on this system\n");
    skip();
#else
    static const char *const names[] = {"/nonexistent/libnvidia-ml.so", VKFT_TEST_NVML, NULL}, *const none[] = {
                                                                                                   "/nonexistent/x",
                                                                                                   NULL};
    vkft_device_info info = {.vendor_id = 0x10de};
    for (int i = 0; i < 16; i++)
        info.uuid[i] = (uint8_t)(0xa0 + i); /* of its second card */
    assert_null(vkft_telemetry_open(&info, root, none));
    vkft_telemetry *t = vkft_telemetry_open(&info, root, names);
    assert_non_null(t);
    vkft_telemetry_sample s = vkft_telemetry_read(t);
    vkft_telemetry_close(t);
    assert_true(s.power_w == 123.5 && s.clock_mhz == 1980 && s.temperature_c == 55 && s.busy_percent == 12);
    info.uuid[3] ^= 1;
    assert_null(vkft_telemetry_open(&info, root, names));
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_amd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_intel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nvidia, setup, teardown),
    };
    return cmocka_run_group_tests_name("telemetry", tests, NULL, NULL);
}
