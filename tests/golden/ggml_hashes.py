"""Hashes of what ggml's block types decode to, for tests/formats/tensors/test_ggml.c: by the Python package gguf, and by ggml itself, which must
agree.

    python3 ggml_hashes.py [libggml-base.so]
"""
import ctypes
import sys

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import GGML_QUANT_SIZES, quants

BLOCKS = 301
# Where the f16 scales of a block are.
SCALES = dict(Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q8_0=[0], Q2_K=[80, 82], Q3_K=[108], Q4_K=[0, 2], Q5_K=[0, 2], Q6_K=[208],
              IQ4_NL=[0], IQ4_XS=[0], MXFP4=[])


def make_bytes(size):
    state, out = size, np.zeros(BLOCKS * size, np.uint8)
    for i in range(len(out)):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = state >> 24
    return out.reshape(BLOCKS, size)


def fnv(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = ((h ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return h


def main():
    library = ctypes.CDLL(sys.argv[1]) if len(sys.argv) > 1 else None
    for name, scales in SCALES.items():
        elements, size = GGML_QUANT_SIZES[Type[name]]
        data = make_bytes(size)
        for at in scales:
            data[:, at + 1] &= 0xBF  # finite
        with np.errstate(over="ignore"):
            values = quants.dequantize(data, Type[name]).astype(np.float32).reshape(-1)
        if library:
            own = np.zeros_like(values)
            decode = getattr(library, "dequantize_row_" + name.lower().replace("_k", "_K"))
            decode(data.ctypes.data_as(ctypes.c_void_p), own.ctypes.data_as(ctypes.c_void_p), ctypes.c_int64(len(own)))
            assert (own.view(np.uint32) == values.view(np.uint32)).all(), name
        print(f"    {{VKFT_{name}, {elements}, {size}, {{{', '.join(str(s) for s in (scales + [-1, -1])[:2])}}}, 0x{fnv(values.tobytes()):016x}}},")
    print("ggml agrees" if library else "ggml itself was not asked", file=sys.stderr)


if __name__ == "__main__":
    main()
