/* See modelfile.h. */
#include "host/merge/modelfile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config/generation_config.h"
#include "runtime/base/file.h"
#include "runtime/base/text.h"

#define MAX_FILE_BYTES (16u << 20)

/* ---- the template ---- */

enum { SYSTEM, USER_1, ANSWER_1, USER_2, ANSWER_2, USER_3, MESSAGES };
static const struct {
    const char *role, *text;
} messages[MESSAGES] = {[SYSTEM] = {"system", "Qsystemq"},         [USER_1] = {"user", "Quseroneq"},
                        [ANSWER_1] = {"assistant", "Qansweroneq"}, [USER_2] = {"user", "Qusertwoq"},
                        [ANSWER_2] = {"assistant", "Qanswertwoq"}, [USER_3] = {"user", "Quserthreeq"}};

/* What stands around messages, malloc'ed. */
typedef struct pieces {
    char *first;                        /* before a user's message that is the first of all */
    char *before_system, *after_system; /* after: up to the user's message that follows; NULL: no system prompt */
    char *before_user, *after_user, *before_answer, *after_answer;
    char *prompt; /* before the answer that is to come */
} pieces;

static void free_pieces(pieces *p)
{
    char *const all[] = {p->first,      p->before_system, p->after_system, p->before_user,
                         p->after_user, p->before_answer, p->after_answer, p->prompt};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    *p = (pieces){0};
}

/* Messages first..last as the model's template has them, without the bos in front, malloc'ed; NULL: it fails. */
static char *render(const vkft_chat_template *chat, const char *bos, int first, int last, bool prompt)
{
    cJSON *list = cJSON_CreateArray();
    vkft_jinja_output out = {0};
    char *text = NULL;
    for (int i = first; i <= last; i++) {
        cJSON *message = cJSON_CreateObject();
        cJSON_AddStringToObject(message, "role", messages[i].role);
        cJSON_AddStringToObject(message, "content", messages[i].text);
        cJSON_AddItemToArray(list, message);
    }
    const vkft_conversation conversation = {.messages = list};
    if (vkft_chat_template_render(chat, &conversation, prompt, &out, NULL) && out.text.data) {
        size_t skip = bos && strncmp(out.text.data, bos, strlen(bos)) == 0 ? strlen(bos) : 0;
        text = vkft_string_copy(out.text.data + skip);
    }
    vkft_jinja_output_free(&out);
    cJSON_Delete(list);
    return text;
}

/* The part of a text between two messages (NULL: its beginning, its end), malloc'ed. */
static char *between(const char *text, const char *after, const char *before)
{
    const char *start = !text ? NULL : after ? strstr(text, after) : text;
    if (!start)
        return NULL;
    start += after ? strlen(after) : 0;
    const char *end = before ? strstr(start, before) : start + strlen(start);
    char *part = end ? malloc((size_t)(end - start) + 1) : NULL;
    if (part) {
        memcpy(part, start, (size_t)(end - start));
        part[end - start] = 0;
    }
    return part;
}

/* What is left of a text past its beginning; NULL: it begins otherwise. */
static char *rest(const char *text, const char *beginning)
{
    return text && beginning && strncmp(text, beginning, strlen(beginning)) == 0
               ? vkft_string_copy(text + strlen(beginning))
               : NULL;
}

static bool find_pieces(const vkft_chat_template *chat, const char *bos, pieces *p)
{
    char *one = render(chat, bos, USER_1, USER_1, false), *asked = render(chat, bos, USER_1, USER_1, true),
         *answered = render(chat, bos, USER_1, ANSWER_1, false), *two = render(chat, bos, USER_1, USER_2, true),
         *with_system = render(chat, bos, SYSTEM, USER_1, true);
    p->first = between(one, NULL, messages[USER_1].text);
    p->after_user = between(one, messages[USER_1].text, NULL);
    char *to_answer = between(asked, messages[USER_1].text, NULL),
         *middle = between(two, messages[USER_1].text, messages[ANSWER_1].text),
         *next = between(two, messages[ANSWER_1].text, messages[USER_2].text);
    p->prompt = rest(to_answer, p->after_user);
    p->before_answer = rest(middle, p->after_user);
    p->after_answer = between(answered, messages[ANSWER_1].text, NULL);
    p->before_user = rest(next, p->after_answer);
    p->before_system = between(with_system, NULL, messages[SYSTEM].text);
    p->after_system = between(with_system, messages[SYSTEM].text, messages[USER_1].text);
    char *const all[] = {one, asked, answered, two, with_system, to_answer, middle, next};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    return p->first && p->prompt && p->before_answer && p->before_user;
}

/* What the Go template gives for messages first..last. */
static bool compose(const pieces *p, int first, int last, vkft_text *out)
{
    bool ok = true;
    for (int i = first; i <= last; i++) {
        bool user = strcmp(messages[i].role, "user") == 0, system = i == SYSTEM;
        const char *before = system                              ? p->before_system
                             : !user                             ? p->before_answer
                             : i == first                        ? p->first
                             : i == first + 1 && first == SYSTEM ? ""
                                                                 : p->before_user;
        const char *after = system ? p->after_system : user ? p->after_user : p->after_answer;
        const char *const parts[] = {before, messages[i].text, after};
        for (size_t k = 0; k < 3; k++)
            ok = ok && vkft_text_append(out, parts[k], strlen(parts[k]), NULL);
    }
    return ok && vkft_text_append(out, p->prompt, strlen(p->prompt), NULL);
}

static bool same_text(const vkft_chat_template *chat, const char *bos, const pieces *p, int first, int last)
{
    vkft_text ours = {0};
    char *theirs = render(chat, bos, first, last, true);
    bool same = theirs && compose(p, first, last, &ours) && strcmp(theirs, ours.data) == 0;
    vkft_text_free(&ours);
    free(theirs);
    return same;
}

/* Literal text of a Go template; not what would be an action, become one with what follows, or end the text in the
 * Modelfile. */
static bool append_literal(vkft_text *out, const char *text)
{
    return !strstr(text, "{{") && !vkft_string_ends_with(text, "{") && !strstr(text, "\"\"\"") &&
           vkft_text_append(out, text, strlen(text), NULL);
}

/* A system prompt that the model does not take is left out, and the question after it is then the first message. */
static char *write_go(const pieces *p, bool has_system)
{
    const char *const parts[] = {
        /* an action, and the text after it */
        "{{ range $i, $m := .Messages }}{{ if eq $m.Role \"system\" }}",
        has_system ? p->before_system : "",
        has_system ? "{{ $m.Content }}" : "",
        has_system ? p->after_system : "",
        "{{ else if eq $m.Role \"user\" }}",
        "",
        has_system ? "{{ if eq $i 0 }}"
                   : "{{ if or (eq $i 0) (and (eq $i 1) (eq (index $.Messages 0).Role \"system\")) }}",
        p->first,
        has_system ? "{{ else if or (ne $i 1) (ne (index $.Messages 0).Role \"system\") }}" : "{{ else }}",
        p->before_user,
        "{{ end }}{{ $m.Content }}",
        p->after_user,
        "{{ else if eq $m.Role \"assistant\" }}",
        p->before_answer,
        "{{ $m.Content }}",
        p->after_answer,
        "{{ end }}{{ end }}",
        p->prompt,
    };
    vkft_text out = {0};
    bool ok = !vkft_string_ends_with(p->prompt, "\"");
    for (size_t i = 0; ok && i < sizeof parts / sizeof *parts; i++)
        ok = i % 2 ? append_literal(&out, parts[i]) : vkft_text_append(&out, parts[i], strlen(parts[i]), NULL);
    if (!ok)
        vkft_text_free(&out);
    return out.data;
}

char *vkft_go_template(const vkft_chat_template *chat, const char *bos, bool *has_system)
{
    pieces p = {0};
    bool same = find_pieces(chat, bos, &p) && same_text(chat, bos, &p, USER_1, USER_1) &&
                same_text(chat, bos, &p, USER_1, USER_2) && same_text(chat, bos, &p, USER_1, USER_3);
    *has_system = same && p.before_system && p.after_system;
    if (*has_system)
        same = same_text(chat, bos, &p, SYSTEM, USER_1) && same_text(chat, bos, &p, SYSTEM, USER_3);
    char *found = same ? write_go(&p, *has_system) : NULL;
    free_pieces(&p);
    return found;
}

/* ---- the file ---- */

typedef struct maker {
    const vkft_modelfile *m;
    const vkft_observer *observer;
    vkft_model_text text;
    vkft_generation_config generation;
    vkft_text out;
    bool failed;
} maker;

static void put(maker *m, const char *text)
{
    m->failed = m->failed || !vkft_text_append(&m->out, text, strlen(text), NULL);
}

static bool read_generation(maker *m, vkft_err *err)
{
    char *path = vkft_directory_exists(m->m->model) ? vkft_path_join(m->m->model, "generation_config.json") : NULL;
    char *text = NULL;
    size_t size = 0;
    bool found = false, ok = true;
    m->generation = vkft_generation_config_none();
    if (path)
        ok = vkft_file_find(path, &found, err) && (!found || vkft_file_read(path, MAX_FILE_BYTES, &text, &size, err)) &&
             (!found || vkft_generation_config_parse(text, size, path, &m->generation, err));
    free(text);
    free(path);
    return ok;
}

/* A token's text; NULL: there is none. */
static char *token_text(const maker *m, int32_t id)
{
    vkft_text text = {0};
    if (id < 0 || !vkft_tokenizer_decode(m->text.tokenizer, &id, 1, false, &text, NULL))
        vkft_text_free(&text);
    return text.data;
}

/* The text of the token that the tokenizer puts before every text by itself; NULL: none. */
static char *leading_token(const maker *m)
{
    vkft_ids ids = {0};
    int32_t bos = m->text.tokenizer ? vkft_tokenizer_bos_id(m->text.tokenizer) : -1;
    bool leads = bos >= 0 && vkft_tokenizer_encode(m->text.tokenizer, "a", 1, true, &ids, NULL) && ids.data[0] == bos;
    vkft_ids_free(&ids);
    return leads ? token_text(m, bos) : NULL;
}

static void put_template(maker *m)
{
    bool has_system = false;
    char *bos = leading_token(m);
    char *go = m->text.chat ? vkft_go_template(m->text.chat, bos, &has_system) : NULL;
    if (go) {
        put(m, "TEMPLATE \"\"\"");
        put(m, go);
        put(m, "\"\"\"\n");
    }
    if (!m->text.chat)
        vkft_observer_say(m->observer, "the model has no chat template: the Modelfile has no TEMPLATE, and prompts are "
                                       "continued as they are");
    else if (!go)
        vkft_observer_say(m->observer, "the model's chat template does more than put text around messages, which a "
                                       "template of Go cannot be made of: the Modelfile has no TEMPLATE; write one, or "
                                       "let llama.cpp use the model's own (llama-server --jinja)");
    else if (!has_system)
        vkft_observer_say(m->observer, "the model's chat template takes no system prompt: Ollama's is left out");
    free(bos);
    free(go);
}

static void put_stop(maker *m, int32_t id, vkft_text *seen)
{
    char *text = token_text(m, id), line[300];
    snprintf(line, sizeof line, "PARAMETER stop \"%.200s\"\n", text ? text : "");
    bool usable = text && *text && !strpbrk(text, "\"\n\\") && (!seen->data || !strstr(seen->data, line));
    free(text);
    if (!usable)
        return;
    put(m, line);
    m->failed = m->failed || !vkft_text_append(seen, line, strlen(line), NULL);
}

static void put_number(maker *m, const char *name, double value)
{
    char line[100];
    snprintf(line, sizeof line, "PARAMETER %s %g\n", name, value);
    if (!isnan(value))
        put(m, line);
}

static void put_parameters(maker *m)
{
    const vkft_generation_config *g = &m->generation;
    vkft_text seen = {0};
    if (m->text.tokenizer)
        put_stop(m, vkft_tokenizer_eos_id(m->text.tokenizer), &seen);
    for (uint32_t i = 0; m->text.tokenizer && i < g->eos_count; i++)
        put_stop(m, g->eos_token_ids[i], &seen);
    vkft_text_free(&seen);
    if (g->do_sample == VKFT_SAMPLE_NO)
        put_number(m, "temperature", 0);
    if (g->do_sample == VKFT_SAMPLE_YES) {
        put_number(m, "temperature", g->temperature);
        put_number(m, "top_p", g->top_p);
        put_number(m, "top_k", g->top_k);
        put_number(m, "min_p", g->min_p);
    }
    put_number(m, "repeat_penalty", g->repetition_penalty); /* Ollama has 1.1 unless told */
}

bool vkft_write_modelfile(const vkft_modelfile *modelfile, const char *path, const vkft_observer *observer,
                          vkft_err *err)
{
    maker m = {.m = modelfile, .observer = observer};
    if (!vkft_model_text_open(modelfile->model, NULL, &m.text, err))
        return false;
    bool ok = read_generation(&m, err);
    if (ok) {
        put(&m, "FROM ");
        put(&m, modelfile->from);
        put(&m, "\n");
        if (modelfile->adapter) {
            put(&m, "ADAPTER ");
            put(&m, modelfile->adapter);
            put(&m, "\n");
        }
        put_template(&m);
        put_parameters(&m);
        ok = m.failed ? vkft_fail_memory(err, "while writing '%s'", path)
                      : vkft_file_write(path, m.out.data, m.out.length, err);
    }
    vkft_generation_config_free(&m.generation);
    vkft_model_text_free(&m.text);
    vkft_text_free(&m.out);
    return ok;
}
