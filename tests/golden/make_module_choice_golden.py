"""Which modules PEFT adapts, and with which rank and alpha, for settings that name modules.

    python3 make_module_choice_golden.py OUT.json

OUT.json: a list of {model, config (as config.json), flags (of vkft train), modules: {name: [r, lora_alpha]}}. test_module_choice reads it.
"""
import json
import sys

from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GPTNeoXConfig, LlamaConfig, T5Config

MODELS = {
    "llama": LlamaConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=12, num_attention_heads=2, num_key_value_heads=1, vocab_size=32),
    "gpt_neox": GPTNeoXConfig(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, vocab_size=32),
    "t5": T5Config(d_model=16, d_kv=8, d_ff=24, num_layers=2, num_decoder_layers=3, num_heads=2, vocab_size=32, decoder_start_token_id=0),
}

# (model, settings of LoraConfig, flags)
CASES = [
    ("llama", dict(target_modules=["q_proj", "layers.1.mlp.up_proj"]), dict(target="q_proj, layers.1.mlp.up_proj")),
    ("llama", dict(target_modules="all-linear"), dict(target="all-linear")),
    ("llama", dict(target_modules=r".*\.1\.(self_attn|mlp)\.(q|up)_proj"), dict(target=r".*\.1\.(self_attn|mlp)\.(q|up)_proj")),
    ("llama", dict(target_modules=r"model\.layers\.\d+\.self_attn\.[qv]_proj"), dict(target=r"model\.layers\.\d+\.self_attn\.[qv]_proj")),
    ("llama", dict(target_modules=r"(?!.*layers\.[2-9]).*_proj"), dict(target=r"(?!.*layers\.[2-9]).*_proj")),
    ("llama", dict(target_modules=["q_proj", "up_proj"], exclude_modules=["layers.1.self_attn.q_proj"]),
     dict(target='["q_proj", "up_proj"]', exclude="layers.1.self_attn.q_proj")),
    ("llama", dict(target_modules="all-linear", exclude_modules=r".*\.1?[0-9]\.mlp.*"), dict(target="all-linear", exclude=r".*\.1?[0-9]\.mlp.*")),
    ("llama", dict(target_modules=r".*attn\..*", exclude_modules=["k_proj", "o_proj"]), dict(target=r".*attn\..*", exclude="k_proj,o_proj")),
    ("llama", dict(target_modules=["q_proj", "down_proj"], layers_to_transform=[1, 11]), dict(target="q_proj,down_proj", layers="1,11")),
    ("llama", dict(target_modules=["q_proj"], layers_to_transform=[3], layers_pattern="layers"),
     dict(target="q_proj", layers="[3]", layers_pattern="layers")),
    ("llama", dict(target_modules=["q_proj", "v_proj"], rank_pattern={"q_proj": 2, r"layers\.1\.self_attn\.v_proj": 3}, alpha_pattern={"v_proj": 5}),
     dict(target="q_proj,v_proj", rank_pattern=r"q_proj=2,layers\.1\.self_attn\.v_proj=3", alpha_pattern="v_proj=5")),
    ("llama", dict(target_modules=["q_proj", "k_proj"], rank_pattern={r".*\.1[01]\..*": 7, "q_proj": 1}, alpha_pattern={"^model.layers.2.*": 0.5}),
     dict(target="q_proj,k_proj", rank_pattern=json.dumps({r".*\.1[01]\..*": 7, "q_proj": 1}), alpha_pattern="^model.layers.2.*=0.5")),
    ("llama", dict(target_modules=["q_proj", "embed_tokens", "lm_head"], rank_pattern={"lm_head": 2}), dict(target="q_proj,embed_tokens,lm_head", rank_pattern="lm_head=2")),
    ("llama", dict(target_modules=r"lm_head|.*v_proj"), dict(target=r"lm_head|.*v_proj")),
    ("gpt_neox", dict(target_modules=["dense", "embed_in", "lm_head"]), dict(target="dense,embed_in,lm_head")),
    ("t5", dict(target_modules=["q", "embed_tokens"]), dict(target="q,embed_tokens")),
    ("t5", dict(target_modules=["q", "wo"], layers_to_transform=[2]), dict(target="q,wo", layers="2")),
    ("t5", dict(target_modules=r"decoder\..*\.(q|v)", exclude_modules=["EncDecAttention.q"]),
     dict(target=r"decoder\..*\.(q|v)", exclude="EncDecAttention.q")),
    ("t5", dict(target_modules="all-linear", exclude_modules=r"encoder\..*"), dict(target="all-linear", exclude=r"encoder\..*")),
]


def main():
    made = []
    for name, settings, flags in CASES:
        config = MODELS[name]
        kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model = get_peft_model(kind.from_config(config), LoraConfig(r=4, lora_alpha=8, **settings))
        modules = {}
        for path, module in model.base_model.model.named_modules():
            if hasattr(module, "lora_A"):
                modules[path] = [module.r["default"], module.lora_alpha["default"]]
        made.append(dict(model=name, config={k: v for k, v in config.to_dict().items() if v is not None}, flags=flags, modules=modules))
        print(name, flags, len(modules))
    with open(sys.argv[1], "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(case, sort_keys=True) for case in made) + "\n]\n")


if __name__ == "__main__":
    main()
