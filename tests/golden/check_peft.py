"""Loads what vkft wrote, unchanged, and compares log-probabilities token by token: an adapter in PEFT, or a fully tuned model in transformers.

    vkft eval --model BASE --adapter ADAPTER --data DATA --quant fp32 --per-token vkft.jsonl
    python3 check_peft.py BASE ADAPTER vkft.jsonl [nf4]

    vkft eval --model MODEL --data DATA --quant fp32 --per-token vkft.jsonl
    python3 check_peft.py MODEL none vkft.jsonl

BASE is the Hugging Face checkpoint. With nf4 as last argument PEFT's base is quantized by bitsandbytes, for `vkft eval --quant nf4
--no-double-quant`; an adapter from any run can be compared over fp32 weights. There is no comparison with double quantization: bitsandbytes' CPU
kernel rounds some of the 8-bit scales to the neighbour of the nearest value (nf4_hashes.py), which moves logits by more than the bound.
Prints the largest difference, and the largest change that the adapter makes, without which the first would say nothing. Exit status 1 when the difference is above 1e-4, a
value is not finite, the adapter changes nothing, or PEFT warns while it loads (keys missing or unexpected).

Needs torch, transformers, peft, and bitsandbytes for nf4.
"""
import json
import sys
import warnings

import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, BitsAndBytesConfig

BOUND = 1e-4


def load_base(path, nf4):
    extra = {}
    if nf4:
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32, bnb_4bit_use_double_quant=False)
    kind = AutoModelForSeq2SeqLM if AutoConfig.from_pretrained(path).is_encoder_decoder else AutoModelForCausalLM
    return kind.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", **extra)


def logprobs(model, row):
    """Of each token given those before it; the first has none, nor has what an encoder reads and the decoder's first token."""
    ids = row["ids"]
    if model.config.is_encoder_decoder:
        source = next(i for i, x in enumerate(row["logprobs"]) if x is not None) - 1
        with torch.no_grad():
            table = model(input_ids=torch.tensor([ids[:source]]), decoder_input_ids=torch.tensor([ids[source:-1]])).logits[0].double().log_softmax(-1)
        return [None] * (source + 1) + table.gather(1, torch.tensor(ids[source + 1:]).view(-1, 1)).view(-1).tolist()
    with torch.no_grad():
        table = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [None] + table[:-1].gather(1, torch.tensor(ids[1:]).view(-1, 1)).view(-1).tolist()


def main():
    if len(sys.argv) not in (4, 5) or sys.argv[4:] not in ([], ["nf4"]):
        sys.exit(__doc__)
    base, adapter, per_token = sys.argv[1:4]
    model = load_base(base, len(sys.argv) == 5)
    tuned_whole = adapter == "none"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = model if tuned_whole else PeftModel.from_pretrained(model, adapter)
    # transformers 5 calls every T5 tied, also one with a head of its own, which PEFT then warns about, as about VeRA without its matrices in the file.
    usual = ("ensure_weight_tying", "vera_A and vera_B")
    complaints = [str(w.message) for w in caught if ("adapter" in str(w.message).lower() or "config" in str(w.message).lower())
                  and not any(text in str(w.message) for text in usual)]
    model.train()  # no dropout in a run that is compared; in evaluation bitsandbytes repacks its weights for some processors
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0

    count, worst, change = 0, 0.0, 0.0
    with open(per_token, encoding="utf-8") as f:
        for line in f:
            row = json.loads(line)
            tuned = plain = logprobs(model, row)
            if not tuned_whole:
                with model.disable_adapter():
                    plain = logprobs(model, row)
            for got, want, before in zip(row["logprobs"], tuned, plain, strict=True):
                if got is not None:
                    difference = abs(got - want)
                    worst = max(worst, difference) if difference == difference else float("nan")
                    change = max(change, abs(want - before))
                    count += 1
    print(f"{count} tokens: largest difference {worst:.2e} (bound {BOUND:.0e})" + ("" if tuned_whole else f"; the adapter changes up to {change:.2e}"))
    for text in complaints:
        print("PEFT warns:", text)
    sys.exit(0 if count and worst <= BOUND and (change > 0 or tuned_whole) and not complaints else 1)


if __name__ == "__main__":
    main()
