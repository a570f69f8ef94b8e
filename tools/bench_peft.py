"""Training speed of transformers + PEFT + bitsandbytes on the GPU of this machine, at the shapes and with the settings of `vkft bench`.

    python3 bench_peft.py SHAPE[:TOKENS[:BATCH[:QUANT]]]...

SHAPE is one of `vkft bench`; 512 tokens, a batch of 1 and nf4 unless named; QUANT none is LoRA on bf16 weights. One line of JSON each: the median of 8 steps
past the first 3, each with its synchronization. NF4 with double quantization and bf16 operands, LoRA of r 16 on all linear layers, gradient
checkpointing, scaled-dot-product attention, fused AdamW with clipping, random weights, which speed does not depend on: nothing is downloaded.
Needs torch with CUDA or ROCm, transformers, peft and, but for QUANT none, bitsandbytes.
"""
import gc
import json
import statistics
import sys
import time

import peft
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

SHAPES = {  # vocabulary, hidden size, intermediate size, layers, heads, their keys, head size, tied; as host/bench/shapes/shapes.c
    "llama-110m": (32000, 768, 2048, 12, 12, 12, 64, True),
    "smollm2-135m": (49152, 576, 1536, 30, 9, 3, 64, True),
    "qwen3-0.6b": (151936, 1024, 3072, 28, 16, 8, 128, True),
    "tinyllama-1.1b": (32000, 2048, 5632, 22, 32, 4, 64, False),
    "llama-1b": (128256, 2048, 8192, 16, 32, 8, 64, True),
    "qwen3-4b": (151936, 2560, 9728, 36, 32, 8, 128, True),
    "llama-8b": (128256, 4096, 14336, 32, 32, 8, 128, False),
}
WARM_UP, STEPS = 3, 8


def quantize(module):
    """Every linear layer but the head, as bitsandbytes' integration in transformers does it when it loads a checkpoint."""
    import bitsandbytes as bnb
    for name, child in module.named_children():
        if not isinstance(child, torch.nn.Linear):
            quantize(child)
        elif name != "lm_head":
            layer = bnb.nn.Linear4bit(child.in_features, child.out_features, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4",
                                      compress_statistics=True, device="cuda")
            layer.weight = bnb.nn.Params4bit(child.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True).to("cuda")
            setattr(module, name, layer)


def make_model(shape, quant):
    vocabulary, hidden, intermediate, layers, heads, keys, head, tied = SHAPES[shape]
    config_of, model_of = (Qwen3Config, Qwen3ForCausalLM) if shape.startswith("qwen") else (LlamaConfig, LlamaForCausalLM)
    config = config_of(vocab_size=vocabulary, hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads,
                       num_key_value_heads=keys, head_dim=head, max_position_embeddings=8192, tie_word_embeddings=tied, attn_implementation="sdpa",
                       use_cache=False)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = model_of(config)
    torch.set_default_dtype(torch.float32)
    if quant == "nf4":
        quantize(model)
        model.is_loaded_in_4bit = True  # which PEFT asks for
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
    model = peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
    return model.train(), vocabulary


def measure(shape, tokens, batch, quant):
    model, vocabulary = make_model(shape, quant)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    ids = torch.randint(vocabulary, (batch, tokens), device="cuda")
    times = []
    torch.cuda.reset_peak_memory_stats()
    for _ in range(WARM_UP + STEPS):
        torch.cuda.synchronize()
        began = time.perf_counter()
        with torch.autocast("cuda", torch.bfloat16):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    median = statistics.median(times[WARM_UP:])
    return {"shape": shape, "tokens": tokens, "batch": batch, "quant": quant, "tokens_per_s": round(batch * tokens / median, 1),
            "step_ms": round(1e3 * median, 2), "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2),
            "layer": type(model.base_model.model.model.layers[0].self_attn.q_proj).__module__}


def main(wishes):
    print(json.dumps({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "transformers": transformers.__version__,
                      "peft": peft.__version__}), flush=True)
    for wish in wishes:
        parts = wish.split(":") + ["512", "1", "nf4"][wish.count(":"):]
        if parts[0] not in SHAPES or len(parts) != 4 or parts[3] not in ("nf4", "none"):
            sys.exit(f"{wish}: expected SHAPE[:TOKENS[:BATCH[:QUANT]]] with one of {', '.join(SHAPES)}, and nf4 or none")
        print(json.dumps(measure(parts[0], int(parts[1]), int(parts[2]), parts[3])), flush=True)
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
