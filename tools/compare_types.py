#!/usr/bin/env python3
"""Trains the golden cases in fp32, bf16 and fp16 and says which of the latter two is nearer to fp32.

    tools/compare_types.py PROGRAM [CASE...]

PROGRAM is a shell word list (build/host/vkft, or a wrapper and a program). The weights are in 4 bits, because products of others round
nothing in bf16. fp16 is computed on matrix cores: the device must have them, software ones included (VKFT_STRATEGY=coop,panel,direct is
set unless the environment has another). Prints for each case the root mean square of the losses' distance to fp32's over all steps, and
last in how many cases fp16 is nearer; exits with 1 when that is in fewer than 80 %.
"""

import json
import math
import os
import sys
import tempfile

from compare_programs import GOLDEN, log, train, without_quant

TYPES = ("fp32", "bf16", "fp16")


def losses(program, case, flags, compute):
    with tempfile.TemporaryDirectory() as directory:
        return [row["loss"] for row in log(train(program, case, flags + ["--compute-dtype", compute], directory)) if "loss" in row]


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)) / len(a))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program = sys.argv[1]
    os.environ.setdefault("VKFT_STRATEGY", "coop,panel,direct")
    nearer, total = 0, 0
    for case in sys.argv[2:] or sorted(os.listdir(GOLDEN)):
        with open(os.path.join(GOLDEN, case, "expected.json")) as f:
            flags = json.load(f)["flags"]
        if "full" in flags: # all weights are trained: none are in 4 bits
            continue
        run = {t: losses(program, case, without_quant(flags) + ["--quant", "nf4"], t) for t in TYPES}
        bf16, fp16 = (distance(run[t], run["fp32"]) for t in TYPES[1:])
        nearer += fp16 < bf16
        total += 1
        print(f"{case:28} bf16 {bf16:.2e}  fp16 {fp16:.2e}  {bf16 / fp16 if fp16 else math.inf:6.1f} times nearer", flush=True)
    print(f"fp16 is nearer to fp32 than bf16 in {nearer} of {total} cases")
    sys.exit(nearer < 0.8 * total)


if __name__ == "__main__":
    main()
