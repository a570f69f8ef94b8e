/* See speaker.h. The adapter comes and goes with the session: whatever the adapter's method does to the model's layout
 * is done by opening it, and undone by closing it. Rejected: parameters that are zero, which for IA3 and for modules
 * that were trained whole is another model. */
#include "host/chat/speaker.h"

#include "host/session/as_trained.h"
#include "runtime/base/size.h"

/* Whether the model can be talked to at all. */
static bool check_model(const vkft_session *session, vkft_err *err)
{
    const char *name = vkft_session_model_name(session);
    if (session->config->encoder_layers)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s has an encoder and no conversations: 'vkft generate' answers single prompts", name);
    if (!session->text.tokenizer)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s has no tokenizer.json, so no text can be said to it", name);
    return session->text.chat ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: %s; give the one that it was trained with as --chat-template FILE, or let 'vkft generate' "
                     "continue plain text",
                     name, session->text.chat_error ? session->text.chat_error : "the model has no chat template");
}

static bool choose_context(vkft_speaker *speaker, vkft_err *err)
{
    uint32_t limit = speaker->session.config->max_position;
    if (speaker->context > limit)
        return vkft_fail(err, VKFT_ERR_INPUT, "--context: the model has %u positions, found %u", limit,
                         speaker->context);
    if (!speaker->context)
        speaker->context = min_u32(limit, VKFT_DEFAULT_CONTEXT);
    return true;
}

/* The session is open. */
static bool start(vkft_speaker *speaker, const vkft_observer *observer, vkft_err *err)
{
    vkft_session *session = &speaker->session;
    const vkft_limits limits = {.batch = vkft_generator_limits(speaker->context)};
    vkft_memory_plan plan;
    if (!vkft_generator_open(&speaker->generator, session, err))
        return false;
    speaker->generator.keeps = true;
    speaker->generator.max_positions = speaker->context;
    return vkft_session_plan_offload(session, &limits, &plan, observer, err) &&
           vkft_session_start(session, &plan, observer, err);
}

bool vkft_speaker_open(vkft_speaker *speaker, const vkft_model_options *model, const char *adapter, uint32_t context,
                       const vkft_observer *observer, vkft_err *err)
{
    *speaker = (vkft_speaker){.adapter = adapter, .adapted = adapter != NULL, .context = context};
    speaker->open = vkft_session_open_as_trained(&speaker->session, model, adapter, &speaker->base, observer, err);
    if (!speaker->open || !check_model(&speaker->session, err) || !choose_context(speaker, err) ||
        !start(speaker, observer, err))
        return false;
    speaker->options = speaker->session.options;
    return true;
}

static void close_session(vkft_speaker *speaker)
{
    vkft_generator_close(&speaker->generator);
    if (speaker->open)
        vkft_session_close(&speaker->session);
    speaker->open = false;
}

void vkft_speaker_close(vkft_speaker *speaker)
{
    close_session(speaker);
    vkft_base_close(&speaker->base);
}

bool vkft_speaker_use_adapter(vkft_speaker *speaker, bool adapted, const vkft_observer *observer, vkft_err *err)
{
    if (speaker->open && speaker->adapted == adapted)
        return true;
    const vkft_observer silent = {.context = observer->context, .interrupted = observer->interrupted};
    const vkft_session_source source = {.model = speaker->options, .base = &speaker->base};
    close_session(speaker);
    speaker->adapted = adapted;
    speaker->open = vkft_session_open(&speaker->session, &source, &silent, err);
    return speaker->open &&
           vkft_session_use_adapter(&speaker->session, adapted ? speaker->adapter : NULL, &silent, err) &&
           start(speaker, &silent, err);
}

bool vkft_speaker_encode(const vkft_speaker *speaker, const cJSON *messages, vkft_ids *ids, vkft_err *err)
{
    const vkft_session *session = &speaker->session;
    const vkft_conversation conversation = {.messages = messages};
    vkft_jinja_output out = {0};
    bool ok = vkft_chat_template_render(session->text.chat, &conversation, true, &out, err) &&
              vkft_tokenizer_encode(session->text.tokenizer, out.text.data ? out.text.data : "", out.text.length, false,
                                    ids, err) &&
              vkft_generator_check_ids(session, ids, err);
    vkft_jinja_output_free(&out);
    return ok;
}
