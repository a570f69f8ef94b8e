/* In which heap a buffer lies, on heaps as drivers report them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/vulkan/heaps.h"

#define GB (1ull << 30)
#define LOCAL VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT
#define HOST (VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT)
#define CACHED (HOST | VK_MEMORY_PROPERTY_HOST_CACHED_BIT)

/* AMD's cards with a window of 256 MB: types by heap. */
static const vkft_heaps card = {.properties = {.memoryHeapCount = 3,
                                               .memoryHeaps = {{8 * GB - GB / 4, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT},
                                                               {16 * GB, 0},
                                                               {GB / 4, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}},
                                               .memoryTypeCount = 4,
                                               .memoryTypes = {{LOCAL, 0}, {HOST, 1}, {LOCAL | HOST, 2}, {CACHED, 1}}},
                                .free_bytes = {7 * GB, 15 * GB, GB / 4}};
/* AMD's integrated GPUs: two thirds of the system's memory are called local, one third is not. */
static const vkft_heaps integrated = {
    .properties = {.memoryHeapCount = 2,
                   .memoryHeaps = {{5 * GB, 0}, {10 * GB, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT}},
                   .memoryTypeCount = 4,
                   .memoryTypes = {{LOCAL, 1}, {HOST, 0}, {LOCAL | HOST, 1}, {CACHED, 0}}},
    .free_bytes = {5 * GB, 9 * GB}};

static void expect(vkft_heaps heaps, uint32_t allowed, bool on_host, bool unified, uint64_t size, const char *wanted)
{
    uint32_t types[VK_MAX_MEMORY_TYPES], count = vkft_heaps_types(&heaps, allowed, on_host, unified, size, types);
    char found[VK_MAX_MEMORY_TYPES + 1] = "";
    for (uint32_t i = 0; i < count; i++)
        found[i] = (char)('0' + types[i]);
    assert_string_equal(found, wanted);
}

static void test_card(void **state)
{
    (void)state;
    vkft_heaps full = card;
    expect(card, 0xf, false, false, GB / 8, "02");
    expect(card, 0xf, false, false, GB, "02"); /* the window has no room */
    full.free_bytes[0] = GB / 16;
    expect(full, 0xf, false, false, GB / 8, "20");
    expect(full, 0xf, false, false, GB, "02"); /* neither has: as without budgets */
    expect(card, 0xf, true, false, GB, "32");
    expect(card, 0x2, true, false, GB, "1"); /* the cached type is not allowed */
    expect(card, 0xa, false, false, GB, "");
}

static void test_integrated(void **state)
{
    (void)state;
    vkft_heaps full = integrated;
    expect(integrated, 0xf, false, true, GB, "21");
    expect(integrated, 0xf, true, true, GB, "32");
    full.free_bytes[1] = GB / 2;
    expect(full, 0xf, false, true, GB, "12"); /* the third that is not called local */
    full.free_bytes[0] = GB / 2;
    expect(full, 0xf, false, true, GB, "21");
    full.free_bytes[1] = 9 * GB;
    expect(full, 0xf, true, true, GB, "23");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_card), cmocka_unit_test(test_integrated)};
    return cmocka_run_group_tests_name("heaps", tests, NULL, NULL);
}
