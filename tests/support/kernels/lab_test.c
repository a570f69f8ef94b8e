/* See lab_test.h. */
#include "tests/support/kernels/lab_test.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

int vkft_lab_setup(void **state)
{
    vkft_err err;
    vkft_lab *lab = calloc(1, sizeof *lab);
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    if (!dev || !vkft_lab_init(lab, dev, 64ull << 20, &err)) {
        print_error("%s\n", err.message);
        return 1;
    }
    *state = lab;
    return 0;
}

int vkft_lab_teardown(void **state)
{
    vkft_lab *lab = *state;
    vkft_device *dev = lab->dev;
    vkft_lab_free(lab);
    vkft_device_close(dev);
    free(lab);
    return 0;
}

static bool skipped;

void vkft_lab_skip(const char *why)
{
    skipped = true;
    print_message("%s\n", why);
    skip();
}

int vkft_lab_verdict(void **state)
{
    vkft_lab *lab = *state;
    const vkft_verdict *wrong = vkft_lab_failure(lab);
    if (wrong)
        print_error("%s\n", wrong->what);
    else if (lab->lost)
        print_error("%s\n", lab->err.message);
    else if (!lab->count && !skipped)
        print_error("nothing was checked\n");
    bool ok = !wrong && !lab->lost && (lab->count || skipped);
    lab->count = 0;
    skipped = false;
    return !ok;
}
