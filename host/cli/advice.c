/* Each row is one way out, offered by the commands that have its flag. */
#include "host/cli/advice.h"

#include <string.h>

static const struct {
    vkft_advice advice;
    const char *flag, *words;
} ways[] = {
    {VKFT_ADVICE_LESS_MEMORY, "batch-size", "lower --batch-size"},
    {VKFT_ADVICE_LESS_MEMORY, "max-seq-length", "lower --max-seq-length"},
    {VKFT_ADVICE_LESS_MEMORY, "lora-r", "lower --lora-r"},
    {VKFT_ADVICE_LESS_MEMORY, "max-new-tokens", "lower --max-new-tokens"},
    {VKFT_ADVICE_LESS_MEMORY, "offload", "use --offload weights"},
    {VKFT_ADVICE_LESS_MEMORY, "device", "choose another --device"},
    {VKFT_ADVICE_LESS_FOR_A_SAMPLE, "max-seq-length", "lower --max-seq-length"},
    {VKFT_ADVICE_LESS_FOR_A_SAMPLE, "lora-r", "lower --lora-r"},
    {VKFT_ADVICE_LESS_FOR_A_SAMPLE, "offload", "use --offload weights"},
    {VKFT_ADVICE_LESS_FOR_A_SAMPLE, "device", "choose another --device"},
    {VKFT_ADVICE_LONGER_SAMPLES, "max-seq-length", "raise --max-seq-length"},
    {VKFT_ADVICE_WHOLE_SAMPLES, "mask-prompt", "train on everything with --no-mask-prompt"},
    {VKFT_ADVICE_GIVE_TEMPLATE, "chat-template", "give one with --chat-template FILE"},
    {VKFT_ADVICE_NAME_KEYS, "data-keys", "give other names with --data-keys"},
    {VKFT_ADVICE_CHOSEN_ANSWERS, "objective", "train on preferences with --objective dpo (or orpo, simpo)"},
    {VKFT_ADVICE_CHOSEN_ANSWERS, "data-keys",
     "learn the chosen answers alone with --data-keys completion=chosen (messages=chosen for whole conversations)"},
    {VKFT_ADVICE_SKIP_ROWS, "on-bad-row", "leave such rows out with --on-bad-row skip"},
    {VKFT_ADVICE_KEEP_QUANTIZATION, "quant", "or use --quant nf4, which keeps it"},
    {VKFT_ADVICE_GIVE_ADAPTER, "adapter", "give the model as --model and the adapter as --adapter"},
    {VKFT_ADVICE_GIVE_ADAPTER, "init-adapter", "give the model as --model and the adapter as --init-adapter"},
};

static bool has_flag(const flag_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->flags[i].kind != FLAG_HEADING && strcmp(table->flags[i].name, name) == 0)
            return true;
    return false;
}

void advice_text(const flag_table *table, vkft_advice advice, char *text, size_t size)
{
    const char *offered[sizeof ways / sizeof *ways];
    size_t count = 0, length = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (ways[i].advice == advice && has_flag(table, ways[i].flag))
            offered[count++] = ways[i].words;
    text[0] = 0;
    for (size_t i = 0; i < count && length < size; i++) {
        const char *before = i == 0 ? "; " : i + 1 < count ? ", " : " or ";
        length += (size_t)snprintf(text + length, size - length, "%s%s", before, offered[i]);
    }
}
