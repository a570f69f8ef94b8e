"""The adapter of a golden case as PEFT saves it without safetensors.

    python3 make_adapter_fixture.py OUT_DIR

OUT_DIR/adapter_config.json and OUT_DIR/adapter_model.bin hold what lora_patterns/adapter_init holds, the matrices lora_A by columns.
"""
import os
import shutil
import sys

import torch
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))


def main():
    out, source = sys.argv[1], os.path.join(HERE, "..", "data", "golden", "lora_patterns", "adapter_init")
    os.makedirs(out, exist_ok=True)
    tensors = load_file(os.path.join(source, "adapter_model.safetensors"))
    torch.save({k: v.t().contiguous().t() if "lora_A" in k else v for k, v in tensors.items()}, os.path.join(out, "adapter_model.bin"))
    shutil.copy(os.path.join(source, "adapter_config.json"), out)


if __name__ == "__main__":
    main()
