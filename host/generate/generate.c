/* One text, from the prompt on. */
#include "host/generate/generate.h"

#include <stdlib.h>
#include <string.h>

#include "formats/dataset/prompt.h"
#include "host/generate/generator.h"
#include "host/session/as_trained.h"

static bool encode_prompt(const vkft_generate_options *o, const vkft_session *session, vkft_ids *ids, vkft_err *err)
{
    const vkft_tokenizer *tok = session->text.tokenizer;
    if (!o->prompt) {
        for (uint32_t i = 0; i < o->id_count; i++) {
            if (o->ids[i] < 0 || (uint32_t)o->ids[i] >= session->config->vocab_size)
                return vkft_fail(err, VKFT_ERR_INPUT, "token id %d is outside the vocabulary of %u", o->ids[i],
                                 session->config->vocab_size);
            if (!vkft_ids_push(ids, o->ids[i], err))
                return false;
        }
    } else if (!tok) {
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s has no tokenizer.json, so a text prompt cannot be encoded; give --prompt-ids",
                         o->model.path);
    } else {
        char *wrapped = o->instruction ? vkft_instruction_prompt(o->prompt, NULL) : NULL;
        const char *text = wrapped ? wrapped : o->prompt;
        bool whole = !o->add_special_tokens || session->config->encoder_layers > 0;
        bool ok = whole ? vkft_tokenizer_encode(tok, text, strlen(text), o->add_special_tokens, ids, err)
                        : vkft_tokenizer_encode_prompt(tok, text, strlen(text), ids, err);
        free(wrapped);
        if (!ok)
            return false;
        return vkft_generator_check_ids(session, ids, err);
    }
    return true;
}

static bool start(vkft_session *session, const vkft_batch_limits *limits, const vkft_observer *observer, vkft_err *err)
{
    vkft_memory_plan plan;
    return vkft_session_plan_offload(session, &(vkft_limits){.batch = *limits}, &plan, observer, err) &&
           vkft_session_start(session, &plan, observer, err);
}

bool vkft_generate(const vkft_generate_options *options, const vkft_generate_observer *observer,
                   vkft_generate_result *result, vkft_err *err)
{
    vkft_session session;
    vkft_generator gen = {0};
    vkft_ids prompt = {0};
    vkft_batch_limits limits;
    *result = (vkft_generate_result){0};
    if (!vkft_session_open_as_trained(&session, &options->model, options->adapter, NULL, &observer->general, err))
        return false;
    bool ok = encode_prompt(options, &session, &prompt, err) && vkft_generator_open(&gen, &session, err) &&
              vkft_generator_begin(&gen, options, observer, prompt.data, prompt.count, &limits, err) &&
              start(&session, &limits, &observer->general, err) && vkft_generator_produce(&gen, result, err);
    if (!ok)
        vkft_observer_failing(&observer->general, err);
    vkft_ids_free(&prompt);
    vkft_generator_close(&gen);
    vkft_session_close(&session);
    return ok;
}
