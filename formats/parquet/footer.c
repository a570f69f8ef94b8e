/* The metadata at the end of a file: the schema, and where the columns of each row group are. */
#include <stdlib.h>
#include <string.h>

#include "formats/parquet/parquet_private.h"
#include "runtime/base/utf8.h"

enum { MAX_DEPTH = 64, CONVERTED_NONE = -1 };

typedef struct footer {
    vkft_parquet *file;
    thrift t;
    vkft_err *err;
} footer;

static bool fail_damaged(const footer *f, const char *what)
{
    return vkft_fail(f->err, VKFT_ERR_INPUT, "%s: %s; the Parquet file is damaged or cut off: get it again",
                     f->file->path, what);
}

/* As an array grows: room for one more, in steps that follow from what has been read. */
static void *grow(void *array, uint64_t count, size_t size)
{
    if (count & (count - 1)) /* the capacity is the next power of two */
        return array;
    return realloc(array, (count ? 2 * count : 1) * size);
}

/* --- schema ------------------------------------------------------------------------------------------------------- */

typedef struct element {
    int64_t children;
    int32_t type, repetition, length;
    const uint8_t *name;
    uint64_t name_length;
    parquet_note note;
} element;

static void read_time(thrift *t, parquet_note *note)
{
    for (thrift_field f = {0}, unit = {0}; thrift_next(t, &f); unit.id = 0) {
        if (f.id == 1) {
            thrift_bool(t, &f, &note->utc);
        } else if (f.id == 2 && thrift_struct(t, &f)) {
            while (thrift_next(t, &unit)) {
                note->unit = unit.id;
                thrift_skip(t, &unit);
            }
        } else if (f.id != 2) {
            thrift_skip(t, &f);
        }
    }
}

static void read_logical(thrift *t, parquet_note *note)
{
    for (thrift_field f = {0}; thrift_next(t, &f);) {
        note->logical = f.id;
        if ((f.id != 5 && f.id != 7 && f.id != 8 && f.id != 10) || f.type != THRIFT_STRUCT) {
            thrift_skip(t, &f);
            continue;
        }
        if (f.id == 7 || f.id == 8) {
            read_time(t, note);
            continue;
        }
        for (thrift_field m = {0}; thrift_next(t, &m);) {
            if (m.id == 1)
                thrift_i32(t, &m, f.id == 5 ? &note->scale : &note->bit_width);
            else if (m.id == 2 && f.id == 5)
                thrift_i32(t, &m, &note->precision);
            else if (m.id == 2)
                thrift_bool(t, &m, &note->is_signed);
            else
                thrift_skip(t, &m);
        }
    }
}

static element read_element(thrift *t)
{
    element e = {.type = -1, .note.converted = CONVERTED_NONE};
    for (thrift_field f = {0}; thrift_next(t, &f);) {
        switch (f.id) {
        case 1: thrift_i32(t, &f, &e.type); break;
        case 2: thrift_i32(t, &f, &e.length); break;
        case 3: thrift_i32(t, &f, &e.repetition); break;
        case 4: thrift_binary(t, &f, &e.name, &e.name_length); break;
        case 5: thrift_i64(t, &f, &e.children); break;
        case 6: thrift_i32(t, &f, &e.note.converted); break;
        case 7: thrift_i32(t, &f, &e.note.scale); break;
        case 8: thrift_i32(t, &f, &e.note.precision); break;
        case 10:
            if (thrift_struct(t, &f))
                read_logical(t, &e.note);
            break;
        default: thrift_skip(t, &f);
        }
    }
    return e;
}

static bool fill_field(const footer *f, parquet_field *field, const element *e)
{
    if (e->repetition < PARQUET_REQUIRED || e->repetition > PARQUET_REPEATED ||
        (e->children == 0 && (e->type < 0 || e->type >= PARQUET_TYPES)) || e->children < 0 || e->length < 0)
        return fail_damaged(f, "the schema has a field that is neither a group nor of a known type");
    if (!e->name || memchr(e->name, 0, e->name_length) || !vkft_utf8_valid((const char *)e->name, e->name_length))
        return fail_damaged(f, "the schema has a field whose name is no text");
    field->name = malloc(e->name_length + 1);
    if (!field->name)
        return vkft_fail_memory(f->err, "while reading %s", f->file->path);
    memcpy(field->name, e->name, e->name_length);
    field->name[e->name_length] = 0;
    field->type = e->children ? PARQUET_TYPES : (parquet_type)e->type;
    field->repetition = (parquet_repetition)e->repetition;
    field->length = (uint32_t)e->length;
    parquet_field_describe(field, &e->note);
    return true;
}

/* The field that follows and those inside it. */
static bool read_field(footer *f, uint64_t *left, uint32_t depth, uint8_t max_def, uint8_t max_rep)
{
    vkft_parquet *file = f->file;
    if (*left == 0 || depth > MAX_DEPTH)
        return fail_damaged(f, *left ? "the schema is nested too deeply" : "the schema has too few fields");
    --*left;
    element e = read_element(&f->t);
    if (f->t.failed)
        return fail_damaged(f, "the schema cannot be read");
    if (depth == 0)
        e.repetition = PARQUET_REQUIRED;
    parquet_field *fields = grow(file->fields, file->field_count, sizeof *fields);
    if (!fields)
        return vkft_fail_memory(f->err, "while reading %s", file->path);
    file->fields = fields;
    uint32_t at = file->field_count++;
    fields[at] = (parquet_field){.max_def = (uint8_t)(max_def + (e.repetition != PARQUET_REQUIRED)),
                                 .max_rep = (uint8_t)(max_rep + (e.repetition == PARQUET_REPEATED)),
                                 .first_leaf = file->leaf_count};
    if (depth == 0 && e.children == 0)
        e.type = PARQUET_TYPES; /* a table without columns */
    else if (!fill_field(f, &fields[at], &e))
        return false;
    if (e.children > (int64_t)*left)
        return fail_damaged(f, "the schema has too few fields");
    fields[at].children = (uint32_t)e.children;
    file->leaf_count += e.children == 0 && depth > 0;
    for (int64_t i = 0; i < e.children; i++)
        if (!read_field(f, left, depth + 1, file->fields[at].max_def, file->fields[at].max_rep))
            return false;
    file->fields[at].end = file->field_count;
    file->fields[at].last_leaf = file->leaf_count;
    return true;
}

static bool read_schema(footer *f, const thrift_field *field)
{
    uint64_t count = thrift_structs(&f->t, field);
    if (f->file->field_count)
        return fail_damaged(f, "there are two schemas");
    if (!read_field(f, &count, 0, 0, 0))
        return false;
    if (count)
        return fail_damaged(f, "the schema has fields outside it");
    parquet_schema_finish(f->file->fields, f->file->field_count);
    return true;
}

/* --- row groups --------------------------------------------------------------------------------------------------- */

static void read_column_metadata(thrift *t, parquet_chunk *chunk, int32_t *type)
{
    int64_t values = -1, data = -1, dictionary = 0;
    for (thrift_field f = {0}; thrift_next(t, &f);) {
        switch (f.id) {
        case 1: thrift_i32(t, &f, type); break;
        case 4: thrift_i32(t, &f, &chunk->codec); break;
        case 5: thrift_i64(t, &f, &values); break;
        case 9: thrift_i64(t, &f, &data); break;
        case 11: thrift_i64(t, &f, &dictionary); break;
        default: thrift_skip(t, &f);
        }
    }
    /* Some writers say 0 where there is no dictionary. */
    int64_t begin = dictionary > 0 && dictionary < data ? dictionary : data;
    t->failed = t->failed || values < 0 || begin < 0;
    chunk->values = (uint64_t)values;
    chunk->begin = (uint64_t)begin;
}

static bool read_chunk(footer *f, parquet_chunk *chunk, parquet_type type)
{
    thrift *t = &f->t;
    int32_t found = -1;
    *chunk = (parquet_chunk){0};
    for (thrift_field field = {0}; thrift_next(t, &field);) {
        if (field.id == 3 && thrift_struct(t, &field)) {
            read_column_metadata(t, chunk, &found);
        } else if (field.id != 3) {
            chunk->elsewhere = chunk->elsewhere || field.id == 1;
            chunk->encrypted = chunk->encrypted || field.id == 8 || field.id == 9;
            thrift_skip(t, &field);
        }
    }
    if (chunk->encrypted || chunk->elsewhere)
        return true;
    return found == (int32_t)type || fail_damaged(f, "a column is of another type than in the schema");
}

static bool read_columns(footer *f, const thrift_field *field)
{
    vkft_parquet *file = f->file;
    const uint32_t leaves = file->leaf_count;
    if (thrift_structs(&f->t, field) != leaves || f->t.failed)
        return fail_damaged(f, "a row group has other columns than the schema");
    uint64_t next = 0;
    for (uint32_t i = 0; i < file->field_count; i++)
        if (file->fields[i].children == 0 && i > 0) {
            uint64_t at = file->group_count * leaves + next++;
            parquet_chunk *chunks = grow(file->chunks, at, sizeof *chunks);
            if (!chunks)
                return vkft_fail_memory(f->err, "while reading %s", file->path);
            file->chunks = chunks;
            if (!read_chunk(f, &chunks[at], file->fields[i].type))
                return false;
        }
    return true;
}

static bool read_group(footer *f)
{
    vkft_parquet *file = f->file;
    int64_t rows = -1;
    bool columns = false;
    parquet_group *groups = grow(file->groups, file->group_count, sizeof *groups);
    if (!groups)
        return vkft_fail_memory(f->err, "while reading %s", file->path);
    file->groups = groups;
    for (thrift_field field = {0}; thrift_next(&f->t, &field);) {
        if (field.id == 1) {
            if (columns || !read_columns(f, &field))
                return !columns ? false : fail_damaged(f, "a row group has its columns twice");
            columns = true;
        } else if (field.id == 3) {
            thrift_i64(&f->t, &field, &rows);
        } else {
            thrift_skip(&f->t, &field);
        }
    }
    if (f->t.failed || rows < 0 || (!columns && file->leaf_count))
        return fail_damaged(f, "a row group cannot be read");
    groups[file->group_count++].rows = (uint64_t)rows;
    return true;
}

static bool read_groups(footer *f, const thrift_field *field)
{
    if (!f->file->field_count)
        return fail_damaged(f, "the row groups stand before the schema");
    for (uint64_t count = thrift_structs(&f->t, field); count > 0; count--)
        if (!read_group(f))
            return false;
    return true;
}

static bool find_footer(footer *f)
{
    vkft_parquet *file = f->file;
    static const uint64_t tail = 8;
    if (file->size < 4 + tail)
        return fail_damaged(f, "the file is too short");
    const uint8_t *end = file->data + file->size;
    if (memcmp(end - 4, "PARE", 4) == 0)
        return vkft_fail(f->err, VKFT_ERR_INPUT,
                         "%s: this Parquet file is encrypted, which is not supported; write it without encryption",
                         file->path);
    if (memcmp(end - 4, "PAR1", 4) != 0 || memcmp(file->data, "PAR1", 4) != 0)
        return fail_damaged(f, "it does not begin and end with PAR1");
    uint64_t length = end[-8] | end[-7] << 8 | end[-6] << 16 | (uint64_t)end[-5] << 24;
    if (length > file->size - 4 - tail)
        return fail_damaged(f, "the metadata is longer than the file");
    file->size -= tail + length;
    f->t = (thrift){.data = file->data + file->size, .size = length};
    return true;
}

bool parquet_footer_read(vkft_parquet *file, vkft_err *err)
{
    footer f = {.file = file, .err = err};
    if (!find_footer(&f))
        return false;
    for (thrift_field field = {0}; thrift_next(&f.t, &field);) {
        if (field.id == 2) {
            if (!read_schema(&f, &field))
                return false;
        } else if (field.id == 4) {
            if (!read_groups(&f, &field))
                return false;
        } else {
            thrift_skip(&f.t, &field);
        }
    }
    return (!f.t.failed && file->field_count) || fail_damaged(&f, "the metadata cannot be read");
}
