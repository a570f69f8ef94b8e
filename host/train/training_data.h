/* The data of a run: which file, and how it becomes samples. */
#ifndef VKFT_TRAINING_DATA_H
#define VKFT_TRAINING_DATA_H

#include "formats/config/config.h"
#include "formats/dataset/dataset.h"
#include "formats/chat/model_text.h"
#include "host/train/options.h"

/* Opens one split of what options->path names ("train", "valid", "test"); says what was found. *found is false when
 * there is no such split. */
bool vkft_data_open(const vkft_data_options *options, const char *split, const vkft_model_text *text,
                    const vkft_config *config, const vkft_observer *observer, vkft_dataset *data, bool *found,
                    vkft_err *err);

/* Says what vkft_data_open says of such data, of those that are open already. */
bool vkft_data_say(const vkft_data_options *options, const char *split, const vkft_model_text *text,
                   const vkft_config *config, const vkft_observer *observer, const vkft_dataset *data, vkft_err *err);

/* Says what is right as it stands but seldom meant: texts that begin with BOS twice, answers that no token of the model
 * ends. */
void vkft_data_warn(const vkft_model_text *text, const vkft_config *config, const vkft_dataset *data,
                    const vkft_observer *observer);

/* Calls visit with each run of masked or trained tokens of a sample: their text, or without a tokenizer their numbers;
 * until it returns false. */
bool vkft_data_visit_parts(const vkft_tokenizer *tok, const vkft_sample *sample,
                           bool (*visit)(void *context, bool trained, const vkft_text *text, vkft_err *err),
                           void *context, vkft_err *err);

/* Says a sample's length and its masked and trained parts, one line each. */
bool vkft_data_show_sample(const vkft_tokenizer *tok, const vkft_sample *sample, const char *title,
                           const vkft_observer *observer, vkft_err *err);

#endif
