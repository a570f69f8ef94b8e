/* What a run tells before it starts: the memory plan. */
#include "host/train/trainer.h"
#include "runtime/base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_items(const vkft_memory_plan *plan)
{
    printf("%-24s %16s %10s\n", "memory plan", "bytes", "GiB");
    for (uint32_t i = 0; i < plan->count; i++)
        printf("%-24s %16llu %10.3f\n", plan->items[i].name, (unsigned long long)plan->items[i].bytes,
               gib(plan->items[i].bytes));
    printf("%-24s %16llu %10.3f\n", "device total", (unsigned long long)plan->device_bytes, gib(plan->device_bytes));
    printf("%-24s %16llu %10.3f\n", "host total", (unsigned long long)plan->host_bytes, gib(plan->host_bytes));
}

static void print_json(const vkft_trainer *t)
{
    const vkft_memory_plan *plan = &t->plan;
    cJSON *root = cJSON_CreateObject();
    for (uint32_t i = 0; i < plan->count; i++)
        cJSON_AddNumberToObject(root, plan->items[i].name, (double)plan->items[i].bytes);
    cJSON_AddNumberToObject(root, "device_bytes", (double)plan->device_bytes);
    cJSON_AddNumberToObject(root, "host_bytes", (double)plan->host_bytes);
    cJSON_AddNumberToObject(root, "max_tokens", t->plan.limits.batch.tokens);
    char *text = cJSON_PrintUnformatted(root);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

/* The longest batch of one sequence, by halving, whose plan fits; 0 when none does. */
static uint32_t fitting_length(const vkft_trainer *t, const vkft_device_info *info)
{
    for (uint32_t length = t->plan.limits.batch.positions; length >= 16; length /= 2) {
        vkft_memory_plan trial;
        const vkft_limits limits = {.batch = {.tokens = length,
                                              .source_tokens = t->runner.config.encoder_layers ? length : 0,
                                              .rows = length,
                                              .positions = length},
                                    .checkpointing = true};
        if (vkft_session_plan(&t->runner, &limits, &trial, NULL) && trial.device_bytes <= info->memory_free_bytes)
            return length;
    }
    return 0;
}

bool vkft_trainer_print_plan(vkft_trainer *t, vkft_err *err)
{
    const vkft_memory_plan *plan = &t->plan;
    if (t->options->json) {
        print_json(t);
        return true;
    }
    print_items(plan);
    printf("for batches of at most %u tokens, %u of them trained; %llu trained parameters\n",
           t->plan.limits.batch.tokens, t->plan.limits.batch.rows,
           (unsigned long long)vkft_trainables_parameters(&t->runner.trained));
    vkft_device *dev = vkft_device_open(t->options->model.device, err);
    if (!dev) {
        printf("no device to compare with: %s\n", err->message);
        return true;
    }
    const vkft_device_info *info = vkft_device_get_info(dev);
    uint64_t free_bytes = info->memory_free_bytes;
    uint64_t needed = vkft_memory_plan_needs(plan, info);
    printf("%s: %.3f GiB free of %.3f GiB: %s\n", info->name, gib(free_bytes), gib(info->memory_bytes),
           needed <= free_bytes ? "fits" : "does not fit");
    if (needed > free_bytes) {
        uint32_t length = fitting_length(t, info);
        if (length)
            printf("would fit: --batch-size 1 --max-seq-length %u --gradient-checkpointing\n", length);
        else
            printf("no --max-seq-length makes it fit; try a smaller model, a lower --lora-r, or another --device\n");
    }
    vkft_device_close(dev);
    return true;
}
