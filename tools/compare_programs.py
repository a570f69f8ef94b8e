#!/usr/bin/env python3
"""Trains the golden cases with two builds of vkft and compares what they leave, bit by bit.

    tools/compare_programs.py OLD NEW [CASE...]

OLD and NEW are programs (build/host/vkft). Each case of tests/data/golden is trained as its expected.json says, with checkpoints; each
that is not in 4 bits also with --quant nf4. Adapters, checkpoints and the numbers of the log must be identical; times are not compared.
For changes of form: whoever moves code runs it against the build from before. Prints a line per run and exits with 1 on a difference.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "data", "golden")
LOGGED = ("step", "loss", "grad_norm", "learning_rate", "eval_loss", "tokens", "epoch")


def without_quant(flags):
    kept, skip = [], False
    for flag in flags:
        if skip:
            skip = False
        elif flag == "--quant":
            skip = True
        elif flag not in ("--double-quant", "--no-double-quant"):
            kept.append(flag)
    return kept


def train(program, case, flags, directory):
    """Trains from a copy of the model, so that nothing is cached beside the test data; returns the run's directory."""
    model, out = os.path.join(directory, "model"), os.path.join(directory, "out")
    shutil.copytree(os.path.join(GOLDEN, case, "model"), model)
    adapter = os.path.join(GOLDEN, case, "adapter_init")
    if os.path.isdir(adapter):
        flags = flags + ["--init-adapter", adapter]
    command = shlex.split(program) + ["train", "--model", model, "--data", os.path.join(GOLDEN, case), "--output-dir", out, "--no-shuffle",
               "--save-steps", "7", "--save-total-limit", "3", "--eval-batches", "0", "--no-load-best-model-at-end"] + flags
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{run.stdout}")
    return out


def tensors(directory):
    """Bytes of every safetensors file of a run, by its path."""
    found = {}
    for path, _, names in os.walk(directory):
        for name in names:
            if name.endswith(".safetensors"):
                with open(os.path.join(path, name), "rb") as f:
                    data = f.read()
                # The header may carry other metadata; the tensors and their order must be the same.
                size = int.from_bytes(data[:8], "little")
                header = {k: v for k, v in json.loads(data[8:8 + size]).items() if k != "__metadata__"}
                found[os.path.relpath(os.path.join(path, name), directory)] = (header, data[8 + size:])
    return found


def log(directory):
    with open(os.path.join(directory, "trainer_log.jsonl")) as f:
        return [{k: v for k, v in json.loads(line).items() if k in LOGGED} for line in f]


def differences(old, new):
    found = []
    if log(old) != log(new):
        found.append("trainer_log.jsonl")
    before, after = tensors(old), tensors(new)
    found += sorted(set(before) ^ set(after))
    found += [name for name in before if name in after and before[name] != after[name]]
    config = "adapter_config.json"
    if os.path.exists(os.path.join(old, config)):
        with open(os.path.join(old, config)) as a, open(os.path.join(new, config)) as b:
            if dict(json.load(a), base_model_name_or_path="") != dict(json.load(b), base_model_name_or_path=""):
                found.append(config)
    return found, len(before)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    programs, cases = sys.argv[1:3], sys.argv[3:] or sorted(os.listdir(GOLDEN))
    failed = runs = 0
    for case in cases:
        with open(os.path.join(GOLDEN, case, "expected.json")) as f:
            flags = json.load(f)["flags"]
        variants = [("", flags)]
        if "nf4" not in flags and "full" not in flags:
            variants.append((" in nf4", without_quant(flags) + ["--quant", "nf4"]))
        for title, variant in variants:
            with tempfile.TemporaryDirectory() as old, tempfile.TemporaryDirectory() as new:
                found, files = differences(train(programs[0], case, variant, old), train(programs[1], case, variant, new))
            runs += 1
            failed += bool(found)
            print(f"{case + title:32} {'differs: ' + ', '.join(found) if found else f'identical: log and {files} files of tensors'}", flush=True)
    print(f"{runs - failed} of {runs} runs identical")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
