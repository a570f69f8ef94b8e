"""GGUF files of the golden models (make_training_golden.py) and of two tokenizers, for tests/formats/gguf. Names of tensors and keys are those of
the Python package gguf; what is done to weights is what llama.cpp's conversion does.

    python3 make_gguf_fixtures.py TESTS_DATA_DIR [CASE ...]
"""
import json
import os
import sys

import gguf
import numpy as np
import torch
from gguf.constants import MODEL_ARCH
from safetensors.torch import load_file

ARCHS = dict(llama="LLAMA", mistral="LLAMA", qwen2="QWEN2", qwen3="QWEN3", qwen3_moe="QWEN3MOE", gemma2="GEMMA2", gemma3_text="GEMMA3", phi3="PHI3",
             gpt2="GPT2", granite="GRANITE", olmo2="OLMO2", smollm3="SMOLLM3", mixtral="LLAMA")
CASES = ["llama3_rope", "qwen2", "qwen3", "full_qwen3_moe", "gemma2", "gemma3", "phi3_longrope", "gpt2", "granite", "olmo2"]
PERMUTED = ("llama", "mistral", "mixtral", "granite", "smollm3")


def permute(weights, heads):
    return weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def add_keys(w, c):
    """The keys that llama.cpp reads, from config.json."""
    kind = c["model_type"]
    if kind == "gpt2":
        w.add_context_length(c["n_positions"])
        w.add_embedding_length(c["n_embd"])
        w.add_feed_forward_length(c["n_inner"] or 4 * c["n_embd"])
        w.add_block_count(c["n_layer"])
        w.add_head_count(c["n_head"])
        w.add_layer_norm_eps(c["layer_norm_epsilon"])
        return
    heads, rope = c["num_attention_heads"], c.get("rope_parameters") or dict(c["rope_scaling"] or {}, rope_theta=c["rope_theta"])
    head_dim = c.get("head_dim") or c["hidden_size"] // heads
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_head_count(heads)
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    if c.get("head_dim"):
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
    if kind == "gemma3_text":
        w.add_float32("gemma3.rope.freq_base_swa", rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    w.add_rope_freq_base(rope["rope_theta"])
    if kind in PERMUTED or kind == "phi3":
        w.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1)))
    if rope["rope_type"] == "linear":
        w.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        w.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "longrope":
        original = rope["original_max_position_embeddings"]
        w.add_rope_scaling_orig_ctx_len(original)
        w.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(c["max_position_embeddings"] / original) / np.log(original))))
        w.add_tensor("rope_factors_long.weight", np.array(rope["long_factor"], np.float32))
        w.add_tensor("rope_factors_short.weight", np.array(rope["short_factor"], np.float32))
    if rope["rope_type"] == "llama3":
        w.add_tensor("rope_freqs.weight", llama3_factors(rope, head_dim))
    if kind.startswith("gemma"):
        w.add_sliding_window(c["sliding_window"])
    if kind == "gemma2":
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if kind == "granite":
        w.add_attention_scale(c["attention_multiplier"])
        w.add_embedding_scale(c["embedding_multiplier"])
        w.add_residual_scale(c["residual_multiplier"])
        w.add_logit_scale(c["logits_scaling"])
    if kind == "qwen3_moe":
        w.add_expert_count(c.get("num_experts") or c["num_local_experts"])
        w.add_expert_used_count(c["num_experts_per_tok"])
        w.add_expert_feed_forward_length(c["moe_intermediate_size"])


def llama3_factors(rope, dim):
    low, high, original = rope["low_freq_factor"], rope["high_freq_factor"], rope["original_max_position_embeddings"]
    factors = []
    for frequency in 1.0 / rope["rope_theta"] ** (np.arange(0, dim, 2) / dim):
        turns = original * frequency / (2 * np.pi)
        smooth = min(max((turns - low) / (high - low), 0), 1)
        factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, np.float32)


def tensors_of(c, path):
    """(name, value as written) of all tensors; experts become one tensor per layer."""
    kind, experts = c["model_type"], {}
    for name, value in load_file(path).items():
        value = value.to(torch.float32).numpy()
        if kind in PERMUTED and ".q_proj." in name:
            value = permute(value, c["num_attention_heads"])
        if kind in PERMUTED and ".k_proj." in name:
            value = permute(value, c["num_key_value_heads"])
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            value = value + 1
        if kind == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            value = value.T
        if ".mlp.experts." in name:
            before, _, after = name.partition(".mlp.experts.")
            number, _, part = after.partition(".")
            experts.setdefault(f"{before}.mlp.experts.{part}", {})[int(number)] = value
            continue
        yield name, value
    for name, parts in experts.items():
        yield name, np.stack([parts[i] for i in range(len(parts))])


def make_model(data, case, arch_dtype):
    source = os.path.join(data, "golden", case, "model")
    with open(os.path.join(source, "config.json")) as f:
        c = json.load(f)
    arch = MODEL_ARCH[ARCHS[c["model_type"]]]
    w = gguf.GGUFWriter(os.path.join(data, "gguf", case + ".gguf"), gguf.MODEL_ARCH_NAMES[arch])
    w.add_type("model")
    add_keys(w, c)
    w.add_bos_token_id(c["bos_token_id"])
    w.add_eos_token_id(c["eos_token_id"])
    names = gguf.get_tensor_name_map(arch, c.get("num_hidden_layers") or c["n_layer"])
    for name, value in tensors_of(c, os.path.join(source, "model.safetensors")):
        to = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if to is None:
            raise SystemExit(f"{case}: no name for {name}")
        if arch_dtype == torch.bfloat16 and value.ndim > 1:
            w.add_tensor(to, gguf.quants.quantize(np.ascontiguousarray(value), gguf.GGMLQuantizationType.BF16),
                         raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            w.add_tensor(to, np.ascontiguousarray(value))
    finish(w)


def finish(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def add_vocabulary_model(w):
    """What a model needs beside its tokenizer."""
    w.add_context_length(16)
    w.add_embedding_length(8)
    w.add_feed_forward_length(8)
    w.add_block_count(1)
    w.add_head_count(1)
    w.add_layer_norm_rms_eps(1e-5)


def add_byte_level(w, path, pre="llama-bpe"):
    """The tokenizer of a tokenizer.json as convert_hf_to_gguf.py writes Llama 3's; returns the number of its tokens."""
    with open(path) as f:
        t = json.load(f)
    tokens = {id: token for token, id in t["model"]["vocab"].items()} | {a["id"]: a["content"] for a in t["added_tokens"]}
    added = {a["id"]: a["special"] for a in t["added_tokens"]}
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(pre)
    w.add_token_list([tokens[i] for i in range(len(tokens))])
    w.add_token_types([gguf.TokenType.NORMAL if i not in added else gguf.TokenType.CONTROL if added[i] else gguf.TokenType.USER_DEFINED
                       for i in range(len(tokens))])
    w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]])
    w.add_bos_token_id(400)
    w.add_eos_token_id(401)
    return len(tokens)


def make_byte_level(data):
    w = gguf.GGUFWriter(os.path.join(data, "gguf", "byte_level.gguf"), "llama")
    add_vocabulary_model(w)
    tokens = add_byte_level(w, os.path.join(data, "tokenizers", "byte_level.json"))
    w.add_chat_template("{% for m in messages %}<|begin|>{{ m['content'] }}<|end|>{% endfor %}")
    w.add_tensor("token_embd.weight", np.zeros((tokens, 8), np.float32))
    finish(w)


def read_pieces(path):
    """(text, score, type) of every piece of a SentencePiece model, which is a protocol buffer."""
    def varint(data, at):
        value, shift = 0, 0
        while True:
            value |= (data[at] & 127) << shift
            shift += 7
            at += 1
            if data[at - 1] < 128:
                return value, at

    def fields(data):
        at = 0
        while at < len(data):
            key, at = varint(data, at)
            if key & 7 == 0:
                value, at = varint(data, at)
            elif key & 7 == 5:
                value, at = np.frombuffer(data[at:at + 4], np.float32)[0], at + 4
            else:
                size, at = varint(data, at)
                value, at = data[at:at + size], at + size
            yield key >> 3, value

    with open(path, "rb") as f:
        pieces = [dict(fields(value)) for number, value in fields(f.read()) if number == 1]
    return [(p[1], float(p.get(2, 0)), p.get(3, 1)) for p in pieces]


def make_sentencepiece(data):
    pieces = read_pieces(os.path.join(data, "tokenizers", "bpe.model"))
    w = gguf.GGUFWriter(os.path.join(data, "gguf", "sentencepiece.gguf"), "llama")
    add_vocabulary_model(w)
    w.add_tokenizer_model("llama")
    w.add_tokenizer_pre("default")
    w.add_token_list([p[0] for p in pieces])
    w.add_token_scores([p[1] for p in pieces])
    w.add_token_types([p[2] for p in pieces])
    w.add_unk_token_id([p[2] for p in pieces].index(2))
    w.add_bos_token_id([p[0] for p in pieces].index(b"<s>"))
    w.add_eos_token_id([p[0] for p in pieces].index(b"</s>"))
    w.add_tensor("token_embd.weight", np.zeros((len(pieces), 8), np.float32))
    finish(w)


def make_phi3(data):
    """Few pieces, and a special token that takes the white space after it."""
    w = gguf.GGUFWriter(os.path.join(data, "gguf", "phi3_tokens.gguf"), "phi3")
    add_vocabulary_model(w)
    w.add_tokenizer_model("llama")
    w.add_token_list(["<unk>", "<s>", "</s>", "\u2581", "a", "\u2581a", "<|end|>", "<|endoftext|>"])
    w.add_token_scores([0, 0, 0, -3, -2, -1, 0, 0])
    w.add_token_types([2, 3, 3, 1, 1, 1, 3, 3])
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(False)
    w.add_tensor("token_embd.weight", np.zeros((8, 8), np.float32))
    finish(w)


def make_types(data):
    """Every type of key and of tensor, odd alignment; in two parts, too."""
    rng = np.random.default_rng(7)
    for name, split in (("types.gguf", 0), ("split.gguf", 2)):
        w = gguf.GGUFWriter(os.path.join(data, "gguf", name), "llama", split_max_tensors=split)
        if not split:  # later parts do not say their alignment
            w.add_custom_alignment(64)
        w.add_uint8("a.u8", 200)
        w.add_int8("a.i8", -100)
        w.add_uint16("a.u16", 60000)
        w.add_int16("a.i16", -30000)
        w.add_uint32("a.u32", 4000000000)
        w.add_int32("a.i32", -2000000000)
        w.add_float32("a.f32", 0.1)
        w.add_uint64("a.u64", 2**40 + 1)
        w.add_int64("a.i64", -(2**40) - 1)
        w.add_float64("a.f64", 0.1)
        w.add_bool("a.bool", True)
        w.add_string("a.string", "한글 text")
        w.add_array("a.numbers", [3, 1, -4])
        w.add_array("a.floats", [0.5, -1.5])
        w.add_array("a.strings", ["one", "", "셋"])
        w.add_array("a.bools", [True, False])
        for kind in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"):
            t = gguf.GGMLQuantizationType[kind]
            w.add_tensor("t." + kind, gguf.quants.quantize(rng.standard_normal((3, 64), np.float32), t), raw_dtype=t)
        for kind in ("Q4_K", "Q5_K", "Q6_K"):
            t = gguf.GGMLQuantizationType[kind]
            w.add_tensor("t." + kind, rng.integers(0, 128, (2, 2 * gguf.GGML_QUANT_SIZES[t][1] // 2), np.uint8), raw_dtype=t)
        finish(w)


def main():
    data, cases = sys.argv[1], sys.argv[2:]
    os.makedirs(os.path.join(data, "gguf"), exist_ok=True)
    for case in cases or CASES:
        make_model(data, case, torch.bfloat16 if case == "llama3_rope" else torch.float32)
    if not cases:
        make_byte_level(data)
        make_sentencepiece(data)
        make_phi3(data)
        make_types(data)


if __name__ == "__main__":
    main()
