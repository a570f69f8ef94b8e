/* Vocabularies: strings to ids and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "formats/tokenizer/tokenizer_private.h"

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
