/* See open_tokenizer.h. */
#include "tests/support/open_tokenizer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "tests/support/program.h"
#include "formats/tokenizer/files/source.h"

vkft_tokenizer *vkft_test_open_tokenizer(const char *dir, const cJSON *names, const char *config)
{
    vkft_small_file files[VKFT_TOKENIZER_FILES] = {0};
    vkft_err err = {0};
    vkft_tokenizer *tok;
    char *owned[VKFT_TOKENIZER_FILES] = {0};
    for (int i = 0; i < VKFT_TOKENIZER_FILES; i++) {
        const char *name = names ? cJSON_GetStringValue(cJSON_GetObjectItem(names, vkft_tokenizer_file_names[i]))
                                 : vkft_tokenizer_file_names[i];
        char path[512];
        snprintf(path, sizeof path, "%s/%s", dir, name ? name : "");
        if (i == VKFT_FILE_TOKENIZER_CONFIG && config)
            files[i] = (vkft_small_file){config, strlen(config)};
        else if (name && vkft_file_exists(path))
            files[i].data = owned[i] = vkft_test_read(path, &files[i].length);
    }
    if (!vkft_tokenizer_from_files(files, &tok, &err) || !tok)
        fail_msg("%s: %s", dir, err.message);
    for (int i = 0; i < VKFT_TOKENIZER_FILES; i++)
        free(owned[i]);
    return tok;
}

vkft_text vkft_test_text(const cJSON *string)
{
    const char *value = cJSON_GetStringValue(string);
    assert_non_null(value);
    vkft_text text = {.data = malloc(strlen(value) + 1)};
    text.length = vkft_json_decode_zeros(value, text.data);
    return text;
}

void vkft_test_same_ids(const char *what, const char *text, const vkft_ids *ids, const cJSON *want)
{
    bool same = ids->count == (uint32_t)cJSON_GetArraySize(want);
    for (uint32_t i = 0; same && i < ids->count; i++)
        same = cJSON_GetArrayItem(want, (int)i)->valueint == ids->data[i];
    if (!same)
        fail_msg("%s: \"%s\" has %u ids, other ones than the %d expected", what, text, ids->count,
                 cJSON_GetArraySize(want));
}

void vkft_test_encodes(const vkft_tokenizer *tok, const char *what, const cJSON *string, bool special,
                       const cJSON *want)
{
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_text text = vkft_test_text(string);
    if (!vkft_tokenizer_encode(tok, text.data, text.length, special, &ids, &err))
        fail_msg("%s: %s", what, err.message);
    vkft_test_same_ids(what, text.data, &ids, want);
    vkft_ids_free(&ids);
    vkft_text_free(&text);
}

void vkft_test_decodes(const vkft_tokenizer *tok, const char *what, const cJSON *list, const cJSON *want)
{
    vkft_err err = {0};
    vkft_ids ids = {0};
    vkft_text text = {0}, expected = vkft_test_text(want);
    const cJSON *id;
    cJSON_ArrayForEach(id, list) assert_true(vkft_ids_push(&ids, id->valueint, &err));
    if (!vkft_tokenizer_decode(tok, ids.data, ids.count, false, &text, &err))
        fail_msg("%s: %s", what, err.message);
    if (text.length != expected.length || memcmp(text.data, expected.data, text.length) != 0)
        fail_msg("%s: decoded \"%s\", expected \"%s\"", what, text.data, expected.data);
    vkft_ids_free(&ids);
    vkft_text_free(&text);
    vkft_text_free(&expected);
}
