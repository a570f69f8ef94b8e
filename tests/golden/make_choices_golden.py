#!/usr/bin/env python3
"""Writes tests/data/choices/: rows with choices in the forms of ARC, MMLU and HellaSwag, and golden.json, with each choice's log-probability by
transformers (float64, on the CPU) and what lm-evaluation-harness makes of them: acc, acc_norm (per character) and acc_bytes (per byte).

The requests are those of the harness: a context, and a space with the choice, encoded together; the choice's tokens are those after the context's. A
model with an encoder reads the context, and its decoder continues with the choice.

Needs torch and transformers. Run: tests/golden/make_choices_golden.py
"""
import json
import pathlib

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

DATA = pathlib.Path(__file__).parents[1] / "data"
ARC = [
    {"id": "a", "question": "What falls when the sky is grey?", "choices": {"text": ["rain", "sand and old stones", "stars"], "label": ["A", "B", "C"]}, "answerKey": "A"},
    {"id": "b", "question": "Who runs to the barn?", "choices": {"text": ["a rabbit", "the sea", "an \u00e9cole", "nobody at all"], "label": ["1", "2", "3", "4"]}, "answerKey": "1"},
    {"id": "c", "question": "What is warm?", "choices": {"text": ["the sun", "the ice of a long winter"], "label": ["A", "B"]}, "answerKey": "B"},
]
MMLU = [
    {"question": "2 + 2 = ?", "subject": "sums", "choices": ["3", "4", "5", "22"], "answer": 1},
    {"question": "Which one is a colour?", "subject": "art", "choices": ["red", "run", "cat", "\u00fcber"], "answer": 0},
    {"question": "Which one swims?", "subject": "life", "choices": ["a stone", "a tree on a hill", "a fish", "a house"], "answer": 2},
]
HELLASWAG = [
    {"activity_label": "Cooking", "ctx": "A man opens the door. He", "endings": ["walks in and sits down.", "is a stone.", "the the the", "flies to the moon and never returns again."], "label": "0"},
    {"activity_label": "Play", "ctx": "The children play in the garden until", "endings": ["it rains.", "the garden plays them.", "two.", "no."], "label": "2"},
]


def requests():
    """name: (flags, [(context, choices, right)])"""
    def question(row, texts, right):
        return f"Question: {row['question']}\nAnswer:", texts, right
    yield "arc", "", ARC, [question(r, r["choices"]["text"], r["choices"]["label"].index(r["answerKey"])) for r in ARC]
    yield "mmlu", "", MMLU, [question(r, r["choices"], r["answer"]) for r in MMLU]
    yield "hellaswag", "", HELLASWAG, [(r["ctx"], r["endings"], int(r["label"])) for r in HELLASWAG]
    letters = [("{}\n{}\nAnswer:".format(r["question"], "\n".join(f"{l}. {c}" for l, c in zip("ABCD", r["choices"]))), list("ABCD"), r["answer"]) for r in MMLU]
    yield "mmlu_letters", "--prompt-template '{question}\\n{choices}\\nAnswer:'", MMLU, letters


def logprob(model, tok, context, choice):
    with torch.no_grad():
        if model.config.is_encoder_decoder:
            source = tok(context).input_ids
            target = tok(choice, add_special_tokens=False).input_ids
            decoder = [model.config.decoder_start_token_id] + target[:-1]
            logits = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([decoder])).logits[0]
        else:
            before, whole = tok(context).input_ids, tok(context + " " + choice).input_ids
            assert whole[: len(before)] == before
            target = whole[len(before):]
            logits = model(torch.tensor([whole])).logits[0][len(before) - 1 : -1]
    return torch.log_softmax(logits, -1)[torch.arange(len(target)), torch.tensor(target)].sum().item()


def argmax(values):
    return max(range(len(values)), key=values.__getitem__)


def main():
    out = {}
    for name, auto in ("opt", AutoModelForCausalLM), ("flan_t5", AutoModelForSeq2SeqLM):
        tok = AutoTokenizer.from_pretrained(DATA / "recipes" / name)
        model = auto.from_pretrained(DATA / "recipes" / name, dtype=torch.float32).double().eval()
        for case, flags, rows, items in requests():
            hits, logprobs = {"acc": 0, "acc_norm": 0, "acc_bytes": 0}, []
            for context, choices, right in items:
                lls = [logprob(model, tok, context, c) for c in choices]
                logprobs.append(lls)
                hits["acc"] += argmax(lls) == right
                hits["acc_norm"] += argmax([l / len(c) for l, c in zip(lls, choices)]) == right
                hits["acc_bytes"] += argmax([l / len(c.encode()) for l, c in zip(lls, choices)]) == right
            out.setdefault(name, {})[case] = {"flags": flags, "data": case.split("_")[0], **{k: v / len(items) for k, v in hits.items()}, "logprobs": logprobs}
            file = DATA / "choices" / f"{case.split('_')[0]}.jsonl"
            file.parent.mkdir(exist_ok=True)
            file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    (DATA / "choices/golden.json").write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
