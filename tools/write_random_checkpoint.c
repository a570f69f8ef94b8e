/* write_random_checkpoint CONFIG.json OUT_DIR [--dtype bf16|f16|f32] [--shards N] [--seed S]
 *
 * Makes a Hugging Face checkpoint directory with random weights in the shape that CONFIG.json describes, so that
 * conversion, memory and speed can be measured at real sizes without downloading anything. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "tools/random_checkpoint.h"

#define MAX_CONFIG_BYTES 1000000

static int usage(void)
{
    fprintf(stderr,
            "usage: write_random_checkpoint CONFIG.json OUT_DIR [--dtype bf16|f16|f32] [--shards N] [--seed S]\n");
    return 2;
}

static bool parse_dtype(const char *text, vkft_dtype *dtype)
{
    static const struct {
        const char *name;
        vkft_dtype dtype;
    } names[] = {{"bf16", VKFT_BF16}, {"f16", VKFT_F16}, {"f32", VKFT_F32}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(text, names[i].name) == 0) {
            *dtype = names[i].dtype;
            return true;
        }
    }
    return false;
}

static bool parse_number(const char *text, unsigned long long *number)
{
    char *end;
    *number = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end;
}

/* The configuration as it was given, but with the dtype of the new weights. */
static bool write_config(cJSON *root, const char *dir, vkft_dtype dtype, vkft_err *err)
{
    const char *name = dtype == VKFT_BF16 ? "bfloat16" : dtype == VKFT_F16 ? "float16" : "float32";
    cJSON_DeleteItemFromObjectCaseSensitive(root, "dtype");
    cJSON_DeleteItemFromObjectCaseSensitive(root, "torch_dtype");
    char *text = cJSON_AddStringToObject(root, "torch_dtype", name) ? cJSON_Print(root) : NULL;
    char *path = vkft_path_join(dir, "config.json");
    bool ok = text && path ? vkft_file_write(path, text, strlen(text), err)
                           : vkft_fail(err, VKFT_ERR_MEMORY, "out of memory writing '%s'", dir);
    cJSON_free(text);
    free(path);
    return ok;
}

static bool run(const char *config_path, const char *dir, vkft_random_checkpoint *options, vkft_err *err)
{
    char *text = NULL;
    size_t length = 0;
    vkft_config config;
    cJSON *root = NULL;
    options->deviation = 0.02;
    bool ok = vkft_file_read(config_path, MAX_CONFIG_BYTES, &text, &length, err) &&
              vkft_config_parse(text, length, config_path, &config, err) &&
              (root = vkft_json_parse(text, length, config_path, err)) != NULL &&
              vkft_json_get_double(root, "initializer_range", false, &options->deviation, config_path, err) &&
              vkft_directory_create(dir, err) && vkft_random_checkpoint_write(&config, dir, options, err) &&
              write_config(root, dir, options->dtype, err);
    cJSON_Delete(root);
    free(text);
    return ok;
}

int main(int argc, char **argv)
{
    vkft_random_checkpoint options = {.dtype = VKFT_BF16, .shards = 1, .seed = 1};
    vkft_err err = {0};
    if (argc < 3 || argv[1][0] == '-' || argv[2][0] == '-')
        return usage();
    for (int i = 3; i < argc; i += 2) {
        unsigned long long number = 0;
        if (i + 1 == argc)
            return usage();
        if (strcmp(argv[i], "--dtype") == 0 && parse_dtype(argv[i + 1], &options.dtype))
            continue;
        if (strcmp(argv[i], "--shards") == 0 && parse_number(argv[i + 1], &number) && number >= 1 && number <= 9999)
            options.shards = (uint32_t)number;
        else if (strcmp(argv[i], "--seed") == 0 && parse_number(argv[i + 1], &number))
            options.seed = number;
        else
            return usage();
    }
    if (!run(argv[1], argv[2], &options, &err)) {
        fprintf(stderr, "write_random_checkpoint: %s\n", err.message);
        return 1;
    }
    return 0;
}
