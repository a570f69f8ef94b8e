/* Each kernel by itself against the CPU in double precision. A check runs a kernel once or twice on arrays of one
 * shape; the bounds of its arithmetic are stated in its file. The doctor runs vkft_checks; the tests in tests/shaders
 * run the same checks at more shapes. */
#ifndef VKFT_CHECKS_KERNELS_H
#define VKFT_CHECKS_KERNELS_H

#include "formats/config/activation.h"
#include "formats/tensors/storage.h"
#include "host/doctor/checks/lab.h"

/* elementwise.c */
void vkft_check_gated(vkft_lab *lab, uint32_t n, vkft_activation activation);
void vkft_check_gated_f16(vkft_lab *lab, uint32_t T, uint32_t n, vkft_activation activation, bool both);
void vkft_check_gated_f16_in_place(vkft_lab *lab, uint32_t T, uint32_t n); /* n: a multiple of 32 */
/* Rows in f16, and back in f32. */
void vkft_check_rows_f16(vkft_lab *lab, uint32_t T, uint32_t C);
void vkft_check_rows_f16_in_place(vkft_lab *lab, uint32_t T, uint32_t C); /* C a multiple of COOP_STEP */
void vkft_check_activation(vkft_lab *lab, uint32_t n, vkft_activation activation);
void vkft_check_softcap(vkft_lab *lab, uint32_t n);
void vkft_check_dropout(vkft_lab *lab, uint32_t n);
void vkft_check_fill_and_add(vkft_lab *lab, uint32_t n);
void vkft_check_subgroup(vkft_lab *lab);
void vkft_check_bias_rows(vkft_lab *lab, uint32_t T, uint32_t C);
void vkft_check_column_sum(vkft_lab *lab, uint32_t T, uint32_t C);
void vkft_check_dora_factors(vkft_lab *lab, uint32_t N, uint32_t r);
void vkft_check_dora_rows(vkft_lab *lab, uint32_t T, uint32_t C);
void vkft_check_dora_magnitude(vkft_lab *lab, uint32_t T, uint32_t C);
/* `runs` runs of `run` columns, one every `step` columns from `offset` on. */
void vkft_check_columns(vkft_lab *lab, uint32_t T, uint32_t run, uint32_t runs, uint32_t step, uint32_t offset);

/* rows.c */
void vkft_check_rope(vkft_lab *lab, uint32_t T, uint32_t H, uint32_t D, uint32_t R);
void vkft_check_embedding(vkft_lab *lab, vkft_storage storage, uint32_t T, uint32_t C);
void vkft_check_embedding_backward(vkft_lab *lab, uint32_t T, uint32_t C, uint32_t offset);
void vkft_check_round_bf16(vkft_lab *lab, uint32_t n);
/* Runs of 8 elements; and what they are in f32 again. */
void vkft_check_stochastic_bf16(vkft_lab *lab, uint32_t runs);
void vkft_check_noise(vkft_lab *lab, uint32_t T, uint32_t C);
void vkft_check_rows(vkft_lab *lab, uint32_t T, uint32_t C, uint32_t rows);
void vkft_check_gather_f16(vkft_lab *lab, uint32_t T, uint32_t C, uint32_t rows);

/* embedding.c: the kernels forwards and backwards */
void vkft_check_embedding_lora(vkft_lab *lab, uint32_t T, uint32_t r);
void vkft_check_token_rows(vkft_lab *lab, uint32_t T, uint32_t C);
void vkft_check_token_columns(vkft_lab *lab, uint32_t T, uint32_t n);

/* norm.c */
void vkft_check_norm(vkft_lab *lab, uint32_t T, uint32_t C, bool layernorm, float offset, bool add);
void vkft_check_norm_f16(vkft_lab *lab, uint32_t T, uint32_t C, float offset, bool both, bool add);
void vkft_check_norm_gain(vkft_lab *lab, uint32_t T, uint32_t C, bool layernorm);

/* training.c */
typedef struct vkft_loss_form {
    float softcap, smoothing, z_loss; /* 0: none */
} vkft_loss_form;
void vkft_check_cross_entropy(vkft_lab *lab, uint32_t rows, uint32_t V, float spread, vkft_loss_form form);
void vkft_check_sums(vkft_lab *lab, uint32_t n);
void vkft_check_clip(vkft_lab *lab, uint32_t n, float max_norm);
void vkft_check_adamw(vkft_lab *lab, uint32_t n);
void vkft_check_adamw_8bit(vkft_lab *lab, uint32_t n);
void vkft_check_lion(vkft_lab *lab, uint32_t n);
void vkft_check_sgd(vkft_lab *lab, uint32_t n);

/* optimizers.c */
void vkft_check_adafactor(vkft_lab *lab, uint32_t rows, uint32_t cols);
void vkft_check_lion_8bit(vkft_lab *lab, uint32_t n);
void vkft_check_lorafa(vkft_lab *lab, uint32_t rows, uint32_t r);
void vkft_check_muon(vkft_lab *lab, uint32_t rows, uint32_t cols);

/* experts.c */
void vkft_check_router(vkft_lab *lab, uint32_t T, uint32_t E, uint32_t k, bool normalize);
void vkft_check_expert_order(vkft_lab *lab, uint32_t T, uint32_t E, uint32_t k);
/* f16: by the kernels that also write rows in f16. */
void vkft_check_expert_gated(vkft_lab *lab, uint32_t A, uint32_t F, vkft_activation activation, bool f16);
void vkft_check_sum_rows(vkft_lab *lab, uint32_t T, uint32_t C, uint32_t k);

/* All of them at a few odd shapes, also attention.h and products.h: every kernel that is used on the device is
 * launched. The device's constants are chosen anew. Error: the device answers no more, or memory is out; what was found
 * until then is in the lab's verdicts. */
bool vkft_checks(vkft_lab *lab, vkft_err *err);
/* Parts of it: every strategy of products that the device can use, for every storage type; attention, by the kernels
 * that are chosen for the device. */
void vkft_checks_products(vkft_lab *lab);
void vkft_checks_attention(vkft_lab *lab);
/* Device memory that vkft_checks needs in its lab. */
#define VKFT_CHECKS_BYTES (24ull << 20)

#endif
