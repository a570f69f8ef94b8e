/* Text of ids that arrive one by one. */
#ifndef VKFT_TEXT_STREAM_H
#define VKFT_TEXT_STREAM_H

#include "formats/tokenizer/tokenizer.h"

/* Streaming decode: push ids one by one; out receives only whole characters that later ids can no longer change.
 * An id that is no token has no text: many models have rows to spare, which one can generate. */
typedef struct vkft_text_stream vkft_text_stream;
vkft_text_stream *vkft_text_stream_new(const vkft_tokenizer *tok, bool skip_special_tokens, vkft_err *err);
void vkft_text_stream_free(vkft_text_stream *stream);
bool vkft_text_stream_push(vkft_text_stream *stream, int32_t id, vkft_text *out, vkft_err *err);
bool vkft_text_stream_finish(vkft_text_stream *stream, vkft_text *out, vkft_err *err);

#endif
