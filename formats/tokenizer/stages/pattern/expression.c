/* From Oniguruma's language to that of PCRE2. See expression.h.
 *
 * The expression is copied from left to right, and what means something else is replaced. Nested classes become one
 * list, because a union is all that PCRE2 can write in one class; complements and intersections in classes are refused.
 */
#include "formats/tokenizer/stages/pattern/expression.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Alphabetic, marks, decimal digits and connectors. Alphabetic is L, Nl, some marks and some circled letters: older
 * versions of PCRE2 do not know it by name. */
#define WORD                                                                                                           \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24b6}-\\x{24e9}\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{"    \
    "1f189}"
/* Outside of classes these are in a word, too: ² ³ ¹ ¼ ½ ¾. */
#define WORD_ALONE WORD "\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define HEX_DIGIT "0-9A-Fa-f"

#define MAX_GROUPS 64

typedef struct translator {
    const char *start, *at;
    uint32_t depth; /* of classes; 0: outside */
    size_t atom;    /* where in `out` begins what a quantifier is about */
    size_t groups[MAX_GROUPS];
    uint32_t group_count; /* that are open */
    const char *where;
    vkft_text *out;
    vkft_err *err;
} translator;

static bool put(const translator *t, const char *text)
{
    return vkft_text_append(t->out, text, strlen(text), t->err);
}

/* Copies the next n bytes. */
static bool copy(translator *t, size_t n)
{
    const char *from = t->at;
    t->at += n;
    return vkft_text_append(t->out, from, n, t->err);
}

static bool refuse(const translator *t, const char *what)
{
    return vkft_fail(t->err, VKFT_ERR_INPUT, "%s: %s is not supported", t->where, what);
}

/* Copies through the next `last`, or all that is left. */
static bool copy_through(translator *t, const char *last)
{
    const char *found = strstr(t->at, last);
    return copy(t, found ? (size_t)(found - t->at) + strlen(last) : strlen(t->at));
}

/* A name such as Han is the script in Oniguruma; alone, PCRE2 takes it for the characters that the script uses. */
static bool is_script(const char *name, size_t length)
{
    char test[64];
    int code;
    PCRE2_SIZE offset;
    if (length > 40)
        return false;
    snprintf(test, sizeof test, "\\p{sc:%.*s}", (int)length, name);
    pcre2_code *regex = pcre2_compile((PCRE2_SPTR)test, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &offset, NULL);
    pcre2_code_free(regex);
    return regex != NULL;
}

/* \p{NAME}, \P{NAME}, \p{^NAME} */
static bool property(translator *t)
{
    const char *name = t->at + 2;
    if (*name != '{')
        return copy(t, 2);
    name += 1 + (name[1] == '^');
    size_t length = strcspn(name, "}");
    return copy(t, (size_t)(name - t->at)) && (!is_script(name, length) || put(t, "sc:")) && copy_through(t, "}");
}

/* \xHH, \x{H...}, and \uHHHH, which PCRE2 writes as \x{HHHH}. */
static bool code_point(translator *t)
{
    if (t->at[1] == 'x' && t->at[2] != '{' && strchr("89abcdefABCDEF", t->at[2]) && t->at[2])
        return refuse(t, "a byte of a character, such as \\xE9,");
    if (t->at[1] == 'x')
        return t->at[2] == '{' ? copy_through(t, "}") : copy(t, 2);
    char text[16];
    size_t n = 2 + strspn(t->at + 2, "0123456789ABCDEFabcdef");
    if (n < 6)
        return copy(t, 2);
    snprintf(text, sizeof text, "\\x{%.4s}", t->at + 2);
    t->at += 6;
    return put(t, text);
}

/* A list of characters, or all others. */
static bool set(translator *t, const char *list, bool negated)
{
    if (negated && t->depth)
        return refuse(t, "\\W or \\H between [ and ]");
    t->at += 2;
    return t->depth ? put(t, list) : put(t, negated ? "[^" : "[") && put(t, list) && put(t, "]");
}

static bool boundary(translator *t)
{
    bool inverted = t->at[1] == 'B';
    if (t->depth)
        return copy(t, 2);
    t->at += 2;
    return put(t, inverted ? "(?:(?<=[" WORD_ALONE "])(?=[" WORD_ALONE "])|(?<![" WORD_ALONE "])(?![" WORD_ALONE "]))"
                           : "(?:(?<=[" WORD_ALONE "])(?![" WORD_ALONE "])|(?<![" WORD_ALONE "])(?=[" WORD_ALONE "]))");
}

static bool escape(translator *t)
{
    switch (t->at[1]) {
    case 'w':
    case 'W': return set(t, t->depth ? WORD : WORD_ALONE, t->at[1] == 'W');
    case 'h':
    case 'H': return set(t, HEX_DIGIT, t->at[1] == 'H');
    case 'b':
    case 'B': return boundary(t);
    case 'p':
    case 'P': return property(t);
    case 'x':
    case 'u': return code_point(t);
    case 'v': t->at += 2; return put(t, "\\x0b");
    case 'Q':
    case 'E': return refuse(t, "\\Q or \\E"); /* letters there, a quotation here */
    case 0: return copy(t, 1);
    default: return copy(t, 2);
    }
}

/* [:NAME:] in a class. */
static bool posix(translator *t, size_t length)
{
    static const char *const sets[][2] = {
        {"alpha", "\\p{Alphabetic}"},
        {"alnum", "\\p{Alphabetic}\\p{Nd}"},
        {"digit", "\\p{Nd}"},
        {"lower", "\\p{Lowercase}"},
        {"upper", "\\p{Uppercase}"},
        {"punct", "\\p{P}\\p{S}"},
        {"space", "\\s"},
        {"word", WORD},
        {"xdigit", HEX_DIGIT},
        {"ascii", "\\x00-\\x7f"},
        {"cntrl", "\\p{Cc}"},
        {"blank", "\\t\\p{Zs}"},
    };
    char what[64];
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (strlen(sets[i][0]) == length && memcmp(t->at + 2, sets[i][0], length) == 0) {
            t->at += length + 4;
            return put(t, sets[i][1]);
        }
    snprintf(what, sizeof what, "%.*s", (int)(length < 40 ? length + 4 : 40), t->at);
    return refuse(t, what);
}

/* A bracket that begins a class. What has a meaning at the edges of a class alone is written so that it has none, for
 * the edges of a nested one vanish. */
static bool open_class(translator *t)
{
    bool outer = t->depth++ == 0;
    t->at++;
    if (!outer && *t->at == '^')
        return refuse(t, "[^ between [ and ]");
    if (outer && (!put(t, "[") || (*t->at == '^' && !copy(t, 1))))
        return false;
    if (*t->at != ']' && *t->at != '-')
        return true;
    return put(t, "\\") && copy(t, 1);
}

static bool in_class(translator *t)
{
    const char *end = t->at[0] == '[' && t->at[1] == ':' ? strstr(t->at, ":]") : NULL;
    if (end)
        return posix(t, (size_t)(end - t->at) - 2);
    if (t->at[0] == '&' && t->at[1] == '&')
        return refuse(t, "&& between [ and ]");
    switch (*t->at) {
    case '\\': return escape(t);
    case '[': return open_class(t);
    case ']':
        if (--t->depth == 0)
            return copy(t, 1);
        t->at++;
        return true;
    case '-':
        if (t->at[1] == ']' && !put(t, "\\"))
            return false;
        return copy(t, 1);
    default: return copy(t, 1);
    }
}

static bool insert(const translator *t, size_t at, const char *text)
{
    size_t n = strlen(text);
    if (!put(t, text)) /* for the room */
        return false;
    memmove(t->out->data + at + n, t->out->data + at, t->out->length - n - at);
    memcpy(t->out->data + at, text, n);
    return true;
}

/* {n}, {n,}, {n,m} and {,m}. After these + is no "possessive" but repeats once more, and after {n} so does ?. */
static bool interval(translator *t)
{
    const char *p = t->at + 1;
    size_t low = strspn(p, "0123456789");
    bool comma = p[low] == ',';
    size_t high = comma ? strspn(p + low + 1, "0123456789") : 0, n = low + comma + high;
    if (p[n] != '}' || (!low && !high))
        return copy(t, 1);
    if (!copy(t, 1) || (!low && !put(t, "0")) || !copy(t, n + 1))
        return false;
    if (*t->at != '+' && (*t->at != '?' || comma))
        return true;
    return insert(t, t->atom, "(?:") && put(t, ")") && copy(t, 1);
}

/* Options, (?i: or (?i): what is called m here is s there. */
static bool group(translator *t)
{
    size_t n = t->at[1] == '?' ? strspn(t->at + 2, "imx-") : 0;
    char end = n ? t->at[2 + n] : 0;
    if (end == ')' && t->at != t->start)
        return refuse(t, "an option such as (?i) after the beginning, not as (?i:...),");
    if (strncmp(t->at, "(?#", 3) == 0) {
        t->group_count--;
        return copy_through(t, ")");
    }
    if (end != ':' && end != ')')
        return copy(t, 1);
    if (!copy(t, 2))
        return false;
    for (; n > 0; n--)
        if (!(*t->at == 'm' ? t->at++, put(t, "s") : copy(t, 1)))
            return false;
    return true;
}

static bool outside(translator *t)
{
    size_t here = t->out->length;
    switch (*t->at) {
    case '{': return interval(t);
    case '?':
    case '*':
    case '+': return copy(t, 1);
    case '(':
        if (t->group_count == MAX_GROUPS)
            return refuse(t, "a group in more than 64 groups");
        t->groups[t->group_count++] = here;
        return group(t);
    case ')':
        t->group_count -= t->group_count > 0;
        t->atom = t->groups[t->group_count];
        return copy(t, 1);
    case '[': t->atom = here; return open_class(t);
    case '\\': t->atom = here; return escape(t);
    default:
        if (((unsigned char)*t->at & 0xc0) != 0x80)
            t->atom = here;
        return copy(t, 1);
    }
}

bool vkft_expression_translate(const char *expression, const char *where, vkft_text *out, vkft_err *err)
{
    translator t = {.start = expression, .at = expression, .where = where, .out = out, .err = err};
    while (*t.at)
        if (!(t.depth ? in_class(&t) : outside(&t)))
            return false;
    return vkft_text_append(out, "", 0, err);
}
