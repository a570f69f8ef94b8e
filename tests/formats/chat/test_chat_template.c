/* Which tokens of a conversation are the assistant's, for templates that write turns in every way that published ones
 * do. Every character is a token here, and every mark <...>, so that what is trained can be read: it stands in «». */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/chat/chat_template.h"
#include "runtime/base/json.h"
#include "tests/support/expect.h"

/* ---- templates, named after who writes turns so ---- */

#define TURN "{{ '<im>' + m.role + '\n' + m.content + '<end>\n' }}"
#define PROMPT "{% if add_generation_prompt %}{{ '<im>assistant\n' }}{% endif %}"
static const char chatml[] = "{% for m in messages %}" TURN "{% endfor %}" PROMPT;
/* A system text of its own: before the loop, or in the first message's iteration. */
static const char own_system[] =
    "{{ '<im>system\nBe good.<end>\n' }}{% for m in messages %}" TURN "{% endfor %}" PROMPT;
static const char own_system_inside[] =
    "{% for m in messages %}{% if loop.first %}{{ '<im>system\nYou are assistant.<end>\n' "
    "}}{% endif %}" TURN "{% endfor %}" PROMPT;
/* R1: thoughts are dropped, and the prompt begins new ones. */
static const char r1[] =
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<U>' + m.content }}{% elif m.role == 'assistant' %}"
    "{% set content = m.content %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% "
    "endif "
    "%}{{ '<A>' + content + '<end>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<A><think>\n' }}{% "
    "endif %}";
/* Nemotron 2: the last answer is written after the loop, with the thought that the prompt begins. */
static const char nemotron[] = "{% set ns = namespace() %}{% if messages[-1].role == 'assistant' %}{% set ns.last = "
                               "messages[-1].content.strip() %}{% set messages "
                               "= messages[:-1] %}{% endif %}{% for m in messages %}{{ '<im>' + m.role + '\n' + "
                               "m.content + '<end>\n' }}{% endfor %}{% if "
                               "add_generation_prompt %}{{ '<im>assistant\n<think>\n' }}{% elif ns.last is defined "
                               "%}{{ '<im>assistant\n<think>\n' + ns.last + "
                               "'<end>\n' }}{% endif %}";
/* Mistral 3: no prompt of its own; a system text stands in the last question alone. */
static const char mistral[] = "{% set ns = namespace(system='') %}{% if messages[0].role == 'system' %}{% set "
                              "ns.system = messages[0].content %}{% set messages = "
                              "messages[1:] %}{% endif %}{{ '<s>' }}{% for m in messages %}{% if m.role == 'user' %}{% "
                              "if loop.last and ns.system %}{{ '[I] ' + "
                              "ns.system + '\n\n' + m.content + '[/I]' }}{% else %}{{ '[I] ' + m.content + '[/I]' }}{% "
                              "endif %}{% else %}{{ ' ' + m.content + "
                              "'</s>' }}{% endif %}{% endfor %}";
/* Apertus: an answer ends where the next message begins. */
static const char late_end[] = "{% set ns = namespace(open=false) %}{% for m in messages %}{% if m.role == 'user' %}{% "
                               "if ns.open %}{{ '<end>' }}{% set ns.open = "
                               "false %}{% endif %}{{ '<U>' + m.content }}{% else %}{% if not ns.open %}{{ '<A>' }}{% "
                               "set ns.open = true %}{% endif %}{{ m.content "
                               "}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<A>' }}{% endif %}";
/* GLM: an answer has no end; the prompt is always there. */
static const char no_end[] =
    "{% for m in messages %}{{ '<' + ('A' if m.role == 'assistant' else 'U') + '>\n' + m.content }}{% endfor %}<A>";
/* gpt-oss: thoughts are a message of their own, and the last answer ends otherwise. */
static const char channels[] = "{% for m in messages %}{% if m.role == 'user' %}{{ '<im>user<msg>' + m.content + "
                               "'<end>' }}{% else %}{% if m.thinking %}{{ "
                               "'<im>assistant<ch>analysis<msg>' + m.thinking + '<end>' }}{% endif %}{{ "
                               "'<im>assistant<ch>final<msg>' + m.content }}{{ '</s>' if "
                               "loop.last and not add_generation_prompt else '<end>' }}{% endif %}{% endfor %}{% if "
                               "add_generation_prompt %}{{ '<im>assistant' "
                               "}}{% endif %}";
/* Qwen 3: the last answer has an empty thought. */
static const char thinking[] =
    "{% for m in messages %}{{ '<im>' + m.role + '\n' }}{% if m.role == 'assistant' and (loop.last or "
    "m.reasoning_content) %}{{ "
    "'<think>' + (m.reasoning_content or '') + '</think>' }}{% endif %}{{ m.content + '<end>\n' }}{% endfor %}" PROMPT
    "{% if add_generation_prompt and enable_thinking is defined and not enable_thinking %}{{ '<think></think>' }}{% "
    "endif %}";
static const char calls[] = "{% for m in messages %}{{ '<im>' + m.role + '\n' }}{{ m.content or '' }}{% for c in "
                            "m.tool_calls or [] %}{{ '<call>' + c.function.name "
                            "+ ' ' + c.function.arguments | tojson + '</call>' }}{% endfor %}{% if m.role == 'tool' "
                            "%}{{ ' of ' + messages[loop.index0 - "
                            "1].tool_calls[0].function.name }}{% endif %}{{ '<end>\n' }}{% endfor %}" PROMPT;
static const char closing[] =
    "{% for m in messages %}{{ m.role + ': ' + m.content | trim + '\n' }}{% endfor %}{% if add_generation_prompt "
    "%}{{ 'assistant: ' }}{% else %}{{ '</s>' }}{% endif %}";
static const char plain_end[] =
    "{% for m in messages %}{{ m.role + ': ' + m.content + ' [E]\n' }}{% endfor %}{% if add_generation_prompt %}{{ "
    "'assistant: ' }}{% endif %}";
static const char with_parts[] = "{% for m in messages %}{% if m.role == 'user' %}[I]{% for p in m.content %}{{ p.text "
                                 "}}{% endfor %}[/I]{% else %}{{ ' ' "
                                 "}}{% for p in m.content %}{{ p.text }}{% endfor %}</s>{% endif %}{% endfor %}";
static const char as_python[] =
    "{% for m in messages %}{{ '<im>' + m.role + '\n' }}{% if m.role == 'assistant' and m.content is string "
    "%}{{ '<think></think>' }}{% endif %}{{ m.content | string + '<end>' }}{% endfor %}{% if "
    "add_generation_prompt %}{{ '<im>assistant\n<think>' }}{% endif %}";
static const char by_index[] =
    "{% for i in range(messages | length) %}{{ '<im>' + messages[i].role + '\n' + messages[i].content + "
    "'<end>\n' }}{% endfor %}" PROMPT;
static const char in_macro[] =
    "{% macro all(list) %}{% for m in list %}{{ '<im>' + m.role + '\n' + m.content | trim | upper + '<end>\n' }}"
    "{% endfor %}{% endmacro %}{{ all(messages) }}" PROMPT;
static const char twice[] =
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<U>' + m.content + messages[loop.index].content }}{% "
    "else %}{{ '<A>' + m.content + '<end>' }}{% endif %}{% endfor %}";
static const char title[] = "{{ messages[-1].content }}: {% for m in messages %}" TURN "{% endfor %}" PROMPT;
static const char pairs[] =
    "{% for b in messages | batch(2) %}{{ '<U>' + b[0].content + '<A>' + b[1].content + '<end>' }}{% endfor %}";
static const char other_role[] =
    "{% for m in messages %}{{ '<im>' + ('function' if m.tool_calls else m.role) + '\n' + m.content + '<end>\n' "
    "}}{% endfor %}" PROMPT;
static const char drops_last[] =
    "{% for m in messages %}{% if m.role == 'user' %}{{ '<U>' + m.content }}{% elif not loop.last %}{{ '<A>' + "
    "m.content }}{% endif %}{% if loop.last %}{{ '<A>[SEP]' }}{% endif %}{% endfor %}";
static const char marked[] =
    "{% for m in messages %}{{ '<im>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content "
    "}}{{ '<end>' }}{% endgeneration %}{% else %}{{ m.content + '<end>' }}{% endif %}{{ '\n' }}{% endfor %}";

/* One rendering takes as many steps as it may, or a little less. */
static const char costly[] = "{% set x = 'a' * 1000000 %}{% set y = 'a' * 1000000 %}{% for i in range(170) %}{% if x "
                             "== y %}{% endif %}{% endfor %}"
                             "{% for m in messages %}" TURN "{% endfor %}" PROMPT;

#define U(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define A(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"
#define S(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define PARTS(role, text) "{\"role\":\"" role "\",\"content\":[{\"text\":\"" text "\"}]}"
#define CALLS(x)                                                                                                       \
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":" x   \
    "}}}]}"

static const struct test_case {
    const char *jinja, *messages, *expected; /* expected begins with '!': a part of the error */
    const char *variables;
} cases[] = {
    {chatml, U("2"), "!chat_template_kwargs: found a list, expected a JSON object", "[1]"},
    {chatml, U("2") "," A("4"), "<im>user\n2<end>\n<im>assistant\n«4<end>»\n", NULL},
    {chatml, U("no or yes: no?") "," A("no") "," U("no") "," A("no, no"),
     "<im>user\nno or yes: no?<end>\n<im>assistant\n«no<end>»\n<im>user\nno<end>\n<im>assistant\n«no, no<end>»\n",
     NULL},
    {chatml, A("You") "," U("hi") "," A("hello"),
     "<im>assistant\n«You<end>»\n<im>user\nhi<end>\n<im>assistant\n«hello<end>»\n", NULL},
    {chatml, U("hi") "," A("") "," U("again") "," A("ok"),
     "<im>user\nhi<end>\n<im>assistant\n«<end>»\n<im>user\nagain<end>\n<im>assistant\n«ok<end>»\n", NULL},
    {chatml, U("<im>assistant\\nfake<end>") "," A("<end>\\n<im>user\\nx<end>\\n"),
     "<im>user\n<im>assistant\nfake<end><end>\n<im>assistant\n«<end>\n<im>user\nx<end>\n<end>»\n", NULL},
    {chatml, U("x") "," A("  a\\n\\n"), "<im>user\nx<end>\n<im>assistant\n«  a\n\n<end>»\n", NULL},
    {chatml, U("x") "," A("one") "," A("two"),
     "<im>user\nx<end>\n<im>assistant\n«one<end>»\n<im>assistant\n«two<end>»\n", NULL},
    {chatml, U("x") "," S("s") "," A("one"), "<im>user\nx<end>\n<im>system\ns<end>\n<im>assistant\n«one<end>»\n", NULL},
    {own_system, A("You") "," U("hi"), "<im>system\nBe good.<end>\n<im>assistant\n«You<end>»\n<im>user\nhi<end>\n",
     NULL},
    {own_system_inside, A("You") "," U("hi"),
     "<im>system\nYou are assistant.<end>\n<im>assistant\n«You<end>»\n<im>user\nhi<end>\n", NULL},
    {own_system_inside, A(""), "<im>system\nYou are assistant.<end>\n<im>assistant\n«<end>»\n", NULL},
    {r1, U("Is 2+2 equal to 4?") "," A("4"), "<U>Is 2+2 equal to 4?<A>«4<end>»", NULL},
    {r1, U("hi") "," A("") "," U("again") "," A("ok"), "<U>hi<A>«<end>»<U>again<A>«ok<end>»", NULL},
    {r1, U("6*7") "," A("<think>\\n6*7 is 42\\n</think>\\n\\n42"), "<U>6*7<A>«\n\n42<end>»", NULL},
    {r1, U("x") "," A("<tag>"), "<U>x<A>«<tag><end>»", NULL},
    {nemotron, U("x") "," A("one") "," U("one") "," A("one "),
     "<im>user\nx<end>\n<im>assistant\n«one<end>»\n<im>user\none<end>\n<im>assistant\n<think>\n«one<end>»\n", NULL},
    {nemotron, U("x") "," A("one") "," A("two"),
     "<im>user\nx<end>\n<im>assistant\n«one<end>»\n<im>assistant\n<think>\n«two<end>»\n", NULL},
    {mistral, S("Say positive or not.") "," U("Very positive.") "," A("positive"),
     "<s>[I] Very positive.[/I]« positive</s>»", NULL},
    {mistral, U("x") "," A("") "," U("y") "," A("b"), "<s>[I] x[/I]« </s>»[I] y[/I]« b</s>»", NULL},
    {late_end, U("x") "," A("a") "," U("y") "," A("b"), "<U>x<A>«a<end>»<U>y<A>«b»", NULL},
    {late_end, A("a") "," U("y"), "<A>«a<end>»<U>y", NULL},
    {late_end, U("x") "," A("a") "," A("b"), "<U>x<A>«ab»", NULL},
    {no_end, U("x") "," A("a") "," U("y") "," A("b"), "<U>\nx<A>«\na»<U>\ny<A>«\nb»<A>", NULL},
    {channels, U("2+2") ",{\"role\":\"assistant\",\"content\":\"4\",\"reasoning\":\"add\"}",
     "<im>user<msg>2+2<end><im>assistant«<ch>analysis<msg>add<end><im>assistant<ch>final<msg>4</s>»", NULL},
    {channels, U("x") "," A("one") "," A("two"),
     "<im>user<msg>x<end><im>assistant«<ch>final<msg>one<end>»<im>assistant«<ch>final<msg>two</s>»", NULL},
    {thinking, U("x") "," A("a") "," U("y") "," A("b"),
     "<im>user\nx<end>\n<im>assistant\n«a<end>»\n<im>user\ny<end>\n<im>assistant\n«<think></think>b<end>»\n", NULL},
    {thinking, U("x") "," A("a"), "<im>user\nx<end>\n<im>assistant\n<think></think>«a<end>»\n",
     "{\"enable_thinking\": false}"},
    {thinking, U("x") ",{\"role\":\"assistant\",\"content\":\"a\",\"thinking\":\"t\",\"reasoning_content\":null}",
     "<im>user\nx<end>\n<im>assistant\n«<think>t</think>a<end>»\n", NULL},
    {calls, U("x") "," CALLS("1234567890123456789") ",{\"role\":\"tool\",\"content\":\"7\"}," A("seven"),
     "<im>user\nx<end>\n<im>assistant\n«<call>f {\"x\": 1234567890123456789}</call><end>»\n<im>tool\n7 of "
     "f<end>\n<im>assistant\n«seven<end>»\n",
     NULL},
    {calls, U("x") "," CALLS("[2.0,1E3,-0.0,100000000000000000000,9007199254740993,1e16,1e15,5e-324]"),
     "<im>user\nx<end>\n<im>assistant\n«<call>f {\"x\": [2.0, 1000.0, -0.0, 100000000000000000000, 9007199254740993, "
     "1e+16, "
     "1000000000000000.0, 5e-324]}</call><end>»\n",
     NULL},
    {closing, U("x") "," A("  a ") "," U("a") "," A("a"), "user: x\nassistant: «a\n»user: a\nassistant: «a\n</s>»",
     NULL},
    {plain_end, U("x") "," A("a\\n"), "user: x [E]\nassistant: «a\n [E]»\n", NULL},
    {with_parts, PARTS("user", "x") "," PARTS("assistant", "y"), "[I]x[/I]« y</s>»", NULL},
    {as_python, PARTS("user", "x") "," PARTS("assistant", "y"),
     "<im>user\n[{'text': 'x'}]<end><im>assistant\n«[{'text': 'y'}]<end>»", NULL},
    {by_index, U("x") "," A("x") "," U("x") "," A("x"),
     "<im>user\nx<end>\n<im>assistant\n«x<end>»\n<im>user\nx<end>\n<im>assistant\n«x<end>»\n", NULL},
    {in_macro, U("a") "," A(" a "), "<im>user\nA<end>\n<im>assistant\n«A<end>»\n", NULL},
    {marked, U("a") "," A("a") "," A("b"), "<im>user\na<end>\n<im>assistant\n«a<end>»\n<im>assistant\n«b<end>»\n",
     NULL},
    {by_index, U("x") "," A(""), "!messages[1] is the assistant's, but its tokens cannot be told for certain", NULL},
    {twice, U("x") "," A("y"), "!in more than one place", NULL},
    {title, U("x") "," A("y"), "!in more than one place", NULL},
    {pairs, U("x") "," A("y"), "<U>x<A>«y<end>»", NULL},
    {pairs, U("x") "," A("y") "," U("z") "," A("v"), "!messages[1]", NULL},
    {other_role, U("x") ",{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}",
     "!begins it otherwise than its prompt for an answer", NULL},
    {drops_last, U("x") "," A("y"), "!writes none of its text", NULL},
    {chatml, U("x") ",{\"role\":\"assistant\",\"content\":[\"y\"]}",
     "!messages[1] (assistant, whose \"content\" is a list)", NULL},
    {chatml, U("x") ",\"y\"", "!messages[1] is the string 'y'; expected", NULL},
    {chatml, U("x"), "!'messages' is no variable", "{\"messages\": []}"},
    {costly, U("x"), "<im>user\nx<end>\n", NULL},
    {costly, U("x") "," A("y"), "!takes too many steps to show where it begins", NULL},
};

static const char *const marks[] = {"<s>",  "</s>", "<im>", "<end>",  "<U>",     "<A>",     "<msg>",
                                    "<ch>", "[I]",  "[/I]", "<call>", "</call>", "<think>", "</think>"};
#define MARKS (sizeof marks / sizeof *marks)

/* Ids: the marks, then the characters from the line's end on. */
static vkft_tokenizer *tokenizer_new(vkft_err *err)
{
    cJSON *root = cJSON_Parse("{\"added_tokens\": [], \"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {}}}");
    cJSON *added = cJSON_GetObjectItem(root, "added_tokens"),
          *vocab = cJSON_GetObjectItem(cJSON_GetObjectItem(root, "model"), "vocab");
    static const char config[] = "{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}";
    int id = 0;
    for (size_t i = 0; i < MARKS; i++, id++) {
        cJSON *token = cJSON_CreateObject();
        cJSON_AddNumberToObject(token, "id", id);
        cJSON_AddStringToObject(token, "content", marks[i]);
        cJSON_AddBoolToObject(token, "special", !strchr(marks[i], 'k'));
        cJSON_AddBoolToObject(token, "normalized", false);
        cJSON_AddItemToArray(added, token);
    }
    for (char c = '\n'; c < 127; c++) {
        const char text[2] = {c, 0};
        cJSON_AddNumberToObject(vocab, text, id++);
    }
    char *json = cJSON_PrintUnformatted(root);
    vkft_tokenizer *tok = vkft_tokenizer_new(json, strlen(json), config, sizeof config - 1, "tokenizer.json", err);
    cJSON_free(json);
    cJSON_Delete(root);
    return tok;
}

static char *show(const vkft_tokenizer *tok, const vkft_ids *ids, const uint8_t *mask)
{
    vkft_text out = {0};
    for (uint32_t i = 0; i < ids->count; i++) {
        if (mask[i] != (i ? mask[i - 1] : 0))
            vkft_text_append(&out, mask[i] ? "«" : "»", 2, NULL);
        assert_true(vkft_tokenizer_decode(tok, ids->data + i, 1, false, &out, NULL));
    }
    vkft_text_append(&out, "»", ids->count && mask[ids->count - 1] ? 2 : 0, NULL);
    return out.data;
}

static vkft_chat_template *template_new(const char *jinja, vkft_err *err)
{
    vkft_chat_template *chat;
    const vkft_chat_sources sources = {.jinja = jinja, .jinja_length = strlen(jinja), .jinja_name = "t.jinja"};
    return vkft_chat_template_new(&sources, &chat, err) ? chat : NULL;
}

static bool encode(const vkft_tokenizer *tok, const struct test_case *c, const uint8_t *untrained, vkft_train_on on,
                   char **shown, vkft_err *err)
{
    char text[2000];
    snprintf(text, sizeof text, "[%s]", c->messages);
    cJSON *messages = vkft_json_parse_exact(text, strlen(text), "messages", 1, err);
    cJSON *variables = c->variables ? cJSON_Parse(c->variables) : NULL;
    const vkft_conversation conversation = {.messages = messages, .variables = variables, .untrained = untrained};
    vkft_chat_template *chat = template_new(c->jinja, err);
    vkft_ids ids = {0};
    uint8_t *mask = NULL;
    bool ok = messages && chat && vkft_chat_template_encode(chat, tok, &conversation, on, &ids, &mask, err);
    *shown = ok ? show(tok, &ids, mask) : NULL;
    free(mask);
    vkft_ids_free(&ids);
    vkft_chat_template_free(chat);
    cJSON_Delete(messages);
    cJSON_Delete(variables);
    return ok;
}

static void test_masks(void **state)
{
    const vkft_tokenizer *tok = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err = {0};
        char *shown;
        bool ok = encode(tok, &cases[i], NULL, VKFT_TRAIN_ON_ASSISTANT, &shown, &err);
        const char *expected = cases[i].expected;
        if (*expected == '!' ? ok || !strstr(err.message, expected + 1) : !ok || strcmp(shown, expected) != 0)
            fail_msg("case %zu, %s\n  got      %s%s\n  expected %s", i, cases[i].messages, ok ? shown : "", err.message,
                     expected);
        free(shown);
    }
}

static void expect_shown(const vkft_tokenizer *tok, const char *jinja, const uint8_t *untrained, vkft_train_on on,
                         const char *expected)
{
    vkft_err err = {0};
    char *shown;
    const struct test_case c = {jinja, U("x") "," A("a") "," U("y") "," A("b"), NULL, NULL};
    expect_ok(encode(tok, &c, untrained, on, &shown, &err));
    assert_string_equal(shown, expected);
    free(shown);
}

/* Messages that are not to be trained, and the last answer alone. */
static void test_which_turns(void **state)
{
    const vkft_tokenizer *tok = *state;
    static const uint8_t first[] = {0, 1, 0, 0};
    const char *const templates[] = {chatml, marked};
    for (int i = 0; i < 2; i++) {
        expect_shown(tok, templates[i], first, VKFT_TRAIN_ON_ASSISTANT,
                     "<im>user\nx<end>\n<im>assistant\na<end>\n<im>user\ny<end>\n<im>assistant\n«b<end>»\n");
        expect_shown(tok, templates[i], NULL, VKFT_TRAIN_ON_LAST,
                     "<im>user\nx<end>\n<im>assistant\na<end>\n<im>user\ny<end>\n<im>assistant\n«b<end>»\n");
        expect_shown(tok, templates[i], first, VKFT_TRAIN_ON_ALL,
                     "«<im>user\nx<end>\n<im>assistant\n»a<end>«\n<im>user\ny<end>\n<im>assistant\nb<end>\n»");
    }
}

static int set_up(void **state)
{
    vkft_err err;
    *state = tokenizer_new(&err);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    vkft_tokenizer_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_masks), cmocka_unit_test(test_which_turns)};
    return cmocka_run_group_tests_name("chat_template", tests, set_up, tear_down);
}
