/* What fields are: numbers, texts, times, lists, maps, by their physical type and two generations of annotations. */
#include <string.h>

#include "formats/parquet/parquet_private.h"

enum { MAX_DECIMAL_BYTES = 32, MAX_SCALE = 76 };

/* The older annotations, and the members of the newer ones. */
enum {
    C_UTF8,
    C_MAP,
    C_MAP_KEY_VALUE,
    C_LIST,
    C_ENUM,
    C_DECIMAL,
    C_DATE,
    C_TIME_MILLIS,
    C_TIME_MICROS,
    C_TIMESTAMP_MILLIS,
    C_TIMESTAMP_MICROS,
    C_UINT_8,
    C_UINT_64 = 14,
    C_INT_8,
    C_INT_64 = 18,
    C_JSON,
    C_BSON,
    C_INTERVAL
};
enum {
    L_STRING = 1,
    L_MAP,
    L_LIST,
    L_ENUM,
    L_DECIMAL,
    L_DATE,
    L_TIME,
    L_TIMESTAMP,
    L_INTEGER = 10,
    L_NULL,
    L_JSON,
    L_BSON,
    L_UUID,
    L_FLOAT16,
    L_VARIANT,
    L_GEOMETRY,
    L_GEOGRAPHY
};

static void set_unreadable(parquet_field *field, const char *what)
{
    field->kind = PARQUET_UNREADABLE;
    field->unreadable = what;
}

static parquet_kind plain_kind(parquet_type type)
{
    static const parquet_kind kinds[PARQUET_TYPES] = {PARQUET_BOOL, PARQUET_INT,  PARQUET_INT,  PARQUET_TIMESTAMP96,
                                                      PARQUET_REAL, PARQUET_REAL, PARQUET_TEXT, PARQUET_TEXT};
    return kinds[type];
}

static bool is_integer(const parquet_field *field)
{
    return field->type == PARQUET_INT32 || field->type == PARQUET_INT64;
}

static void describe_decimal(parquet_field *field, const parquet_note *note)
{
    field->kind = PARQUET_DECIMAL;
    field->scale = note->scale;
    if (note->scale < 0 || note->scale > MAX_SCALE || !(is_integer(field) || field->type >= PARQUET_BYTE_ARRAY) ||
        (field->type == PARQUET_FIXED && field->length > MAX_DECIMAL_BYTES))
        set_unreadable(field, "decimals of more than 76 digits");
}

static void describe_time(parquet_field *field, const parquet_note *note, parquet_kind kind, int32_t unit)
{
    static const uint32_t per_second[] = {0, 1000, 1000000, 1000000000};
    if (!is_integer(field) || unit < 1 || unit > 3) {
        field->kind = plain_kind(field->type);
        return;
    }
    field->kind = kind;
    field->per_second = per_second[unit];
    field->utc = kind == PARQUET_TIMESTAMP && (note->logical ? note->utc : true);
}

static void describe_leaf(parquet_field *field, const parquet_note *note)
{
    const int32_t c = note->converted, l = note->logical;
    field->kind = plain_kind(field->type);
    if (l == L_BSON || (!l && c == C_BSON))
        set_unreadable(field, "BSON");
    else if (l == L_VARIANT || l == L_GEOMETRY || l == L_GEOGRAPHY)
        set_unreadable(field, l == L_VARIANT ? "variants" : "geometries");
    else if (!l && c == C_INTERVAL)
        set_unreadable(field, "intervals");
    else if (l == L_DECIMAL || (!l && c == C_DECIMAL))
        describe_decimal(field, note);
    else if (l == L_TIME || (!l && (c == C_TIME_MILLIS || c == C_TIME_MICROS)))
        describe_time(field, note, PARQUET_TIME, l ? note->unit : c == C_TIME_MILLIS ? 1 : 2);
    else if (l == L_TIMESTAMP || (!l && (c == C_TIMESTAMP_MILLIS || c == C_TIMESTAMP_MICROS)))
        describe_time(field, note, PARQUET_TIMESTAMP, l ? note->unit : c == C_TIMESTAMP_MILLIS ? 1 : 2);
    else if (field->type == PARQUET_INT32 && (l == L_DATE || (!l && c == C_DATE)))
        field->kind = PARQUET_DATE;
    else if (is_integer(field) && ((l == L_INTEGER && !note->is_signed) || (!l && c >= C_UINT_8 && c <= C_UINT_64)))
        field->kind = PARQUET_UINT;
    else if (field->type == PARQUET_FIXED && l == L_UUID && field->length == 16)
        field->kind = PARQUET_UUID;
    else if (field->type == PARQUET_FIXED && l == L_FLOAT16 && field->length == 2)
        field->kind = PARQUET_HALF;
}

void parquet_field_describe(parquet_field *field, const parquet_note *note)
{
    if (field->type != PARQUET_TYPES) {
        describe_leaf(field, note);
        return;
    }
    const int32_t c = note->converted, l = note->logical;
    field->kind = l == L_LIST || (!l && c == C_LIST)                           ? PARQUET_LIST
                  : l == L_MAP || (!l && (c == C_MAP || c == C_MAP_KEY_VALUE)) ? PARQUET_MAP
                                                                               : PARQUET_STRUCT;
    if (l == L_VARIANT)
        set_unreadable(field, "variants");
}

/* The rules for lists of older writers: the repeated field is the element unless it is a group of one field, which is
 * the element, under a name that does not say otherwise. */
static bool has_element_inside(const parquet_field *list, const parquet_field *repeated)
{
    size_t length = strlen(list->name);
    bool tuple = strncmp(repeated->name, list->name, length) == 0 && strcmp(repeated->name + length, "_tuple") == 0;
    return repeated->children == 1 && strcmp(repeated->name, "array") != 0 && !tuple &&
           repeated[1].repetition != PARQUET_REPEATED;
}

void parquet_schema_finish(parquet_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        parquet_field *f = &fields[i], *inside = f + 1;
        for (uint32_t k = i + 1; f->kind == PARQUET_UNREADABLE && k < f->end; k++)
            set_unreadable(&fields[k], f->unreadable);
        bool one = f->children == 1 && inside->repetition == PARQUET_REPEATED;
        if (f->kind == PARQUET_LIST && !one)
            f->kind = PARQUET_STRUCT;
        else if (f->kind == PARQUET_LIST)
            inside->element_inside = has_element_inside(f, inside);
        bool entries = one && inside->children >= 1 && inside->children <= 2 && inside[1].children == 0 &&
                       inside[1].repetition != PARQUET_REPEATED;
        if (f->kind == PARQUET_MAP && entries && inside->children == 1) { /* no values: a list of its keys */
            f->kind = PARQUET_LIST;
            inside->element_inside = true;
        } else if (f->kind == PARQUET_MAP && entries) {
            inside->kind = PARQUET_STRUCT;
        } else if (f->kind == PARQUET_MAP) {
            f->kind = PARQUET_STRUCT;
        }
    }
}
