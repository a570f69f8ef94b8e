/* Chat templates: a Jinja evaluator that renders what transformers renders.
 *
 * That is Jinja2's sandbox with trim_blocks and lstrip_blocks, break and continue, the {% generation %} block, and the
 * functions raise_exception and strftime_now. A template is untrusted input: nesting, steps, memory and output are
 * bounded (jinja_private.h).
 */
#ifndef VKFT_JINJA_H
#define VKFT_JINJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "runtime/base/text.h"

typedef struct vkft_jinja vkft_jinja; /* a parsed template; immutable, may be rendered from several threads */

/* file names the source in errors: "chat_template: line 12: ...". Error: a syntax error, something that is not
 * supported, by name. */
vkft_jinja *vkft_jinja_new(const char *source, size_t length, const char *file, vkft_err *err);
void vkft_jinja_free(vkft_jinja *t); /* NULL is fine */

typedef struct vkft_byte_range {
    size_t begin, end;
} vkft_byte_range;

/* Zeroed by the caller. */
typedef struct vkft_jinja_output {
    vkft_text text;
    vkft_byte_range *generated; /* what {% generation %} blocks wrote, ascending */
    uint32_t generated_count, generated_capacity;
} vkft_jinja_output;
void vkft_jinja_output_free(vkft_jinja_output *out);

bool vkft_jinja_has_generation(const vkft_jinja *t);

/* variables: an object; its order is a dict's order. Whole numbers are ints, as far as JSON tells. now: what
 * strftime_now shows, UTC. Error: line and cause, or the text that the template gave raise_exception. */
bool vkft_jinja_render(const vkft_jinja *t, const cJSON *variables, int64_t now_unix_seconds, vkft_jinja_output *out,
                       vkft_err *err);

#endif
