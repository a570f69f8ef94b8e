/* --help from the table of flags. */
#include "host/cli/flags/flags.h"

#include <string.h>

#define HELP_COLUMN 34
#define HELP_WIDTH 110
#define SETTINGS_COLUMN 24
#define SPELLING_COLUMN 42

void flag_name_text(const flag *f, char *text, size_t size)
{
    char letter[8] = "";
    if (f->letter)
        snprintf(letter, sizeof letter, "-%c, ", f->letter);
    if (f->positional)
        snprintf(text, size, "%s", f->name);
    else if (f->kind == FLAG_SWITCH)
        snprintf(text, size, "%s--[no-]%s", letter, f->name);
    else
        snprintf(text, size, "%s--%s %s%s%s", letter, f->name, f->bare ? "[" : "", f->value ? f->value : "NAME",
                 f->bare ? "]" : "");
}

static void append(char *text, size_t size, const char *format, const char *a)
{
    size_t n = strlen(text);
    if (n < size)
        snprintf(text + n, size - n, format, a);
}

void flag_help_text(const flag_table *table, const flag *f, const void *options, char *text, size_t size)
{
    snprintf(text, size, "%s%s", f->help, f->kind == FLAG_TEXTS ? "; may be given several times" : "");
    for (const flag_choice *c = f->choices; c && c->name; c++)
        if (!c->coming)
            append(text, size, c == f->choices ? ": %s" : ", %s", c->name);
    const flag_spelling *at = NULL;
    char other[FLAG_NAME_SIZE];
    for (bool first = true; flags_other_name(table, f, &at, other); first = false)
        append(text, size, first ? "; also --%s" : ", --%s", other);
    char range[64], value[256];
    flag_range_text(&f->range, range, sizeof range);
    flag_value_text(f, options, value, sizeof value);
    const char *shown = f->default_text ? f->default_text : value;
    if (f->required)
        append(text, size, "%s", " (required)");
    else if (shown[0])
        append(text, size, range[0] ? " (default %s; " : " (default %s)", shown);
    if (range[0])
        append(text, size, "%s)", range);
}

/* "(default" and its value stay on one line. */
static bool ends_with_default(const char *text, size_t n)
{
    static const char word[] = "(default";
    size_t length = sizeof word - 1;
    return n >= length && memcmp(text + n - length, word, length) == 0;
}

/* Prints text from this column on, broken at spaces. */
static void print_wrapped(FILE *out, const char *text, int column)
{
    size_t width = HELP_WIDTH - (size_t)column;
    while (strlen(text) > width) {
        size_t n = width + 1;
        do
            n--;
        while (n > 0 && (text[n] != ' ' || ends_with_default(text, n)));
        if (n == 0)
            n = width;
        fprintf(out, "%.*s\n%*s", (int)n, text, column, "");
        text += n + (text[n] == ' ');
    }
    fprintf(out, "%s\n", text);
}

void flags_print_help(const flag_table *table, const void *options, FILE *out)
{
    fprintf(out, "usage: vkft %s %s\n\n%s\n", table->command, table->usage, table->about);
    if (table->count && table->flags[0].kind != FLAG_HEADING)
        fprintf(out, "\n");
    for (uint32_t i = 0; i < table->count; i++) {
        const flag *f = &table->flags[i];
        if (f->kind == FLAG_HEADING) {
            fprintf(out, "\n%s\n", f->name);
            continue;
        }
        char name[128], text[1024];
        flag_name_text(f, name, sizeof name);
        flag_help_text(table, f, options, text, sizeof text);
        if (strlen(name) > HELP_COLUMN - 4)
            fprintf(out, "  %s\n%*s", name, HELP_COLUMN, "");
        else
            fprintf(out, "  %-*s", HELP_COLUMN - 2, name);
        print_wrapped(out, text, HELP_COLUMN);
    }
    fprintf(out, "\n  %-*s%s\n", HELP_COLUMN - 2, "-c, --config FILE", FLAGS_CONFIG_HELP);
    fprintf(out, "  %-*s%s\n", HELP_COLUMN - 2, "-h, --help", "show this help");
    if (table->spellings)
        fprintf(out, "\n'vkft help spellings' lists the names of other programs that are understood, too.\n");
}

static void print_spelling(const flag_spelling *row, const flag_spelling *before, FILE *out)
{
    bool again = before && before->flag && strcmp(before->name, row->name) == 0;
    char name[96], text[512];
    snprintf(name, sizeof name, "%s%s%s", row->name, row->value ? ": " : "", row->value ? row->value : "");
    if (again && !row->value && before->value)
        append(name, sizeof name, "%s", ": others");
    if (row->verdict == SPELLING_NOTHING)
        snprintf(text, sizeof text, "accepted, sets nothing: %s", row->note);
    else if (row->verdict == SPELLING_REFUSED)
        snprintf(text, sizeof text, "refused: %s", row->note);
    else
        snprintf(text, sizeof text, "--%s", row->flag);
    if (row->verdict == SPELLING_MEANS) {
        if (row->means || row->prefix)
            append(text, sizeof text, row->means ? " %s" : " %sNAME", row->means ? row->means : row->prefix);
        if (row->note)
            append(text, sizeof text, " %s", row->note);
    }
    fprintf(out, "  %-*s", SPELLING_COLUMN - 2, name);
    print_wrapped(out, text, SPELLING_COLUMN);
}

void flags_print_spellings(const flag_spelling *spellings, FILE *out)
{
    for (const flag_spelling *row = spellings; row->name; row++)
        if (row->flag)
            print_spelling(row, row == spellings ? NULL : row - 1, out);
        else
            fprintf(out, "%s%s\n", row == spellings ? "" : "\n", row->name);
}

static bool says_something(const flag *f, const void *options, const char *value)
{
    bool by_model = f->given && !*(const bool *)((const char *)options + f->given);
    if (f->default_text && strcmp(value, "0") == 0) /* no number, but what the default text says */
        return false;
    return !by_model && (f->kind == FLAG_CHOICE || (strcmp(value, "off") != 0 && strcmp(value, "none") != 0));
}

void flags_print_settings(const flag_table *table, const void *options, FILE *out)
{
    for (uint32_t i = 0; i < table->count;) {
        size_t column = (size_t)fprintf(out, "%-*s", SETTINGS_COLUMN, table->flags[i].name);
        bool first = true;
        for (i++; i < table->count && table->flags[i].kind != FLAG_HEADING; i++) {
            const flag *f = &table->flags[i];
            char value[256], item[320];
            flag_value_text(f, options, value, sizeof value);
            if (!says_something(f, options, value))
                continue;
            bool alone = f->kind == FLAG_SWITCH;
            snprintf(item, sizeof item, "%s%s%s", f->name, alone ? "" : " ", alone ? "" : value);
            bool wraps = !first && column + strlen(item) + 2 > HELP_WIDTH;
            if (wraps)
                column = (size_t)fprintf(out, ",\n%*s", SETTINGS_COLUMN, "") - 2;
            column += (size_t)fprintf(out, "%s%s", first || wraps ? "" : ", ", item);
            first = false;
        }
        fprintf(out, "\n");
    }
}
