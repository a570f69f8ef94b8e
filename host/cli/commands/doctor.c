/* vkft doctor: whether this system and its devices can train, what is wrong, and the line that mends it. */
#include "host/doctor/doctor.h"

#include <stdlib.h>
#include <string.h>

#include "host/cli/cli.h"
#include "host/cli/terminal.h"
#include "host/doctor/children.h"
#include "host/doctor/report.h"

typedef struct doctor_options {
    vkft_doctor_options run;
    const char *report;
} doctor_options;

#define AT(member) .offset = offsetof(doctor_options, member)

static const flag doctor_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "device",
     .value = "NAME",
     .help = "index, part of a name, or UUID of 'vkft devices'",
     .default_text = "all of them",
     AT(run.device)},
    {.kind = FLAG_SWITCH,
     .name = "quick",
     .help = "leave out the training run, unless a kernel computes wrong results",
     AT(run.quick)},
    {.kind = FLAG_TEXT,
     .name = "report",
     .value = "FILE",
     .help = "write everything to a JSON file, to attach to a report of a fault; it names neither the user nor the "
             "machine",
     .default_text = "none",
     AT(report)},
    {.kind = FLAG_U32,
     .name = "timeout",
     .value = "SECONDS",
     .help = "end the examination of a device when its driver does not answer for so long",
     .range = AT_LEAST(1),
     AT(run.timeout_s)},
};

static const flag_table doctor_table = {
    .command = "doctor",
    .usage = "[--quick] [--device NAME] [--report FILE]",
    .about =
        "Examines the system and each device: drivers, rights and limits; then every kernel beside the CPU, and a\n"
        "short training run beside its known losses, in a process of its own. A kernel that computes wrong results\n"
        "is not used on that device from then on. The exit code is 0 when a device is ready.",
    .flags = doctor_flags,
    .count = FLAG_COUNT(doctor_flags),
};

typedef struct output {
    vkft_doctor_report *report; /* NULL: none is wanted */
    bool terminal, drawn, verdicts;
} output;

/* The stage on a terminal, on a line that the next one draws over. */
static void draw(output *o, const char *stage)
{
    if (o->drawn || *stage)
        fprintf(stderr, "\r%.*s\x1b[K%s", (int)terminal_width() - 1, stage, *stage ? "" : "\r");
    fflush(stderr);
    o->drawn = *stage != 0;
}

static void on_line(void *context, const vkft_doctor_line *line)
{
    output *o = context;
    const char *kind = line->kind;
    if (o->report)
        vkft_doctor_report_add(o->report, line);
    if (strcmp(kind, "stage") == 0 && o->terminal)
        draw(o, line->a);
    if (strcmp(kind, "stage") == 0 || strcmp(kind, "fact") == 0 || strcmp(kind, "said") == 0)
        return;
    draw(o, "");
    if (strcmp(kind, "section") == 0)
        printf("%s\n", line->a);
    else if (strcmp(kind, "kernel") == 0)
        printf("  problem  kernel %s computes wrong results: %s\n", line->a, line->b);
    else if (strcmp(kind, "verdict") == 0)
        printf("%s%s: %s\n", o->verdicts ? "" : "\n", line->a, line->b);
    else
        printf("  %-8s %s\n%s%s%s", kind, line->a, line->b[0] ? "           " : "", line->b, line->b[0] ? "\n" : "");
    o->verdicts |= strcmp(kind, "verdict") == 0;
    fflush(stdout);
}

int cmd_doctor(int argc, char **argv)
{
    doctor_options options = {.run = vkft_doctor_defaults()};
    vkft_recipe recipe = {0};
    int code;
    if (vkft_doctor_is_child(argc, argv, &code) || !cli_flags(&doctor_table, &options, argc, argv, &recipe, &code))
        return code;
    output o = {.terminal = terminal_stderr_is_terminal()};
    cli_build build = cli_get_build();
    vkft_err err = {0};
    if (options.report && !(o.report = vkft_doctor_report_new(build.version, build.commit))) {
        recipe_free(&recipe);
        return cli_fail(&doctor_table, &err);
    }
    code = vkft_doctor_run(&options.run, &(vkft_doctor_listener){on_line, &o}) ? EXIT_SUCCESS : EXIT_WORK_FAILED;
    if (o.report) {
        if (vkft_doctor_report_write(o.report, options.report, &err))
            printf("\nThe report is in %s.\n", options.report);
        else
            code = cli_fail(&doctor_table, &err);
    }
    vkft_doctor_report_free(o.report);
    recipe_free(&recipe);
    return code;
}
