/* vkft doctor from outside: drivers that are missing or broken, devices that do not exist, the report. What it finds
 * wrong with kernels is in test_wrong_kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/base/os/machine.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

static void expect_text(const vkft_test_result *r, const char *part)
{
    if (!strstr(r->out, part))
        fail_msg("'%s' is not in:\n%s%s", part, r->out, r->err);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    vkft_err err;
    char *path = vkft_path_join(dir, name);
    if (!vkft_file_write(path, text, strlen(text), &err))
        fail_msg("%s", err.message);
    free(path);
}

/* Drivers that the loader cannot load: they are named, and so is what to do without any. */
static void test_broken_drivers(void **state)
{
    (void)state;
    if (vkft_test_program_is_foreign()) /* its emulator loads drivers, and cannot without any */
        skip();
    char *dir = vkft_test_directory();
    write_file(dir, "gone.json",
               "{\"file_format_version\": \"1.0.0\", \"ICD\": {\"library_path\": \"/no/such/libvulkan_gone.so\", "
               "\"api_version\": \"1.3.0\"}}");
    write_file(dir, "damaged.json", "{\"ICD\"");
    char files[1200];
    snprintf(files, sizeof files, "%s/gone.json:%s/damaged.json", dir, dir);
    char *before = vkft_test_swap_environment("VK_DRIVER_FILES", files),
         *old = vkft_test_swap_environment("VK_ICD_FILENAMES", files);
    vkft_test_result r = vkft_test_program("doctor");
    expect_text(&r, "note     VK_DRIVER_FILES is set: no other drivers are seen\n");
    expect_text(&r, "warning  driver gone.json does not load: ");
    expect_text(&r, "warning  driver damaged.json: the file cannot be read\n");
    expect_text(&r, "problem  ");
    assert_int_equal(r.exit_code, 1);
    assert_null(strstr(r.out, "ready"));
    vkft_test_result_free(&r);
    vkft_test_environment("VK_DRIVER_FILES", before);
    vkft_test_environment("VK_ICD_FILENAMES", old);
    free(before), free(old);
    vkft_test_remove_directory(dir);
}

static void test_no_such_device(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), host[128], user[128], needle[300];
    vkft_test_result r = vkft_test_program("doctor --device nonsense --report %s/report.json", dir);
    expect_text(&r, "device \"nonsense\" matches no device");
    assert_int_equal(r.exit_code, 1);
    vkft_test_result_free(&r);
    snprintf(needle, sizeof needle, "%s/report.json", dir);
    char *report = vkft_test_read(needle, NULL);
    vkft_os_private_names(host, user, sizeof host);
    assert_non_null(strstr(report, "\"schema\":\t\"vkft-doctor-1\""));
    assert_non_null(strstr(report, "matches no device"));
    if (strlen(host) >= 3 && strcmp(host, "localhost") != 0)
        assert_null(strstr(report, host));
    free(report);
    vkft_test_remove_directory(dir);
    r = vkft_test_program("doctor --device nonsense --report /no/such/directory/report.json");
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "vkft: error: "));
    vkft_test_result_free(&r);
    r = vkft_test_program("doctor --timeout 0");
    assert_int_equal(r.exit_code, 2);
    vkft_test_result_free(&r);
}

/* What a child is asked for, when a person asks it. */
static void test_child(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("doctor --child nothing");
    assert_int_equal(r.exit_code, 1);
    assert_string_equal(r.out, "");
    vkft_test_result_free(&r);
    r = vkft_test_program("doctor --child list");
    if (r.exit_code == 0)
        expect_text(&r, "\tdevice\t0\t");
    vkft_test_result_free(&r);
    r = vkft_test_program("doctor --child examine 99");
    assert_int_equal(r.exit_code, 1);
    expect_text(&r, "\tunusable\t");
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_broken_drivers), cmocka_unit_test(test_no_such_device),
                                       cmocka_unit_test(test_child)};
    return cmocka_run_group_tests_name("doctor", tests, NULL, NULL);
}
