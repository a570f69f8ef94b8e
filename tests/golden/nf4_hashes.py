"""Prints the table of tests/formats/tensors/test_nf4.c: FNV-1a hashes of what bitsandbytes makes of a reproducible input.

The 8-bit part: bitsandbytes' CUDA kernel and its portable implementation take the nearest entry of the map. Its CPU kernel (0.50) looks values up in a
table of 65536 steps instead, which gives the neighbouring entry when a value lies within 1.6e-5 of a midpoint; the hashes are of the
nearest entries, and the CPU kernel's are checked to differ nowhere else. The mean is in double (torch.mean's last bits depend on the machine).

Needs torch and bitsandbytes: python3 nf4_hashes.py
"""
import numpy as np
import torch
import bitsandbytes
import bitsandbytes.functional as F

CASES = [(torch.float32, 64000), (torch.float32, 100003), (torch.float16, 50000), (torch.bfloat16, 50000),
         (torch.float32, 1), (torch.float32, 63), (torch.float32, 65), (torch.bfloat16, 16385)]


def make_input(n):
    """Sums of four 16-bit draws, so that every value is exact in f32; some large, one block zero."""
    x = np.empty(n, np.float32)
    s = n & 0xFFFFFFFF
    for i in range(n):
        total = -131070
        for _ in range(4):
            s = (s * 1664525 + 1013904223) & 0xFFFFFFFF
            total += s >> 16
        x[i] = total * 2.0 ** -18 * (16 if i % 97 == 0 else 1)
    if n > 192:
        x[128:192] = 0
    return x


def fnv(a):
    h = 0xCBF29CE484222325
    for b in np.ascontiguousarray(a).view(np.uint8).ravel().tolist():
        h = ((h ^ b) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def double_quantize(absmax, code):
    mean = np.float32(absmax.astype(np.float64).mean())
    d = torch.from_numpy(absmax - mean)
    blocks = torch.nn.functional.pad(d, (0, -d.numel() % 256)).view(-1, 256)
    nested = blocks.abs().max(dim=1)[0]
    scaled = (blocks * (1.0 / nested.clamp(min=1e-38)).view(-1, 1)).reshape(-1)[:d.numel()]
    midpoints = (code[:-1] + code[1:]) / 2
    q = torch.bucketize(scaled, midpoints, out_int32=True).to(torch.uint8)

    cpu, state = F.quantize_blockwise(d, blocksize=256)
    assert torch.equal(state.absmax, nested)
    differ = (cpu != q) & (torch.repeat_interleave(nested, 256)[:d.numel()] != 0)
    nearest = (scaled[differ].view(-1, 1) - midpoints.view(1, -1)).abs().min(dim=1)[0] if differ.any() else torch.zeros(1)
    assert nearest.max() < 1.6e-5, nearest.max()
    assert abs(float(mean) - torch.from_numpy(absmax).mean().item()) <= 4e-7 * abs(float(mean))
    return q.numpy(), nested.numpy(), mean


print(f"/* bitsandbytes {bitsandbytes.__version__}, torch {torch.__version__} */")
print(f"#define MAP_HASH 0x{fnv(F.create_dynamic_map().numpy()):016x}")
print(f"#define UNSIGNED_MAP_HASH 0x{fnv(F.create_dynamic_map(signed=False).numpy()):016x}")
for dtype, n in CASES:
    w = torch.from_numpy(make_input(n)).to(dtype)
    packed, state = F.quantize_4bit(w, blocksize=64, compress_statistics=False, quant_type="nf4")
    absmax = state.absmax.numpy().copy()
    q, nested, mean = double_quantize(absmax, F.create_dynamic_map())
    name = {torch.float32: "VKFT_F32", torch.float16: "VKFT_F16", torch.bfloat16: "VKFT_BF16"}[dtype]
    print("    {%s, %d, 0x%016x, 0x%016x, 0x%016x, 0x%016x, 0x%08x}," % (
        name, n, fnv(packed.numpy()), fnv(absmax), fnv(q), fnv(nested), mean.view(np.uint32)))
