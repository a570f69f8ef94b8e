#!/usr/bin/env python3
"""Writes tests/data/scores/golden.json: exact match and F1 of torchmetrics' SQuAD (the official script of SQuAD 1.1, which
Hugging Face evaluate's "squad" also is; of texts without any word torchmetrics has another F1) and chrF2 of sacrebleu, for pairs of answer and reference.

Needs torchmetrics and sacrebleu. Run: tests/golden/make_score_golden.py
"""
import json
import pathlib

import sacrebleu
from torchmetrics.functional.text import squad

PAIRS = [
    ["the cat", "cat"],
    ["A cat, the Cat!", "a cat"],
    ["", "cat"],
    ["cat", ""],
    ["an another ana the", "another"],
    ["U.S.A.", "usa"],
    ["the-end", "theend"],
    ["the_end of a", "end"],
    ["x'a'b the\u2019s", "b \u2019s"],
    ["2 + 2 = 4", "4"],
    ["  many   spaces\tand\nlines ", "many spaces and lines"],
    ["\u00c9COLE", "\u00e9cole"],
    ["\u0130stanbul", "i\u0307stanbul"],
    ["no\u00a0break\u3000wide", "no break wide"],
    ["cat cat cat dog", "cat dog dog"],
    ["the rabbit ran to the old barn", "a rabbit ran into an old barn"],
    ["\uc548\ub155\ud558\uc138\uc694. \ubc18\uac11\uc2b5\ub2c8\ub2e4.", "\uc548\ub155. \ubc18\uac00\uc6cc."],
    ["\u6771\u4eac the \u90fd", "\u6771\u4eac \u90fd"],
    ["abc", "abcdefgh"],
    ["a\u0301 a", "a\u0301"],
    ["\U0001f600 smile", "\U0001f600"],
]


def one(answer, reference):
    score = squad({"prediction_text": answer, "id": "0"}, {"answers": {"answer_start": [0], "text": [reference]}, "id": "0"})
    return [score["exact_match"].item(), score["f1"].item()]


def main():
    rows = [{"answer": a, "reference": r, "squad": one(a, r), "chrf": sacrebleu.corpus_chrf([a], [[r]]).score} for a, r in PAIRS]
    corpus = sacrebleu.corpus_chrf([a for a, _ in PAIRS], [[r for _, r in PAIRS]]).score
    path = pathlib.Path(__file__).parents[1] / "data/scores/golden.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"sacrebleu": sacrebleu.__version__, "rows": rows, "corpus_chrf": corpus}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
