/* Rows from columns: the levels of the columns say where lists begin and what is null (Dremel's record assembly).
 *
 * Each column stands at the levels of its next value. A field is absent where the first column inside it is not
 * defined down to it, and then every column inside has one entry that says so; a list goes on while the next entry's
 * level of repetition is the list's. Columns of a damaged file that disagree are found by these levels. */
#include <stdlib.h>
#include <string.h>

#include "formats/parquet/parquet_private.h"
#include "runtime/base/json.h"

typedef struct assembly {
    vkft_parquet *file;
    vkft_text *out;
    vkft_err *err;
} assembly;

static bool put(const assembly *a, const char *text)
{
    return vkft_text_append(a->out, text, strlen(text), a->err);
}

static bool put_name(const assembly *a, const char *name)
{
    return vkft_json_write_string(name, strlen(name), a->out, a->err) && put(a, ":");
}

/* The first column inside a field. */
static parquet_column *column_of(const assembly *a, const parquet_field *field)
{
    return &a->file->columns[field->first_leaf];
}

static bool fail_levels(const assembly *a, const parquet_column *c)
{
    return parquet_column_fail(c, a->err, "its levels disagree with other columns; the file is damaged: get it again");
}

/* Whether the column stands at an entry of this repetition and at least this definition. */
static bool check_levels(const assembly *a, const parquet_column *c, uint32_t rep, uint32_t min_def)
{
    return (c->has_entry && c->rep_level == rep && c->def_level >= min_def) || fail_levels(a, c);
}

/* Moves every column inside the field past its entry for what is absent. */
static bool skip_absent(const assembly *a, const parquet_field *field, uint32_t rep, uint32_t def)
{
    for (uint32_t i = field->first_leaf; i < field->last_leaf; i++) {
        parquet_column *c = &a->file->columns[i];
        if (!check_levels(a, c, rep, def))
            return false;
        if (c->def_level != def)
            return fail_levels(a, c);
        if (!parquet_column_advance(c, a->err))
            return false;
    }
    return true;
}

static bool write_scalar(const assembly *a, const parquet_field *field, vkft_text *out)
{
    parquet_column *c = column_of(a, field);
    parquet_bytes value;
    const char *bad = NULL;
    if (!parquet_value_next(c, &value, a->err))
        return false;
    if (!parquet_scalar_write(field, value, out, &bad, a->err)) {
        if (bad)
            parquet_column_fail(c, a->err, "row %llu of the group: %s; leave this column out of the file",
                                (unsigned long long)a->file->row + 1, bad);
        return false;
    }
    return parquet_column_advance(c, a->err);
}

static bool write_field(const assembly *a, const parquet_field *field, uint32_t rep);
static bool write_value(const assembly *a, const parquet_field *field, uint32_t rep);

static bool write_struct(const assembly *a, const parquet_field *group, uint32_t rep)
{
    const parquet_field *fields = a->file->fields, *end = fields + group->end;
    bool ok = put(a, "{");
    for (const parquet_field *f = group + 1; ok && f < end; f = fields + f->end)
        ok = (f == group + 1 || put(a, ",")) && put_name(a, f->name) && write_field(a, f, rep);
    return ok && put(a, "}");
}

/* A map's key, which is a string in JSON. */
static bool write_key(const assembly *a, const parquet_field *key, uint32_t rep)
{
    const parquet_column *c = column_of(a, key);
    vkft_text *text = &a->file->key;
    text->length = 0;
    if (!check_levels(a, c, rep, key->max_def - (key->repetition == PARQUET_OPTIONAL)))
        return false;
    if (c->def_level < key->max_def)
        return parquet_column_fail(c, a->err, "row %llu of the group: the key of a map is null; expected a value",
                                   (unsigned long long)a->file->row + 1);
    if (!write_scalar(a, key, text))
        return false;
    bool quoted = text->data[0] == '"';
    return (quoted || put(a, "\"")) && vkft_text_append(a->out, text->data, text->length, a->err) &&
           put(a, quoted ? ":" : "\":");
}

static bool write_entry(const assembly *a, const parquet_field *entry, uint32_t rep)
{
    const parquet_field *key = entry + 1, *value = a->file->fields + key->end;
    return write_key(a, key, rep) && write_field(a, value, rep);
}

/* An element of a list, or an entry of a map, at the repeated field. */
static bool write_element(const assembly *a, const parquet_field *repeated, bool is_map, uint32_t rep)
{
    if (is_map)
        return write_entry(a, repeated, rep);
    return repeated->element_inside ? write_field(a, repeated + 1, rep) : write_value(a, repeated, rep);
}

static bool write_repeated(const assembly *a, const parquet_field *field, bool is_map, uint32_t rep)
{
    const parquet_column *c = column_of(a, field);
    if (!check_levels(a, c, rep, field->max_def - 1u))
        return false;
    if (c->def_level < field->max_def)
        return put(a, is_map ? "{}" : "[]") && skip_absent(a, field, rep, c->def_level);
    bool ok = put(a, is_map ? "{" : "[") && write_element(a, field, is_map, rep);
    while (ok && c->has_entry && c->rep_level == field->max_rep)
        ok = put(a, ",") && write_element(a, field, is_map, field->max_rep);
    return ok && put(a, is_map ? "}" : "]");
}

/* A field that is there, once. */
static bool write_value(const assembly *a, const parquet_field *field, uint32_t rep)
{
    if (field->children == 0)
        return check_levels(a, column_of(a, field), rep, field->max_def) && write_scalar(a, field, a->out);
    if (field->kind == PARQUET_LIST || field->kind == PARQUET_MAP)
        return write_repeated(a, field + 1, field->kind == PARQUET_MAP, rep);
    return write_struct(a, field, rep);
}

static bool write_field(const assembly *a, const parquet_field *field, uint32_t rep)
{
    const parquet_column *c = column_of(a, field);
    if (field->repetition == PARQUET_REPEATED) /* outside a list */
        return write_repeated(a, field, false, rep);
    if (!check_levels(a, c, rep, field->max_def - (field->repetition == PARQUET_OPTIONAL)))
        return false;
    if (c->def_level < field->max_def)
        return put(a, "null") && skip_absent(a, field, rep, c->def_level);
    return write_value(a, field, rep);
}

static bool write_row(const assembly *a)
{
    const parquet_field *fields = a->file->fields, *end = fields + a->file->field_count;
    bool ok = put(a, "{");
    for (const parquet_field *f = fields + 1; ok && f < end; f = fields + f->end)
        ok = (f == fields + 1 || put(a, ",")) && put_name(a, f->name) &&
             (a->file->dropped[f - fields] ? put(a, "null") : write_field(a, f, 0));
    return ok && put(a, "}");
}

/* --- row groups --------------------------------------------------------------------------------------------------- */

/* Calls `each` with the columns that are read. */
static bool visit_columns(vkft_parquet *file, bool (*each)(parquet_column *c, vkft_err *err), vkft_err *err)
{
    for (uint32_t i = 1; i < file->field_count; i = file->fields[i].end)
        for (uint32_t l = file->fields[i].first_leaf; !file->dropped[i] && l < file->fields[i].last_leaf; l++)
            if (!each(&file->columns[l], err))
                return false;
    return true;
}

static bool start_column(parquet_column *c, vkft_err *err)
{
    const vkft_parquet *file = c->file;
    return parquet_column_start(c, &file->chunks[file->group * file->leaf_count + c->field->first_leaf], err);
}

static bool check_ended(parquet_column *c, vkft_err *err)
{
    return !c->has_entry ||
           parquet_column_fail(c, err, "it has more rows than the group; the file is damaged: get it again");
}

bool vkft_parquet_next(vkft_parquet *file, vkft_text *row, bool *found, vkft_err *err)
{
    const assembly a = {file, row, err};
    for (*found = false; file->group < file->group_count; file->group++, file->row = 0, file->started = false) {
        if (!file->started && !visit_columns(file, start_column, err))
            return false;
        file->started = true;
        if (file->row < file->groups[file->group].rows) {
            *found = write_row(&a);
            file->row++;
            return *found;
        }
        if (!visit_columns(file, check_ended, err))
            return false;
    }
    return true;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

vkft_parquet *vkft_parquet_open(const char *path, const uint8_t *data, uint64_t size, vkft_err *err)
{
    vkft_parquet *file = calloc(1, sizeof *file);
    if (!file || !(file->path = vkft_string_copy(path))) {
        free(file);
        vkft_fail_memory(err, "while reading %s", path);
        return NULL;
    }
    file->data = data;
    file->size = size;
    if (!parquet_footer_read(file, err)) {
        vkft_parquet_close(file);
        return NULL;
    }
    file->dropped = calloc(file->field_count, sizeof *file->dropped);
    file->columns = calloc(file->leaf_count + 1ull, sizeof *file->columns);
    if (!file->dropped || !file->columns) {
        vkft_parquet_close(file);
        vkft_fail_memory(err, "while reading %s", path);
        return NULL;
    }
    for (uint32_t i = 1; i < file->field_count; i++)
        if (file->fields[i].children == 0) {
            file->columns[file->fields[i].first_leaf].file = file;
            file->columns[file->fields[i].first_leaf].field = &file->fields[i];
        }
    return file;
}

void vkft_parquet_close(vkft_parquet *file)
{
    if (!file)
        return;
    for (uint32_t i = 0; file->columns && i < file->leaf_count; i++)
        parquet_column_stop(&file->columns[i]);
    for (uint32_t i = 0; i < file->field_count; i++)
        free(file->fields[i].name);
    free(file->fields);
    free(file->groups);
    free(file->chunks);
    free(file->dropped);
    free(file->columns);
    vkft_text_free(&file->key);
    free(file->path);
    free(file);
}

void vkft_parquet_choose(vkft_parquet *file, bool (*is_wanted)(void *context, const char *name), void *context)
{
    for (uint32_t i = 1; i < file->field_count; i = file->fields[i].end)
        if (!file->dropped[i] && !is_wanted(context, file->fields[i].name)) {
            file->dropped[i] = true;
            for (uint32_t l = file->fields[i].first_leaf; l < file->fields[i].last_leaf; l++)
                parquet_column_stop(&file->columns[l]);
        }
}

uint64_t vkft_parquet_position(const vkft_parquet *file)
{
    if (file->group >= file->group_count)
        return file->size;
    double rows = (double)file->groups[file->group].rows, part = rows > 0 ? (double)file->row / rows : 0;
    return (uint64_t)((double)file->size * ((double)file->group + part) / (double)file->group_count);
}
