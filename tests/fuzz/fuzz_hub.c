/* What servers answer to requests for a name on the hub: heads, line by line, or after a zero byte a list of files, of
 * which those for a model are chosen. */
#include <stdlib.h>
#include <string.h>

#include "host/hub/choice.h"
#include "host/hub/http/answer.h"

static void read_list(const char *text, size_t size)
{
    static const char *const names[] = {"o/n", "o/n:Q4_K_M", "o/n:a"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        vkft_err err = {0};
        vkft_hub_wish wish = {.text = names[i]};
        vkft_hub_listing l;
        if (!vkft_hub_name_parse(names[i], VKFT_HUB_MODEL, &wish.name))
            abort();
        if (!vkft_hub_listing_parse(text, size, &wish.name, &l, &err)) {
            if (!err.message[0] || l.files || strchr(err.message, '\n'))
                abort();
            return;
        }
        for (uint32_t f = 0; f < l.count; f++)
            if (!vkft_hub_is_path(l.files[f].path) || strchr(l.files[f].hash, '/'))
                abort(); /* it could lead out of the cache */
        if (vkft_hub_choose_first(&wish, &l, &err))
            vkft_hub_chosen_gguf(&wish, &l);
        else if (!err.message[0])
            abort();
        vkft_hub_listing_free(&l);
    }
}

static void read_head(const char *text, size_t size)
{
    vkft_hub_answer answer = {0};
    vkft_err err = {0};
    const vkft_hub_settings settings = {.endpoint = (char *)(uintptr_t) "https://hub"};
    for (size_t at = 0, n; at < size; at += n) {
        const char *end = memchr(text + at, '\n', size - at);
        n = end ? (size_t)(end - text) - at + 1 : size - at;
        vkft_hub_head_line(&answer, text + at, n);
    }
    vkft_hub_fail_answer(&settings, "o/n", &answer, &err);
    if (!err.message[0] || strchr(err.message, '\n'))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size && data[0] == 0)
        read_list((const char *)data + 1, size - 1);
    else
        read_head((const char *)data, size);
    return 0;
}
