"""Small state dicts as torch.save writes them, with the same tensors as safetensors beside them.

    python3 make_pytorch_fixtures.py OUT_DIR

OUT_DIR/expected.safetensors holds all tensors, contiguous; each .bin holds the same ones (f64.bin in double) in another form: the archive of
today with a state dict's _metadata, the format before PyTorch 1.6, matrices stored by columns, tensors that share storage, a dictionary
inside a dictionary, parameters, and two shards with their index.
"""
import collections
import json
import os
import sys

import torch
from safetensors.torch import save_file


def tensors():
    torch.manual_seed(1)
    t = collections.OrderedDict()
    t["a.weight"] = torch.randn(5, 7)
    t["a.bias"] = torch.randn(5)
    t["b.weight"] = torch.randn(3, 4).half()
    t["c.weight"] = torch.randn(2, 9).bfloat16()
    t["count"] = torch.tensor(3)
    t["mask"] = torch.ones(1, 1, 2, 2, dtype=torch.bool)
    return t


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    path = lambda name: os.path.join(out, name)
    t = tensors()
    save_file(dict(t), path("expected.safetensors"))
    module = torch.nn.Linear(2, 2)
    described = collections.OrderedDict(t)
    described._metadata = module.state_dict()._metadata
    torch.save(described, path("archive.bin"))
    torch.save(described, path("legacy.bin"), _use_new_zipfile_serialization=False)
    torch.save({k: v.t().contiguous().t() if v.dim() == 2 else v for k, v in t.items()}, path("columns.bin"))
    torch.save({"epoch": 3, "state_dict": t}, path("inside.bin"))
    torch.save(collections.OrderedDict((k, torch.nn.Parameter(v, requires_grad=False)) for k, v in t.items()), path("parameters.bin"))
    whole = torch.cat([v.flatten() for k, v in t.items() if v.dtype == torch.float32])
    torch.save(dict(t, **{"a.weight": whole[:35].view(5, 7), "a.bias": whole[35:]}), path("shared.bin"))
    torch.save({k: v.double() for k, v in t.items() if v.is_floating_point()}, path("f64.bin"))
    names = list(t)
    shards = {"pytorch_model-00001-of-00002.bin": names[:3], "pytorch_model-00002-of-00002.bin": names[3:]}
    for shard, own in shards.items():
        torch.save({k: t[k] for k in own}, path(shard))
    with open(path("pytorch_model.bin.index.json"), "w") as f:
        json.dump(dict(metadata=dict(total_size=1), weight_map={k: s for s, own in shards.items() for k in own}), f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
