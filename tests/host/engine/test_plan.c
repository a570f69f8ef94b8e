/* The memory planner: no two living buffers share a byte, dead memory is reused, totals are near the lower bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/engine/plan.h"
#include "runtime/base/random.h"

static void test_reuses_dead_memory(void **state)
{
    (void)state;
    vkft_plan *plan = vkft_plan_new();
    uint32_t a = vkft_plan_alloc(plan, 1000), b = vkft_plan_alloc(plan, 1000);
    vkft_plan_use(plan, a);
    vkft_plan_use(plan, b);
    uint32_t c = vkft_plan_alloc(plan, 900); /* a and b are dead */
    vkft_plan_use(plan, c);
    assert_true(vkft_plan_solve(plan));
    assert_true(vkft_plan_check(plan));
    assert_int_equal(vkft_plan_total(plan), 2048); /* two buffers of 1000 padded to 1024 */
    assert_int_equal(vkft_plan_offset(plan, c), 0);
    vkft_plan_free(plan);
}

static void test_keeps_living_apart(void **state)
{
    (void)state;
    vkft_plan *plan = vkft_plan_new();
    uint32_t buffers[64];
    uint64_t sum = 0;
    for (uint32_t i = 0; i < 64; i++) {
        buffers[i] = vkft_plan_alloc(plan, 256 * (1 + i % 7));
        sum += 256 * (1 + i % 7);
    }
    for (uint32_t i = 0; i < 64; i++)
        vkft_plan_use(plan, buffers[i]);
    assert_true(vkft_plan_solve(plan));
    assert_true(vkft_plan_check(plan));
    assert_int_equal(vkft_plan_total(plan), sum);
    vkft_plan_free(plan);
}

/* Buffers of random sizes and lives, each in one of several parts, with what the parts hold; not larger than it must
 * be, and in one part where a buffer is larger than a part may be. */
static void test_parts(void **state)
{
    (void)state;
    const uint64_t part = 5000 - 5000 % 256;
    vkft_plan *plan = vkft_plan_new();
    uint64_t bytes[VKFT_PLAN_PARTS], ends[VKFT_PLAN_PARTS] = {0}, sum = 0, alone;
    uint32_t count = 120, alive[12] = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = 1 + vkft_random_bits(7, 0, i) % 17 * 256;
        assert_int_equal(vkft_plan_alloc(plan, size), i);
        for (uint32_t k = 0; k < 12 && i >= 12; k++)
            vkft_plan_use(plan, alive[k]);
        alive[i % 12] = i;
    }
    assert_true(vkft_plan_solve(plan));
    alone = vkft_plan_total(plan);
    vkft_plan_parts(plan, bytes);
    assert_int_equal(bytes[0], alone);
    assert_int_equal(bytes[1], 0);
    assert_true(vkft_plan_solve_in_parts(plan, 5000));
    assert_true(vkft_plan_check(plan));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t end = vkft_plan_offset(plan, i) + vkft_plan_size(plan, i);
        assert_true(end <= part);
        if (end > ends[vkft_plan_part(plan, i)])
            ends[vkft_plan_part(plan, i)] = end;
    }
    vkft_plan_parts(plan, bytes);
    for (uint32_t p = 0; p < VKFT_PLAN_PARTS; p++) {
        assert_int_equal(bytes[p], ends[p]);
        sum += bytes[p];
    }
    assert_true(bytes[1] > 0 && sum <= vkft_plan_total(plan));
    assert_true(sum >= alone && sum < alone + alone / 4);
    assert_true(vkft_plan_solve_in_parts(plan, 4000)); /* buffers have up to 4352 bytes */
    assert_int_equal(vkft_plan_total(plan), alone);
    assert_int_equal(vkft_plan_part(plan, count - 1), 0);
    assert_true(vkft_plan_solve_in_parts(plan, alone));
    assert_int_equal(vkft_plan_total(plan), alone);
    vkft_plan_free(plan);
}

/* What is written and not used takes no memory; what is used later lives from when it was written. */
static void test_unread_takes_nothing(void **state)
{
    (void)state;
    vkft_plan *plan = vkft_plan_new();
    uint32_t a = vkft_plan_alloc(plan, 1000), unread = vkft_plan_alloc(plan, 5000), b = vkft_plan_alloc(plan, 1000);
    vkft_plan_write(plan, unread);
    vkft_plan_write(plan, b);
    vkft_plan_use(plan, a);
    vkft_plan_use(plan, b);
    assert_true(vkft_plan_solve(plan));
    assert_true(vkft_plan_check(plan));
    assert_int_equal(vkft_plan_total(plan), 2048);
    assert_true(vkft_plan_is_unread(plan, unread));
    assert_false(vkft_plan_is_unread(plan, a));
    assert_false(vkft_plan_is_unread(plan, b));
    vkft_plan_free(plan);
}

static void test_random_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        vkft_plan *plan = vkft_plan_new();
        for (uint64_t i = 0; i < 200; i++) {
            uint32_t made = vkft_plan_count(plan);
            if (made == 0 || vkft_random_uniform(seed, 1, i) < 0.4)
                vkft_plan_alloc(plan, 1 + vkft_random_bits(seed, 2, i) % 100000);
            else
                vkft_plan_use(plan, (uint32_t)(vkft_random_bits(seed, 3, i) % made));
        }
        assert_true(vkft_plan_solve(plan));
        assert_true(vkft_plan_check(plan));
        for (uint32_t i = 0; i < vkft_plan_count(plan); i++) {
            assert_int_equal(vkft_plan_offset(plan, i) % 256, 0);
            assert_true(vkft_plan_offset(plan, i) + vkft_plan_size(plan, i) <= vkft_plan_total(plan));
        }
        vkft_plan_free(plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reuses_dead_memory),   cmocka_unit_test(test_keeps_living_apart),
        cmocka_unit_test(test_unread_takes_nothing), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_random_graphs),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
