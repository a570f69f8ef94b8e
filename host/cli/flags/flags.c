/* Parsing of flags. See flags.h.
 *
 * getopt_long was not used: it knows no types, no `_` for `-`, no recipes, and is absent from some Windows toolchains.
 */
#include "host/cli/flags/flags.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/text.h"

#define NAME_SIZE 64

/* Copies a name with '_' as '-'. false: longer than any flag. */
static bool normalize(const char *name, size_t length, char out[NAME_SIZE])
{
    if (length >= NAME_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        out[i] = name[i] == '_' ? '-' : name[i];
    out[length] = 0;
    return true;
}

static bool is_named(const flag *f)
{
    return f->kind != FLAG_HEADING && !f->positional;
}

static const flag *find_exact(const flag_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const flag *f = &table->flags[i];
        if (is_named(f) && (strcmp(f->name, name) == 0 || (f->alias && strcmp(f->alias, name) == 0)))
            return f;
    }
    return NULL;
}

/* The flag of a normalized name; *negated when the name was "no-" and that of a switch. */
static const flag *find_flag(const flag_table *table, const char *name, bool *negated)
{
    *negated = false;
    const flag *f = find_exact(table, name);
    if (!f && strncmp(name, "no-", 3) == 0) {
        f = find_exact(table, name + 3);
        if (f && f->kind != FLAG_SWITCH)
            f = NULL;
        *negated = f != NULL;
    }
    return f;
}

static const flag *find_letter(const flag_table *table, char letter)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (is_named(&table->flags[i]) && table->flags[i].letter == letter)
            return &table->flags[i];
    return NULL;
}

static const flag *find_positional(const flag_table *table, const bool *given)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->flags[i].positional && !given[i])
            return &table->flags[i];
    return NULL;
}

static bool unknown_flag(const flag_table *table, const char *name, const char *origin, vkft_err *err)
{
    const char *names[2 * FLAGS_MAX + 2] = {"config", "help"};
    uint32_t count = 2;
    for (uint32_t i = 0; i < table->count; i++) {
        if (!is_named(&table->flags[i]))
            continue;
        names[count++] = table->flags[i].name;
        if (table->flags[i].alias)
            names[count++] = table->flags[i].alias;
    }
    const char *word = strncmp(name, "no-", 3) == 0 ? name + 3 : name;
    const char *near = vkft_string_nearest(word, names, count);
    if (near)
        return vkft_fail(err, VKFT_ERR_USAGE, "%s: unknown flag, did you mean --%s%s?", origin,
                         word != name ? "no-" : "", near);
    return vkft_fail(err, VKFT_ERR_USAGE, "%s: unknown flag; 'vkft %s --help' lists all", origin, table->command);
}

void flag_range_text(const flag_range *range, char *text, size_t size)
{
    text[0] = 0;
    if (range->min == 0 && range->max == 0)
        return;
    int n = snprintf(text, size, "%s %g", range->above_min ? "above" : "at least", range->min);
    if (isfinite(range->max) && n >= 0 && (size_t)n < size)
        snprintf(text + n, size - (size_t)n, " and %s %g", range->below_max ? "below" : "at most", range->max);
}

static bool in_range(const flag_range *range, double x)
{
    if (range->min == 0 && range->max == 0)
        return true;
    return (range->above_min ? x > range->min : x >= range->min) &&
           (range->below_max ? x < range->max : x <= range->max);
}

static bool wrong_number(const flag *f, const char *text, const char *origin, vkft_err *err)
{
    char range[64];
    flag_range_text(&f->range, range, sizeof range);
    const char *what = f->kind == FLAG_FLOAT || f->kind == FLAG_DOUBLE ? "number" : "whole number";
    return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected a %s%s%s, found '%s'", origin, what, range[0] ? ", " : "",
                     range, text);
}

static bool set_integer(const flag *f, void *member, const char *text, const char *origin, vkft_err *err)
{
    char *end = NULL;
    errno = 0;
    if (f->kind == FLAG_I64) {
        long long x = strtoll(text, &end, 10);
        if (end == text || *end || errno || !in_range(&f->range, (double)x))
            return wrong_number(f, text, origin, err);
        *(int64_t *)member = x;
        return true;
    }
    unsigned long long x = strtoull(text, &end, 10);
    bool fits = f->kind == FLAG_U64 || x <= UINT32_MAX;
    if (end == text || *end || errno || strchr(text, '-') || !fits || !in_range(&f->range, (double)x))
        return wrong_number(f, text, origin, err);
    if (f->kind == FLAG_U64)
        *(uint64_t *)member = x;
    else
        *(uint32_t *)member = (uint32_t)x;
    return true;
}

static bool set_number(const flag *f, void *member, const char *text, const char *origin, vkft_err *err)
{
    char *end = NULL;
    double x = strtod(text, &end);
    bool single = f->kind == FLAG_FLOAT;
    if (single) /* what is stored must be in range: 1e-50 is above 0, but its float is not */
        x = (double)(float)x;
    if (end == text || *end || !isfinite(x) || !in_range(&f->range, x))
        return wrong_number(f, text, origin, err);
    if (single)
        *(float *)member = (float)x;
    else
        *(double *)member = x;
    return true;
}

static bool set_switch(void *member, const char *text, const char *origin, bool negated, vkft_err *err)
{
    static const char *const yes[] = {"true", "True", "yes", "on", "1"};
    static const char *const no[] = {"false", "False", "no", "off", "0"};
    for (uint32_t i = 0; i < FLAG_COUNT(yes); i++) {
        bool is_yes = strcmp(text, yes[i]) == 0;
        if (is_yes || strcmp(text, no[i]) == 0) {
            *(bool *)member = is_yes != negated;
            return true;
        }
    }
    return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected true or false, found '%s'", origin, text);
}

static const flag_choice *find_choice(const flag *f, const char *text, const char *origin, vkft_err *err)
{
    char list[512] = "";
    size_t length = 0;
    for (const flag_choice *c = f->choices; c->name; c++) {
        if (strcmp(c->name, text) == 0) {
            if (!c->coming)
                return c;
            vkft_fail(err, VKFT_ERR_USAGE, "%s: '%s' is not in this version", origin, text);
            return NULL;
        }
        if (!c->coming) {
            int n = snprintf(list + length, sizeof list - length, "%s%s", length ? ", " : "", c->name);
            length += (size_t)n;
        }
    }
    vkft_fail(err, VKFT_ERR_USAGE, "%s: expected %s, found '%s'", origin, list, text);
    return NULL;
}

/* Writes one value. origin names where it stands, for errors: "--batch-size" or "recipe.yaml:3: batch_size". */
static bool set_value(const flag *f, void *options, const char *text, bool negated, const char *origin, vkft_err *err)
{
    char *member = (char *)options + f->offset;
    bool ok = true;
    switch (f->kind) {
    case FLAG_SWITCH: ok = set_switch(member, text, origin, negated, err); break;
    case FLAG_U32:
    case FLAG_U64:
    case FLAG_I64: ok = set_integer(f, member, text, origin, err); break;
    case FLAG_FLOAT:
    case FLAG_DOUBLE: ok = set_number(f, member, text, origin, err); break;
    case FLAG_TEXT:
        if (!*text && !f->may_be_empty)
            return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected %s, found nothing", origin,
                             f->value ? f->value : f->name);
        ok = !f->choices || find_choice(f, text, origin, err);
        if (ok)
            *(const char **)(void *)member = text;
        break;
    case FLAG_CHOICE: {
        const flag_choice *choice = find_choice(f, text, origin, err);
        ok = choice != NULL;
        if (ok)
            memcpy(member, &choice->value, sizeof choice->value);
        break;
    }
    case FLAG_HEADING: break;
    }
    if (ok && f->given)
        *(bool *)((char *)options + f->given) = true;
    return ok;
}

static bool apply_recipe(const flag_table *table, void *options, const vkft_recipe *recipe, bool *given, vkft_err *err)
{
    for (uint32_t i = 0; i < recipe->count; i++) {
        const vkft_recipe_entry *e = &recipe->entries[i];
        char origin[512], name[NAME_SIZE];
        snprintf(origin, sizeof origin, "%s:%u: %s", recipe->path, e->line, e->name);
        bool negated = false;
        bool fits = normalize(e->name, strlen(e->name), name);
        const flag *f = fits ? find_flag(table, name, &negated) : NULL;
        if (!f)
            return unknown_flag(table, fits ? name : "", origin, err);
        if (!e->value)
            continue;
        if (!set_value(f, options, e->value, negated, origin, err))
            return false;
        given[f - table->flags] = true;
    }
    return true;
}

/* One word of argv, taken apart. */
typedef struct argument {
    const char *text; /* as typed */
    char name[NAME_SIZE];
    const char *value; /* after '=', or NULL */
    char letter;       /* of a one-letter flag, else 0 */
    bool positional;
} argument;

static argument split_argument(const char *text, bool only_positional)
{
    argument a = {.text = text, .positional = true};
    if (only_positional || text[0] != '-' || !text[1])
        return a;
    a.positional = false;
    if (text[1] != '-') {
        a.letter = text[1];
        if (text[2])
            a.value = text + 2 + (text[2] == '=');
        return a;
    }
    const char *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) - 2 : strlen(text + 2);
    a.value = equals ? equals + 1 : NULL;
    if (!normalize(text + 2, length, a.name))
        snprintf(a.name, sizeof a.name, "%.40s", text + 2); /* names nothing; the error shows the text as typed */
    return a;
}

static bool is_help(const argument *a)
{
    return !a->positional && (a->letter == 'h' || strcmp(a->name, "help") == 0);
}

static bool is_config(const argument *a)
{
    return !a->positional && (a->letter == 'c' || strcmp(a->name, "config") == 0);
}

/* The value of a flag that needs one: after '=', or the next word. A word that starts with "--" is a flag, not a value.
 */
static const char *take_value(const argument *a, int argc, char **argv, int *at)
{
    if (a->value)
        return a->value;
    if (*at + 1 < argc && strncmp(argv[*at + 1], "--", 2) != 0)
        return argv[++*at];
    return NULL;
}

static bool needs_value(const char *origin, const char *what, vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_USAGE, "%s: a value is missing, expected %s", origin, what);
}

static bool apply_positional(const flag_table *table, void *options, const char *text, bool *given, vkft_err *err)
{
    const flag *f = find_positional(table, given);
    if (!f)
        return vkft_fail(err, VKFT_ERR_USAGE, "unexpected argument '%s'; usage: vkft %s %s", text, table->command,
                         table->usage);
    given[f - table->flags] = true;
    return set_value(f, options, text, false, f->name, err);
}

static bool apply_argument(const flag_table *table, void *options, const argument *a, int argc, char **argv, int *at,
                           bool *given, vkft_err *err)
{
    char origin[160];
    int length = a->letter ? 2 : (int)strcspn(a->text, "=");
    snprintf(origin, sizeof origin, "%.*s", length, a->text);
    bool negated = false;
    const flag *f = a->letter ? find_letter(table, a->letter) : find_flag(table, a->name, &negated);
    if (!f)
        return unknown_flag(table, a->name, origin, err);
    const char *value = a->value;
    if (f->kind == FLAG_SWITCH || negated)
        value = value ? value : "true";
    else
        value = take_value(a, argc, argv, at);
    if (!value)
        value = f->bare;
    if (!value)
        return needs_value(origin, f->choices ? f->choices->name : f->value, err);
    given[f - table->flags] = true;
    return set_value(f, options, value, negated, origin, err);
}

static bool check_required(const flag_table *table, const bool *given, vkft_err *err)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const flag *f = &table->flags[i];
        if (f->required && !given[i])
            return vkft_fail(err, VKFT_ERR_USAGE, "%s%s is missing; usage: vkft %s %s", f->positional ? "" : "--",
                             f->name, table->command, table->usage);
    }
    return true;
}

/* Finds --help and reads the recipe, which must be applied before the command line. */
static flags_outcome read_recipe(int argc, char **argv, vkft_recipe *recipe, vkft_err *err)
{
    const char *path = NULL;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        argument a = split_argument(argv[i], false);
        if (is_help(&a))
            return FLAGS_HELP;
        if (!is_config(&a))
            continue;
        if (path) {
            vkft_fail(err, VKFT_ERR_USAGE, "--config stands twice; one recipe can be used at a time");
            return FLAGS_WRONG;
        }
        path = take_value(&a, argc, argv, &i);
        if (!path || !*path) {
            needs_value("--config", "a YAML or JSON file", err);
            return FLAGS_WRONG;
        }
    }
    return !path || recipe_read(path, recipe, err) ? FLAGS_OK : FLAGS_WRONG;
}

flags_outcome flags_parse(const flag_table *table, void *options, int argc, char **argv, vkft_recipe *recipe,
                          vkft_err *err)
{
    assert(table->count <= FLAGS_MAX);
    bool given[FLAGS_MAX] = {false};
    flags_outcome outcome = read_recipe(argc, argv, recipe, err);
    if (outcome != FLAGS_OK)
        return outcome;
    if (!apply_recipe(table, options, recipe, given, err))
        return FLAGS_WRONG;
    bool only_positional = false;
    for (int i = 0; i < argc; i++) {
        if (!only_positional && strcmp(argv[i], "--") == 0) {
            only_positional = true;
            continue;
        }
        argument a = split_argument(argv[i], only_positional);
        bool ok;
        if (a.positional)
            ok = apply_positional(table, options, a.text, given, err);
        else if (is_config(&a))
            ok = take_value(&a, argc, argv, &i) != NULL;
        else
            ok = apply_argument(table, options, &a, argc, argv, &i, given, err);
        if (!ok)
            return FLAGS_WRONG;
    }
    return check_required(table, given, err) ? FLAGS_OK : FLAGS_WRONG;
}
