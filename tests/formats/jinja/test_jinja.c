/* Chat templates against Jinja2 as transformers configures it, and the bounds of what a template may do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/jinja/jinja.h"
#include "runtime/base/json.h"
#include "tests/support/program.h"

static const char *text_of(const cJSON *object, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
    return text ? text : "";
}

/* Renders; *out must be freed. */
static bool render(const char *template, const cJSON *variables, vkft_jinja_output *out, vkft_err *err)
{
    memset(out, 0, sizeof *out);
    vkft_jinja *t = vkft_jinja_new(template, strlen(template), "template", err);
    bool ok = t && vkft_jinja_render(t, variables, NULL, 1700000000, out, err);
    vkft_jinja_free(t);
    return ok;
}

/* Returns whether the template gives the expected text; says what it gave when not. */
static bool gives(const char *name, const char *template, const cJSON *variables, const char *expected,
                  const cJSON *generated)
{
    vkft_jinja_output out;
    vkft_err err = {0};
    bool ok = render(template, variables, &out, &err);
    const char *text = out.text.data ? out.text.data : "";
    bool same = ok && strcmp(text, expected) == 0;
    if (!same)
        print_error("%s: %.200s\n  expected %s\n  found    %s\n", name, template, expected, ok ? text : err.message);
    if (same && generated) {
        same = (int)out.generated_count == cJSON_GetArraySize(generated);
        for (uint32_t i = 0; same && i < out.generated_count; i++) {
            const cJSON *range = cJSON_GetArrayItem(generated, (int)i);
            same = out.generated[i].begin == (size_t)cJSON_GetArrayItem(range, 0)->valuedouble &&
                   out.generated[i].end == (size_t)cJSON_GetArrayItem(range, 1)->valuedouble;
        }
        if (!same)
            print_error("%s: the generated ranges differ\n", name);
    }
    vkft_jinja_output_free(&out);
    return same;
}

static bool fails(const char *template, const cJSON *variables)
{
    vkft_jinja_output out;
    vkft_err err = {0};
    bool ok = render(template, variables, &out, &err);
    if (ok)
        print_error("%.100s\n  expected an error, found %s\n", template, out.text.data ? out.text.data : "");
    else if (strchr(err.message, '\n') || !strstr(err.message, "line "))
        print_error("%.100s\n  an error must be one line with a place: %s\n", template, err.message);
    bool good = !ok && !strchr(err.message, '\n') && strstr(err.message, "line ");
    vkft_jinja_output_free(&out);
    return good;
}

static void test_golden_cases(void **state)
{
    (void)state;
    cJSON *root = vkft_test_read_json(VKFT_TEST_DATA "/jinja_cases.json");
    const cJSON *variables = cJSON_GetObjectItem(root, "variables"), *c;
    uint32_t wrong = 0, count = 0;
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases"))
    {
        count++;
        const char *template = text_of(c, "template");
        wrong += cJSON_GetObjectItem(c, "error") ? !fails(template, variables)
                                                 : !gives("golden", template, variables, text_of(c, "expected"),
                                                          cJSON_GetObjectItem(c, "generated"));
    }
    cJSON_Delete(root);
    if (wrong)
        fail_msg("%u of %u cases differ", wrong, count);
    assert_true(count > 100);
}

static void test_published_unit_cases(void **state)
{
    (void)state;
    const char *shared = vkft_test_shared_data();
    if (!shared)
        skip();
    char path[600];
    snprintf(path, sizeof path, "%s/chat/jinja_unit_cases.json", shared);
    vkft_err err = {0};
    size_t size;
    char *text = vkft_test_read(path, &size);
    cJSON *root =
        vkft_json_parse(text, size, path, &err); /* some strings hold \u0000, which cJSON alone would end them at */
    free(text);
    assert_non_null(root);
    const cJSON *c;
    uint32_t wrong = 0, count = 0;
    cJSON_ArrayForEach(c, root)
    {
        count++;
        wrong += !gives(text_of(c, "name"), text_of(c, "template"), cJSON_GetObjectItem(c, "context"),
                        text_of(c, "expected"), NULL);
    }
    cJSON_Delete(root);
    if (wrong)
        fail_msg("%u of %u cases differ", wrong, count);
    print_message("%u published cases\n", count);
}

static void test_published_templates(void **state)
{
    (void)state;
    const char *shared = vkft_test_shared_data();
    if (!shared)
        skip();
    char path[600];
    snprintf(path, sizeof path, "%s/chat/llamacpp_template_cases.json", shared);
    cJSON *root = vkft_test_read_json(path);
    const cJSON *c;
    uint32_t wrong = 0, count = 0;
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases"))
    {
        if (!cJSON_IsTrue(cJSON_GetObjectItem(c, "plain_jinja_gives_expected")))
            continue;
        cJSON *variables = cJSON_CreateObject();
        cJSON_AddStringToObject(variables, "bos_token", text_of(c, "bos_token"));
        cJSON_AddStringToObject(variables, "eos_token", text_of(c, "eos_token"));
        cJSON_AddItemReferenceToObject(variables, "messages", cJSON_GetObjectItem(root, "messages"));
        cJSON_AddItemReferenceToObject(variables, "add_generation_prompt",
                                       cJSON_GetObjectItem(root, "add_generation_prompt"));
        count++;
        wrong += !gives(text_of(c, "name"), text_of(c, "template"), variables, text_of(c, "expected"), NULL);
        cJSON_Delete(variables);
    }
    cJSON_Delete(root);
    if (wrong)
        fail_msg("%u of %u templates differ", wrong, count);
    print_message("%u published templates\n", count);
}

#define LONG_TEXTS "{% set x = 'a' * 1000000 %}{% set y = 'a' * 1000000 %}"

/* Templates that would take all time, memory or stack of the machine end with an error instead. */
static void test_bounds(void **state)
{
    (void)state;
    cJSON *none = cJSON_CreateObject();
    static const char *const greedy[] = {
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set x = 'aaaaaaaaaaaaaaaa' * 100000 %}{% for i in range(1000) %}{{ x }}{% endfor %}",
        "{{ 'ab' * 1000000000000 }}",
        "{% set l = [1] %}{{ l * 1000000000 }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{{ 2 ** 100 }}",
        "{{ 9223372036854775807 }}",
        "{{ 'x' | center(100000000) }}",
        LONG_TEXTS "{% for i in range(99999) %}{% if x | length == i %}{% endif %}{% endfor %}",
        LONG_TEXTS "{% for i in range(99999) %}{% if x == y %}{% endif %}{% endfor %}",
        LONG_TEXTS "{{ x.strip('b' * 999999 ~ 'a') }}",
        LONG_TEXTS "{{ x.find((x[500000:]) ~ 'b') }}",
    };
    for (size_t i = 0; i < sizeof greedy / sizeof *greedy; i++)
        assert_true(fails(greedy[i], none));
    enum { deep = 100000 };
    char *text = calloc(2 * deep + 100, 1);
    static const char *const openings[] = {"{{ (", "{{ [", "{{ not ", "{{ -", "{% if x %}", "{{ a[", "{{ {1:"};
    for (size_t k = 0; k < sizeof openings / sizeof *openings; k++) {
        text[0] = 0;
        size_t n = (size_t)sprintf(text, "%s", openings[k]);
        const char *again = openings[k] + (openings[k][1] == '{' ? 3 : 0);
        for (size_t m = strlen(again); n + m < deep; n += m)
            memcpy(text + n, again, m);
        text[n] = 0;
        assert_true(fails(text, none));
    }
    free(text);
    cJSON_Delete(none);
}

static void test_strftime(void **state)
{
    (void)state;
    cJSON *none = cJSON_CreateObject();
    assert_true(gives("strftime", "{{ strftime_now('%d %b %Y') }}", none, "14 Nov 2023", NULL));
    assert_true(fails("{{ strftime_now('%Q') }}", none));
    cJSON_Delete(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_cases),
        cmocka_unit_test(test_published_unit_cases),
        cmocka_unit_test(test_published_templates),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_strftime),
    };
    return cmocka_run_group_tests_name("jinja", tests, NULL, NULL);
}
