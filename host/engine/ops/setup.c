/* Kernel constants of the ops, chosen per device. */
#include "host/engine/matmul/gemm.h"
#include "host/engine/ops/attention_kernels.h"

bool vkft_ops_setup(vkft_device *dev, const vkft_ops_constants *c, vkft_err *err)
{
    return vkft_gemm_setup(dev, c->operands, err) && vkft_attention_setup(dev, c, err);
}
