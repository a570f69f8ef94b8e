/* The hub of the tests as a program, for tests/golden/check_hub_cache.py:
 *
 *     serve_hub TYPE OWNER/NAME DIR [TYPE OWNER/NAME DIR]...
 *
 * prints its address; answers each line on standard input with how many bytes of files it has sent; stops at the end of
 * it. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/hub/hub_server.h"

int main(int argc, char **argv)
{
    char line[100];
    hub_server *s = hub_server_start();
    if (!s || argc < 4 || argc % 3 != 1)
        return EXIT_FAILURE;
    for (int i = 1; i < argc; i += 3)
        hub_server_add_directory(s, argv[i], argv[i + 1], argv[i + 2]);
    printf("%s\n", hub_server_endpoint(s));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        printf("%llu\n", (unsigned long long)hub_server_counts(s).bytes);
        fflush(stdout);
    }
    hub_server_stop(s);
    return EXIT_SUCCESS;
}
