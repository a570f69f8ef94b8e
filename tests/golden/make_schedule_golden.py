#!/usr/bin/env python3
"""Writes tests/data/schedules/golden.json: the learning rates of whole runs by transformers' get_scheduler, for test_schedule.

    pip install torch transformers==5.24; tests/golden/make_schedule_golden.py
"""
import json
import pathlib

import torch
from transformers import get_scheduler

RATE = 2e-4
CASES = [
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("linear", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.5}),
    ("cosine_with_restarts", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr": 3e-5}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.2, "num_cycles": 1}),
    ("cosine_warmup_with_min_lr", {"min_lr": 3e-5}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1, "warmup_lr_rate": 0.05}),
    ("polynomial", {}),
    ("polynomial", {"lr_end": 1e-5, "power": 2}),
    ("polynomial", {"power": 0.5}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 12}),
    ("warmup_stable_decay", {"num_decay_steps": 9}),
    ("warmup_stable_decay", {"num_decay_steps": 7, "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 5, "warmup_type": "cosine", "decay_type": "linear"}),
    ("warmup_stable_decay", {"num_decay_steps": 11, "warmup_type": "1-sqrt", "decay_type": "1-sqrt", "min_lr_ratio": 0.25}),
    ("warmup_stable_decay", {"num_decay_steps": 30, "num_cycles": 1.5}),
]


def rates(name, kwargs, warmup, total):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)
    scheduler = get_scheduler(name, optimizer, warmup, total, dict(kwargs))
    found = []
    while True:
        found.append(scheduler.get_last_lr()[0])
        if len(found) == total:
            return found
        optimizer.step()
        scheduler.step()


def main():
    cases = []
    for name, kwargs in CASES:
        for warmup, total in ((0, 10), (5, 37), (37, 37)):
            text = ",".join(f"{key}={value}" for key, value in kwargs.items())
            cases.append({"type": name, "kwargs": text, "warmup": warmup, "rates": rates(name, kwargs, warmup, total)})
    out = pathlib.Path(__file__).resolve().parent.parent / "data/schedules/golden.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"rate": RATE, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main()
