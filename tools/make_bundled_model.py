"""Makes tools/bundled: a small Llama model that has learned the world of bundled_world.py, its tokenizer, and an instruction data set.

    python3 tools/make_bundled_model.py [OUT_DIR]

Needs torch, transformers and tokenizers. One thread and fixed seeds, so that the same versions of these on the same processor make the same
files; takes about ten minutes. The sizes are chosen so that everything together stays below 2 MB.
"""
import json
import os
import sys
import time

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import bundled_world as world

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEMPLATE = ("Below is an instruction that describes a task, paired with an input that provides further context. Write a response that "
            "appropriately completes the request.\n\n### Instruction:\n%s\n\n### Input:\n%s\n\n### Response:\n%s")
DOCUMENTS, SEED = 44000, 20240601
WIDTH, ROWS, RATE, WARMUP = 128, 16, 4e-3, 100


def make_tokenizer(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated", invert=False),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=2048, special_tokens=[BOS, EOS], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1",
                                      special_tokens=[(BOS, tokenizer.token_to_id(BOS))])])
    return tokenizer


def make_stream(tokenizer, texts):
    """All documents one after the other, each between BOS and EOS, cut into rows."""
    ids = []
    for encoded in tokenizer.encode_batch(texts):
        ids += encoded.ids + [tokenizer.token_to_id(EOS)]
    rows = torch.tensor(ids[:len(ids) // WIDTH * WIDTH]).view(-1, WIDTH)
    return rows


def make_config(tokenizer):
    return LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=512, rms_norm_eps=1e-5, tie_word_embeddings=True,
        bos_token_id=tokenizer.token_to_id(BOS), eos_token_id=tokenizer.token_to_id(EOS), initializer_range=0.05)


def learn(model, rows):
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([dict(params=decayed, weight_decay=0.1), dict(params=plain, weight_decay=0.0)], lr=RATE, betas=(0.9, 0.95))
    steps = len(rows) // ROWS
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=WARMUP / steps, cycle_momentum=False,
                                                   final_div_factor=1000)
    started = time.time()
    for step in range(steps):
        batch = rows[step * ROWS:(step + 1) * ROWS]
        logits = model(input_ids=batch).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step}/{steps} loss {loss.item():.4f} {time.time() - started:.0f} s", flush=True)


def write_jsonl(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        for row in rows:
            f.write(json.dumps(row, ensure_ascii=False) + "\n")


def show(model, tokenizer, prompts):
    for prompt in prompts:
        ids = torch.tensor([tokenizer.encode(prompt).ids])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False, pad_token_id=1)
        print(repr(prompt), "->", repr(tokenizer.decode(out[0, ids.shape[1]:].tolist())))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "bundled")
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    os.makedirs(os.path.join(out, "model"), exist_ok=True)

    train, valid = world.instructions(SEED, 400, 60)
    write_jsonl(os.path.join(out, "instructions.jsonl"), train)
    write_jsonl(os.path.join(out, "valid.jsonl"), valid)

    texts = list(world.documents(SEED, DOCUMENTS))
    asked = [TEMPLATE % (row["instruction"], row["input"], row["output"]) for row in train]
    tokenizer = make_tokenizer(texts[:8000] + asked)
    rows = make_stream(tokenizer, texts)
    model = LlamaForCausalLM(make_config(tokenizer))
    print(f"{rows.numel()} tokens, {sum(p.numel() for p in model.parameters())} parameters")
    learn(model, rows)

    model = model.to(torch.bfloat16)
    model.generation_config.update(bos_token_id=model.config.bos_token_id, eos_token_id=model.config.eos_token_id)
    model.save_pretrained(os.path.join(out, "model"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=EOS, model_max_length=512,
                            clean_up_tokenization_spaces=False).save_pretrained(os.path.join(out, "model"))
    special = dict(bos_token=BOS, eos_token=EOS)
    with open(os.path.join(out, "model", "special_tokens_map.json"), "w") as f:
        json.dump(special, f, indent=2)
        f.write("\n")
    show(model.float(), tokenizer, ["One day", "The opposite of hot", "어느 날", "A dog says", "6 plus 3 is", "하늘은", TEMPLATE.split("%s")[0] + "Name the opposite of hot.\n\n### Response:\n"])


if __name__ == "__main__":
    main()
