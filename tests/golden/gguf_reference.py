"""What a GGUF file should compute, in f64 by transformers: with its weights as they are, or as llama.cpp does, which rounds the other operand of each
product to a type that belongs to the weight's (ggml's vec_dot_type): f16 for f16, bf16 for bf16, blocks of 8 bits for quantized weights; none for f32.
GELU is then a table from f16 to f16. The rounded reference is what remains to be expected from llama.cpp but for summation.
"""
import contextlib
import json
import os
import shutil

import gguf
import make_gguf_fixtures as fixtures
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D


def blocks_of_32(x):
    """q8_0: q d, d = max |x| / 127, rounded to f16 after q is chosen."""
    b = x.float().reshape(-1, 32)
    largest = b.abs().amax(-1, keepdim=True)
    q = torch.round(b * torch.where(largest > 0, 127 / largest, 0))
    return (q.double() * (largest / 127).half().double()).reshape(x.shape)


def blocks_of_256(x):
    """q8_K: q d, d = -m / 127 of the value m that is largest by its size."""
    b = x.float().reshape(-1, 256)
    largest = b.gather(-1, b.abs().argmax(-1, keepdim=True))
    scale = torch.where(largest != 0, -127 / largest, 0)
    q = torch.round(b * scale).clamp(max=127)
    return torch.where(scale != 0, q.double() / scale.double(), 0).reshape(x.shape)


ROUNDINGS = {"F16": lambda x: x.half().double(), "BF16": lambda x: x.bfloat16().double()}
ROUNDINGS.update(dict.fromkeys(("Q8_0", "Q4_0", "Q5_0", "Q4_1", "Q5_1", "IQ4_NL", "MXFP4"), blocks_of_32))
ROUNDINGS.update(dict.fromkeys(("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"), blocks_of_256))


def unpermute(weights, heads):
    return weights.reshape(heads, weights.shape[0] // heads // 2, 2, *weights.shape[1:]).swapaxes(1, 2).reshape(weights.shape)


def place_of(name, names):
    """(name in the file, number of an expert or None) of a tensor of the checkpoint."""
    expert = None
    for middle in (".mlp.experts.", ".block_sparse_moe.experts."):
        before, found, after = name.partition(middle)
        if found:
            number, _, part = after.partition(".")
            expert, name = int(number), f"{before}{middle}{part}"
    return names.get_name(name, try_suffixes=(".weight", ".bias")), expert


def read_checkpoint(c, source, path):
    """(tensors, types): those of the checkpoint `source` with the values of the GGUF file `path`, decoded by the package gguf, and their types there."""
    kind, tensors, types = c["model_type"], {}, {}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[fixtures.ARCHS[kind]], c.get("num_hidden_layers") or c["n_layer"])
    stored = {t.name: t for t in gguf.GGUFReader(path).tensors}
    for name, original in load_file(source).items():
        to, expert = place_of(name, names)
        t = stored[to]
        data = t.data if expert is None else t.data[expert]
        value = gguf.quants.dequantize(data, t.tensor_type).astype(np.float32)
        if kind in fixtures.PERMUTED and (".q_proj." in name or ".k_proj." in name):
            value = unpermute(value, c["num_attention_heads" if ".q_proj." in name else "num_key_value_heads"])
        if kind.startswith("gemma") and name.endswith("norm.weight"):
            value = value - 1
        if kind == "gpt2" and name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            value = value.T
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value).reshape(original.shape))
        types[name] = t.tensor_type.name
    return tensors, types


class Reference:
    def __init__(self, source, path, work):
        """source: the checkpoint directory that the file `path` was made from; work: a directory for a checkpoint."""
        with open(os.path.join(source, "config.json")) as f:
            c = json.load(f)
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        shutil.copy(os.path.join(source, "config.json"), work)
        tensors, self.types = read_checkpoint(c, os.path.join(source, "model.safetensors"), path)
        save_file(tensors, os.path.join(work, "model.safetensors"), metadata=dict(format="pt"))
        self.model = AutoModelForCausalLM.from_pretrained(work, dtype=torch.float64, attn_implementation="eager", experts_implementation="eager").eval()
        shutil.rmtree(work)

    def rounding_of(self, name):
        """How llama.cpp rounds what this parameter is multiplied with; None: not at all. Experts are one parameter of several tensors."""
        part = {"gate_up_proj": ("gate_proj.weight", "w1.weight"), "down_proj": ("down_proj.weight", "w2.weight")}.get(name.split(".")[-1])
        kind = self.types.get(name)
        if kind is None and part:
            layer = name.partition(".mlp.")[0]
            kind = next(t for n, t in self.types.items() if n.startswith(layer + ".") and ".experts." in n and n.endswith(part))
        return ROUNDINGS.get(kind)

    @contextlib.contextmanager
    def rounded(self):
        """Products and GELU as llama.cpp computes them."""
        kinds = {p.untyped_storage().data_ptr(): self.rounding_of(n.replace("base_model.model.", "").replace(".base_layer", ""))
                 for n, p in self.model.named_parameters() if p.ndim > 1 and "lora_" not in n}
        linear, forward, hooks = torch.nn.functional.linear, Conv1D.forward, []

        def narrow(x, weight):
            rounding = kinds.get(weight.untyped_storage().data_ptr())
            return rounding(x) if rounding else x

        def half(x):
            return x.half().double()

        torch.nn.functional.linear = lambda x, weight, bias=None: linear(narrow(x, weight), weight, bias)
        Conv1D.forward = lambda self, x: forward(self, narrow(x, self.weight))
        for module in self.model.modules():
            if "GELU" in type(module).__name__:
                hooks.append(module.register_forward_pre_hook(lambda m, inputs: (half(inputs[0]),)))
                hooks.append(module.register_forward_hook(lambda m, inputs, output: half(output)))
        try:
            yield
        finally:
            torch.nn.functional.linear, Conv1D.forward = linear, forward
            for hook in hooks:
                hook.remove()

    def logprobs(self, ids, as_llama_cpp=False):
        """Of each token but the first."""
        with torch.no_grad(), self.rounded() if as_llama_cpp else contextlib.nullcontext():
            found = self.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        return [float(found[i - 1, ids[i]]) for i in range(1, len(ids))]
