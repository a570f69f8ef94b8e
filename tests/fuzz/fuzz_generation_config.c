/* generation_config.json of a stranger's checkpoint: an error, or settings within their ranges. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config/generation_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* NaN: not said. */
static bool within(double value, double lowest, double highest)
{
    return isnan(value) || (value >= lowest && value <= highest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); /* exactly as long as the content */
    if (size)
        memcpy(text, data, size);
    vkft_err err = {0};
    vkft_generation_config c = vkft_generation_config_none();
    bool ok = vkft_generation_config_parse(text, size, "generation_config.json", &c, &err);
    if (!ok && !err.message[0])
        abort();
    if (ok && (!within(c.temperature, 0, INFINITY) || !within(c.top_p, 0, 1) || !within(c.top_k, 0, INT32_MAX) ||
               !within(c.min_p, 0, 1) || !(c.repetition_penalty > 0) || isinf((float)c.repetition_penalty)))
        abort();
    if (ok && (c.eos_count > VKFT_MAX_EOS || strlen(c.ignored) >= sizeof c.ignored))
        abort();
    if (ok && c.bad_words.count && c.bad_words.ids[c.bad_words.count - 1] != -1)
        abort(); /* the last sequence has no end */
    if (ok && c.stop_strings.length && c.stop_strings.data[c.stop_strings.length - 1])
        abort();
    vkft_generation_config_free(&c);
    free(text);
    return 0;
}
