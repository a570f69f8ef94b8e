/* Checkpoints with FP8 weights, made from a small one. */
#ifndef VKFT_TEST_FP8_CHECKPOINT_H
#define VKFT_TEST_FP8_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensors/dtype.h"

/* The value of a code by the definition of E4M3; NaN for 0x7f and 0xff. */
double vkft_test_fp8_value(uint8_t code);

/* What a program that quantizes to FP8 writes. */
typedef struct vkft_test_fp8_spelling {
    const char *config;  /* quantization_config as JSON; NULL: none */
    const char *file;    /* the text of hf_quant_config.json; NULL: there is none */
    const char *suffix;  /* of the scales: "_scale" or "_scale_inv" */
    uint32_t rows, cols; /* that share a scale; 0: all */
    vkft_dtype dtype;    /* of the scales */
    uint32_t dims;       /* of the scales: 0 or 1 for a single one, 2, or 4: [rows, 1, cols, 1] */
    bool activations;    /* with scales of inputs, keys and values too */
} vkft_test_fp8_spelling;

/* A scale in f32 for each block of 128 x 128; one in bf16 for each matrix. */
extern const vkft_test_fp8_spelling vkft_test_fp8_blocks, vkft_test_fp8_whole;

/* Writes two checkpoints into existing directories: the linear weights of the f32 checkpoint `dir` in FP8, and the f32
 * values that these stand for. */
void vkft_test_fp8_checkpoint(const char *dir, const char *fp8_dir, const char *f32_dir,
                              const vkft_test_fp8_spelling *spelling);

#endif
