/* The samples of a prompt's answers, tokenized as TRL does it: the prompt alone, and the prompt with each answer; an
 * answer begins where the ids of these first differ from the prompt's. What is too long loses its end. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/encode_private.h"
#include "runtime/base/json.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

/* A prompt, and the prompt with each answer. */
typedef struct choice_ids {
    vkft_ids prompt, whole[2];
} choice_ids;

static bool encode_texts(const builder *b, const vkft_choice *choice, choice_ids *ids, vkft_err *err)
{
    bool ok = builder_encode_prompt(b, choice->prompt, &ids->prompt, err);
    for (uint32_t i = 0; ok && i < choice->answers; i++) {
        vkft_text text = {0};
        ok = vkft_text_append(&text, choice->prompt, strlen(choice->prompt), err) &&
             vkft_text_append(&text, choice->text[i], strlen(choice->text[i]), err) &&
             builder_encode_prompt(b, text.data ? text.data : "", &ids->whole[i], err) &&
             builder_end_with_eos(b, &ids->whole[i], 0, err);
        vkft_text_free(&text);
    }
    return ok;
}

static bool encode_messages(const builder *b, const vkft_choice *choice, const cJSON *messages, bool prompt,
                            vkft_ids *ids, vkft_err *err)
{
    vkft_jinja_output out = {0};
    const vkft_conversation conversation = {
        .messages = messages, .tools = choice->tools, .variables = choice->variables};
    bool ok =
        vkft_chat_template_render(b->encoder->options->chat, &conversation, prompt, &out, err) &&
        vkft_tokenizer_encode(b->encoder->tok, out.text.data ? out.text.data : "", out.text.length, false, ids, err);
    vkft_jinja_output_free(&out);
    return ok;
}

/* The prompt's messages and those of an answer; answer NULL: the prompt's. NULL: out of memory. */
static cJSON *joined(const cJSON *prompt, const cJSON *answer, bool give_ids)
{
    bool given;
    vkft_err err = {0};
    cJSON *all = cJSON_Duplicate(prompt, true);
    const cJSON *message;
    cJSON_ArrayForEach(message, answer)
    {
        cJSON *copy = all ? cJSON_Duplicate(message, true) : NULL;
        if (!copy || !cJSON_AddItemToArray(all, copy)) {
            cJSON_Delete(copy);
            cJSON_Delete(all);
            return NULL;
        }
    }
    if (all && give_ids && !vkft_chat_give_call_ids(all, &given, &err)) {
        cJSON_Delete(all);
        all = NULL;
    }
    return all;
}

static bool encode_lists(const builder *b, const vkft_choice *choice, bool give_ids, choice_ids *ids, vkft_err *err)
{
    vkft_ids *to[] = {&ids->prompt, &ids->whole[0], &ids->whole[1]};
    bool ok = true;
    for (uint32_t i = 0; ok && i <= choice->answers; i++) {
        cJSON *messages = joined(choice->messages, i ? choice->list[i - 1] : NULL, give_ids);
        to[i]->count = 0;
        ok = messages ? encode_messages(b, choice, messages, i == 0, to[i], err)
                      : vkft_fail_memory(err, "for a conversation");
        cJSON_Delete(messages);
    }
    return ok;
}

static bool encode_rows(const vkft_choice *choice, choice_ids *ids, char bad[120], vkft_err *err)
{
    static const char *const names[2][2] = {{"chosen", "rejected"}, {"completion", NULL}};
    static const char *const endings[] = {"_ids", "_input_ids"};
    vkft_ids *to[] = {&ids->prompt, &ids->whole[0], &ids->whole[1]};
    bad[0] = 0;
    for (uint32_t i = 0; i <= choice->answers; i++) {
        const char *name = i ? names[choice->answers == 1][i - 1] : "prompt";
        const cJSON *array = NULL;
        char key[40];
        for (size_t e = 0; e < 2 && !array; e++) {
            snprintf(key, sizeof key, "%s%s", name, endings[e]);
            array = vkft_json_member(choice->row, key);
        }
        for (uint32_t p = 0; i && p < ids->prompt.count; p++)
            if (!vkft_ids_push(to[i], ids->prompt.data[p], err))
                return false;
        if (!builder_push_numbers(array, key, to[i], bad, err))
            return false;
        if (bad[0])
            return true;
    }
    return true;
}

/* How many ids the prompt and all of its answers begin with. */
static uint32_t common_ids(const choice_ids *ids, uint32_t answers)
{
    uint32_t common = ids->prompt.count;
    for (uint32_t i = 0; i < answers; i++) {
        const vkft_ids *whole = &ids->whole[i];
        uint32_t n = 0;
        while (n < common && n < whole->count && whole->data[n] == ids->prompt.data[n])
            n++;
        common = n;
    }
    return common;
}

static bool put_answer(builder *b, const vkft_ids *whole, uint32_t prompt, vkft_answer answer, vkft_err *err)
{
    const vkft_dataset_options *o = b->encoder->options;
    uint32_t length = min_u32(whole->count, o->max_seq_length), trained = 0;
    bool all = o->learn_chosen_prompt && answer == VKFT_ANSWER_CHOSEN;
    for (uint32_t i = 0; i < length; i++) {
        bool labelled = all || i >= prompt;
        trained += labelled && i > 0;
        if (!vkft_ids_push(&b->out->ids, whole->data[i], err) ||
            !vkft_ids_push(&b->out->labels, labelled ? whole->data[i] : VKFT_IGNORE_LABEL, err))
            return false;
    }
    return builder_put_sample(b,
                              (vkft_encoded_sample){.length = length,
                                                    .trained = trained,
                                                    .dropped = whole->count - length,
                                                    .prompt_length = prompt,
                                                    .answer = answer},
                              err);
}

static bool put_choice(builder *b, const vkft_choice *choice, const choice_ids *ids, vkft_err *err)
{
    const vkft_dataset_options *o = b->encoder->options;
    uint32_t prompt = common_ids(ids, choice->answers), first = b->out->ids.count, max_length = o->max_seq_length;
    for (uint32_t i = 0; i < choice->answers; i++) {
        uint32_t all = ids->whole[i].count;
        if (all > max_length && o->drop_long_rows)
            return builder_reject(b, first, VKFT_BAD_TOO_LONG, err, "%u tokens, the maximum is %u", all, max_length);
        if (prompt >= max_length)
            return builder_reject(b, first, VKFT_BAD_LONG_PROMPT, err, "the prompt has %u tokens, the maximum is %u",
                                  prompt, max_length);
        if (all <= max_u32(prompt, 1))
            return builder_reject(b, first, VKFT_BAD_EMPTY, err, "an answer without a token");
    }
    for (uint32_t i = 0; i < choice->answers; i++) {
        bool chosen = choice->answers == 2 ? i == 0 : choice->desired;
        if (!put_answer(b, &ids->whole[i], prompt, chosen ? VKFT_ANSWER_CHOSEN : VKFT_ANSWER_REJECTED, err))
            return false;
    }
    return builder_check_ids(b, first, err);
}

bool builder_add_choice(builder *b, const vkft_choice *choice, vkft_err *err)
{
    choice_ids ids = {0};
    char bad[120] = "";
    vkft_err failure = {0};
    bool ok, given = false;
    if (choice->row) {
        ok = encode_rows(choice, &ids, bad, &failure);
    } else if (choice->prompt) {
        ok = encode_texts(b, choice, &ids, &failure);
    } else if (!builder_need_template(b->encoder, b->place, err)) {
        return false;
    } else {
        ok = encode_lists(b, choice, false, &ids, &failure);
        vkft_err other = {0};
        if (!ok && failure.kind == VKFT_ERR_INPUT)
            ok = given = encode_lists(b, choice, true, &ids, &other);
    }
    uint32_t first = b->out->ids.count, before = b->out->count;
    if (!ok && failure.kind == VKFT_ERR_INPUT) {
        ok = builder_reject(b, first, VKFT_BAD_CONVERSATION, err, "%s", failure.message);
    } else if (!ok) {
        if (err)
            *err = failure;
        vkft_fail_context(err, "%s", b->place);
    } else {
        ok = bad[0] ? builder_reject(b, first, VKFT_BAD_VALUE, err, "%s", bad) : put_choice(b, choice, &ids, err);
    }
    if (ok && b->out->count > before)
        b->out->samples[before].made_call_ids = given;
    vkft_ids_free(&ids.prompt);
    vkft_ids_free(&ids.whole[0]);
    vkft_ids_free(&ids.whole[1]);
    return ok;
}
