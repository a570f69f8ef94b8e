/* A GGUF file as a checkpoint of transformers: its keys become config.json and the tokenizer's files, its tensors get
 * the names that transformers gives them.
 *
 * Source: the conversion scripts and src/llama-*.cpp of llama.cpp. Test: test_gguf_model
 */
#ifndef VKFT_GGUF_MODEL_H
#define VKFT_GGUF_MODEL_H

#include "formats/config/config.h"
#include "formats/gguf/gguf.h"

/* Texts of the small files, malloc'ed; NULL: the model has no such file. */
typedef struct vkft_gguf_files {
    char *config, *tokenizer, *tokenizer_config;
} vkft_gguf_files;

/* Error: an architecture, a tokenizer or a setting that is not known; a missing key. */
bool vkft_gguf_files_make(const vkft_gguf *gguf, vkft_gguf_files *files, vkft_err *err);
void vkft_gguf_files_free(vkft_gguf_files *files);

/* The configuration alone, of a file. */
bool vkft_gguf_config_read(const char *path, vkft_config *config, vkft_err *err);

/* The parts of it. */
bool vkft_gguf_config(const vkft_gguf *gguf, char **json, vkft_err *err);
bool vkft_gguf_tokenizer(const vkft_gguf *gguf, char **json, char **config, vkft_err *err);

/* Gives the tensors of all parts the names that they have in a checkpoint of transformers, says what their writer did
 * to them (vkft_file_tensor), and cuts experts apart. Tensors that are none of the model's keep their names. config:
 * from the text that vkft_gguf_config makes. */
bool vkft_gguf_rename(vkft_gguf *gguf, const vkft_config *config, vkft_err *err);

/* One architecture of llama.cpp. */
typedef struct vkft_gguf_arch {
    const char *name;                    /* general.architecture */
    const char *model_type, *class_name; /* of transformers */
    bool interleaved;                    /* rows of queries and keys lie as llama.cpp rotates them for Llama */
    bool gain_plus_one;                  /* gains of norms have 1 added */
} vkft_gguf_arch;
/* Error: not known, with those that are. */
const vkft_gguf_arch *vkft_gguf_arch_of(const vkft_gguf *gguf, vkft_err *err);
/* That of a model; NULL: llama.cpp has none, or vkft does not know how to write it, which is the error. */
const vkft_gguf_arch *vkft_gguf_arch_for(const vkft_config *config, vkft_err *err);

/* What a weight of the model is in a GGUF file. */
typedef struct vkft_gguf_place {
    char name[128];         /* "blk.0.attn_q.weight" */
    bool is_expert;         /* one matrix of a tensor [experts, rows, columns] */
    uint32_t expert, block; /* block 0: also what is in none */
    uint32_t interleaved_heads;
    bool gain_plus_one;
    bool is_linear, is_router, is_bias;
} vkft_gguf_place;
/* name: as vkft_arch_tensor spells it. False: it has none there. */
bool vkft_gguf_place_of(const vkft_gguf_arch *arch, const vkft_config *config, const char *name,
                        vkft_gguf_place *place);

/* Which row of the model is row r of such a tensor with interleaved heads of so many rows: a head's two halves
 * alternate. The reverse of vkft_file_tensor_row. */
uint64_t vkft_gguf_interleaved_row(uint64_t r, uint64_t head);

/* A tensor of any part; NULL: there is none. */
const vkft_file_tensor *vkft_gguf_tensor(const vkft_gguf *gguf, const char *name, const vkft_tensor_file **part);

#endif
