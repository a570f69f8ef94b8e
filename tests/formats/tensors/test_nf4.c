/* NF4 against bitsandbytes (hashes made by tests/golden/nf4_hashes.py), against the definition, and at the edges. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdlib.h>

#include "formats/tensors/dtype.h"
#include "formats/tensors/nf4.h"

#define MAP_HASH 0xd677f22a96665bc4
#define UNSIGNED_MAP_HASH 0x43811b16730a873e
static const struct {
    vkft_dtype dtype;
    uint64_t n;
    uint64_t codes, absmax, quantized, nested; /* FNV-1a of the bytes */
    uint32_t offset;                           /* bits of the f32 */
} golden[] = {
    {VKFT_F32, 64000, 0x558dc18cb0d459b7, 0x2e0ee5f6e771115f, 0x94d3ef2ee8a48704, 0x177c148fe7f7c39a, 0x3faf6d3a},
    {VKFT_F32, 100003, 0x6b16eaa4cdbb05f6, 0x83971319f7369477, 0x23d26de4c4730619, 0xda4973ad8e6765f3, 0x3fab4ae0},
    {VKFT_F16, 50000, 0xd5e8701a94795088, 0x69aa6f82575ab12c, 0xdd3f3e54ac80f630, 0x1b389534479d976b, 0x3fb59935},
    {VKFT_BF16, 50000, 0xbd3e30121e8d9653, 0x25e4d396bacdc5a6, 0x7a10b34d7ac68cb8, 0x4d99819b187dd558, 0x3fb596cb},
    {VKFT_F32, 1, 0xaf63ba4c8601b2c6, 0x4aac937cc743f4e1, 0xaf63f24c860211ee, 0x4d25767f9dce13f5, 0x3f3d9400},
    {VKFT_F32, 63, 0xdbdf8303ee45db63, 0x4db95d7ba796fc7a, 0xaf63f24c860211ee, 0x4d25767f9dce13f5, 0x409acf00},
    {VKFT_F32, 65, 0xe5ad71826f07fd6b, 0xaa884429c0ea364c, 0x0a99a607b6f60bea, 0x8dd3dafaefd9ea19, 0x401cbdd0},
    {VKFT_BF16, 16385, 0x635d3d92b81f426c, 0x5c78561774d58eb5, 0x8ddbb8a358106a92, 0x07a50be63b73368b, 0x3faeafb0},
};

static uint64_t hash(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        h = (h ^ bytes[i]) * 0x100000001b3;
    return h;
}

/* The input of nf4_hashes.py. */
static float *make_input(uint64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    uint32_t s = (uint32_t)n;
    for (uint64_t i = 0; i < n; i++) {
        int32_t total = -131070;
        for (int k = 0; k < 4; k++) {
            s = s * 1664525 + 1013904223;
            total += (int32_t)(s >> 16);
        }
        x[i] = (float)total / 262144.0f * (i % 97 == 0 ? 16.0f : 1.0f);
    }
    for (uint64_t i = 128; n > 192 && i < 192; i++)
        x[i] = 0;
    return x;
}

typedef struct quantized {
    uint64_t blocks, nested_blocks;
    uint8_t *codes, *absmax8;
    float *absmax, *nested, offset;
} quantized;

static quantized quantize(const float *x, uint64_t n)
{
    quantized q = {.blocks = (n + 63) / 64};
    q.nested_blocks = (q.blocks + 255) / 256;
    q.codes = malloc((size_t)(n + 1) / 2);
    q.absmax = malloc((size_t)q.blocks * sizeof *q.absmax);
    q.absmax8 = malloc((size_t)q.blocks);
    q.nested = malloc((size_t)q.nested_blocks * sizeof *q.nested);
    vkft_nf4_quantize(x, n, q.codes, q.absmax);
    vkft_nf4_double_quantize(q.absmax, q.blocks, q.absmax8, q.nested, &q.offset);
    return q;
}

static void quantized_free(quantized *q)
{
    free(q->codes);
    free(q->absmax);
    free(q->absmax8);
    free(q->nested);
}

static void like_bitsandbytes(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof golden / sizeof *golden; g++) {
        const uint64_t n = golden[g].n;
        float *x = make_input(n);
        void *stored = malloc((size_t)n * sizeof *x);
        vkft_from_f32(golden[g].dtype, x, n, stored);
        vkft_to_f32(golden[g].dtype, stored, n, x);
        quantized q = quantize(x, n);
        uint32_t offset;
        memcpy(&offset, &q.offset, sizeof offset);
        assert_int_equal(hash(q.codes, (size_t)(n + 1) / 2), golden[g].codes);
        assert_int_equal(hash(q.absmax, (size_t)q.blocks * sizeof *q.absmax), golden[g].absmax);
        assert_int_equal(offset, golden[g].offset);
        assert_int_equal(hash(q.absmax8, (size_t)q.blocks), golden[g].quantized);
        assert_int_equal(hash(q.nested, (size_t)q.nested_blocks * sizeof *q.nested), golden[g].nested);
        quantized_free(&q);
        free(stored);
        free(x);
    }
}

static void dynamic_map(void **state)
{
    (void)state;
    float map[256];
    vkft_dynamic_map(map);
    assert_int_equal(hash(map, sizeof map), MAP_HASH);
    assert_true(map[127] == 0 && map[255] == 1);
    for (int i = 1; i < 256; i++)
        assert_true(map[i - 1] < map[i]);
    vkft_dynamic_map_unsigned(map);
    assert_int_equal(hash(map, sizeof map), UNSIGNED_MAP_HASH);
    assert_true(map[0] == 0 && map[255] == 1);
    for (int i = 1; i < 256; i++)
        assert_true(map[i - 1] < map[i]);
}

/* A table entry times any scale quantizes to its own code: dequantize(quantize(w)) is a fixed point. */
static void fixed_point(void **state)
{
    (void)state;
    enum { N = 64 * 33 + 17 };
    float x[N], y[N], z[N], absmax[34], absmax2[34];
    uint8_t codes[N / 2 + 1], codes2[N / 2 + 1];
    float *source = make_input(N);
    memcpy(x, source, sizeof x);
    free(source);
    vkft_nf4_quantize(x, N, codes, absmax);
    vkft_nf4_dequantize(codes, absmax, N, y);
    vkft_nf4_quantize(y, N, codes2, absmax2);
    vkft_nf4_dequantize(codes2, absmax2, N, z);
    assert_memory_equal(codes, codes2, (N + 1) / 2);
    assert_memory_equal(absmax, absmax2, sizeof absmax);
    assert_memory_equal(y, z, sizeof y);
    /* The largest gap of the table is 1 - 0.6962 at the negative end: no element is further off than half of it, times
     * absmax. */
    for (int i = 0; i < N; i++)
        assert_true(fabsf(x[i] - y[i]) <= 0.1520f * absmax[i / 64]);
}

static int code_of(const uint8_t *codes, int i)
{
    return i & 1 ? codes[i / 2] & 15 : codes[i / 2] >> 4;
}

/* A value on a threshold gets the lower code, the next float above it the higher one. The block's scale is 1. */
static void thresholds(void **state)
{
    (void)state;
    static const float boundary[15] = {
        -0.8480964004993439f,  -0.6106329262256622f,  -0.4599952697753906f,   -0.33967943489551544f,
        -0.23460740596055984f, -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f,
        0.1202552504837513f,   0.2035212516784668f,   0.2920137718319893f,    0.3893125355243683f,
        0.5016634166240692f,   0.6427869200706482f,   0.8614784179118011f,
    };
    float x[64] = {0}, absmax;
    uint8_t codes[32];
    for (int k = 0; k < 15; k++) {
        x[2 * k] = boundary[k];
        x[2 * k + 1] = nextafterf(boundary[k], 2);
    }
    x[63] = 1;
    vkft_nf4_quantize(x, 64, codes, &absmax);
    assert_true(absmax == 1);
    for (int k = 0; k < 15; k++) {
        assert_int_equal(code_of(codes, 2 * k), k);
        assert_int_equal(code_of(codes, 2 * k + 1), k + 1);
    }
    for (int k = 0; k < 16; k++)
        x[k] = vkft_nf4_table[k];
    vkft_nf4_quantize(x, 64, codes, &absmax);
    for (int k = 0; k < 16; k++)
        assert_int_equal(code_of(codes, k), k);
}

static void extreme_blocks(void **state)
{
    (void)state;
    float x[64] = {0}, y[64], absmax;
    uint8_t codes[32];
    vkft_nf4_quantize(x, 64, codes, &absmax);
    vkft_nf4_dequantize(codes, &absmax, 64, y);
    assert_true(absmax == 0);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(code_of(codes, i), 7);
        assert_true(y[i] == 0);
    }
    x[3] = 3e38f;
    x[4] = -3e38f;
    vkft_nf4_quantize(x, 64, codes, &absmax);
    vkft_nf4_dequantize(codes, &absmax, 64, y);
    assert_true(y[3] == 3e38f && y[4] == -3e38f && y[5] == 0);
    x[3] = 1e-44f; /* subnormal: no infinity may come from its reciprocal */
    x[4] = -1e-44f;
    vkft_nf4_quantize(x, 64, codes, &absmax);
    vkft_nf4_dequantize(codes, &absmax, 64, y);
    for (int i = 0; i < 64; i++)
        assert_true(isfinite(y[i]) && fabsf(y[i]) <= 1e-44f);
}

/* absmax comes back within half a step of the map, relative to the largest deviation in its block: the widest step is
 * 0.0141. */
static void double_quantization(void **state)
{
    (void)state;
    enum { BLOCKS = 256 * 3 + 100 };
    float absmax[BLOCKS], back[BLOCKS], nested[4], offset;
    uint8_t q[BLOCKS];
    float *source = make_input(BLOCKS);
    double sum = 0;
    for (int i = 0; i < BLOCKS; i++)
        sum += absmax[i] = fabsf(source[i]) + 0.01f;
    free(source);
    vkft_nf4_double_quantize(absmax, BLOCKS, q, nested, &offset);
    vkft_nf4_double_dequantize(q, nested, offset, BLOCKS, back);
    assert_true(offset == (float)(sum / BLOCKS));
    for (int i = 0; i < BLOCKS; i++)
        assert_true(fabsf(back[i] - absmax[i]) <= 0.00712f * nested[i / 256]);

    for (int i = 0; i < BLOCKS; i++)
        absmax[i] = 0.25f;
    vkft_nf4_double_quantize(absmax, BLOCKS, q, nested, &offset);
    vkft_nf4_double_dequantize(q, nested, offset, BLOCKS, back);
    for (int i = 0; i < BLOCKS; i++)
        assert_true(back[i] == 0.25f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(like_bitsandbytes), cmocka_unit_test(dynamic_map),    cmocka_unit_test(fixed_point),
        cmocka_unit_test(thresholds),        cmocka_unit_test(extreme_blocks), cmocka_unit_test(double_quantization),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
