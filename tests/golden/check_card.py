#!/usr/bin/env python3
"""Reads README.md of finished runs with huggingface_hub's model cards, offline: every field that it knows has the type that it expects.

    python3 tests/golden/check_card.py [--program build/host/vkft]

Needs PyPI's huggingface_hub. Fine-tunes the bundled model: an adapter of a model without a name on the hub, one of a model in the hub's cache, and
all weights. The exit code is 1 after the first difference.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile

from huggingface_hub import ModelCard

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUNDLED = os.path.join(ROOT, "tools", "bundled", "model")
ADAPTER = {"library_name": "peft", "pipeline_tag": "text-generation", "tags": ["lora", "sft", "vkft"]}
RUNS = [
    ("model", [], ADAPTER),
    ("models--owner--a_Model-1.5/snapshots/0123", [], {"base_model": "owner/a_Model-1.5", "base_model_relation": "adapter", **ADAPTER}),
    ("model", ["--fine-tune-type", "full", "--quant", "fp32"],
     {"library_name": "transformers", "pipeline_tag": "text-generation", "tags": ["sft", "vkft"]}),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=os.path.join(ROOT, "build/host/vkft"))
    program = parser.parse_args().program
    with tempfile.TemporaryDirectory() as folder:
        data = os.path.join(folder, "rows | of <mine>.jsonl")
        with open(data, "w", encoding="utf-8") as file:
            file.write('{"prompt": "one two", "completion": " three"}\n' * 3)
        for number, (place, flags, expected) in enumerate(RUNS):
            model, out = os.path.join(folder, place), os.path.join(folder, f"out-{number}")
            if not os.path.isdir(model):
                shutil.copytree(BUNDLED, model)
            subprocess.run([program, "train", "--model", model, "--data", data, "--output-dir", out, "--max-steps", "1", *flags],
                           check=True, capture_output=True)
            card = ModelCard.load(os.path.join(out, "README.md"))
            found = card.data.to_dict()
            if found != expected:
                sys.exit(f"{place} {flags}: expected {expected}, found {found}")
            if "| data | rows \\| of \\<mine\\>.jsonl: " not in card.text or folder in card.content:
                sys.exit(f"{place} {flags}: unexpected text: {card.text}")
            print(f"{place} {' '.join(flags)}: {found}")


if __name__ == "__main__":
    main()
