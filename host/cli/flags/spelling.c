/* What other programs call a flag. See flags.h. */
#include "host/cli/flags/flags.h"

#include <ctype.h>
#include <string.h>

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '_' ? '-' : *a) != (*b == '_' ? '-' : *b))
            return false;
    return !*a && !*b;
}

const flag *flags_find(const flag_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const flag *f = &table->flags[i];
        if (f->kind != FLAG_HEADING && !f->positional && same_name(f->name, name))
            return f;
    }
    return NULL;
}

static bool is_row(const flag_spelling *row)
{
    return row->flag != NULL;
}

const flag_spelling *flags_spelling(const flag_table *table, const char *name, const flag_spelling *after)
{
    const flag_spelling *row = after ? after + 1 : table->spellings;
    for (; row && row->name; row++)
        if (is_row(row) && same_name(row->name, name) && flags_find(table, row->flag))
            return row;
    return NULL;
}

/* A name of its own for the flag, in all its values. */
static bool is_other_name(const flag_table *table, const flag *f, const flag_spelling *row)
{
    return is_row(row) && !row->value && !row->prefix && row->verdict == SPELLING_MEANS &&
           strcmp(row->flag, f->name) == 0 && flags_spelling(table, row->name, NULL) == row;
}

bool flags_other_name(const flag_table *table, const flag *f, const flag_spelling **at, char name[FLAG_NAME_SIZE])
{
    const flag_spelling *row = *at ? *at + 1 : table->spellings;
    while (row && row->name && !is_other_name(table, f, row))
        row++;
    if (!row || !row->name)
        return false;
    *at = row;
    snprintf(name, FLAG_NAME_SIZE, "%s", row->name);
    for (char *c = name; *c; c++)
        *c = *c == '_' ? '-' : *c;
    return true;
}

bool flags_is_switch(const flag_table *table, const char *name)
{
    const flag *own = flags_find(table, name);
    if (own)
        return own->kind == FLAG_SWITCH;
    bool is_true = false;
    for (const flag_spelling *row = flags_spelling(table, name, NULL); row; row = flags_spelling(table, name, row)) {
        if (!row->value)
            return row->verdict == SPELLING_MEANS && flags_find(table, row->flag)->kind == FLAG_SWITCH;
        is_true = is_true || strcmp(row->value, "true") == 0;
    }
    return is_true;
}
