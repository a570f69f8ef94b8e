/* See says.h. */
#include "host/cli/commands/train/says.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/os/machine.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

static int print_json_summary(const vkft_train_options *o, const vkft_train_result *r)
{
    bool failed = false;
    vkft_json_node json = vkft_json_make_object(&failed);
    vkft_json_put_number(json, "steps", (double)r->steps);
    vkft_json_put_number(json, "skipped_steps", (double)r->skipped_steps);
    vkft_json_put_number(json, "first_loss", r->first_loss);
    vkft_json_put_number(json, "last_loss", r->last_loss);
    char best[VKFT_BEST_KEY + 8];
    snprintf(best, sizeof best, "best_%s", r->best.key);
    vkft_json_put_number(json, best, r->best_metric);
    if (!isnan(r->best_metric))
        vkft_json_put_number(json, "best_step", (double)r->best_step);
    if (r->stop_reason[0])
        vkft_json_put_string(json, "stopped_early", r->stop_reason);
    vkft_json_put_number(json, "seconds", r->seconds);
    vkft_json_put_number(json, "tokens_per_second", r->tokens_per_second);
    vkft_json_put_number(json, "peak_memory_bytes", (double)r->peak_memory_bytes);
    vkft_json_put_string(json, "output_dir", o->output_dir);
    return cli_print_json(vkft_json_made(json));
}

/* As the command line has it: of a model from the hub its name there, not the path of what was downloaded. */
static const char *model_name(const vkft_train_options *o)
{
    for (uint32_t i = 0; i < o->settings.count; i++)
        if (strcmp(o->settings.list[i].name, "model") == 0)
            return o->settings.list[i].value;
    return o->model.path;
}

/* Commands to be pasted into a shell: one that uses the result as it was trained, one that draws the run. */
static void print_command(const vkft_train_options *o, const vkft_train_result *r)
{
    vkft_text text = {0};
    bool full = o->fine_tune_type == VKFT_TRAINABLE_ALL_WEIGHTS;
    bool ok = vkft_text_append_argument(&text, vkft_os_is_windows(), full ? o->output_dir : model_name(o), NULL);
    if (ok && !full)
        ok = vkft_text_append(&text, " --adapter ", strlen(" --adapter "), NULL) &&
             vkft_text_append_argument(&text, vkft_os_is_windows(), o->output_dir, NULL);
    if (ok)
        fprintf(stderr, "%s in %s; try it:\n  vkft generate --model %s %s\n", full ? "model" : "adapter", o->output_dir,
                text.data,
                !r->has_tokenizer      ? "--prompt-ids 1,2,3"
                : vkft_os_is_windows() ? "--prompt \"...\""
                                       : "--prompt '...'");
    text.length = 0;
    if (ok && vkft_text_append_argument(&text, vkft_os_is_windows(), o->output_dir, NULL))
        fprintf(stderr, "  vkft plot %s\n", text.data);
    vkft_text_free(&text);
}

int train_print_summary(const vkft_train_options *o, const vkft_train_result *r)
{
    fprintf(stderr, "\ndone\n");
    for (uint32_t i = 0; i < r->summary.count; i++)
        fprintf(stderr, "  %-11s %s\n", r->summary.lines[i].name, r->summary.lines[i].text);
    print_command(o, r);
    return o->json ? print_json_summary(o, r) : EXIT_SUCCESS;
}

static int print_json_plan(const vkft_memory_plan *plan, const char *name)
{
    bool failed = false;
    vkft_json_node json = vkft_json_make_object(&failed);
    if (name)
        vkft_json_put_string(json, "output_dir", name);
    for (uint32_t i = 0; i < plan->count; i++)
        vkft_json_put_number(json, plan->items[i].name, (double)plan->items[i].bytes);
    vkft_json_put_number(json, "device_bytes", (double)plan->device_bytes);
    vkft_json_put_number(json, "host_bytes", (double)plan->host_bytes);
    vkft_json_put_number(json, "bus_bytes_per_micro_batch", (double)plan->bus_bytes);
    vkft_json_put_number(json, "max_tokens", plan->limits.batch.tokens);
    return cli_print_json(vkft_json_made(json));
}

static void print_item(const char *name, uint64_t bytes)
{
    printf("%-24s %16llu %10.3f\n", name, (unsigned long long)bytes, gib(bytes));
}

static void print_device(const vkft_train_plan *plan)
{
    if (plan->no_device.kind) {
        printf("no device to compare with: %s\n", plan->no_device.message);
        return;
    }
    const vkft_device_info *info = &plan->device;
    printf("%s: %.3f GiB free of %.3f GiB: %s\n", info->name, gib(info->memory_free_bytes), gib(info->memory_bytes),
           plan->fits ? "fits" : "does not fit");
    if (!plan->fits)
        printf("%s\n", plan->why_not.message);
    if (plan->fitting_length)
        printf("would fit: --batch-size 1 --max-seq-length %u --gradient-checkpointing\n", plan->fitting_length);
    else if (!plan->fits)
        printf("no --max-seq-length makes it fit; try a smaller model, a lower --lora-r, or another --device\n");
}

static int print_text_plan(const vkft_train_plan *plan)
{
    const vkft_memory_plan *memory = &plan->memory;
    printf("%-24s %16s %10s\n", "memory plan", "bytes", "GiB");
    for (uint32_t i = 0; i < memory->count; i++)
        print_item(memory->items[i].name, memory->items[i].bytes);
    print_item("device total", memory->device_bytes);
    print_item("host total", memory->host_bytes);
    printf("for batches of at most %u tokens, %u of them trained; %llu trained parameters\n",
           memory->limits.batch.tokens, memory->limits.batch.rows, (unsigned long long)plan->parameters);
    if (memory->bus_bytes)
        printf("moved over the bus for each micro batch: %.3f GiB, which takes %.2f s at 12 GB/s (PCIe 3.0 x16)\n",
               gib(memory->bus_bytes), (double)memory->bus_bytes / 12e9);
    print_device(plan);
    return EXIT_SUCCESS;
}

int train_print_plan(const vkft_train_plan *plan, const char *name, bool json)
{
    if (json)
        return print_json_plan(&plan->memory, name);
    if (name)
        printf("\n%s\n", name);
    return print_text_plan(plan);
}
