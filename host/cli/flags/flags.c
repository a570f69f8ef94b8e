/* Parsing of flags. See flags.h.
 *
 * getopt_long was not used: it knows no types, no `_` for `-`, no recipes, and is absent from some Windows toolchains.
 */
#include "host/cli/flags/flags_private.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/text.h"

#define ORIGIN_SIZE 512
#define VALUE_SIZE 256

/* Copies a name with '_' as '-'. false: longer than any flag. */
static bool normalize(const char *name, size_t length, char out[FLAG_NAME_SIZE])
{
    if (length >= FLAG_NAME_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        out[i] = name[i] == '_' ? '-' : name[i];
    out[length] = 0;
    return true;
}

static const flag *find_letter(const flag_table *table, char letter)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (letter && table->flags[i].letter == letter)
            return &table->flags[i];
    return NULL;
}

static bool unknown_flag(const flag_table *table, const char *name, const char *origin, vkft_err *err)
{
    const char *names[FLAGS_MAX + SPELLINGS_MAX + 2] = {"config", "help"};
    uint32_t count = 2;
    for (uint32_t i = 0; i < table->count; i++)
        if (table->flags[i].kind != FLAG_HEADING && !table->flags[i].positional)
            names[count++] = table->flags[i].name;
    for (const flag_spelling *row = table->spellings; row && row->name; row++)
        if (row->flag && flags_find(table, row->flag))
            names[count++] = row->name;
    const char *word = strncmp(name, "no-", 3) == 0 ? name + 3 : name;
    const char *near = vkft_string_nearest(word, names, count);
    if (near)
        return vkft_fail(err, VKFT_ERR_USAGE, "%s: unknown flag, did you mean --%s%s?", origin,
                         word != name ? "no-" : "", near);
    return vkft_fail(err, VKFT_ERR_USAGE, "%s: unknown flag; 'vkft %s --help' lists all", origin, table->command);
}

/* Where a flag got its value. */
typedef struct giver {
    bool ever, here; /* here: in the recipe, or on the command line, whichever is read now */
    char name[FLAG_NAME_SIZE], origin[ORIGIN_SIZE];
} giver;

typedef struct parse {
    const flag_table *table;
    void *options;
    vkft_recipe *recipe;
    bool in_recipe;
    giver given[FLAGS_MAX];
} parse;

/* Two names of a flag that stand in one place must agree; the same name may stand twice on the command line. */
static bool agree(const parse *p, const flag *f, const giver *g, const char *name, const char *before,
                  const char *origin, vkft_err *err)
{
    char after[VALUE_SIZE];
    flag_value_text(f, p->options, after, sizeof after);
    if (!g->here || f->kind == FLAG_TEXTS || (!p->in_recipe && strcmp(g->name, name) == 0) ||
        strcmp(before, after) == 0)
        return true;
    return vkft_fail(err, VKFT_ERR_USAGE, "%s means --%s %s, but %s means --%s %s; give one of them", origin, f->name,
                     after, g->origin, f->name, before);
}

static bool set_flag(parse *p, const flag *f, const char *name, const char *value, const char *origin, vkft_err *err)
{
    giver *g = &p->given[f - p->table->flags];
    char before[VALUE_SIZE];
    flag_value_text(f, p->options, before, sizeof before);
    if (f->kind == FLAG_TEXTS && !g->here)
        flag_clear_texts(f, p->options);
    if (!flag_set_value(f, p->options, value, origin, err) || !agree(p, f, g, name, before, origin, err))
        return false;
    g->ever = g->here = true;
    snprintf(g->name, sizeof g->name, "%s", name);
    snprintf(g->origin, sizeof g->origin, "%s", origin);
    return true;
}

/* Whether a row is about this value. A text may be called "1" or "on". */
static bool is_about(const flag_table *table, const flag_spelling *row, const char *value)
{
    bool on, wanted;
    const char *word = row->value;
    if (!word)
        return true;
    if (flags_find(table, row->flag)->kind != FLAG_TEXT && flag_read_switch(word, &wanted) &&
        flag_read_switch(value, &on))
        return on == wanted;
    for (; *word && tolower((unsigned char)*word) == tolower((unsigned char)*value); word++, value++) {
    }
    return !*word && !*value;
}

/* The row about this value of the name, or NULL. */
static const flag_spelling *find_spelling(const flag_table *table, const char *name, const char *value)
{
    const flag_spelling *row = flags_spelling(table, name, NULL);
    while (row && !is_about(table, row, value))
        row = flags_spelling(table, name, row);
    return row;
}

/* None of the rows about a name that is no flag's own fits the value. */
static bool unknown_value(const flag_table *table, const char *name, const char *value, const char *origin,
                          vkft_err *err)
{
    char list[256] = "";
    size_t length = 0;
    for (const flag_spelling *row = flags_spelling(table, name, NULL); row; row = flags_spelling(table, name, row))
        if (row->verdict != SPELLING_REFUSED && length < sizeof list)
            length += (size_t)snprintf(list + length, sizeof list - length, "%s%s", length ? ", " : "", row->value);
    return vkft_fail(err, VKFT_ERR_USAGE, "%s: expected %s, found '%s'", origin, list, value);
}

static bool apply_spelling(parse *p, const flag_spelling *row, const char *name, const char *value, const char *origin,
                           vkft_err *err)
{
    const flag *f = flags_find(p->table, row->flag);
    char meant[ORIGIN_SIZE];
    if (row->verdict == SPELLING_NOTHING)
        return true;
    if (row->verdict == SPELLING_REFUSED)
        return vkft_fail(err, VKFT_ERR_USAGE, "%s %s: %s", origin, value, row->note);
    if (!flag_in_range(&row->range, strtod(value, NULL))) {
        flag narrower = *f;
        narrower.range = row->range;
        return flag_wrong_number(&narrower, value, origin, err);
    }
    if (row->prefix && !(value = recipe_join(p->recipe, row->prefix, value)))
        return vkft_fail_memory(err, "while reading %s", origin);
    if (!row->means)
        return set_flag(p, f, name, value, origin, err);
    snprintf(meant, sizeof meant, "%s (--%s)", origin, f->name);
    return set_flag(p, f, name, row->means, meant, err);
}

/* A value that was given by name, the flag's own or another; origin names where it stands. */
static bool apply_named(parse *p, const char *name, const char *value, const char *origin, vkft_err *err)
{
    const flag *own = flags_find(p->table, name);
    const flag_spelling *row = find_spelling(p->table, name, value);
    if (row)
        return apply_spelling(p, row, name, value, origin, err);
    return own ? set_flag(p, own, name, value, origin, err) : unknown_value(p->table, name, value, origin, err);
}

static bool is_known(const flag_table *table, const char *name)
{
    return flags_find(table, name) || flags_spelling(table, name, NULL);
}

/* The name of a switch after "no-", which is no flag's name itself; NULL: this is not one. */
static const char *negated_name(const flag_table *table, const char *name)
{
    bool negated = !is_known(table, name) && strncmp(name, "no-", 3) == 0 && flags_is_switch(table, name + 3);
    return negated ? name + 3 : NULL;
}

static bool apply(parse *p, const char *name, const char *value, const char *origin, vkft_err *err)
{
    const char *negated = negated_name(p->table, name);
    bool on;
    if (!negated)
        return apply_named(p, name, value, origin, err);
    if (!flag_read_switch(value, &on))
        return flag_wrong_switch(value, origin, err);
    return apply_named(p, negated, on ? "false" : "true", origin, err);
}

/* The flag that a known name sets. */
static const flag *flag_of(const flag_table *table, const char *name)
{
    const flag *own = flags_find(table, name);
    return own ? own : flags_find(table, flags_spelling(table, name, NULL)->flag);
}

/* A list gives a flag that takes several texts its items, and any other flag one text. */
static bool apply_entry(parse *p, const vkft_recipe_entry *e, const char *name, const char *origin, vkft_err *err)
{
    if (!e->list || !is_known(p->table, name) || flag_of(p->table, name)->kind != FLAG_TEXTS)
        return apply(p, name, e->value, origin, err);
    const char *item = e->list;
    for (uint32_t i = 0; i < e->items; i++, item += strlen(item) + 1)
        if (!apply(p, name, item, origin, err))
            return false;
    return true;
}

static bool apply_recipe(parse *p, vkft_err *err)
{
    const vkft_recipe *recipe = p->recipe;
    for (uint32_t i = 0; i < recipe->count; i++) {
        const vkft_recipe_entry *e = &recipe->entries[i];
        char origin[ORIGIN_SIZE], name[FLAG_NAME_SIZE];
        snprintf(origin, sizeof origin, "%s:%u: %s", recipe->path, e->line, e->name);
        bool fits = normalize(e->name, strlen(e->name), name);
        if (!fits || !(is_known(p->table, name) || negated_name(p->table, name)))
            return unknown_flag(p->table, fits ? name : "", origin, err);
        if (e->value && !apply_entry(p, e, name, origin, err))
            return false;
    }
    return true;
}

/* One word of argv, taken apart. */
typedef struct argument {
    const char *text; /* as typed */
    char name[FLAG_NAME_SIZE];
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

static const flag *find_positional(const parse *p)
{
    for (uint32_t i = 0; i < p->table->count; i++)
        if (p->table->flags[i].positional && (!p->given[i].ever || p->table->flags[i].kind == FLAG_TEXTS))
            return &p->table->flags[i];
    return NULL;
}

static bool apply_positional(parse *p, const char *text, vkft_err *err)
{
    const flag *f = find_positional(p);
    if (!f)
        return vkft_fail(err, VKFT_ERR_USAGE, "unexpected argument '%s'; usage: vkft %s %s", text, p->table->command,
                         p->table->usage);
    return set_flag(p, f, f->name, text, f->name, err);
}

/* The value of a switch: after '=', or the next word where that can be nothing else, or true. */
static const char *take_switch(const parse *p, const argument *a, int argc, char **argv, int *at)
{
    if (a->value)
        return a->value;
    static const char *const words[] = {"true", "True", "false", "False"};
    for (uint32_t i = 0; i < FLAG_COUNT(words) && *at + 1 < argc && !find_positional(p); i++)
        if (strcmp(argv[*at + 1], words[i]) == 0)
            return argv[++*at];
    return "true";
}

static bool apply_argument(parse *p, const argument *a, int argc, char **argv, int *at, vkft_err *err)
{
    char origin[160];
    int length = a->letter ? 2 : (int)strcspn(a->text, "=");
    snprintf(origin, sizeof origin, "%.*s", length, a->text);
    const flag_table *table = p->table;
    const flag *letter = a->letter ? find_letter(table, a->letter) : NULL;
    const char *name = letter ? letter->name : a->name, *negated = negated_name(table, name);
    if (a->letter ? !letter : !negated && !is_known(table, name))
        return unknown_flag(table, a->name, origin, err);
    if (negated || flags_is_switch(table, name))
        return apply(p, name, take_switch(p, a, argc, argv, at), origin, err);
    const flag *f = flag_of(table, name);
    const char *value = take_value(a, argc, argv, at);
    if (!value)
        value = f->bare;
    if (!value)
        return needs_value(origin, f->choices ? f->choices->name : f->value, err);
    return apply(p, name, value, origin, err);
}

static bool check_required(const parse *p, vkft_err *err)
{
    const flag_table *table = p->table;
    for (uint32_t i = 0; i < table->count; i++) {
        const flag *f = &table->flags[i];
        if (f->required && !p->given[i].ever)
            return vkft_fail(err, VKFT_ERR_USAGE, "%s%s is missing; usage: vkft %s %s", f->positional ? "" : "--",
                             f->name, table->command, table->usage);
    }
    return true;
}

static void say_idle(const parse *p)
{
    for (const flag_idle *row = p->table->idle; row && row->flag; row++) {
        const giver *g = &p->given[flags_find(p->table, row->flag) - p->table->flags];
        if (g->ever && row->where(p->options))
            fprintf(stderr, "note: %s has no effect %s\n", g->origin, row->why);
    }
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
    parse p = {.table = table, .options = options, .recipe = recipe, .in_recipe = true};
    flags_outcome outcome = read_recipe(argc, argv, recipe, err);
    if (outcome != FLAGS_OK)
        return outcome;
    if (!apply_recipe(&p, err))
        return FLAGS_WRONG;
    p.in_recipe = false;
    for (uint32_t i = 0; i < table->count; i++)
        p.given[i].here = false;
    bool only_positional = false;
    for (int i = 0; i < argc; i++) {
        if (!only_positional && strcmp(argv[i], "--") == 0) {
            only_positional = true;
            continue;
        }
        argument a = split_argument(argv[i], only_positional);
        bool ok;
        if (a.positional)
            ok = apply_positional(&p, a.text, err);
        else if (is_config(&a))
            ok = take_value(&a, argc, argv, &i) != NULL;
        else
            ok = apply_argument(&p, &a, argc, argv, &i, err);
        if (!ok)
            return FLAGS_WRONG;
    }
    if (!check_required(&p, err))
        return FLAGS_WRONG;
    say_idle(&p);
    return FLAGS_OK;
}

bool flags_set(const flag_table *table, void *options, const char *name, const char *value, const char *origin,
               vkft_recipe *recipe, const flag **set, vkft_err *err)
{
    parse p = {.table = table, .options = options, .recipe = recipe};
    char normal[FLAG_NAME_SIZE] = "";
    normalize(name, strlen(name), normal);
    const char *negated = negated_name(table, normal);
    if (!negated && !is_known(table, normal))
        return unknown_flag(table, normal, origin, err);
    *set = flag_of(table, negated ? negated : normal);
    return apply(&p, normal, value, origin, err);
}
