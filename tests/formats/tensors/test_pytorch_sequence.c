/* PyTorch's files from before 1.6, a sequence of pickles and storages: what their tensors may be, and that a file costs
 * no more than its size allows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "formats/tensors/pytorch_file.h"
#include "runtime/base/text.h"

#define HEAD "\x80\x02K\x01." /* magic number */ "\x80\x02M\xe9\x03." /* protocol 1001 */ "\x80\x02}." /* system */
#define W "X\x01\x00\x00\x00w"
#define STORAGE                                                                                                        \
    "(X\x07\x00\x00\x00storagectorch\nFloatStorage\n" W "X\x03\x00\x00\x00"                                            \
    "cpuK\x06NtQ"
/* A tensor of the storage "w": offset, sizes and strides as opcodes. */
#define TENSOR(offset, sizes, strides)                                                                                 \
    "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE offset "(" sizes "t(" strides "t\x89"                               \
    "ccollections\nOrderedDict\n)RtR"
#define STATE(tensor) HEAD "\x80\x02}(" W tensor "u."
#define KEYS "\x80\x02](" W "e."
#define SIX_FLOATS "\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40\0\0\x80\x40\0\0\xa0\x40" /* 0 to 5 */

static bool read_bytes(const char *data, size_t size, vkft_tensor_file *file, vkft_err *err)
{
    uint8_t *exact = malloc(size);
    memcpy(exact, data, size);
    *file = (vkft_tensor_file){.path = strdup("old.bin"), .mapping = {.data = exact, .size = size}};
    return vkft_pytorch_read(file, err);
}

static void close_file(vkft_tensor_file *file)
{
    free((void *)(uintptr_t)file->mapping.data);
    file->mapping = (vkft_mapping){0};
    vkft_tensor_file_close(file);
}

static void refused(const char *data, size_t size, const char *part)
{
    vkft_err err = {0};
    vkft_tensor_file file;
    bool ok = read_bytes(data, size, &file, &err);
    if (ok || !strstr(err.message, part) || strncmp(err.message, "old.bin: ", 9) != 0)
        fail_msg("expected \"%s\", found \"%s\"", part, ok ? "tensors" : err.message);
    close_file(&file);
}
#define REFUSED(data, part) refused(data, sizeof(data) - 1, part)

static void test_tensors(void **state)
{
    (void)state;
    static const char rows[] = STATE(TENSOR("K\x00", "K\x02K\x03", "K\x03K\x01")) KEYS SIX_FLOATS,
                      columns[] = STATE(TENSOR("K\x00", "K\x02K\x03", "K\x01K\x02")) KEYS SIX_FLOATS,
                      part[] = STATE(TENSOR("K\x02", "K\x02", "K\x01")) KEYS SIX_FLOATS;
    vkft_err err = {0};
    vkft_tensor_file file;
    assert_true(read_bytes(rows, sizeof rows - 1, &file, &err));
    assert_true(file.count == 1 && strcmp(file.tensors[0].name, "w") == 0 && file.tensors[0].dims == 2);
    assert_true(file.tensors[0].shape[0] == 2 && file.tensors[0].shape[1] == 3 && !file.tensors[0].column_major);
    close_file(&file);
    assert_true(read_bytes(columns, sizeof columns - 1, &file, &err));
    assert_true(file.tensors[0].column_major);
    close_file(&file);
    assert_true(read_bytes(part, sizeof part - 1, &file, &err));
    float values[2];
    memcpy(values, vkft_tensor_file_data(&file, &file.tensors[0]), sizeof values);
    assert_true(values[0] == 2 && values[1] == 3);
    close_file(&file);
}

static void test_refused(void **state)
{
    (void)state;
    REFUSED(STATE(TENSOR("K\x00", "K\x02K\x03", "K\x01")) KEYS SIX_FLOATS,
            "tensor 'w': 2 dimensions and 1 strides; expected as many, and at most 8");
    REFUSED(STATE(TENSOR("K\x00", "N", "K\x01")) KEYS SIX_FLOATS, "tensor 'w': a size or a stride is no whole number");
    REFUSED(STATE(TENSOR("K\x00", "K\x02", "J\xff\xff\xff\xff")) KEYS SIX_FLOATS, "is no whole number");
    REFUSED(STATE(TENSOR("K\x00", "\x8a\x05\0\0\0\0\x01\x8a\x05\0\0\0\0\x01", "K\x01K\x01")) KEYS SIX_FLOATS,
            "tensor 'w': the product of its sizes is too large");
    REFUSED(STATE(TENSOR("K\x00", "K\x03", "K\x02")) KEYS SIX_FLOATS, "tensor 'w': the tensor is a strided view");
    REFUSED(STATE(TENSOR("K\x00", "K\x07", "K\x01")) KEYS SIX_FLOATS,
            "tensor 'w': 7 elements from number 0 on, but its storage has 24 bytes");
    REFUSED(STATE(TENSOR("K\x01", "K\x06", "K\x01")) KEYS SIX_FLOATS, "6 elements from number 1 on");
    REFUSED(STATE(TENSOR("K\x00", "K\x06", "K\x01")) "\x80\x02]."
                                                     "",
            "tensor 'w': its storage 'w' is not in the file");
    REFUSED(STATE(TENSOR("K\x00", "K\x06", "K\x01")) "\x80\x02}." SIX_FLOATS, "it does not list its storages");
    REFUSED(STATE(TENSOR("K\x00", "K\x06", "K\x01")) "\x80\x02](Ne." SIX_FLOATS, "storage 0 is cut off");
    REFUSED(STATE(TENSOR("K\x00", "K\x06", "K\x01")) KEYS "\x07\0\0\0\0\0\0\0", "storage 0 is cut off");
    REFUSED(STATE(TENSOR("K\x00", "K\x06", "K\x01")) KEYS "\x07\0\0", "storage 0 is cut off");
    REFUSED(STATE("K\x05") KEYS SIX_FLOATS, "it holds no dictionary of tensors; expected a state dict");
    REFUSED(HEAD "\x80\x02K\x05." KEYS SIX_FLOATS, "it holds no dictionary of tensors");
    REFUSED(HEAD "\x80\x02}(" W "}(" W "K\x05uu." KEYS SIX_FLOATS, "it holds no dictionary of tensors");
    REFUSED("\x80\x02K\x01.\x80\x02K\x02.\x80\x02}.", "a pickle that torch.save did not write");
}

/* As many storages and values as a file of half a megabyte has: each is looked at a few times, not each against all. */
static void test_cost(void **state)
{
    (void)state;
    enum { STORAGES = 30000, VALUES = 300000 };
    vkft_text text = {0};
    vkft_err err = {0};
    vkft_tensor_file file;
    static const char begin[] = HEAD "\x80\x02}(" W TENSOR("K\x00", "K\x06", "K\x01") "X\x01\0\0\0x](",
                      keys[] = "\x80\x02](";
    assert_true(vkft_text_append(&text, begin, sizeof begin - 1, &err));
    for (int i = 0; i < VALUES; i++)
        assert_true(vkft_text_append(&text, "N", 1, &err));
    assert_true(vkft_text_append(&text, "eu.", 3, &err) && vkft_text_append(&text, keys, sizeof keys - 1, &err));
    for (int i = 0; i < STORAGES; i++) {
        char key[16];
        snprintf(key, sizeof key, "%05d", i);
        assert_true(vkft_text_append(&text, "X\x05\0\0\0", 5, &err) && vkft_text_append(&text, key, 5, &err));
    }
    assert_true(vkft_text_append(&text, W "e.", 8, &err));
    for (int i = 0; i < STORAGES; i++)
        assert_true(vkft_text_append(&text, "\0\0\0\0\0\0\0\0", 8, &err));
    assert_true(vkft_text_append(&text, SIX_FLOATS, sizeof SIX_FLOATS - 1, &err));
    clock_t started = clock();
    if (!read_bytes(text.data, text.length, &file, &err))
        fail_msg("%s", err.message);
    double seconds = (double)(clock() - started) / CLOCKS_PER_SEC;
    assert_int_equal(file.count, 1);
    if (seconds > 3) /* 0.1 s; each against all would be 9e9 comparisons */
        fail_msg("%.1f s", seconds);
    close_file(&file);

    /* More storages than any model has are refused before they are looked at. */
    text.length = 0;
    static const char few[] = STATE(TENSOR("K\x00", "K\x06", "K\x01")) "\x80\x02](";
    assert_true(vkft_text_append(&text, few, sizeof few - 1, &err));
    for (int i = 0; i < 65537; i++)
        assert_true(vkft_text_append(&text, "N", 1, &err));
    assert_true(vkft_text_append(&text, "e." SIX_FLOATS, sizeof SIX_FLOATS + 1, &err));
    refused(text.data, text.length, "it does not list its storages");
    vkft_text_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tensors), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_cost)};
    return cmocka_run_group_tests_name("pytorch_sequence", tests, NULL, NULL);
}
