/* The precompiled character map of SentencePiece models (nmt_nfkc and the like).
 *
 * The map is base64 of: bytes of the trie (u32, little endian), the trie (u32 units of a darts-clone double array), and
 * the replacements as zero-terminated strings. A unit holds a label (bits 0-7 and 31), whether a value follows (bit 8)
 * and the offset of its children (bits 10-30, times 256 when bit 9 is set); a value is the place of a replacement.
 *
 * Source: sentencepiece (normalizer.cc), the `tokenizers` package, whose way of cutting text into graphemes is kept: a
 * grapheme of fewer than 6 bytes is looked up whole, and the SHORTEST prefix that is in the map replaces all of it;
 * longer ones, and those that are not found, go character by character. Test: test_tokenizer
 */
#include "formats/tokenizer/stages/charsmap.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "runtime/base/utf8.h"

#define LONGEST_WHOLE_GRAPHEME 5 /* bytes */

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

long vkft_base64_decode(const char *text, size_t length, unsigned char *out)
{
    size_t n = 0;
    uint32_t bits = 0, held = 0;
    while (length && text[length - 1] == '=')
        length--;
    for (size_t i = 0; i < length; i++) {
        int digit = base64_digit(text[i]);
        if (digit < 0)
            return -1;
        held = held << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (unsigned char)(held >> bits);
        }
    }
    return length % 4 == 1 ? -1 : (long)n;
}

bool vkft_charsmap_new(vkft_charsmap *map, const char *base64, const char *where, vkft_err *err)
{
    size_t length = strlen(base64);
    *map = (vkft_charsmap){0};
    if (length == 0)
        return true;
    unsigned char *bytes = malloc(length / 4 * 3 + 8);
    if (!bytes)
        return vkft_fail_memory(err, "for the tokenizer");
    map->memory = bytes;
    long n = vkft_base64_decode(base64, length, bytes);
    uint32_t trie_bytes = n >= 4 ? bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24 : 0;
    if (n < 4 || trie_bytes == 0 || trie_bytes % 4 || trie_bytes > (size_t)n - 4)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: precompiled_charsmap is damaged: %ld bytes of base64, a trie of %u bytes", where, n,
                         trie_bytes);
    map->units = (uint32_t *)(bytes + 4);
    map->unit_count = trie_bytes / 4;
    map->targets = (char *)bytes + 4 + trie_bytes;
    map->target_bytes = (size_t)n - 4 - trie_bytes;
    map->targets[map->target_bytes] = 0; /* there is room: see malloc */
    return vkft_utf8_valid(map->targets, map->target_bytes) ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: precompiled_charsmap is damaged: its texts are not valid UTF-8", where);
}

void vkft_charsmap_free(vkft_charsmap *map)
{
    free(map->memory);
    *map = (vkft_charsmap){0};
}

static uint32_t child_offset(uint32_t unit)
{
    return (unit >> 10) << ((unit & 1u << 9) >> 6);
}

/* The replacement of the shortest prefix of text that the map has; NULL: none. */
static const char *find(const vkft_charsmap *map, const char *text, size_t length)
{
    if (map->unit_count == 0)
        return NULL;
    uint32_t node = child_offset(map->units[0]);
    for (size_t i = 0; i < length && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        node ^= c;
        if (node >= map->unit_count)
            return NULL;
        uint32_t unit = map->units[node];
        if ((unit & (1u << 31 | 0xff)) != c)
            return NULL;
        node ^= child_offset(unit);
        if (node >= map->unit_count)
            return NULL;
        if (unit >> 8 & 1) {
            uint32_t target = map->units[node] & ~(1u << 31);
            bool begins = target < map->target_bytes && ((unsigned char)map->targets[target] & 0xc0) != 0x80;
            return begins ? map->targets + target : NULL;
        }
    }
    return NULL;
}

static size_t grapheme_length(const char *text, size_t length)
{
    size_t end = vkft_utf8_step(text, length);
    utf8proc_int32_t state = 0, last = (utf8proc_int32_t)vkft_utf8_decode(text, end);
    while (end < length) {
        size_t n = vkft_utf8_step(text + end, length - end);
        utf8proc_int32_t point = (utf8proc_int32_t)vkft_utf8_decode(text + end, n);
        if (utf8proc_grapheme_break_stateful(last, point, &state))
            break;
        last = point;
        end += n;
    }
    return end;
}

bool vkft_charsmap_apply(const vkft_charsmap *map, const char *text, size_t length, size_t limit, vkft_text *out,
                         vkft_err *err)
{
    for (size_t at = 0; at < length;) {
        size_t whole = grapheme_length(text + at, length - at), end = at + whole;
        const char *target = whole <= LONGEST_WHOLE_GRAPHEME ? find(map, text + at, whole) : NULL;
        if (target) {
            if (!vkft_text_append_within(out, limit, target, strlen(target), err))
                return false;
            at = end;
        }
        while (at < end) {
            size_t n = vkft_utf8_step(text + at, end - at);
            target = find(map, text + at, n);
            if (!(target ? vkft_text_append_within(out, limit, target, strlen(target), err)
                         : vkft_text_append(out, text + at, n, err)))
                return false;
            at += n;
        }
    }
    return true;
}
