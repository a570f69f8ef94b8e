"""GGUF files that vkft writes, against llama.cpp, a part of check_llama_cpp.py: small random models of every architecture with random adapters become
GGUF files of every type by `vkft merge` and LoRA files by `vkft export`; the log-probabilities of a text's tokens from llama.cpp and from
`vkft eval --per-token` on the same files are compared, without an adapter, with the LoRA file, and with the adapter merged. What both should be is
computed in f64 (gguf_reference.py). llama.cpp computes it twice: with its BLAS backend, which decodes weights to f32 and rounds nothing, and with its own products.
Its experts' products are its own in either: what llama-quantize decodes a mixture's file to as f32 is read in place of the first. Types and bytes of all tensors are
compared with those that llama-quantize makes of the f32 file.
"""
import json
import os
import shutil
import subprocess

import gguf
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, MixtralConfig

import check_gguf as models_of
from gguf_reference import Reference

TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q6_K": "Q6_K", "q4_K_M": "Q4_K_M", "q4_0": "Q4_0"}
# vkft computes in f32, as llama.cpp does with f32 weights and through BLAS; Gemma's and GPT-2's GELU is a table of f16 numbers there.
BOUND = 1e-4
LLAMA_BOUND = 1e-3
LLAMA_BOUNDS = dict(gpt2=3e-3, gemma2=3e-3, gemma3=3e-3)
# In its own products with other weights llama.cpp rounds the other operand, too. What that does is the difference of two references in f64, one of which rounds so;
# the programs may differ by three times as much, since sums in f32 and in f64 fall on both sides of a boundary and all later roundings are then other ones.
# In a mixture such an error sends a token to another expert where two weigh nearly the same: there this bound is for nine of ten tokens. On
# the same values as f32 there is no rounding, the experts are the same, and the bound is for all tokens.
MIXTURES = ("mixtral", "qwen3_moe")
WIDE = dict(hidden_size=256, intermediate_size=512)


def widen(config):
    kind = type(config)
    values = config.to_dict()
    if kind is GPT2Config:
        values.update(n_embd=256)
    else:
        values.update(WIDE)
        if values.get("head_dim"):
            values.update(head_dim=64)
        if values.get("query_pre_attn_scalar"):
            values.update(query_pre_attn_scalar=64)
        if "moe_intermediate_size" in values:
            values.update(moe_intermediate_size=256)
    values.pop("transformers_version", None)
    return kind(**values)


def save(name, config, path, data):
    """A checkpoint with a tokenizer and an adapter in adapter/."""
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
        else:
            parameter.data *= 0.5
    model.save_pretrained(path)
    shutil.copy(os.path.join(data, "tokenizers", "byte_level.json"), os.path.join(path, "tokenizer.json"))
    with open(os.path.join(data, "tokenizers", "byte_level.json")) as f:
        added = {t["id"]: t["content"] for t in json.load(f)["added_tokens"]}
    with open(os.path.join(path, "tokenizer_config.json"), "w") as f:
        json.dump(dict(tokenizer_class="PreTrainedTokenizerFast", bos_token=added.get(400), eos_token=added.get(401),
                       chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}"), f)
    targets = [n for n in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "qkv_proj", "gate_up_proj", "c_attn", "c_proj", "c_fc")
               if any(m.endswith("." + n) and isinstance(l, (torch.nn.Linear,)) or (m.endswith("." + n) and type(l).__name__ == "Conv1D")
                      for m, l in model.named_modules())]
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules=targets, task_type="CAUSAL_LM", init_lora_weights=False,
                                               fan_in_fan_out=name == "gpt2", use_rslora=name == "qwen3",
                                               alpha_pattern={"down_proj": 3} if name == "llama" else {}))
    adapted.save_pretrained(os.path.join(path, "adapter"))


def ours(vkft, model, work, ids, adapter=None):
    data, out = os.path.join(work, "ids.jsonl"), os.path.join(work, "per_token.jsonl")
    with open(data, "w") as f:
        f.write(json.dumps(dict(input_ids=ids)) + "\n")
    subprocess.run([vkft, "eval", "--model", model, "--data", data, "--per-token", out, "--quant", "none", *(["--adapter", adapter] if adapter else [])],
                   check=True, capture_output=True)
    with open(out) as f:
        return json.loads(f.readline())["logprobs"][1:]


def tensors(path):
    return {t.name: (t.tensor_type.name, t.data.tobytes()) for t in gguf.GGUFReader(path).tensors}


def largest(a, b, skipped=0):
    """The largest difference, but for a tenth of the tokens where skipped is 0.1."""
    differences = sorted(abs(x - y) for x, y in zip(a, b))
    return differences[-1 - int(skipped * len(differences))]


def compare(vkft, name, kind, files, llama, ids):
    """One model in one type, three times. Prints the differences; returns whether any is too large."""
    source, adapter, lora, plain, merged, work = files
    failed = False
    for what, file, use in (("plain", plain, None), ("LoRA file", plain, adapter), ("merged", merged, None)):
        reference = Reference(source, file, os.path.join(work, "reference"))
        if use:
            reference.model = PeftModel.from_pretrained(reference.model, use).double().eval()
        exact, rounded = reference.logprobs(ids), reference.logprobs(ids, as_llama_cpp=True)
        found = ours(vkft, file, work, ids, use)
        extra = [llama.within(lora)] if use else []
        theirs = llama.logprobs(llama.within(file), ids, *extra)
        if name in MIXTURES:
            as_f32 = os.path.join(work, "as-f32.gguf")
            llama.quantize(llama.within(file), as_f32, "F32", "--allow-requantize")
            unrounded, skipped = llama.logprobs(as_f32, ids, *extra), 0.1
        else:
            unrounded, skipped = llama.logprobs(llama.within(file), ids, *extra, products="blas"), 0
        bad = (largest(found, exact) > BOUND or largest(found, unrounded) > LLAMA_BOUNDS.get(name, LLAMA_BOUND)
               or largest(found, theirs, skipped) > LLAMA_BOUNDS.get(name, LLAMA_BOUND) + 3 * largest(exact, rounded, skipped))
        failed |= bad
        print(f"{name:10} {kind:7} {what:9}  {largest(found, exact):.1e}  {largest(found, unrounded):.1e}  {largest(found, theirs):.1e}  "
              f"{largest(exact, rounded):.1e}{'  TOO MUCH' if bad else ''}", flush=True)
    return failed


def same_bytes(name, kind, plain, back, llama, work):
    """Whether all tensors have the types and bytes of llama-quantize's file."""
    llama.quantize(os.path.join(work, name + "-f32.gguf"), back, TYPES[kind])
    a, b = tensors(plain), tensors(llama.outside(back))
    other = sorted(n for n in b if a.get(n) != b[n])
    if other or len(a) != len(b):
        print(f"    {name} {kind}: {len(other)} of {len(b)} tensors differ from llama-quantize's: "
              + ", ".join(f"{n} {a.get(n, ['none'])[0]}/{b[n][0]}" for n in other[:6]), flush=True)
    return not other and len(a) == len(b)


def check(vkft, data, work, llama, names=()):
    there, failed = llama.outside(work), False
    models = dict(models_of.MODELS, mixtral=MixtralConfig(**dict(models_of.HEADS, num_local_experts=4, num_experts_per_tok=2, sliding_window=None)))
    ids = models_of.text()
    print("largest differences of a log-probability: vkft from f64; vkft from llama.cpp with products in f32; vkft from llama.cpp's own products;\n"
          "f64 from f64 with llama.cpp's roundings")
    for name in names or models:
        torch.manual_seed(5)
        path = os.path.join(work, name.replace("phi", "p"))  # llama.cpp expects tokens of Phi-3 by the model's name
        shutil.rmtree(path, ignore_errors=True)
        save(name, widen(models[name]), path, data)
        adapter, lora = os.path.join(path, "adapter"), os.path.join(there, name + "-lora.gguf")
        subprocess.run([vkft, "export", "--model", path, "--adapter", adapter, "--gguf", "-o", lora, "--overwrite"], check=True, capture_output=True)
        for kind in TYPES:
            plain, merged = (os.path.join(there, f"{name}-{kind}{end}.gguf") for end in ("", "-merged"))
            for file, more in ((plain, []), (merged, ["--adapter", adapter])):
                subprocess.run([vkft, "merge", "--model", path, "--gguf", file, "--type", kind, "--overwrite", *more], check=True, capture_output=True)
            same = kind == "f32" or same_bytes(name, kind, plain, os.path.join(work, f"{name}-quantized.gguf"), llama, work)
            failed |= not same
            failed |= compare(vkft, name, kind, (path, adapter, lora, plain, merged, work), llama, ids)
            for file in (plain, merged):
                for made in (file, file[:-5] + "-vkft-none.vkft"):
                    if kind != "f32" and os.path.exists(made):
                        os.remove(made)
    return failed
