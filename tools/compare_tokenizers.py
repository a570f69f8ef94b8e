"""Compares vkft's tokenizer with the `tokenizers` package on generated strings.

    python3 compare_tokenizers.py VKFT_PROGRAM COUNT MODEL...

MODEL is a tokenizer.json, compared with the `tokenizers` package, or a directory with tokenizer files of any kind, compared with what
transformers' AutoTokenizer makes of it (add_special_tokens as the post-processor says).

Strings mix scripts, composed and decomposed Hangul, emoji sequences, right-to-left text, control characters, runs of spaces, code and
added tokens, and bytes that are not UTF-8. Encodings (with special tokens) and decodings of the ids must be equal. Prints the number of differences; exit code 1 if any.
"""
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata

from tokenizers import Tokenizer

RANGES = [(0x20, 0x7e), (0xa0, 0x17f), (0x370, 0x3ff), (0x400, 0x4ff), (0x590, 0x5ff), (0x600, 0x6ff), (0x900, 0x97f),
          (0xe00, 0xe7f), (0x1100, 0x11ff), (0x2000, 0x206f), (0x2190, 0x22ff), (0x3040, 0x30ff), (0x4e00, 0x9fff),
          (0xac00, 0xd7a3), (0xff00, 0xffef), (0x1f300, 0x1faff), (0x20000, 0x2a6df), (0, 0x1f), (0x300, 0x36f)]
WORDS = ["the", "Hello", "world", "don't", "I'LL", "we've", "안녕하세요", "고양이", "日本語", "Straße", "naïve", "\u1112\u1161\u11ab\u1100\u116e\u11a8",
         "👩‍👩‍👧‍👦", "🇰🇷", "👍🏽", "שלום", "مرحبا", "12345", "3.14159", "0x1F", "def f(x):\n    return x**2", "<br/>", "http://a.b/c?d=e&f",
         "\t\t", "\r\n", "\n\n\n", "    ", "\u00a0", "\u3000", "…", "—", "'s", "'S", "ﬁ", "K", "\u200b", "\ufeff", "\u2581", "ſ"]


def make_string(rng, added):
    parts = []
    for _ in range(rng.randint(0, 12)):
        kind = rng.random()
        if kind < 0.45:
            parts.append(rng.choice(WORDS))
        elif kind < 0.6:
            parts.append(" " * rng.randint(1, 9))
        elif kind < 0.68 and added:
            parts.append(rng.choice(added))
        else:
            low, high = rng.choice(RANGES)
            parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 8))))
        if rng.random() < 0.4:
            parts.append(" ")
    text = "".join(parts).replace("\x00", "")
    return unicodedata.normalize("NFD", text) if rng.random() < 0.1 else text


def damage(rng, text):
    """Puts bytes that are not UTF-8, as Python's surrogateescape has them, or a zero byte into some strings."""
    if text and rng.random() < 0.1:
        at = rng.randrange(len(text))
        text = text[:at] + "".join(rng.choice("\udc80\udcc3\udce2\udcff\udcf0\udc9f\udced\udca0\x00") for _ in range(rng.randint(1, 4))) + text[at:]
    return text


def valid(text):
    """The text as every reader of UTF-8 sees it: U+FFFD for what is not."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def run(program, model, arguments, rows):
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode("utf-8", "surrogateescape")
    done = subprocess.run([program, "tokenize", "--model", model] + arguments, input=lines, capture_output=True)
    if done.returncode:
        sys.exit(done.stderr.decode())
    return [json.loads(line) for line in done.stdout.decode().split("\n")[:-1]]


def load_reference(path):
    if not os.path.isdir(path):
        return Tokenizer.from_file(path)
    from transformers import AutoTokenizer
    return AutoTokenizer.from_pretrained(path).backend_tokenizer


def compare(program, path, count):
    reference = load_reference(path)
    rng = random.Random(1)
    added = [t.content for t in reference.get_added_tokens_decoder().values()]
    texts = [damage(rng, make_string(rng, added)) for _ in range(count)]
    want = [e.ids for e in reference.encode_batch([valid(t) for t in texts])]
    with tempfile.TemporaryDirectory() as model_dir:
        model = model_dir
        if os.path.isdir(path):
            model = path
        else:
            os.symlink(os.path.abspath(path), os.path.join(model, "tokenizer.json"))
        got = run(program, model, [], texts)
        ids = [w for w in want if w]
        decoded = run(program, model, ["--decode"], ids)
    wrong = [(t, g, w) for t, g, w in zip(texts, got, want) if g != w]
    wrong_text = [(i, g, w) for i, g, w in zip(ids, decoded, [reference.decode(i, skip_special_tokens=False) for i in ids]) if g != w]
    for row in wrong[:3] + wrong_text[:3]:
        print("   ", *(ascii(x) for x in row), sep="\n    ")
    print(f"{path}: {len(texts)} strings: {len(wrong)} encodings and {len(wrong_text)} decodings differ")
    return len(wrong) + len(wrong_text) + abs(len(got) - len(want))


if __name__ == "__main__":
    sys.exit(1 if sum(compare(sys.argv[1], path, int(sys.argv[2])) for path in sys.argv[3:]) else 0)
