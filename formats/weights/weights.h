/* All weights of a model as f32, one after another, whatever files it lies in: a checkpoint directory, a GGUF file, a
 * .vkft file; and beside the original ones those that a run trained on, which are quantized.
 *
 * Matrices are [out,in] here and vectors [1,n], also where files have them transposed (GPT-2), with rows in another
 * order or with 1 added to gains (GGUF). Test: test_merge
 */
#ifndef VKFT_WEIGHTS_H
#define VKFT_WEIGHTS_H

#include "formats/config/arch.h"
#include "formats/convert/convert.h"
#include "formats/convert/hf_checkpoint.h"
#include "formats/convert/source.h"

typedef struct vkft_source_weight {
    char name[256];        /* as vkft_arch_tensor spells it; "": not part of the model, such as a vision tower's */
    const char *written;   /* its name in the checkpoint */
    vkft_tensor_role role; /* never TIED_HEAD: such a copy of the embedding is left out */
    uint32_t dims;
    uint64_t shape[VKFT_TENSOR_MAX_DIMS]; /* as a checkpoint of transformers has it */
    uint64_t rows, cols;
    bool swapped;                       /* that is [in,out] */
    const vkft_shard_tensor *original;  /* NULL: there is none */
    const vkft_model_tensor *quantized; /* what was trained on; NULL: the same */
} vkft_source_weight;

typedef struct vkft_weights {
    vkft_source source; /* configuration and small files; of a GGUF file made from its keys */
    vkft_hf_checkpoint checkpoint;
    vkft_model_file *file;
    vkft_source_weight *list;
    uint32_t count;
    bool is_gguf;
    bool only_quantized; /* the model is there in a quantized form alone */
} vkft_weights;

/* trained: what --quant was in training, so that quantized weights are there too, which are converted where they are
 * not up to date; NULL: only the original ones. Error: what conversion reports. */
bool vkft_weights_open(const char *path, const vkft_convert_options *trained, vkft_weights *weights, vkft_err *err);
void vkft_weights_close(vkft_weights *weights); /* zeroes it */

/* A small file of the model; NULL: it has none of this name. */
const char *vkft_weights_blob(const vkft_weights *weights, const char *name, size_t *length);

/* One weight at work. A matrix that cannot be read by rows is held in memory. */
typedef struct vkft_weight_reader {
    const vkft_source_weight *weight;
    bool quantized;
    float *whole;
} vkft_weight_reader;

/* quantized: the values trained on, where they are others. */
bool vkft_weight_reader_open(const vkft_source_weight *weight, bool quantized, vkft_weight_reader *reader,
                             vkft_err *err);
/* Rows of it, f32; from several threads, too. */
void vkft_weight_rows(const vkft_weight_reader *reader, uint64_t first, uint64_t rows, float *out);
void vkft_weight_reader_close(vkft_weight_reader *reader); /* says that the file's pages are not needed for now */

#endif
