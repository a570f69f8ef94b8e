/* Mutations of JSON by its tree, for readers of JSON: most mutations of bytes end at the parser. Values become others,
 * or copies of each other; members move, double and vanish; names and texts change byte by byte. Every second mutation
 * is libFuzzer's own, of the bytes.
 *
 * An input may hold JSON between other parts: parts end at a zero byte, and the first byte may be a choice. One part
 * that is JSON is taken. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "tests/fuzz/common/parts.h"

#define MAX_NODES 2000

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_out_size, unsigned seed);

typedef struct nodes {
    cJSON *all[MAX_NODES]; /* [0] is the root */
    uint32_t count;
} nodes;

static uint32_t draw(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

/* A part that is JSON, from a random one on; NULL: none. */
static cJSON *find_json(const uint8_t *data, size_t size, uint64_t *state, size_t *begin, size_t *length)
{
    uint32_t skip = draw(state, 3);
    cJSON *found = NULL;
    for (size_t at = 0; at < size; at += text_length(data + at, size - at) + 1) {
        size_t from = at + (at == 0 && data[0] != '{' && data[0] != '[');
        size_t n = from < size ? text_length(data + from, size - from) : 0;
        cJSON *root = n ? cJSON_ParseWithLength((const char *)data + from, n) : NULL;
        if (!root)
            continue;
        cJSON_Delete(found);
        found = root;
        *begin = from;
        *length = n;
        if (skip-- == 0)
            break;
    }
    return found;
}

static void collect(nodes *n, cJSON *node)
{
    for (; node && n->count < MAX_NODES; node = node->next) {
        n->all[n->count++] = node;
        collect(n, node->child);
    }
}

static cJSON *interesting(uint64_t *state)
{
    static const double numbers[] = {0,     -1,    1,          2,          3,       255,         256,
                                     65535, 65536, 2147483647, 4294967295, 1e15,    1e300,       1e-40,
                                     -0.5,  1e18,  1e19,       4294967296, 1048576, -2147483648, 1e-320};
    static const char *const texts[] = {"",  "a",  "\xef\xbf\xbd", "\xc3\xa9", "\\", "x.y", "...............",
                                        "0", "1e9"};
    switch (draw(state, 12)) {
    case 0: return cJSON_CreateNull();
    case 1: return cJSON_CreateTrue();
    case 2: return cJSON_CreateFalse();
    case 3: return cJSON_CreateArray();
    case 4: return cJSON_CreateObject();
    case 5:
    case 6: return cJSON_CreateString(texts[draw(state, sizeof texts / sizeof *texts)]);
    default: return cJSON_CreateNumber(numbers[draw(state, sizeof numbers / sizeof *numbers)]);
    }
}

/* Changes a malloc'ed text of cJSON's. */
static void change_text(char **text)
{
    size_t length = strlen(*text), room = length + 16;
    char *changed = calloc(1, room + 1);
    memcpy(changed, *text, length);
    length = LLVMFuzzerMutate((uint8_t *)changed, length, room);
    changed[length] = 0; /* a zero byte within it ends it earlier */
    cJSON_free(*text);
    *text = changed;
}

static double change_number(double value, uint64_t *state)
{
    switch (draw(state, 6)) {
    case 0: return value + 1;
    case 1: return value - 1;
    case 2: return value * 2;
    case 3: return -value;
    case 4: return value / 2;
    default: return value * (double)draw(state, 1u << 20);
    }
}

static void rename_member(cJSON *node, const nodes *names, uint64_t *state)
{
    if (draw(state, 2)) {
        change_text(&node->string);
        return;
    }
    const char *name = names->all[draw(state, names->count)]->string;
    char *copy = name ? strdup(name) : NULL;
    if (copy) {
        cJSON_free(node->string);
        node->string = copy;
    }
}

static cJSON *parent_of(cJSON *root, const cJSON *node)
{
    for (cJSON *child = root->child; child; child = child->next) {
        cJSON *found = child == node ? root : parent_of(child, node);
        if (found)
            return found;
    }
    return NULL;
}

/* Puts value in the place of node, with its name. */
static void replace(cJSON *root, cJSON *node, cJSON *value)
{
    cJSON *parent = value ? parent_of(root, node) : NULL;
    if (!parent) {
        cJSON_Delete(value);
        return;
    }
    cJSON_free(value->string);
    value->string = node->string ? strdup(node->string) : NULL;
    cJSON_ReplaceItemViaPointer(parent, node, value);
}

static void add(cJSON *to, cJSON *value, const char *name)
{
    bool added = value && (cJSON_IsArray(to)    ? cJSON_AddItemToArray(to, value)
                           : cJSON_IsObject(to) ? cJSON_AddItemToObject(to, name ? name : "a", value)
                                                : false);
    if (!added)
        cJSON_Delete(value);
}

/* One change; others: nodes to copy from, of the same tree or of another. */
static void change(cJSON *root, const nodes *own, const nodes *others, uint64_t *state)
{
    cJSON *node = own->all[draw(state, own->count)], *other = others->all[draw(state, others->count)];
    cJSON *parent = parent_of(root, node);
    char *name = other->string ? strdup(other->string) : NULL; /* other may be freed with node */
    switch (draw(state, 8)) {
    case 0: replace(root, node, interesting(state)); break;
    case 1: replace(root, node, cJSON_Duplicate(other, true)); break;
    case 2:
        if (parent)
            cJSON_Delete(cJSON_DetachItemViaPointer(parent, node));
        break;
    case 3: add(parent ? parent : node, cJSON_Duplicate(node, true), node->string); break;
    case 4: add(node, cJSON_Duplicate(other, true), name); break;
    case 5:
        if (node->string)
            rename_member(node, others, state);
        break;
    default:
        if (cJSON_IsString(node))
            change_text(&node->valuestring);
        else if (cJSON_IsNumber(node))
            cJSON_SetNumberHelper(node, change_number(node->valuedouble, state));
        else
            replace(root, node, interesting(state));
    }
    free(name);
}

/* data with the part at begin made of the tree; 0: it has no room. */
static size_t put_back(const uint8_t *data, size_t size, size_t begin, size_t length, const cJSON *root, uint8_t *out,
                       size_t max_size)
{
    char *text = cJSON_PrintUnformatted(root);
    size_t n = text ? strlen(text) : 0, rest = size - begin - length;
    if (n && begin + n + rest <= max_size) {
        memmove(out + begin + n, data + begin + length, rest);
        memmove(out, data, begin);
        memcpy(out + begin, text, n);
        n += begin + rest;
    } else {
        n = 0;
    }
    free(text);
    return n;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static nodes own;
    uint64_t state = seed;
    size_t begin, length, made = 0;
    cJSON *root = draw(&state, 2) ? find_json(data, size, &state, &begin, &length) : NULL;
    for (uint32_t i = 1 + draw(&state, 3); root && i > 0; i--) {
        own.count = 0;
        collect(&own, root);
        change(root, &own, &own, &state);
    }
    if (root)
        made = put_back(data, size, begin, length, root, data, max_size);
    cJSON_Delete(root);
    return made ? made : LLVMFuzzerMutate(data, size, max_size);
}

/* A piece of the second input's JSON in the first's. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
                                 size_t max_out_size, unsigned seed)
{
    static nodes own, others;
    uint64_t state = seed;
    size_t begin, length, begin2, length2, made = 0;
    cJSON *root = find_json(data1, size1, &state, &begin, &length);
    cJSON *second = root ? find_json(data2, size2, &state, &begin2, &length2) : NULL;
    own.count = others.count = 0;
    if (second) {
        collect(&own, root);
        collect(&others, second);
        change(root, &own, &others, &state);
        made = put_back(data1, size1, begin, length, root, out, max_out_size);
    }
    cJSON_Delete(root);
    cJSON_Delete(second);
    return made;
}
