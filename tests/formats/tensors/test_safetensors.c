/* safetensors: round trips, files of other writers, and files that are wrong in every way the format allows. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "formats/tensors/safetensors.h"

typedef struct fixture {
    char *dir, *path;
} fixture;

static int set_up(void **state)
{
    fixture *f = malloc(sizeof *f);
    f->dir = vkft_test_directory();
    f->path = vkft_path_join(f->dir, "x.safetensors");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f->path);
    free(f);
    return 0;
}

/* A file with this header and data_size bytes of data. */
static void write_raw(const char *path, const char *header, size_t data_size)
{
    vkft_err err = {0};
    size_t length = strlen(header), size = 8 + length + data_size;
    uint8_t *bytes = calloc(1, size);
    bytes[0] = (uint8_t)length;
    bytes[1] = (uint8_t)(length >> 8);
    memcpy(bytes + 8, header, length);
    expect_ok(vkft_file_write(path, bytes, size, &err));
    free(bytes);
}

/* Two tensors, one of them empty, one scalar. */
static void write_good(const char *path)
{
    static const vkft_safetensors_spec specs[] = {
        {.name = "b", .dtype = VKFT_F32, .dims = 2, .shape = {2, 3}},
        {.name = "empty", .dtype = VKFT_BF16, .dims = 2, .shape = {0, 7}},
        {.name = "a", .dtype = VKFT_U8, .dims = 1, .shape = {5}},
        {.name = "scalar", .dtype = VKFT_I64, .dims = 0},
    };
    static const float b[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t scalar = -7;
    vkft_err err = {0};
    vkft_safetensors_writer *writer = vkft_safetensors_create(path, specs, 4, &err);
    expect_ok(writer);
    expect_ok(vkft_safetensors_append(writer, b, 10, &err)); /* pieces need not end with tensors */
    expect_ok(vkft_safetensors_append(writer, (const uint8_t *)b + 10, 14, &err));
    expect_ok(vkft_safetensors_append(writer, "hello", 5, &err));
    expect_ok(vkft_safetensors_append(writer, &scalar, sizeof scalar, &err));
    expect_ok(vkft_safetensors_commit(writer, &err));
}

static void round_trip(void **state)
{
    const fixture *f = *state;
    vkft_tensor_file file;
    vkft_err err = {0};
    write_good(f->path);
    expect_ok(vkft_safetensors_open(f->path, &file, &err));
    assert_int_equal(file.count, 4);
    const vkft_file_tensor *b = vkft_tensor_file_find(&file, "b");
    assert_non_null(b);
    assert_int_equal(b->dtype, VKFT_F32);
    assert_int_equal(b->dims, 2);
    assert_true(b->shape[0] == 2 && b->shape[1] == 3 && b->elements == 6 && b->bytes == 24);
    assert_int_equal(b->offset % 8, 0);
    float x[6];
    memcpy(x, vkft_tensor_file_data(&file, b), sizeof x);
    assert_true(x[0] == 1 && x[5] == 6);
    assert_memory_equal(vkft_tensor_file_data(&file, vkft_tensor_file_find(&file, "a")), "hello", 5);
    assert_true(vkft_tensor_file_find(&file, "empty")->bytes == 0);
    assert_true(vkft_tensor_file_find(&file, "scalar")->elements == 1);
    assert_null(vkft_tensor_file_find(&file, "c"));
    assert_null(vkft_tensor_file_find(&file, ""));
    vkft_tensor_file_close(&file);
}

/* What was announced must be written, and an unfinished file never appears under its name. */
static void incomplete_writing(void **state)
{
    const fixture *f = *state;
    const vkft_safetensors_spec spec = {.name = "a", .dtype = VKFT_F32, .dims = 1, .shape = {4}};
    vkft_err err = {0};
    vkft_safetensors_writer *writer = vkft_safetensors_create(f->path, &spec, 1, &err);
    expect_ok(vkft_safetensors_append(writer, "12345678", 8, &err));
    expect_failure(vkft_safetensors_commit(writer, &err), "8 bytes of tensors were written, 16 were announced");
    assert_false(vkft_file_exists(f->path));
    writer = vkft_safetensors_create(f->path, &spec, 1, &err);
    vkft_safetensors_abandon(writer);
    assert_false(vkft_file_exists(f->path));
}

static void wrong_headers(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *header;
        size_t data;
        const char *message;
    } cases[] = {
        {"[]", 0, "expected an object"},
        {"{\"a\":1}", 0, "tensor 'a': expected an object"},
        {"{\n\"a\": }", 0, "line 2, column 6"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "key 'dtype' is missing"},
        {"{\"a\":{\"dtype\":\"F8_E5M2\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype 'F8_E5M2' is not supported"},
        {"{\"a\":{\"dtype\":\"NF4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, "dtype 'NF4' is not supported"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "key 'shape' is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,6]}}", 6, "whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "more than 8 dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,4]}}", 4, "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,1],\"data_offsets\":[0,0]}}", 0, "whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2147483648,2147483648,4],\"data_offsets\":[0,0]}}", 0, "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740992,64],\"data_offsets\":[0,0]}}", 0, "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "key 'data_offsets' is missing"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "two ascending"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, "two ascending"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8,
         "hold 8 bytes, but dtype and shape need 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, "truncated"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "starts at byte"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "the last tensor ends at byte"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],"
         "\"data_offsets\":[4,12]}}",
         12, "starts at byte"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[4,8]}}",
         8, "'a' is listed twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_tensor_file file;
        vkft_err err = {0};
        write_raw(f->path, cases[i].header, cases[i].data);
        expect_failure(vkft_safetensors_open(f->path, &file, &err), cases[i].message);
        assert_null(file.tensors);
    }
}

static void disguises(void **state)
{
    const fixture *f = *state;
    static const struct {
        const char *content, *message;
    } cases[] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 5\n", "Git-LFS pointer"},
        {"PK\x03\x04xxxxxxxxxxxxxxxxxxx", "PyTorch pickle"},
        {"\x80\x02}q\x01xxxxxxxxx", "PyTorch pickle"},
        {"<!DOCTYPE html><html>", "web page"},
        {"", "0 bytes are too few"},
        {"1234567", "7 bytes are too few"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff{}", "this is not a safetensors file"},
        {"zzzzzzzzzzzz", "this is not a safetensors file"},
    };
    vkft_tensor_file file;
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_ok(vkft_file_write(f->path, cases[i].content, strlen(cases[i].content), &err));
        expect_failure(vkft_safetensors_open(f->path, &file, &err), cases[i].message);
    }
    expect_ok(vkft_file_write(f->path, "\x64\0\0\0\0\0\0\0{}", 10, &err));
    expect_failure(vkft_safetensors_open(f->path, &file, &err), "truncated");
    expect_failure(vkft_safetensors_open(f->dir, &file, &err), "s a directory");
    expect_failure(vkft_safetensors_open("/does/not/exist", &file, &err), "No such file");
}

static void touch_everything(const vkft_tensor_file *file)
{
    volatile uint8_t sum = 0;
    for (uint32_t i = 0; i < file->count; i++) {
        const uint8_t *data = vkft_tensor_file_data(file, &file->tensors[i]);
        for (uint64_t k = 0; k < file->tensors[i].bytes; k++)
            sum = (uint8_t)(sum + data[k]);
        assert_ptr_equal(vkft_tensor_file_find(file, file->tensors[i].name), &file->tensors[i]);
    }
}

/* Truncated at every byte: always an error. Damaged at random: an error, or a file in which everything can be read. */
static void truncated_and_damaged(void **state)
{
    const fixture *f = *state;
    vkft_tensor_file file;
    vkft_err err = {0};
    size_t size;
    write_good(f->path);
    char *good = vkft_test_read(f->path, &size);
    for (size_t n = 0; n < size; n++) {
        expect_ok(vkft_file_write(f->path, good, n, &err));
        assert_false(vkft_safetensors_open(f->path, &file, &err));
    }
    char *copy = malloc(size);
    srand(7);
    for (int round = 0; round < 3000; round++) {
        memcpy(copy, good, size);
        for (int k = 0; k <= round % 4; k++)
            copy[(size_t)rand() % size] = (char)rand();
        expect_ok(vkft_file_write(f->path, copy, size, &err));
        if (vkft_safetensors_open(f->path, &file, &err)) {
            touch_everything(&file);
            vkft_tensor_file_close(&file);
        }
    }
    free(copy);
    free(good);
}

static void files_of_other_writers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        vkft_dtype dtype;
        uint32_t dims;
    } files[] = {{"1d-int32", VKFT_I32, 1},
                 {"2d-float64", VKFT_F64, 2},
                 {"3d-float32", VKFT_F32, 3},
                 {"4d-float32", VKFT_F32, 4}};
    const char *shared = vkft_test_shared_data();
    if (!shared)
        skip();
    char path[1024];
    vkft_tensor_file file;
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/safetensors/tensor-%s.safetensors", shared, files[i].name);
        expect_ok(vkft_safetensors_open(path, &file, &err));
        assert_int_equal(file.count, 1);
        assert_int_equal(file.tensors[0].dtype, files[i].dtype);
        assert_int_equal(file.tensors[0].dims, files[i].dims);
        touch_everything(&file);
        vkft_tensor_file_close(&file);
    }
    snprintf(path, sizeof path, "%s/negative/lfs_pointer.safetensors", shared);
    expect_failure(vkft_safetensors_open(path, &file, &err), "Git-LFS pointer");
    snprintf(path, sizeof path, "%s/checkpoints/stories260K/hf/model.safetensors", shared);
    expect_ok(vkft_safetensors_open(path, &file, &err));
    const vkft_file_tensor *q = vkft_tensor_file_find(&file, "model.layers.0.self_attn.q_proj.weight");
    assert_true(q && q->shape[0] == 64 && q->shape[1] == 64);
    touch_everything(&file);
    vkft_tensor_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(incomplete_writing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(disguises, set_up, tear_down),
        cmocka_unit_test_setup_teardown(truncated_and_damaged, set_up, tear_down),
        cmocka_unit_test(files_of_other_writers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
