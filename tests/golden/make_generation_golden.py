"""Golden values for generation: what transformers' logits processors leave of random logits, and greedy continuations under them.

    python3 make_generation_golden.py ../data/generation_cases.json

The processors are those of GenerationMixin._get_logits_processor, which also has their order. In the file:

    rules       config, prompt (its tokens), ids, logits and what they become; null is -infinity. Nothing of these depends on sampling
    filters     config, logits, and the tokens that may be drawn, the likeliest first
    greedy      config for generation_config.json, model (of ../data/golden), ids, and the continuation of at most `count` tokens
"""
import json
import math
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

HERE = os.path.dirname(os.path.abspath(__file__))
GOLDEN = os.path.join(HERE, "..", "data", "golden")
VOCAB = 97  # of llama_gqa


def load(name):
    path = os.path.join(GOLDEN, name, "model")
    kind = AutoModelForSeq2SeqLM if "t5" in name else AutoModelForCausalLM
    return kind.from_pretrained(path, dtype=torch.float32).eval()


def process(model, settings, prompt, ids, logits):
    config = GenerationConfig(eos_token_id=[2, 7], **settings)
    model._prepare_special_tokens(config, False)
    processors = model._get_logits_processor(config, input_ids_seq_length=prompt)
    return processors(torch.tensor([ids]), logits[None].clone())[0]


def numbers(tensor):
    return [None if math.isinf(x) else float(f"{x:.9g}") for x in tensor.tolist()]


def rules(model, generator):
    cases = []
    settings = [
        dict(repetition_penalty=1.3),
        dict(repetition_penalty=0.7),
        dict(no_repeat_ngram_size=1),
        dict(no_repeat_ngram_size=2),
        dict(no_repeat_ngram_size=3),
        dict(bad_words_ids=[[4], [3, 5], [9, 3, 6], [2], [3, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]]),
        dict(suppress_tokens=[0, 96, 5], begin_suppress_tokens=[6, 7]),
        dict(min_length=13),
        dict(min_new_tokens=5),
        dict(min_length=9, min_new_tokens=2),
        dict(repetition_penalty=1.2, no_repeat_ngram_size=2, bad_words_ids=[[8]], min_new_tokens=9, suppress_tokens=[11]),
    ]
    for setting in settings:
        for prompt, ids in ((8, [1, 9, 3, 5, 9, 3, 6, 3]), (5, [1, 9, 3, 5, 9, 3, 6, 4, 9, 3]), (1, [3]), (3, [3, 5, 3, 5, 3, 5, 3])):
            logits = torch.randn(VOCAB, generator=generator) * 3
            after = process(model, setting, prompt, ids, logits)
            cases.append(dict(config=setting, prompt=prompt, ids=ids, logits=numbers(logits), after=numbers(after)))
    return cases


def filters(model, generator):
    cases = []
    settings = [
        dict(top_k=5), dict(top_k=0, top_p=0.9), dict(top_k=0, top_p=0.3), dict(top_k=0, min_p=0.05), dict(top_k=0, min_p=0.5), dict(top_k=0, min_p=1.0),
        dict(top_k=20, top_p=0.8, min_p=0.1, temperature=0.6), dict(top_k=40, top_p=0.95, temperature=1.7), dict(top_k=0, top_p=0.97, min_p=0.02, temperature=2.5),
    ]
    for setting in settings:
        for _ in range(4):
            logits = torch.randn(VOCAB, generator=generator) * 2
            after = process(model, dict(do_sample=True, **setting), 1, [3], logits)
            kept = [i for i in torch.argsort(after, descending=True).tolist() if not math.isinf(after[i])]
            cases.append(dict(config=setting, logits=numbers(logits), kept=kept))
    return cases


def greedy():
    cases = []
    for name, ids, count, setting in [
        ("llama_gqa", [5, 77, 30, 41, 9], 60, {}),
        ("llama_gqa", [5, 77, 30, 41, 9], 60, dict(repetition_penalty=1.3)),
        ("llama_gqa", [5, 77, 30, 41, 9], 60, dict(repetition_penalty=1.05)),
        ("llama_gqa", [5, 77, 30, 41, 9], 60, dict(no_repeat_ngram_size=2)),
        ("llama_gqa", [5, 77, 5, 77, 5], 60, dict(repetition_penalty=1.1, no_repeat_ngram_size=3, suppress_tokens=[1, 40])),
        ("flan_t5", [5, 77, 30, 41, 9, 1], 60, dict(repetition_penalty=1.3)),
        ("flan_t5", [5, 77, 30, 41, 9, 1], 60, dict(no_repeat_ngram_size=2)),
    ]:
        model = load(name)
        for eos in range(96, 0, -1):  # one that does not come up, so that all tokens are compared
            config = dict(setting, max_new_tokens=count, eos_token_id=[eos])
            if name == "flan_t5":
                config["decoder_start_token_id"] = 0
            made = model.generate(torch.tensor([ids]), generation_config=GenerationConfig(
                output_scores=True, return_dict_in_generate=True, use_cache=name != "flan_t5", **config))
            out = made.sequences[0].tolist()
            new = out[1:] if name == "flan_t5" else out[len(ids):]
            if eos not in new:
                break
        assert len(new) == count
        margin = min((s[0].topk(2).values[0] - s[0].topk(2).values[1]).item() for s in made.scores)
        assert margin > 2e-5, (name, setting, margin)  # else rounding decides which token is the likeliest
        print(name, setting, "least margin", margin, len(set(new)), "different tokens")
        cases.append(dict(model=name, config=config, ids=ids, continuation=new))
    return cases


def main():
    generator = torch.Generator().manual_seed(5)
    model = load("llama_gqa")
    cases = dict(rules=rules(model, generator), filters=filters(model, generator), greedy=greedy())
    with open(sys.argv[1], "w") as out:
        json.dump(cases, out, separators=(",", ":"))
        out.write("\n")


main()
