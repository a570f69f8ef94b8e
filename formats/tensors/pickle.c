/* The pickle machine: a stack of values, a memo, and one function per group of opcodes. Nothing recurses, so nesting
 * costs no stack.
 *
 * Source: Python's pickletools. Test: test_pytorch_file */
#include "formats/tensors/pickle.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

enum { MARK = UINT32_MAX, UNSET = UINT32_MAX };

#define MOST (1u << 22) /* values, items of one, memo entries: far more than any model has, and a bound on memory */

/* Names that a pickle may import; the storage classes follow with their types. */
enum { ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER, STORAGE_CLASS };

typedef struct machine {
    const uint8_t *data;
    uint64_t size, at;
    const char *file;
    vkft_err *err;
    vkft_pickle *out;
    uint32_t *stack, depth, stack_capacity;
    uint32_t *memo, memo_size, memoized;
} machine;

static bool damaged(const machine *m, const char *what)
{
    vkft_fail(m->err, VKFT_ERR_INPUT,
              "%s: byte %" PRIu64 " of the pickle: %s; the file is damaged, or was not written by PyTorch", m->file,
              m->at, what);
    return false;
}

/* Room for one more element of a growing array. */
static bool reserve(const machine *m, void *array, uint32_t count, uint32_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    void **memory = array;
    uint32_t wanted = *capacity ? 2 * *capacity : 16;
    if (count >= MOST)
        return damaged(m, "more than four million values");
    void *larger = realloc(*memory, wanted * size);
    if (!larger)
        return vkft_fail_memory(m->err, "while reading the pickle %s", m->file);
    *memory = larger;
    *capacity = wanted;
    return true;
}

static bool push(machine *m, uint32_t value)
{
    if (!reserve(m, &m->stack, m->depth, &m->stack_capacity, sizeof *m->stack))
        return false;
    m->stack[m->depth++] = value;
    return true;
}

static bool make(machine *m, vkft_pickle_value value)
{
    vkft_pickle *out = m->out;
    if (!reserve(m, &out->values, out->count, &out->capacity, sizeof *out->values))
        return false;
    out->values[out->count] = value;
    return push(m, out->count++);
}

static vkft_pickle_value *value_at(const machine *m, uint32_t number)
{
    return &m->out->values[number];
}

static bool add_item(const machine *m, uint32_t container, uint32_t item)
{
    vkft_pickle_value *v = value_at(m, container);
    if (!reserve(m, &v->items, v->count, &v->capacity, sizeof *v->items))
        return false;
    v->items[v->count++] = item;
    return true;
}

/* The top value, which is there and no mark. */
static bool top(const machine *m, uint32_t *value)
{
    if (m->depth == 0 || m->stack[m->depth - 1] == MARK)
        return damaged(m, "a value is missing on the stack");
    *value = m->stack[m->depth - 1];
    return true;
}

static bool pop(machine *m, uint32_t *value)
{
    if (!top(m, value))
        return false;
    m->depth--;
    return true;
}

/* Where the values above the topmost mark begin. */
static bool above_mark(const machine *m, uint32_t *first)
{
    for (uint32_t i = m->depth; i-- > 0;)
        if (m->stack[i] == MARK) {
            *first = i + 1;
            return true;
        }
    return damaged(m, "a mark is missing on the stack");
}

static bool take(machine *m, uint64_t n, const uint8_t **bytes)
{
    if (n > m->size - m->at)
        return damaged(m, "the text ends in the middle of a value");
    *bytes = m->data + m->at;
    m->at += n;
    return true;
}

/* Little-endian, unsigned. */
static bool take_number(machine *m, int n, uint64_t *value)
{
    const uint8_t *p;
    if (!take(m, (uint64_t)n, &p))
        return false;
    *value = 0;
    for (int i = n; i-- > 0;)
        *value = *value << 8 | p[i];
    return true;
}

static bool make_int(machine *m, int64_t number)
{
    return make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_INT, .number = number});
}

static bool make_string(machine *m, int length_bytes)
{
    uint64_t length;
    const uint8_t *text;
    if (!take_number(m, length_bytes, &length) || !take(m, length, &text))
        return false;
    if (length > UINT32_MAX)
        return damaged(m, "a text of more than 4 GiB");
    return make(m, (vkft_pickle_value){
                       .kind = VKFT_PICKLE_STRING, .text = (const char *)text, .text_length = (uint32_t)length});
}

/* A number of any length; those of more than 8 bytes are kept as 0, since nothing here needs them. */
static bool make_long(machine *m, int length_bytes)
{
    uint64_t length, value = 0;
    const uint8_t *p;
    if (!take_number(m, length_bytes, &length) || !take(m, length, &p))
        return false;
    for (uint64_t i = length <= 8 ? length : 0; i-- > 0;)
        value = value << 8 | p[i];
    if (length && length < 8 && p[length - 1] & 0x80)
        value |= UINT64_MAX << (8 * length);
    return make_int(m, (int64_t)value);
}

/* The values from stack position `first` on become one container. */
static bool gather(machine *m, uint32_t first, vkft_pickle_kind kind)
{
    vkft_pickle_value v = {.kind = kind, .count = m->depth - first, .capacity = m->depth - first};
    if (v.count && !(v.items = malloc(v.count * sizeof *v.items)))
        return vkft_fail_memory(m->err, "while reading the pickle %s", m->file);
    if (v.count)
        memcpy(v.items, m->stack + first, v.count * sizeof *v.items);
    m->depth = first;
    if (make(m, v))
        return true;
    free(v.items);
    return false;
}

static bool gather_marked(machine *m, vkft_pickle_kind kind)
{
    uint32_t first;
    if (!above_mark(m, &first))
        return false;
    if (kind == VKFT_PICKLE_DICT && (m->depth - first) % 2)
        return damaged(m, "a dictionary with a key and no value");
    if (!gather(m, first, kind))
        return false;
    m->stack[m->depth - 2] = m->stack[m->depth - 1]; /* over the mark */
    m->depth--;
    return true;
}

static bool gather_top(machine *m, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (i >= m->depth || m->stack[m->depth - 1 - i] == MARK)
            return damaged(m, "a value is missing on the stack");
    return gather(m, m->depth - count, VKFT_PICKLE_TUPLE);
}

/* Adds the values from `first` on to the container below them (below a mark, if there is one). */
static bool append(machine *m, uint32_t first, uint32_t marks, vkft_pickle_kind kind)
{
    uint32_t count = m->depth - first;
    if (first < marks + 1 || m->stack[first - marks - 1] == MARK)
        return damaged(m, "items without a container");
    uint32_t container = m->stack[first - marks - 1];
    if (value_at(m, container)->kind != kind || (kind == VKFT_PICKLE_DICT && count % 2))
        return damaged(m, "items of another kind than their container");
    for (uint32_t i = 0; i < count; i++)
        if (!add_item(m, container, m->stack[first + i]))
            return false;
    m->depth = first - marks;
    return true;
}

static bool append_marked(machine *m, vkft_pickle_kind kind)
{
    uint32_t first;
    return above_mark(m, &first) && append(m, first, 1, kind);
}

static bool append_top(machine *m, uint32_t count, vkft_pickle_kind kind)
{
    if (m->depth < count)
        return damaged(m, "a value is missing on the stack");
    for (uint32_t i = 0; i < count; i++)
        if (m->stack[m->depth - 1 - i] == MARK)
            return damaged(m, "a value is missing on the stack");
    return append(m, m->depth - count, 0, kind);
}

static bool remember(machine *m, uint64_t index)
{
    uint32_t value;
    if (!top(m, &value))
        return false;
    if (index >= MOST)
        return damaged(m, "a memo number above four million");
    if (index >= m->memo_size) {
        uint64_t size = max_u64(index + 1, 2ull * m->memo_size);
        uint32_t *memo = realloc(m->memo, size * sizeof *memo);
        if (!memo)
            return vkft_fail_memory(m->err, "while reading the pickle %s", m->file);
        for (uint64_t i = m->memo_size; i < size; i++)
            memo[i] = UNSET;
        m->memo = memo;
        m->memo_size = (uint32_t)size;
    }
    m->memoized += m->memo[index] == UNSET;
    m->memo[index] = value;
    return true;
}

static bool recall(machine *m, uint64_t index)
{
    if (index >= m->memo_size || m->memo[index] == UNSET)
        return damaged(m, "a memo entry that was not made");
    return push(m, m->memo[index]);
}

typedef struct span {
    const char *text;
    uint64_t length;
} span;

static bool equals(span s, const char *text)
{
    return s.length == strlen(text) && memcmp(s.text, text, s.length) == 0;
}

static bool import(machine *m, span module, span name)
{
    static const struct {
        const char *name;
        vkft_dtype dtype;
    } storages[] = {
        {"FloatStorage", VKFT_F32},  {"HalfStorage", VKFT_F16}, {"BFloat16Storage", VKFT_BF16},
        {"DoubleStorage", VKFT_F64}, {"LongStorage", VKFT_I64}, {"IntStorage", VKFT_I32},
        {"ShortStorage", VKFT_I16},  {"CharStorage", VKFT_I8},  {"ByteStorage", VKFT_U8},
        {"BoolStorage", VKFT_BOOL},
    };
    vkft_pickle_value v = {.kind = VKFT_PICKLE_GLOBAL, .number = -1};
    if (equals(module, "collections") && equals(name, "OrderedDict"))
        v.number = ORDERED_DICT;
    else if (equals(module, "torch._utils") && equals(name, "_rebuild_tensor_v2"))
        v.number = REBUILD_TENSOR;
    else if (equals(module, "torch._utils") && equals(name, "_rebuild_parameter"))
        v.number = REBUILD_PARAMETER;
    for (size_t i = 0; equals(module, "torch") && i < sizeof storages / sizeof *storages; i++)
        if (equals(name, storages[i].name)) {
            v.number = STORAGE_CLASS;
            v.dtype = storages[i].dtype;
        }
    if (v.number >= 0)
        return make(m, v);
    return vkft_fail(m->err, VKFT_ERR_INPUT,
                     "%s: the pickle imports %.*s.%.*s; only tensors are read from it and nothing is run: use the "
                     "model's safetensors files",
                     m->file, (int)min_u64(module.length, 60), module.text, (int)min_u64(name.length, 60), name.text);
}

static bool take_line(machine *m, span *line)
{
    const uint8_t *start = m->data + m->at, *end = memchr(start, '\n', (size_t)(m->size - m->at));
    if (!end)
        return damaged(m, "the text ends in the middle of a name");
    *line = (span){(const char *)start, (uint64_t)(end - start)};
    m->at += line->length + 1;
    return true;
}

static bool import_from_text(machine *m)
{
    span module, name;
    return take_line(m, &module) && take_line(m, &name) && import(m, module, name);
}

static bool import_from_stack(machine *m)
{
    uint32_t name, module;
    if (!pop(m, &name) || !pop(m, &module))
        return false;
    const vkft_pickle_value *n = value_at(m, name), *q = value_at(m, module);
    if (n->kind != VKFT_PICKLE_STRING || q->kind != VKFT_PICKLE_STRING)
        return damaged(m, "an import whose name is no text");
    return import(m, (span){q->text, q->text_length}, (span){n->text, n->text_length});
}

static bool is_kind(const machine *m, uint32_t value, vkft_pickle_kind kind)
{
    return value_at(m, value)->kind == kind;
}

/* _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, ...) */
static bool rebuild_tensor(machine *m, const vkft_pickle_value *args)
{
    if (args->count < 4 || !is_kind(m, args->items[0], VKFT_PICKLE_STORAGE) ||
        !is_kind(m, args->items[1], VKFT_PICKLE_INT) || !is_kind(m, args->items[2], VKFT_PICKLE_TUPLE) ||
        !is_kind(m, args->items[3], VKFT_PICKLE_TUPLE))
        return damaged(m, "a tensor without storage, offset, size and stride");
    vkft_pickle_value v = {.kind = VKFT_PICKLE_TENSOR, .count = 4, .capacity = 4, .items = malloc(4 * sizeof *v.items)};
    if (!v.items)
        return vkft_fail_memory(m->err, "while reading the pickle %s", m->file);
    memcpy(v.items, args->items, 4 * sizeof *v.items);
    if (make(m, v))
        return true;
    free(v.items);
    return false;
}

static bool call(machine *m)
{
    uint32_t arguments, function;
    if (!pop(m, &arguments) || !pop(m, &function))
        return false;
    const vkft_pickle_value *f = value_at(m, function), args = *value_at(m, arguments);
    if (f->kind != VKFT_PICKLE_GLOBAL || args.kind != VKFT_PICKLE_TUPLE)
        return damaged(m, "a call of something that is no function");
    switch (f->number) {
    case ORDERED_DICT:
        return args.count == 0 ? make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_DICT})
                               : damaged(m, "an OrderedDict made of something");
    case REBUILD_TENSOR: return rebuild_tensor(m, &args);
    case REBUILD_PARAMETER:
        return args.count >= 1 && is_kind(m, args.items[0], VKFT_PICKLE_TENSOR)
                   ? push(m, args.items[0])
                   : damaged(m, "a parameter without a tensor");
    default: return damaged(m, "a call of something that is no function");
    }
}

/* Sets an object's state: of dictionaries, attributes such as _metadata, which are not needed. */
static bool set_state(machine *m)
{
    uint32_t state, object;
    if (!pop(m, &state) || !top(m, &object))
        return false;
    return is_kind(m, object, VKFT_PICKLE_DICT) || damaged(m, "a state for something that has none");
}

/* ('storage', class, key, location, elements) */
static bool load_persistent(machine *m)
{
    uint32_t id;
    if (!pop(m, &id))
        return false;
    const vkft_pickle_value *t = value_at(m, id);
    if (t->kind != VKFT_PICKLE_TUPLE || t->count < 5 || !is_kind(m, t->items[1], VKFT_PICKLE_GLOBAL) ||
        value_at(m, t->items[1])->number != STORAGE_CLASS || !is_kind(m, t->items[2], VKFT_PICKLE_STRING) ||
        !is_kind(m, t->items[4], VKFT_PICKLE_INT))
        return damaged(m, "a reference to something that is no storage");
    const vkft_pickle_value *key = value_at(m, t->items[2]);
    return make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_STORAGE,
                                       .dtype = value_at(m, t->items[1])->dtype,
                                       .text = key->text,
                                       .text_length = key->text_length,
                                       .number = value_at(m, t->items[4])->number});
}

static bool pop_to_mark(machine *m)
{
    uint32_t first;
    if (!above_mark(m, &first))
        return false;
    m->depth = first - 1;
    return true;
}

static bool drop_top(machine *m)
{
    if (m->depth == 0)
        return damaged(m, "a value is missing on the stack");
    m->depth--;
    return true;
}

static bool step(machine *m, uint8_t op)
{
    uint64_t n;
    uint32_t v;
    const uint8_t *bytes;
    switch (op) {
    case 0x80: return take(m, 1, &bytes); /* protocol */
    case 0x95: return take(m, 8, &bytes); /* frame */
    case '(': return push(m, MARK);
    case '0': return drop_top(m);
    case '1': return pop_to_mark(m);
    case '2': return top(m, &v) && push(m, v);
    case 'N': return make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_NONE});
    case 0x88: return make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_BOOL, .number = 1});
    case 0x89: return make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_BOOL});
    case 'J': return take_number(m, 4, &n) && make_int(m, (int32_t)(uint32_t)n);
    case 'K': return take_number(m, 1, &n) && make_int(m, (int64_t)n);
    case 'M': return take_number(m, 2, &n) && make_int(m, (int64_t)n);
    case 0x8a: return make_long(m, 1);
    case 0x8b: return make_long(m, 4);
    case 'G': return take(m, 8, &bytes) && make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_FLOAT});
    case 'X':
    case 'T': return make_string(m, 4);
    case 0x8c:
    case 'U': return make_string(m, 1);
    case 0x8d: return make_string(m, 8);
    case ')': return gather_top(m, 0);
    case 0x85: return gather_top(m, 1);
    case 0x86: return gather_top(m, 2);
    case 0x87: return gather_top(m, 3);
    case 't': return gather_marked(m, VKFT_PICKLE_TUPLE);
    case ']': return make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_LIST});
    case 'l': return gather_marked(m, VKFT_PICKLE_LIST);
    case 'a': return append_top(m, 1, VKFT_PICKLE_LIST);
    case 'e': return append_marked(m, VKFT_PICKLE_LIST);
    case '}': return make(m, (vkft_pickle_value){.kind = VKFT_PICKLE_DICT});
    case 'd': return gather_marked(m, VKFT_PICKLE_DICT);
    case 's': return append_top(m, 2, VKFT_PICKLE_DICT);
    case 'u': return append_marked(m, VKFT_PICKLE_DICT);
    case 'q': return take_number(m, 1, &n) && remember(m, n);
    case 'r': return take_number(m, 4, &n) && remember(m, n);
    case 0x94: return remember(m, m->memoized);
    case 'h': return take_number(m, 1, &n) && recall(m, n);
    case 'j': return take_number(m, 4, &n) && recall(m, n);
    case 'c': return import_from_text(m);
    case 0x93: return import_from_stack(m);
    case 'R': return call(m);
    case 'b': return set_state(m);
    case 'Q': return load_persistent(m);
    default:
        return vkft_fail(m->err, VKFT_ERR_INPUT,
                         "%s: byte %" PRIu64
                         " of the pickle: opcode 0x%02x is none that tensors need; only tensors are "
                         "read and nothing is run: use the model's safetensors files",
                         m->file, m->at - 1, op);
    }
}

bool vkft_pickle_load(const uint8_t *data, uint64_t size, const char *file, vkft_pickle *pickle, uint64_t *used,
                      vkft_err *err)
{
    machine m = {.data = data, .size = size, .file = file, .err = err, .out = pickle};
    *pickle = (vkft_pickle){0};
    bool ok = true, done = false;
    while (ok && !done) {
        const uint8_t *op;
        ok = take(&m, 1, &op);
        done = ok && *op == '.';
        ok = ok && (done || step(&m, *op));
    }
    ok = ok && top(&m, &pickle->result);
    *used = m.at;
    free(m.stack);
    free(m.memo);
    if (!ok)
        vkft_pickle_free(pickle);
    return ok;
}

void vkft_pickle_free(vkft_pickle *pickle)
{
    for (uint32_t i = 0; i < pickle->count; i++)
        free(pickle->values[i].items);
    free(pickle->values);
    *pickle = (vkft_pickle){0};
}
