/* What lies in a directory that is no checkpoint of transformers. */
#include "formats/convert/recognize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

#define MAX_CONFIG_BYTES 4000000

/* Names of files that tell what a directory is, the surest first; *.x is any file with this ending. */
static const struct {
    const char *name, *what;
} signs[] = {
    {"adapters.safetensors", "an adapter of MLX"},
    {"*.gguf", "a folder with a model for llama.cpp: give the GGUF file itself"},
    {"consolidated.safetensors", "a model in Mistral's own format: download its version for transformers"},
    {"consolidated.00.pth", "a model in the format of its makers: download its version for transformers"},
    {"tekken.json", "a part of a model in Mistral's own format: download its version for transformers"},
    {"params.json", "a part of a model in the format of its makers: download its version for transformers"},
    {"model.pth", "a model as a program of its own saved it: download its version for transformers"},
    {"tf_model.h5", "a model for TensorFlow: download its safetensors"},
    {"flax_model.msgpack", "a model for Flax: download its safetensors"},
    {"*.onnx", "a model for ONNX Runtime: download the safetensors of the original model"},
    {"onnx", "a model for ONNX Runtime: download the safetensors of the original model"},
    {"model_index.json", "a pipeline of diffusers, not a language model"},
    {"snapshots", "a folder of the hub's cache: give the folder in snapshots that holds config.json"},
};

typedef struct search {
    const char *name;
    char found[80];
} search;

static bool visit(void *context, const char *name)
{
    search *s = context;
    bool same = s->name[0] == '*' ? vkft_string_ends_with(name, s->name + 1) : strcmp(s->name, name) == 0;
    if (same)
        snprintf(s->found, sizeof s->found, "%.79s", name);
    return !same;
}

static bool has(const char *dir, const char *name, search *s)
{
    *s = (search){.name = name};
    vkft_directory_list(dir, visit, s, NULL);
    return s->found[0] != 0;
}

/* Names the model that the adapter belongs to, where it says so. */
static bool fail_adapter(const char *dir, vkft_err *err)
{
    char *path = vkft_path_join(dir, "adapter_config.json");
    cJSON *root = path ? vkft_json_read_object(path, MAX_CONFIG_BYTES, NULL) : NULL;
    const char *base = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(root, "base_model_name_or_path"));
    if (base && *base)
        vkft_fail(err, VKFT_ERR_INPUT, "'%s' is an adapter (adapter_config.json) for the model '%.200s', not a model",
                  dir, base);
    else
        vkft_fail(err, VKFT_ERR_INPUT, "'%s' is an adapter (adapter_config.json), not a model", dir);
    cJSON_Delete(root);
    free(path);
    return vkft_advise(err, VKFT_ADVICE_GIVE_ADAPTER);
}

bool vkft_model_fail_directory(const char *dir, const char *needed, vkft_err *err)
{
    search s;
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (has(dir, signs[i].name, &s))
            return vkft_fail(err, VKFT_ERR_INPUT, "'%s' is %s (it holds %s)", dir, signs[i].what, s.found);
    if (has(dir, "adapter_config.json", &s))
        return fail_adapter(dir, err);
    if (has(dir, "tokenizer.json", &s) || has(dir, "tokenizer.model", &s) || has(dir, "tokenizer_config.json", &s))
        return vkft_fail(err, VKFT_ERR_INPUT, "'%s' has a tokenizer and no %s; download the whole checkpoint", dir,
                         needed);
    return vkft_fail(err, VKFT_ERR_INPUT, "'%s' has no %s; expected a Hugging Face checkpoint directory", dir, needed);
}

bool vkft_model_check_mlx(const void *config, const char *file, vkft_err *err)
{
    const cJSON *quantization = vkft_json_member(config, "quantization");
    const cJSON *bits = vkft_json_member(quantization, "bits");
    if (!bits || !vkft_json_member(quantization, "group_size"))
        return true;
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: the weights are quantized by MLX (%g bits in groups), which cannot be read: use the original "
                     "checkpoint, or one that MLX has not quantized",
                     file, bits->valuedouble);
}
