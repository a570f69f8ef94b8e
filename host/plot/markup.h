/* HTML and SVG as text that grows: what pages and charts share. */
#ifndef VKFT_MARKUP_H
#define VKFT_MARKUP_H

#include "runtime/base/error.h"
#include "runtime/base/text.h"

/* As it stands. */
bool vkft_markup_append(vkft_text *out, const char *markup, vkft_err *err);
/* A text, or the value of an attribute in quotes: &, <, >, " and ' are escaped. */
bool vkft_markup_escape(vkft_text *out, const char *text, vkft_err *err);
/* As printf, at most 1000 characters; for numbers and names of our own: nothing is escaped. */
bool vkft_markup_format(vkft_text *out, vkft_err *err, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Colours of Okabe and Ito (2008), which people of every colour vision can tell apart, and which lie on light and dark
 * grounds alike; after the last one they begin again. */
const char *vkft_markup_colour(size_t index);

#endif
