/* PyTorch's own files: what torch.save writes (golden/make_pytorch_fixtures.py), and what must be refused without
 * running anything. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/tensors/pickle.h"
#include "runtime/base/directory.h"
#include "tests/support/program.h"
#include "formats/tensors/pytorch_file.h"
#include "formats/tensors/safetensors.h"
#include "formats/tensors/zip.h"

#define DATA VKFT_TEST_DATA "/pytorch/"

static const vkft_file_tensor *find(const vkft_tensor_file *file, const char *name)
{
    const vkft_file_tensor *t = vkft_tensor_file_find(file, name);
    if (!t)
        fail_msg("%s: no tensor '%s'", file->path, name);
    return t;
}

/* Every tensor of the .bin, as f32 in rows, against the safetensors file. */
static void check_same(const char *name, uint32_t count)
{
    char path[512];
    vkft_err err = {0};
    vkft_tensor_file got, want;
    snprintf(path, sizeof path, DATA "%s", name);
    expect_ok(vkft_pytorch_open(path, &got, &err));
    expect_ok(vkft_safetensors_open(DATA "expected.safetensors", &want, &err));
    assert_int_equal(got.count, count);
    for (uint32_t i = 0; i < got.count; i++) {
        const vkft_file_tensor *g = &got.tensors[i], *w = find(&want, g->name);
        assert_int_equal(g->dims, w->dims);
        assert_memory_equal(g->shape, w->shape, w->dims * sizeof *w->shape);
        if (g->dtype == VKFT_I64 || g->dtype == VKFT_BOOL)
            continue;
        float a[64], b[64];
        vkft_to_f32(g->dtype, vkft_tensor_file_data(&got, g), g->elements, a);
        vkft_to_f32(w->dtype, vkft_tensor_file_data(&want, w), w->elements, b);
        for (uint64_t k = 0; k < g->elements; k++) {
            uint64_t row = g->dims == 2 ? k / g->shape[1] : 0, column = g->dims == 2 ? k % g->shape[1] : k;
            float value = a[g->column_major ? column * g->shape[0] + row : k];
            if (value != b[k])
                fail_msg("%s: %s[%llu] is %g, expected %g", name, g->name, (unsigned long long)k, (double)value,
                         (double)b[k]);
        }
    }
    vkft_tensor_file_close(&got);
    vkft_tensor_file_close(&want);
}

static void what_torch_writes(void **state)
{
    (void)state;
    static const char *const names[] = {"archive.bin", "legacy.bin",     "columns.bin",
                                        "inside.bin",  "parameters.bin", "shared.bin"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check_same(names[i], 6);
    check_same("f64.bin", 4);
    check_same("pytorch_model-00001-of-00002.bin", 3);
}

static bool load(const void *data, size_t size, vkft_err *err)
{
    vkft_pickle pickle;
    uint64_t used;
    uint8_t *copy = malloc(size + 1); /* exactly this long for a sanitizer */
    uint8_t *exact = realloc(copy, size ? size : 1);
    memcpy(exact, data, size);
    bool ok = vkft_pickle_load(exact, size, "test.pkl", &pickle, &used, err);
    if (ok)
        vkft_pickle_free(&pickle);
    free(exact);
    return ok;
}

#define REFUSED(text, message)                                                                                         \
    do {                                                                                                               \
        vkft_err err = {0};                                                                                            \
        expect_failure(load(text, sizeof text - 1, &err), message);                                                    \
    } while (0)

/* What a pickle can do in Python beyond making values: import and call. */
static void nothing_runs(void **state)
{
    (void)state;
    remove("/tmp/vkft-pickle-ran");
    REFUSED("\x80\x02"
            "cos\nsystem\n(U\x19touch /tmp/vkft-pickle-rantR.",
            "imports os.system");
    REFUSED("\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.", "imports posix.system");
    REFUSED("\x80\x02"
            "c__builtin__\neval\n(U\x01"
            "1tR.",
            "imports __builtin__.eval");
    REFUSED("\x80\x02"
            "ctorch\nload\n(U\x01"
            "1tR.",
            "imports torch.load");
    REFUSED("\x80\x02"
            "ccollections\nCounter\n)R.",
            "imports collections.Counter");
    REFUSED("\x80\x02"
            "ctorch._utils\n_import_dotted_name\n)R.",
            "imports torch._utils._import_dotted_name");
    REFUSED("\x80\x02"
            "ccollections\nOrderedDict\n(]tR.",
            "an OrderedDict made of something");
    REFUSED("\x80\x02(ios\nsystem\n.", "opcode 0x69"); /* INST */
    REFUSED("\x80\x02(No.", "opcode 0x6f");            /* OBJ */
    REFUSED("\x80\x02N)\x81.", "opcode 0x81");         /* NEWOBJ */
    REFUSED("\x80\x02\x82\x01.", "opcode 0x82");       /* EXT1 */
    REFUSED("\x80\x02N}b.", "a state for something that has none");
    REFUSED("\x80\x02NNR.", "a call of something");
    FILE *ran = fopen("/tmp/vkft-pickle-ran", "r");
    assert_null(ran);
}

/* Each opcode with too little, and with something, on the stack and in the text: an error or a value, never a crash. */
static void every_opcode(void **state)
{
    (void)state;
    static const char *const befores[] = {"",
                                          "N",
                                          "(",
                                          "NNNN",
                                          "}N",
                                          "](N",
                                          "K\x01K\x02K\x03",
                                          "U\x01"
                                          "aU\x01"
                                          "b",
                                          "((("};
    for (size_t b = 0; b < sizeof befores / sizeof *befores; b++)
        for (int op = 0; op < 256; op++)
            for (int tail = 0; tail < 12; tail++) {
                char text[64];
                size_t n = strlen(befores[b]);
                vkft_err err = {0};
                memcpy(text, befores[b], n);
                text[n++] = (char)op;
                for (int i = 0; i < tail; i++)
                    text[n++] = (char)(i % 2 ? 0xff : 0);
                text[n++] = '.';
                load(text, n, &err);
            }
}

static void hostile_sizes(void **state)
{
    (void)state;
    REFUSED("\x80\x02\x8b\xff\xff\xff\xff.", "the text ends in the middle");   /* LONG4 of 4 GiB */
    REFUSED("\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "the text ends"); /* BINUNICODE8 of 2^64 - 1 */
    REFUSED("\x80\x02Nr\xff\xff\xff\xff.", "a memo number above");
    REFUSED("\x80\x02j\xff\xff\xff\xff.", "a memo entry that was not made");
    REFUSED("\x80\x02(K\x01"
            "d.",
            "a key and no value");
    REFUSED("\x80\x02", "the text ends");
    REFUSED(".", "a value is missing");
    /* A million of each kind of nesting. */
    static const char *const nests[] = {"(", "]", "}", "N\x85", "(]"};
    for (size_t k = 0; k < sizeof nests / sizeof *nests; k++) {
        size_t n = strlen(nests[k]), count = 1000000;
        char *text = malloc(n * count + 1);
        for (size_t i = 0; i < count; i++)
            memcpy(text + n * i, nests[k], n);
        text[n * count] = '.';
        vkft_err err = {0};
        load(text, n * count + 1, &err);
        free(text);
    }
    size_t many = 6000000; /* more values than any model has: bounded */
    char *text = malloc(many);
    memset(text, 'N', many);
    vkft_err err = {0};
    expect_failure(load(text, many, &err), "more than four million values");
    free(text);
}

/* Damage to real files: every prefix, and random bytes. */
static void damaged_files(void **state)
{
    (void)state;
    static const char *const names[] = {DATA "archive.bin", DATA "legacy.bin"};
    for (size_t k = 0; k < 2; k++) {
        size_t size;
        char *good = vkft_test_read(names[k], &size);
        srand(7);
        for (int round = 0; round < 6000; round++) {
            size_t length = round < 3000 ? (size_t)round * size / 3000 : size;
            uint8_t *copy = malloc(length + 1), *exact = realloc(copy, length ? length : 1);
            memcpy(exact, good, length);
            for (int i = 0; round >= 3000 && i < 1 + round % 4; i++)
                exact[(size_t)rand() % length] = (uint8_t)rand();
            vkft_tensor_file file = {.path = strdup("damaged.bin"), .mapping = {.data = exact, .size = length}};
            vkft_err err = {0};
            bool ok = vkft_pytorch_read(&file, &err);
            assert_true(ok || err.message[0]);
            assert_true(round >= 3000 || !ok);
            file.mapping = (vkft_mapping){0};
            vkft_tensor_file_close(&file);
            free(exact);
        }
        free(good);
    }
}

static void put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* An archive's numbers that lie. */
static void lying_archives(void **state)
{
    (void)state;
    size_t size;
    uint8_t *good = (uint8_t *)vkft_test_read(DATA "archive.bin", &size), *bad = malloc(size);
    uint8_t *end = NULL;
    for (size_t i = 0; i + 4 <= size; i++)
        if (memcmp(good + i, "PK\x05\x06", 4) == 0)
            end = good + i;
    assert_non_null(end);
    size_t end_at = (size_t)(end - good), directory = 0;
    for (int i = 3; i >= 0; i--)
        directory = directory << 8 | good[end_at + 16 + (size_t)i];
    const struct {
        size_t at;
        uint64_t value;
        int bytes;
        const char *message;
    } lies[] = {
        {end_at - 28, 0xfffffff0, 8, "beyond the end of the file"},
        {end_at - 44, 60000, 8, "beyond the end of the file"},
        {end_at - 12, 0xfffffffffff0, 8, "zip64 record"},
        {directory + 24, 0x7fffffff, 4, "two sizes"},
        {directory + 42, 0xffffff00, 4, "not where the directory says"},
        {directory + 10, 8, 2, "compressed"},
        {directory + 28, 0xffff, 2, "cut off"},
        {directory + 8, 1, 2, "encrypted"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        vkft_zip zip;
        vkft_err err = {0};
        memcpy(bad, good, size);
        put(bad + lies[i].at, lies[i].value, lies[i].bytes);
        expect_failure(vkft_zip_open(bad, size, "lie.bin", &zip, &err), lies[i].message);
    }
    free(good);
    free(bad);
}

static bool count_entry(void *context, const char *name)
{
    (void)name;
    ++*(uint32_t *)context;
    return true;
}

/* The program on a directory whose weights are malicious: one line, exit code 1, no file left. */
static void program_refuses(void **state)
{
    (void)state;
    static const char evil[] = "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.\x80\x02"
                               "cos\nsystem\n(U\x04truetR.";
    char *dir = vkft_test_directory(), path[600];
    snprintf(path, sizeof path, "%s/config.json", dir);
    FILE *f = fopen(path, "wb");
    fputs("{\"model_type\":\"opt\",\"vocab_size\":8,\"hidden_size\":8,\"ffn_dim\":8,\"num_hidden_layers\":1,\"num_"
          "attention_heads\":1}",
          f);
    fclose(f);
    snprintf(path, sizeof path, "%s/pytorch_model.bin", dir);
    f = fopen(path, "wb");
    fwrite(evil, 1, sizeof evil - 1, f);
    fclose(f);
    vkft_test_result r = vkft_test_program("convert %s -o %s/out.vkft", dir, dir);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "imports os.system"));
    vkft_test_result_free(&r);
    uint32_t entries = 0;
    vkft_err err;
    expect_ok(vkft_directory_list(dir, count_entry, &entries, &err));
    assert_int_equal(entries, 2); /* nothing was written */
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_torch_writes), cmocka_unit_test(nothing_runs),  cmocka_unit_test(every_opcode),
        cmocka_unit_test(hostile_sizes),     cmocka_unit_test(damaged_files), cmocka_unit_test(lying_archives),
        cmocka_unit_test(program_refuses),
    };
    return cmocka_run_group_tests_name("PyTorch files", tests, NULL, NULL);
}
