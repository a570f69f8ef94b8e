/* vkft: the command line. Finds the command; each command is a file of its own. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commit.h" /* made by the build: VKFT_COMMIT */
#include "host/cli/cli.h"
#include "host/cli/flags/export.h"
#include "host/cli/spellings.h"
#include "host/cli/terminal.h"
#include "host/cli/truncation.h"
#include "host/hub/http/http.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"
#include "runtime/kernels.h"

static const cli_command commands[] = {
    {"devices", cmd_devices, "list the Vulkan devices and show which one is used"},
    {"convert", cmd_convert, "convert a Hugging Face checkpoint to a .vkft file"},
    {"train", cmd_train, "fine-tune a model with LoRA or QLoRA, or train all its weights"},
    {"eval", cmd_eval, "measure loss and perplexity over a dataset"},
    {"generate", cmd_generate, "continue a prompt, with or without an adapter"},
    {"chat", cmd_chat, "talk with a model, with or without an adapter"},
    {"tokenize", cmd_tokenize, "convert text to token ids and back"},
    {"template", cmd_template, "render a conversation with the model's chat template"},
    {"data", cmd_data, "show what a model would be trained on"},
    {"merge", cmd_merge, "write a model with an adapter in its weights"},
    {"export", cmd_export, "write an adapter as llama.cpp takes it"},
    {"verify", cmd_verify, "compare a GGUF file with the model that it was made from"},
    {"plot", cmd_plot, "draw training runs as a page of charts"},
    {"watch", cmd_watch, "serve the page of a run that is going on, with buttons to pause and stop it"},
    {"bench", cmd_bench, "measure the speed of a device, and compare devices"},
    {"download", cmd_download, "bring a model or a dataset from the hub into the cache"},
    {"doctor", cmd_doctor, "examine the system and its devices, and say what mends them"},
};

static void print_help(FILE *out)
{
    fprintf(out,
            "vkft %s - fine-tunes language models on any GPU that speaks Vulkan\n\n"
            "usage: vkft <command> [flags]\n\n",
            VKFT_VERSION);
    for (uint32_t i = 0; i < FLAG_COUNT(commands); i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
    fprintf(
        out,
        "\n'vkft help <command>' lists the flags of a command, 'vkft help spellings' the names of other programs.\n");
}

static const cli_command *find_command(const char *name)
{
    for (uint32_t i = 0; i < FLAG_COUNT(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[FLAG_COUNT(commands)];
    for (uint32_t i = 0; i < FLAG_COUNT(commands); i++)
        names[i] = commands[i].name;
    const char *near = vkft_string_nearest(name, names, FLAG_COUNT(commands));
    if (near)
        fprintf(stderr, "vkft: error: unknown command '%s', did you mean '%s'?\n", name, near);
    else
        fprintf(stderr, "vkft: error: unknown command '%s'; 'vkft help' lists all\n", name);
    return EXIT_USAGE;
}

static int run_command(const char *name, int argc, char **argv)
{
    const cli_command *c = find_command(name);
    return c ? c->run(argc, argv) : unknown_command(name);
}

/* vkft help --format FORMAT: manual page or completions of the whole program. */
static int export_help(const char *format)
{
    if (!flags_export_begin(format, commands, FLAG_COUNT(commands), stdout)) {
        fprintf(stderr, "vkft: error: --format: found '%s', expected one of %s\n", format, flags_formats());
        return EXIT_USAGE;
    }
    for (uint32_t i = 0; i < FLAG_COUNT(commands); i++) {
        char help_flag[32], *arguments[] = {help_flag};
        snprintf(help_flag, sizeof help_flag, "--help=%s", format);
        commands[i].run(1, arguments);
    }
    flags_export_end(format, stdout);
    return EXIT_SUCCESS;
}

/* What a report of a fault should name: version, commit, a hash of the embedded kernels, which depend on the shader
 * compiler, and what downloads go through. */
static int print_version(void)
{
    char http[120];
    vkft_hub_http_name(http, sizeof http);
    printf("vkft %s\ncommit %s\nkernels %016llx\ndownloads %s\n", VKFT_VERSION, VKFT_COMMIT,
           (unsigned long long)vkft_kernels_hash(), http);
    return EXIT_SUCCESS;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *first = argv[1];
    if (strcmp(first, "--version") == 0)
        return print_version();
    bool help = strcmp(first, "help") == 0;
    if (help && argc > 2 && strcmp(argv[2], "spellings") == 0) {
        flags_print_spellings(cli_spellings, stdout);
        return EXIT_SUCCESS;
    }
    if (help && argc > 3 && strcmp(argv[2], "--format") == 0)
        return export_help(argv[3]);
    if (help && argc > 2) {
        char help_flag[] = "--help", *arguments[] = {help_flag};
        return run_command(argv[2], 1, arguments);
    }
    if (help || strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0) {
        print_help(stdout);
        return EXIT_SUCCESS;
    }
    return run_command(first, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    vkft_os_open_standard_streams();
    truncation_install();
    terminal_setup(&argc, &argv);
    cli_set_build((cli_build){VKFT_VERSION, VKFT_COMMIT});
    int code = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_SUCCESS) {
        fprintf(stderr, "vkft: error: cannot write to standard output: %s\n", strerror(errno));
        code = EXIT_WORK_FAILED;
    }
    return code;
}
