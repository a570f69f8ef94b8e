/* Checkpoints with FP8 weights, made from a small one. */
#ifndef VKFT_TEST_FP8_CHECKPOINT_H
#define VKFT_TEST_FP8_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

/* The value of a code by the definition of E4M3; NaN for 0x7f and 0xff. */
double vkft_test_fp8_value(uint8_t code);

/* Writes two checkpoints into existing directories: the linear weights of the f32 checkpoint `dir` in FP8, and the f32
 * values that these stand for. blocks: each block of 128 x 128 has a scale in f32; otherwise each matrix has one in
 * bf16. */
void vkft_test_fp8_checkpoint(const char *dir, const char *fp8_dir, const char *f32_dir, bool blocks);

#endif
