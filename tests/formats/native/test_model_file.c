/* The .vkft reader against damaged files: truncated everywhere, damaged at random with and without valid checksums, and
 * wrong on purpose. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "formats/convert/convert.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

typedef struct fixture {
    char *dir, *path, *good;
    size_t size, header; /* of the file, of the header's text */
} fixture;

static int set_up(void **state)
{
    fixture *f = malloc(sizeof *f);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_convert_options options = {.quant = VKFT_STORAGE_nf4_dq, .threads = 1};
    vkft_err err = {0};
    model.layers = 1;
    f->dir = vkft_test_directory();
    f->path = vkft_path_join(f->dir, "model.vkft");
    vkft_tiny_model_write(&model, f->dir);
    expect_ok(vkft_convert(f->dir, f->path, &options, &err));
    f->good = vkft_test_read(f->path, &f->size);
    uint64_t length;
    memcpy(&length, f->good + 8, sizeof length);
    f->header = (size_t)length;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f->path);
    free(f->good);
    free(f);
    return 0;
}

static void fix_checksum(char *bytes, size_t header)
{
    uint64_t hash = XXH3_64bits(bytes + 24, header);
    memcpy(bytes + 16, &hash, sizeof hash);
}

/* Everything that the file offers lies inside the mapping: a sanitizer or a fault tells otherwise. */
static void touch_everything(const vkft_model_file *file)
{
    size_t length;
    volatile uint64_t sum = 0;
    for (uint32_t i = 0; i < vkft_model_file_blob_count(file); i++) {
        const char *blob = vkft_model_file_blob(file, vkft_model_file_blob_name(file, i), &length);
        sum += XXH3_64bits(blob, length);
    }
    for (uint32_t i = 0; i < vkft_model_file_tensor_count(file); i++) {
        const vkft_model_tensor *t = vkft_model_file_tensor(file, i);
        assert_ptr_equal(vkft_model_file_find(file, t->name), t);
        vkft_model_file_verify(file, t, NULL);
    }
    (void)sum;
}

static void contents(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    vkft_model_file *file = vkft_model_file_open(f->path, &err);
    expect_ok(file);
    assert_string_equal(vkft_model_file_path(file), f->path);
    assert_int_equal(vkft_model_file_tensor_count(file), 12);
    assert_null(vkft_model_file_tensor(file, 12));
    assert_null(vkft_model_file_find(file, "x"));
    assert_null(vkft_model_file_blob_name(file, 1));
    const vkft_model_tensor *t = vkft_model_file_find(file, "model.layers.0.mlp.down_proj.weight");
    assert_non_null(t);
    assert_int_equal(t->storage, VKFT_STORAGE_nf4_dq);
    assert_true(t->elements == 32 * 48 && t->bytes[VKFT_PART_DATA] == 32 * 24 && t->bytes[VKFT_PART_SCALES] == 24 &&
                t->bytes[VKFT_PART_SUPER] == 4);
    touch_everything(file);
    vkft_model_file_close(file);
    vkft_model_file_close(NULL);
}

/* A file that the first release of the format wrote: it opens, and converting the same checkpoint gives the same. */
static void written_before(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    vkft_convert_options options = {.quant = VKFT_STORAGE_nf4_dq, .threads = 1};
    vkft_model_file *before = vkft_model_file_open(VKFT_TEST_DATA "/native/version1.vkft", &err);
    expect_ok(before);
    expect_ok(vkft_convert(VKFT_TEST_DATA "/bnb/original", f->path, &options, &err));
    vkft_model_file *now = vkft_model_file_open(f->path, &err);
    expect_ok(now);
    assert_int_equal(vkft_model_file_tensor_count(before), vkft_model_file_tensor_count(now));
    uint32_t quantized = 0;
    for (uint32_t i = 0; i < vkft_model_file_tensor_count(before); i++) {
        const vkft_model_tensor *a = vkft_model_file_tensor(before, i), *b = vkft_model_file_tensor(now, i);
        expect_ok(vkft_model_file_verify(before, a, &err));
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->storage, b->storage);
        assert_memory_equal(&a->offset, &b->offset, sizeof a->offset);
        quantized += a->storage == VKFT_STORAGE_nf4_dq;
        for (uint32_t part = 0; part < VKFT_PARTS; part++) {
            assert_int_equal(a->bytes[part], b->bytes[part]);
            if (a->bytes[part])
                assert_memory_equal(a->part[part], b->part[part], (size_t)a->bytes[part]);
        }
    }
    assert_int_equal(quantized, 7);
    vkft_model_file_close(before);
    vkft_model_file_close(now);
}

/* Any cut is noticed at opening, at every byte of the header and in steps through the data. */
static void truncated(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    for (size_t n = 0; n < f->size; n += n < 24 + f->header ? 1 : 509) {
        expect_ok(vkft_file_write(f->path, f->good, n, &err));
        vkft_model_file *file = vkft_model_file_open(f->path, &err);
        if (file)
            fail_msg("a file of %zu of %zu bytes was accepted", n, f->size);
    }
    expect_ok(vkft_file_write(f->path, f->good, f->size - 1, &err));
    expect_failure(vkft_model_file_open(f->path, &err), "truncated");
}

/* One changed bit: in the header it is noticed at opening, in a tensor or a small file by its checksum; only the zeros
 * between arrays are not covered, and those are fewer than 256 bytes an array. */
static void changed_bits(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    char *copy = malloc(f->size);
    uint32_t unnoticed = 0, rounds = 1500;
    srand(3);
    for (uint32_t round = 0; round < rounds; round++) {
        size_t at = round < 600 ? (size_t)rand() % (24 + f->header) : (size_t)rand() % f->size;
        memcpy(copy, f->good, f->size);
        copy[at] ^= (char)(1 << rand() % 8);
        expect_ok(vkft_file_write(f->path, copy, f->size, &err));
        vkft_model_file *file = vkft_model_file_open(f->path, &err);
        if (at < 24 + f->header && file)
            fail_msg("a changed header byte %zu was accepted", at);
        bool noticed = !file;
        for (uint32_t i = 0; file && i < vkft_model_file_tensor_count(file); i++)
            noticed |= !vkft_model_file_verify(file, vkft_model_file_tensor(file, i), &err);
        unnoticed += !noticed;
        vkft_model_file_close(file);
    }
    assert_true(unnoticed < rounds / 4); /* 28 arrays in a file of about 40 KB */
    free(copy);
}

/* Damage under a valid checksum, as an attacker would make it: an error or a file whose every pointer is good. */
static void hostile_headers(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    char *copy = malloc(f->size);
    uint32_t accepted = 0;
    srand(5);
    for (int round = 0; round < 4000; round++) {
        memcpy(copy, f->good, f->size);
        for (int k = 0; k <= round % 3; k++) {
            size_t at = 24 + (size_t)rand() % f->header;
            if (copy[at] >= '0' && copy[at] <= '9')
                copy[at] = (char)('0' + rand() % 10);
            else if (round % 2)
                copy[at] = (char)rand();
        }
        fix_checksum(copy, f->header);
        expect_ok(vkft_file_write(f->path, copy, f->size, &err));
        vkft_model_file *file = vkft_model_file_open(f->path, &err);
        if (file) {
            touch_everything(file);
            accepted++;
        }
        vkft_model_file_close(file);
    }
    assert_true(accepted > 0); /* changed names and checksums, for instance */
    free(copy);
}

/* Replaces the first occurrence of a text in the header by one of the same length, with a valid checksum. */
static void expect_refusal(const fixture *f, const char *from, const char *to, const char *message)
{
    vkft_err err = {0};
    char *copy = malloc(f->size + 1);
    memcpy(copy, f->good, f->size);
    assert_int_equal(strlen(from), strlen(to));
    char *text = malloc(f->header + 1);
    memcpy(text, copy + 24, f->header);
    text[f->header] = 0;
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("'%s' is not in the header", from);
    memcpy(copy + 24 + (at - text), to, strlen(to));
    fix_checksum(copy, f->header);
    expect_ok(vkft_file_write(f->path, copy, f->size, &err));
    expect_failure(vkft_model_file_open(f->path, &err), message);
    free(text);
    free(copy);
}

static void wrong_on_purpose(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    expect_refusal(f, "\"source\"", "\"sourze\"", "unknown key 'sourze'");
    expect_refusal(f, "\"info\"", "\"imfo\"", "unknown key 'imfo'");
    expect_refusal(f, "\"nested_absmax\"", "\"nested_absmin\"", "unknown key");
    expect_refusal(f, "\"absmax_offset\"", "\"absmax_ofset_\"", "unknown key");
    expect_refusal(f, "\"dtype\":\"F32\"", "\"dtype\":\"F33\"", "unknown dtype 'F33'");
    expect_refusal(f, "\"dtype\":\"F32\"", "\"dtype\":\"F16\"", "but its dtype and shape need");
    expect_refusal(f, "\"shape\":[96,32]", "\"shape\":[96,33]", "but its dtype and shape need");
    expect_refusal(f, "\"shape\":[96,32]", "\"shape\":[9e9,9]", "but its dtype and shape need");
    expect_refusal(f, "\"shape\":[96,32]", "\"shape\":[-6,32]", "whole numbers");
    expect_refusal(f, "\"name\":\"config.json\",\"offset\":0", "\"name\":\"config.json\",\"offset\":1",
                   "not a multiple of 256");
    expect_refusal(f, "\"name\":\"config.json\",\"offset\":0", "\"name\":\"konfig.json\",\"offset\":0",
                   "config.json is missing");
    expect_refusal(f, "model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj", "is listed twice");

    char *copy = malloc(f->size);
    memcpy(copy, f->good, f->size);
    copy[4] = 2;
    expect_ok(vkft_file_write(f->path, copy, f->size, &err));
    expect_failure(vkft_model_file_open(f->path, &err),
                   "has version 2 of the .vkft format, this program reads version 1");
    memcpy(copy, f->good, f->size);
    memset(copy + 8, 0xff, 8);
    expect_ok(vkft_file_write(f->path, copy, f->size, &err));
    expect_failure(vkft_model_file_open(f->path, &err), "truncated or damaged");
    memcpy(copy, f->good, f->size);
    copy[24 + f->header / 2] ^= 1;
    expect_ok(vkft_file_write(f->path, copy, f->size, &err));
    expect_failure(vkft_model_file_open(f->path, &err), "the header's checksum does not match");
    expect_ok(vkft_file_write(f->path, "GGUF....................", 24, &err));
    expect_failure(vkft_model_file_open(f->path, &err), "is a GGUF file");
    free(copy);
}

/* The last byte of the file belongs to the last tensor. */
static void damaged_tensor(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    char *copy = malloc(f->size);
    memcpy(copy, f->good, f->size);
    copy[f->size - 1] ^= 1;
    expect_ok(vkft_file_write(f->path, copy, f->size, &err));
    vkft_model_file *file = vkft_model_file_open(f->path, &err);
    expect_ok(file);
    expect_ok(vkft_model_file_verify(file, vkft_model_file_tensor(file, 0), &err));
    expect_failure(vkft_model_file_verify(file, vkft_model_file_find(file, "lm_head.weight"), &err),
                   "'lm_head.weight' is damaged: checksum ");
    vkft_model_file_close(file);
    free(copy);
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(contents),        test(written_before),   test(truncated),      test(changed_bits),
        test(hostile_headers), test(wrong_on_purpose), test(damaged_tensor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
