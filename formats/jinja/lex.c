/* Jinja source as tokens: text between tags, and the parts of tags. White space around tags is trimmed here, as
 * trim_blocks, lstrip_blocks and the marks - and + say. */
#include <stdlib.h>
#include <string.h>

#include "formats/jinja/jinja_private.h"

static bool looking_at(const jinja_lexer *x, const char *text)
{
    size_t n = strlen(text);
    return x->length - x->at >= n && memcmp(x->source + x->at, text, n) == 0;
}

static char peek(const jinja_lexer *x, size_t offset)
{
    return x->at + offset < x->length ? x->source[x->at + offset] : 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_white(char c)
{
    return is_blank(c) || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void advance(jinja_lexer *x, size_t n)
{
    for (; n && x->at < x->length; n--, x->at++)
        x->line += x->source[x->at] == '\n';
}

static jinja_token token(const jinja_lexer *x, jinja_token_kind kind, char op)
{
    return (jinja_token){.kind = kind, .op = op, .line = x->line};
}

/* Where the next tag begins, or the end of the source. */
static size_t next_tag(const jinja_lexer *x)
{
    for (size_t i = x->at; i + 1 < x->length; i++)
        if (x->source[i] == '{' && (x->source[i + 1] == '{' || x->source[i + 1] == '%' || x->source[i + 1] == '#'))
            return i;
    return x->length;
}

/* Where the text before the tag at `tag` ends: without the white space that the tag takes away. */
static size_t text_end(const jinja_lexer *x, size_t begin, size_t tag)
{
    char kind = x->source[tag + 1], mark = tag + 2 < x->length ? x->source[tag + 2] : 0;
    size_t end = tag;
    if (mark == '-') {
        while (end > begin && is_white(x->source[end - 1]))
            end--;
    } else if (kind != '{' && mark != '+') {
        while (end > begin && is_blank(x->source[end - 1]))
            end--;
        /* only where nothing else stands before it in its line */
        bool line_start = end == 0 || x->source[end - 1] == '\n';
        if (end == begin && begin > 0 && x->source[begin - 1] != '\n')
            line_start = false;
        if (!line_start)
            end = tag;
    }
    return end;
}

static void skip_after_tag(jinja_lexer *x)
{
    if (x->trim_left)
        while (x->at < x->length && is_white(x->source[x->at]))
            advance(x, 1);
    else if (x->trim_newline)
        advance(x, peek(x, 0) == '\n');
    x->trim_left = x->trim_newline = false;
}

/* The end of a comment or raw block ahead: sets how what follows is trimmed. mark: the character before the closing. */
static void end_trim(jinja_lexer *x, char mark)
{
    x->trim_left = mark == '-';
    x->trim_newline = mark != '+';
}

static bool skip_comment(jinja_state *s, jinja_lexer *x)
{
    s->line = x->line;
    size_t i = x->at + 2;
    while (i + 1 < x->length && !(x->source[i] == '#' && x->source[i + 1] == '}'))
        i++;
    if (i + 1 >= x->length) {
        jinja_fail(s, "a comment is not closed; expected #}");
        return false;
    }
    char mark = i > x->at + 2 ? x->source[i - 1] : 0;
    advance(x, i + 2 - x->at);
    end_trim(x, mark);
    return true;
}

/* Length of "{% NAME %}" at `at`, with marks and spaces; 0: something else stands there. */
static size_t simple_tag(const jinja_lexer *x, size_t at, const char *name, char *open_mark, char *close_mark)
{
    size_t i = at + 2, n = strlen(name);
    if (at + 2 > x->length || memcmp(x->source + at, "{%", 2) != 0)
        return 0;
    *open_mark = i < x->length && (x->source[i] == '-' || x->source[i] == '+') ? x->source[i++] : 0;
    while (i < x->length && is_white(x->source[i]))
        i++;
    if (x->length - i < n || memcmp(x->source + i, name, n) != 0)
        return 0;
    i += n;
    while (i < x->length && is_white(x->source[i]))
        i++;
    *close_mark = i < x->length && (x->source[i] == '-' || x->source[i] == '+') ? x->source[i++] : 0;
    return x->length - i >= 2 && memcmp(x->source + i, "%}", 2) == 0 ? i + 2 - at : 0;
}

/* The text of a raw block whose opening tag has the length `open`. */
static jinja_token raw_block(jinja_state *s, jinja_lexer *x, size_t open, char open_end_mark)
{
    char first, last;
    advance(x, open);
    x->trim_left = open_end_mark == '-'; /* a newline after the opening stays, unlike after other tags */
    skip_after_tag(x);
    size_t begin = x->at;
    for (size_t i = begin; i + 1 < x->length; i++) {
        size_t close = simple_tag(x, i, "endraw", &first, &last);
        if (!close)
            continue;
        size_t end = text_end(x, begin, i);
        jinja_token t = token(x, T_DATA, 0);
        t.value = jinja_text(s, x->source + begin, end - begin);
        advance(x, i + close - begin);
        end_trim(x, last);
        return t;
    }
    s->line = x->line;
    jinja_fail(s, "a raw block is not closed; expected {%% endraw %%}");
    return token(x, T_END, 0);
}

static jinja_token open_tag(jinja_lexer *x)
{
    bool print = x->source[x->at + 1] == '{';
    advance(x, 2);
    if (peek(x, 0) == '-' || peek(x, 0) == '+')
        advance(x, 1);
    x->inside = print ? 1 : 2;
    x->braces = 0;
    return token(x, print ? T_PRINT_BEGIN : T_BLOCK_BEGIN, 0);
}

static jinja_token next_outside(jinja_state *s, jinja_lexer *x)
{
    while (!s->failed) {
        skip_after_tag(x);
        size_t begin = x->at, tag = next_tag(x);
        if (begin == x->length)
            break;
        if (tag > begin) {
            size_t end = tag < x->length ? text_end(x, begin, tag) : tag;
            jinja_token t = token(x, T_DATA, 0);
            t.value = jinja_text(s, x->source + begin, end - begin);
            advance(x, tag - begin);
            if (end > begin)
                return t;
            continue;
        }
        char first, last;
        size_t raw = simple_tag(x, tag, "raw", &first, &last);
        if (raw)
            return raw_block(s, x, raw, last);
        if (x->source[tag + 1] != '#')
            return open_tag(x);
        if (!skip_comment(s, x))
            break;
    }
    return token(x, T_END, 0);
}

static jinja_token lex_number(jinja_state *s, jinja_lexer *x)
{
    char text[64];
    size_t n = 0;
    bool real = false;
    jinja_token t = token(x, T_INT, 0);
    while (n < sizeof text - 1) {
        char c = peek(x, 0);
        bool exponent = (c == 'e' || c == 'E') &&
                        (is_digit(peek(x, 1)) || ((peek(x, 1) == '-' || peek(x, 1) == '+') && is_digit(peek(x, 2))));
        bool point = c == '.' && is_digit(peek(x, 1)) && !real;
        bool sign = (c == '-' || c == '+') && n > 0 && (text[n - 1] == 'e' || text[n - 1] == 'E');
        if (!is_digit(c) && c != '_' && !point && !exponent && !sign)
            break;
        real = real || point || exponent;
        if (c != '_')
            text[n++] = c;
        advance(x, 1);
    }
    text[n] = 0;
    if (real) {
        t.kind = T_FLOAT;
        t.value = jinja_float(strtod(text, NULL));
        return t;
    }
    if (n > 18)
        jinja_fail(s, "the number %s is too large", text);
    t.value = jinja_int(strtoll(text, NULL, 10));
    return t;
}

static uint32_t lex_hex(jinja_lexer *x, int digits)
{
    uint32_t value = 0;
    for (int i = 0; i < digits; i++) {
        char c = peek(x, 0);
        uint32_t digit = is_digit(c)                          ? (uint32_t)(c - '0')
                         : (c | 32) >= 'a' && (c | 32) <= 'f' ? (uint32_t)((c | 32) - 'a' + 10)
                                                              : 99;
        if (digit == 99)
            return UINT32_MAX;
        value = value * 16 + digit;
        advance(x, 1);
    }
    return value;
}

/* The escape after a backslash, as Python reads it. */
static void lex_escape(jinja_state *s, jinja_lexer *x, jinja_buffer *out)
{
    static const char from[] = "ntr\\'\"abfv", to[] = "\n\t\r\\'\"\a\b\f\v";
    char c = peek(x, 0), utf8[4];
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        advance(x, 1);
        jinja_append(s, out, &to[found - from], 1);
    } else if (c >= '0' && c < '8') {
        uint32_t point = 0;
        for (int i = 0; i < 3 && peek(x, 0) >= '0' && peek(x, 0) < '8'; i++, advance(x, 1))
            point = 8 * point + (uint32_t)(peek(x, 0) - '0');
        jinja_append(s, out, utf8, vkft_utf8_encode(point, utf8));
    } else if (c == '\n') {
        advance(x, 1);
    } else if (c == 'x' || c == 'u' || c == 'U') {
        advance(x, 1);
        uint32_t point = lex_hex(x, c == 'x' ? 2 : c == 'u' ? 4 : 8);
        if (point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
            jinja_fail(s, "\\%c is not followed by the number of a character", c);
        else
            jinja_append(s, out, utf8, vkft_utf8_encode(point, utf8));
    } else {
        jinja_append(s, out, "\\", 1);
    }
}

static jinja_token lex_string(jinja_state *s, jinja_lexer *x)
{
    jinja_buffer text = {0};
    jinja_token t = token(x, T_STRING, 0);
    char quote = peek(x, 0);
    s->line = x->line;
    advance(x, 1);
    while (!s->failed && x->at < x->length && peek(x, 0) != quote) {
        if (peek(x, 0) == '\\') {
            advance(x, 1);
            lex_escape(s, x, &text);
            continue;
        }
        jinja_append(s, &text, x->source + x->at, 1);
        advance(x, 1);
    }
    if (x->at >= x->length)
        jinja_fail(s, "a string is not closed; expected %c", quote);
    advance(x, 1);
    t.value = jinja_take_text(s, &text);
    return t;
}

static jinja_token lex_operator(jinja_state *s, jinja_lexer *x)
{
    static const struct {
        const char *text;
        char op;
    } operators[] = {{"//", 'D'}, {"**", 'P'}, {"==", 'e'}, {"!=", 'N'}, {"<=", 'L'}, {">=", 'G'}};
    jinja_token t = token(x, T_OPERATOR, 0);
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (looking_at(x, operators[i].text)) {
            t.op = operators[i].op;
            advance(x, 2);
            return t;
        }
    t.op = peek(x, 0);
    if (!t.op || !strchr("+-*/%~<>()[]{},:.|=", t.op)) {
        s->line = x->line;
        jinja_fail(s, "unexpected character '%.*s'", (int)(x->at < x->length ? 1 : 0), x->source + x->at);
        return t;
    }
    if (strchr("([{", t.op))
        x->braces++;
    if (strchr(")]}", t.op) && x->braces)
        x->braces--;
    advance(x, 1);
    return t;
}

/* The end of the tag here; 0: none. */
static size_t tag_end(const jinja_lexer *x, char *mark)
{
    const char *close = x->inside == 1 ? "}}" : "%}";
    *mark = peek(x, 0) == '-' || peek(x, 0) == '+' ? peek(x, 0) : 0;
    if (x->inside == 1 && *mark == '+')
        *mark = 0;
    size_t skip = *mark ? 1 : 0;
    return peek(x, skip) == close[0] && peek(x, skip + 1) == close[1] ? skip + 2 : 0;
}

jinja_token jinja_next_token(jinja_state *s, jinja_lexer *x)
{
    if (!x->inside)
        return next_outside(s, x);
    char mark;
    while (x->at < x->length && is_white(x->source[x->at]))
        advance(x, 1);
    size_t end = x->braces ? 0 : tag_end(x, &mark);
    if (end) {
        jinja_token t = token(x, x->inside == 1 ? T_PRINT_END : T_BLOCK_END, 0);
        advance(x, end);
        x->trim_left = mark == '-';
        x->trim_newline = x->inside == 2 && mark != '+';
        x->inside = 0;
        return t;
    }
    if (x->at >= x->length || s->failed)
        return token(x, T_END, 0);
    char c = peek(x, 0);
    if (is_letter(c)) {
        size_t begin = x->at;
        jinja_token t = token(x, T_NAME, 0);
        while (x->at < x->length && (is_letter(peek(x, 0)) || is_digit(peek(x, 0))))
            x->at++;
        t.value = jinja_text(s, x->source + begin, x->at - begin);
        return t;
    }
    if (is_digit(c))
        return lex_number(s, x);
    return c == '\'' || c == '"' ? lex_string(s, x) : lex_operator(s, x);
}
