/* What a conversation keeps, and what of it the model sees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/chat/history.h"
#include "runtime/base/json.h"
#include "tests/support/expect.h"

/* The contents that the model sees, one after the other. */
static void expect_seen(const vkft_history *history, const char *want)
{
    vkft_err err = {0};
    char found[200] = "";
    cJSON *seen = vkft_history_seen(history, &err), *message;
    cJSON_ArrayForEach(message, seen) strcat(found, cJSON_GetObjectItem(message, "content")->valuestring);
    cJSON_Delete(seen);
    assert_string_equal(found, want);
}

static void test_messages(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_history h;
    expect_ok(vkft_history_new(&h, &err));
    assert_null(vkft_history_system(&h));
    assert_false(vkft_history_ends_with(&h, "user"));
    expect_ok(vkft_history_add(&h, "user", "q", &err) && vkft_history_add(&h, "assistant", "a", &err));
    expect_seen(&h, "qa");
    expect_ok(vkft_history_set_system(&h, "s", &err)); /* comes before what is there */
    expect_seen(&h, "sqa");
    expect_ok(vkft_history_set_system(&h, "t", &err));
    assert_string_equal(vkft_history_system(&h), "t");
    expect_seen(&h, "tqa");
    vkft_history_remove_last(&h);
    assert_true(vkft_history_ends_with(&h, "user"));
    vkft_history_clear(&h);
    expect_seen(&h, "t");
    expect_ok(vkft_history_set_system(&h, NULL, &err));
    expect_seen(&h, "");
    vkft_history_free(&h);
}

/* A question goes with all that was said to it; the last one stays. */
static void test_forgetting(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_history h;
    expect_ok(vkft_history_new(&h, &err));
    expect_ok(vkft_history_set_system(&h, "s", &err));
    static const char *const roles[] = {"user", "assistant", "assistant", "user", "assistant", "user"};
    static const char *const texts[] = {"1", "2", "3", "4", "5", "6"};
    for (int i = 0; i < 6; i++)
        expect_ok(vkft_history_add(&h, roles[i], texts[i], &err));
    assert_true(vkft_history_forget(&h));
    expect_seen(&h, "s456");
    assert_true(vkft_history_forget(&h));
    expect_seen(&h, "s6");
    assert_false(vkft_history_forget(&h));
    assert_int_equal(h.forgotten, 5);
    assert_int_equal(cJSON_GetArraySize(h.messages), 7); /* kept for who saves it */
    vkft_history_clear(&h);
    assert_int_equal(h.forgotten, 0);
    vkft_history_free(&h);
}

static void test_replacing(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"[{\"role\":\"user\",\"content\":\"x\"}]", NULL},
        {"[]", "ends with a message of the role \"user\""},
        {"[{\"role\":\"assistant\",\"content\":\"x\"}]", "ends with a message of the role \"user\""},
        {"[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"user\"}]", "messages[1]: expected"},
        {"[1]", "messages[0]: expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err = {0};
        vkft_history h;
        cJSON *messages = vkft_json_parse(cases[i].text, strlen(cases[i].text), "case", &err);
        assert_non_null(messages);
        expect_ok(vkft_history_new(&h, &err) && vkft_history_add(&h, "user", "before", &err));
        if (cases[i].error)
            expect_failure(vkft_history_replace(&h, messages, &err), cases[i].error);
        else
            expect_ok(vkft_history_replace(&h, messages, &err));
        expect_seen(&h, cases[i].error ? "before" : "x");
        cJSON_Delete(messages);
        vkft_history_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_forgetting),
        cmocka_unit_test(test_replacing),
    };
    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}
