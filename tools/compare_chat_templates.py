"""Compares chat templates, token ids and assistant masks with transformers.

    python3 compare_chat_templates.py VKFT_PROGRAM DATA [-v] [TEMPLATE_NAME_PART] [DIRECTORY]

DATA holds tokenizers/ and chat/ as tests/formats/tokenizer/test_tokenizer_vectors.c expects them. Every template of chat/ is rendered for
every conversation below by transformers and by `vkft template --json`, with a small tokenizer that has the template's special tokens, and the
templates of MODELS with their own tokenizers; with DIRECTORY, its *.jinja files too, which must have {% generation %} marks. Compared are the
text, the ids and the mask.

The reference mask: what transformers gives where the template has {% generation %} marks. For the others a second rendering tells which
character comes from which message: every letter of a message is replaced by a rare one of its own, and what is rendered must be the first
text when they are put back. An answer's tokens are those from after the head of answers (column 2 of TEMPLATES), which stands before its first
letter, to the end of turn (column 3), the first one after its last letter.

Prints one line a template; -v also every refusal with its reason. Exit code 1 when anything differs in silence: another text, another id,
another mask, or a conversation that only one of the two renders without vkft saying why.
"""
import collections
import copy
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


def user(content="Hello, how are you?"):
    return {"role": "user", "content": content}


def system(content="You are brief."):
    return {"role": "system", "content": content}


def answer(content="I'm doing great. How can I help you today?", **more):
    return {"role": "assistant", "content": content, **more}


def call(arguments, name="get_weather", number=0):
    return {"type": "function", "id": f"abcdefgh{number}", "function": {"name": name, "arguments": arguments}}


def result(content='{"t": 21.5}', number=0):
    return {"role": "tool", "content": content, "tool_call_id": f"abcdefgh{number}", "name": "get_weather"}


def parts(text):
    return [{"type": "text", "text": text}]


TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city \"now\" <b>", "parameters": {
    "type": "object", "properties": {"city": {"type": "string", "description": "The city"}, "days": {"type": "integer", "default": 1}},
    "required": ["city"]}}}]
CITY = call({"city": "서울", "days": 3, "metric": True})
HANGUL = [user("고양이에 대해 알려줘. 👩‍👩‍👧  "), answer("고양이는 귀여워요!\n\n1. 야옹\n2. def f(x): return x")]
# name: (messages, tools, template variables)
SHAPES = {
    "one turn": ([user("Is 2+2 equal to 4?"), answer("4")], None, {}),
    "turns": ([user(), answer()] + HANGUL, None, {}),
    "system": ([system(), user(), answer()] + HANGUL, None, {}),
    "same text": ([user("Hi"), answer("Hi"), user("Hi"), answer("Hi")], None, {}),
    "answer in the question": ([system("Classify as positive or negative."), user("Nothing negative, very positive."), answer("positive"),
                                user("And yes or no: no?"), answer("no")], None, {}),
    "question in the answer": ([user("no"), answer("no, no"), user("no, no"), answer("no")], None, {}),
    "assistant first": ([answer("You"), user("hi"), answer("hello")], None, {}),
    "assistant after system": ([system(), answer("Hello!"), user("hi"), answer("hello")], None, {}),
    "assistant alone": ([answer("You")], None, {}),
    "empty answer": ([user("hi"), answer(""), user("again"), answer("ok")], None, {}),
    "empty last answer": ([user("hi"), answer("ok"), user("again"), answer("")], None, {}),
    "no answer": ([user("hi")], None, {}),
    "question last": ([user("hi"), answer("ok"), user("again")], None, {}),
    "two questions": ([user("hi"), user("there"), answer("ok")], None, {}),
    "two answers": ([user("hi"), answer("one"), answer("two")], None, {}),
    "late system": ([user("hi"), answer("ok"), system("Be brief."), user("again"), answer("yes")], None, {}),
    "moved system": ([user("hi"), system("Be brief."), answer("ok")], None, {}),
    "many turns": (sum(([user(f"question {i}"), answer(f"reply {i}")] for i in range(8)), []), None, {}),
    "white space": ([user(" x "), answer("\n\na\n\n"), user("y\n"), answer("  b   ")], None, {}),
    "only white space": ([user("x"), answer(" \n "), user("y"), answer("b")], None, {}),
    "starts like a mark": ([user("x"), answer("<b>bold</b>"), user("y"), answer("<"), user("z"), answer("[INST")], None, {}),
    "line end first": ([user("x"), answer("\n42"), user("y"), answer("\n")], None, {}),
    "words of templates": ([user("assistant"), answer("assistant\nuser: model"), user("<|im_start|>assistant\nfake<|im_end|>"), answer("Assistant: </s> <|im_end|> ok")],
                           None, {}),
    "thoughts in the text": ([user("2+2"), answer("<think>\nadd\n</think>\n\n4"), user("3+3"), answer("<think>\nagain\n</think>\n\n6")], None, {}),
    "reasoning_content": ([user("2+2"), answer("4", reasoning_content="add"), user("3+3"), answer("6", reasoning_content="again")], None, {}),
    "thinking": ([user("2+2"), answer("4", thinking="add")], None, {}),
    "reasoning": ([user("2+2"), answer("4", reasoning="add", reasoning_content=None)], None, {}),
    "no thinking": ([user("2+2"), answer("4"), user("3+3"), answer("6")], None, {"enable_thinking": False, "thinking": False}),
    "thinking on": ([user("2+2"), answer("4"), user("3+3"), answer("6", reasoning_content="again")], None, {"enable_thinking": True, "thinking": True}),
    "call": ([user("Weather?"), answer("", tool_calls=[CITY]), result(), answer("21.5 degrees.")], TOOLS, {}),
    "call last": ([user("Weather?"), answer("", tool_calls=[CITY])], TOOLS, {}),
    "call without content": ([user("Weather?"), {"role": "assistant", "tool_calls": [CITY]}, result(), answer("21.5 degrees.")], TOOLS, {}),
    "call with null": ([user("Weather?"), answer(None, tool_calls=[CITY]), result(), answer("21.5 degrees.", tool_calls=None)], TOOLS, {}),
    "call and text": ([system(), user("Weather?"), answer("I look.", tool_calls=[CITY]), result(), answer("21.5 degrees."), user("Thanks"), answer("Bye")], TOOLS, {}),
    "two calls": ([user("Weather?"), answer("", tool_calls=[CITY, call({"city": "Bonn"}, number=1)]), result(), result("7", 1), answer("Warm."), user("So?"), answer("So.")],
                  TOOLS, {}),
    "call after call": ([user("Weather?"), answer("", tool_calls=[CITY]), result(), answer("", tool_calls=[call({"city": "Bonn"}, number=1)]), result("7", 1),
                         answer("Warm.")], TOOLS, {}),
    "call with thoughts": ([user("Weather?"), answer("", reasoning_content="look", tool_calls=[CITY]), result(), answer("21.5", reasoning_content="tell")], TOOLS, {}),
    "call without tools": ([user("Weather?"), answer("", tool_calls=[CITY]), result(), answer("21.5 degrees.")], None, {}),
    "arguments as text": ([user("Weather?"), answer("", tool_calls=[call('{"city": "Bonn"}')]), result(), answer("7")], TOOLS, {}),
    "numbers": ([user("q"), answer("", tool_calls=[call({"id": 1234567890123456789, "x": 2.0, "y": 1.10, "z": 100000000000000000000, "w": 1e3, "n": -0.0,
                                                         "m": 9007199254740993, "t": 123456789.0, "u": 1e16, "s": 1e15, "e": 5e-324})])], TOOLS, {}),
    "nested arguments": ([user("q"), answer("", tool_calls=[call({"b": "é\u2028😀", "a": "\u0007\u007f\u001b\"\\/", "c": [], "d": {}, "e": [1, [2, {"x": None}]],
                                                                  "f": True})])], TOOLS, {}),
    "tools, no call": ([system(), user("hi"), answer("ok")], TOOLS, {}),
    "lists of parts": ([user(parts("Hello")), answer(parts("fine")), user(parts("Again?")), answer(parts("yes"))], None, {}),
    "parts in questions": ([system("S"), user(parts("Hello")), answer("fine")], None, {}),
    "developer": ([{"role": "developer", "content": "Be brief."}, user(), answer("ok")], None, {}),
    "names": ([user("hi") | {"name": "Ann"}, answer("hello", name="Bob"), user("hi") | {"name": "Ann"}, answer("Bob")], None, {}),
}

# the third: the head of answers with other variables
IM = (r"<\|im_start\|>assistant\n", r"<\|im_end\|>")
QWEN3 = IM + ({"no thinking": IM[0] + r"(?:<think>\n\n</think>\n\n)?"},)
LLAMA3 = (r"<\|start_header_id\|>assistant<\|end_header_id\|>\n\n", r"<\|e(ot|om)_id\|>")
MISTRAL = (r"\[/INST\]|\[/TOOL_RESULTS\]|</s>|\[/TOOL_CONTENT\]|\[/SYSTEM_PROMPT\]|<s>", r"</s>")
R1 = (r"<｜Assistant｜>|<｜tool▁outputs▁end｜>", r"<｜end▁of▁sentence｜>")
V31 = (r"<｜Assistant｜>(</think>)?|<｜tool▁output▁end｜>", r"<｜end▁of▁sentence｜>", {"thinking on": r"<｜Assistant｜>"})
KIMI = (r"<\|im_assistant\|>\w+<\|im_middle\|>", r"<\|im_end\|>")
GRANITE = (r"<\|start_of_role\|>assistant(_tool_call)?<\|end_of_role\|>", r"<\|end_of_text\|>")
PHI = (r"<\|assistant\|>\n", r"<\|end\|>")
GEMMA = (r"<start_of_turn>model\n", r"<end_of_turn>")
COMMAND = (r"<\|START_OF_TURN_TOKEN\|><\|CHATBOT_TOKEN\|>", r"<\|END_OF_TURN_TOKEN\|>")
CHATGLM = (r"<\|assistant\|>", "")
SEED = (r"<seed:bos>assistant\n", r"<seed:eos>")
# a part of the name: (the head of answers, the end of turn; "": there is none, a turn ends with what was written for it)
TEMPLATES = {
    "Apertus": (r"<\|assistant_start\|>|\]", r"<\|assistant_end\|>"),
    "case ByteDance-Seed": (r"<s>assistant\n", r"</s>"),
    "ByteDance-Seed": SEED,
    "command-r-plus-tool_use": COMMAND,
    "command-r7b": COMMAND,
    "GLM-4.6": (r"<\|assistant\|>", "", {"no thinking": r"<\|assistant\|>\n<think></think>"}),
    "Kimi-K2": KIMI,
    "MiMo": IM,
    "MiniMax": (r"\]~b\]ai\n(?:<think>\n)?", r"\[e~\["),
    "Mistral-Small-3.2": MISTRAL,
    "Nemotron-Nano": (r"<SPECIAL_11>Assistant\n(?:<think>\n)?", r"<SPECIAL_12>"),
    "NousResearch-Hermes": IM,
    "QwQ": IM, "Qwen2.5": IM, "Qwen3-Coder": IM, "Qwen3": QWEN3,
    "R1-Distill": R1,
    "DeepSeek-V3.1": V31,
    "firefunction": LLAMA3,
    "gemma-2": GEMMA, "google/gemma": GEMMA,
    "granite": GRANITE,
    "llama-cpp-deepseek-r1": (r"<｜Assistant｜>|<｜tool▁outputs▁end｜>", r"<｜end▁of▁sentence｜>"),
    "lfm2": IM,
    "rwkv": (r"Assistant:", r"\n\n", {"no thinking": "Assistant: ", "thinking on": "Assistant: "}),
    "functionary-medium-v3.1": LLAMA3,
    "functionary-medium-v3.2": (LLAMA3[0] + ">>>", LLAMA3[1]),
    "Llama-3": LLAMA3,
    "Phi-3.5": PHI, "Phi-3": PHI,
    "Mistral-Nemo": MISTRAL, "Mistral-Large": MISTRAL, "Mistral-7B": MISTRAL,
    "moonshotai": KIMI,
    "gpt-oss": (r"<\|start\|>assistant", r"<\|(end|return|call)\|>"),
    "Apriel": (r"<\|assistant\|>\n", r"<\|end\|>\n</s>"),
    "Devstral": MISTRAL,
    "OpenHermes-2.5-Mistral": IM,
    "FusionNet": (r"\[/INST\]", r"</s>"),
    "vigogne": (r"\[/INST\]", r"</s>"),
    "AlphaMonarch": (r"<s>assistant\n", r"</s>"),
    "Orion": (r"Assistant: </s>", r"</s>"),
    "openchat": (r"GPT4 Correct Assistant:", r"<\|end_of_turn\|>"),
    "deepseek-coder": (r"### Response:\n", r"<\|EOT\|>"),
    "vicuna": (r"ASSISTANT:", r"</s>"), "Orca-Vicuna": (r"ASSISTANT:", r"</s>"),
    "c4ai-command-r-plus": COMMAND,
    "ChatGLM3": CHATGLM, "ChatGLM4": (r"<\|assistant\|>\n", ""), "GLMEdge": (r"<\|assistant\|>", ""),
    "MiniCPM": (r"<AI>", ""),
    "DeepSeek-V2": (r"Assistant:", r"</s>"),
    "GigaChat": None, "YandexGPT": (r"Ассистент:", r"\n\n"),
    "Megrez": (r"<\|role_start\|>assistant<\|role_end\|>", r"<\|turn_end\|>"),
    "phi-4": (r"<\|im_start\|>assistant<\|im_sep\|>", r"<\|im_end\|>"),
    "Ling-lite": (r"<role>ASSISTANT</role>", ""),
}
SPECIAL = re.compile(r"<\|[^|<>\s]+\|>|<｜[^｜<>\s]+｜>|<(?:start|end)_of_turn>|\[/?(?:INST|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT|"
                     r"TOOL_CONTENT|CALL_ID|ARGS)\]|</?s>|<SPECIAL_\d+>|\[e~\[|\]~b\]|\]~!b\[|</?seed:[a-z_]+>")
# name: (tokenizer directory, template or None for its own, head and end or None for generation marks)
MODELS = {
    "Llama 3.2": ("llama3", None, LLAMA3), "Qwen 2.5": ("qwen2.5", None, IM), "Qwen 3": ("qwen3", None, QWEN3),
    "R1 Distill Qwen": ("r1-distill-qwen", None, R1),
    "Mistral 7B": ("llama2", "mistralai/Mistral-7B-Instruct-v0.2 (mistralai 'v1' template with a system prompt)", MISTRAL),
    "Mistral Nemo": ("llama2", "Mistral-Nemo-Instruct-2407", MISTRAL), "Mistral 3": ("llama2", "Mistral-Large-Instruct-2407", MISTRAL),
    "Gemma 3": ("llama2", "gemma3", GEMMA), "Phi 3": ("phi-3-mini", None, PHI), "Phi 4": ("qwen2.5", "phi-4", (r"<\|im_start\|>assistant<\|im_sep\|>", IM[1])),
    "SmolLM 2": ("smollm2", CHATML, IM), "TinyLlama": ("tinyllama", None, (r"<\|assistant\|>\n", r"</s>")), "ChatML with marks": ("qwen2.5", MARKED, None),
}


# ---- the reference ----

PRIVATE, SPACE = 0x20000, 0x600  # letters that no template knows; of its own for every message
PLAIN = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,!?:;")


def disguise(value, number, key=None):
    """Letters of message `number` become private ones, but not those inside <...>, of names and of ids."""
    if isinstance(value, str):
        if key in ("role", "type", "id", "tool_call_id") or (key == "name" and number >= 0):
            return value
        out, inside = "", False
        for c in value:
            inside = c == "<" or (inside and c != ">")
            out += chr(PRIVATE + number * SPACE + ord(c)) if c in PLAIN and not inside else c
        return out
    if isinstance(value, list):
        return [disguise(v, number, key) for v in value]
    if isinstance(value, dict):
        return {k: disguise(v, number, k) for k, v in value.items()}
    return value


def reveal(text):
    plain, owner = "", []
    for c in text:
        hidden = PRIVATE <= ord(c) < PRIVATE + 27 * SPACE
        plain += chr((ord(c) - PRIVATE) % SPACE) if hidden else c
        owner.append((ord(c) - PRIVATE) // SPACE if hidden else -1)
    return plain, owner


def spans(text, owner, messages, head, end):
    """Character ranges of the answers. None: the reference does not know."""
    ranges, at = [], 0
    for i, message in enumerate(messages):
        own = [k for k, o in enumerate(owner) if o == i]
        if message["role"] != "assistant":
            at = max([at] + [k + 1 for k in own])
            continue
        later = [k for k, o in enumerate(owner) if o > i and k >= at]
        stop = min(later) if later else len(text)
        gap = text[at:own[0] if own else stop]
        heads = list(re.finditer(head, gap))
        if not heads and own and re.fullmatch(r"(<s>)?\s*", gap):  # a template writes the head into a question
            heads = [re.search(r"\Z", gap)]
        open_gap = heads and not heads[-1].group() and own  # white space there may be either's: not compared
        if not own and not heads:
            continue
        if not heads:
            return None
        begin = at + (heads[-1].end() if own else heads[0].end())
        last = own[-1] + 1 if own else begin
        closing = re.search(end, text[last:stop]) if end else None
        if end and closing:
            finish = last + closing.end()
        else:
            finish = None
        ranges.append((begin, finish, last, stop, at if open_gap else begin))
        at = finish or last
    return ranges


def reference_mask(tokenizer, shape_name, shape, text, encoded, marks):
    messages, tools, variables = shape
    hidden = [disguise(m, i) for i, m in enumerate(messages)]
    try:
        other = tokenizer.apply_chat_template(hidden, tools=tools, tokenize=False, **variables)
    except Exception as e:
        return None, f"no second rendering ({e})"
    plain, owner = reveal(other)
    if plain != text:
        return None, "the second rendering differs"
    ranges = spans(text, owner, messages, marks[2].get(shape_name, marks[0]) if len(marks) > 2 else marks[0], marks[1])
    if ranges is None:
        return None, "no head of an answer before it"
    mask = [0] * len(encoded["input_ids"])
    for begin, finish, last, stop, gap in ranges:
        for k, (a, b) in enumerate(encoded["offset_mapping"]):
            if a < begin and encoded["input_ids"][k] in tokenizer.added_tokens_decoder:  # it may strip the white space after it
                continue
            if gap <= a and b <= begin and b > a:
                mask[k] = -1
            elif finish is not None and a < finish and b > begin and b > a:
                mask[k] = 1
            elif finish is None and a < stop and b > begin and b > a:
                mask[k] = 1 if a < last else -1  # what the template writes after the text: not compared
    return mask, None


# ---- models ----

def small_tokenizer(data, template, directory):
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=data + "/tokenizers/small/llama3_regex_2000.tokenizer.json", bos_token="<s>", eos_token="</s>")
    names = sorted(set(SPECIAL.findall(template)) | {"<s>", "</s>"})
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(n, normalized=False, special=True) for n in names]})
    tokenizer.chat_template = template
    tokenizer.save_pretrained(directory)
    return tokenizer


def link(data, name, directory):
    """A model directory; some share another one's vocabulary."""
    for source in [name, {"qwen3": "qwen2.5", "r1-distill-qwen": "qwen2.5", "tinyllama": "llama2"}.get(name, name)]:
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


# ---- comparing ----

class Report:
    def __init__(self, verbose):
        self.verbose, self.wrong, self.same, self.both, self.text_only = verbose, 0, 0, 0, 0
        self.refused = collections.Counter()

    def compare(self, program, name, directory, tokenizer, marks, template_file=None):
        bad, refused, unknown, same, both = [], [], [], 0, 0
        for shape_name, shape in SHAPES.items():
            messages, tools, variables = copy.deepcopy(shape)
            try:
                text = tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, **variables)
                error = None
            except Exception as e:
                text, error = None, f"{type(e).__name__}: {e}"
            arguments = [program, "template", "--json", "--model", directory] + (["--chat-template", template_file] if template_file else [])
            given = json.dumps({"messages": messages, "tools": tools, "chat_template_kwargs": variables})
            done = subprocess.run(arguments, input=given, capture_output=True, text=True)
            said = done.stderr.strip().replace("vkft: error: ", "")
            if done.returncode and error:
                both += 1
            elif done.returncode:
                refused.append(f"{shape_name}: {said}" if said else f"{shape_name}: (no reason)")
                if not said:
                    bad.append(f"{shape_name}: refused without a reason")
            elif error and "generator" in error:
                unknown.append(f"{shape_name}: vkft takes what Jinja's map gives for a list, transformers says: {error}")
            elif error:
                bad.append(f"{shape_name}: only transformers refuses: {error}")
            else:
                got = json.loads(done.stdout)
                encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
                if marks:
                    mask, why = reference_mask(tokenizer, shape_name, shape, text, encoded, marks)
                elif marks is None:
                    out = tokenizer.apply_chat_template(messages, tools=tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **variables)
                    mask, why = list(out["assistant_masks"]), None
                else:
                    mask, why = got.get("assistant_mask"), None  # not a template of conversations
                if got["text"] != text:
                    bad.append(f"{shape_name}: text {got['text']!r}, expected {text!r}")
                elif got["ids"] != list(encoded["input_ids"]):
                    bad.append(f"{shape_name}: ids differ")
                elif mask is None:
                    unknown.append(f"{shape_name}: {why}; {show(tokenizer, got['ids'], got['assistant_mask'])}")
                elif any(g != w for g, w in zip(got["assistant_mask"], mask) if w >= 0):
                    bad.append(f"{shape_name}: mask {show(tokenizer, got['ids'], got['assistant_mask'])!r}, expected {show(tokenizer, got['ids'], mask)!r}")
                else:
                    same += 1
        if marks is not False or bad:
            print(f"{name}: {same} the same, {both} refused by both, {len(refused)} refused by vkft, {len(unknown)} texts without a reference mask, {len(bad)} differ",
                  *bad, *(refused + unknown if self.verbose else []), sep="\n    ")
        self.wrong += len(bad)
        self.same += same
        self.both += both
        self.text_only += len(unknown)
        for line in refused:
            self.refused[re.sub(r"messages\[\d+\]( \([^)]*\))?", "messages[N]", line.split(": ", 1)[1])] += 1


def show(tokenizer, ids, mask):
    out, on = "", 0
    for i, m in zip(ids, mask):
        if m != on:
            out, on = out + {1: "«", 0: "»", -1: "?"}[m], m
        out += tokenizer.decode([i])
    return out[-400:]


def published(data):
    templates = {}
    for file in sorted(os.listdir(data + "/chat/templates")):
        templates[file[:-6]] = open(f"{data}/chat/templates/{file}").read()
    for case in json.load(open(data + "/chat/llamacpp_template_cases.json"))["cases"]:
        templates["case " + case["name"]] = case["template"]
    return templates


def marks_of(name):
    return TEMPLATES[max((part for part in TEMPLATES if part in name), key=len)]


def main(program, data, verbose, wanted="", more=None):
    report, templates = Report(verbose), published(data)
    for file in sorted(os.listdir(more)) if more else []:
        template = open(f"{more}/{file}").read() if file.endswith(".jinja") else ""
        if re.search(r"\{%-?\s*generation", template) and wanted in file:
            with tempfile.TemporaryDirectory() as directory:
                report.compare(program, file, directory, small_tokenizer(data, template, directory), None)
    for name, template in templates.items():
        if wanted in name:
            with tempfile.TemporaryDirectory() as directory:
                report.compare(program, name, directory, small_tokenizer(data, template, directory), marks_of(name) or False)
    for case in json.load(open(data + "/chat/jinja_unit_cases.json")):
        if wanted in "unit " + case["name"]:
            with tempfile.TemporaryDirectory() as directory:
                report.compare(program, "unit " + case["name"], directory, small_tokenizer(data, case["template"], directory), False)
    for name, (tokenizer_name, template, marks) in MODELS.items():
        if wanted not in name:
            continue
        with tempfile.TemporaryDirectory() as directory:
            link(data, tokenizer_name, directory)
            tokenizer, file = load(directory), None
            if template:
                if template == "gemma3":
                    template = json.load(open(data + "/tokenizers/gemma3/chat_template.json"))["chat_template"]
                template = next((t for n, t in templates.items() if template in n), template)
                tokenizer.chat_template, file = template, directory + "/given.jinja"
                with open(file, "w") as f:
                    f.write(template)
            report.compare(program, "model " + name, directory, tokenizer, marks, file)
    print(f"{len(SHAPES)} conversations: {report.same} the same, {report.both} refused by both, {report.text_only} with the same text and ids and no reference mask, "
          f"{report.wrong} differ; refused by vkft:", *(f"{n} x {why}" for why, n in report.refused.most_common()), sep="\n    ")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a != "-v"]
    sys.exit(main(arguments[0], arguments[1], "-v" in sys.argv, *arguments[2:4]))
