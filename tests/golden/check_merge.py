"""`vkft merge` beside PEFT: for golden cases, the logits of the merged checkpoint in transformers and those of base + adapter in PEFT, in f32.

    python3 check_merge.py VKFT TESTS_DATA_DIR WORK_DIR [CASE ...]

Needs torch, transformers and peft.
"""
import json
import os
import shutil
import subprocess
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

CASES = ["llama_gqa", "rslora", "lora_patterns", "dora_qwen2", "dora_gpt2", "ia3_qwen2", "saved_qwen2", "bias_gpt2", "qwen2", "qwen3", "gemma2", "gemma3",
         "phi3", "gpt2", "gpt_neox", "opt", "granite", "olmo2", "smollm3", "mistral", "qwen2/embed", "qwen2/tokens", "qwen2/vera", "t5/vera", "t5", "ia3_t5", "dora_t5", "saved_t5"]
BOUND = 1e-4


def main():
    vkft, data, work = sys.argv[1:4]
    failed = False
    os.makedirs(work, exist_ok=True)
    for case in sys.argv[4:] or CASES:
        case, _, variant = case.partition("/")
        source, out = os.path.join(data, "golden", case), os.path.join(work, case)
        adapter = source + "/adapter_" + (variant or "init")
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run([vkft, "merge", "--model", source + "/model", "--adapter", adapter, "-o", out, "--dtype", "f32"], check=True,
                       capture_output=True)
        with open(source + "/train.jsonl") as f:
            row = json.loads(f.readline())
        kind = AutoModelForSeq2SeqLM if "labels" in row and "t5" in case else AutoModelForCausalLM
        inputs = dict(input_ids=torch.tensor([row["input_ids"]]))
        if kind is AutoModelForSeq2SeqLM:
            inputs["decoder_input_ids"] = torch.tensor([[0] + row["labels"][:-1]])
        with torch.no_grad():
            merged = kind.from_pretrained(out, dtype=torch.float32).eval()(**inputs).logits
            adapted = PeftModel.from_pretrained(kind.from_pretrained(source + "/model", dtype=torch.float32), adapter).eval()(**inputs).logits
        worst = float((merged - adapted).abs().max())
        failed |= not worst <= BOUND
        print(f"{case + '/' * bool(variant) + variant:16} logits differ by {worst:.1e}{'' if worst <= BOUND else '  TOO MUCH'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
