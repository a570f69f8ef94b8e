"""A small model as bitsandbytes leaves it in a checkpoint: OUT_DIR/{nf4,nf4_dq,fp4}, and the original in OUT_DIR/original.

    python3 make_bnb_fixtures.py OUT_DIR
"""
import os
import sys

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig


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


if __name__ == "__main__":
    main()
