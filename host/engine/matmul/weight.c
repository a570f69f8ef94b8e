/* See weight.h. */
#include "host/engine/matmul/weight.h"

#include "shaders/matmul/args.h"

struct weight_ref vkft_weight_ref(const vkft_weight *w)
{
    return (struct weight_ref){.data = w->part[VKFT_PART_DATA],
                               .scales = w->part[VKFT_PART_SCALES],
                               .super = w->part[VKFT_PART_SUPER],
                               .offset = w->offset,
                               .cols = w->cols};
}

/* What the columns of kernels.def say of each kernel. */
enum {
#define KERNEL(name, source, args, needs, shape, family, storage, defines)                                             \
    FAMILY_OF_##name = VKFT_FAMILY_##family, STORAGE_OF_##name = VKFT_STORAGE_##storage,
#include "shaders/kernels.def"
#undef KERNEL
};

/* An undeclared FAMILY_OF_<family>_<type> here is a row that kernels.def lacks. */
#define COMPLETE(family, type)                                                                                         \
    _Static_assert((int)FAMILY_OF_##family##_##type == (int)VKFT_FAMILY_##family &&                                    \
                       (int)STORAGE_OF_##family##_##type == (int)VKFT_STORAGE_##type,                                  \
                   "kernels.def: " #family "_" #type " is in another column");
#define STORAGE(type, header, bits, block, label, flag, super, codec)                                                  \
    COMPLETE(matmul_nt, type)                                                                                          \
    COMPLETE(matmul_nn, type)                                                                                          \
    COMPLETE(grouped_nt, type)                                                                                         \
    COMPLETE(grouped_nn, type)                                                                                         \
    COMPLETE(panel_nt, type)                                                                                           \
    COMPLETE(panel_nn, type)                                                                                           \
    COMPLETE(grouped_panel_nt, type)                                                                                   \
    COMPLETE(grouped_panel_nn, type)                                                                                   \
    COMPLETE(matmul_row, type)                                                                                         \
    COMPLETE(matmul_tile_nt, type)                                                                                     \
    COMPLETE(matmul_tile_nn, type)                                                                                     \
    COMPLETE(grouped_tile_nt, type)                                                                                    \
    COMPLETE(grouped_tile_nn, type)                                                                                    \
    COMPLETE(coop_nt, type)                                                                                            \
    COMPLETE(coop_nn, type)                                                                                            \
    COMPLETE(grouped_dot_nt, type)                                                                                     \
    COMPLETE(grouped_dot_nn, type)                                                                                     \
    COMPLETE(grouped_half_nt, type)                                                                                    \
    COMPLETE(grouped_half_nn, type)                                                                                    \
    COMPLETE(dot_nt, type)                                                                                             \
    COMPLETE(dot_nn, type)                                                                                             \
    COMPLETE(half_nt, type)                                                                                            \
    COMPLETE(half_nn, type)                                                                                            \
    COMPLETE(grouped_coop_nt, type)                                                                                    \
    COMPLETE(grouped_coop_nn, type)
#include "formats/tensors/storage.def"
#undef STORAGE

static const struct {
    vkft_kernel_family family;
    vkft_storage storage;
} columns[VKFT_KERNEL_COUNT] = {
#define KERNEL(name, source, args, needs, shape, family, storage, defines)                                             \
    {VKFT_FAMILY_##family, VKFT_STORAGE_##storage},
#include "shaders/kernels.def"
#undef KERNEL
};

vkft_kernel vkft_kernel_by_type(vkft_kernel_family family, vkft_storage storage)
{
    vkft_kernel kernel = 0;
    while (kernel < VKFT_KERNEL_COUNT && (columns[kernel].family != family || columns[kernel].storage != storage))
        kernel++;
    return kernel;
}
