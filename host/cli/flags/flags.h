/* The flags of a command: one table parses the command line, checks a recipe and prints --help, manual page and
 * completions (export.h), so they cannot disagree.
 *
 * A flag writes a member of the command's options structure. Its default is whatever the structure holds before
 * parsing; help prints it from there, so defaults are written down once, beside the structure they belong to.
 * `-` and `_` are the same in names; `--name value` and `--name=value`; `--no-name` for switches; the last one wins
 * (or all count, of FLAG_TEXTS), and the command line wins over the recipe. What other programs call a flag is a row of
 * flag_spelling.
 */
#ifndef VKFT_FLAGS_H
#define VKFT_FLAGS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "host/cli/flags/recipe.h"
#include "host/train/settings.h"
#include "runtime/base/error.h"

typedef enum flag_kind {
    FLAG_HEADING, /* no flag: starts a group in --help */
    FLAG_SWITCH,  /* bool */
    FLAG_U32,
    FLAG_U64,
    FLAG_I64,
    FLAG_FLOAT,
    FLAG_DOUBLE,
    FLAG_TEXT,   /* const char *, borrowed from argv or the recipe */
    FLAG_TEXTS,  /* const char *[FLAG_TEXTS_MAX + 1], the same, up to a NULL: each use of the flag adds one */
    FLAG_CHOICE, /* an enum; needs choices */
} flag_kind;

/* Values a flag may take. A list ends with a NULL name. */
typedef struct flag_choice {
    const char *name;
    int value;   /* of FLAG_CHOICE */
    bool coming; /* known, but not in this version */
} flag_choice;

typedef struct flag_range {
    double min, max;
    bool above_min, below_max; /* the bound itself is not allowed */
} flag_range;

/* As initializers of flag.range. */
#define AT_LEAST(low)                                                                                                  \
    {                                                                                                                  \
        .min = (low), .max = INFINITY                                                                                  \
    }
#define ABOVE(low)                                                                                                     \
    {                                                                                                                  \
        .min = (low), .max = INFINITY, .above_min = true                                                               \
    }
#define BETWEEN(low, high)                                                                                             \
    {                                                                                                                  \
        .min = (low), .max = (high)                                                                                    \
    }
#define FROM_TO_BELOW(low, high)                                                                                       \
    {                                                                                                                  \
        .min = (low), .max = (high), .below_max = true                                                                 \
    }
#define ABOVE_TO(low, high)                                                                                            \
    {                                                                                                                  \
        .min = (low), .max = (high), .above_min = true                                                                 \
    }

/* What a path may also be, in its name on the hub (host/cli/fetch.h). */
typedef enum flag_hub { FLAG_HUB_NONE, FLAG_HUB_MODEL, FLAG_HUB_ADAPTER, FLAG_HUB_DATASET } flag_hub;

typedef struct flag {
    flag_kind kind;
    const char *name;  /* "learning-rate"; of a heading its text; of a positional argument what usage calls it */
    char letter;       /* one-letter name, or 0 */
    const char *value; /* how help calls the value: "N", "PATH" */
    const char *help;
    size_t offset;              /* of the member in the options */
    size_t given;               /* of a bool that becomes true when the flag is used, or 0 for none */
    const flag_choice *choices; /* also for FLAG_TEXT, which then stores the name */
    flag_range range;           /* of numbers; all zero means no limit */
    const char *bare;           /* FLAG_TEXT: what the flag means without a value; NULL: a value is required */
    const char *default_text;   /* what help says instead of the value in the options; "" for nothing */
    bool required, positional, may_be_empty;
    flag_hub hub;  /* FLAG_TEXT */
    bool same_run; /* a resumed run must have the same value; otherwise it may change */
} flag;

typedef enum spelling_verdict {
    SPELLING_MEANS,   /* the flag, with this value */
    SPELLING_NOTHING, /* what is done anyway: accepted, and nothing is set */
    SPELLING_REFUSED,
} spelling_verdict;

/* What another program calls a flag, or a value of it. Of the rows about one name the first that fits the value counts.
 * A list ends with a row of zeros; a row with a name alone is a heading. */
typedef struct flag_spelling {
    const char *name;   /* as the other program writes it: "load_in_4bit" */
    const char *value;  /* the only value that the row is about, upper case or lower; NULL: every value */
    const char *flag;   /* whose; a command without this flag does not know the name */
    const char *means;  /* its value; NULL: the value given */
    const char *prefix; /* comes before the value given; NULL: nothing */
    flag_range range;   /* of the value given; all zero means that of the flag */
    spelling_verdict verdict;
    const char *note; /* of SPELLING_NOTHING what is done, of SPELLING_REFUSED what to do instead, or NULL */
} flag_spelling;

/* Where a flag that was given does nothing. A list ends with a row of zeros. */
typedef struct flag_idle {
    const char *flag;
    bool (*where)(const void *options); /* all flags are set */
    const char *why;                    /* "with --max-steps" */
} flag_idle;

typedef struct flag_table {
    const char *command; /* "train" */
    const char *usage;   /* "--model M --data FILE [flags]" */
    const char *about;   /* lines for help */
    const flag *flags;
    uint32_t count;
    const flag_spelling *spellings; /* or NULL */
    const flag_idle *idle;          /* the same */
} flag_table;

#define FLAG_COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))
#define FLAGS_MAX 132 /* rows of a table */
#define SPELLINGS_MAX 220
#define FLAG_NAME_SIZE 64
#define FLAG_TEXTS_MAX 16

typedef enum flags_outcome { FLAGS_OK, FLAGS_HELP, FLAGS_WRONG } flags_outcome;

/* Fills options from the recipe named by -c/--config and from argv (without program and command). The recipe keeps the
 * strings that options borrow from it. Flags without effect are said on stderr. FLAGS_HELP: --help stands somewhere.
 * FLAGS_WRONG: err has kind VKFT_ERR_USAGE, or that of an unreadable recipe. */
flags_outcome flags_parse(const flag_table *table, void *options, int argc, char **argv, vkft_recipe *recipe,
                          vkft_err *err);

/* Gives one flag a value after parsing, by any of its names, with '-' or '_'. origin: what an error begins with. The
 * recipe keeps strings that are made of the value. *set: the flag. */
bool flags_set(const flag_table *table, void *options, const char *name, const char *value, const char *origin,
               vkft_recipe *recipe, const flag **set, vkft_err *err);

/* --help of a command; options hold the defaults. */
void flags_print_help(const flag_table *table, const void *options, FILE *out);

/* The values of all flags as text, in the table's order; a heading has none. vkft_settings.list is allocated, also the
 * values; free with flags_settings_free. */
bool flags_settings(const flag_table *table, const void *options, vkft_settings *settings, vkft_err *err);
void flags_settings_free(vkft_settings *settings);

/* The values that a command is about to work with, a paragraph a heading; what is off, absent or left to the model is
 * not in it. */
void flags_print_settings(const flag_table *table, const void *options, FILE *out);

/* The values of all flags but those named (up to a NULL), as a recipe in YAML that gives the same options when it is
 * read. What would only have no effect, and defaults that give way to what a model or an adapter says, are comments in
 * it. Error: a text is no UTF-8. */
bool flags_print_recipe(const flag_table *table, const void *options, const char *const *without, FILE *out,
                        vkft_err *err);

/* The flag of a name, which is spelled with '-' or '_'; NULL: the table has none. */
const flag *flags_find(const flag_table *table, const char *name);

/* The first row about a name, or, after a row, the next one about the same name, among those whose flag the table has;
 * NULL: no more. */
const flag_spelling *flags_spelling(const flag_table *table, const char *name, const flag_spelling *after);

/* The next other name of a flag, whose values are the flag's own, with '-'. *at: NULL before the first; false after the
 * last. */
bool flags_other_name(const flag_table *table, const flag *f, const flag_spelling **at, char name[FLAG_NAME_SIZE]);

/* Whether a value stands on its own, "--name" for "--name true": that of a switch, own or spelled. */
bool flags_is_switch(const flag_table *table, const char *name);

/* All rows of a list, for help. */
void flags_print_spellings(const flag_spelling *spellings, FILE *out);

/* The value of one flag as text: the shortest that reads back as the same number; "none" for an absent text. */
void flag_value_text(const flag *f, const void *options, char *text, size_t size);

/* "--learning-rate X", "-o, --output PATH", "--[no-]shuffle". */
void flag_name_text(const flag *f, char *text, size_t size);

/* What the flag does, its values, its other names, its range, its default: one text. */
void flag_help_text(const flag_table *table, const flag *f, const void *options, char *text, size_t size);

/* Help of the flag that every command has. */
#define FLAGS_CONFIG_HELP "read flags from a YAML or JSON file; the command line takes precedence"

/* "at least 1", "above 0 and at most 1": for messages and help. Empty without a limit. */
void flag_range_text(const flag_range *range, char *text, size_t size);

#endif
