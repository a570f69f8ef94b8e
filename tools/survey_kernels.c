/* Compiles the kernels as vkft would for this device, and prints what the driver's compiler says of each.
 *
 *     VKFT_STATISTICS=1 survey_kernels [HEAD_SIZE...] [KERNEL...]
 *
 * One line of JSON for the device, then one for each pipeline: every kernel (but those of some types of GGUF
 * files; or those whose names begin like an argument) with the constants that vkft chooses for attention of these head
 * sizes (64 and 128 unless named), with and without capped scores and biases, and for products with operands of each
 * type. Pipelines that the device does not use are left out. VKFT_STATISTICS=code adds their instructions as text.
 * tools/survey runs this for each chip.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/engine/matmul/gemm.h"
#include "host/engine/ops/attention_kernels.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/os/os.h"

#define LONGEST_WALK 8192 /* of attention: 2048 tokens, 4 query heads for each key head */
#define MAX_HEADS 16

typedef struct pipeline {
    vkft_kernel kernel;
    uint32_t constants[1 + VKFT_KERNEL_CONSTANTS];
} pipeline;

typedef struct survey {
    vkft_device *dev;
    vkft_ops_constants model;
    char *const *names; /* of kernels, how they begin; none: all */
    int name_count;
    pipeline *seen;
    size_t seen_count, seen_room;
} survey;

static bool print(vkft_json_node line)
{
    cJSON *value = vkft_json_made(line);
    char *text = value ? cJSON_PrintUnformatted(value) : NULL;
    if (text) {
        puts(text);
        fflush(stdout);
    }
    free(text);
    cJSON_Delete(value);
    return text || (fputs("out of memory\n", stderr), false);
}

/* Kernels of types of GGUF files that others stand for: q4_k and q6_k load and compute the most, q8_0 has the widest
 * codes, mxfp4 numbers that are no arithmetic. */
static bool is_alike(const char *name)
{
    static const char *const endings[] = {"_q5_k", "_q5_0", "_q5_1", "_q4_0", "_q4_1", "_iq4_nl"};
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (length > strlen(endings[i]) && strcmp(name + length - strlen(endings[i]), endings[i]) == 0)
            return true;
    return false;
}

static bool is_asked_for(const survey *s, vkft_kernel kernel)
{
    for (int i = 0; i < s->name_count; i++)
        if (strncmp(vkft_kernel_name(kernel), s->names[i], strlen(s->names[i])) == 0)
            return true;
    return s->name_count == 0 && !is_alike(vkft_kernel_name(kernel));
}

static bool is_attention(vkft_kernel kernel)
{
    return strncmp(vkft_kernel_name(kernel), "attention", strlen("attention")) == 0;
}

/* Kernels that make rows for products in f16, and nothing else. */
static bool is_for_f16(vkft_kernel kernel)
{
    return kernel == VKFT_KERNEL_rows_f16 || kernel == VKFT_KERNEL_rows_f16_in_place ||
           kernel == VKFT_KERNEL_rows_f32 || kernel == VKFT_KERNEL_rmsnorm_f16 ||
           kernel == VKFT_KERNEL_rmsnorm_backward_f16 || kernel == VKFT_KERNEL_gated_f16 ||
           kernel == VKFT_KERNEL_gated_backward_f16 || kernel == VKFT_KERNEL_gather_rows_f16 ||
           kernel == VKFT_KERNEL_expert_gated_f16 || kernel == VKFT_KERNEL_expert_gated_backward_f16;
}

/* Whether the device uses this pipeline for the model. */
static bool is_chosen(const survey *s, vkft_kernel kernel)
{
    uint32_t count;
    vkft_kernel_get_constants(s->dev, kernel, &count);
    if (!vkft_caps_have(vkft_device_get_caps(s->dev), vkft_kernel_needs(kernel)))
        return false;
    if (is_for_f16(kernel) && !vkft_gemm_has_f16(vkft_device_get_caps(s->dev)))
        return false;
    if (is_attention(kernel)) {
        for (int part = 0; part < VKFT_ATTENTION_PARTS; part++)
            if (vkft_attention_choose(s->dev, (vkft_attention_part)part, s->model.head_dim).kernel == kernel)
                return part != VKFT_ATTENTION_DBIAS || s->model.relative;
        return false;
    }
    return count > 1 || (kernel < VKFT_KERNEL_COUNT && vkft_kernel_get_shape(kernel) != VKFT_SHAPE_TILE);
}

/* False for a pipeline that was compiled for another model. */
static bool is_new(survey *s, vkft_kernel kernel)
{
    uint32_t count;
    const uint32_t *constants = vkft_kernel_get_constants(s->dev, kernel, &count);
    pipeline p = {.kernel = kernel};
    memcpy(p.constants, constants, count * sizeof *constants);
    for (size_t i = 0; i < s->seen_count; i++)
        if (memcmp(&s->seen[i], &p, sizeof p) == 0)
            return false;
    if (s->seen_count == s->seen_room) {
        size_t room = s->seen_room * 2 + 256;
        pipeline *seen = realloc(s->seen, room * sizeof *seen);
        if (!seen)
            return true; /* compiled twice, perhaps */
        s->seen = seen;
        s->seen_room = room;
    }
    s->seen[s->seen_count++] = p;
    return true;
}

static bool survey_pipeline(survey *s, vkft_kernel kernel)
{
    vkft_err err = {0};
    bool failed = false;
    uint32_t count;
    const uint32_t *constants = vkft_kernel_get_constants(s->dev, kernel, &count);
    vkft_json_node line = vkft_json_make_object(&failed);
    vkft_json_put_string(line, "kernel", vkft_kernel_name(kernel));
    vkft_json_put_number(line, "variant", kernel / (uint32_t)VKFT_KERNEL_COUNT);
    vkft_json_put_integers(line, "constants", (const int32_t *)constants, count);
    if (is_attention(kernel)) {
        vkft_json_put_number(line, "head_size", s->model.head_dim);
        vkft_json_put_bool(line, "softcap", s->model.softcap);
        vkft_json_put_bool(line, "relative", s->model.relative);
    }
    vkft_json_put_string(line, "operands", vkft_dtype_name(s->model.operands));
    double cpu = vkft_os_cpu_seconds();
    bool built = vkft_kernel_prepare(s->dev, kernel, &err);
    vkft_json_put_number(line, "compile_ms", (vkft_os_cpu_seconds() - cpu) * 1e3);
    vkft_kernel_statistics statistics = {0};
    if (built && vkft_kernel_get_statistics(s->dev, kernel, &statistics, &err)) {
        vkft_json_put_number(line, "subgroup_size", statistics.subgroup_size);
        vkft_json_node list = vkft_json_put_object(line, "statistics");
        for (uint32_t i = 0; i < statistics.count; i++)
            vkft_json_put_number(list, statistics.list[i].name, statistics.list[i].value);
        if (statistics.code)
            vkft_json_put_string(line, "code", statistics.code);
    } else {
        vkft_json_put_string(line, "error", err.message);
    }
    free(statistics.code);
    return print(line);
}

static bool survey_model(survey *s)
{
    vkft_err err;
    if (!vkft_ops_setup(s->dev, &s->model, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return false;
    }
    for (uint32_t i = 0; i < VKFT_KERNEL_VARIANTS * (uint32_t)VKFT_KERNEL_COUNT; i++)
        if (is_asked_for(s, (vkft_kernel)i) && is_chosen(s, (vkft_kernel)i) && is_new(s, (vkft_kernel)i) &&
            !survey_pipeline(s, (vkft_kernel)i))
            return false;
    return true;
}

static bool survey_models(survey *s, const uint32_t *heads, int head_count)
{
    static const vkft_dtype operands[] = {VKFT_F32, VKFT_BF16, VKFT_F16};
    s->model.longest_walk = LONGEST_WALK;
    for (size_t i = 0; i < sizeof operands / sizeof *operands; i++)
        for (int h = 0; h < head_count; h++)
            for (int kind = 0; kind < 3; kind++) {
                s->model.head_dim = heads[h];
                s->model.softcap = kind == 1;
                s->model.relative = kind == 2;
                s->model.operands = operands[i];
                if (!survey_model(s))
                    return false;
            }
    return true;
}

static bool print_device(const vkft_device *dev)
{
    const vkft_device_info *info = vkft_device_get_info(dev);
    bool failed = false;
    char hash[20];
    vkft_json_node line = vkft_json_make_object(&failed);
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)vkft_kernels_hash());
    vkft_json_put_string(line, "device", info->name);
    vkft_json_put_string(line, "driver", info->driver);
    vkft_json_put_number(line, "subgroup_size", info->caps.subgroup_size);
    vkft_json_put_string(line, "kernels", hash);
    return print(line);
}

int main(int argc, char **argv)
{
    uint32_t heads[MAX_HEADS] = {64, 128};
    int head_count = 0, i = 1;
    for (; i < argc && argv[i][0] >= '1' && argv[i][0] <= '9' && head_count < MAX_HEADS; i++)
        heads[head_count++] = (uint32_t)strtoul(argv[i], NULL, 10);
    vkft_err err;
    survey s = {.names = argv + i, .name_count = argc - i, .dev = vkft_device_open(NULL, &err)};
    if (!s.dev) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    bool ok = print_device(s.dev) && survey_models(&s, heads, head_count ? head_count : 2);
    free(s.seen);
    vkft_device_close(s.dev);
    return !ok;
}
