/* The keys of a GGUF file from the small files of a checkpoint of transformers: the reverse of model.h.
 *
 * Source: convert_hf_to_gguf.py and gguf-py of llama.cpp. Test: test_merge
 */
#ifndef VKFT_GGUF_KEYS_H
#define VKFT_GGUF_KEYS_H

#include "formats/config/config.h"
#include "formats/gguf/model.h"
#include "formats/gguf/writer.h"
#include "formats/tokenizer/files/source.h"
#include "runtime/base/observer.h"

/* The configuration's keys, and the tables of rotary positions as tensors, whose data is appended with
 * vkft_gguf_append_tables before that of tensors that are added later. Says what llama.cpp computes otherwise in long
 * texts. Error: what its architecture cannot express. */
bool vkft_gguf_put_config(vkft_gguf_writer *writer, const vkft_gguf_arch *arch, const vkft_config *config,
                          const vkft_observer *observer, vkft_err *err);
bool vkft_gguf_append_tables(vkft_gguf_writer *writer, const vkft_config *config, vkft_err *err);

/* The tokenizer's keys. chat_template may be NULL. vocab_size: rows of the embedding, to which the list of tokens is
 * filled up. A model without a tokenizer gets none, which is said. Error: a tokenizer that llama.cpp does not know. */
bool vkft_gguf_put_tokenizer(vkft_gguf_writer *writer, const vkft_small_file files[VKFT_TOKENIZER_FILES],
                             const vkft_config *config, const char *chat_template, const vkft_observer *observer,
                             vkft_err *err);

/* For vkft_gguf_put_tokenizer: the name in tokenizer.ggml.pre for the parts of a tokenizer.json; NULL: none fits. */
const char *vkft_gguf_pre_of(const cJSON *tokenizer);

#endif
