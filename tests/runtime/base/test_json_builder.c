/* JSON values in the making: what they print, bytes that are no UTF-8, and a failed allocation anywhere. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/json/builder.h"

static int left = -1; /* allocations of cJSON that succeed; negative: all */

static void *allocate(size_t size)
{
    return left == 0 ? NULL : (left -= left > 0, malloc(size));
}

/* NULL: something failed. */
static cJSON *make(void)
{
    bool failed = false;
    cJSON *twin = cJSON_Parse("{\"a\":[1]}");
    vkft_json_node o = vkft_json_make_object(&failed), list = vkft_json_put_array(o, "list"),
                   inner = vkft_json_put_object(list, NULL);
    vkft_json_put_number(o, "n", 0.5);
    vkft_json_put_number(o, "nan", (double)NAN);
    vkft_json_put_bool(inner, "b", true);
    vkft_json_put_null(list, NULL);
    vkft_json_put_string(list, NULL, "text");
    vkft_json_put_integers(o, "ids", (const int32_t[]){1, -2}, 2);
    vkft_json_put_integers(o, "none", NULL, 0);
    vkft_json_put_copy(o, "copy", twin);
    cJSON_Delete(twin);
    return vkft_json_made(o);
}

static void values(void **state)
{
    (void)state;
    cJSON *made = make();
    char *text = cJSON_PrintUnformatted(made);
    assert_string_equal(text,
                        "{\"list\":[{\"b\":true},null,\"text\"],\"n\":0.5,\"nan\":null,\"ids\":[1,-2],\"none\":[],"
                        "\"copy\":{\"a\":[1]}}");
    cJSON_free(text);
    cJSON_Delete(made);
}

static void damaged_text(void **state)
{
    (void)state;
    bool failed = false;
    vkft_json_node o = vkft_json_make_object(&failed);
    vkft_json_put_string(o, "path", "/m\xe9l/\xed\xa0\x80\xc3\xa9");
    cJSON *made = vkft_json_made(o);
    assert_string_equal(cJSON_GetObjectItem(made, "path")->valuestring,
                        "/m\xef\xbf\xbdl/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9");
    cJSON_Delete(made);
}

/* Whatever cannot be had, the whole is not made; nothing is left over (the sanitizers watch). */
static void failures(void **state)
{
    (void)state;
    cJSON_Hooks hooks = {allocate, free};
    cJSON_InitHooks(&hooks);
    int count = 0;
    for (;; count++) {
        left = count;
        cJSON *made = make();
        left = -1;
        cJSON_Delete(made);
        if (made)
            break;
        assert_true(count < 1000);
    }
    cJSON_InitHooks(NULL);
    assert_true(count > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(damaged_text),
                                       cmocka_unit_test(failures)};
    return cmocka_run_group_tests_name("json builder", tests, NULL, NULL);
}
