/* What people give as a model by mistake is told by name. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/convert/model_open.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

static void put(const char *dir, const char *name, const char *text)
{
    vkft_err err = {0};
    char *path = vkft_path_join(dir, name);
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    free(path);
}

static void expect_directory(const char *const *files, const char *message)
{
    const vkft_convert_options options = {.threads = 1};
    char *dir = vkft_test_directory();
    vkft_err err = {0};
    for (; *files; files += 2)
        put(dir, files[0], files[1]);
    expect_failure(vkft_model_open(dir, &options, false, &err), message);
    vkft_test_remove_directory(dir);
}

#define TINY                                                                                                           \
    "{\"model_type\":\"llama\",\"vocab_size\":32,\"hidden_size\":8,\"intermediate_size\":8,\"num_hidden_layers\":1,"   \
    "\"num_attention_heads\":2"

static void directories(void **state)
{
    (void)state;
    static const struct {
        const char *files[7], *message;
    } cases[] = {
        {{"adapter_config.json", "{\"base_model_name_or_path\":\"org/base\"}", "adapter_model.safetensors", "x"},
         "' is an adapter (adapter_config.json) for the model 'org/base', not a model"},
        {{"adapter_config.json", "{}", "tokenizer.json", "{}"}, "' is an adapter (adapter_config.json), not a model"},
        {{"adapter_config.json", "{}", "config.json", TINY "}"}, "' is an adapter (adapter_config.json), not a model"},
        {{"adapter_config.json", "{}", "adapters.safetensors", "x"}, "' is an adapter of MLX (it holds adapters."},
        {{"x-q4.gguf", "GGUF"}, "' is a folder with a model for llama.cpp: give the GGUF file itself (it holds x-q4"},
        {{"x-q4.gguf", "GGUF", "config.json", TINY "}"}, "' is a folder with a model for llama.cpp: give the GGUF"},
        {{"consolidated.safetensors", "x", "params.json", "{}", "tekken.json", "{}"}, "' is a model in Mistral's own"},
        {{"tekken.json", "{}"}, "' is a part of a model in Mistral's own format"},
        {{"params.json", "{}"}, "' is a part of a model in the format of its makers"},
        {{"model.onnx", "x", "config.json", TINY "}"}, "' is a model for ONNX Runtime"},
        {{"model_index.json", "{}"}, "' is a pipeline of diffusers"},
        {{"tokenizer.json", "{}", "tokenizer_config.json", "{}"}, "' has a tokenizer and no config.json"},
        {{"config.json", TINY "}", "tokenizer.json", "{}"}, "' has a tokenizer and no model.safetensors or"},
        {{"config.json", TINY ",\"quantization\":{\"group_size\":64,\"bits\":4}}", "model.safetensors", "x"},
         "the weights are quantized by MLX (4 bits in groups)"},
        {{"config.json",
          TINY ",\"quantization\":{\"group_size\":32,\"bits\":8},\"quantization_config\":{\"group_size\":32,\"bits\":"
               "8}}",
          "model.safetensors", "x"},
         "the weights are quantized by MLX (8 bits in groups)"},
        {{"notes.txt", "x"}, "' has no config.json; expected a Hugging Face checkpoint directory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_directory(cases[i].files, cases[i].message);
}

static void files(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *message;
    } cases[] = {
        {"a.gguf", "GGUF\3", "a.gguf: the file ends at byte 5, inside its header"},
        {"model", "GGUF\3", "model: the file ends at byte 5, inside its header"},
        {"model.onnx", "\x08\x07", "' is a model for ONNX Runtime"},
        {"model.safetensors", "x", "' is a file of weights alone: give the directory that holds it and config.json"},
        {"pytorch_model.bin", "PK\3\4", "' is a file of weights alone"},
        {"model.vkft", "x", "is not a .vkft file"},
    };
    const vkft_convert_options options = {.threads = 1};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *dir = vkft_test_directory(), *path = vkft_path_join(dir, cases[i].name);
        vkft_err err = {0};
        put(dir, cases[i].name, cases[i].text);
        expect_failure(vkft_model_open(path, &options, false, &err), cases[i].message);
        free(path);
        vkft_test_remove_directory(dir);
    }
}

static void expect_program(const char *dir, const char *command, const char *message)
{
    vkft_test_result r = vkft_test_program("%s --model %s/adapter --data %s/ids.jsonl", command, dir, dir);
    if (r.exit_code != 1 || !strstr(r.err, message))
        fail_msg("%s: exit %d: %s", command, r.exit_code, r.err);
    vkft_test_result_free(&r);
}

/* The advice is in the words of each command. */
static void advice(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), to[600];
    snprintf(to, sizeof to, "%s/adapter/adapter_config.json", dir);
    vkft_test_copy(VKFT_TEST_DATA "/golden/llama_gqa/adapter_init/adapter_config.json", to);
    put(dir, "ids.jsonl", "{\"input_ids\":[1,5,6,7]}\n");
    static const char message[] = "/adapter' is an adapter (adapter_config.json) for the model ";
    expect_program(dir, "eval", message);
    expect_program(dir, "eval", "not a model; give the model as --model and the adapter as --adapter");
    expect_program(dir, "train --output-dir /does/not/exist", message);
    expect_program(dir, "train --output-dir /does/not/exist",
                   "not a model; give the model as --model and the adapter as --init-adapter");
    expect_program(dir, "train --output-dir /does/not/exist --dry-run", message);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(directories), cmocka_unit_test(files),
                                       cmocka_unit_test(advice)};
    return cmocka_run_group_tests_name("recognize", tests, NULL, NULL);
}
