/* A weight matrix in device memory, and which kernel reads its storage type. */
#ifndef VKFT_WEIGHT_H
#define VKFT_WEIGHT_H

#include <stdint.h>

#include "formats/tensors/storage.h"
#include "runtime/kernels.h"

/* A matrix [rows, cols] as it is stored. */
typedef struct vkft_weight {
    vkft_storage storage;
    uint32_t rows, cols;
    uint64_t part[VKFT_PARTS]; /* addresses; 0 for parts that the type does not have */
    float offset;              /* as in vkft_stored */
    uint64_t grad;             /* address of f32 [rows, cols] that backward adds to; 0: frozen */
} vkft_weight;

/* The weight as kernels take it (shaders/matmul/args.h). */
struct weight_ref;
struct weight_ref vkft_weight_ref(const vkft_weight *w);

/* The column `family` of shaders/kernels.def. */
typedef enum vkft_kernel_family {
    VKFT_FAMILY_none,
    VKFT_FAMILY_matmul_nt,
    VKFT_FAMILY_matmul_nn,
    VKFT_FAMILY_grouped_nt,
    VKFT_FAMILY_grouped_nn,
    VKFT_FAMILY_lookup_nt, /* these two: 4-bit types alone */
    VKFT_FAMILY_grouped_lookup_nt,
    VKFT_FAMILY_panel_nt,
    VKFT_FAMILY_panel_nn,
    VKFT_FAMILY_grouped_panel_nt,
    VKFT_FAMILY_grouped_panel_nn,
    VKFT_FAMILY_matmul_row,
    VKFT_FAMILY_matmul_tile_nt,
    VKFT_FAMILY_matmul_tile_nn,
    VKFT_FAMILY_grouped_tile_nt,
    VKFT_FAMILY_grouped_tile_nn,
    VKFT_FAMILY_coop_nt,
    VKFT_FAMILY_coop_nn,
    VKFT_FAMILY_dot_nt,
    VKFT_FAMILY_dot_nn,
    VKFT_FAMILY_half_nt,
    VKFT_FAMILY_half_nn,
    VKFT_FAMILY_grouped_dot_nt,
    VKFT_FAMILY_grouped_dot_nn,
    VKFT_FAMILY_grouped_half_nt,
    VKFT_FAMILY_grouped_half_nn,
    VKFT_FAMILY_grouped_coop_nt,
    VKFT_FAMILY_grouped_coop_nn,
    VKFT_FAMILY_embedding, /* types with plain elements alone */
} vkft_kernel_family;

/* The family's kernel for a storage type; VKFT_KERNEL_COUNT: there is none. */
vkft_kernel vkft_kernel_by_type(vkft_kernel_family family, vkft_storage storage);

#endif
