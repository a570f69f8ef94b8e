"""Makes tests/data/tokenizers: small tokenizers of every kind, and what other programs encode and decode with them.

    python3 make_tokenizer_golden.py      (needs tokenizers, sentencepiece)

byte_level.json          byte-level BPE with Llama 3's expression and its template     expected: tokenizers
vocab.json, merges.txt   the same model under GPT-2's rules                            expected: tokenizers
bpe.model                SentencePiece BPE with byte fallback                          expected: sentencepiece
unigram.model            SentencePiece Unigram with a character map                    expected: tokenizers, as transformers' T5Tokenizer builds it
ranks.model              tiktoken's form of byte_level.json's vocabulary               expected: tiktoken
bert.json                byte-level BPE with BERT's pairs                              expected: tokenizers
"""
import base64
import json
import os
import random
import sys

import sentencepiece
import tiktoken
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

ROOT = os.path.dirname(os.path.abspath(__file__)) + "/../.."
sys.path.insert(0, ROOT + "/tools")
from compare_tokenizers import WORDS, make_string  # noqa: E402

OUT = ROOT + "/tests/data/tokenizers"
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CORPUS = (WORDS + ["The quick brown fox jumps over the lazy dog, don't you think?", "나는 오늘 학교에 가서 친구를 만났습니다.", "int main(void) { return 0; }"]) * 30


def byte_level():
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT), "isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.add_special_tokens([AddedToken("<|begin|>", special=True), AddedToken("<|end|>", special=True, rstrip=True)])
    tok.add_tokens([AddedToken("word", single_word=True, normalized=True), AddedToken("[l]", lstrip=True, normalized=False)])
    begin = tok.token_to_id("<|begin|>")
    tok.post_processor = processors.TemplateProcessing("<|begin|> $A", "<|begin|> $A <|begin|> $B", [("<|begin|>", begin)])
    return tok


def gpt2(model):
    tok = Tokenizer(models.BPE(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]]))
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens(["<|endoftext|>"])
    return tok


def bert(model):
    tok = gpt2(model)
    tok.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=True)])
    tok.add_special_tokens(["[CLS]", "[SEP]"])
    tok.post_processor = processors.BertProcessing(("[SEP]", tok.token_to_id("[SEP]")), ("[CLS]", tok.token_to_id("[CLS]")))
    return tok


def train_sentencepiece(name, **options):
    with open("/tmp/corpus.txt", "w") as f:
        f.write("\n".join(line.replace("\n", " ") for line in CORPUS))
    sentencepiece.SentencePieceTrainer.train(input="/tmp/corpus.txt", model_prefix="/tmp/" + name, minloglevel=2, **options)
    model = sentencepiece_model_pb2.ModelProto.FromString(open(f"/tmp/{name}.model", "rb").read())
    model.trainer_spec.input[:] = []
    model.trainer_spec.model_prefix = name
    with open(f"{OUT}/{name}.model", "wb") as f:
        f.write(model.SerializeToString())
    return model


def t5(model):
    tok = Tokenizer(models.Unigram([(p.piece, p.score) for p in model.pieces], 2, False))
    tok.normalizer = normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap)
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tok.decoder = decoders.Metaspace(prepend_scheme="always")
    tok.add_special_tokens(["<pad>", "</s>", "<unk>"])
    tok.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    return tok


def cases(texts, encode, decode):
    rows = []
    for text in texts:
        ids = encode(text)
        rows.append({"text": text, "ids": ids, "decoded": decode(ids)})
    return rows


def of_tokenizer(texts, tok):
    return cases(texts, lambda t: tok.encode(t).ids, lambda ids: tok.decode(ids, skip_special_tokens=False))


def main():
    os.makedirs(OUT, exist_ok=True)
    rng = random.Random(3)
    texts = [""] + WORDS[::3] + [make_string(rng, ["<|begin|>", "<|end|> ", " word", "password", " [l]", "<|endoftext|>", "</s>"]) for _ in range(40)]
    plain = [t for t in texts if "</s>" not in t]
    sets = []
    level = byte_level()
    level.save(OUT + "/byte_level.json", pretty=False)
    model = json.load(open(OUT + "/byte_level.json"))["model"]
    sets.append({"files": {"tokenizer.json": "byte_level.json"}, "cases": of_tokenizer(texts, level),
                 "pairs": [{"a": a, "b": b, "ids": level.encode(a, b).ids} for a, b in zip(texts[:4], texts[4:8])]})

    json.dump(model["vocab"], open(OUT + "/vocab.json", "w"))
    with open(OUT + "/merges.txt", "w") as f:
        f.write("#version: 0.2\n" + "".join(" ".join(m) + "\n" for m in model["merges"]))
    sets.append({"files": {"vocab.json": "vocab.json", "merges.txt": "merges.txt"}, "cases": of_tokenizer(texts, gpt2(model))})

    pairs = bert(model)
    pairs.save(OUT + "/bert.json", pretty=False)
    sets.append({"files": {"tokenizer.json": "bert.json"}, "cases": of_tokenizer(texts, pairs),
                 "pairs": [{"a": a, "b": b, "ids": pairs.encode(a, b).ids} for a, b in zip(texts[:4], texts[4:8])]})

    bpe = sentencepiece.SentencePieceProcessor(model_proto=train_sentencepiece(
        "bpe", model_type="bpe", vocab_size=560, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        split_digits=True, max_sentence_length=10000, character_coverage=0.98).SerializeToString())
    sets.append({"files": {"tokenizer.model": "bpe.model"}, "config": {"add_bos_token": False}, "cases":
                 [{"text": t, "ids": bpe.encode(t)} for t in plain]})

    with open("/tmp/rules.tsv", "w") as f: # source and target as hexadecimal code points
        f.write("9\t20\nA\t20\nD\t20\nA0\t20\n3000\t20\nFB01\t66 69\n2026\t2E 2E 2E\n41 30A\tC5\n1112 1161 11AB\tD55C\n200B\t\n")
    unigram = train_sentencepiece("unigram", model_type="unigram", vocab_size=300, normalization_rule_tsv="/tmp/rules.tsv", pad_id=0, eos_id=1,
                                  unk_id=2, bos_id=-1, hard_vocab_limit=False, character_coverage=0.98)
    sets.append({"files": {"spiece.model": "unigram.model"}, "config": {"tokenizer_class": "T5Tokenizer", "extra_ids": 0},
                 "cases": of_tokenizer(texts, t5(unigram))})

    to_byte = {c: b for b, c in enumerate(bytes_alphabet())}
    order = sorted((k for k in model["vocab"]), key=lambda k: (len(k) > 1, model["vocab"][k]))
    ranks = {bytes(to_byte[c] for c in token): i for i, token in enumerate(order)}
    with open(OUT + "/ranks.model", "w") as f:
        f.write("".join(f"{base64.b64encode(t).decode()} {i}\n" for t, i in ranks.items()))
    encoding = tiktoken.Encoding("golden", pat_str=SPLIT, mergeable_ranks=ranks, special_tokens={})
    sets.append({"files": {"tokenizer.model": "ranks.model"}, "config": {"add_bos_token": False}, "cases":
                 cases([t for t in texts if "<|" not in t], lambda t: encoding.encode(t), encoding.decode)})
    with open(ROOT + "/tests/data/tokenizer_cases.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(s) for s in sets) + "\n]\n")


def bytes_alphabet():
    """The character that stands for each byte."""
    kept = [b for b in range(256) if 32 < b < 127 or 160 < b < 256 and b != 173]
    others = iter(range(256, 512))
    return [chr(b) if b in kept else chr(next(others)) for b in range(256)]


if __name__ == "__main__":
    main()
