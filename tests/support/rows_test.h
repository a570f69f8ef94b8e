/* Rows that become samples with the bundled model's tokenizer and a chat template of the test's own. */
#ifndef VKFT_TEST_ROWS_TEST_H
#define VKFT_TEST_ROWS_TEST_H

#include "formats/chat/model_text.h"
#include "formats/dataset/dataset.h"

typedef struct vkft_test_rows {
    char *dir; /* for files of the test */
    vkft_model_text text;
} vkft_test_rows;

/* Both fail the test where they cannot do it. */
void vkft_test_rows_begin(vkft_test_rows *rows, const char *template);
void vkft_test_rows_end(vkft_test_rows *rows);

/* Options that know tokenizer and template, mask prompts and refuse bad rows. */
vkft_dataset_options vkft_test_rows_options(const vkft_test_rows *rows, uint32_t max_seq_length);
/* Opens a file of these lines. */
bool vkft_test_rows_open(const vkft_test_rows *rows, const char *lines, const vkft_dataset_options *options,
                         vkft_dataset *data, vkft_err *err);

#endif
