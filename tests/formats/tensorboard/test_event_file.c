/* TensorBoard's event files: the checksum, and every byte as TensorBoard itself writes it
 * (tests/golden/make_tensorboard_fixture.py). */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/tensorboard/event_file.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

/* RFC 3720, appendix B.4, and the check value of the CRC catalogues. */
static void test_crc32c(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(vkft_crc32c("", 0), 0);
    assert_int_equal(vkft_crc32c("123456789", 9), 0xe3069283u);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(vkft_crc32c(bytes, sizeof bytes), 0x8a9136aau);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(vkft_crc32c(bytes, sizeof bytes), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(vkft_crc32c(bytes, sizeof bytes), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(vkft_crc32c(bytes, sizeof bytes), 0x113fdb5cu);
}

static vkft_event_time at(double wall_time, uint64_t step)
{
    return (vkft_event_time){wall_time, step};
}

static void test_same_bytes_as_tensorboard(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "events"), text[1000];
    vkft_err err = {0};
    strcpy(text, "    {\n    \t\"seed\":\t\"42\"\n    }\n");
    for (int i = 0; i < 30; i++)
        strcat(text, "가나다 ");
    static const vkft_event_scalar first[] = {
        {"train/loss", 2.75f}, {"train/grad_norm", 0.1f}, {"train/learning_rate", 0}};
    vkft_event_file *file = vkft_event_file_create(path, 1700000000.25, &err);
    expect_ok(file);
    expect_ok(vkft_event_file_text(file, at(1700000000.25, 0), "args/text_summary", text, &err));
    expect_ok(vkft_event_file_scalars(file, at(1700000001.5, 1), first, 3, &err));
    expect_ok(vkft_event_file_scalars(file, at(1700000002.5, 127), &(vkft_event_scalar){"train/loss", NAN}, 1, &err));
    expect_ok(
        vkft_event_file_scalars(file, at(1700000003.5, 128), &(vkft_event_scalar){"eval/loss", INFINITY}, 1, &err));
    expect_ok(vkft_event_file_scalars(file, at(1700000004.5, (1ull << 62) + 5), NULL, 0, &err));
    vkft_event_file_close(file);
    size_t size, expected_size;
    char *bytes = vkft_test_read(path, &size);
    char *expected = vkft_test_read(VKFT_TEST_DATA "/tensorboard/events", &expected_size);
    assert_int_equal(size, expected_size);
    assert_memory_equal(bytes, expected, size);
    free(bytes);
    free(expected);
    free(path);
    vkft_test_remove_directory(dir);
}

/* Someone else's file stays as it is. */
static void test_only_new_files(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "events"), *below = vkft_path_join(path, "events");
    vkft_err err = {0};
    expect_ok(vkft_file_write(path, "precious", 8, &err));
    expect_failure(vkft_event_file_create(path, 1, &err), "cannot create");
    expect_failure(vkft_event_file_create(below, 1, &err), "cannot create");
    size_t size;
    char *bytes = vkft_test_read(path, &size);
    assert_string_equal(bytes, "precious");
    free(bytes);
    free(below);
    free(path);
    vkft_test_remove_directory(dir);
}

/* As on a full disk: the limit lies inside a record. */
static void test_no_space(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "events");
    vkft_err err = {0};
    const vkft_event_scalar loss = {"train/loss", 1};
    vkft_event_file *file = vkft_event_file_create(path, 1, &err);
    expect_ok(file);
    bool limited = vkft_test_limit_file_size(120);
    bool first = vkft_event_file_scalars(file, at(1, 1), &loss, 1, &err);
    bool second = vkft_event_file_scalars(file, at(1, 2), &loss, 1, &err);
    vkft_test_limit_file_size(0);
    vkft_event_file_close(file);
    free(path);
    vkft_test_remove_directory(dir);
    if (!limited)
        skip();
    assert_true(first);
    assert_false(second);
    assert_non_null(strstr(err.message, "cannot write"));
    assert_int_equal(err.kind, VKFT_ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_same_bytes_as_tensorboard),
        cmocka_unit_test(test_only_new_files),
        cmocka_unit_test(test_no_space),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
