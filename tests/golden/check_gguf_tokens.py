"""Tokens by llama.cpp and by vkft, a part of check_llama_cpp.py: 2,000 strings for every kind of tokenizer that is read from GGUF files (every name of
tokenizer.ggml.pre over one vocabulary, SentencePiece's kind), and for tokenizers of checkpoints that vkft writes into GGUF files. The strings are those of
tools/compare_tokenizers.py, with names of special tokens in them, and lines of texts.

NAME: directories with the files of more tokenizers, and texts (.txt, .json, .jsonl, .csv) whose lines are half of the strings.
"""
import json
import os
import random
import shutil
import subprocess
import sys
import unicodedata

import gguf
import make_gguf_fixtures as fixtures
import numpy as np
from safetensors.numpy import save_file

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
from compare_tokenizers import make_string  # noqa: E402

STRINGS = 2000
SPARE = 8  # rows of the embedding past the vocabulary, for tokens that the kind of a tokenizer adds
PRES = ["gpt-2", "phi-2", "olmo", "mpt", "llama-bpe", "llama3", "llama-v3", "dbrx", "smaug-bpe", "qwen2", "deepseek-r1-qwen", "smollm", "starcoder", "refact",
        "gpt-4o", "tekken"]
CONFIG = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
              num_key_value_heads=1, max_position_embeddings=256, rms_norm_eps=1e-5, hidden_act="silu", tie_word_embeddings=True, torch_dtype="float32")


def strings(added, texts):
    rng = random.Random(4)
    lines = [line.rstrip("\n")[:400] for path in texts for line in open(path, encoding="utf-8") if line.strip()]
    cut = [rng.choice(lines)[rng.randrange(20):] for _ in range(STRINGS // 2)] if lines else []
    return cut + [make_string(rng, added) for _ in range(STRINGS - len(cut))]


def from_vkft(vkft, model, texts):
    done = subprocess.run([vkft, "tokenize", "--model", model], input="".join(json.dumps(t) + "\n" for t in texts), text=True, check=True, capture_output=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(name, what, ours, theirs, texts, added):
    """Prints how many differ, and returns whether any does for no known reason: llama.cpp does not compose characters (NFC) where the model's tokenizer does,
    and its tokenizer of SentencePiece's kind puts a space after special tokens."""
    wrong = [t for a, b, t in zip(ours, theirs, texts) if a != b]
    plain = [t for t in wrong if not any(s in t for s in added)]
    rest = [t for t in plain if unicodedata.normalize("NFC", t) == t]
    print(f"{name:22} {what:10} {len(wrong)} of {len(texts)} strings have other tokens"
          + (f": {len(wrong) - len(plain)} with special tokens, {len(plain) - len(rest)} of the others not in NFC, {len(rest)} others" if wrong else "")
          + (f": {rest[0]!r}" if rest else ""), flush=True)
    return bool(rest)


def check_pre(vkft, data, work, llama, pre, texts):
    path = os.path.join(work, f"pre-{pre}.gguf")
    w = gguf.GGUFWriter(path, "llama")
    fixtures.add_vocabulary_model(w)
    count = fixtures.add_byte_level(w, os.path.join(data, "tokenizers", "byte_level.json"), pre)
    w.add_tensor("token_embd.weight", np.zeros((count, 8), np.float32))
    add_block(w)
    fixtures.finish(w)
    llama.bring(path)
    return report(pre, "read", from_vkft(vkft, path, texts), llama.tokens(path, texts), texts, [])


def add_block(w):
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        w.add_tensor(f"blk.0.{name}.weight", np.zeros((8, 8), np.float32))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        w.add_tensor(name + ".weight", np.ones(8, np.float32))


def read_json(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def size_of(directory):
    """(size of the vocabulary, special tokens) by whichever files are there."""
    t, c = read_json(directory + "/tokenizer.json"), read_json(directory + "/tokenizer_config.json")
    added = {a["id"]: a["content"] for a in t.get("added_tokens", [])}
    added.update({int(i): a["content"] for i, a in c.get("added_tokens_decoder", {}).items()})
    vocabulary = t.get("model", {}).get("vocab") or read_json(directory + "/vocab.json")
    count = max([len(vocabulary), *(v + 1 for v in (vocabulary.values() if isinstance(vocabulary, dict) else []))])
    model = directory + "/tokenizer.model"
    if not count and os.path.exists(model):
        with open(model, "rb") as f:
            start = f.read(1)
        if start == b"\n":
            count = len(fixtures.read_pieces(model))
        else:
            with open(model, "rb") as f:
                count = sum(1 for _ in f)
    return max([count, *(i + 1 for i in added)]) + SPARE, sorted(added.values())


def make_checkpoint(files, path):
    """A Llama of one small layer with these files of a tokenizer."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(files, path)
    subprocess.run(["chmod", "-R", "u+w", path], check=True)
    count, added = size_of(path)
    zeros, ones = np.zeros((8, 8), np.float32), np.ones(8, np.float32)
    names = [f"self_attn.{n}_proj" for n in "qkvo"] + [f"mlp.{n}_proj" for n in ("gate", "up", "down")]
    tensors = {f"model.layers.0.{n}.weight": zeros for n in names}
    tensors.update({f"model.layers.0.{n}_layernorm.weight": ones for n in ("input", "post_attention")})
    tensors.update({"model.norm.weight": ones, "model.embed_tokens.weight": np.zeros((count, 8), np.float32)})
    save_file(tensors, path + "/model.safetensors")
    with open(path + "/config.json", "w") as f:
        json.dump(dict(CONFIG, vocab_size=count), f)
    return added


def check_checkpoint(vkft, work, llama, files, texts_from):
    name = os.path.basename(files.rstrip("/"))
    path = os.path.join(work, "tokens-" + name.replace("phi", "p"))  # llama.cpp expects tokens of Phi-3 by the model's name
    file = path + ".gguf"
    added = make_checkpoint(files, path)
    merged = subprocess.run([vkft, "merge", "--model", path, "--gguf", file, "--type", "f32", "--overwrite"], capture_output=True, text=True)
    if merged.returncode:
        print(f"{name:22} is not written: {merged.stderr.splitlines()[-1]}", flush=True)
        return False
    llama.bring(file)
    texts = strings(added, texts_from)
    theirs = llama.tokens(file, texts)
    failed = report(name, "file", from_vkft(vkft, file, texts), theirs, texts, added)
    return report(name, "checkpoint", from_vkft(vkft, path, texts), theirs, texts, added) | failed


def small_tokenizers(data, work):
    """Directories with those of the tests."""
    source = os.path.join(data, "tokenizers")
    for name, files in (("byte-level", {"byte_level.json": "tokenizer.json"}), ("vocab-and-merges", {"vocab.json": "vocab.json", "merges.txt": "merges.txt"}),
                        ("sentencepiece", {"bpe.model": "tokenizer.model"})):
        directory = os.path.join(work, name)
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        for a, b in files.items():
            shutil.copy(os.path.join(source, a), os.path.join(directory, b))
        yield directory


def check(vkft, data, work, llama, names=()):
    texts = [n for n in names if os.path.isfile(n)]
    failed = False
    for pre in PRES:
        failed |= check_pre(vkft, data, work, llama, pre, strings(["<|begin|>", "<|end|>"], texts))
    for files in [*small_tokenizers(data, work), *(n for n in names if os.path.isdir(n))]:
        failed |= check_checkpoint(vkft, work, llama, files, texts)
    return failed
