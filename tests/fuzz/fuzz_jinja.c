/* Templates from a stranger: the input is the template, rendered with a fixed conversation. */
#include <stdlib.h>
#include <string.h>

#include "formats/jinja/jinja.h"

static const char variables_json[] = "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", "
                                     "\"content\": \"\\u00e9\\ud83d\\ude00 x\"}, {\"role\": \"assistant\","
                                     " \"content\": null, \"tool_calls\": [{\"function\": {\"name\": \"f\", "
                                     "\"arguments\": {\"a\": [1, 2.5, true]}}}]}], \"tools\": null,"
                                     " \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"add_generation_prompt\": "
                                     "true, \"l\": [3, 1, 2], \"d\": {\"k\": 1}, \"n\": 7}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cJSON *variables;
    if (!variables)
        variables = cJSON_Parse(variables_json);
    vkft_err err = {0};
    vkft_jinja *t = vkft_jinja_new((const char *)data, size, "template", &err);
    vkft_jinja_output out = {0};
    if (t && vkft_jinja_render(t, variables, "messages", 1700000000, &out, &err))
        for (uint32_t i = 0; i < out.generated_count; i++)
            if (out.generated[i].begin > out.generated[i].end || out.generated[i].end > out.text.length)
                abort();
    vkft_jinja_output_free(&out);
    vkft_jinja_free(t);
    return 0;
}
