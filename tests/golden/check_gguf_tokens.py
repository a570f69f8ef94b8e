"""Tokens by llama.cpp and by vkft of the same file, a part of check_llama_cpp.py: for every kind of tokenizer that is read from GGUF files (every name of
tokenizer.ggml.pre over one vocabulary, SentencePiece's kind), and for tokenizers of checkpoints that vkft writes into GGUF files.

Of 2,000 lines of texts the tokens must be the same. So must they be of 2,000 strings made as tools/compare_tokenizers.py makes them (scripts, emoji,
white space, code, special tokens), but where llama.cpp does not do as the model's own tokenizer, which is then shown, string by string: vkft's tokens are
* llama.cpp's of the string in NFC, where llama.cpp does not compose characters and the tokenizer does;
* those of the package tokenizers: llama.cpp approximates the expressions of gpt-4o and tekken, and puts letters together before it leaves out bytes that
  are not in the vocabulary.
The checkpoint that a file was written from may have other tokens than the file where it has rules that files cannot express, such as white space beside
special tokens that belongs to them; the package tokenizers has the same ones, then.

NAME: directories with the files of more tokenizers, and texts (.txt, .json, .jsonl, .csv) whose lines are taken.
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
from tokenizers import Regex, Tokenizer, pre_tokenizers

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))
from compare_tokenizers import make_string  # noqa: E402

STRINGS = 2000
SPARE = 8  # rows of the embedding past the vocabulary, for tokens that the kind of a tokenizer adds
PRES = ["gpt-2", "phi-2", "olmo", "mpt", "llama-bpe", "llama3", "llama-v3", "dbrx", "smaug-bpe", "qwen2", "deepseek-r1-qwen", "smollm", "starcoder", "refact",
        "gpt-4o", "tekken"]
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
# in tokenizer.json of openai/gpt-oss-20b and of mistralai/Mistral-Nemo-Base-2407
EXPRESSIONS = {pre: rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{endings}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{endings}|{numbers}" + REST
               for pre, endings, numbers in (("gpt-4o", ENDINGS, r"\p{N}{1,3}"), ("tekken", "", r"\p{N}"))}
CONFIG = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
              num_key_value_heads=1, max_position_embeddings=256, rms_norm_eps=1e-5, hidden_act="silu", tie_word_embeddings=True, torch_dtype="float32")


def compose(text):
    return unicodedata.normalize("NFC", text)


def lines_of(paths):
    rng = random.Random(4)
    lines = [line.rstrip("\n")[:400] for path in paths for line in open(path, encoding="utf-8") if line.strip()]
    return [rng.choice(lines)[rng.randrange(20):] for _ in range(STRINGS)] if lines else []


def made_strings(added):
    rng = random.Random(4)
    return [make_string(rng, added) for _ in range(STRINGS)]


def by_vkft(vkft, model, texts):
    done = subprocess.run([vkft, "tokenize", "--model", model], input="".join(json.dumps(t) + "\n" for t in texts), text=True, check=True, capture_output=True)
    return dict(zip(texts, map(json.loads, done.stdout.splitlines())))


def by_llama(llama, path, texts):
    """Of the strings as they are and in NFC."""
    texts = list(dict.fromkeys(["", *texts, *map(compose, texts)]))
    return dict(zip(texts, llama.tokens(path, texts)))


def report(name, what, ours, theirs, lines, made, package=None):
    """Prints how many strings have other tokens; returns whether any has for no reason that the head of this file names.

    ours, theirs: tokens by string; package: a function that gives the model's own tokenizer's."""
    bad = [t for t in lines if ours[t] != theirs[t]]
    wrong = [t for t in made if ours[t] != theirs[t]]
    composed = [t for t in wrong if compose(t) != t and ours[t] == theirs[compose(t)]]
    rest = [t for t in wrong if t not in composed]
    own = [t for t in rest if package and ours[t] == package(t)]
    reasons = [f"{len(some)} {why}" for some, why in ((composed, "as of the composed string"), (own, "as of the package tokenizers")) if some]
    print(f"{name:18} {what:10} other tokens: " + f"{len(bad)} of {len(lines)} lines, " * bool(lines) + f"{len(wrong)} of {len(made)} strings"
          + (" (" + ", ".join(reasons) + ")" if reasons else ""), flush=True)
    bad += [t for t in rest if t not in own]
    if bad:
        print(f"    WRONG: {bad[0]!r}: {ours[bad[0]]}, by llama.cpp {theirs[bad[0]]}", flush=True)
    return bool(bad)


def package_of_pre(data, pre, first):
    """Tokens by the package tokenizers with the expression of this name; first: what is put before every text."""
    if pre not in EXPRESSIONS:
        return None
    with open(os.path.join(data, "tokenizers", "byte_level.json"), encoding="utf-8") as f:
        t = json.load(f)
    t["model"]["ignore_merges"] = pre == "tekken"
    t.update(normalizer=None, post_processor=None)
    tokenizer = Tokenizer.from_str(json.dumps(t))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(EXPRESSIONS[pre]), "isolated"),
                                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    return lambda text: first + tokenizer.encode(text).ids


def check_pre(vkft, data, work, llama, pre, lines):
    path = os.path.join(work, f"pre-{pre}.gguf")
    w = gguf.GGUFWriter(path, "llama")
    fixtures.add_vocabulary_model(w)
    count = fixtures.add_byte_level(w, os.path.join(data, "tokenizers", "byte_level.json"), pre)
    w.add_tensor("token_embd.weight", np.zeros((count, 8), np.float32))
    add_block(w)
    fixtures.finish(w)
    llama.bring(path)
    made = made_strings(["<|begin|>", "<|end|>"])
    theirs = by_llama(llama, path, lines + made)
    return report(pre, "read", by_vkft(vkft, path, lines + made), theirs, lines, made, package_of_pre(data, pre, theirs[""]))


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


def check_checkpoint(vkft, work, llama, files, lines):
    name = os.path.basename(files.rstrip("/"))
    path = os.path.join(work, "tokens-" + name.replace("phi", "p"))  # llama.cpp expects tokens of Phi-3 by the model's name
    file = path + ".gguf"
    added = make_checkpoint(files, path)
    merged = subprocess.run([vkft, "merge", "--model", path, "--gguf", file, "--type", "f32", "--overwrite"], capture_output=True, text=True)
    if merged.returncode:
        print(f"{name:18} is not written: {merged.stderr.splitlines()[-1]}", flush=True)
        return False
    llama.bring(file)
    made = made_strings(added)
    theirs = by_llama(llama, file, lines + made)
    package = None
    if os.path.exists(path + "/tokenizer.json"):
        tokenizer = Tokenizer.from_file(path + "/tokenizer.json")
        package = lambda text: tokenizer.encode(text).ids  # noqa: E731
    failed = report(name, "file", by_vkft(vkft, file, lines + made), theirs, lines, made, package)
    return report(name, "checkpoint", by_vkft(vkft, path, lines + made), theirs, [], lines + made, package) | failed


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
    lines = lines_of([n for n in names if os.path.isfile(n)])
    failed = False
    for pre in PRES:
        failed |= check_pre(vkft, data, work, llama, pre, lines)
    for files in [*small_tokenizers(data, work), *(n for n in names if os.path.isdir(n))]:
        failed |= check_checkpoint(vkft, work, llama, files, lines)
    return failed
