/* Upper and lower case as Python's str has them: with characters that become several, and the sigma at the end of a
 * word. */
#include <string.h>

#include <utf8proc.h>

#include "formats/jinja/jinja_private.h"

#define CASE(character, upper, title) {character, upper, title},
static const struct {
    int32_t character;
    const char *upper, *title;
} special[] = {
#include "formats/jinja/special_casing.def"
};
#undef CASE

#define CAPITAL_SIGMA 0x3a3
#define FINAL_SIGMA 0x3c2
#define CAPITAL_I_WITH_DOT 0x130

/* The character that begins at a byte; *n: its length. */
static utf8proc_int32_t character_at(const jinja_string *t, size_t at, size_t *n)
{
    *n = vkft_utf8_length(t->data + at, t->length - at);
    *n = *n ? *n : 1;
    return (utf8proc_int32_t)vkft_utf8_decode(t->data + at, *n);
}

static bool is_cased(utf8proc_int32_t p)
{
    utf8proc_category_t category = utf8proc_category(p);
    return category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LL || category == UTF8PROC_CATEGORY_LT ||
           utf8proc_toupper(p) != utf8proc_tolower(p);
}

/* What may stand in a word without being a letter of it. */
static bool is_ignorable(utf8proc_int32_t p)
{
    static const utf8proc_int32_t marks[] = {0x27,   0x2e,   0x3a,   0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                             0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (marks[i] == p)
            return true;
    switch (utf8proc_category(p)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default: return false;
    }
}

static bool ends_word(const jinja_string *t, size_t at)
{
    bool before = false;
    utf8proc_int32_t p;
    size_t i, n;
    for (i = 0; i < at; i += n) {
        p = character_at(t, i, &n);
        before = is_ignorable(p) ? before : is_cased(p);
    }
    for (character_at(t, at, &n), i = at + n; before && i < t->length; i += n) {
        p = character_at(t, i, &n);
        if (!is_ignorable(p))
            return !is_cased(p);
    }
    return before;
}

static void put(jinja_state *s, jinja_buffer *out, utf8proc_int32_t p)
{
    char utf8[4];
    jinja_append(s, out, utf8, vkft_utf8_encode((uint32_t)p, utf8));
}

static void lower(jinja_state *s, jinja_buffer *out, const jinja_string *t, size_t at, utf8proc_int32_t p)
{
    if (p == CAPITAL_SIGMA && jinja_work(s, t->length) && ends_word(t, at))
        put(s, out, FINAL_SIGMA);
    else if (p == CAPITAL_I_WITH_DOT)
        jinja_append(s, out, "i\u0307", strlen("i\u0307"));
    else
        put(s, out, utf8proc_tolower(p));
}

static void upper(jinja_state *s, jinja_buffer *out, utf8proc_int32_t p, bool title)
{
    for (size_t i = 0; p >= special[0].character && i < sizeof special / sizeof *special; i++)
        if (special[i].character == p) {
            const char *text = title ? special[i].title : special[i].upper;
            jinja_append(s, out, text, strlen(text));
            return;
        }
    put(s, out, title ? utf8proc_totitle(p) : utf8proc_toupper(p));
}

jinja_value jinja_change_case(jinja_state *s, const jinja_string *t, jinja_casing how)
{
    jinja_buffer out = {0};
    bool after_letter = false;
    for (size_t i = 0, n; i < t->length && !s->failed; i += n) {
        utf8proc_int32_t p = character_at(t, i, &n);
        bool title = (how == JINJA_TITLE && !after_letter) || (how == JINJA_CAPITALIZE && i == 0);
        if (how == JINJA_UPPER || title || (how == JINJA_SWAP && utf8proc_category(p) == UTF8PROC_CATEGORY_LL))
            upper(s, &out, p, title);
        else
            lower(s, &out, t, i, p);
        after_letter = is_cased(p);
    }
    return jinja_take_like(s, &out, t);
}
