/* Permutations of the host's generator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/base/random.h"

static void test_permutation(void **state)
{
    (void)state;
    uint32_t order[100], again[100], other[100], seen[100] = {0};
    vkft_random_permutation(42, VKFT_STREAM_SHUFFLE, order, 100);
    vkft_random_permutation(42, VKFT_STREAM_SHUFFLE, again, 100);
    vkft_random_permutation(42, VKFT_STREAM_SHUFFLE + 1, other, 100);
    uint32_t same = 0;
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(order[i], again[i]);
        same += order[i] == other[i];
        seen[order[i]]++;
    }
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
    assert_true(same < 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permutation),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
