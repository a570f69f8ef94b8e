/* What the files that encode rows share. */
#ifndef VKFT_DATASET_ENCODE_PRIVATE_H
#define VKFT_DATASET_ENCODE_PRIVATE_H

#include "formats/dataset/encode.h"

/* One row on its way. */
typedef struct builder {
    const vkft_row_encoder *encoder;
    vkft_encoded_row *out;
    const char *place;
} builder;

/* Counts the example whose ids begin at `first` among those that cannot be trained on, and takes its ids away. False:
 * out of memory. */
bool builder_reject(builder *b, uint32_t first, vkft_bad_reason reason, vkft_err *err, const char *format, ...)
    VKFT_PRINTF(5, 6);
bool builder_check_ids(const builder *b, uint32_t first, vkft_err *err);
/* Labels for the ids that have none yet. */
bool builder_label(builder *b, bool masked, vkft_err *err);
/* Ends the sample whose ids and labels begin at `first` and go to the end: checks it and cuts it to length. reason: why
 * it is rejected where it has nothing to train on although it is not too long. */
bool builder_end_sample(builder *b, uint32_t first, vkft_bad_reason reason, vkft_err *err);
/* The same for a sample of two sides, whose source_length first tokens are the encoder's; `dropped` were cut off. */
bool builder_end_two_sides(builder *b, uint32_t first, uint32_t source_length, uint32_t dropped, vkft_bad_reason reason,
                           vkft_err *err);

/* Adds one whose ids and labels are in their place. */
bool builder_put_sample(builder *b, vkft_encoded_sample sample, vkft_err *err);
/* Appends the ids of a text to those of the row; special: with the special tokens around it. */
bool builder_encode(const builder *b, const char *text, bool special, vkft_err *err);
/* A prompt: the special tokens before it, none after it. */
bool builder_encode_prompt(const builder *b, const char *text, vkft_ids *ids, vkft_err *err);
/* EOS, unless the tokenizer put it there already. */
bool builder_end_with_eos(const builder *b, vkft_ids *ids, uint32_t first, vkft_err *err);
/* Error: there is no chat template. */
bool builder_need_template(const vkft_row_encoder *e, const char *place, vkft_err *err);

/* encode_tokens.c: a row of ids. */
bool builder_add_tokens(builder *b, const cJSON *row, vkft_err *err);
/* Appends whole numbers; *bad says what is wrong with the array, "" nothing. */
bool builder_push_numbers(const cJSON *array, const char *key, vkft_ids *out, char bad[120], vkft_err *err);
/* encode_preference.c: the samples of a prompt's answers, all of them or none. */
bool builder_add_choice(builder *b, const vkft_choice *choice, vkft_err *err);

/* encode_choices.c: the samples of the alternatives, after the example's own, which is out->samples[before] and whose
 * ids begin at `first`; both or neither. */
bool builder_add_alternatives(builder *b, const vkft_example *example, uint32_t first, uint32_t before, vkft_err *err);

#endif
