/* Assertions about fallible calls. Both expect a variable `vkft_err err` in scope, which the call fills. */
#ifndef VKFT_TEST_EXPECT_H
#define VKFT_TEST_EXPECT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/error.h"

#define expect_ok(call)                                                                                                \
    do {                                                                                                               \
        if (!(call))                                                                                                   \
            fail_msg("%s: %s", #call, err.message);                                                                    \
    } while (0)

/* The call fails, and its message is one line that contains `part`. */
#define expect_failure(call, part)                                                                                     \
    do {                                                                                                               \
        memset(&err, 0, sizeof err);                                                                                   \
        if (call)                                                                                                      \
            fail_msg("%s: succeeded, expected '%s'", #call, part);                                                     \
        if (!strstr(err.message, part) || strchr(err.message, '\n'))                                                   \
            fail_msg("%s: '%s', expected '%s'", #call, err.message, part);                                             \
        assert_int_not_equal(err.kind, VKFT_ERR_NONE);                                                                 \
    } while (0)

#endif
