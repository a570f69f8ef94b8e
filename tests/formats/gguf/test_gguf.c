/* GGUF files written by the Python package gguf (tests/golden/make_gguf_fixtures.py), and such that are cut off or
 * spoiled. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/gguf/gguf.h"
#include "formats/tensors/ggml/ggml.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"

#define TYPES VKFT_TEST_DATA "/gguf/types.gguf"
#define SPLIT VKFT_TEST_DATA "/gguf/split-00001-of-00006.gguf"

static double number(const vkft_gguf *g, const char *key)
{
    const vkft_gguf_value *v = vkft_gguf_find(g, key);
    assert_non_null(v);
    assert_false(v->is_array);
    return vkft_gguf_number(v, 0);
}

static void reads_every_type_of_key(void **state)
{
    vkft_gguf g;
    vkft_err err = {0};
    char *text = NULL;
    const vkft_gguf_value *array;
    uint32_t u32 = 0;
    bool yes = false;
    uint64_t at = 0, length;
    (void)state;
    expect_ok(vkft_gguf_open(TYPES, &g, &err));
    assert_int_equal(g.version, 3);
    assert_true(number(&g, "a.u8") == 200 && number(&g, "a.i8") == -100);
    assert_true(number(&g, "a.u16") == 60000 && number(&g, "a.i16") == -30000);
    assert_true(number(&g, "a.u32") == 4000000000.0 && number(&g, "a.i32") == -2000000000.0);
    assert_true(number(&g, "a.u64") == 1099511627777.0 && number(&g, "a.i64") == -1099511627777.0);
    assert_true(number(&g, "a.f32") == (double)0.1f && number(&g, "a.f64") == 0.1);
    expect_ok(vkft_gguf_get_bool(&g, "a.bool", true, &yes, &err));
    assert_true(yes);
    expect_ok(vkft_gguf_get_string(&g, "a.string", true, &text, &err));
    assert_string_equal(text, "\ud55c\uae00 text");
    free(text);
    expect_ok(vkft_gguf_get_array(&g, "a.numbers", true, false, &array, &err));
    assert_int_equal(array->count, 3);
    assert_true(vkft_gguf_number(array, 0) == 3 && vkft_gguf_number(array, 2) == -4);
    expect_ok(vkft_gguf_get_array(&g, "a.floats", true, false, &array, &err));
    assert_true(vkft_gguf_number(array, 1) == -1.5);
    expect_ok(vkft_gguf_get_array(&g, "a.strings", true, true, &array, &err));
    assert_memory_equal(vkft_gguf_string(array, &at, &length), "one", 3);
    vkft_gguf_string(array, &at, &length);
    assert_int_equal(length, 0);
    assert_memory_equal(vkft_gguf_string(array, &at, &length), "\uc14b", 3);
    expect_ok(vkft_gguf_get_u32(&g, "absent", false, &u32, &err));
    assert_int_equal(u32, 0);
    expect_failure(vkft_gguf_get_u32(&g, "absent", true, &u32, &err), "key 'absent' is missing");
    expect_failure(vkft_gguf_get_u32(&g, "a.i8", true, &u32, &err), "a value of type i8; expected a whole number");
    expect_failure(vkft_gguf_get_u32(&g, "a.u64", true, &u32, &err), "a value of type u64; expected a whole number");
    expect_failure(vkft_gguf_get_bool(&g, "a.u8", true, &yes, &err), "expected a bool");
    expect_failure(vkft_gguf_get_array(&g, "a.strings", true, false, &array, &err), "expected an array of numbers");
    vkft_gguf_close(&g);
}

static const struct {
    const char *name;
    vkft_dtype dtype;
    uint64_t rows, columns;
} tensors[] = {
    {"t.F32", VKFT_F32, 3, 64},    {"t.F16", VKFT_F16, 3, 64},    {"t.BF16", VKFT_BF16, 3, 64},
    {"t.Q8_0", VKFT_Q8_0, 3, 64},  {"t.Q4_0", VKFT_Q4_0, 3, 64},  {"t.Q4_1", VKFT_Q4_1, 3, 64},
    {"t.Q5_0", VKFT_Q5_0, 3, 64},  {"t.Q5_1", VKFT_Q5_1, 3, 64},  {"t.Q4_K", VKFT_Q4_K, 2, 256},
    {"t.Q5_K", VKFT_Q5_K, 2, 256}, {"t.Q6_K", VKFT_Q6_K, 2, 256},
};

/* The tensor of any part. */
static const vkft_file_tensor *find(const vkft_gguf *g, const char *name, const uint8_t **data)
{
    for (uint32_t i = 0; i < g->part_count; i++) {
        const vkft_file_tensor *t = vkft_tensor_file_find(&g->parts[i], name);
        if (t) {
            *data = vkft_tensor_file_data(&g->parts[i], t);
            assert_true(t->offset % (g->part_count == 1 ? 64 : 32) == 0 &&
                        t->offset + t->bytes <= g->parts[i].mapping.size);
            return t;
        }
    }
    fail_msg("tensor %s is missing", name);
    return NULL;
}

static void reads_tensors_whole_and_split(void **state)
{
    vkft_gguf whole, split;
    vkft_err err = {0};
    (void)state;
    expect_ok(vkft_gguf_open(TYPES, &whole, &err));
    expect_ok(vkft_gguf_open(SPLIT, &split, &err));
    assert_int_equal(whole.part_count, 1);
    assert_int_equal(split.part_count, 6);
    float f32[3 * 64], q8[3 * 64];
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        const uint8_t *data, *other;
        const vkft_file_tensor *t = find(&whole, tensors[i].name, &data), *s = find(&split, tensors[i].name, &other);
        assert_int_equal(t->dtype, tensors[i].dtype);
        assert_int_equal(t->dims, 2);
        assert_true(t->shape[0] == tensors[i].rows && t->shape[1] == tensors[i].columns);
        assert_int_equal(t->bytes, vkft_dtype_bytes(t->dtype, t->elements));
        assert_int_equal(s->bytes, t->bytes);
        if (t->elements == 3 * 64) { /* the random numbers differ from file to file; each is near to a normal one */
            vkft_ggml_to_f32(t->dtype, data, t->elements, i ? q8 : f32);
            for (int k = 0; i && k < 3 * 64; k++)
                assert_true(q8[k] > -6 && q8[k] < 6);
        }
    }
    vkft_gguf_close(&whole);
    vkft_gguf_close(&split);
    expect_failure(vkft_gguf_open(VKFT_TEST_DATA "/gguf/split-00003-of-00006.gguf", &split, &err),
                   "is part 3 of 6 of a model; give the first one, -00001-of-00006.gguf");
}

typedef struct fixture {
    char *dir, *path, *data;
    size_t size;
} fixture;

static int set_up(void **state)
{
    fixture *f = malloc(sizeof *f);
    vkft_err err = {0};
    f->dir = vkft_test_directory();
    f->path = vkft_path_join(f->dir, "model.gguf");
    expect_ok(vkft_file_read(TYPES, 1 << 20, &f->data, &f->size, &err));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f->path);
    free(f->data);
    free(f);
    return 0;
}

static bool opens(const fixture *f, size_t size, vkft_err *err)
{
    vkft_gguf g;
    assert_true(vkft_file_write(f->path, f->data, size, err));
    bool ok = vkft_gguf_open(f->path, &g, err);
    if (ok)
        vkft_gguf_close(&g);
    return ok;
}

static size_t position(const fixture *f, const char *text)
{
    for (size_t i = 0; i + strlen(text) <= f->size; i++)
        if (memcmp(f->data + i, text, strlen(text)) == 0)
            return i + strlen(text);
    fail_msg("%s is not in the file", text);
    return 0;
}

static void put(const fixture *f, size_t at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        f->data[at + (size_t)i] = (char)(value >> (8 * i));
}

/* Every file that is cut off is refused. */
static void cut_off(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    for (size_t size = 0; size < f->size; size += size < 2000 ? 7 : 401)
        assert_false(opens(f, size, &err));
    size_t last = f->size - 64 - 1;
    expect_failure(opens(f, last, &err), "it is cut off");
    expect_ok(opens(f, f->size, &err));
}

static void spoiled(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    char *kept = malloc(f->size);
    memcpy(kept, f->data, f->size);
    /* name of the tensor, number of sizes, two sizes, type, offset */
    const size_t shape = position(f, "t.F16"), type = shape + 4 + 16, array = position(f, "a.strings");
    const struct {
        size_t at;
        uint64_t value;
        int bytes;
        const char *message;
    } cases[] = {
        {0, 0x46464747, 4, "this is not a GGUF file"},
        {4, 1, 4, "GGUF version 1 is not supported; expected 2 or 3"},
        {4, 4, 4, "GGUF version 4 is not supported"},
        {4, 0x03000000, 4, "the file is big endian"},
        {8, 1ull << 40, 8, "tensors do not fit the file's"},
        {16, 1ull << 40, 8, "keys do not fit the file's"},
        {16, ~0ull, 8, "keys do not fit the file's"},
        {24, ~0ull, 8, "inside a key"},
        {24, 0, 8, "has a name of 0 bytes"},
        {position(f, "general.alignment") + 4, 48, 4, "general.alignment is 48; expected a power of two"},
        {position(f, "general.alignment") + 4, 0, 4, "general.alignment is 0"},
        {position(f, "a.u8"), 13, 4, "key 'a.u8': type 13 is not supported"},
        {array + 4, 9, 4, "key 'a.strings': an array of type 9 is not supported"},
        {array + 8, 1ull << 60, 8, "the file ends at byte"},
        {position(f, "a.numbers") + 8, 1ull << 61, 8, "inside a.numbers"},
        {shape, 0, 4, "tensor 't.F16' has 0 dimensions; expected 1 to 4"},
        {shape, 5, 4, "tensor 't.F16' has 5 dimensions"},
        {shape + 4, 0, 8, "tensor 't.F16': a size is 0"},
        {shape + 4, 1ull << 62, 8, "their product is too large"},
        {shape + 4, 1ull << 40, 8, "but the file has only"},
        {type, 16, 4, "tensor 't.F16' has type IQ2_XXS, which cannot be read"},
        {type, 77, 4, "tensor 't.F16' has type 77, which cannot be read"},
        {type, 12, 4, "tensor 't.F16' has rows of 64 elements; expected a multiple of 256 for type Q4_K"},
        {type + 4, 32, 8, "expected a multiple of 64"},
        {type + 4, 64, 8, "where the one before it ends"},
        {type + 4, ~0ull - 63, 8, "but the file has only"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(f, cases[i].at, cases[i].value, cases[i].bytes);
        expect_failure(opens(f, f->size, &err), cases[i].message);
        memcpy(f->data, kept, f->size);
    }
    memcpy(f->data + position(f, "a.u1") - 4, "a.i16", 5);
    expect_failure(opens(f, f->size, &err), "key 'a.i16' is there twice");
    memcpy(f->data, kept, f->size);
    memcpy(f->data + position(f, "t.Q4_1") - 6, "t.Q4_0", 6);
    expect_failure(opens(f, f->size, &err), "tensor 't.Q4_0' is listed twice");
    memcpy(f->data, kept, f->size);
    put(f, 4, 2, 4);
    expect_ok(opens(f, f->size, &err));
    free(kept);
}

/* Parts that are missing, or of another model. */
static void wrong_parts(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    vkft_gguf g;
    char name[64], *from, *to, *data;
    size_t size;
    for (int part = 1; part <= 5; part++) {
        snprintf(name, sizeof name, "split-%05d-of-00006.gguf", part);
        from = vkft_path_join(VKFT_TEST_DATA "/gguf", name);
        to = vkft_path_join(f->dir, name);
        expect_ok(vkft_file_read(from, 1 << 20, &data, &size, &err));
        expect_ok(vkft_file_write(to, data, size, &err));
        free(from);
        free(to);
        free(data);
    }
    char *first = vkft_path_join(f->dir, "split-00001-of-00006.gguf"),
         *last = vkft_path_join(f->dir, "split-00006-of-00006.gguf");
    expect_failure(vkft_gguf_open(first, &g, &err), "part 6 of 6 is missing");
    expect_ok(vkft_file_write(last, f->data, f->size, &err));
    expect_failure(vkft_gguf_open(first, &g, &err), "it is a part of another model");
    expect_ok(vkft_file_read(first, 1 << 20, &data, &size, &err));
    expect_ok(vkft_file_write(f->path, data, size, &err));
    expect_failure(vkft_gguf_open(f->path, &g, &err), "its name must end with -00001-of-00006.gguf");
    free(data);
    free(first);
    free(last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type_of_key),
        cmocka_unit_test(reads_tensors_whole_and_split),
        cmocka_unit_test_setup_teardown(cut_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(spoiled, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_parts, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
