/* Conversion of checkpoints: what becomes what, bytes against the codec, every way a checkpoint can be wrong, and the
 * cache. */
#include "host/model/model.h"
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "formats/convert/hf_checkpoint.h"
#include "formats/convert/model_open.h"
#include "runtime/base/directory.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "formats/tensors/nf4.h"
#include "tests/support/program.h"
#include "formats/tensors/safetensors.h"
#include "tests/support/tiny_model.h"
#include "tests/support/system/system.h"

#define Q "model.layers.1.self_attn.q_proj.weight"

typedef struct fixture {
    char *dir; /* the checkpoint */
    char *elsewhere, *out;
} fixture;

static int set_up(void **state)
{
    fixture *f = malloc(sizeof *f);
    f->dir = vkft_test_directory();
    f->elsewhere = vkft_test_directory();
    f->out = vkft_path_join(f->elsewhere, "model.vkft");
    vkft_test_environment("VKFT_CACHE_DIR", f->elsewhere);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_set_writable(f->dir, true);
    vkft_test_remove_directory(f->dir);
    vkft_test_remove_directory(f->elsewhere);
    free(f->out);
    free(f);
    return 0;
}

static bool count_entry(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    return true;
}

static int entries(const char *dir)
{
    int count = 0;
    vkft_directory_list(dir, count_entry, &count, NULL);
    return count;
}

static char *in(const fixture *f, const char *name)
{
    return vkft_path_join(f->dir, name);
}

static void put(const fixture *f, const char *name, const void *data, size_t size)
{
    vkft_err err = {0};
    char *path = in(f, name);
    expect_ok(vkft_file_write(path, data, size, &err));
    free(path);
}

static vkft_convert_options options_for(vkft_storage quant)
{
    return (vkft_convert_options){.quant = quant, .threads = 2};
}

/* The conversion fails with this message and leaves no file. */
static void expect_refusal(const fixture *f, const vkft_convert_options *options, const char *message)
{
    vkft_err err = {0};
    expect_failure(vkft_convert(f->dir, f->out, options, &err), message);
    assert_int_equal(entries(f->elsewhere), 0);
}

/* The tensor of the checkpoint as f32; malloc'ed. */
static float *source_values(const vkft_hf_checkpoint *checkpoint, const char *name, const vkft_file_tensor **found)
{
    for (uint32_t i = 0; i < checkpoint->count; i++) {
        const vkft_shard_tensor *t = &checkpoint->tensors[i];
        if (strcmp(t->tensor->name, name) != 0)
            continue;
        float *x = malloc((size_t)t->tensor->elements * sizeof *x);
        vkft_to_f32(t->tensor->dtype, vkft_tensor_file_data(t->shard, t->tensor), t->tensor->elements, x);
        *found = t->tensor;
        return x;
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

static void check_nf4(const vkft_model_tensor *t, const float *x)
{
    uint64_t blocks = (t->elements + 63) / 64, nested = (blocks + 255) / 256;
    uint8_t *codes = malloc((size_t)(t->elements + 1) / 2), *absmax8 = malloc((size_t)blocks);
    float *absmax = malloc((size_t)blocks * sizeof *absmax), *outer = malloc((size_t)nested * sizeof *outer), offset;
    vkft_nf4_quantize(x, t->elements, codes, absmax);
    assert_int_equal(t->bytes[VKFT_PART_DATA], (t->elements + 1) / 2);
    assert_memory_equal(t->part[VKFT_PART_DATA], codes, (size_t)t->bytes[VKFT_PART_DATA]);
    if (t->storage == VKFT_STORAGE_nf4_dq) {
        vkft_nf4_double_quantize(absmax, blocks, absmax8, outer, &offset);
        assert_memory_equal(t->part[VKFT_PART_SCALES], absmax8, (size_t)blocks);
        assert_memory_equal(t->part[VKFT_PART_SUPER], outer, (size_t)nested * sizeof *outer);
        assert_memory_equal(&t->offset, &offset, sizeof offset); /* to the bit */
    } else {
        assert_null(t->part[VKFT_PART_SUPER]);
        assert_memory_equal(t->part[VKFT_PART_SCALES], absmax, (size_t)blocks * sizeof *absmax);
    }
    free(codes);
    free(absmax8);
    free(absmax);
    free(outer);
}

static vkft_storage expected_storage(const vkft_file_tensor *source, const char *name, vkft_storage quant)
{
    bool kept = strstr(name, "norm") || quant == VKFT_STORAGE_none ||
                (vkft_storage_is_quantized(quant) && !strstr(name, "_proj."));
    return kept ? vkft_storage_of_dtype(source->dtype) : quant;
}

static void check_model(const char *dir, const char *path, vkft_storage quant)
{
    vkft_hf_checkpoint checkpoint;
    vkft_err err = {0};
    expect_ok(vkft_hf_checkpoint_open(dir, &checkpoint, &err));
    vkft_model_file *file = vkft_model_file_open(path, &err);
    expect_ok(file);
    assert_int_equal(vkft_model_file_tensor_count(file), checkpoint.count);
    for (uint32_t i = 0; i < checkpoint.count; i++) {
        const vkft_model_tensor *t = vkft_model_file_find(file, checkpoint.tensors[i].tensor->name);
        const vkft_file_tensor *source;
        assert_non_null(t);
        float *x = source_values(&checkpoint, t->name, &source);
        assert_int_equal(t->storage, expected_storage(source, t->name, quant));
        assert_int_equal(t->dims, source->dims);
        assert_memory_equal(t->shape, source->shape, t->dims * sizeof *t->shape);
        assert_int_equal((uintptr_t)t->part[VKFT_PART_DATA] % 256, 0);
        if (vkft_storage_is_quantized(t->storage)) {
            check_nf4(t, x);
        } else {
            uint64_t bytes = t->bytes[VKFT_PART_DATA];
            vkft_dtype dtype = t->storage == VKFT_STORAGE_f16    ? VKFT_F16
                               : t->storage == VKFT_STORAGE_bf16 ? VKFT_BF16
                                                                 : VKFT_F32;
            void *stored = malloc((size_t)bytes);
            vkft_from_f32(dtype, x, t->elements, stored);
            assert_memory_equal(t->part[VKFT_PART_DATA], stored, (size_t)bytes);
            free(stored);
        }
        expect_ok(vkft_model_file_verify(file, t, &err));
        free(x);
    }
    vkft_model_file_close(file);
    vkft_hf_checkpoint_close(&checkpoint);
}

/* Every storage type to every quantization; widths that are no multiple of a block; one file and three shards. */
static void every_type(void **state)
{
    const fixture *f = *state;
    static const vkft_dtype types[] = {VKFT_F32, VKFT_F16, VKFT_BF16};
    static const vkft_storage quants[] = {VKFT_STORAGE_none, VKFT_STORAGE_nf4, VKFT_STORAGE_nf4_dq,
                                          VKFT_STORAGE_bf16, VKFT_STORAGE_f16, VKFT_STORAGE_f32};
    for (uint32_t t = 0; t < 3; t++) {
        vkft_tiny_model model = vkft_tiny_model_default();
        vkft_err err = {0};
        model.dtype = types[t];
        model.hidden_size = 36;
        model.head_dim = 10;
        model.intermediate_size = 77;
        model.shards = t == 1 ? 3 : 1;
        model.tied = t == 2;
        char *dir = vkft_test_directory();
        vkft_tiny_model_write(&model, dir);
        for (uint32_t q = 0; q < 6; q++) {
            vkft_convert_options options = options_for(quants[q]);
            expect_ok(vkft_convert(dir, f->out, &options, &err));
            check_model(dir, f->out, quants[q]);
        }
        vkft_test_remove_directory(dir);
    }
}

/* More than one task and more than one chunk of the converter, with any number of threads. */
static void large_tensor(void **state)
{
    const fixture *f = *state;
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_err err = {0};
    model.layers = 1;
    model.hidden_size = 1028;
    model.head_dim = 32;
    model.intermediate_size = 2111;
    model.dtype = VKFT_BF16;
    vkft_tiny_model_write(&model, f->dir);
    size_t size[2];
    char *bytes[2];
    for (uint32_t i = 0; i < 2; i++) {
        vkft_convert_options options = options_for(VKFT_STORAGE_nf4_dq);
        options.threads = i ? 3 : 1;
        expect_ok(vkft_convert(f->dir, f->out, &options, &err));
        bytes[i] = vkft_test_read(f->out, &size[i]);
    }
    check_model(f->dir, f->out, VKFT_STORAGE_nf4_dq);
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    free(bytes[0]);
    free(bytes[1]);
}

static void small_files(void **state)
{
    const fixture *f = *state;
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_convert_options options = options_for(VKFT_STORAGE_none);
    vkft_err err = {0};
    size_t length;
    vkft_tiny_model_write(&model, f->dir);
    put(f, "tokenizer.json", "{\"x\":1}", 7);
    put(f, "merges.txt", "", 0);
    expect_ok(vkft_convert(f->dir, f->out, &options, &err));
    vkft_model_file *file = vkft_model_file_open(f->out, &err);
    expect_ok(file);
    assert_int_equal(vkft_model_file_blob_count(file), 3);
    assert_string_equal(vkft_model_file_blob_name(file, 0), "config.json");
    assert_memory_equal(vkft_model_file_blob(file, "tokenizer.json", &length), "{\"x\":1}", 7);
    assert_int_equal(length, 7);
    assert_non_null(vkft_model_file_blob(file, "merges.txt", &length));
    assert_int_equal(length, 0);
    assert_null(vkft_model_file_blob(file, "vocab.json", &length));
    assert_int_equal(vkft_model_file_config(file)->hidden_size, model.hidden_size);
    char *absolute = vkft_os_absolute_path(f->dir);
    assert_string_equal(vkft_model_file_source(file), absolute);
    free(absolute);
    vkft_model_file_close(file);
}

/* In the hub's cache the model has a name of its own. */
static void hub_name(void **state)
{
    const fixture *f = *state;
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_convert_options options = options_for(VKFT_STORAGE_none);
    vkft_err err = {0};
    char *dir = in(f, "hub/models--some-org--Tiny-1B/snapshots/0123abcd");
    expect_ok(vkft_directory_create(dir, &err));
    vkft_tiny_model_write(&model, dir);
    expect_ok(vkft_convert(dir, f->out, &options, &err));
    vkft_model_file *file = vkft_model_file_open(f->out, &err);
    expect_ok(file);
    assert_string_equal(vkft_model_file_source(file), "some-org/Tiny-1B");
    vkft_model_file_close(file);
    free(dir);
}

/* Overwrites element `index` of tensor Q in the single-file checkpoint. */
static void poison(const fixture *f, uint64_t index, float value)
{
    vkft_tensor_file file;
    vkft_err err = {0};
    size_t size;
    char *path = in(f, "model.safetensors");
    expect_ok(vkft_safetensors_open(path, &file, &err));
    const vkft_file_tensor *t = vkft_tensor_file_find(&file, Q);
    uint64_t offset = t->offset + index * vkft_dtype_bits(t->dtype) / 8;
    char *bytes = vkft_test_read(path, &size);
    vkft_from_f32(t->dtype, &value, 1, bytes + offset);
    vkft_tensor_file_close(&file);
    expect_ok(vkft_file_write(path, bytes, size, &err));
    free(bytes);
    free(path);
}

static void unusable_values(void **state)
{
    const fixture *f = *state;
    static const vkft_dtype types[] = {VKFT_F32, VKFT_F16, VKFT_BF16};
    const vkft_convert_options nf4 = options_for(VKFT_STORAGE_nf4_dq), none = options_for(VKFT_STORAGE_none),
                               fp16 = options_for(VKFT_STORAGE_f16);
    vkft_tiny_model model = vkft_tiny_model_default();
    for (size_t t = 0; t < 3; t++) {
        model.dtype = types[t];
        vkft_tiny_model_write(&model, f->dir);
        poison(f, 1000, NAN);
        poison(f, 1003, NAN);
        expect_refusal(f, &nf4, "tensor '" Q "': element 1000 is nan");
        expect_refusal(f, &none, "tensor '" Q "': element 1000 is nan");
        poison(f, 77, -INFINITY);
        expect_refusal(f, &nf4, "tensor '" Q "': element 77 is -inf");
    }
    model.dtype = VKFT_BF16;
    vkft_tiny_model_write(&model, f->dir);
    poison(f, 5, 65536.0f);
    expect_refusal(f, &fp16, "element 5 is 65536, which does not fit F16");
}

static void wrong_checkpoints(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_err err = {0};
    size_t size;
    expect_refusal(f, &options, "has no config.json; expected a Hugging Face checkpoint directory");
    vkft_tiny_model_write(&model, f->dir);
    char *path = in(f, "model.safetensors"), *bytes = vkft_test_read(path, &size);
    expect_ok(vkft_file_write(path, bytes, size - 1, &err));
    expect_refusal(f, &options, "truncated");
    expect_ok(vkft_file_write(path, "version https://git-lfs.github.com/spec/v1\n", 43, &err));
    expect_refusal(f, &options, "Git-LFS pointer");
    remove(path);
    expect_refusal(f, &options, "has no model.safetensors or pytorch_model.bin, or an index of shards");
    put(f, "pytorch_model.bin", "PK", 2);
    expect_refusal(f, &options, "opcode 0x50 is none that tensors need");
    expect_ok(vkft_file_write(path, bytes, size, &err));
    put(f, "tokenizer.json", "version https://git-lfs.github.com/spec/v1\n", 43);
    expect_refusal(f, &options, "tokenizer.json' is a Git-LFS pointer");
    put(f, "tokenizer.json", "{}", 2);
    put(f, "config.json", "{\"model_type\":\n\"llama\",\n}", 25);
    expect_refusal(f, &options, "config.json: line 3, column 1");
    free(bytes);
    free(path);
    expect_failure(vkft_convert("/does/not/exist", f->out, &options, &err), "is not a directory");
    expect_failure(vkft_convert(f->out, f->out, &options, &err), "is not a directory");
}

static void quantized_already(void **state)
{
    const fixture *f = *state;
    static const vkft_safetensors_spec specs[] = {{.name = Q, .dtype = VKFT_U8, .dims = 2, .shape = {8, 1}}};
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_err err = {0};
    vkft_tiny_model_write(&model, f->dir);
    char *path = in(f, "model.safetensors");
    vkft_safetensors_writer *writer = vkft_safetensors_create(path, specs, 1, &err);
    expect_ok(vkft_safetensors_append(writer, "12345678", 8, &err));
    expect_ok(vkft_safetensors_commit(writer, &err));
    expect_refusal(f, &options, "has dtype U8; supported are F64, F32, F16 and BF16");
    free(path);
    path = in(f, "config.json");
    char *text = vkft_test_read(path, NULL);
    cJSON *root = cJSON_Parse(text);
    cJSON_AddStringToObject(cJSON_AddObjectToObject(root, "quantization_config"), "quant_method", "gptq");
    free(text);
    text = cJSON_PrintUnformatted(root);
    put(f, "config.json", text, strlen(text));
    expect_refusal(f, &options, "quantized already (quant_method gptq");
    cJSON_free(text);
    cJSON_Delete(root);
    free(path);
}

static void wrong_shards(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_err err = {0};
    size_t size;
    model.shards = 2;
    vkft_tiny_model_write(&model, f->dir);
    char *index = in(f, "model.safetensors.index.json"), *shard = in(f, "model-00002-of-00002.safetensors");
    char *index_text = vkft_test_read(index, NULL), *shard_bytes = vkft_test_read(shard, &size);
    remove(shard);
    expect_refusal(f, &options, "shard 2 of 2 is missing");
    expect_ok(vkft_file_write(shard, shard_bytes, size / 2, &err));
    expect_refusal(f, &options, "model-00002-of-00002.safetensors");
    expect_ok(vkft_file_write(shard, shard_bytes, size, &err));

    cJSON *root = cJSON_Parse(index_text), *map = cJSON_GetObjectItem(root, "weight_map");
    static const struct {
        const char *name, *file, *message;
    } cases[] = {
        {"model.layers.9.x.weight", "model-00002-of-00002.safetensors",
         "tensor 'model.layers.9.x.weight' should be in"},
        {"lm_head.weight", "model-00002-of-00002.safetensors", "'lm_head.weight' is listed twice"},
        {"a", "../model-00002-of-00002.safetensors", "expected the name of a file beside the index"},
        {"a", "", "expected the name of a file beside the index"},
        {"a", "missing.safetensors", "shard 1 of 3 is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *added = cJSON_CreateString(cases[i].file);
        cJSON_AddItemToObject(map, cases[i].name, added);
        char *text = cJSON_PrintUnformatted(root);
        put(f, "model.safetensors.index.json", text, strlen(text));
        expect_refusal(f, &options, cases[i].message);
        cJSON_free(text);
        cJSON_Delete(cJSON_DetachItemViaPointer(map, added));
    }
    put(f, "model.safetensors.index.json", "{\"weight_map\":{}}", 17);
    expect_refusal(f, &options, "weight_map is empty");
    put(f, "model.safetensors.index.json", "{}", 2);
    expect_refusal(f, &options, "key 'weight_map' is missing");
    cJSON_Delete(root);
    free(index);
    free(shard);
    free(index_text);
    free(shard_bytes);
}

static bool cancel_at_half(void *context, uint64_t done, uint64_t total)
{
    *(uint64_t *)context = done;
    assert_true(done <= total);
    return done < total / 2;
}

static bool last_progress(void *context, uint64_t done, uint64_t total)
{
    *(uint64_t *)context = total - done;
    return true;
}

static void interrupted_and_full(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_err err = {0};
    uint64_t seen = 1;
    vkft_tiny_model_write(&model, f->dir);
    options.progress = cancel_at_half;
    options.progress_context = &seen;
    expect_refusal(f, &options, "interrupted");
    assert_true(seen > 0);
    options.progress = NULL;

    if (vkft_test_limit_file_size(8192)) {
        bool converted = vkft_convert(f->dir, f->out, &options, &err);
        vkft_test_limit_file_size(0);
        assert_false(converted);
        assert_non_null(strstr(err.message, "cannot write"));
        assert_int_equal(entries(f->elsewhere), 0);
    }

    expect_failure(vkft_convert(f->dir, f->elsewhere, &options, &err), "is a directory");
    expect_failure(vkft_convert(f->dir, "/proc/model.vkft", &options, &err), "cannot create");
    if (vkft_test_has_posix)
        expect_failure(vkft_convert(f->dir, "/dev/full", &options, &err), "not a regular file");
    options.progress = last_progress;
    expect_ok(vkft_convert(f->dir, f->out, &options, &err));
    assert_int_equal(seen, 0);
}

static int64_t modified(const char *path)
{
    vkft_os_info info;
    assert_true(vkft_os_stat(path, &info));
    return info.modified_ns;
}

static char *open_model(const char *dir, const vkft_convert_options *options)
{
    vkft_err err = {0};
    vkft_model_file *file = vkft_model_open(dir, options, true, &err);
    expect_ok(file);
    char *path = strdup(vkft_model_file_path(file));
    vkft_model_file_close(file);
    return path;
}

static void cache(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4_dq);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_err err = {0};
    vkft_tiny_model_write(&model, f->dir);
    char *path = open_model(f->dir, &options);
    assert_string_equal(vkft_path_base(path), "vkft-nf4-dq.vkft");
    int64_t first = modified(path);
    free(open_model(f->dir, &options));
    assert_int_equal(modified(path), first); /* used again */

    model.seed = 2;
    vkft_tiny_model_write(&model, f->dir); /* other weights of the same size */
    free(open_model(f->dir, &options));
    int64_t second = modified(path);
    assert_int_not_equal(second, first);
    check_model(f->dir, path, VKFT_STORAGE_nf4_dq);
    put(f, "tokenizer.json", "{}", 2); /* a small file more */
    free(open_model(f->dir, &options));
    int64_t third = modified(path);
    assert_int_not_equal(third, second);
    expect_ok(vkft_file_write(path, "VKFT", 4, &err)); /* damaged */
    free(open_model(f->dir, &options));
    check_model(f->dir, path, VKFT_STORAGE_nf4_dq);

    /* other weights of the same size and time, as rsync -t and archives leave them */
    char *weights = in(f, "model.safetensors");
    int64_t time = modified(weights);
    model.seed = 3;
    vkft_tiny_model_write(&model, f->dir);
    if (vkft_test_set_modified(weights, time)) {
        free(open_model(f->dir, &options));
        check_model(f->dir, path, VKFT_STORAGE_nf4_dq);
    }
    free(weights);

    options = options_for(vkft_storage_variant(VKFT_STORAGE_f16, true)); /* it has none */
    char *other = open_model(f->dir, &options);
    assert_string_equal(vkft_path_base(other), "vkft-fp16.vkft");
    options = options_for(VKFT_STORAGE_nf4_dq);
    expect_failure(vkft_model_open(other, &options, true, &err),
                   "converted with quantization 'fp16', but 'nf4-dq' was asked for");
    vkft_model_file *file = vkft_model_open(other, &options, false, &err);
    expect_ok(file);
    vkft_model_file_close(file);
    expect_failure(vkft_model_open("/does/not/exist", &options, false, &err),
                   "does not exist; expected a .vkft file or");
    free(other);
    free(path);
}

static void read_only_directory(void **state)
{
    const fixture *f = *state;
    if (!vkft_test_has_posix)
        skip();
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_err err = {0};
    vkft_tiny_model_write(&model, f->dir);
    int before = entries(f->dir);
    vkft_test_set_writable(f->dir, false); /* also for root, who could write there all the same */
    char *path = open_model(f->dir, &options);
    assert_int_equal(strncmp(path, f->elsewhere, strlen(f->elsewhere)), 0);
    assert_int_equal(entries(f->dir), before);
    int64_t first = modified(path);
    free(open_model(f->dir, &options));
    assert_int_equal(modified(path), first);
    free(path);
    vkft_test_environment("VKFT_CACHE_DIR", "/proc");
    expect_failure(vkft_model_open(f->dir, &options, true, &err),
                   "cannot be written, and neither can the cache directory");
}

/* A small file, or weights, of which it cannot be told whether they are there: another model would come of it. */
static void files_that_cannot_be_looked_at(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_tiny_model_write(&model, f->dir);
    static const char *const names[] = {"tokenizer.json", "generation_config.json", "model.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = in(f, names[i]);
        remove(path);
        if (!vkft_test_make_loop(path))
            skip();
        expect_refusal(f, &options, "cannot look at");
        remove(path);
        free(path);
    }
}

/* What another user put beside a checkpoint may hold anything: it is neither used nor replaced. */
static void model_of_another_user(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_tiny_model_write(&model, f->dir);
    char *path = open_model(f->dir, &options);
    int64_t first = modified(path);
    if (!vkft_test_give_away(path)) {
        print_message("skipped: only root can give files to another user\n");
        free(path);
        skip();
    }
    char *other = open_model(f->dir, &options);
    assert_int_equal(strncmp(other, f->elsewhere, strlen(f->elsewhere)), 0);
    assert_int_equal(modified(path), first);
    free(other);
    free(path);
}

/* A model is what lies at the path; its name and those of its directories say nothing. */
static void kinds_of_models(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = options_for(VKFT_STORAGE_f32);
    vkft_tiny_model model = vkft_tiny_model_default();
    vkft_err err = {0};
    char *dir = vkft_path_join(f->dir, "my.vkft"), *config = vkft_path_join(dir, "config.json"),
         *native = vkft_path_join(f->dir, "model.json"), *empty = vkft_path_join(f->dir, "empty.vkft");
    expect_ok(vkft_directory_create(dir, &err));
    vkft_tiny_model_write(&model, dir);
    expect_ok(vkft_convert(dir, native, &options, &err));
    expect_ok(vkft_file_write(empty, "", 0, &err));
    assert_int_equal(vkft_model_kind_of(dir), VKFT_MODEL_CHECKPOINT);
    assert_int_equal(vkft_model_kind_of(config), VKFT_MODEL_CONFIG);
    assert_int_equal(vkft_model_kind_of(native), VKFT_MODEL_NATIVE);
    assert_int_equal(vkft_model_kind_of(empty), VKFT_MODEL_NATIVE);
    assert_int_equal(vkft_model_kind_of("/does/not/exist.vkft"), VKFT_MODEL_MISSING);
    vkft_model_file *file = vkft_model_open(native, &options, false, &err);
    expect_ok(file);
    vkft_model_file_close(file);
    expect_failure(vkft_model_open(config, &options, false, &err), "is not a .vkft file");
    free(dir), free(config), free(native), free(empty);
}

static void labels(void **state)
{
    (void)state;
    assert_string_equal(vkft_quant_label(VKFT_STORAGE_none), "none");
    assert_string_equal(vkft_quant_label(VKFT_STORAGE_f16), "fp16");
    assert_string_equal(vkft_quant_label(vkft_storage_variant(VKFT_STORAGE_nf4, false)), "nf4");
    assert_string_equal(vkft_quant_label(vkft_storage_variant(VKFT_STORAGE_nf4, true)), "nf4-dq");
    assert_int_equal(vkft_storage_variant(VKFT_STORAGE_f32, true), VKFT_STORAGE_f32);
    assert_int_equal(vkft_storage_variant(VKFT_STORAGE_none, true), VKFT_STORAGE_none);
}

static void real_checkpoint(void **state)
{
    const fixture *f = *state;
    const char *shared = vkft_test_shared_data();
    if (!shared)
        skip();
    char dir[1024];
    vkft_err err = {0};
    snprintf(dir, sizeof dir, "%s/checkpoints/stories260K/hf", shared);
    for (int twice = 0; twice < 2; twice++) {
        vkft_convert_options options = options_for(twice ? VKFT_STORAGE_nf4_dq : VKFT_STORAGE_nf4);
        expect_ok(vkft_convert(dir, f->out, &options, &err));
        check_model(dir, f->out, options.quant);
    }
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4_dq);
    char *path = in(f, "model.safetensors.index.json"), source[1024];
    size_t size; /* a real index without its shards */
    snprintf(source, sizeof source, "%s/sharded/mistral-7b-v0.3.index.json", shared);
    char *text = vkft_test_read(source, &size);
    expect_ok(vkft_file_write(path, text, size, &err));
    free(text);
    snprintf(source, sizeof source, "%s/configs/mistral-7b-v0.2.json", shared);
    text = vkft_test_read(source, &size);
    put(f, "config.json", text, size);
    free(text);
    free(path);
    remove(f->out);
    expect_refusal(f, &options, "shard 1 of 3 is missing");
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

/* A part of a quantized weight in the checkpoint against what the model file holds of it. */
static void expect_part(const vkft_tensor_file *file, const vkft_model_tensor *got, const char *suffix, vkft_part part)
{
    char name[256];
    snprintf(name, sizeof name, "%s%s", got->name, suffix);
    const vkft_file_tensor *t = vkft_tensor_file_find(file, name);
    assert_non_null(t);
    assert_int_equal(t->bytes, got->bytes[part]);
    assert_memory_equal(vkft_tensor_file_data(file, t), got->part[part], t->bytes);
}

/* Checkpoints that bitsandbytes has quantized: every byte as it was; without double quantization the same as our own
 * quantization. */
static void quantized_by_bitsandbytes(void **state)
{
    const fixture *f = *state;
    static const char *const names[] = {"nf4", "nf4_dq", "fp4"};
    static const vkft_storage types[] = {VKFT_STORAGE_nf4, VKFT_STORAGE_nf4_dq, VKFT_STORAGE_fp4};
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    char dir[600], path[700], *own = in(f, "own.vkft");
    vkft_err err = {0};
    expect_ok(vkft_convert(VKFT_TEST_DATA "/bnb/original", own, &options, &err));
    vkft_model_file *ours = vkft_model_file_open(own, &err);
    assert_non_null(ours);
    for (size_t k = 0; k < 3; k++) {
        vkft_tensor_file file;
        snprintf(dir, sizeof dir, VKFT_TEST_DATA "/bnb/%s", names[k]);
        snprintf(path, sizeof path, "%s/model.safetensors", dir);
        expect_ok(vkft_safetensors_open(path, &file, &err));
        expect_ok(vkft_convert(dir, f->out, &options, &err));
        vkft_model_file *model = vkft_model_file_open(f->out, &err);
        assert_non_null(model);
        uint32_t quantized = 0;
        for (uint32_t i = 0; i < vkft_model_file_tensor_count(model); i++) {
            const vkft_model_tensor *t = vkft_model_file_tensor(model, i), *o = vkft_model_file_find(ours, t->name);
            expect_part(&file, t, "", VKFT_PART_DATA);
            if (!vkft_storage_is_quantized(t->storage))
                continue;
            quantized++;
            assert_int_equal(t->storage, types[k]);
            expect_part(&file, t, ".absmax", VKFT_PART_SCALES);
            if (k < 2)
                assert_memory_equal(t->part[0], o->part[0], t->bytes[0]);
            if (k == 0)
                assert_memory_equal(t->part[VKFT_PART_SCALES], o->part[VKFT_PART_SCALES], t->bytes[VKFT_PART_SCALES]);
            if (k == 1)
                expect_part(&file, t, ".nested_absmax", VKFT_PART_SUPER);
        }
        assert_int_equal(quantized, 7);
        vkft_model_file_close(model);
        vkft_tensor_file_close(&file);
    }
    vkft_model_file_close(ours);
    free(own);
    options.quant = VKFT_STORAGE_bf16;
    expect_failure(vkft_convert(VKFT_TEST_DATA "/bnb/nf4", f->out, &options, &err),
                   "is quantized already (nf4); convert the original checkpoint");
}

/* A scale that is not finite, of a block or of 256 of them. */
static void damaged_scales(void **state)
{
    const fixture *f = *state;
    static const char *const names[] = {"nf4", "nf4_dq"}, *const parts[] = {".absmax", ".nested_absmax"};
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_err err = {0};
    for (size_t k = 0; k < 2; k++) {
        char path[700], name[200];
        size_t size;
        vkft_tensor_file file;
        snprintf(path, sizeof path, VKFT_TEST_DATA "/bnb/%s/config.json", names[k]);
        char *config = vkft_test_read(path, &size);
        put(f, "config.json", config, size);
        snprintf(path, sizeof path, VKFT_TEST_DATA "/bnb/%s/model.safetensors", names[k]);
        char *text = vkft_test_read(path, &size);
        expect_ok(vkft_safetensors_open(path, &file, &err));
        snprintf(name, sizeof name, "model.layers.0.mlp.up_proj.weight%s", parts[k]);
        const vkft_file_tensor *t = vkft_tensor_file_find(&file, name);
        assert_non_null(t);
        const float infinity = INFINITY;
        memcpy(text + t->offset, &infinity, sizeof infinity);
        put(f, "model.safetensors", text, size);
        expect_refusal(f, &options, "up_proj.weight': element 0 is not finite");
        vkft_tensor_file_close(&file);
        free(config), free(text);
    }
}

/* Experts and a router in 4 bits, as transformers 4 left them. */
static void experts_quantized_by_bitsandbytes(void **state)
{
    const fixture *f = *state;
    vkft_convert_options options = options_for(VKFT_STORAGE_nf4);
    vkft_tensor_file file;
    vkft_model laid_out;
    vkft_err err = {0};
    expect_ok(vkft_safetensors_open(VKFT_TEST_DATA "/bnb/experts/model.safetensors", &file, &err));
    expect_ok(vkft_convert(VKFT_TEST_DATA "/bnb/experts", f->out, &options, &err));
    vkft_model_file *model = vkft_model_file_open(f->out, &err);
    assert_non_null(model);
    uint32_t quantized = 0;
    for (uint32_t i = 0; i < vkft_model_file_tensor_count(model); i++) {
        const vkft_model_tensor *t = vkft_model_file_tensor(model, i);
        expect_part(&file, t, "", VKFT_PART_DATA);
        quantized += t->storage == VKFT_STORAGE_nf4_dq;
    }
    assert_int_equal(quantized, 4 + 1 + 3 * 3);
    expect_ok(vkft_model_init(&laid_out, vkft_model_file_config(model), model, VKFT_STORAGE_none, false, &err));
    vkft_model_free(&laid_out);
    vkft_model_file_close(model);
    vkft_tensor_file_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(every_type),
        test(large_tensor),
        test(small_files),
        test(hub_name),
        test(unusable_values),
        test(wrong_checkpoints),
        test(quantized_already),
        test(quantized_by_bitsandbytes),
        test(experts_quantized_by_bitsandbytes),
        test(damaged_scales),
        test(wrong_shards),
        test(interrupted_and_full),
        test(cache),
        test(read_only_directory),
        test(model_of_another_user),
        test(files_that_cannot_be_looked_at),
        cmocka_unit_test_setup_teardown(kinds_of_models, set_up, tear_down),
        cmocka_unit_test(labels),
        test(real_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
