"""Two recipes that tutorials contain, from a directory that holds what the hub has, step for step against transformers + PEFT + bitsandbytes.

    python3 check_recipes.py make RECIPE DIR TOKENIZER CONFIG DATA STEPS [EPOCHS]     # DIR/model, DIR/data.*, DIR/expected.json, DIR/recipe.json
    vkft train -c DIR/recipe.json
    python3 check_recipes.py compare DIR

RECIPE is one of
    opt-lora      OPT, LoRA r 8, alpha 16, dropout 0.1 on q_proj and v_proj, batch 4, learning rate 2e-4; weights in fp16 as pytorch_model.bin,
                  vocab.json and merges.txt
    opt-qlora     the same in 4 bits (nf4), batch 8
    opt-qlora-bf16     the same with products in bf16: bnb_4bit_compute_dtype=torch.bfloat16 there, --compute-dtype bf16 here
    t5-full       flan-t5, all weights, "Instruction: ...\\nInput: ...\\nResponse:", 256 tokens on either side, batch 4, learning rate 2e-4
    t5-lora       the same with LoRA r 8, alpha 16 on q and v

TOKENIZER is a directory with the tokenizer's files, CONFIG a config.json, DATA rows of text ("text" or a CSV's question and answer) or of
instruction, input and output. Weights are random, with the deviations that the models start from. STEPS are those of an epoch, over the same rows in
every epoch. The models' own dropout is off in both programs; that of the adapters is drawn in the reference as vkft draws it. The learning rate falls
linearly to 0 over all steps; there is no weight decay.
"""
import csv
import json
import os
import shutil
import sys

TEMPLATE = "Instruction: {instruction}\nInput: {input}\nResponse:"


def make_model(recipe, config_path, tokenizer_path, out):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM
    torch.manual_seed(1)
    os.makedirs(out, exist_ok=True)
    shutil.copy(config_path, os.path.join(out, "config.json"))
    for name in os.listdir(tokenizer_path):
        if os.path.isfile(os.path.join(tokenizer_path, name)):
            shutil.copy(os.path.join(tokenizer_path, name), out)
    config = AutoConfig.from_pretrained(out)
    if recipe.startswith("opt"):
        model = AutoModelForCausalLM.from_config(config).half()
        # The hub's file: the model without its head, which is tied.
        state = {k.removeprefix("model."): v for k, v in model.state_dict().items() if k != "lm_head.weight"}
        torch.save(state, os.path.join(out, "pytorch_model.bin"))
        with open(os.path.join(out, "tokenizer_config.json"), "w") as f:
            json.dump(dict(errors="replace", unk_token="</s>", bos_token="</s>", eos_token="</s>", pad_token="<pad>", add_prefix_space=False,
                           add_bos_token=True, tokenizer_class="GPT2Tokenizer"), f)
        with open(os.path.join(out, "special_tokens_map.json"), "w") as f:
            json.dump(dict(bos_token="</s>", eos_token="</s>", unk_token="</s>", pad_token="<pad>"), f)
    else:
        model = AutoModelForSeq2SeqLM.from_config(config)
        model.lm_head.weight = torch.nn.Parameter(0.05 * torch.randn_like(model.lm_head.weight))
        model.save_pretrained(out)
        shutil.copy(config_path, os.path.join(out, "config.json"))  # as the hub has it


def read_rows(path):
    if path.endswith(".csv"):
        with open(path, newline="", encoding="utf-8") as f:
            return [dict(text=f"{r[0]} {r[1]}") for r in list(csv.reader(f))[1:]]
    with open(path, encoding="utf-8") as f:
        return json.load(f) if path.endswith(".json") else [json.loads(line) for line in f]


def make_samples(recipe, rows, out):
    """Ids and labels as transformers' tokenizers make them."""
    if recipe.startswith("opt"):
        from transformers import GPT2Tokenizer
        tok = GPT2Tokenizer(os.path.join(out, "vocab.json"), os.path.join(out, "merges.txt"), unk_token="</s>", bos_token="</s>",
                            eos_token="</s>", pad_token="<pad>")
        ids = [[2] + tok(r["text"], add_special_tokens=False)["input_ids"] + [2] for r in rows]
        return [dict(input_ids=x, labels=list(x)) for x in ids]
    from transformers import AutoTokenizer
    tok = AutoTokenizer.from_pretrained(out)
    cut = lambda text: tok(text, max_length=256, truncation=True)["input_ids"]
    return [dict(input_ids=cut(TEMPLATE.format(instruction=r["instruction"], input=r.get("input", ""))), labels=cut(r["output"])) for r in rows]


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


def make(recipe, out, tokenizer, config, data, steps, epochs=1):
    import torch
    import make_training_golden as golden
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, BitsAndBytesConfig, get_scheduler
    model_dir, steps, epochs = os.path.join(out, "model"), int(steps), int(epochs)
    make_model(recipe, config, tokenizer, model_dir)
    nf4, opt, lora = recipe.startswith("opt-qlora"), recipe.startswith("opt"), recipe != "t5-full"
    batch, p, seed = 8 if nf4 else 4, 0.1 if opt else 0.0, 7
    rows = read_rows(data)[:batch * steps]
    with open(os.path.join(out, "data.jsonl"), "w") as f:
        f.writelines(json.dumps(r) + "\n" for r in rows)
    samples = make_samples(recipe, rows, model_dir)
    extra = {}
    if nf4:
        compute = torch.bfloat16 if recipe.endswith("bf16") else torch.float32
        extra["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)
    kind = AutoModelForCausalLM if opt else AutoModelForSeq2SeqLM
    model = kind.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager", **extra)
    if lora:
        torch.manual_seed(2)
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, lora_dropout=p, target_modules=["q_proj", "v_proj"] if opt else ["q", "v"],
                                                 task_type="CAUSAL_LM" if opt else "SEQ_2_SEQ_LM"))
        model.save_pretrained(os.path.join(out, "adapter_init"))
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
    state = draw_as_vkft(model, p, seed) if p else {}
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, weight_decay=0.0)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=steps * epochs)
    expected = dict(losses=[], grad_norms=[], bound=2**-9 if recipe.endswith("bf16") else 1e-4)
    for step in range(steps * epochs):
        part = samples[step % steps * batch:(step % steps + 1) * batch]
        state.update(lengths=[len(s["input_ids"]) for s in part], micro_step=step)
        tokens = golden.trained_tokens(part, not opt)
        loss = golden.loss_sum(model, golden.batch_of(part)) / tokens
        loss.backward()
        expected["losses"].append(float(loss.detach()))
        expected["grad_norms"].append(float(torch.nn.utils.clip_grad_norm_(parameters, 1.0)))
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        print(step + 1, expected["losses"][-1], expected["grad_norms"][-1], flush=True)
    with open(os.path.join(out, "expected.json"), "w") as f:
        json.dump(expected, f)
    flags = {"model": model_dir, "data": os.path.join(out, "data.jsonl"), "output-dir": os.path.join(out, "out"), "batch-size": batch,
             "gradient-accumulation-steps": 1, "num-train-epochs": epochs, "learning-rate": 2e-4, "warmup-steps": 0, "weight-decay": 0, "shuffle": False,
             "save-steps": 0, "seed": seed, "val-split": 0, "quant": "nf4" if nf4 else "fp32", "double-quant": False,
             "compute-dtype": "bf16" if recipe.endswith("bf16") else "auto"}
    flags |= {"init-adapter": os.path.join(out, "adapter_init")} if lora else {"fine-tune-type": "full"}
    flags |= {} if opt else {"max-seq-length": 256, "prompt-template": TEMPLATE}
    with open(os.path.join(out, "recipe.json"), "w") as f:
        json.dump(flags, f, indent=1)


def compare(out):
    with open(os.path.join(out, "expected.json")) as f:
        expected = json.load(f)
    with open(os.path.join(out, "out", "trainer_log.jsonl")) as f:
        rows = [r for r in map(json.loads, f) if "loss" in r]
    worst = lambda key, name: max(abs(r[key] - w) / abs(w) for r, w in zip(rows, expected[name]))
    print(f"{len(rows)} of {len(expected['losses'])} steps: loss within {worst('loss', 'losses'):.1e}, "
          f"gradient norm within {worst('grad_norm', 'grad_norms'):.1e}")
    sys.exit(len(rows) != len(expected["losses"]) or worst("loss", "losses") > expected["bound"])


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    {"make": make, "compare": compare}[sys.argv[1]](*sys.argv[2:])
