/* UTF-8 decoding and encoding. */
#include "runtime/base/utf8.h"

/* Bytes the lead byte announces; 0 for a byte that cannot lead. */
static size_t announced(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
}

/* How many of the announced bytes are there and valid. */
static size_t valid_prefix(const unsigned char *s, size_t available, size_t n)
{
    static const unsigned char low[256] = {[0xe0] = 0xa0, [0xf0] = 0x90};
    static const unsigned char high[256] = {[0xed] = 0x9f, [0xf4] = 0x8f};
    size_t i = 1;
    for (; i < n && i < available; i++) {
        unsigned char first = i == 1 && low[s[0]] ? low[s[0]] : 0x80, last = i == 1 && high[s[0]] ? high[s[0]] : 0xbf;
        if (s[i] < first || s[i] > last)
            break;
    }
    return i;
}

size_t vkft_utf8_length(const char *s, size_t available)
{
    size_t n = available ? announced((unsigned char)*s) : 0;
    return n && valid_prefix((const unsigned char *)s, available, n) == n ? n : 0;
}

size_t vkft_utf8_step(const char *s, size_t available)
{
    size_t n = vkft_utf8_length(s, available);
    return n || !available ? n : 1;
}

uint32_t vkft_utf8_decode(const char *s, size_t length)
{
    const unsigned char *u = (const unsigned char *)s;
    switch (length) {
    case 1: return u[0];
    case 2: return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
    case 3: return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
    default: return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
    }
}

size_t vkft_utf8_encode(uint32_t p, char out[4])
{
    if (p < 0x80) {
        out[0] = (char)p;
        return 1;
    }
    size_t n = p < 0x800 ? 2 : p < 0x10000 ? 3 : 4;
    static const unsigned char lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, p >>= 6)
        out[i] = (char)(0x80 | (p & 0x3f));
    out[0] = (char)(lead[n] | p);
    return n;
}

bool vkft_utf8_is_space(uint32_t point)
{
    return point == ' ' || (point >= 9 && point <= 13) || point == 0x85 || point == 0xa0 || point == 0x1680 ||
           (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 || point == 0x202f ||
           point == 0x205f || point == 0x3000;
}

bool vkft_utf8_valid(const char *s, size_t length)
{
    size_t n = 1;
    while (length && (n = vkft_utf8_length(s, length))) {
        s += n;
        length -= n;
    }
    return n != 0;
}

bool vkft_text_append_valid(vkft_text *text, const char *data, size_t length, vkft_err *err)
{
    size_t begin = 0, i = 0;
    while (i < length) {
        size_t n = vkft_utf8_length(data + i, length - i);
        if (n) {
            i += n;
            continue;
        }
        size_t lead = announced((unsigned char)data[i]);
        size_t bad = lead ? valid_prefix((const unsigned char *)data + i, length - i, lead) : 1;
        if (!vkft_text_append(text, data + begin, i - begin, err) || !vkft_text_append(text, "\xef\xbf\xbd", 3, err))
            return false;
        i += bad;
        begin = i;
    }
    return vkft_text_append(text, length ? data + begin : "", length - begin, err);
}
