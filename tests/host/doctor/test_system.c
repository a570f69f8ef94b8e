/* What the files of recorded systems (tests/data/doctor) say, and what the doctor makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/os/machine.h"
#include "host/doctor/system/drivers.h"
#include "host/doctor/system/judge.h"
#include "tests/support/system/system.h"

#define DATA VKFT_TEST_DATA "/doctor/"

static void test_parsers(void **state)
{
    (void)state;
    char value[16];
    vkft_system_value("A=1\nAB=\"two words\"\nC=\n", "AB", '=', value, sizeof value);
    assert_string_equal(value, "two words");
    vkft_system_value("A=1\nAB=2", "B", '=', value, sizeof value);
    assert_string_equal(value, "");
    vkft_system_value("MemTotal:       32505856 kB\n", "MemTotal", ':', value, sizeof value);
    assert_int_equal(vkft_system_number(value), 32505856);
    vkft_system_value("NAME=a value that is longer than that", "NAME", '=', value, sizeof value);
    assert_string_equal(value, "a value that is");
    assert_int_equal(vkft_system_number(""), VKFT_UNKNOWN);
    assert_int_equal(vkft_system_number("-1"), -1);
}

/* All that was told, a line each. */
typedef struct record {
    char text[8000];
} record;

static void keep(void *context, const vkft_doctor_line *line)
{
    record *r = context;
    size_t n = strlen(r->text);
    snprintf(r->text + n, sizeof r->text - n, "%s: %s | %s\n", line->kind, line->a, line->b);
}

static void expect_told(const record *r, const char *part)
{
    if (!strstr(r->text, part))
        fail_msg("'%s' is not in:\n%s", part, r->text);
}

static void expect_not_told(const record *r, const char *part)
{
    if (strstr(r->text, part))
        fail_msg("'%s' is in:\n%s", part, r->text);
}

static void test_amd(void **state)
{
    (void)state;
    vkft_system_facts f;
    record r = {""};
    const vkft_doctor_listener to = {keep, &r};
    vkft_system_read(DATA "amd", &f);
    assert_string_equal(f.distribution, "Fedora Linux 43 (Workstation Edition)");
    assert_true(f.memory_bytes == 32505856ll * 1024);
    assert_int_equal(f.node_count, 2);
    assert_int_equal(f.card_count, 2);
    assert_int_equal(f.lockup_ms, 500);
    assert_int_equal(f.ttm_pages, 4063232);
    vkft_system_judge(&f, &to);
    expect_told(&r, "ok: /dev/dri/renderD128 can be used");
    expect_told(&r,
                "warning: time limit of card0 (amdgpu.lockup_timeout): 0.5 s; so the GPU gets work for 62 ms at a time "
                "instead of 250");
    expect_told(&r, "| echo 'options amdgpu lockup_timeout=10000,10000,10000,10000' | sudo tee");
    vkft_system_judge_gtt(&f, &to);
    expect_told(&r, "note: the GPU may use 15.50 GiB of 31.00 GiB of memory");
    expect_told(&r, "ttm.pages_limit=6094848 ttm.page_pool_size=6094848");
    f.cards[0].gtt_bytes = f.cards[1].gtt_bytes = f.memory_bytes / 4 * 3;
    vkft_system_judge_gtt(&f, &to);
    expect_told(&r, "ok: the GPU may use 23.25 GiB of 31.00 GiB");
    f.lockup_ms = 0;
    vkft_system_judge(&f, &to);
    expect_told(&r, "ok: time limit of card0 (amdgpu.lockup_timeout): none, or the driver's own");
}

static void test_intel(void **state)
{
    (void)state;
    vkft_system_facts f;
    record r = {""};
    const vkft_doctor_listener to = {keep, &r};
    vkft_system_read(DATA "i915", &f);
    assert_int_equal(f.card_count, 1);
    assert_int_equal(f.cards[0].heartbeat_ms, 1500);
    assert_true(f.has_dri);
    vkft_system_judge(&f, &to);
    expect_told(&r, "warning: time limit of card1 (i915 heartbeat_interval_ms): 1.5 s; so");
    expect_told(&r, "| echo 10000 | sudo tee /sys/class/drm/card1/engine/rcs0/heartbeat_interval_ms");
    expect_told(&r, "problem: the system has graphics cards (i915), but there is no /dev/dri/renderD*");
    vkft_system_judge_gtt(&f, &to); /* not AMD's */
    expect_not_told(&r, "the GPU may use");
    r.text[0] = 0;
    vkft_system_read(DATA "xe", &f);
    vkft_system_judge(&f, &to);
    expect_told(&r, "ok: time limit of card0 (xe job_timeout_ms): 5.0 s");
    expect_told(&r, "problem: the system has graphics cards (xe)");
}

static void test_rights(void **state)
{
    (void)state;
    record r = {""};
    const vkft_doctor_listener to = {keep, &r};
    vkft_system_facts f = {
        .node_count = 3,
        .nodes = {{.path = "/dev/dri/renderD128", .group = "render"},
                  {.path = "/dev/dri/renderD129", .group = "render", .after_login = true},
                  {.path = "/dev/dri/renderD130", .group = "root", .in_group = true}},
        .tdr_delay_s = VKFT_UNKNOWN,
    };
    vkft_system_judge(&f, &to);
    expect_told(&r, "problem: /dev/dri/renderD128 may not be used by this user; its group is 'render' | sudo usermod "
                    "-aG render $USER, then log out and in again");
    expect_told(&r, "renderD129 may not be used by this user; its group is 'render' | log out and in again");
    expect_told(&r, "renderD130 may not be used by this user; its group is 'root' | sudo chgrp render");
}

static void test_windows(void **state)
{
    (void)state;
    record r = {""};
    const vkft_doctor_listener to = {keep, &r};
    vkft_system_facts f = {.tdr_delay_s = 0};
    vkft_system_judge(&f, &to);
    expect_told(&r, "ok: time limit of Windows (TdrDelay): 2.0 s");
    f.tdr_delay_s = 1;
    vkft_system_judge(&f, &to);
    expect_told(&r, "warning: time limit of Windows (TdrDelay): 1.0 s; so the GPU gets work for 125 ms");
    expect_told(&r, "| reg add HKLM\\SYSTEM\\CurrentControlSet\\Control\\GraphicsDrivers /v TdrDelay");
    r.text[0] = 0;
    f.tdr_delay_s = VKFT_UNKNOWN;
    vkft_system_judge(&f, &to);
    assert_string_equal(r.text, "");
}

static void test_nothing(void **state)
{
    (void)state;
    record r = {""};
    const vkft_doctor_listener to = {keep, &r};
    vkft_system_facts f;
    vkft_system_read(DATA "no-such-system", &f);
    f.tdr_delay_s = VKFT_UNKNOWN;
    vkft_system_judge(&f, &to);
    vkft_system_judge_gtt(&f, &to);
    assert_string_equal(r.text, "");
}

static void test_manifests(void **state)
{
    (void)state;
    static vkft_driver_manifest m[VKFT_MAX_MANIFESTS];
    const char *named;
    if (vkft_os_is_windows()) {
        print_message("skipped: drivers are in the registry of Windows\n");
        skip();
    }
    static const char *const unset[] = {"VK_DRIVER_FILES", "VK_ICD_FILENAMES", "XDG_CONFIG_HOME",
                                        "XDG_CONFIG_DIRS", "XDG_DATA_HOME",    "XDG_DATA_DIRS"};
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        vkft_test_environment(unset[i], NULL);
    assert_int_equal(vkft_driver_manifests(DATA "amd", m, &named), 2);
    assert_null(named);
    const vkft_driver_manifest *radeon = strstr(m[0].path, "radeon") ? &m[0] : &m[1];
    assert_string_equal(radeon->library, "hides.so"); /* /etc comes before /usr/share */
    assert_string_equal((radeon == m ? &m[1] : &m[0])->library, "");
    vkft_test_environment("VK_ICD_FILENAMES", DATA "amd/usr/share/vulkan/icd.d/radeon_icd.x86_64.json:/no/such.json");
    assert_int_equal(vkft_driver_manifests("", m, &named), 2);
    assert_string_equal(named, "VK_ICD_FILENAMES");
    assert_string_equal(m[0].library, "/usr/lib64/libvulkan_radeon.so");
    assert_string_equal(m[0].api, "1.4.318");
    assert_string_equal(m[1].library, "");
    vkft_test_environment("VK_DRIVER_FILES", DATA "amd/usr/share/vulkan/icd.d");
    assert_int_equal(vkft_driver_manifests("", m, &named), 1);
    assert_string_equal(named, "VK_DRIVER_FILES");
    assert_false(vkft_driver_manifest_parse("[]", 2, &m[0]));
    assert_false(vkft_driver_manifest_parse("{\"ICD\": {\"library_path\": 3}}", 28, &m[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsers),   cmocka_unit_test(test_amd),     cmocka_unit_test(test_intel),
        cmocka_unit_test(test_rights),    cmocka_unit_test(test_windows), cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_manifests),
    };
    return cmocka_run_group_tests_name("system", tests, NULL, NULL);
}
