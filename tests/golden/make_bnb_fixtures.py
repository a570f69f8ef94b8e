"""A small model as bitsandbytes leaves it in a checkpoint: OUT_DIR/{nf4,nf4_dq,fp4}, and the original in OUT_DIR/original. OUT_DIR/experts is a
mixture of experts as transformers 4 quantized it: expert by expert, the router as well (transformers 5 leaves both as they are).

    python3 make_bnb_fixtures.py OUT_DIR
"""
import json
import os
import sys

import torch
from bitsandbytes.functional import quantize_4bit
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, Qwen3MoeConfig


def make_mixture(out):
    torch.manual_seed(2)
    config = Qwen3MoeConfig(hidden_size=16, intermediate_size=24, moe_intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                            num_key_value_heads=1, head_dim=8, vocab_size=31, num_experts=3, num_experts_per_tok=2, max_position_embeddings=32)
    AutoModelForCausalLM.from_config(config).save_pretrained(out)
    path, tensors = os.path.join(out, "model.safetensors"), {}
    for name, value in load_file(path).items():
        if "_proj." in name or name.endswith("mlp.gate.weight"):
            tensors[name], state = quantize_4bit(value.contiguous(), quant_type="nf4", compress_statistics=True)
            tensors |= {f"{name}.{key}": part for key, part in state.as_dict(packed=True).items()}
        else:
            tensors[name] = value
    save_file(tensors, path, metadata=dict(format="pt"))
    path = os.path.join(out, "config.json")
    with open(path) as f:
        config = json.load(f)
    config["quantization_config"] = dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
                                         bnb_4bit_compute_dtype="float32")
    with open(path, "w") as f:
        json.dump(config, f, indent=2)


def main():
    out = sys.argv[1]
    torch.manual_seed(1)
    config = LlamaConfig(hidden_size=45, intermediate_size=64, num_hidden_layers=1, num_attention_heads=3, num_key_value_heads=1, head_dim=16,
                         vocab_size=61, max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
    original = os.path.join(out, "original")
    AutoModelForCausalLM.from_config(config).save_pretrained(original)
    for name, kind, double in (("nf4", "nf4", False), ("nf4_dq", "nf4", True), ("fp4", "fp4", False)):
        quantization = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=double,
                                          bnb_4bit_compute_dtype=torch.float32)
        model = AutoModelForCausalLM.from_pretrained(original, dtype=torch.float32, quantization_config=quantization)
        model.save_pretrained(os.path.join(out, name))
    make_mixture(os.path.join(out, "experts"))


if __name__ == "__main__":
    main()
