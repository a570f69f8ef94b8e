/* Streaming decode: the window of the last ids is decoded with and without the new one; what the new one adds is given
 * out once it does not end in the middle of a character. The window begins where text was last given out, since
 * decoders look at what stands before. */
#include "formats/tokenizer/text_stream.h"

#include <stdlib.h>
#include <string.h>

struct vkft_text_stream {
    const vkft_tokenizer *tok;
    bool skip_special;
    vkft_ids ids;
    uint32_t window; /* ids before it are done with */
    uint32_t given;  /* text of ids before it was given out */
};

vkft_text_stream *vkft_text_stream_new(const vkft_tokenizer *tok, bool skip_special_tokens, vkft_err *err)
{
    vkft_text_stream *stream = calloc(1, sizeof *stream);
    if (!stream) {
        vkft_fail_memory(err, "while decoding");
        return NULL;
    }
    stream->tok = tok;
    stream->skip_special = skip_special_tokens;
    return stream;
}

void vkft_text_stream_free(vkft_text_stream *stream)
{
    if (stream)
        vkft_ids_free(&stream->ids);
    free(stream);
}

/* Appends what the ids since `given` add to the window's text, unless it ends inside a character and may still change.
 */
static bool give(vkft_text_stream *stream, bool finish, vkft_text *out, vkft_err *err)
{
    vkft_text before = {0}, after = {0};
    const int32_t *ids = stream->ids.data + stream->window;
    bool ok =
        vkft_tokenizer_decode(stream->tok, ids, stream->given - stream->window, stream->skip_special, &before, err) &&
        vkft_tokenizer_decode(stream->tok, ids, stream->ids.count - stream->window, stream->skip_special, &after, err);
    bool open = ok && after.length >= 3 && memcmp(after.data + after.length - 3, "\xef\xbf\xbd", 3) == 0;
    if (ok && after.length > before.length && (finish || !open)) {
        ok = vkft_text_append(out, after.data + before.length, after.length - before.length, err);
        stream->window = stream->given;
        stream->given = stream->ids.count;
    }
    vkft_text_free(&before);
    vkft_text_free(&after);
    return ok;
}

bool vkft_text_stream_push(vkft_text_stream *stream, int32_t id, vkft_text *out, vkft_err *err)
{
    return !vkft_tokenizer_has(stream->tok, id) ||
           (vkft_ids_push(&stream->ids, id, err) && give(stream, false, out, err));
}

bool vkft_text_stream_finish(vkft_text_stream *stream, vkft_text *out, vkft_err *err)
{
    return stream->ids.count == 0 || give(stream, true, out, err);
}
