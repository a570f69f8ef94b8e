/* A chat template, a conversation {"messages": ..., "tools": ..., "variables": ..., "untrained": ...} and
 * tokenizer_config.json, a zero byte between each: rendered, encoded and masked. The ids are those of the rendered
 * text, and the turns that are trained are within all that are. */
#include <stdlib.h>
#include <string.h>

#include "formats/chat/chat_template.h"
#include "formats/chat/model_text.h"
#include "runtime/base/json.h"
#include "tests/fuzz/common/parts.h"

typedef struct masked {
    vkft_ids ids;
    uint8_t *mask;
    bool ok;
} masked;

static masked encode(const vkft_chat_template *chat, const vkft_tokenizer *tok, const vkft_conversation *c,
                     vkft_train_on train_on)
{
    masked m = {0};
    vkft_err err = {0};
    m.ok = vkft_chat_template_encode(chat, tok, c, train_on, &m.ids, &m.mask, &err);
    if (!m.ok && (!err.message[0] || m.mask))
        abort();
    for (uint32_t i = 0; m.ok && i < m.ids.count; i++)
        if (m.mask[i] > 1)
            abort();
    return m;
}

static void free_masked(masked *m)
{
    vkft_ids_free(&m->ids);
    free(m->mask);
}

static bool same_ids(const vkft_ids *a, const vkft_ids *b)
{
    return a->count == b->count && (!a->count || memcmp(a->data, b->data, a->count * sizeof *a->data) == 0);
}

static void check_mask(const vkft_chat_template *chat, const vkft_tokenizer *tok, const vkft_conversation *c,
                       const vkft_text *rendered)
{
    vkft_err err;
    vkft_ids ids = {0};
    masked all = encode(chat, tok, c, VKFT_TRAIN_ON_ASSISTANT), last = encode(chat, tok, c, VKFT_TRAIN_ON_LAST);
    if (!vkft_tokenizer_encode(tok, rendered->data ? rendered->data : "", rendered->length, false, &ids, &err))
        abort();
    if ((all.ok && !same_ids(&all.ids, &ids)) || (last.ok && !same_ids(&last.ids, &ids)))
        abort();
    for (uint32_t i = 0; all.ok && last.ok && i < ids.count; i++)
        if (last.mask[i] > all.mask[i])
            abort();
    vkft_ids_free(&ids);
    free_masked(&all);
    free_masked(&last);
}

static void use(const vkft_chat_template *chat, const vkft_tokenizer *tok, const cJSON *root)
{
    vkft_err err = {0};
    char unused[100] = "";
    uint8_t untrained[256] = {0};
    const cJSON *messages = vkft_json_member(root, "messages"), *flag;
    vkft_conversation c = {.messages = messages,
                           .tools = vkft_json_member(root, "tools"),
                           .variables = vkft_json_member(root, "variables")};
    uint32_t count = 0;
    cJSON_ArrayForEach(flag, vkft_json_member(root, "untrained"))
    {
        untrained[count % sizeof untrained] = cJSON_IsTrue(flag) ? 1 : 0;
        count++;
    }
    if (!cJSON_IsArray(messages) || cJSON_GetArraySize(messages) > (int)sizeof untrained)
        return; /* what rows are checked for before */
    c.untrained = count ? untrained : NULL;
    for (int prompt = 0; prompt < 2; prompt++) {
        vkft_jinja_output out = {0};
        if (vkft_chat_template_render(chat, &c, prompt, &out, &err) && !prompt)
            check_mask(chat, tok, &c, &out.text);
        vkft_jinja_output_free(&out);
    }
    vkft_chat_template_unused(chat, &c, unused, sizeof unused);
}

/* The next part of the input, exactly as long as it is; NULL: there is none. */
static char *next_part(const uint8_t **data, size_t *size, size_t *length)
{
    *length = text_length(*data, *size);
    char *part = *size ? malloc(*length ? *length : 1) : NULL;
    if (part && *length)
        memcpy(part, *data, *length);
    size_t used = *length < *size ? *length + 1 : *size;
    *data += used;
    *size -= used;
    return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static vkft_model_text model;
    vkft_err err = {0};
    vkft_chat_template *chat;
    vkft_chat_sources sources = {.jinja_name = "template"};
    size_t length = 0;
    if (!model.tokenizer && !vkft_model_text_open(VKFT_PROJECT_DIR "/tools/bundled/model", NULL, &model, &err))
        abort();
    char *jinja = next_part(&data, &size, &sources.jinja_length), *conversation = next_part(&data, &size, &length);
    char *config = next_part(&data, &size, &sources.tokenizer_config_length);
    sources.jinja = sources.jinja_length ? jinja : NULL;
    sources.tokenizer_config = config;
    cJSON *root = conversation ? vkft_json_parse_exact(conversation, length, "conversation", 1, &err) : NULL;
    if (root && vkft_chat_template_new(&sources, &chat, &err)) {
        if (chat)
            use(chat, model.tokenizer, root);
        vkft_chat_template_free(chat);
    } else if (conversation && !err.message[0]) {
        abort();
    }
    cJSON_Delete(root);
    free(jinja);
    free(conversation);
    free(config);
    return 0;
}
