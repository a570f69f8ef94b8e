"""GGUF files against llama.cpp itself, a part of check_llama_cpp.py: small random models of every architecture are written as GGUF
(make_gguf_fixtures.py), and the log-probabilities of a text's tokens from `vkft eval --per-token` are compared with those of transformers and of
llama.cpp on the same file. Then llama-quantize writes a Llama in its types (in MXFP4, which is for experts, a mixture) and back in F32: both must become the
same weights here, bit for bit, and 20 steps of training over the blocks as they are stored must have the losses of those over F32. NAME: of models or of types, or "types" for the second half.
"""
import json
import os
import random
import shutil
import struct
import subprocess

import gguf
import make_gguf_fixtures as fixtures
import numpy as np
import torch
from transformers import (AutoModelForCausalLM, Gemma2Config, Gemma3TextConfig, GPT2Config, GraniteConfig, LlamaConfig, MistralConfig, Olmo2Config,
                          Phi3Config, Qwen2Config, Qwen3Config, Qwen3MoeConfig, SmolLM3Config)

TOKENS = 200  # of the text
BASE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=404, bos_token_id=400,
            eos_token_id=401, pad_token_id=None, max_position_embeddings=256, initializer_range=0.12, rms_norm_eps=1e-5, tie_word_embeddings=False)
HEADS = dict(BASE, head_dim=16)
LLAMA3 = dict(rope_type="llama3", rope_theta=500000.0, factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
GEMMA = dict(HEADS, query_pre_attn_scalar=16, sliding_window=8, tie_word_embeddings=True)
MODELS = {
    "llama": LlamaConfig(**HEADS),
    "llama3": LlamaConfig(**dict(HEADS, rope_parameters=LLAMA3)),
    "mistral": MistralConfig(**dict(HEADS, sliding_window=None)),
    "qwen2": Qwen2Config(**BASE),
    "qwen3": Qwen3Config(**HEADS),
    "qwen3_moe": Qwen3MoeConfig(**dict(HEADS, moe_intermediate_size=32, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True)),
    "gemma2": Gemma2Config(**dict(GEMMA, attn_logit_softcapping=50.0, final_logit_softcapping=30.0, num_hidden_layers=4)),
    "gemma3": Gemma3TextConfig(**dict(GEMMA, num_hidden_layers=7)),
    "phi3": Phi3Config(**dict(BASE, sliding_window=None)),
    "gpt2": GPT2Config(n_embd=64, n_layer=2, n_head=4, n_positions=256, vocab_size=404, bos_token_id=400, eos_token_id=401, initializer_range=0.12),
    "granite": GraniteConfig(**dict(BASE, attention_multiplier=0.2, embedding_multiplier=3.0, residual_multiplier=0.4, logits_scaling=1.7)),
    "olmo2": Olmo2Config(**BASE),
    "smollm3": SmolLM3Config(**dict(BASE, num_hidden_layers=4)),
}
# llama.cpp's GELU is a table of f16 numbers.
BOUNDS = dict(gemma2=3e-3, gemma3=3e-3, gpt2=3e-3)
BOUND = 3e-5
LOSS_BOUND = 1e-5  # of a step over a quantized file and over the same values as f32
TYPES = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4_MOE"]


def text():
    rng = random.Random(1)
    return [400] + [rng.randrange(400) for _ in range(TOKENS)]


def make_model(config, path, tokenizer):
    """A checkpoint at `path` and `path`.gguf; returns the model."""
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(path)
    with open(os.path.join(path, "config.json")) as f:
        c = json.load(f)
    arch = gguf.MODEL_ARCH[fixtures.ARCHS[c["model_type"]]]
    w = gguf.GGUFWriter(path + ".gguf", gguf.MODEL_ARCH_NAMES[arch])
    fixtures.add_keys(w, c)
    fixtures.add_byte_level(w, tokenizer)
    names = gguf.get_tensor_name_map(arch, c.get("num_hidden_layers") or c["n_layer"])
    for name, value in fixtures.tensors_of(c, os.path.join(path, "model.safetensors")):
        w.add_tensor(names.get_name(name, try_suffixes=(".weight", ".bias")), np.ascontiguousarray(value))
    fixtures.finish(w)
    return model


def from_transformers(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [float(logits[i - 1, ids[i]]) for i in range(1, len(ids))]


def from_vkft(vkft, path, work, ids):
    data, out = os.path.join(work, "ids.jsonl"), os.path.join(work, "per_token.jsonl")
    with open(data, "w") as f:
        f.write(json.dumps(dict(input_ids=ids)) + "\n")
    subprocess.run([vkft, "eval", "--model", path, "--data", data, "--per-token", out, "--quant", "none"], check=True, capture_output=True)
    with open(out) as f:
        return json.loads(f.readline())["logprobs"][1:]


def weights(vkft, path, out):
    """Names and checksums of what a file is converted to."""
    subprocess.run([vkft, "convert", path, "-o", out, "--overwrite", "--quant", "fp32"], check=True, capture_output=True)
    with open(out, "rb") as f:
        data = f.read(1 << 20)
    header = json.JSONDecoder().raw_decode(data[24:24 + struct.unpack("<Q", data[8:16])[0]].decode())[0]
    return sorted((t["name"], t["shape"], t["checksum"]) for t in header["tensors"])


def losses(vkft, path, work):
    """Of 20 steps of LoRA over the weights as they are stored."""
    data, out = os.path.join(work, "train.jsonl"), os.path.join(work, "run")
    rng = random.Random(3)
    with open(data, "w") as f:
        for _ in range(40):
            f.write(json.dumps(dict(input_ids=[400] + [rng.randrange(400) for _ in range(rng.randrange(8, 40))])) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run([vkft, "train", "--model", path, "--data", data, "--output-dir", out, "--max-steps", "20", "--logging-steps", "1", "--quant", "stored",
                    "--learning-rate", "1e-3", "--batch-size", "2"], check=True, capture_output=True)
    with open(os.path.join(out, "trainer_log.jsonl")) as f:
        rows = [json.loads(line) for line in f]
    return [row["loss"] for row in rows if "loss" in row]


def check_models(vkft, tokenizer, work, llama, names):
    failed = False
    ids = text()
    for name in names:
        torch.manual_seed(5)
        path = os.path.join(work, name)
        shutil.rmtree(path, ignore_errors=True)
        model = make_model(MODELS[name], path, tokenizer)
        llama.bring(path + ".gguf")
        ours = from_vkft(vkft, path + ".gguf", work, ids)
        others = [from_vkft(vkft, path, work, ids), from_transformers(model, ids), llama.logprobs(path + ".gguf", ids)]
        worst = [max(abs(a - b) for a, b in zip(ours, other)) for other in others]
        bad = worst[0] > BOUND or worst[1] > BOUND or worst[2] > BOUNDS.get(name, BOUND)
        failed |= bad
        print(f"{name:10} directory {worst[0]:.1e}  transformers {worst[1]:.1e}  llama.cpp {worst[2]:.1e}{'  TOO MUCH' if bad else ''}", flush=True)
    return failed


def check_types(vkft, tokenizer, work, llama, kinds):
    failed = False
    wide = dict(HEADS, hidden_size=256, intermediate_size=512)
    mixture = Qwen3MoeConfig(**dict(wide, moe_intermediate_size=256, num_experts=4, num_experts_per_tok=2, norm_topk_prob=True))
    for name, config in dict(dense=LlamaConfig(**wide), mixture=mixture).items():
        make_model(config, os.path.join(work, name), tokenizer)
        llama.bring(os.path.join(work, name) + ".gguf")
    for kind in kinds or TYPES:
        big = os.path.join(work, "mixture" if kind == "MXFP4_MOE" else "dense")
        file, back = f"{big}-{kind}.gguf", f"{big}-{kind}-back.gguf"
        llama.quantize(big + ".gguf", file, kind)
        llama.quantize(file, back, "F32", "--allow-requantize")
        paths = [llama.outside(file), llama.outside(back)]
        same = weights(vkft, paths[0], big + "-a.vkft") == weights(vkft, paths[1], big + "-b.vkft")
        runs = [losses(vkft, path, work) for path in paths]
        worst = max(abs(a - b) for a, b in zip(*runs))
        bad = not same or worst > LOSS_BOUND or len(runs[0]) < 20 or not runs[0][-1] < runs[0][0]
        failed |= bad
        print(f"{kind:10} {'the same weights as llama.cpp' if same else 'OTHER WEIGHTS'}, {len(runs[0])} losses from {runs[0][0]:.4f} to {runs[0][-1]:.4f}, "
              f"which differ by {worst:.1e}{'  BAD' if bad else ''}", flush=True)
    return failed


def check(vkft, data, work, llama, names=()):
    tokenizer = os.path.join(data, "tokenizers", "byte_level.json")
    models = [n for n in names if n in MODELS] if names else MODELS
    failed = check_models(vkft, tokenizer, work, llama, models)
    kinds = [n for n in names if n in TYPES]
    if not names or kinds or "types" in names:
        failed |= check_types(vkft, tokenizer, work, llama, kinds)
    return failed
