"""Compares chat templates, token ids and assistant masks with transformers.

    python3 compare_chat_templates.py VKFT_PROGRAM DATA

DATA holds tokenizers/ and chat/ as tests/formats/tokenizer/test_tokenizer_vectors.c expects them. Each template is rendered for several conversations
(system, several turns, tools) by transformers and by `vkft template --json`. The reference mask is what transformers gives where the
template has {% generation %} marks; for the others it is the tokens, by transformers' own char_to_token, of the assistant's turns from
after the header to the end-of-turn token. Prints one line a template; exit code 1 when anything differs.
"""
import datetime
import json
import os
import re
import subprocess
import sys
import tempfile

from tokenizers import AddedToken
from transformers import AutoTokenizer, PreTrainedTokenizerFast

CHATML = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI "
          "assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
          "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
MARKED = ("{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}{%- if m.role == 'assistant' %}{%- generation %}{{- m.content + "
          "'<|im_end|>' }}{%- endgeneration %}{%- else %}{{- m.content + '<|im_end|>' }}{%- endif %}{{- '\n' }}{%- endfor %}")
IM = r"<\|im_start\|>assistant\n(.*?<\|im_end\|>)"
CALL = {"type": "function", "id": "abcdefghi", "function": {"name": "get_weather", "arguments": {"city": "서울", "days": 3, "metric": True}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city \"now\" <b>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "The city"}, "days": {"type": "integer"}}, "required": ["city"]}}}]
TURNS = [{"role": "user", "content": "Hello, how are you?"}, {"role": "assistant", "content": "I'm doing great. How can I help you today?"},
         {"role": "user", "content": "고양이에 대해 알려줘. 👩‍👩‍👧  "}, {"role": "assistant", "content": "고양이는 귀여워요!\n\n1. 야옹\n2. def f(x): return x"}]
CONVERSATIONS = {
    "turns": (TURNS, None),
    "system": ([{"role": "system", "content": "You are brief."}] + TURNS, None),
    "same text": ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Hi"},
                   {"role": "assistant", "content": "Hi"}], None),
    "tools": ([{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
               {"role": "tool", "content": "{\"t\": 21.5}", "tool_call_id": "abcdefghi", "name": "get_weather"}, {"role": "assistant", "content": "21.5 degrees."}], TOOLS),
    "thinking": ([{"role": "user", "content": "2+2"}, {"role": "assistant", "content": "<think>\nadd\n</think>\n\n4"}, {"role": "user", "content": "3+3"},
                  {"role": "assistant", "content": "<think>\nagain\n</think>\n\n6"}], None),
}
ALL, NO_TOOLS = list(CONVERSATIONS), [c for c in CONVERSATIONS if c != "tools"]


def models(data):
    """name: (tokenizer directory, template or None for its own, what the assistant says in the text, conversations)"""
    published = {c["name"].split(" ")[0]: c["template"] for c in json.load(open(data + "/chat/llamacpp_template_cases.json"))["cases"]}
    gemma = json.load(open(data + "/tokenizers/gemma3/chat_template.json"))["chat_template"]
    return {
        "Llama 3.2": ("llama3", None, r"<\|start_header_id\|>assistant<\|end_header_id\|>\n\n(.*?<\|eot_id\|>)", ALL),
        "Qwen 2.5": ("qwen2.5", None, IM, ALL),
        "Qwen 3": ("qwen3", None, IM, ALL),
        "Mistral 7B": ("llama2", published["mistralai/Mistral-7B-Instruct-v0.2"], r"\[/INST\](.*?</s>)", ["turns", "same text", "thinking"]),
        "Mistral Nemo": ("llama2", published["Mistral-Nemo-Instruct-2407"], r"(?:\[/INST\]|\[/TOOL_RESULTS\])(.*?</s>)", ALL),
        "Gemma 3": ("llama2", gemma, r"<start_of_turn>model\n(.*?<end_of_turn>\n)", NO_TOOLS),
        "Phi 3": ("phi-3-mini", None, r"<\|assistant\|>\n(.*?<\|end\|>)", NO_TOOLS),
        "Phi 4": ("qwen2.5", published["phi-4"], r"<\|im_start\|>assistant<\|im_sep\|>(.*?<\|im_end\|>)", NO_TOOLS),
        "SmolLM 2": ("smollm2", CHATML, IM, NO_TOOLS),
        "TinyLlama": ("tinyllama", None, r"<\|assistant\|>\n(.*?</s>)", NO_TOOLS),
        "ChatML with marks": ("qwen2.5", MARKED, None, NO_TOOLS),
    }


def link(data, name, directory):
    """A model directory; Qwen 3 and TinyLlama share another one's vocabulary."""
    for source in [name, {"qwen3": "qwen2.5", "tinyllama": "llama2"}.get(name, name)]:
        for file in os.listdir(f"{data}/tokenizers/{source}"):
            if not os.path.exists(f"{directory}/{file}") and file != ("tokenizer.model" if source == "llama2" else ""):
                os.symlink(os.path.abspath(f"{data}/tokenizers/{source}/{file}"), f"{directory}/{file}")


def load(directory):
    """tokenizer.json as it stands; else what transformers makes of the other files."""
    if not os.path.exists(directory + "/tokenizer.json"):
        return AutoTokenizer.from_pretrained(directory)
    config = json.load(open(directory + "/tokenizer_config.json"))
    text = {k: v["content"] if isinstance(v, dict) else v for k, v in config.items() if k in ("bos_token", "eos_token")}
    added = {int(i): AddedToken(**t) for i, t in config.get("added_tokens_decoder", {}).items()}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=directory + "/tokenizer.json", added_tokens_decoder=added, **text)
    template = directory + "/chat_template.jinja"
    tokenizer.chat_template = open(template).read() if os.path.exists(template) else config.get("chat_template")
    return tokenizer


def reference(tokenizer, messages, tools, says):
    if says is None:
        out = tokenizer.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True)
        return None, list(out["input_ids"]), list(out["assistant_masks"])
    text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False)
    encoded = tokenizer(text, add_special_tokens=False)
    mask = [0] * len(encoded["input_ids"])
    for turn in re.finditer(says, text, re.DOTALL):
        first, last = encoded.char_to_token(turn.start(1)), encoded.char_to_token(turn.end(1) - 1)
        mask[first:last + 1] = [1] * (last + 1 - first)
    return text, list(encoded["input_ids"]), mask


def main(program, data):
    wrong = 0
    for name, (tokenizer_name, template, says, conversations) in models(data).items():
        with tempfile.TemporaryDirectory() as directory:
            link(data, tokenizer_name, directory)
            tokenizer = load(directory)
            arguments = [program, "template", "--json", "--model", directory]
            if template:
                tokenizer.chat_template = template
                with open(directory + "/given.jinja", "w") as f:
                    f.write(template)
                arguments += ["--chat-template", directory + "/given.jinja"]
            bad = []
            for conversation in conversations:
                messages, tools = CONVERSATIONS[conversation]
                want = reference(tokenizer, messages, tools, says)
                done = subprocess.run(arguments, input=json.dumps({"messages": messages, "tools": tools}), capture_output=True, text=True)
                if done.returncode:
                    bad.append(f"{conversation}: {done.stderr.strip()}")
                    continue
                got = json.loads(done.stdout)
                for i, part in enumerate(["text", "ids", "assistant_mask"]):
                    if want[i] is not None and got[part] != want[i]:
                        detail = [(k, g, w, tokenizer.decode([want[1][k]])) for k, (g, w) in enumerate(zip(got[part], want[i])) if g != w][:6]
                        bad.append(f"{conversation}: {part}: {detail} of {len(got[part])} and {len(want[i])}")
                        break
            print(f"{name}: {len(conversations)} conversations, {len(bad)} differ", *bad, sep="\n    " if bad else "")
            wrong += len(bad)
    print(f"{datetime.date.today()}: {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
