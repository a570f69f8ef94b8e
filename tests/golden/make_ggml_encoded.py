"""Values and what llama-quantize makes of them in each type that vkft writes, for test_ggml_encode: tests/data/gguf/encoded.gguf.

    python3 make_ggml_encoded.py TESTS_DATA_DIR WORK_DIR [ROOT]

ROOT: a directory in which llama.cpp is installed, for chroot; WORK_DIR has the same path there. Needs numpy and gguf.
"""
import os
import shutil
import subprocess
import sys

import gguf
import numpy as np

TYPES = ["Q8_0", "Q4_0", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
ROWS, WIDTH = 12, 256


def values():
    """Rows as weights are, and such that are hard: one sign, an outlier, all the same, zeros, tiny, halves between codes."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
    x[1] = np.abs(x[1])
    x[2] = -np.abs(x[2])
    x[3, 7] = 40
    x[4] = 0.75
    x[5] = 0
    x[5, 100:140] = x[6, 100:140]
    x[6] *= 1e-6
    x[7] = np.round(x[7] * 4) / 4
    x[8] = np.arange(WIDTH) / 8 - 16
    x[9, ::2] = 0
    x[10] += 3
    return x


def main():
    data, work = sys.argv[1:3]
    root = sys.argv[3] if len(sys.argv) > 3 else ""
    os.makedirs(root + work, exist_ok=True)
    x = values()
    w = gguf.GGUFWriter(root + work + "/x.gguf", "llama")
    w.add_context_length(16)
    w.add_embedding_length(WIDTH)
    w.add_feed_forward_length(WIDTH)
    w.add_block_count(1)
    w.add_head_count(WIDTH // ROWS)
    w.add_head_count_kv(1)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tensor("blk.0.attn_k.weight", x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    out = gguf.GGUFWriter(os.path.join(data, "gguf", "encoded.gguf"), "llama")
    out.add_tensor("x", x)
    for kind in TYPES:
        file = f"{work}/{kind}.gguf"
        subprocess.run([*(["chroot", root] if root else []), "llama-quantize", "--pure", work + "/x.gguf", file, kind, "1"], check=True, capture_output=True)
        tensor = gguf.GGUFReader(root + file).tensors[0]
        assert tensor.tensor_type.name == kind, (kind, tensor.tensor_type)
        out.add_tensor(kind, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    shutil.rmtree(root + work)


if __name__ == "__main__":
    main()
