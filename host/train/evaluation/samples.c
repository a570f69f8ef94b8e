/* See samples.h. */
#include "host/train/evaluation/samples.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"

#define SHOWN 4           /* prompts on the terminal */
#define SHOWN_BYTES "240" /* of each text there */

bool vkft_samples_open(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    if (!vkft_prompts_read(o->sample_prompts, &o->data, &t->session.text, t->session.config->encoder_layers != 0,
                           &t->prompts, err))
        return false;
    for (uint32_t i = 0; i < t->prompts.count; i++)
        if (!vkft_answers_expect(&t->answerer, t->prompts.list[i].ids.data, t->prompts.list[i].ids.count, err))
            return vkft_fail_context(err, "--sample-prompts: prompt %u", i + 1);
    t->base_answers = calloc(t->prompts.count, sizeof *t->base_answers);
    return t->base_answers || vkft_fail_memory(err, "for the answers to --sample-prompts");
}

void vkft_samples_close(vkft_trainer *t)
{
    for (uint32_t i = 0; t->base_answers && i < t->prompts.count; i++)
        vkft_text_free(&t->base_answers[i]);
    free(t->base_answers);
    vkft_prompts_free(&t->prompts);
}

static bool answer(vkft_trainer *t, uint32_t i, vkft_text *text, vkft_err *err)
{
    const vkft_prompts *prompts = &t->prompts;
    vkft_observer_work(t->observer, "sample prompts", i + 1, prompts->count);
    return vkft_answers_give(&t->answerer, prompts->list[i].ids.data, prompts->list[i].ids.count, text, err);
}

bool vkft_samples_begin(vkft_trainer *t, vkft_err *err)
{
    for (uint32_t i = 0; i < t->prompts.count; i++)
        if (!answer(t, i, &t->base_answers[i], err))
            return false;
    return true;
}

cJSON *vkft_samples_take(vkft_trainer *t, vkft_err *err)
{
    const vkft_prompts *prompts = &t->prompts;
    bool failed = false, ok = true;
    vkft_json_node rows = vkft_json_make_array(&failed);
    for (uint32_t i = 0; ok && i < prompts->count; i++) {
        vkft_text now = {0};
        if ((ok = answer(t, i, &now, err))) {
            vkft_json_node row = vkft_json_put_object(rows, NULL);
            vkft_json_put_number(row, "step", (double)t->state.step);
            vkft_json_put_string(row, "prompt", prompts->list[i].text);
            vkft_json_put_string(row, "base", t->base_answers[i].data);
            vkft_json_put_string(row, "adapter", now.data);
        }
        vkft_text_free(&now);
    }
    cJSON *made = vkft_json_made(rows);
    if (ok && !made)
        vkft_fail_memory(err, "for the answers to --sample-prompts");
    if (ok)
        return made;
    cJSON_Delete(made);
    return NULL;
}

static void say(const vkft_trainer *t, const cJSON *row, const char *key)
{
    const char *text = cJSON_GetObjectItem(row, key)->valuestring;
    vkft_text quoted = {0};
    if (vkft_json_write_string(text, strlen(text), &quoted, NULL))
        vkft_observer_say(t->observer, "  %-7s %." SHOWN_BYTES "s", key, quoted.data);
    vkft_text_free(&quoted);
}

bool vkft_samples_keep(const vkft_trainer *t, const cJSON *rows, vkft_err *err)
{
    const uint32_t count = t->prompts.count;
    uint32_t shown = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        if (shown++ == SHOWN)
            break;
        say(t, row, "prompt");
        say(t, row, "base");
        say(t, row, "adapter");
    }
    if (count > SHOWN)
        vkft_observer_say(t->observer, "  %u more prompts: %s/" VKFT_SAMPLES_NAME, count - SHOWN, t->run.path);
    return vkft_run_samples_add(&t->run, rows, err);
}
