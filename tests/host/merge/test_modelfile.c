/* Templates of Go made of chat templates, and what a Modelfile says. */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "host/merge/modelfile.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"

static char *go_of(const char *jinja, const char *bos, bool *has_system)
{
    vkft_err err = {0};
    vkft_chat_template *chat = NULL;
    const vkft_chat_sources sources = {.jinja = jinja,
                                       .jinja_length = strlen(jinja),
                                       .jinja_name = "test",
                                       .tokenizer_config = "{\"bos_token\":\"<s>\"}",
                                       .tokenizer_config_length = 19};
    expect_ok(vkft_chat_template_new(&sources, &chat, &err));
    char *go = vkft_go_template(chat, bos, has_system);
    vkft_chat_template_free(chat);
    return go;
}

/* By a given default system prompt, as Qwen's, in ChatML. */
static void chatml(void **state)
{
    (void)state;
    bool has_system;
    char *go = go_of("{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
                     "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
                     "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
                     NULL, &has_system);
    assert_non_null(go);
    assert_true(has_system);
    assert_string_equal(
        go,
        "{{ range $i, $m := .Messages }}{{ if eq $m.Role \"system\" }}<|im_start|>system\n{{ $m.Content }}<|im_end|>\n"
        "<|im_start|>user\n{{ else if eq $m.Role \"user\" }}{{ if eq $i 0 }}<|im_start|>system\nBe kind.<|im_end|>\n"
        "<|im_start|>user\n{{ else if or (ne $i 1) (ne (index $.Messages 0).Role \"system\") }}<|im_start|>user\n"
        "{{ end }}{{ $m.Content }}<|im_end|>\n{{ else if eq $m.Role \"assistant\" }}<|im_start|>assistant\n"
        "{{ $m.Content }}<|im_end|>\n{{ end }}{{ end }}<|im_start|>assistant\n");
    free(go);
}

/* Gemma puts the system prompt into the user's turn; the bos is the tokenizer's. */
static void merged_system(void **state)
{
    (void)state;
    bool has_system;
    char *go =
        go_of("<s>{% set first = '' %}{% if messages[0]['role'] == 'system' %}{% set first = messages[0]['content'] "
              "+ '\n\n' %}{% set messages = messages[1:] %}{% endif %}{% for m in messages %}<turn>"
              "{{ m['role'] }}\n{{ first if loop.first else '' }}{{ m['content'] }}<end>\n{% endfor %}"
              "{% if add_generation_prompt %}<turn>assistant\n{% endif %}",
              "<s>", &has_system);
    assert_non_null(go);
    assert_true(has_system);
    assert_non_null(strstr(go, "\"system\" }}<turn>user\n{{ $m.Content }}\n\n{{ else"));
    assert_null(strstr(go, "<s>"));
    free(go);
}

static void without_system(void **state)
{
    (void)state;
    bool has_system;
    char *go =
        go_of("{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}{% for m in messages %}"
              "[{{ m['role'] }}]{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}",
              NULL, &has_system);
    assert_non_null(go);
    assert_false(has_system);
    assert_string_equal(
        go, "{{ range $i, $m := .Messages }}{{ if eq $m.Role \"system\" }}{{ else if eq $m.Role \"user\" }}"
            "{{ if or (eq $i 0) (and (eq $i 1) (eq (index $.Messages 0).Role \"system\")) }}[user]{{ else }}[user]"
            "{{ end }}{{ $m.Content }}{{ else if eq $m.Role \"assistant\" }}[assistant]{{ $m.Content }}"
            "{{ end }}{{ end }}[assistant]");
    free(go);
}

/* Messages that are numbered, or cut, cannot be put together of pieces; nor text that Go would read as an action, or a
 * Modelfile as the end of the template. */
static void what_cannot_be_said(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "{% for m in messages %}{{ loop.index }}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[a]",
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] | upper }}{% endfor %}[a]",
        "{% for m in messages[-1:] %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[a]",
        "{% for m in messages %}{{ '{{' }}{{ m['role'] }}]{{ m['content'] }}{% endfor %}[a]",
        "{% for m in messages %}{{ '{{ .System }}' }}{{ m['content'] }}{% endfor %}[a]",
        "{% for m in messages %}[{{ m['role'] }}]{{ '{' }}{{ m['content'] }}{% endfor %}[a]",
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}\"",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool has_system;
        char *go = go_of(cases[i], NULL, &has_system);
        if (go)
            fail_msg("template %zu: found '%s'", i, go);
    }
}

/* A bos that the tokenizer puts in front is not in the template, and one that it does not is. */
static void bos_once(void **state)
{
    (void)state;
    static const char config[] =
        "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"bos_token\":\"<|begin|>\",\"eos_token\":"
        "\"<|end|>\",\"chat_template\":\"{% for m in messages %}<|begin|>{{ m['content'] }}<|end|>"
        "{% endfor %}\"}";
    vkft_err err = {0};
    const vkft_observer nobody = {0};
    char *dir = vkft_test_directory(), *tokenizer = vkft_path_join(dir, "tokenizer.json"),
         *settings = vkft_path_join(dir, "tokenizer_config.json"), *path = vkft_path_join(dir, "Modelfile");
    size_t size;
    char *json = vkft_test_read(VKFT_TEST_DATA "/tokenizers/byte_level.json", &size);
    const vkft_modelfile modelfile = {.from = "./x.gguf", .adapter = "./a.gguf", .model = dir};
    expect_ok(vkft_file_write(settings, config, sizeof config - 1, &err));
    for (int leads = 1; leads >= 0; leads--) {
        if (!leads)
            memcpy(strstr(json, "\"post_processor\""), "\"past_processor\"", 16);
        expect_ok(vkft_file_write(tokenizer, json, size, &err));
        expect_ok(vkft_write_modelfile(&modelfile, path, &nobody, &err));
        char *text = vkft_test_read(path, &size);
        size = strlen(json);
        if (!strstr(text, leads ? "{{ if eq $i 0 }}{{ else" : "{{ if eq $i 0 }}<|begin|>{{ else") ||
            strncmp(text, "FROM ./x.gguf\nADAPTER ./a.gguf\n", 31) != 0 ||
            !strstr(text, "PARAMETER stop \"<|end|>\"\n"))
            fail_msg("leads %d: '%s'", leads, text);
        free(text);
    }
    free(json);
    free(tokenizer);
    free(settings);
    free(path);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chatml), cmocka_unit_test(merged_system),
                                       cmocka_unit_test(without_system), cmocka_unit_test(what_cannot_be_said),
                                       cmocka_unit_test(bos_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
