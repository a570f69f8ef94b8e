"""GGUF files that vkft writes, against llama.cpp: small random models of every architecture with random adapters become GGUF files of every type by
`vkft merge` and LoRA files by `vkft export`; the log-probabilities of a text's tokens from llama-server and from `vkft eval --per-token` on the same
files are compared, without an adapter, with the LoRA file, and with the adapter merged. Types and bytes of all tensors are compared with those that
llama-quantize makes of the f32 file, tokens of 2,000 strings with llama-server's.

    python3 check_gguf_written.py VKFT TESTS_DATA_DIR WORK_DIR [ROOT [NAME ...]]

ROOT: a directory in which llama.cpp is installed, for chroot; WORK_DIR has the same path there. Needs torch, transformers, peft and gguf.
"""
import json
import os
import random
import shutil
import subprocess
import sys

import gguf
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, MixtralConfig

import check_gguf as check

TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q6_K": "Q6_K", "q4_K_M": "Q4_K_M", "q4_0": "Q4_0"}
TOKENS = 60  # of the text
# f32 and f16 files: what summation explains. Gemma's and GPT-2's GELU is a table of f16 numbers in llama.cpp. With bf16 and quantized files llama.cpp rounds
# the other operand of a product, too: to bf16, or to blocks of 8 bits with an error of about 1/250 of each block's largest value; a sum of
# some hundred such errors through a few layers moves a logit of a random model by some hundredths.
BOUNDS = dict(f32=1e-3, f16=1e-2, bf16=1e-1)
QUANTIZED_BOUND = 3e-1
# In a mixture such an error sends a token to another expert where two weigh nearly the same; the bound is then for nine of ten tokens.
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


def strings():
    """2,000 strings: words, code, numbers, scripts, white space of all kinds."""
    rng = random.Random(4)
    parts = ["the", " quick", "Brown", "한국어", " 모델", "naïve", "ß", "日本", "\n", "\n\n", "  ", "\t", "1234567", " 3.14", "don't", "WE'LL", "x=y+1;", "()", "🙂", "é",
             "\u00a0", "<|begin|>", "def f(a):\n    return a", "'s", "...", "—", "ÅÄÖ", "नमस्ते"]
    return ["".join(rng.choice(parts) for _ in range(rng.randrange(1, 12))) for _ in range(2000)]


def compare_tokens(vkft, model, ask):
    texts = strings()
    lines = subprocess.run([vkft, "tokenize", "--model", model], input="".join(json.dumps(t) + "\n" for t in texts), text=True, check=True, capture_output=True)
    found = [json.loads(line) for line in lines.stdout.splitlines()]
    return sum(a != ask("tokenize", dict(content=t, add_special=True, parse_special=True))["tokens"] for a, t in zip(found, texts))


def main():
    vkft, data, work = sys.argv[1:4]
    root = sys.argv[4] if len(sys.argv) > 4 else ""
    inside = ["chroot", root] if root else []
    there = root + work
    for directory in {work, there}:
        os.makedirs(directory, exist_ok=True)
    models = dict(check.MODELS, mixtral=MixtralConfig(**dict(check.HEADS, num_local_experts=4, num_experts_per_tok=2, sliding_window=None)))
    random.seed(1)
    ids = [400] + [random.randrange(400) for _ in range(TOKENS)]
    failed = False
    for name in sys.argv[5:] or models:
        torch.manual_seed(5)
        path = os.path.join(work, name.replace("phi", "p"))  # llama.cpp expects tokens of Phi-3 by the model's name
        shutil.rmtree(path, ignore_errors=True)
        save(name, widen(models[name]), path, data)
        adapter, lora = os.path.join(path, "adapter"), os.path.join(there, name + "-lora.gguf")
        subprocess.run([vkft, "export", "--model", path, "--adapter", adapter, "--gguf", "-o", lora, "--overwrite"], check=True, capture_output=True)
        for kind, quantize in TYPES.items():
            plain, merged = (os.path.join(there, f"{name}-{kind}{end}.gguf") for end in ("", "-merged"))
            for file, more in ((plain, []), (merged, ["--adapter", adapter])):
                subprocess.run([vkft, "merge", "--model", path, "--gguf", file, "--type", kind, "--overwrite", *more], check=True, capture_output=True)
            same = True
            if kind != "f32":
                back = os.path.join(work, f"{name}-quantized.gguf")
                subprocess.run([*inside, "llama-quantize", os.path.join(work, name + "-f32.gguf"), back, quantize, "1"], check=True, capture_output=True)
                a, b = tensors(plain), tensors(root + back)
                other = sorted(n for n in b if a.get(n) != b[n])
                same = not other and len(a) == len(b)
                if not same:
                    print(f"    {name} {kind}: {len(other)} of {len(b)} tensors differ from llama-quantize's: "
                          + ", ".join(f"{n} {a.get(n, ['none'])[0]}/{b[n][0]}" for n in other[:6]), flush=True)
            worst = []
            for file, extra, use in ((plain, [], None), (plain, ["--lora", lora[len(root):]], adapter), (merged, [], None)):
                theirs = check.from_llama(inside, file[len(root):], ids, extra)
                differences = sorted(abs(a - b) for a, b in zip(ours(vkft, file, work, ids, use), theirs))
                worst.append(differences[-1 - len(differences) // 10 if name in MIXTURES and kind != "f32" else -1])
            bound = max(BOUNDS.get(kind, QUANTIZED_BOUND), check.BOUNDS.get(name, 0))
            bad = max(worst) > bound or not same
            failed |= bad
            print(f"{name:10} {kind:7} plain {worst[0]:.1e}  with the LoRA file {worst[1]:.1e}  merged {worst[2]:.1e}{'' if same else '  OTHER BYTES'}"
                  f"{'  TOO MUCH' if max(worst) > bound else ''}", flush=True)
            for file in (plain, merged):
                for made in (file, file[:-5] + "-vkft-none.vkft"):
                    if kind != "f32" and os.path.exists(made):
                        os.remove(made)
        file = os.path.join(work, name + "-f32.gguf")
        wrong = check.with_server(inside, file, [], lambda: compare_tokens(vkft, root + file, check.ask))
        failed |= wrong != 0
        print(f"{name:10} {wrong} of 2000 strings have other tokens", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
