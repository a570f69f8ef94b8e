/* One walker over the rows of a table, several printers. See export.h. */
#include "host/cli/flags/export.h"

#include <string.h>

/* How a format is written. flag: one row, with its help text. */
typedef struct printer {
    const char *format;
    void (*begin)(const cli_command *commands, uint32_t count, FILE *out);
    void (*command)(const flag_table *table, FILE *out);
    void (*heading)(const char *text, FILE *out);
    void (*flag)(const flag_table *table, const flag *f, const char *help, FILE *out);
    void (*command_end)(const flag_table *table, FILE *out);
    void (*end)(FILE *out);
} printer;

/* What every command takes besides its table. */
static const flag config_flag = {
    .kind = FLAG_TEXT, .name = "config", .letter = 'c', .value = "FILE", .help = FLAGS_CONFIG_HELP, .default_text = ""};

/* Writes text; a character of `special` comes after `before`. */
static void escaped(FILE *out, const char *text, const char *special, const char *before)
{
    for (; *text; text++) {
        if (strchr(special, *text))
            fputs(before, out);
        fputc(*text, out);
    }
}

/* Inside single quotes of zsh and bash, where a quote ends the string: '\''. */
static void quoted(FILE *out, const char *text, const char *special)
{
    for (; *text; text++) {
        if (strchr(special, *text))
            fputc('\\', out);
        if (*text == '\'')
            fputs("'\\''", out);
        else
            fputc(*text, out);
    }
}

/* The words that a flag may be followed by, separated; nothing without choices. */
static void print_choices(const flag *f, const char *separator, FILE *out)
{
    const char *between = "";
    for (const flag_choice *c = f->choices; c && c->name; c++)
        if (!c->coming) {
            fprintf(out, "%s%s", between, c->name);
            between = separator;
        }
}

/* --- manual page --- */

/* roff: a backslash is \e, a line must not begin with a dot or a quote, and a minus sign that is typed is \-. */
static void roff(FILE *out, const char *text)
{
    for (const char *at = text; *at; at++) {
        if ((at == text || at[-1] == '\n') && (*at == '.' || *at == '\''))
            fputs("\\&", out);
        if (*at == '\\')
            fputs("\\e", out);
        else if (*at == '-')
            fputs("\\-", out);
        else
            fputc(*at, out);
    }
}

static void man_begin(const cli_command *commands, uint32_t count, FILE *out)
{
    fputs(".TH VKFT 1\n.SH NAME\nvkft \\- fine\\-tune language models on any GPU that speaks Vulkan\n"
          ".SH SYNOPSIS\n.B vkft\n.I command\n[flags]\n"
          ".SH DESCRIPTION\nTrains LoRA adapters, on 4\\-bit weights by default, or all weights of a language model.\n"
          "Flags can be set in a YAML or JSON file (\\-c FILE); the command line takes precedence.\n"
          "In flag names \\- and _ are equivalent.\n.SH COMMANDS\n",
          out);
    for (uint32_t i = 0; i < count; i++)
        if (commands[i].run) {
            fprintf(out, ".TP\n.B %s\n", commands[i].name);
            roff(out, commands[i].summary);
            fputc('\n', out);
        }
}

static void man_command(const flag_table *table, FILE *out)
{
    fprintf(out, ".SH VKFT %s\n.B vkft %s\n", table->command, table->command);
    roff(out, table->usage);
    fputs("\n.PP\n", out);
    roff(out, table->about);
    fputc('\n', out);
}

static void man_heading(const char *text, FILE *out)
{
    fputs(".SS ", out);
    roff(out, text);
    fputc('\n', out);
}

static void man_flag(const flag_table *table, const flag *f, const char *help, FILE *out)
{
    char name[128];
    (void)table;
    flag_name_text(f, name, sizeof name);
    fputs(".TP\n.B ", out);
    roff(out, name);
    fputc('\n', out);
    roff(out, help);
    fputc('\n', out);
}

static void man_end(FILE *out)
{
    fputs(".SH EXIT STATUS\n0, 1 when the work failed, 2 when the command line is wrong, 130 when it was interrupted, "
          "after saving.\n",
          out);
}

/* --- bash: a function that sets the words of one command --- */

static void bash_begin(const cli_command *commands, uint32_t count, FILE *out)
{
    fputs("# bash completion of vkft; made by 'vkft help --format bash'\n_vkft()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words=\n"
          "    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='",
          out);
    for (uint32_t i = 0; i < count; i++)
        if (commands[i].run)
            fprintf(out, "%s ", commands[i].name);
    fputs("help --help --version'\n    else\n        case ${COMP_WORDS[1]},$before in\n", out);
}

/* The values of a flag come before the flags of the command, since the first pattern that matches is taken. */
static void bash_flag(const flag_table *table, const flag *f, const char *help, FILE *out)
{
    (void)help;
    if (f->positional || f->kind == FLAG_SWITCH)
        return;
    const flag_spelling *at = NULL;
    char other[FLAG_NAME_SIZE];
    fprintf(out, "        %s,--%s", table->command, f->name);
    while (flags_other_name(table, f, &at, other))
        fprintf(out, "|%s,--%s", table->command, other);
    if (f->letter)
        fprintf(out, "|%s,-%c", table->command, f->letter);
    fputs(") words='", out);
    print_choices(f, " ", out);
    fputs("';;\n", out);
}

static void bash_command_end(const flag_table *table, FILE *out)
{
    fprintf(out, "        %s,*) words='", table->command);
    for (uint32_t i = 0; i < table->count; i++) {
        const flag *f = &table->flags[i];
        if (f->kind == FLAG_HEADING || f->positional)
            continue;
        const flag_spelling *at = NULL;
        char other[FLAG_NAME_SIZE];
        fprintf(out, "--%s ", f->name);
        while (flags_other_name(table, f, &at, other))
            fprintf(out, "--%s ", other);
        if (f->kind == FLAG_SWITCH)
            fprintf(out, "--no-%s ", f->name);
    }
    fputs("--config --help'\n            [[ $word == -* ]] || words=;;\n", out);
}

/* Without words bash completes file names. */
static void bash_end(FILE *out)
{
    fputs("        esac\n    fi\n    [ -z \"$words\" ] || COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
          "complete -o default -F _vkft vkft\n",
          out);
}

/* --- zsh --- */

static void zsh_begin(const cli_command *commands, uint32_t count, FILE *out)
{
    fputs("#compdef vkft\n# made by 'vkft help --format zsh'\n_vkft() {\n  if (( CURRENT == 2 )); then\n"
          "    local -a commands=(\n",
          out);
    for (uint32_t i = 0; i < count; i++)
        if (commands[i].run) {
            fprintf(out, "      '%s:", commands[i].name);
            quoted(out, commands[i].summary, ":");
            fputs("'\n", out);
        }
    fputs("    )\n    _describe command commands\n    return\n  fi\n  case $words[2] in\n", out);
}

static void zsh_command(const flag_table *table, FILE *out)
{
    fprintf(out, "  %s)\n    shift words; (( CURRENT-- ))\n    _arguments", table->command);
}

static void zsh_flag_named(const flag *f, const char *name, const char *help, FILE *out)
{
    fprintf(out, " \\\n      '--%s[", name);
    quoted(out, help, "[]:\\");
    fputc(']', out);
    if (f->kind != FLAG_SWITCH) {
        fprintf(out, ":%s:", f->value ? "value" : "name");
        if (f->choices) {
            fputc('(', out);
            print_choices(f, " ", out);
            fputc(')', out);
        } else {
            fputs("_files", out);
        }
    }
    fputc('\'', out);
}

static void zsh_flag(const flag_table *table, const flag *f, const char *help, FILE *out)
{
    if (f->positional) {
        fputs(" \\\n      '*:file:_files'", out);
        return;
    }
    const flag_spelling *at = NULL;
    char other[FLAG_NAME_SIZE];
    zsh_flag_named(f, f->name, help, out);
    while (flags_other_name(table, f, &at, other))
        zsh_flag_named(f, other, help, out);
    if (f->kind == FLAG_SWITCH) {
        char name[128];
        snprintf(name, sizeof name, "no-%s", f->name);
        zsh_flag_named(f, name, help, out);
    }
}

static void zsh_command_end(const flag_table *table, FILE *out)
{
    (void)table;
    fputs("\n    ;;\n", out);
}

static void zsh_end(FILE *out)
{
    fputs("  esac\n}\n_vkft \"$@\"\n", out);
}

/* --- fish --- */

static void fish_begin(const cli_command *commands, uint32_t count, FILE *out)
{
    fputs("# fish completion of vkft; made by 'vkft help --format fish'\n", out);
    for (uint32_t i = 0; i < count; i++)
        if (commands[i].run) {
            fprintf(out, "complete -c vkft -f -n __fish_use_subcommand -a %s -d '", commands[i].name);
            escaped(out, commands[i].summary, "'\\", "\\");
            fputs("'\n", out);
        }
}

static void fish_flag_named(const flag_table *table, const flag *f, const char *name, const char *help, FILE *out)
{
    const char *prefixes[] = {"", "no-"};
    for (uint32_t k = 0; k < (f->kind == FLAG_SWITCH ? 2u : 1u); k++) {
        fprintf(out, "complete -c vkft -n '__fish_seen_subcommand_from %s' -l %s%s -d '", table->command, prefixes[k],
                name);
        escaped(out, help, "'\\", "\\");
        fputc('\'', out);
        if (f->kind != FLAG_SWITCH)
            fputs(f->choices ? " -x -a '" : " -r", out);
        print_choices(f, " ", out);
        fputs(f->choices && f->kind != FLAG_SWITCH ? "'\n" : "\n", out);
    }
}

static void fish_flag(const flag_table *table, const flag *f, const char *help, FILE *out)
{
    if (f->positional)
        return;
    const flag_spelling *at = NULL;
    char other[FLAG_NAME_SIZE];
    fish_flag_named(table, f, f->name, help, out);
    while (flags_other_name(table, f, &at, other))
        fish_flag_named(table, f, other, help, out);
}

static const printer printers[] = {
    {"man", man_begin, man_command, man_heading, man_flag, NULL, man_end},
    {"bash", bash_begin, NULL, NULL, bash_flag, bash_command_end, bash_end},
    {"zsh", zsh_begin, zsh_command, NULL, zsh_flag, zsh_command_end, zsh_end},
    {"fish", fish_begin, NULL, NULL, fish_flag, NULL, NULL},
};

const char *flags_formats(void)
{
    return "man, bash, zsh, fish";
}

static const printer *find_printer(const char *format)
{
    for (uint32_t i = 0; i < FLAG_COUNT(printers); i++)
        if (strcmp(printers[i].format, format) == 0)
            return &printers[i];
    return NULL;
}

bool flags_export(const char *format, const flag_table *table, const void *options, FILE *out)
{
    const printer *p = find_printer(format);
    if (!p)
        return false;
    if (p->command)
        p->command(table, out);
    for (uint32_t i = 0; i < table->count; i++) {
        const flag *f = &table->flags[i];
        char help[1024];
        if (f->kind == FLAG_HEADING && p->heading)
            p->heading(f->name, out);
        if (f->kind == FLAG_HEADING)
            continue;
        flag_help_text(table, f, options, help, sizeof help);
        p->flag(table, f, help, out);
    }
    p->flag(table, &config_flag, config_flag.help, out);
    if (p->command_end)
        p->command_end(table, out);
    return true;
}

bool flags_export_begin(const char *format, const cli_command *commands, uint32_t count, FILE *out)
{
    const printer *p = find_printer(format);
    if (p)
        p->begin(commands, count, out);
    return p != NULL;
}

bool flags_export_end(const char *format, FILE *out)
{
    const printer *p = find_printer(format);
    if (p && p->end)
        p->end(out);
    return p != NULL;
}
