/* What the files of this folder share: thrift and footer -> schema -> pages -> values -> rows. */
#ifndef VKFT_PARQUET_PRIVATE_H
#define VKFT_PARQUET_PRIVATE_H

#include <stddef.h>

#include "formats/compress/compress.h"
#include "formats/parquet/parquet.h"

/* --- thrift.c: the compact protocol. After damage all reads are 0 and `failed` stays. ----------------------------- */

enum { THRIFT_TRUE = 1, THRIFT_FALSE, THRIFT_I8, THRIFT_I16, THRIFT_I32, THRIFT_I64, THRIFT_DOUBLE, THRIFT_BINARY };
enum { THRIFT_LIST = 9, THRIFT_SET, THRIFT_MAP, THRIFT_STRUCT };

typedef struct thrift {
    const uint8_t *data;
    uint64_t size, at;
    bool failed;
} thrift;

typedef struct thrift_field {
    int32_t id; /* 0 before the first one */
    int type;
} thrift_field;

/* The next field of a struct; false at its end. A field must be read or skipped before the next one. */
bool thrift_next(thrift *t, thrift_field *field);
void thrift_skip(thrift *t, const thrift_field *field);
/* The field's value; where it has another type it is skipped, and *value stays as it is. */
void thrift_i64(thrift *t, const thrift_field *field, int64_t *value);
void thrift_i32(thrift *t, const thrift_field *field, int32_t *value);
void thrift_bool(thrift *t, const thrift_field *field, bool *value);
void thrift_binary(thrift *t, const thrift_field *field, const uint8_t **bytes, uint64_t *length);
/* How many structs follow, each for thrift_next; 0 where it is no list of structs, which is skipped. */
uint64_t thrift_structs(thrift *t, const thrift_field *field);
/* Whether a struct follows; what else it is is skipped. */
bool thrift_struct(thrift *t, const thrift_field *field);

/* Seven bits a byte, lowest first; false: it does not end, or has more than 64 bits. */
bool parquet_varint(const uint8_t **at, const uint8_t *end, uint64_t *value);
int64_t parquet_zigzag(uint64_t value);

/* --- the schema: fields in the order of the file, each followed by those inside it -------------------------------- */

typedef enum parquet_type {
    PARQUET_BOOLEAN,
    PARQUET_INT32,
    PARQUET_INT64,
    PARQUET_INT96,
    PARQUET_FLOAT,
    PARQUET_DOUBLE,
    PARQUET_BYTE_ARRAY,
    PARQUET_FIXED,
    PARQUET_TYPES
} parquet_type;
typedef enum parquet_repetition { PARQUET_REQUIRED, PARQUET_OPTIONAL, PARQUET_REPEATED } parquet_repetition;

/* What the values of a field are. */
typedef enum parquet_kind {
    PARQUET_STRUCT,
    PARQUET_LIST,
    PARQUET_MAP, /* groups */
    PARQUET_BOOL,
    PARQUET_INT,
    PARQUET_UINT,
    PARQUET_REAL,
    PARQUET_HALF,
    PARQUET_TEXT,
    PARQUET_DECIMAL,
    PARQUET_DATE,
    PARQUET_TIME,
    PARQUET_TIMESTAMP,
    PARQUET_TIMESTAMP96,
    PARQUET_UUID,
    PARQUET_UNREADABLE, /* which kind it is says `unreadable` */
} parquet_kind;

typedef struct parquet_field {
    char *name;
    uint32_t end;                   /* of what is inside it: the next field beside it */
    uint32_t children;              /* fields directly in it; 0: it has values */
    uint32_t first_leaf, last_leaf; /* of those inside it; the latter is the one past them */
    parquet_type type;              /* of a leaf */
    parquet_repetition repetition;
    parquet_kind kind;
    const char *unreadable;
    uint32_t length;     /* of a fixed-length array */
    int32_t scale;       /* decimal */
    uint32_t per_second; /* of time */
    bool utc;
    bool element_inside; /* repeated, in a list: the element is the only field inside this one */
    uint8_t max_def, max_rep;
} parquet_field;

/* One column of one row group. */
typedef struct parquet_chunk {
    int32_t codec;
    bool encrypted, elsewhere; /* in another file */
    uint64_t begin, values;    /* levels, that is, values and nulls */
} parquet_chunk;

typedef struct parquet_group {
    uint64_t rows;
} parquet_group;

/* What annotations say of a field, in both spellings. */
typedef struct parquet_note {
    int32_t converted;                         /* -1: none */
    int32_t logical;                           /* the number of the union's member; 0: none */
    int32_t scale, precision, bit_width, unit; /* unit: 1 milli-, 2 micro-, 3 nanoseconds */
    bool is_signed, utc;
} parquet_note;

/* schema.c: fills in kind and what belongs to it. */
void parquet_field_describe(parquet_field *field, const parquet_note *note);
/* After all fields are described: what is a list and a map. */
void parquet_schema_finish(parquet_field *fields, uint32_t count);

/* --- runs.c, delta.c: whole numbers packed in bits ---------------------------------------------------------------- */

/* RLE / bit-packing hybrid. */
typedef struct parquet_runs {
    const uint8_t *at, *end;
    uint32_t width;
    uint64_t left; /* values of the run */
    uint64_t bit;  /* packed: the next one, from `at` */
    bool packed;
    uint32_t value;
} parquet_runs;
bool parquet_runs_next(parquet_runs *r, uint32_t *value);
/* `width` <= 64 bits at the bit `bit`; false where they are not all there. */
bool parquet_bits(const uint8_t *data, uint64_t size, uint64_t bit, uint32_t width, uint64_t *value);

/* DELTA_BINARY_PACKED. */
typedef struct parquet_delta {
    const uint8_t *at, *end;
    const uint8_t *widths; /* of the block's miniblocks */
    uint64_t left;         /* values not yet returned */
    uint64_t per_mini, minis, mini, in_mini;
    const uint8_t *packed; /* the miniblock */
    uint64_t packed_size, bit;
    uint32_t width;
    uint64_t value, min_delta;
    bool started;
} parquet_delta;
bool parquet_delta_open(parquet_delta *d, const uint8_t *data, const uint8_t *end);
bool parquet_delta_next(parquet_delta *d, int64_t *value);
/* Where the bytes of an opened sequence end. */
bool parquet_delta_end(const parquet_delta *d, const uint8_t **end);

/* --- columns ---------------------------------------------------------------------------------------------------- */

typedef struct parquet_bytes {
    const uint8_t *data; /* of a number: little-endian, as the file has it */
    uint64_t length;
} parquet_bytes;

typedef struct parquet_dictionary {
    uint8_t *memory; /* owned, or NULL where data lies in the file */
    const uint8_t *data;
    uint64_t *offsets; /* byte arrays: [count + 1]; a length of 4 bytes stands before each */
    uint32_t count;
    bool present;
} parquet_dictionary;

typedef struct parquet_column {
    const vkft_parquet *file;
    const parquet_field *field;
    const parquet_chunk *chunk;
    uint64_t at;        /* of the next page */
    uint64_t left;      /* levels in pages to come */
    uint8_t *memory;    /* the page, owned; NULL where it lies in the file */
    uint64_t page_left; /* levels in this page */
    parquet_runs rep, def;
    /* the page's values */
    int32_t encoding;
    const uint8_t *values, *values_end;
    uint64_t done; /* values returned */
    parquet_runs runs;
    parquet_delta delta, suffix;
    parquet_dictionary dictionary;
    vkft_text scratch; /* a value that is put together */
    /* the levels of the next value */
    bool has_entry;
    uint32_t rep_level, def_level;
} parquet_column;

/* pages.c */
bool parquet_column_start(parquet_column *c, const parquet_chunk *chunk,
                          vkft_err *err); /* and moves to the first levels */
bool parquet_column_advance(parquet_column *c, vkft_err *err);
void parquet_column_stop(parquet_column *c); /* frees what its pages need */
bool parquet_column_fail(const parquet_column *c, vkft_err *err, const char *format, ...) VKFT_PRINTF(3, 4);

/* values.c */
bool parquet_values_open(parquet_column *c, const uint8_t *data, uint64_t size, vkft_err *err);
bool parquet_dictionary_open(parquet_column *c, uint8_t *memory, const uint8_t *data, uint64_t size, uint64_t count,
                             vkft_err *err); /* takes memory over */
void parquet_dictionary_close(parquet_dictionary *d);
/* The next value, valid until the next call. */
bool parquet_value_next(parquet_column *c, parquet_bytes *value, vkft_err *err);
/* Bytes of a value of this type; 0: they differ. */
uint64_t parquet_type_size(const parquet_field *field);

/* scalar.c: appends the value as JSON. *bad says what is wrong with it, else NULL. False: bad, or out of memory. */
bool parquet_scalar_write(const parquet_field *field, parquet_bytes value, vkft_text *out, const char **bad,
                          vkft_err *err);

struct vkft_parquet {
    char *path;
    const uint8_t *data;
    uint64_t size;         /* without the footer */
    parquet_field *fields; /* the first one is the root */
    uint32_t field_count, leaf_count;
    parquet_group *groups;
    parquet_chunk *chunks; /* [groups][leaves] */
    uint64_t group_count;
    bool *dropped;           /* [fields]: top-level columns that are not read */
    parquet_column *columns; /* [leaves] */
    uint64_t group, row;     /* the next one to read; of the group */
    bool started;            /* the group's columns are open */
    vkft_text key;           /* of a map */
};

/* footer.c */
bool parquet_footer_read(vkft_parquet *file, vkft_err *err);

#endif
