#!/usr/bin/env python3
"""Writes tests/data/expression_cases.json: how the `tokenizers` package cuts texts at regular expressions, and replaces them.

    python3 make_expression_golden.py      (needs tokenizers)

The rows of a case: a text, and its pieces, or with "replace" the new text. Characters younger than Unicode 14 are not used: PCRE2 may not know them.
Nor is a letter that is several in another case, as ß is SS: PCRE2 compares characters one by one.
"""
import json
import os

from tokenizers import Regex, normalizers, pre_tokenizers

OUT = os.path.dirname(os.path.abspath(__file__)) + "/../data/expression_cases.json"

# What Oniguruma and PCRE2 understand alike, and what they do not.
EXPRESSIONS = [
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*",
    r" ?[^(\s|[.,!?…。，、।۔،])]+", r"[0-9][0-9][0-9]", r"[一-龥぀-ゟ゠-ヿ]+",
    r"\p{N}{1,3}+", r"\p{N}{3}+", r"\p{N}{2}?", r"\p{N}{2,3}?", r"1{,2}3", r"a{x}|{", r"\p{N}++", r"\p{L}?+", r"x{3",
    r"\w", r"\w+", r"\W+", r"[\w']+", r"[^\w\s]+", r"\bw", r"\b", r"\Bo", r"[\b]", r"\h+", r"\H+", r"[\hx]+", r"\v|\f",
    r"\s", r"\S+", r"\d+", r"^.", r".$", r"\A.", r".\z", r"(?m:.+)", r"(?i)é|k", r"(?i:stra)ss?", r"(?mi-x:a.b)", r"(?#no)w",
    r"\p{Han}+", r"\P{Han}+", r"\p{^Han}+", r"[\p{Han}x]+", r"\p{Hiragana}|\p{Greek}", r"\p{Lu}", r"\p{L}", r"\p{M}+",
    r"[[:alpha:]]+", r"[[:alnum:]_]+", r"[[:punct:]]+", r"[^[:punct:]]+", r"[[:space:]]+", r"[[:digit:]]", r"[[:upper:]]", r"[[:lower:]]+",
    r"[[:word:]]+", r"[[:xdigit:]]+", r"[[:cntrl:]]", r"[[:blank:]]",
    r"[a[bc]]+", r"[^a[b-]c]+", r"[a[-b]c]+", r"[]a]+", r"[^]a]+", r"[-a]+", r"[a-]+", r"[&a]+", r"\u00e9|\x41|\x{30a2}", r"\n|\t", r"(a|b)\1",
    r"(?<n>[ab])\k<n>", r"(?=b)", r"(?<!a)b", r"a|", r"(?=(\d{3})+(?!\d))", r"(?<=,)|(?=x)", r"$", r"^", r"x*", r"\R", r"\X", r"\P{N}*\p{^L}",
]
TEXTS = [
    "Don't WE'LL 12345 it's 1,234.56!\n\n  x\r\n y", "①② a1 _b-c x½y", "Straße STRASSE ﬁn K k ſ ß", "नि हिन्दी ก็ e\u0301 a\u200db a\u200cb \u200d", "漢字、カナ。ひら 〇 ー々 x", "Ⓐ🄰 Ⅷ ª ʰ ό Ωω",
    "deadBEEF 0xff ghi\tj\vk\fl\u0085m\u00a0n", "aab\nab\nba\n", "a&b]c[d-e^f\\g", "$5+3=8 <x> `y` |z| ~ €", "a.b\na b A.B bb aa aba 1113 113 13", "x{3 a{x} xxx ab.cd", "\x08\x01 \u3000é A ア αβ", "", " ",
]


def main():
    cases = []
    for expression in EXPRESSIONS:
        for invert in (False, True):
            split = pre_tokenizers.Split(Regex(expression), "removed", invert=invert)
            cases.append({"expression": expression, "invert": invert, "rows": [[t, [p for p, _ in split.pre_tokenize_str(t)]] for t in TEXTS]})
    for behavior in ("isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for expression in (r"(?=(\d{3})+(?!\d))", r"x*", r"(?=b)|b?", r"[ab]", r" "):
            for invert in (False, True):
                split = pre_tokenizers.Split(Regex(expression), behavior, invert=invert)
                name = "".join(word.capitalize() for word in behavior.split("_"))
                cases.append({"expression": expression, "behavior": name, "invert": invert, "rows": [[t, [p for p, _ in split.pre_tokenize_str(t)]] for t in TEXTS]})
    for name in ("Whitespace", "WhitespaceSplit", "Punctuation", "Digits"):
        cut = getattr(pre_tokenizers, name)()
        cases.append({"type": name, "rows": [[t, [p for p, _ in cut.pre_tokenize_str(t)]] for t in TEXTS]})
    for expression in (r" {2,}", r"^", r"$", r"(?=b)", r"x*", r"\s*", r"\bw"):
        new = normalizers.Replace(Regex(expression), "_")
        cases.append({"replace": expression, "rows": [[t, new.normalize_str(t)] for t in TEXTS]})
    with open(OUT, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
