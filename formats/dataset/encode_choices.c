/* The samples whose likelihoods are compared: a prompt with each of the answers that it could have, without an end, as
 * lm-evaluation-harness scores them. An answer begins where the ids of the whole first differ from the prompt's. */
#include <string.h>

#include "formats/dataset/encode_private.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

/* The conversation but for its last message, and what comes before an answer. */
static bool render_prompt(const builder *b, const vkft_conversation *conversation, vkft_text *prompt, vkft_err *err)
{
    vkft_jinja_output out = {0};
    vkft_conversation before = *conversation;
    cJSON *messages = cJSON_Duplicate(conversation->messages, true);
    if (!messages)
        return vkft_fail_memory(err, "for a conversation");
    cJSON_DeleteItemFromArray(messages, cJSON_GetArraySize(messages) - 1);
    before.messages = messages;
    bool ok = vkft_chat_template_render(b->encoder->options->chat, &before, true, &out, err) &&
              vkft_text_append(prompt, out.text.data ? out.text.data : "", out.text.length, err);
    vkft_jinja_output_free(&out);
    cJSON_Delete(messages);
    return ok;
}

/* The ids of a prompt, or of a prompt with an answer; of a conversation without further special tokens. */
static bool encode_whole(const builder *b, bool chat, const vkft_text *text, vkft_ids *ids, vkft_err *err)
{
    return chat ? vkft_tokenizer_encode(b->encoder->tok, text->data, text->length, false, ids, err)
                : builder_encode_prompt(b, text->data, ids, err);
}

/* The prompt and an answer after each other. */
static bool add_joined(builder *b, bool chat, const vkft_text *prompt, const char *separator, const char *answer,
                       vkft_err *err)
{
    vkft_ids alone = {0};
    vkft_text whole = {0};
    uint32_t first = b->out->ids.count;
    bool ok = vkft_text_append(&whole, prompt->data, prompt->length, err) &&
              vkft_text_append(&whole, separator, strlen(separator), err) &&
              vkft_text_append(&whole, answer, strlen(answer), err) && encode_whole(b, chat, prompt, &alone, err) &&
              encode_whole(b, chat, &whole, &b->out->ids, err);
    const vkft_ids *ids = &b->out->ids;
    for (uint32_t i = 0; ok && i < alone.count && first + i < ids->count && alone.data[i] == ids->data[first + i]; i++)
        ok = vkft_ids_push(&b->out->labels, VKFT_IGNORE_LABEL, err);
    vkft_text_free(&whole);
    vkft_ids_free(&alone);
    return ok && builder_label(b, false, err);
}

/* The prompt for the encoder, an answer for the decoder. *source_length: of the prompt. */
static bool add_apart(builder *b, const vkft_text *prompt, const char *answer, uint32_t *source_length, vkft_err *err)
{
    uint32_t first = b->out->ids.count;
    if (!builder_encode(b, prompt->data, true, err))
        return false;
    *source_length = b->out->ids.count - first;
    return vkft_ids_push(&b->out->ids, b->encoder->options->decoder_start_id, err) && builder_label(b, true, err) &&
           builder_encode(b, answer, false, err) && builder_label(b, false, err);
}

static uint32_t characters_of(const char *text)
{
    uint32_t count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

/* Ends the sample that begins at `first`. *why: why it cannot be scored; VKFT_BAD_REASONS: it can. */
static bool end_sample(builder *b, uint32_t first, uint32_t source_length, const char *answer, vkft_bad_reason *why,
                       vkft_err *err)
{
    const vkft_encoded_row *out = b->out;
    uint32_t length = out->ids.count - first, longest = b->encoder->options->max_seq_length, trained = 0;
    for (uint32_t i = 1; i < length; i++)
        trained += out->labels.data[first + i] >= 0;
    *why = length - source_length > longest || source_length > longest        ? VKFT_BAD_LONG_PROMPT
           : trained == 0 || (!source_length && out->labels.data[first] >= 0) ? VKFT_BAD_EMPTY
                                                                              : VKFT_BAD_REASONS;
    return *why != VKFT_BAD_REASONS ||
           builder_put_sample(b,
                              (vkft_encoded_sample){
                                  .length = length,
                                  .source_length = source_length,
                                  .trained = trained,
                                  .answer = VKFT_ANSWER_CHOICE,
                                  .choice = {.characters = characters_of(answer), .bytes = (uint32_t)strlen(answer)}},
                              err);
}

bool builder_add_alternatives(builder *b, const vkft_example *example, uint32_t first, uint32_t before, vkft_err *err)
{
    const vkft_alternatives *all = example->alternatives;
    vkft_bad_reason why = VKFT_BAD_REASONS;
    vkft_text prompt = {0};
    bool chat = all->prompt == NULL, ok = chat ? render_prompt(b, &example->conversation, &prompt, err)
                                               : vkft_text_append(&prompt, all->prompt, strlen(all->prompt), err);
    for (uint32_t i = 0; ok && why == VKFT_BAD_REASONS && i < all->count; i++) {
        uint32_t begin = b->out->ids.count, source_length = 0;
        ok = (b->encoder->options->encoder_decoder
                  ? add_apart(b, &prompt, all->text[i], &source_length, err)
                  : add_joined(b, chat, &prompt, chat ? "" : all->separator, all->text[i], err)) &&
             end_sample(b, begin, source_length, all->text[i], &why, err);
    }
    vkft_text_free(&prompt);
    if (ok && why != VKFT_BAD_REASONS) {
        b->out->count = before;
        return builder_reject(b, first, why, err,
                              why == VKFT_BAD_EMPTY ? "the prompt or a choice has no token"
                                                    : "the prompt with a choice has more than the maximum of %u tokens",
                              b->encoder->options->max_seq_length);
    }
    b->out->samples[before].choice = (vkft_choice_facts){.count = all->count, .right = all->right};
    return ok && builder_check_ids(b, first, err);
}
