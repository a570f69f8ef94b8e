/* vkft watch: the page of a run, live. */
#include <stdlib.h>

#include "host/cli/cli.h"
#include "host/cli/interrupt.h"
#include "host/watch/watch.h"
#include "runtime/base/os/os.h"

typedef struct watch_options {
    vkft_watch watch;
    uint32_t port;
} watch_options;

#define AT(member) .offset = offsetof(watch_options, member)

static const flag watch_flags[] = {
    {.kind = FLAG_TEXT,
     .name = "RUN",
     .positional = true,
     .value = "a directory",
     .help = "output directory of a run, also one that has not logged its first step yet",
     .required = true,
     AT(watch.run)},
    {.kind = FLAG_U32,
     .name = "port",
     .value = "N",
     .help = "port on 127.0.0.1, which no other machine reaches; 0: one that is free",
     .range = BETWEEN(0, 65535),
     AT(port)},
    {.kind = FLAG_CHOICE,
     .name = "x-axis",
     .value = "NAME",
     .help = "what the charts run over",
     .choices = cli_x_choices,
     AT(watch.x)},
};

static const flag_table watch_table = {
    .command = "watch",
    .usage = "RUN [flags]",
    .about = "Serves the page of a training run to browsers on this machine, at an address with a random token: charts "
             "that\n"
             "refresh themselves, and buttons that pause the run, let it go on, save a checkpoint, or save and stop. "
             "Ctrl-C\n"
             "ends the server, not the run.",
    .flags = watch_flags,
    .count = FLAG_COUNT(watch_flags),
};

int cmd_watch(int argc, char **argv)
{
    watch_options options = {0};
    vkft_recipe recipe = {0};
    vkft_err err = {0};
    int code;
    if (!cli_flags(&watch_table, &options, argc, argv, &recipe, &code))
        return code;
    interrupt_install();
    vkft_watch_server *server = vkft_watch_start(&options.watch, (uint16_t)options.port, &err);
    code = server ? EXIT_SUCCESS : cli_fail(&watch_table, &err);
    if (server) {
        printf("%s\n", vkft_watch_server_address(server));
        fflush(stdout);
        while (!interrupt_requested(NULL))
            vkft_os_sleep(0.1);
    }
    vkft_watch_server_stop(server);
    recipe_free(&recipe);
    return code;
}
