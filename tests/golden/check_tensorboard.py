#!/usr/bin/env python3
"""Reads a run's events with TensorBoard's own readers and compares them with trainer_log.jsonl, after kills with SIGKILL.

    python3 tests/golden/check_tensorboard.py [--program build/host/vkft] [--kills 10] [--seed 1]

Needs PyPI's tensorboard. Fine-tunes the bundled model in 4 bits, kills the run at random moments, resumes it with --resume-from-checkpoint auto, and
lets it end. Checked after every kill, and at the end:

  * every number of trainer_log.jsonl is there as the same float, at its step, once, and nothing else, in
    EventFileLoader (the file, event by event) and in EventAccumulator (the directory, tag by tag);
  * times ascend, and rows that a resumed run kept have kept theirs;
  * the flags of the run are there as text, once;
  * an event file of another program in the same directory has its bytes;
  * the file, cut at any byte, is read up to the record that is cut.

Prints a line per kill and one per check; the exit code is 1 after the first difference.
"""
import argparse
import glob
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
STEPS = 60
FOREIGN = "events.out.tfevents.1000000000.elsewhere.1.0"


def check(condition, message):
    if not condition:
        sys.exit("WRONG: " + message)


def read_log(out):
    """{(tag, step): float32} of the log's whole lines, and how many rows these are."""
    rows = []
    path = os.path.join(out, "trainer_log.jsonl")
    for line in open(path) if os.path.exists(path) else []:
        if line.endswith("\n"):
            rows.append(json.loads(line))
    expected = {}
    for row in rows:
        evaluation = "eval_loss" in row
        for name, value in row.items():
            if name == "step" or name.startswith("eval_") != evaluation:
                continue
            tag = "eval/" + name[5:] if evaluation else "train/" + name
            check((tag, row["step"]) not in expected, f"the log has {tag} at step {row['step']} twice")
            expected[tag, row["step"]] = np.float32("nan" if value is None else value)
    return expected, len(rows)


def from_accumulator(accumulator):
    found = [((tag, e.step), np.float32(e.value), e.wall_time) for tag in accumulator.Tags()["scalars"] for e in accumulator.Scalars(tag)]
    return found, [e.tensor_proto.string_val[0].decode() for tag in accumulator.Tags()["tensors"] for e in accumulator.Tensors(tag)]


def from_loader(path):
    found, texts = [], []
    for event in EventFileLoader(path).Load():
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "text":
                texts.append((value.tag, value.tensor.string_val[0].decode()))
            else:
                found.append(((value.tag, event.step), np.float32(value.tensor.float_val[0]), event.wall_time))
    return found, texts


def compare(reader, found, expected, partial):
    """partial: the run was killed; the log's last row may not have reached the events."""
    keys = [key for key, _, _ in found]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    check(not twice, f"{reader}: more than once: {twice[:5]}")
    for key, value, _ in found:
        check(key in expected, f"{reader}: {key} is not in the log")
        check(value.tobytes() == expected[key].tobytes(), f"{reader}: {key} is {value}, in the log {expected[key]}")
    last = max((step for _, step in expected), default=0)
    missing = sorted(key for key in set(expected) - set(keys) if not (partial and key[1] == last))
    check(not missing, f"{reader}: not there: {missing[:5]}")
    for tag in {tag for tag, _ in keys}:
        times = [t for (name, _), _, t in found if name == tag]
        check(times == sorted(times), f"{reader}: times of {tag} do not ascend")


def own_files(logs):
    return [path for path in glob.glob(os.path.join(logs, "*tfevents*")) if os.path.basename(path) != FOREIGN]


def check_state(out, logs, partial):
    """Compares events and log as they are now; returns the time of each number."""
    expected, rows = read_log(out)
    files = own_files(logs)
    if partial and not files:
        return {}, rows
    check(len(files) == 1, f"{len(files)} event files: {files}")
    found, texts = from_loader(files[0])
    compare("EventFileLoader", found, expected, partial)
    if not partial or texts:
        check([tag for tag, _ in texts] == ["args/text_summary"], f"texts: {[tag for tag, _ in texts]}")
        check(json.loads(texts[0][1])["learning-rate"] == "0.001", "the flags in the text")
    fresh = EventAccumulator(logs, size_guidance={"scalars": 0, "tensors": 0})
    fresh.Reload()
    numbers, texts = from_accumulator(fresh)
    compare("EventAccumulator", [n for n in numbers if n[0][0] != "other/x"], expected, partial)
    check([n[0][1] for n in numbers if n[0][0] == "other/x"] == [1, 2], "EventAccumulator: the other program's events")
    check(len(texts) == 1 or partial, f"EventAccumulator: {len(texts)} texts")
    return {key: t for key, _, t in found}, rows


def check_cuts(path, directory, generator):
    """Every byte of the first records, and some of the others."""
    data = open(path, "rb").read()
    ends, at = [], 0
    while at < len(data):
        at += 16 + struct.unpack("<Q", data[at:at + 8])[0]
        ends.append(at)
    check(at == len(data), "records do not fill the file")
    cuts = list(range(ends[4] + 2)) + generator.sample(range(len(data)), 100)
    cut_path = os.path.join(directory, "events.out.tfevents.1.cut")
    for cut in cuts:
        with open(cut_path, "wb") as f:
            f.write(data[:cut])
        count = sum(1 for _ in EventFileLoader(cut_path).Load())
        check(count == sum(1 for end in ends if end <= cut), f"cut at byte {cut}: {count} records")
    return len(cuts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "host", "vkft"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as directory:
        out, logs, data = (os.path.join(directory, name) for name in ("out", "logs", "data.jsonl"))
        with open(os.path.join(ROOT, "tools", "bundled", "instructions.jsonl"), encoding="utf-8") as f:
            rows = f.readlines()[:40]
        with open(data, "w", encoding="utf-8") as f:
            f.writelines(rows)
        os.makedirs(logs)
        with open(os.path.join(logs, FOREIGN), "wb") as f:
            writer = RecordWriter(f)
            writer.write(Event(wall_time=1e9, file_version="brain.Event:2").SerializeToString())
            for step in (1, 2):
                event = Event(wall_time=1e9 + step, step=step)
                event.summary.value.add(tag="other/x", simple_value=step)
                writer.write(event.SerializeToString())
        foreign = open(os.path.join(logs, FOREIGN), "rb").read()
        command = [arguments.program, "train", "--model", os.path.join(ROOT, "tools", "bundled", "model"), "--data", data, "--output-dir", out,
                   "--logging-dir", logs, "--quant", "nf4", "--batch-size", "2", "--gradient-accumulation-steps", "1", "--learning-rate", "1e-3",
                   "--max-steps", str(STEPS), "--save-steps", "4", "--val-split", "0.1", "--eval-steps", "3", "--no-load-best-model-at-end",
                   "--resume-from-checkpoint", "auto"]
        times, kept, kill = {}, 0, 0
        while True:
            began = time.time()
            with open(os.path.join(directory, "output"), "w+") as output:
                run = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
                # At first while it starts, later after a few rows and a random part of the next step.
                target = read_log(out)[1] + generator.randint(1, 9) if kill % 4 else 0
                while kill < arguments.kills and run.poll() is None and target and read_log(out)[1] != target:
                    time.sleep(0.005)
                if kill < arguments.kills and run.poll() is None:
                    time.sleep(generator.uniform(0, 0.15 if target else 1.5))
                    run.send_signal(signal.SIGKILL)
                code = run.wait()
                output.seek(0)
                text = output.read()
            check(code in (0, -signal.SIGKILL), f"exit code {code}: {text}")
            check(code == 0 or kill < arguments.kills, "killed by someone else")
            new, count = check_state(out, logs, code != 0)
            # A checkpoint keeps times to a microsecond; what is newer than this process was trained by it.
            same = {key for key in new if key in times and abs(times[key] - new[key]) < 1e-6}
            lost = [key for key in new if new[key] < began and key not in same]
            check(not lost, f"times of {lost[:3]} changed")
            kept = max(kept, len(same))
            steps = max((step for _, step in new), default=0)
            if code == 0:
                break
            kill += 1
            print(f"kill {kill} after {time.time() - began:.1f} s: {count} rows in the log, step {steps} in the events, {len(same)} numbers with the time "
                  "they had before", flush=True)
            times = new
        check(kill == arguments.kills, f"the run ended after {kill} kills")
        expected, count = read_log(out)
        trained = [step for tag, step in expected if tag == "train/loss"]
        check(trained == list(range(1, STEPS + 1)), f"steps of the log: {trained}")
        print(f"{kill} kills: {count} rows, {len(expected)} numbers, equal as floats, each step once, in EventFileLoader and EventAccumulator")
        check(kept > 0 or not kill, "no row kept its time")
        check(open(os.path.join(logs, FOREIGN), "rb").read() == foreign, "the other program's file changed")
        print("the other program's file has its bytes")
        print(f"{check_cuts(own_files(logs)[0], directory, generator)} cuts: read up to the record that is cut")


if __name__ == "__main__":
    main()
