/* Kernel constants of the ops, chosen per device. */
#include "host/engine/matmul/gemm.h"
#include "host/engine/ops/ops.h"

bool vkft_ops_setup(vkft_device *dev, const vkft_ops_constants *c, vkft_err *err)
{
    if (!vkft_gemm_setup(dev, c->operands, err))
        return false;
    static const vkft_kernel attention[] = {VKFT_KERNEL_attention, VKFT_KERNEL_attention_dq, VKFT_KERNEL_attention_dkv,
                                            VKFT_KERNEL_attention_dbias};
    const vkft_caps *caps = vkft_device_get_caps(dev);
    uint32_t block = caps->software && c->longest_walk <= vkft_attention_iterations(caps) ? 1 : VKFT_ATTENTION_BLOCK;
    const uint32_t constants[] = {c->head_dim, c->softcap, c->relative, block};
    for (size_t i = 0; i < sizeof attention / sizeof *attention; i++)
        vkft_kernel_specialize(dev, attention[i], 0, 0, constants, 4);
    return true;
}
