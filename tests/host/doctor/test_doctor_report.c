/* The doctor's report: what was said is in it, names of people and machines are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/os/machine.h"
#include "host/doctor/report.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

static void expect_scrubbed(const vkft_private_names *names, const char *text, const char *expected)
{
    char *clean = vkft_report_scrub(text, names);
    assert_string_equal(clean, expected);
    free(clean);
}

static void test_scrub(void **state)
{
    (void)state;
    const vkft_private_names names = {.home = "/home/anna", .user = "anna", .host = "blue"};
    expect_scrubbed(&names, "/home/anna/icd.json", "~/icd.json");
    expect_scrubbed(&names, "anna on blue: hannah likes bluer", "<user> on <host>: hannah likes bluer");
    expect_scrubbed(&names, "/home/annabel", "/home/annabel");
    expect_scrubbed(&names, "", "");
    const vkft_private_names common = {.home = "/root", .user = "root", .host = "localhost"};
    expect_scrubbed(&common, "the group of /root is root on localhost", "the group of /root is root on localhost");
    const vkft_private_names nobody = {.home = "", .user = "x", .host = ""};
    expect_scrubbed(&nobody, "x 1 x", "x 1 x");
}

static void add(vkft_doctor_report *report, const char *kind, const char *a, const char *b)
{
    vkft_doctor_report_add(report, &(vkft_doctor_line){kind, a, b, ""});
}

static const char *text_of(const cJSON *object, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(object, name));
    assert_non_null(text);
    return text;
}

static void test_report(void **state)
{
    (void)state;
    vkft_err err;
    char *dir = vkft_test_directory(), path[600];
    snprintf(path, sizeof path, "%s/report.json", dir);
    vkft_test_environment(vkft_os_is_windows() ? "USERPROFILE" : "HOME", "/home/somebody");
    vkft_doctor_report *report = vkft_doctor_report_new("1.2", "abc");
    assert_non_null(report);
    add(report, "section", "System", "");
    add(report, "ok", "Vulkan loader 1.3.239", "");
    add(report, "problem", "/home/somebody/x is wrong", "mend it");
    add(report, "stage", "never in a report", "");
    add(report, "section", "0: device", "");
    add(report, "fact", "subgroup size", "8");
    add(report, "kernel", "rmsnorm", "y[0] is 1");
    add(report, "said", "a driver's words", "");
    add(report, "verdict", "0: device", "not usable: why");
    expect_ok(vkft_doctor_report_write(report, path, &err));
    vkft_doctor_report_free(report);
    cJSON *json = vkft_test_read_json(path);
    assert_string_equal(text_of(json, "schema"), "vkft-doctor-1");
    assert_string_equal(text_of(json, "version"), "1.2");
    assert_string_equal(text_of(json, "commit"), "abc");
    const cJSON *sections = cJSON_GetObjectItem(json, "sections"), *first = cJSON_GetArrayItem(sections, 0),
                *second = cJSON_GetArrayItem(sections, 1), *findings = cJSON_GetObjectItem(first, "findings");
    assert_int_equal(cJSON_GetArraySize(sections), 2);
    assert_int_equal(cJSON_GetArraySize(findings), 2);
    assert_string_equal(text_of(cJSON_GetArrayItem(findings, 1), "text"), "~/x is wrong");
    assert_string_equal(text_of(cJSON_GetArrayItem(findings, 1), "mend"), "mend it");
    assert_string_equal(text_of(cJSON_GetArrayItem(cJSON_GetObjectItem(second, "wrong_kernels"), 0), "name"),
                        "rmsnorm");
    assert_string_equal(text_of(cJSON_GetArrayItem(cJSON_GetObjectItem(second, "facts"), 0), "value"), "8");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(second, "said")), 1);
    assert_string_equal(text_of(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "verdicts"), 0), "verdict"),
                        "not usable: why");
    cJSON_Delete(json);
    char *text = vkft_test_read(path, NULL);
    assert_null(strstr(text, "never in a report"));
    assert_null(strstr(text, "somebody"));
    free(text);
    report = vkft_doctor_report_new("1.2", "abc");
    expect_failure(vkft_doctor_report_write(report, "/no/such/directory/report.json", &err), "/no/such/directory");
    vkft_doctor_report_free(report);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scrub), cmocka_unit_test(test_report)};
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
