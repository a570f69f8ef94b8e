#!/usr/bin/env python3
"""Writes tests/data/optimizer/golden.json: parameters and optimizer state after 20 steps in float64, for test_optimizer; beside it
adamw_8bit.json and lion_8bit.json: hashes of what bitsandbytes' AdamW8bit and Lion8bit keep after each of 20 steps in float32, and parameters at
the end; adafactor.json: matrices after 20 steps of transformers' Adafactor in float64; and muon.json: the same of torch.optim.Muon.

torch.optim.Muon iterates in bf16; here its own code does so in float64. Beside matrices AdamW trains the rest.

adamw and sgd are torch.optim's; lion is the published formula (Chen et al. 2023, as google/automl and lion-pytorch have it). In 8 bits a small
tensor is as in 32. Adafactor has the settings of transformers' Trainer, and its state is written as vkft keeps it: means of rows, then of columns. Parameters and gradients are multiples of powers of two that the test computes by the same integer formulas.

bitsandbytes' library for the CPU takes codes from a table of 65536 steps (0 gets the code of 1.2e-5), which its CUDA kernel does not. Without the
library, its kernels of the CPU quantize with its default ones, to the nearest entry, as on CUDA. PyTorch is told to use no fused multiplications,
which not every device has, except for the maps, whose last bits depend on them.

    pip install torch transformers==5.24.0 bitsandbytes==0.50.2; tests/golden/make_optimizer_golden.py
"""
import ctypes
import inspect
import json
import os
import pathlib
import subprocess
import sys

MAPS = "import bitsandbytes.functional as F; print([F.create_dynamic_map(signed).tolist() for signed in (True, False)])"
maps = json.loads(subprocess.check_output([sys.executable, "-c", MAPS]))
os.environ["ATEN_CPU_CAPABILITY"] = "default"
import torch  # noqa: E402
import torch.optim._muon as muon_module  # noqa: E402

load_library = ctypes.cdll.LoadLibrary


def load_others(path):
    if "libbitsandbytes" in str(path):
        raise OSError("left out")
    return load_library(path)


ctypes.cdll.LoadLibrary = load_others
import bitsandbytes  # noqa: E402
from peft.optimizers.lorafa import LoraFAOptimizer  # noqa: E402
from transformers.optimization import Adafactor  # noqa: E402

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


def adamw(params):
    return torch.optim.AdamW(params, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1)


def lion(params):
    return Lion(params, betas=(0.9, 0.99), weight_decay=0.1)


def adafactor(params):
    return Adafactor(params, lr=1.0, weight_decay=0.1, scale_parameter=False, relative_step=False)


def lorafa(params):
    for number, group in enumerate(params):
        group |= {"names": ["tensor%d" % number], "scaling_factors": [None]}
    return LoraFAOptimizer(params, weight_decay=0.1)


def second_moments(state):
    """Means of rows and columns; a vector is one row."""
    if "exp_avg_sq" in state:
        return torch.cat([state["exp_avg_sq"].mean().reshape(1), state["exp_avg_sq"]])
    return torch.cat([state["exp_avg_sq_row"], state["exp_avg_sq_col"]])


def orthogonalize_in_float64():
    """torch's own function, with another type."""
    source = inspect.getsource(muon_module._zeropower_via_newtonschulz)
    assert source.count("torch.bfloat16") == 1
    exec(source.replace("torch.bfloat16", "torch.float64"), muon_module.__dict__)


CUT, RATIO = 11, 4  # LoRA+: what lies from CUT on learns at RATIO times the rate

KINDS = {
    "adamw": (["exp_avg", "exp_avg_sq"], adamw),
    "adamw_8bit": (["exp_avg", "exp_avg_sq"], adamw),
    "lion": (["exp_avg"], lion),
    "lion_8bit": (["exp_avg"], lion),
    "adafactor": (["exp_avg_sq"], adafactor),
    "lorafa": (["exp_avg", "exp_avg_sq"], lorafa),  # of what is no adapter
    "muon": (["exp_avg", "exp_avg_sq"], adamw),  # of what is no matrix
    "sgd": (["momentum_buffer"], lambda params: torch.optim.SGD(params, lr=1.0, momentum=0.9, weight_decay=0.1)),
}


def run(names, make, ratio=1):
    cuts = [0, CUT, DECAYED, N]
    parts = [initial()[a:b].clone().requires_grad_() for a, b in zip(cuts, cuts[1:])]
    optimizer = make([{"params": [parts[0]]}, {"params": [parts[1]]}, {"params": [parts[2]], "weight_decay": 0.0}])
    norms = []
    for t in range(1, STEPS + 1):
        g = gradient(t)
        for part, a, b in zip(parts, cuts, cuts[1:]):
            part.grad = g[a:b].clone()
        norms.append(torch.nn.utils.clip_grad_norm_(parts, MAX_NORM).item())
        for i, group in enumerate(optimizer.param_groups):
            group["lr"] = rate(t) * (ratio if i else 1)
        optimizer.step()
    result = {"parameters": torch.cat([p.detach() for p in parts]).tolist(), "grad_norm": norms}
    for name in names:
        states = [optimizer.state["tensor%d" % i if make is lorafa else p] for i, p in enumerate(parts)]
        result[name] = torch.cat([second_moments(s) if make is adafactor else s[name] for s in states]).tolist()
    return result


# Of test_optimizer, too: a tensor of whole blocks, one whose last block is short, one that is too small for 8 bits.
SHAPES_8BIT = [(16, 256), (3, 1711), (5, 20)]


def spread_gradient(i, t):
    """Magnitudes over 23 powers of two, and zeros."""
    return ((i * 37 + t * 101 + i * t * 13) % 401 - 200) / 128 / 2 ** (i * 7 % 23)


def fnv1a(data, value=0xCBF29CE484222325):
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def matrices(dtype):
    params = []
    for shape in SHAPES_8BIT:
        n = shape[0] * shape[1]
        values = torch.tensor([(i * 29 % 257 - 128) / 64 for i in range(n)], dtype=dtype)
        params.append(torch.nn.Parameter(values.reshape(shape)))
    return params


def step(optimizer, params, t):
    for p in params:
        p.grad = torch.tensor([spread_gradient(i, t) for i in range(p.numel())], dtype=p.dtype).reshape(p.shape)
    optimizer.param_groups[0]["lr"] = rate(t)
    optimizer.step()


def run_8bit(make, states):
    params = matrices(torch.float32)
    optimizer = make(params)
    optimizer.name2qmap = {name: torch.tensor(values) for name, values in zip(("dynamic", "udynamic"), maps)}
    hashes = []
    for t in range(1, STEPS + 1):
        step(optimizer, params, t)
        for p in params[:2]:
            state = optimizer.state[p]
            for code, absmax in (("state1", "absmax1"), ("state2", "absmax2"))[:states]:
                hashes.append("%016x" % fnv1a(state[code].numpy().tobytes() + state[absmax].numpy().tobytes()))
    return {
        "hashes": hashes,
        "parameters": [p.detach().flatten()[::37].tolist() for p in params],
        "small": [optimizer.state[params[2]][name].flatten().tolist() for name in ("state1", "state2")[:states]],
    }


def run_adafactor():
    params = matrices(torch.float64)
    optimizer = adafactor(params)
    for t in range(1, STEPS + 1):
        step(optimizer, params, t)
    return {
        "parameters": [p.detach().flatten()[::37].tolist() for p in params],
        "exp_avg_sq": torch.cat([second_moments(optimizer.state[p]) for p in params[1:]])[::37].tolist(),
    }


# Of test_muon, too: wide, tall, square, a row, a column, and one that is AdamW's.
MUON_SHAPES = [(16, 24), (40, 9), (33, 33), (1, 7), (12, 1), (5, 20)]
MUON_RUNS = [
    dict(momentum=0.95, nesterov=True, adjust_lr_fn="match_rms_adamw"),
    dict(momentum=0.9, nesterov=False, adjust_lr_fn="original"),
    dict(momentum=0.95, nesterov=True, adjust_lr_fn="spectral_unclamped"),
]


def muon_matrices():
    counts = [rows * cols for rows, cols in MUON_SHAPES]
    return [torch.tensor([(i * 29 % 257 - 128) / 64 for i in range(n)], dtype=torch.float64) for n in counts]


def muon_start():
    return torch.cat(muon_matrices())[::7].tolist()


def run_muon(settings):
    params = [torch.nn.Parameter(values.reshape(shape)) for values, shape in zip(muon_matrices(), MUON_SHAPES)]
    optimizers = [torch.optim.Muon(params[:-1], lr=1.0, weight_decay=0.1, **settings), adamw(params[-1:])]
    for t in range(1, STEPS + 1):
        for p in params:
            g = [((i * 37 + t * 101 + i * t * 13) % 401 - 200) / 128 for i in range(p.numel())]
            p.grad = torch.tensor(g, dtype=torch.float64).reshape(p.shape)
        for optimizer, ratio in zip(optimizers, (1, 0.5)):
            optimizer.param_groups[0]["lr"] = rate(t) * ratio
            optimizer.step()
    return {
        "parameters": torch.cat([p.detach().flatten() for p in params])[::7].tolist(),
        "momentum": torch.cat([optimizers[0].state[p]["momentum_buffer"].flatten() for p in params[:-1]])[::7].tolist(),
    }


def main():
    out = pathlib.Path(__file__).resolve().parent.parent / "data/optimizer/golden.json"
    out.parent.mkdir(exist_ok=True)
    golden = {name: run(*kind) for name, kind in KINDS.items()}
    golden["loraplus"] = {name: run(*kind, RATIO)["parameters"] for name, kind in KINDS.items()}
    out.write_text(json.dumps(golden, indent=1) + "\n")
    in_bf16 = [run_muon(settings) for settings in MUON_RUNS]
    orthogonalize_in_float64()
    muon = [run_muon(settings) for settings in MUON_RUNS]
    for one, other in zip(in_bf16, muon):
        a, b, start = (torch.tensor(x) for x in (one["parameters"], other["parameters"], muon_start()))
        print("muon: bf16 ends %.3f of the way from float64" % ((a - b).norm() / (b - start).norm()))
    (out.parent / "muon.json").write_text(json.dumps(muon, indent=1) + "\n")
    optim = bitsandbytes.optim
    files = {
        "adamw_8bit": run_8bit(lambda params: optim.AdamW8bit(params, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1), 2),
        "lion_8bit": run_8bit(lambda params: optim.Lion8bit(params, betas=(0.9, 0.99), weight_decay=0.1), 1),
        "adafactor": run_adafactor(),
    }
    for name, values in files.items():
        (out.parent / (name + ".json")).write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
