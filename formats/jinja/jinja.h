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

/* A stretch of the output. */
typedef struct vkft_jinja_run {
    size_t begin, end;
    uint32_t origin; /* the message whose data it is, from 1; 0: no message's; VKFT_JINJA_MIXED */
    uint32_t writer; /* the message in whose iteration of a loop it was written, from 1; VKFT_JINJA_OTHER_LOOP and
                        above: an iteration of another loop; 0: outside of loops */
} vkft_jinja_run;
#define VKFT_JINJA_MIXED                                                                                               \
    0xffffu /* made of the data of several messages or of one and other text, so that bytes cannot be told */
#define VKFT_JINJA_OTHER_LOOP 0x8000u

#define VKFT_JINJA_MAX_STEPS 20000000u /* of one rendering: nodes evaluated and items visited */

/* Zeroed by the caller, or with max_steps set. */
typedef struct vkft_jinja_output {
    uint32_t max_steps; /* less than the maximum, or 0: the maximum */
    uint32_t steps;     /* taken */
    vkft_text text;
    vkft_byte_range *generated; /* what {% generation %} blocks wrote, ascending */
    uint32_t generated_count, generated_capacity;
    vkft_jinja_run *runs; /* the whole text, ascending, when messages are tracked */
    uint32_t run_count, run_capacity;
    uint32_t failed_at; /* after an error: the message that was written, from 1, if messages are tracked; 0: none */
} vkft_jinja_output;
void vkft_jinja_output_free(vkft_jinja_output *out);

bool vkft_jinja_has_generation(const vkft_jinja *t);
/* Whether a word stands anywhere in its source: what does not, it cannot read by that name. */
bool vkft_jinja_mentions(const vkft_jinja *t, const char *word);

/* variables: an object; its order is a dict's order. Whole numbers are ints, as far as JSON tells. tracked: the
 * variable that is a list of messages, {"role", "content", ...}, of which out->runs tells who wrote what; NULL: none.
 * now: what strftime_now shows, UTC. Error: line and cause, or the text that the template gave raise_exception. */
bool vkft_jinja_render(const vkft_jinja *t, const cJSON *variables, const char *tracked, int64_t now_unix_seconds,
                       vkft_jinja_output *out, vkft_err *err);

#endif
