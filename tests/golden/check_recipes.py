"""The committed recipes, run on directories that hold what the hub has, step for step against transformers + PEFT + bitsandbytes.

    python3 check_recipes.py compare VKFT DATA DIR [RUN ...]
    python3 check_recipes.py model CONFIG TOKENIZER DIR

compare makes the runs in RUNS, all or those named, with the program VKFT: a model of full size with random weights, the first rows of the recipe's
example data for 4 steps an epoch, and the recipe trained by both programs. DATA has configs/opt-125m.json, configs/flan-t5-small.json,
tokenizers/opt/ and tokenizers/flan-t5-small/; DIR/RUN keeps what was made. vkft is run as `train -c RECIPE.yaml --model DIR/RUN/model --data
DIR/RUN/data.jsonl`, with nothing changed but the order of the rows (as in the file), the initial adapter (one for both), the output directory, and
the run's flags, which both sides follow. transformers' side takes its numbers (rank, batch size, learning rate, ...) from the recipe, too. Losses
must agree within 1e-5 relative, with weights in 4 bits within 1e-4, with products in bf16 within 2^-9.

model makes only a model's directory: CONFIG is a config.json of OPT or T5, TOKENIZER a directory with the tokenizer's files. Weights have the
deviations that the models start from; OPT's are in fp16 in pytorch_model.bin, without the tied head. The models of tests/data/recipes were made
so, from their own config.json and tokenizers.

The models' own dropout is off in both programs; that of the adapters is drawn in the reference as vkft draws it.
"""
import csv
import json
import os
import shutil
import subprocess
import sys

import yaml

STEPS = 4  # of an epoch
RECIPES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "recipes")
RUNS = {  # recipe, model, example data, flags
    "opt-lora": ("opt-125m-lora", "opt-125m", "questions-en.csv", {}),
    "opt-qlora-fp32": ("opt-125m-qlora", "opt-125m", "questions-en.csv", {"compute-dtype": "fp32"}),
    "opt-qlora": ("opt-125m-qlora", "opt-125m", "questions-en.csv", {}),
    "t5-full": ("flan-t5-small-instructions", "flan-t5-small", "instructions-en.jsonl", {}),
    "t5-lora": ("flan-t5-small-instructions", "flan-t5-small", "instructions-en.jsonl", {"fine-tune-type": "lora"}),
}
TOKENIZERS = {"opt-125m": "opt", "flan-t5-small": "flan-t5-small"}


def make_model(config_path, tokenizer_path, out):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM
    torch.manual_seed(1)
    os.makedirs(out, exist_ok=True)
    files = {name: os.path.join(tokenizer_path, name) for name in os.listdir(tokenizer_path)} | {"config.json": config_path}
    for name, path in files.items():
        if os.path.isfile(path) and os.path.realpath(path) != os.path.realpath(os.path.join(out, name)):
            shutil.copy(path, os.path.join(out, name))
    config = AutoConfig.from_pretrained(out)
    if config.model_type == "opt":
        model = AutoModelForCausalLM.from_config(config).half()
        # The hub's file: the model without its head, which is tied.
        state = {k.removeprefix("model."): v for k, v in model.state_dict().items() if k != "lm_head.weight"}
        torch.save(state, os.path.join(out, "pytorch_model.bin"))
        write_json(out, "generation_config.json", dict(_from_model_config=True, bos_token_id=2, eos_token_id=2, pad_token_id=1))
        write_json(out, "tokenizer_config.json", dict(errors="replace", unk_token="</s>", bos_token="</s>", eos_token="</s>", pad_token="<pad>",
                                                      add_prefix_space=False, add_bos_token=True, tokenizer_class="GPT2Tokenizer"))
        write_json(out, "special_tokens_map.json", dict(bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"))
    else:
        model = AutoModelForSeq2SeqLM.from_config(config)
        model.lm_head.weight = torch.nn.Parameter(0.05 * torch.randn_like(model.lm_head.weight))
        config_text = open(os.path.join(out, "config.json")).read()
        model.save_pretrained(out)
        with open(os.path.join(out, "config.json"), "w") as f:  # as the hub has it
            f.write(config_text)


def write_json(folder, name, value):
    with open(os.path.join(folder, name), "w") as f:
        json.dump(value, f, indent=1)
        f.write("\n")


def read_recipe(path):
    with open(path, encoding="utf-8") as f:
        return yaml.safe_load(f)


def read_rows(path):
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f)) if path.endswith(".csv") else [json.loads(line) for line in f]


def prompt_and_answer(row, flags):
    if "prompt-template" in flags:
        return flags["prompt-template"].format(**row), row["output"]
    if "question" in row:
        return f"### Question:\n{row['question']}\n\n### Answer:\n", row["answer"]
    return row["prompt"], row["completion"]


def make_samples(rows, flags, model_dir, opt):
    """Ids and labels as transformers' tokenizers make them."""
    pairs = [prompt_and_answer(row, flags) for row in rows]
    if opt:
        from transformers import GPT2Tokenizer
        tok = GPT2Tokenizer(os.path.join(model_dir, "vocab.json"), os.path.join(model_dir, "merges.txt"), unk_token="</s>", bos_token="</s>",
                            eos_token="</s>", pad_token="<pad>")
        encode = lambda text: tok(text, add_special_tokens=False)["input_ids"]
        samples = [([2] + encode(prompt), encode(answer) + [2]) for prompt, answer in pairs]
        assert all(len(p) + len(a) <= flags["max-seq-length"] for p, a in samples)
        return [dict(input_ids=p + a, labels=([-100] * len(p) if flags["mask-prompt"] else p) + a) for p, a in samples]
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(model_dir)
    cut = lambda text: tok(text, max_length=flags["max-seq-length"], truncation=True)["input_ids"]
    return [dict(input_ids=cut(prompt), labels=cut(answer)) for prompt, answer in pairs]


def philox(n, layer, micro_step, seed):
    """n words of Philox4x32-10 (Salmon et al. 2011): word i is part i % 4 of the block with counter (i / 4, layer, micro_step, 0)."""
    import numpy as np
    counter = [np.arange((n + 3) // 4, dtype=np.uint64), *(np.full((n + 3) // 4, x, dtype=np.uint64) for x in (layer, micro_step, 0))]
    key, low = [seed & 0xFFFFFFFF, seed >> 32], np.uint64(0xFFFFFFFF)
    for _ in range(10):
        a, b = counter[0] * np.uint64(0xD2511F53), counter[2] * np.uint64(0xCD9E8D57)
        high = np.uint64(32)
        counter = [(b >> high) ^ counter[1] ^ np.uint64(key[0]), b & low, (a >> high) ^ counter[3] ^ np.uint64(key[1]), a & low]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return np.stack(counter, axis=1).reshape(-1)[:n]


def draw_as_vkft(model, p, seed):
    """Replaces the adapters' dropout. vkft numbers adapters in the order of the layers and lays the tokens of a batch end to end, without padding:
    state["lengths"] has the samples' lengths, state["micro_step"] counts batches."""
    import torch
    state = {}

    class Dropout(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            tokens, width = sum(state["lengths"]), x.shape[-1]
            keep = torch.from_numpy(philox(tokens * width, self.layer, state["micro_step"], seed) >= int(p * 2**32)).view(tokens, width)
            mask, at = torch.zeros(x.shape), 0
            for i, length in enumerate(state["lengths"]):
                mask[i, :length] = keep[at:at + length] / (1 - p)
                at += length
            return x * mask

    adapted = [(name.split("layers.")[-1].split(".")[0], name, module) for name, module in model.named_modules()
               if "default" in getattr(module, "lora_dropout", {})]
    for layer, (_, _, module) in enumerate(sorted(adapted, key=lambda a: (int(a[0]), a[1]))):  # in a layer q_proj, v_proj
        module.lora_dropout["default"] = Dropout(layer)
    return state


def load_model(flags, model_dir, opt):
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BitsAndBytesConfig
    extra = {}
    if flags["quant"] == "nf4":
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=flags["double-quant"],
            bnb_4bit_compute_dtype=dict(bf16=torch.bfloat16, fp32=torch.float32)[flags["compute-dtype"]])
    kind = AutoModelForCausalLM if opt else AutoModelForSeq2SeqLM
    model = kind.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager", **extra)
    for module in model.modules():  # before PEFT adds its own
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    return model


def train_reference(flags, rows, out):
    import torch
    import make_training_golden as golden
    from peft import LoraConfig, get_peft_model
    from transformers import get_scheduler
    with open(os.path.join(out, "model", "config.json")) as f:
        opt = json.load(f)["model_type"] == "opt"
    batch, epochs, p = flags["batch-size"], flags["num-train-epochs"], flags.get("lora-dropout", 0.0)
    assert flags["gradient-accumulation-steps"] == 1 and flags["lr-scheduler-type"] == "linear" and flags["fine-tune-type"] in ("lora", "full")
    samples, model = make_samples(rows, flags, os.path.join(out, "model"), opt), load_model(flags, os.path.join(out, "model"), opt)
    if flags["fine-tune-type"] == "lora":
        torch.manual_seed(2)
        model = get_peft_model(model, LoraConfig(r=flags["lora-r"], lora_alpha=flags["lora-alpha"], lora_dropout=p,
                                                 target_modules=flags["lora-target-modules"], task_type="CAUSAL_LM" if opt else "SEQ_2_SEQ_LM"))
        model.save_pretrained(os.path.join(out, "adapter_init"))
    model.train()
    state = draw_as_vkft(model, p, flags["seed"]) if p else {}
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=float(flags["learning-rate"]), weight_decay=flags["weight-decay"])
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=flags["warmup-steps"], num_training_steps=STEPS * epochs)
    expected = []
    for step in range(STEPS * epochs):
        part = samples[step % STEPS * batch:(step % STEPS + 1) * batch]
        state.update(lengths=[len(s["input_ids"]) for s in part], micro_step=step)
        tokens = golden.trained_tokens(part, not opt)
        loss = golden.loss_sum(model, golden.batch_of(part)) / tokens
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, flags["max-grad-norm"])
        expected.append(dict(loss=float(loss.detach()), grad_norm=float(norm), learning_rate=scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        print(step + 1, expected[-1]["loss"], expected[-1]["grad_norm"], flush=True)
    return expected


def train_vkft(program, recipe, flags, out):
    command = [program, "train", "-c", recipe, "--model", os.path.join(out, "model"), "--data", os.path.join(out, "data.jsonl"),
               "--output-dir", os.path.join(out, "out"), "--overwrite", "--no-shuffle"]
    for name, value in flags.items():
        command += ["--" + name, value]
    if os.path.exists(os.path.join(out, "adapter_init")):
        command += ["--init-adapter", os.path.join(out, "adapter_init")]
    print(" ".join(command), flush=True)
    subprocess.run(command, check=True)
    with open(os.path.join(out, "out", "trainer_log.jsonl")) as f:
        return [r for r in map(json.loads, f) if "loss" in r]


def compare_run(name, program, data, out):
    """(agrees, a line that says how closely)"""
    recipe, model, rows, flags = RUNS[name]
    path = os.path.join(RECIPES, recipe + ".yaml")
    settings = {"fine-tune-type": "lora"} | read_recipe(path) | flags
    rows = read_rows(os.path.join(RECIPES, "data", rows))[:STEPS * settings["batch-size"]]
    assert len(rows) == STEPS * settings["batch-size"]
    shutil.rmtree(out, ignore_errors=True)
    make_model(os.path.join(data, "configs", model + ".json"), os.path.join(data, "tokenizers", TOKENIZERS[model]), os.path.join(out, "model"))
    with open(os.path.join(out, "data.jsonl"), "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    expected = train_reference(settings, rows, out)
    found = train_vkft(program, path, flags, out)
    worst = {key: max((abs(r[key] - w[key]) / abs(w[key]) for r, w in zip(found, expected)), default=1.0) for key in expected[0]}
    bound = 1e-5 if settings["quant"] != "nf4" else 2**-9 if settings["compute-dtype"] == "bf16" else 1e-4
    agrees = len(found) == len(expected) and worst["loss"] <= bound and worst["learning_rate"] <= 1e-6
    return agrees, (f"{name}: {len(found)} of {len(expected)} steps: loss within {worst['loss']:.1e} (bound {bound:.1e}), "
                    f"gradient norm within {worst['grad_norm']:.1e}, learning rate within {worst['learning_rate']:.1e}")


def compare(program, data, out, *names):
    results = [compare_run(name, program, data, os.path.join(out, name)) for name in names or RUNS]
    for agrees, line in results:
        print(line if agrees else "FAILED " + line)
    sys.exit(not all(agrees for agrees, _ in results))


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    {"compare": compare, "model": make_model}[sys.argv[1]](*sys.argv[2:])
