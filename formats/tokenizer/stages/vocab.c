/* Vocabularies: strings to ids and back, by open addressing. */
#include "formats/tokenizer/stages/vocab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

/* GPT-2's alphabet: printable Latin-1 bytes stand for themselves; 0-32, 127-160 and 173, in this order, for U+0100 to
 * U+0143. */
uint32_t vkft_byte_to_point(unsigned char byte)
{
    if (byte <= 32)
        return 0x100u + byte;
    if (byte >= 127 && byte <= 160)
        return 0x121u + byte - 127u;
    return byte == 173 ? 0x143u : byte;
}

int vkft_point_to_byte(uint32_t point)
{
    if (point >= 0x100 && point <= 0x120)
        return (int)(point - 0x100);
    if (point >= 0x121 && point <= 0x142)
        return (int)(point - 0x121 + 127);
    if (point == 0x143)
        return 173;
    bool itself = (point > 32 && point < 127) || (point > 160 && point < 256 && point != 173);
    return itself ? (int)point : -1;
}

uint32_t vkft_table_size(uint32_t count)
{
    uint32_t capacity = 16;
    while (capacity < 2ull * count)
        capacity *= 2;
    return capacity;
}

bool vkft_string_map_new(vkft_string_map *map, uint32_t count, vkft_err *err)
{
    map->capacity = vkft_table_size(count);
    map->entries = calloc(map->capacity, sizeof *map->entries);
    return map->entries || vkft_fail_memory(err, "for the tokenizer");
}

void vkft_string_map_free(vkft_string_map *map)
{
    free(map->entries);
    *map = (vkft_string_map){0};
}

static struct vkft_string_entry *string_slot(const vkft_string_map *map, const char *key, size_t length)
{
    uint32_t i = (uint32_t)XXH3_64bits(key, length) & (map->capacity - 1);
    while (map->entries[i].key && (map->entries[i].length != length || memcmp(map->entries[i].key, key, length) != 0))
        i = (i + 1) & (map->capacity - 1);
    return &map->entries[i];
}

void vkft_string_map_put(vkft_string_map *map, const char *key, size_t length, int32_t value)
{
    *string_slot(map, key, length) = (struct vkft_string_entry){key, (uint32_t)length, value};
}

int32_t vkft_string_map_get(const vkft_string_map *map, const char *key, size_t length)
{
    const struct vkft_string_entry *entry = string_slot(map, key, length);
    return entry->key ? entry->value : -1;
}

size_t vkft_longest_text(size_t length)
{
    return length > (SIZE_MAX >> 8) ? SIZE_MAX : 100 * length + 1000;
}

bool vkft_vocab_new(vkft_vocab *vocab, uint32_t count, uint32_t size, vkft_err *err)
{
    *vocab = (vkft_vocab){.size = size, .tokens = calloc(size + 1ull, sizeof *vocab->tokens)};
    return vocab->tokens ? vkft_string_map_new(&vocab->ids, count, err) : vkft_fail_memory(err, "for the tokenizer");
}

void vkft_vocab_free(vkft_vocab *vocab)
{
    vkft_string_map_free(&vocab->ids);
    free(vocab->tokens);
    *vocab = (vkft_vocab){0};
}

void vkft_vocab_put(vkft_vocab *vocab, const char *token, int32_t id)
{
    vkft_string_map_put(&vocab->ids, token, strlen(token), id);
    vocab->tokens[id] = token;
}

void vkft_vocab_bytes(const vkft_vocab *vocab, int32_t ids[256])
{
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        ids[byte] = vkft_string_map_get(&vocab->ids, name, 6);
    }
}
