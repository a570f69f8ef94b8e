/* See rows_test.h. */
#include "tests/support/rows_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

void vkft_test_rows_begin(vkft_test_rows *rows, const char *template)
{
    char path[600];
    vkft_err err = {0};
    rows->dir = vkft_test_directory();
    snprintf(path, sizeof path, "%s/t.jinja", rows->dir);
    expect_ok(vkft_file_write(path, template, strlen(template), &err));
    expect_ok(vkft_model_text_open(VKFT_PROJECT_DIR "/tools/bundled/model", &(vkft_chat_options){.file = path},
                                   &rows->text, &err));
}

void vkft_test_rows_end(vkft_test_rows *rows)
{
    vkft_model_text_free(&rows->text);
    vkft_test_remove_directory(rows->dir);
}

vkft_dataset_options vkft_test_rows_options(const vkft_test_rows *rows, uint32_t max_seq_length)
{
    return (vkft_dataset_options){.max_seq_length = max_seq_length,
                                  .mask_prompt = true,
                                  .error_on_bad_row = true,
                                  .vocab_size = vkft_tokenizer_vocab_size(rows->text.tokenizer),
                                  .eos_id = vkft_tokenizer_eos_id(rows->text.tokenizer),
                                  .chat = rows->text.chat};
}

bool vkft_test_rows_open(const vkft_test_rows *rows, const char *lines, const vkft_dataset_options *options,
                         vkft_dataset *data, vkft_err *err)
{
    char path[600];
    snprintf(path, sizeof path, "%s/row.jsonl", rows->dir);
    return vkft_file_write(path, lines, strlen(lines), err) &&
           vkft_dataset_open(path, rows->text.tokenizer, options, data, err);
}
