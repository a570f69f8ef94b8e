"""Golden runs of preference training: TRL's trainers on models of make_training_golden.py, float32 on the CPU.

    python3 make_preference_golden.py OUT_DIR [CASE ...]        needs trl 1.16, datasets, and what make_training_golden.py needs

OUT_DIR/rows.json is how TRL tokenizes texts and conversations, with the tokenizer of tools/bundled/model and the template that it names.
OUT_DIR/pairs.jsonl, pairs_valid.jsonl, labelled.jsonl and labelled_valid.jsonl are the data of runs, as ids. Each case becomes OUT_DIR/CASE.json:

    model       the case of tests/data/golden/ whose model and adapter_init it trains
    data        "pairs" or "labelled"
    flags       of `vkft train`
    steps       of each of 20 optimizer steps: loss, grad_norm, and what TRL logs under its names
    eval        the same of the validation data, after the last step

The trainers are TRL's own, DPOTrainer, KTOTrainer, and the experimental ORPOTrainer and CPOTrainer (loss_type simpo); the data comes to them as words
that are numbers. They are only watched: the loss of a step is what training_step returned, the metrics what log() averages. The reference is the
adapter that training begins with. 4-bit weights are decoded by bitsandbytes first, since TRL would round the adapter of a quantized model to bfloat16.
37 pairs in batches of 2, two of them for a step: the last batch of an epoch has one pair, and the last step one batch.
"""
import json
import os
import sys
import tempfile
from types import SimpleNamespace

import torch
from bitsandbytes.functional import dequantize_4bit
from datasets import Dataset
from datasets.fingerprint import Hasher
from peft import PeftModel
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, PreTrainedTokenizerFast
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "golden")
WORDS, EOS, STEPS, BATCH, ACCUMULATION = 83, 2, 20, 2, 2
NAMES = {"rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected", "nll_loss",
         "log_odds_ratio", "log_odds_chosen", "kl"}

CASES = {
    "dpo": dict(kind="dpo", model="llama_gqa"),
    "dpo_smoothed": dict(kind="dpo", model="qwen3", label_smoothing=0.1, loss="robust"),
    "dpo_hinge": dict(kind="dpo", model="qwen3", loss="hinge", beta=0.2),
    "dpo_ipo": dict(kind="dpo", model="llama_gqa", loss="ipo"),
    "dpo_sigmoid_norm": dict(kind="dpo", model="qwen3", loss="sigmoid_norm", beta=2.0),
    "dpo_exo_pair": dict(kind="dpo", model="llama_gqa", loss="exo_pair", label_smoothing=0.001),
    "dpo_nca_pair": dict(kind="dpo", model="llama_gqa", loss="nca_pair"),
    "dpo_bco_pair": dict(kind="dpo", model="llama_gqa", loss="bco_pair"),
    "dpo_sppo_hard": dict(kind="dpo", model="llama_gqa", loss="sppo_hard"),
    "dpo_apo_zero": dict(kind="dpo", model="llama_gqa", loss="apo_zero"),
    "dpo_apo_down": dict(kind="dpo", model="llama_gqa", loss="apo_down"),
    "dpo_ld_alpha": dict(kind="dpo", model="qwen3", ld_alpha=0.3),
    "dpo_cut": dict(kind="dpo", model="qwen3", max_length=12),
    "dpo_nf4": dict(kind="dpo", model="nf4"),
    "dpo_qwen3": dict(kind="dpo", model="qwen3"),
    "orpo": dict(kind="orpo", model="llama_gqa"),
    "orpo_qwen3": dict(kind="orpo", model="qwen3", beta=0.3),
    "orpo_nf4": dict(kind="orpo", model="nf4"),
    "simpo": dict(kind="simpo", model="llama_gqa", beta=2.0),
    "simpo_qwen3": dict(kind="simpo", model="qwen3", beta=2.5, gamma=1.0, label_smoothing=0.1),
    "simpo_nf4": dict(kind="simpo", model="nf4", beta=2.0),
    "kto": dict(kind="kto", model="llama_gqa"),
    "kto_weighted": dict(kind="kto", model="qwen3", desirable=1.5, undesirable=0.7, beta=0.3),
    "kto_nf4": dict(kind="kto", model="nf4"),
}


TEMPLATE = """{% if tools %}<tools>{{ tools | tojson }}</tools>
{% endif %}{% for m in messages %}<{{ m.role }}>{% if m.tool_calls %}{% for c in m.tool_calls %}<call>{{ c.function | tojson }}</call>{% endfor %}{% else %}{{ m.content }}{% endif %}</{{ m.role }}>
{% endfor %}{% if add_generation_prompt %}<assistant>{% if thinking is defined and thinking %}<think>{% endif %}{% endif %}"""
USER = lambda text: dict(role="user", content=text)
ANSWER = lambda text: dict(role="assistant", content=text)
CALL = lambda name, **values: dict(role="assistant", content="", tool_calls=[dict(type="function", function=dict(name=name, arguments=values))])
TOOLS = [dict(type="function", function=dict(name="weather", description="The weather.", parameters=dict(type="object", properties=dict(city=dict(type="string")))))]
PAIRS = [
    dict(prompt="Say hello.", chosen=" Good morning.", rejected=" Yo."),
    dict(prompt="Zahl: ", chosen="zwölf", rejected="12"),
    dict(prompt="no space", chosen="between", rejected="betwixt them"),
    dict(chosen="The sky is blue. That is so.", rejected="The sky is green, perhaps."),
    dict(chosen="한국어 문장입니다.", rejected="한국어 문장이야."),
    dict(chosen="one", rejected="one and more"),
    dict(prompt="", chosen="a whole text", rejected="another one"),
    dict(prompt=[USER("Hi")], chosen=[ANSWER("Good day.")], rejected=[ANSWER("What?")]),
    dict(prompt=[dict(role="system", content="Be kind."), USER("Hi")], chosen=[ANSWER("Good day."), USER("And?"), ANSWER("Fine.")], rejected=[ANSWER("No.")]),
    dict(chosen=[USER("2+2?"), ANSWER("4")], rejected=[USER("2+2?"), ANSWER("5")]),
    dict(chosen=[USER("a"), ANSWER("b"), USER("c"), ANSWER("d")], rejected=[USER("a"), ANSWER("b"), USER("c"), ANSWER("e")]),
    dict(prompt=[USER("Weather in Kiel?")], chosen=[CALL("weather", city="Kiel")], rejected=[ANSWER("I do not know.")], tools=TOOLS),
    dict(prompt=[USER("Weather in Kiel?"), CALL("weather", city="Kiel"), dict(role="tool", content="rain")], chosen=[ANSWER("It rains.")],
         rejected=[CALL("weather", city="Rome")], tools=json.dumps(TOOLS)),
    dict(prompt=[USER("Think.")], chosen=[ANSWER("Yes.")], rejected=[ANSWER("No.")], chat_template_kwargs=dict(thinking=True)),
]
LABELLED = [
    dict(prompt="Say hello.", completion=" Good morning.", label=True),
    dict(prompt=[USER("Hi")], completion=[ANSWER("What?")], label=False),
    dict(prompt=[USER("Weather in Kiel?")], completion=[CALL("weather", city="Kiel")], label=True, tools=TOOLS),
]


def tokenize_rows(trainer_class, rows):
    """Each row as a data set of its own: what a trainer does depends on the first."""
    tokenizer = AutoTokenizer.from_pretrained(os.path.join(GOLDEN, "..", "..", "..", "tools", "bundled", "model"))
    tokenizer.chat_template = TEMPLATE
    trainer = trainer_class.__new__(trainer_class)
    trainer._tokenizer, trainer.calculate_KL, trainer.desirable_weight, trainer.undesirable_weight = tokenizer, False, 1.0, 1.0
    made = []
    for row in rows:
        # not from_list: it would give tool calls of other rows' arguments, as null
        args = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
        ids = trainer._prepare_dataset(OneRow(row), tokenizer, args, "train").row
        made.append(dict(row=row, ids={key: ids[key] for key in ids if key.endswith("_ids")}))
    return made


class OneRow:
    """As much of a data set as _prepare_dataset uses."""

    def __init__(self, row):
        self.row = row

    def __iter__(self):
        return iter([self.row])

    def __getitem__(self, key):
        return [self.row[key]]

    def map(self, function, fn_kwargs=None, **kwargs):
        row = json.loads(json.dumps(self.row))
        return OneRow({**row, **function(row, **(fn_kwargs or {}))})


def make_answer(last, generator, step):
    n, ids = int(torch.randint(1, 12, (1,), generator=generator)), []
    for _ in range(n):
        last = (step * last + 7) % (WORDS - 3) + 3 if torch.rand(1, generator=generator) < 0.7 else int(torch.randint(3, WORDS, (1,), generator=generator))
        ids.append(last)
    return ids + [EOS]


def make_pairs(count, seed):
    generator, rows = torch.Generator().manual_seed(seed), []
    for _ in range(count):
        prompt = torch.randint(3, WORDS, (int(torch.randint(1, 9, (1,), generator=generator)),), generator=generator).tolist()
        rows.append(dict(prompt_ids=prompt, chosen_ids=make_answer(prompt[-1], generator, 3), rejected_ids=make_answer(prompt[-1], generator, 5)))
    return rows


def make_labelled(count, seed):
    generator, rows = torch.Generator().manual_seed(seed), []
    for pair in make_pairs(count, seed + 1):
        good = bool(torch.rand(1, generator=generator) < 0.6)
        rows.append(dict(prompt_ids=pair["prompt_ids"], completion_ids=pair["chosen_ids" if good else "rejected_ids"], label=good))
    return rows


def as_words(rows):
    text = lambda ids: " ".join(str(i) for i in ids if i != EOS)
    made = []
    for row in rows:
        new = {key[:-4]: text(value) for key, value in row.items() if key.endswith("_ids")}
        new = {key: value + " " if key == "prompt" else value for key, value in new.items()}
        made.append({**new, **({"label": row["label"]} if "label" in row else {})})
    return Dataset.from_list(made)


def make_tokenizer():
    vocab = {("<eos>" if i == EOS else "<pad>" if i == 0 else str(i)): i for i in range(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>")


def load_model(name):
    path = os.path.join(GOLDEN, name, "model")
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    if name.startswith("nf4"):
        quantized = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32, bnb_4bit_use_double_quant=name == "nf4_double"))
        plain = dict(model.named_modules())
        for key, module in quantized.named_modules():
            if type(module).__name__ == "Linear4bit":
                plain[key].weight.data = dequantize_4bit(module.weight.data, module.weight.quant_state).float()
    return PeftModel.from_pretrained(model, os.path.join(GOLDEN, name, "adapter_init"), is_trainable=True)


def watched(trainer_class, seen):
    class Watched(trainer_class):
        def training_step(self, *args, **kwargs):
            loss = super().training_step(*args, **kwargs)
            seen["losses"].append(float(loss))
            return loss

        def log(self, logs, *args, **kwargs):
            kind = "eval" if any(key.startswith("eval_") for key in logs) else "train"
            stored = getattr(self, "_metrics", None) or self._stored_metrics
            if "loss" in logs or kind == "eval":
                row = {key.removeprefix("eval_"): sum(map(float, values)) / len(values) for key, values in stored[kind].items()}
                row = {key: value for key, value in row.items() if key in NAMES and (key != "nll_loss" or trainer_class is ORPOTrainer)}
                if kind == "train":
                    row["loss"], row["grad_norm"] = sum(seen["losses"]), float(logs["grad_norm"])
                    seen["losses"] = []
                else:
                    row["loss"] = float(logs["eval_loss"])
                seen[kind].append(row)
            return super().log(logs, *args, **kwargs)

    return Watched


def run(name, case, out):
    kind, labelled = case["kind"], case["kind"] == "kto"
    torch.manual_seed(1)
    own, flags = {}, ["--objective", kind]
    options = dict(beta=("beta", "--beta"), loss=("loss_type", "--loss-type"), label_smoothing=("label_smoothing", "--label-smoothing"),
                   ld_alpha=("ld_alpha", "--ld-alpha"), max_length=("max_length", "--max-seq-length"), gamma=("simpo_gamma", "--simpo-gamma"),
                   desirable=("desirable_weight", "--desirable-weight"), undesirable=("undesirable_weight", "--undesirable-weight"))
    for key, (theirs, ours) in options.items():
        if key in case:
            own[theirs] = [case[key]] if key == "loss" else case[key]
            flags += [ours, str(case[key])]
    if kind == "simpo":
        own.update(loss_type="simpo", cpo_alpha=0.0)
    config_class, trainer_class = dict(dpo=(DPOConfig, DPOTrainer), orpo=(ORPOConfig, ORPOTrainer), simpo=(CPOConfig, CPOTrainer), kto=(KTOConfig, KTOTrainer))[kind]
    data = "labelled" if labelled else "pairs"
    rows = [json.loads(line) for line in open(os.path.join(out, data + ".jsonl"))]
    valid = [json.loads(line) for line in open(os.path.join(out, data + "_valid.jsonl"))]
    seen = dict(losses=[], train=[], eval=[])
    with tempfile.TemporaryDirectory() as directory:
        args = config_class(output_dir=directory, use_cpu=True, bf16=False, fp16=False, gradient_checkpointing=False, per_device_train_batch_size=BATCH,
                            per_device_eval_batch_size=BATCH, gradient_accumulation_steps=ACCUMULATION, max_steps=STEPS, learning_rate=2e-3,
                            lr_scheduler_type="linear", warmup_steps=0, weight_decay=0.01, max_grad_norm=1.0, optim="adamw_torch", logging_steps=1,
                            save_strategy="no", report_to="none", train_sampling_strategy="sequential", disable_tqdm=True, **own)
        trainer = watched(trainer_class, seen)(model=load_model(case["model"]), args=args, train_dataset=as_words(rows), eval_dataset=as_words(valid),
                                               processing_class=make_tokenizer())
        trainer.train()
        trainer.evaluate()
    assert len(seen["train"]) == STEPS and len(seen["eval"]) == 1
    flags += ["--batch-size", str(BATCH), "--gradient-accumulation-steps", str(ACCUMULATION), "--max-steps", str(STEPS), "--learning-rate", "2e-3",
              "--lr-scheduler-type", "linear", "--warmup-steps", "0", "--weight-decay", "0.01", "--max-grad-norm", "1"]
    with open(os.path.join(out, name + ".json"), "w") as f:
        json.dump(dict(model=case["model"], data=data, flags=flags, steps=seen["train"], eval=seen["eval"][0]), f, indent=1)
        f.write("\n")


def main():
    Hasher.hash = classmethod(lambda cls, value: os.urandom(8).hex())  # nothing is cached, and what is defined here cannot be pickled
    out, wanted = sys.argv[1], sys.argv[2:] or list(CASES)
    os.makedirs(out, exist_ok=True)
    with open(os.path.join(out, "rows.json"), "w") as f:
        json.dump(dict(template=TEMPLATE, pairs=tokenize_rows(DPOTrainer, PAIRS), labelled=tokenize_rows(KTOTrainer, LABELLED)), f, ensure_ascii=False, indent=1)
        f.write("\n")
    for name, rows in dict(pairs=make_pairs(37, 5), pairs_valid=make_pairs(7, 6), labelled=make_labelled(38, 7), labelled_valid=make_labelled(8, 8)).items():
        with open(os.path.join(out, name + ".jsonl"), "w") as f:
            f.writelines(json.dumps(row) + "\n" for row in rows)
    for name in wanted:
        run(name, CASES[name], out)
        print(name, flush=True)


if __name__ == "__main__":
    main()
