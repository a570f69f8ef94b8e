"""Writes bounds.json (bounds_VARIANT.json) beside each golden case: how far vkft may be from what transformers computed.

    python3 make_bounds.py OUTPUT...        each a file with what test_golden printed, on one driver

Of each quantity the bound is FACTOR times the largest difference that was measured on any of the drivers, at least its floor and at most
its ceiling. Two implementations that round in another order differ by chance, and another driver rounds differently again: the factor
and the floors leave room for that, and for nothing else. The floors are a few roundings of f32: of a loss (a mean), of a logarithm of
a softmax, of a norm and of a gradient relative to its norm after all layers. The ceilings are the bounds that were set before
anything was measured; with 4-bit weights a code that rounds the other way at a tie changes a weight, and with double quantization
bitsandbytes' CPU kernel rounds some 8-bit scales to the neighbour of the nearest value (nf4_hashes.py).

With weights rounded to bf16, one that differs in the last bit of its f32 value may go to the other neighbour, 2^-8 away. Two runs of the reference, one
with its f32 weights disturbed by 6e-8 in each step, differ by 2e-5 to 2e-4 in losses and 1e-4 to 2e-3 in gradient norms, as vkft does; one without
rounding differs by 5e-4 to 2e-3 and 4e-3 to 4e-2. The ceilings are below these.

    loss        largest relative difference of a step's loss or of the evaluation's
    grad_norm   of a step's gradient norm, relative
    logprobs    of the log-probabilities of the first training sample before training, absolute
    gradients   of the first step's gradient of an adapter tensor, the norm of the difference relative to its own
"""
import json
import os
import re
import sys

FACTOR = 8
FLOOR = dict(loss=2e-6, grad_norm=4e-6, logprobs=1e-5, gradients=4e-6)
ROUNDED_CEILING = dict(loss=1e-3, grad_norm=1e-2)
CEILING = dict(loss=1e-5, grad_norm=1e-4, logprobs=1e-4, gradients=1e-4)
GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "golden")


def path_of(case, what):
    """CASE or CASE/VARIANT."""
    directory, _, variant = case.partition("/")
    return os.path.join(GOLDEN, directory, what + ("_" + variant if variant else "") + ".json")


def ceiling(case, what):
    with open(path_of(case, "expected")) as f:
        flags = json.load(f)["flags"]
    if "--param-dtype" in flags and what in ROUNDED_CEILING:
        return ROUNDED_CEILING[what]
    nf4, double = "nf4" in flags, "--double-quant" in flags
    if nf4 and double and what in ("logprobs", "gradients"):
        return 1e-3
    return 1e-4 if nf4 else CEILING[what]


def main():
    measured = {}
    for path in sys.argv[1:]:
        with open(path) as f:
            for case, what, value in re.findall(r"^measured (\S+) (\S+) ([-+.0-9einfa]+),", f.read(), re.M):
                bounds = measured.setdefault(case, {})
                bounds[what] = max(float(value), bounds.get(what, 0.0))
    for case, values in sorted(measured.items()):
        bounds = {what: float("%.1e" % min(max(FACTOR * value, FLOOR[what]), ceiling(case, what))) for what, value in sorted(values.items())}
        with open(path_of(case, "bounds"), "w") as f:
            json.dump(bounds, f)
            f.write("\n")
        print(case, " ".join("%s %.1e -> %.1e" % (what, value, bounds[what]) for what, value in sorted(values.items())))


if __name__ == "__main__":
    main()
