#!/usr/bin/env python3
"""Writes tests/data/optimizer/golden.json: parameters and optimizer state after 20 steps in float64, for test_optimizer.

adamw and sgd are torch.optim's; lion is the published formula (Chen et al. 2023, as google/automl and lion-pytorch have it).
Parameters and gradients are multiples of powers of two that the test computes by the same integer formulas.

    pip install torch; tests/golden/make_optimizer_golden.py
"""
import json
import pathlib

import torch

N, DECAYED, STEPS, MAX_NORM = 37, 20, 20, 4.0


def initial():
    return torch.tensor([(i * 29 % 257 - 128) / 64 for i in range(N)], dtype=torch.float64)


def gradient(t):
    return torch.tensor([((i * 37 + t * 101 + i * t * 13) % 401 - 200) / 128 for i in range(N)], dtype=torch.float64)


def rate(t):
    return 1 / 64 / (1 + t % 4)


class Lion(torch.optim.Optimizer):
    def __init__(self, params, betas, weight_decay):
        super().__init__(params, {"lr": 1.0, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(torch.sign(beta1 * m + (1 - beta1) * p.grad), alpha=-group["lr"])
                m.mul_(beta2).add_(p.grad, alpha=1 - beta2)


KINDS = {
    "adamw": (["exp_avg", "exp_avg_sq"], lambda params: torch.optim.AdamW(params, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)),
    "lion": (["exp_avg"], lambda params: Lion(params, betas=(0.9, 0.99), weight_decay=0.1)),
    "sgd": (["momentum_buffer"], lambda params: torch.optim.SGD(params, lr=1.0, momentum=0.9, weight_decay=0.1)),
}


def run(names, make):
    values = initial()
    parts = [values[:DECAYED].clone().requires_grad_(), values[DECAYED:].clone().requires_grad_()]
    optimizer = make([{"params": [parts[0]]}, {"params": [parts[1]], "weight_decay": 0.0}])
    norms = []
    for t in range(1, STEPS + 1):
        g = gradient(t)
        parts[0].grad, parts[1].grad = g[:DECAYED].clone(), g[DECAYED:].clone()
        norms.append(torch.nn.utils.clip_grad_norm_(parts, MAX_NORM).item())
        for group in optimizer.param_groups:
            group["lr"] = rate(t)
        optimizer.step()
    result = {"parameters": torch.cat([p.detach() for p in parts]).tolist(), "grad_norm": norms}
    for name in names:
        result[name] = torch.cat([optimizer.state[p][name] for p in parts]).tolist()
    return result


def main():
    out = pathlib.Path(__file__).resolve().parent.parent / "data/optimizer/golden.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({name: run(*kind) for name, kind in KINDS.items()}, indent=1) + "\n")


if __name__ == "__main__":
    main()
