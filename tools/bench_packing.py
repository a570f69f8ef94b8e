"""Tokens per second of training on short samples, one sample a step, in batches, and packed.

    python3 bench_packing.py VKFT_PROGRAM MODEL DATA [ROUNDS]

MODEL is anything `vkft train --model` takes, DATA short samples (a question and its answer). Every run trains on about as many tokens, and
leaves its first step, which warms up, out of the measure. The runs take turns; the best round of each counts.
"""
import json
import subprocess
import sys
import tempfile

WAYS = {"one sample a step": (["--batch-size", "1"], 24), "16 samples a step": (["--batch-size", "16"], 3),
        "packed to 256 tokens": (["--packing", "--batch-size", "1"], 4)}


def tokens_per_second(program, model, data, flags, steps):
    with tempfile.TemporaryDirectory() as out:
        command = [program, "train", "--model", model, "--data", data, "--output-dir", out + "/run", "--max-seq-length", "256",
                   "--gradient-accumulation-steps", "1", "--save-steps", "0", "--max-steps", str(steps)] + flags
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        rows = [json.loads(line) for line in open(out + "/run/trainer_log.jsonl")]
    rows = [row for row in rows if "loss" in row]
    steps = [(row["tokens"] - before["tokens"], row["tokens_per_second"]) for before, row in zip(rows, rows[1:])]
    tokens = sum(n for n, _ in steps)
    return tokens / sum(n / speed for n, speed in steps), tokens


def main(program, model, data, rounds):
    best = {}
    for _ in range(rounds):
        for way, (flags, steps) in WAYS.items():
            speed, tokens = tokens_per_second(program, model, data, flags, steps)
            best[way] = max(best.get(way, (0, 0)), (speed, tokens))
    first = best["one sample a step"][0]
    for way, (speed, tokens) in best.items():
        print(f"{way}: {speed:.1f} tokens/s over {tokens} tokens, ratio {speed / first:.2f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 2)
