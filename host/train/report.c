/* What a run tells before it starts: the memory plan. */
#include "host/train/trainer.h"
#include "runtime/base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_items(const vkft_memory_plan *plan)
{
    printf("%-24s %16s %10s\n", "memory plan", "bytes", "GiB");
    for (vkft_plan_item i = 0; i < VKFT_ITEM_COUNT; i++)
        printf("%-24s %16llu %10.3f\n", vkft_plan_item_name(i), (unsigned long long)plan->bytes[i],
               gib(plan->bytes[i]));
    printf("%-24s %16llu %10.3f\n", "device total", (unsigned long long)plan->device_bytes, gib(plan->device_bytes));
    printf("%-24s %16llu %10.3f\n", "host total", (unsigned long long)plan->host_bytes, gib(plan->host_bytes));
}

static void print_json(const vkft_trainer *t)
{
    const vkft_memory_plan *plan = &t->runner.plan;
    cJSON *root = cJSON_CreateObject();
    for (vkft_plan_item i = 0; i < VKFT_ITEM_COUNT; i++)
        cJSON_AddNumberToObject(root, vkft_plan_item_name(i), (double)plan->bytes[i]);
    cJSON_AddNumberToObject(root, "device_bytes", (double)plan->device_bytes);
    cJSON_AddNumberToObject(root, "host_bytes", (double)plan->host_bytes);
    cJSON_AddNumberToObject(root, "max_tokens", t->runner.limits.tokens);
    char *text = cJSON_PrintUnformatted(root);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(root);
}

/* The longest batch of one sequence, by halving, whose plan fits; 0 when none does. */
static uint32_t fitting_length(vkft_trainer *t, uint64_t free_bytes)
{
    uint32_t length = t->runner.limits.positions;
    for (; length >= 16; length /= 2) {
        vkft_session trial = t->runner;
        memset(&trial.eval, 0, sizeof trial.eval);
        bool ok = vkft_pass_init(&trial.train, &t->runner.train.spec, NULL) &&
                  vkft_pass_init(&trial.eval, &t->runner.eval.spec, NULL);
        vkft_batch_limits limits = {.tokens = length,
                                    .source_tokens = trial.config.encoder_layers ? length : 0,
                                    .rows = length,
                                    .positions = length};
        ok = ok && vkft_session_plan(&trial, &limits, vkft_optimizer_kind_of(t->options->optim), true, NULL);
        vkft_pass_free(&trial.train);
        vkft_pass_free(&trial.eval);
        if (ok && trial.plan.device_bytes <= free_bytes)
            return length;
    }
    return 0;
}

bool vkft_trainer_print_plan(vkft_trainer *t, vkft_err *err)
{
    const vkft_memory_plan *plan = &t->runner.plan;
    if (t->options->json) {
        print_json(t);
        return true;
    }
    print_items(plan);
    printf("for batches of at most %u tokens, %u of them trained; %llu trained parameters\n", t->runner.limits.tokens,
           t->runner.limits.rows, (unsigned long long)vkft_trainables_parameters(&t->runner.trained));
    vkft_device *dev = vkft_device_open(t->options->model.device, err);
    if (!dev) {
        printf("no device to compare with: %s\n", err->message);
        return true;
    }
    const vkft_device_info *info = vkft_device_get_info(dev);
    uint64_t free_bytes = info->memory_free_bytes;
    uint64_t needed = plan->device_bytes + (info->unified_memory ? plan->host_bytes : 0);
    printf("%s: %.3f GiB free of %.3f GiB: %s\n", info->name, gib(free_bytes), gib(info->memory_bytes),
           needed <= free_bytes ? "fits" : "does not fit");
    if (needed > free_bytes) {
        uint32_t length = fitting_length(t, free_bytes);
        if (length)
            printf("would fit: --batch-size 1 --max-seq-length %u --gradient-checkpointing\n", length);
        else
            printf("no --max-seq-length makes it fit; try a smaller model, a lower --lora-r, or another --device\n");
    }
    vkft_device_close(dev);
    return true;
}
