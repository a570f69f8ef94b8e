#!/usr/bin/env python3
"""Writes tests/data/jinja_cases.json: templates, and what transformers' Jinja environment makes of them.

Needs transformers and jinja2. A case whose rendering raises is kept with "error": true.
"""
import json
import pathlib

from transformers.utils import chat_template_utils

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  Hi <there>  "},
    {"role": "assistant", "content": "Hello\nyou"},
    {"role": "user", "content": "한국어 é 😀"},
    {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1, "y": [1.5, None, True]}}}]},
]
V = {
    "s": "Hello, World", "e": "", "n": 7, "z": 0, "f": 2.5, "neg": -3, "yes": True, "no": False, "nil": None,
    "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "d": {"b": 2, "a": 1, "c": {"k": "v"}}, "u": "ÄÖ 한국 é😀", "m": CHAT,
    "rows": [{"n": "x", "v": 2, "t": True}, {"n": "y", "v": 1, "t": False}, {"n": "z", "v": 2}], "lines": "a\nb\n\nc", "q": "it's \"q\"\t\\",
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True,
}
T = r"""
plain text
{{ s }} {{ missing }}|{{ nil }}|{{ yes }}|{{ n }}|{{ f }}
{{ l }} {{ w }} {{ d }} {{ q }} {{ [q] }} {{ (1,) }} {{ (1, 2) }} {{ {} }} {{ [nil, yes, 1.0] }}
{{ 1 + 2 * 3 - 4 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 6 / 3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }}
{{ 1e3 }} {{ 1.5e-7 }} {{ 1e16 }} {{ 123456789.125 }} {{ 0.1 + 0.2 }} {{ 100.0 }} {{ 1_000 }} {{ 1e22 }} {{ 5e-324 }} {{ 1/3 }}
{{ 'a' ~ 1 ~ nil ~ missing ~ 'b' }} {{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ [1] + [2] }} {{ [0] * 3 }} {{ 2 * 'x' }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 5 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ '1' == 1 }} {{ [1, 2] < [1, 3] }} {{ true == 1 }} {{ nil == false }}
{{ 1 in l }} {{ 'ell' in s }} {{ 'b' in d }} {{ 9 not in l }} {{ not yes }} {{ not not n }} {{ 'x' in missing }}
{{ yes and n }} {{ no or s }} {{ e or nil or 'last' }} {{ n and e and 1 }}
{{ 'y' if yes else 'n' }} {{ 'y' if no }} {{ 'a' if no else 'b' if no else 'c' }}
{{ s[0] }} {{ s[-1] }} {{ s[1:4] }} {{ s[::-1] }} {{ s[:-2] }} {{ l[1:] }} {{ l[::-1] }} {{ l[-1] }} {{ u[::-1] }} {{ u[3:5] }} {{ l[5] }} {{ s[10:3:-2] }} {{ l[-10:10] }}
{{ d.a }} {{ d['c'].k }} {{ d.c['k'] }} {{ d.missing }} {{ m[0].role }} {{ m[0]['content'] }} {{ m[1].content.strip() }} {{ d.items() | list }} {{ l.0 }}
{{ s.upper() }} {{ s.lower() }} {{ s.title() }} {{ s.split(', ') }} {{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 2) }} {{ s.startswith('He') }} {{ s.endswith(('x', 'd')) }}
{{ '  a b  '.strip() }}|{{ '  a '.lstrip() }}|{{ ' a  '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ 'aXbX'.rstrip('Xb') }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c d'.split(' ', 2) }} {{ 'a b c'.split(none, 1) }} {{ 'a-b-c'.rsplit('-', 1) }} {{ lines.splitlines() }} {{ lines.split('\n') }}
{{ 'abc'.find('c') }} {{ 'abc'.find('z') }} {{ 'abcabc'.rfind('b') }} {{ 'aXaXa'.count('a') }} {{ 'abc'.index('b') }} {{ u.find('é') }}
{{ '12'.isdigit() }} {{ 'a1'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ ''.isdigit() }} {{ 'AB'.isupper() }} {{ 'ab'.islower() }}
{{ 'hello world'.capitalize() }} {{ 'hELLO wORLD'.title() }} {{ 'it\'s x-y'.title() }} {{ 'aB'.swapcase() }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.txt'.removesuffix('.txt') }}
{{ ', '.join(['a', 'b']) }} {{ '{} and {}'.format(1, 'x') }} {{ '{a} {b}'.format(a=1, b='two') }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '%s is %d%%' % ('x', 5) }} {{ '%s' % s }}
{{ u.upper() }} {{ u.lower() }} {{ u | length }} {{ 'straße'.upper() }} {{ 'ŋ'.upper() }}
{{ d.get('a') }} {{ d.get('x') }} {{ d.get('x', 5) }} {{ d.keys() | list }} {{ d.values() | list }} {% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{{ s | upper }} {{ s | lower }} {{ s | length }} {{ 'abc' | capitalize }} {{ '  x ' | trim }} {{ 'xxaxx' | trim('x') }} {{ s | replace('o', '0') }} {{ 'foo bar-baz (qux)' | title }}
{{ l | sort }} {{ l | sort(reverse=true) }} {{ w | sort }} {{ w | sort(case_sensitive=true) }} {{ rows | sort(attribute='v') | map(attribute='n') | list }}
{{ l | first }} {{ l | last }} {{ [] | first }} {{ l | max }} {{ l | min }} {{ l | sum }} {{ rows | sum(attribute='v') }} {{ w | max }} {{ w | min }} {{ l | sum(start=10) }}
{{ l | join('-') }} {{ w | join }} {{ rows | join(',', attribute='n') }} {{ l | reverse | list }} {{ s | reverse }} {{ s | list | length }} {{ [1, 1, 2, 'a', 'A'] | unique | list }}
{{ rows | map(attribute='n') | list }} {{ w | map('upper') | list }} {{ ['1', '2'] | map('int') | sum }} {{ rows | map(attribute='q', default='none') | join }} {{ ['a-b', 'c-d'] | map('replace', '-', '+') | list }}
{{ rows | selectattr('t') | list | length }} {{ rows | rejectattr('t') | list | length }} {{ rows | selectattr('v', 'equalto', 2) | map(attribute='n') | join }} {{ [1, 2, 3] | select('odd') | list }} {{ [0, 1, none] | select | list }} {{ [1, 2, 3] | reject('gt', 1) | list }} {{ rows | selectattr('t', 'defined') | list | length }}
{{ missing | default('x') }} {{ e | default('x') }} {{ e | default('x', true) }} {{ nil | d('y', boolean=true) }} {{ missing | default }}|
{{ '42' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ 3.9 | int }} {{ '3.7' | int }} {{ '1.5' | float }} {{ 3 | float }} {{ 'ff' | int(0, 16) }} {{ -5 | abs }} {{ 2.567 | round(2) }} {{ 2.5 | round }} {{ 2.1 | round(method='ceil') }} {{ 2.9 | round(0, 'floor') }}
{{ d | tojson }} {{ d | tojson(indent=2) }} {{ l | tojson }} {{ u | tojson }} {{ q | tojson }} {{ [1.0, 2.5, none, true] | tojson }} {{ {} | tojson(indent=4) }} {{ '<a>&' | tojson }} {{ d | tojson(separators=(',', ':')) }} {{ d | tojson(sort_keys=true) }} {{ u | tojson(ensure_ascii=true) }}
{{ d | dictsort }} {{ d | items | list }} {{ {'b': 1, 'A': 2} | dictsort(case_sensitive=true) }} {{ {'b': 1, 'a': 2} | dictsort(by='value') }}
{{ rows | groupby('v') | list | length }} {% for g in rows | groupby('v') %}{{ g[0] }}:{{ g[1] | map(attribute='n') | join }};{% endfor %}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ [1, 2, 3] | slice(2, 'f') | list }}
{{ lines | indent(2) }}|{{ lines | indent(2, true) }}|{{ lines | indent(2, blank=true) }}|{{ lines | indent('>>') }}
{{ 'abc' | center(9) }}|{{ 'abcd' | center(9) }}|{{ 'foo bar baz qux' | truncate(9) }}|{{ 'foo bar baz qux' | truncate(9, true) }}|{{ 'foo bar' | truncate(5) }}|{{ 'a b  c' | wordcount }}|{{ '<&">' | escape }}|{{ 'a b/ü?' | urlencode }}|{{ '%s-%s' | format('a', 1) }}
{{ n is defined }} {{ missing is defined }} {{ missing is undefined }} {{ nil is none }} {{ n is number }} {{ s is string }} {{ d is mapping }} {{ l is iterable }} {{ l is sequence }} {{ d is sequence }} {{ n is integer }} {{ f is float }} {{ yes is boolean }} {{ 1 is true }} {{ no is false }} {{ yes is number }} {{ yes is integer }}
{{ n is odd }} {{ n is even }} {{ 9 is divisibleby 3 }} {{ n is eq 7 }} {{ n is ne 7 }} {{ n is gt 3 }} {{ n is lessthan 3 }} {{ n is in l }} {{ n is not none }} {{ 'a' is lower }} {{ 'A' is upper }} {{ nil is not defined }} {{ l is sameas l }} {{ n is equalto(7) }} {{ not missing is defined }} {{ range is callable }} {{ n is ge 7 }}
{{ 1 if n is defined and n is odd else 2 }} {{ n + 1 is odd }} {{ -1 | abs }} {{ 2 + -3 | abs }} {{ n is defined and s is string }}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ x }} {% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.cycle('a', 'b') }} {% endfor %}{% for x in [1, 1, 2] %}{{ loop.changed(x) }}{% endfor %}
{% for x in [] %}x{% else %}empty{% endfor %} {% for x in missing %}x{% else %}none{% endfor %} {% for c in 'ab' %}{{ c }}.{% endfor %} {% for k in d %}{{ k }}{% endfor %}
{% for x in l if x > 1 %}{{ loop.index }}:{{ x }} {% endfor %} {% for a, b in [(1, 2), (3, 4)] %}{{ a }}-{{ b }} {% endfor %}{% for x in range(3) %}{{ x }}{% endfor %}{% for x in range(5, 0, -2) %}{{ x }}{% endfor %}
{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %} {% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }} {% set ns = namespace(c=0, f=false) %}{% for i in l %}{% set ns.c = ns.c + i %}{% set ns.f = true %}{% endfor %}{{ ns.c }}{{ ns.f }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set t = (1, 2) %}{{ t }} {% set x %}block {{ n }}{% endset %}{{ x }} {% set y | upper %}abc{% endset %}{{ y }} {% set z = x ~ y %}{{ z }}
{% if no %}a{% elif n == 7 %}b{% else %}c{% endif %} {% if no %}a{% else %}c{% endif %} {% if yes %}{% if no %}x{% else %}y{% endif %}{% endif %}
{% macro f(a, b=2, c='x') %}[{{ a }},{{ b }},{{ c }}]{% endmacro %}{{ f(1) }}{{ f(1, 3) }}{{ f(1, c='z') }}{{ f(b=5, a=4) }}{{ f() }}
{% macro r(n) %}{{ n }}{% if n > 0 %}{{ r(n - 1) }}{% endif %}{% endmacro %}{{ r(4) }} {% macro o() %}({{ caller() }}){% endmacro %}{% call o() %}inner {{ n }}{% endcall %} {% macro p() %}{{ caller(5) }}{% endmacro %}{% call(x) p() %}got {{ x }}{% endcall %}
{% macro outer() %}{{ n }}{% set n = 99 %}{{ n }}{% endmacro %}{{ outer() }}{{ n }} {% filter upper %}shout {{ s }}{% endfilter %} {% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% raw %}{{ not rendered }} {% if %}{% endraw %} {# a comment #}after{#- trimmed -#}   x
a{%- if yes %} b {% endif -%} c {{- ' d' -}}   e
{% for x in l -%}
   {{ x }},
{%- endfor %}
{{ m | length }}{% for msg in m %}<|{{ msg.role }}|>{{ msg.content | trim }}{{ eos_token if msg.role == 'assistant' }}{% endfor %}
{% for t in m[-1].tool_calls %}{{ t.function | tojson }}{{ t.function.arguments.y }}{% endfor %} {% if m[0].tool_calls is defined %}x{% endif %}{% if m[0]['tool_calls'] %}x{% endif %}
{{ {'a': 1, 'b': [1, 2]}['b'][1] }} {{ [[1, 2], [3]][0][1] }} {{ ('a', 'b')[1] }} {{ {'x': {'y': 'z'}}.x.y }} {{ {1: 'one', none: 'nil'} }}
{{ "double \"quoted\" \n newline \t tab \\ \x41 \u00e9" }} {{ 'a' 'b' "c" }} {{ '\d' }}
{{ {'a': {'b': 1}} }} {{ {'k': '}}'} }} {{ '{% x %}' }} {{ '}}' }}
{{ dict(a=1, b=2) }} {{ range(3) | list }} {{ namespace(a=1).a }} {{ (l | length) + 1 }} {{ l | length + 1 }} {{ l|length > 2 and 'big' or 'small' }}
{{ true }} {{ True }} {{ none }} {{ None }} {{ false or none }} {{ 5 if true }} {{ -n }} {{ +n }} {{ - f }} {{ not (1 == 2) }} {{ (n) }}
{{ m | map(attribute='role') | join(' ') }} {{ m | selectattr('role', 'equalto', 'user') | map(attribute='content') | map('trim') | list }} {{ (m | last).role }} {{ m | rejectattr('role', 'in', ['user', 'system']) | list | length }}
{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{{ loop.index }};{% endfor %}
{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}
{% set content %}{% for x in l %}{{ x }}{% endfor %}{% endset %}{{ content | length }}{{ content }} {% set k = {'a': 1} %}{{ k.a }} {% set k = k | tojson %}{{ k }}
{% if m[0].role == 'system' %}{% set sys = m[0].content %}{% set rest = m[1:] %}{% else %}{% set rest = m %}{% endif %}{{ sys }} {{ rest | length }}{% for x in rest %}{% if (x.role == 'user') != (loop.index0 % 2 == 0) %}bad{% endif %}{% endfor %}
{%- for message in m -%}{%- if message.role == 'assistant' -%}{% generation %}{{ message.content + eos_token }}{% endgeneration %}{%- else -%}{{ '<|' + message.role + '|>\n' + message.content + '\n' }}{%- endif -%}{%- endfor -%}
{% for x in l %}{% generation %}{{ x }}{% endgeneration %}-{% endfor %}
{{ raise_exception('stop ' ~ n) }}
{{ missing.attr }}
{{ 'ﬁx ﬂY'.capitalize() }} {{ 'ßa ŉb'.title() }} {{ 'ﬃ ŉ ǰ ᾳ ﬓ'.upper() }} {{ 'İI'.lower() }} {{ 'ßﬁ ÀΣ'.swapcase() }} {{ 'ǆ ǅa'.title() }} {{ 'ﬁ'.islower() }}
{{ 'ὈΔΥΣΣΕΎΣ ΟΔΟΣ. Σ ΑΣ\'Α ΑΣ. ΑΣ\u0301 ΑΣ'.lower() }} {{ 'ΑΣ Σ'.capitalize() }} {{ 'ΑΣ ΣΑΣ'.title() }} {{ 'ΑΣ' | lower }}
{{ 'ﬁne ßtreet (ŉa' | title }} {{ 'ﬁx ﬁX' | capitalize }} {{ 'ﬁß' | upper }}
{{ '%5.2f|%05.2f|%-8.3f|%+d|% d|%x|%X|%o|%e|%g|%G' % (f, f, f, n, n, 255, 255, 8, 12345.678, 0.0001, 1e20) }}
{{ '%5s|%-5s|%.2s|%5.1s|' % ('ab', 'ab', 'abc', 'abc') }}
{{ '%03d %3d %-3d|%d' % (n, n, n, f) }}
{{ '%(a)s-%(b)04d' % {'a': 'x', 'b': 5} }}
{{ '%r %s %%' % ('a', none) }}
{{ '%d' % neg }}|{{ '%#x' % 255 }}
{{ '{:>6}|{:<6}|{:^6}|{:*^7}|{:6}|'.format('ab', 'ab', 'ab', 'ab', 'ab') }}
{{ '{:6}|{:<6}|{:06d}|{:+d}|{: d}|{:,}|{:_}'.format(n, n, n, n, n, 1234567, 1234567) }}
{{ '{:.2f}|{:8.3f}|{:08.3f}|{:e}|{:.1%}|{:g}|{}|{:10}|'.format(f, f, f, f, 0.256, 1e7, f, f) }}
{{ '{:x}|{:X}|{:o}|{:b}|{:#x}|{:#b}'.format(255, 255, 8, 5, 255, 5) }}
{{ '{0} {1} {0}'.format('a', 'b') }}|{{ '{x}-{y:>3}'.format(x=1, y=2) }}|{{ '{{}}{}'.format(1) }}
{{ '{!r}|{!s:>4}|{:.2}'.format('a', 'b', 'abc') }}
{{ '{:,.2f}|{:+.1f}|{:=+6d}'.format(1234567.891, neg, n) }}
{{ 'a-b-c'.partition('-') }}|{{ 'a-b-c'.rpartition('-') }}|{{ 'abc'.partition('-') }}|{{ 'abc'.rpartition('-') }}
{{ s.partition(', ')[2] }}
{% set j = joiner('|') %}{{ j() }}a{{ j() }}b{{ j() }}c
{% set j = joiner() %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}
{% set c = cycler('odd', 'even') %}{% for x in l %}{{ c.next() }} {% endfor %}{{ c.current }}{% set _ = c.reset() %}{{ c.current }}
{{ none | selectattr('a') | list }}{{ '' | map('upper') | list }}{{ none | reject | list }}
{{ '<a>' | safe + '<b>' + u }}
{{ '<a>' + ('<b>' | safe) }}|{{ ('<b>' | safe) ~ '<c>' }}|{{ '<' | e + '<' }}|{{ '<' | e | e }}|{{ '<' | safe | forceescape }}
{{ {'a': '  ​é'} }}
{{ [u, '	'] }}
{{ '%z' % 1 }}
{{ '{:z}'.format(1) }}
{{ '{:d}'.format('a') }}
{{ '%s %s' % 'a' }}
{{ '{}'.format() }}
{{ 'a'.partition('') }}
{{ cycler() }}
{{ d.copy() }} {{ l.copy() }} {{ l.index(1) }} {{ l.count(3) }} {{ [1, 1.0, true, '1'].count(1) }} {{ w.index('c') }}
{{ l.index(9) }}
{{ d | attr('a') }}|{{ s | attr('nope') }}|{{ s | attr('upper') is defined }}
{{ s | attr(1) }}
{{ 1 | abs }} {{ neg | abs }} {{ (-2.5) | abs }} {{ 2.5 | round }} {{ 2.567 | round(2) }} {{ 2.4 | round(method='ceil') }} {{ 2.6 | round(0, 'floor') }} {{ 7 | round }}
{{ 'x' | abs }}
{{ 'x' | round }}
{{ 2.5 | round(1, 'up') }}
{{ 's' | dictsort }}
{{ {'b': 1, 'A': 2} | dictsort }} {{ {'b': 1, 'A': 2} | dictsort(true) }} {{ {'b': 1, 'a': 2} | dictsort(false, 'value') }} {{ {'b': 1, 'a': 2} | dictsort(reverse=true) }}
{{ 12 | int }} {{ '0x1f' | int(0, 16) }} {{ 'abc' | int }} {{ 'abc' | int(7) }} {{ ' 42 ' | int }} {{ '1.9' | int }} {{ '1e3' | float }} {{ 'x' | float(2.5) }} {{ none | int(3) }} {{ true | int }} {{ '1_000' | int }} {{ '-7' | int }}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ [1, 2, 3, 4, 5] | slice(2) | list }} {{ [1, 2, 3] | slice(2, 'x') | list }}
{{ [1] | slice(0) | list }}
{{ rows | map(attribute='v') | sum }} {{ rows | sum(attribute='v') }} {{ rows | map(attribute='z', default='-') | join }} {{ rows | map(attribute='n') | map('upper') | join(',') }} {{ w | map('length') | list }}
{{ rows | map('nosuch') | list }}
{{ rows | selectattr('nosuch', 'nosuchtest') | list }}
{{ rows | select('nosuchtest') | list }}
{{ rows | map | list }}
{{ rows | groupby('v') | list }} {{ rows | unique(attribute='v') | map(attribute='n') | list }} {{ rows | sort(attribute='v') | map(attribute='n') | list }} {{ rows | min(attribute='v') }} {{ rows | max(attribute='v') }} {{ [] | min }}
{{ rows | rejectattr('t') | map(attribute='n') | list }} {{ rows | selectattr('v', 'equalto', 2) | map(attribute='n') | list }} {{ l | reject('odd') | list }} {{ l | select('gt', 1) | list }}
{{ l | join('-') }} {{ rows | join('/', attribute='n') }} {{ 'abc' | join('.') }} {{ d | join }} {{ 'abc' | list }} {{ d | list }} {{ 'abc' | first }}{{ 'abc' | last }} {{ [] | first }}
{{ {'a': 1} == {'a': 1.0} }} {{ {'a': 1} == {'a': 2} }} {{ {'a': 1} == {'b': 1} }} {{ {'a': 1} == {'a': 1, 'b': 2} }} {{ [1, [2]] == [1, [2]] }} {{ [1] == (1,) }} {{ none == none }} {{ missing == missing2 }} {{ [1, 2] == [1] }}
{{ [1, 2] < [1] }} {{ [] < [0] }} {{ 'Z' < 'a' }} {{ 1.5 >= 1 }} {{ 2 <= 2 }} {{ -1 > -2 }} {{ true > false }} {{ 'a' >= 'a' }} {{ 1 != 1.0 }} {{ [1] != [2] }}
{{ {'a': 1} < {'a': 2} }}
{{ missing < 1 }}
{{ none < 1 }}
{{ 7.0 * 2 }} {{ 2.0 ** 3 }} {{ 2 ** -1 }} {{ 7.5 - 2 }} {{ 7 / 2.0 }} {{ -7.5 // 2 }} {{ 7.5 % -2 }} {{ 0.0 * -1 }} {{ 5 // -2 }} {{ -5 % -3 }} {{ 3 ** 0 }} {{ (-3) ** 3 }} {{ true + true }} {{ 1 - true }}
{{ 1.5 % 0 }}
{{ 1 / 0 }}
{{ 1.0 / 0 }}
{{ {} + {} }}
{{ [1] + (2,) }}
{{ 'a' - 'b' }}
{{ -'a' }}
{{ +1 }} {{ -2.5 }} {{ - 3 }} {{ -true }} {{ not [] }}
{{ 5[0] }}|{{ l['x'] }}|{{ d[0] }}|{{ s['x'] }}|{{ none.x }}
{{ l[1:2:'x'] }}
{{ l['a':] }}
{{ l[::0] }}
{{ 5[1:] }}
{{ missing[1:] }}
{{ u[-2:] }} {{ u[::2] }} {{ l[-2:] }} {{ l[5:] }} {{ l[:-5] }} {{ s[2:2] }} {{ l[::-2] }} {{ l[2::-1] }} {{ l[none:none] }} {{ s[true:] }}
{{ {[1]: 2} }}
{{ {(1, 2): 3} }} {{ {1: 'a', 1.0: 'b', true: 'c'} }} {{ {none: 1}[none] }} {{ {'a': 1, 'a': 2} }}
{{ 5 in 5 }}
{{ 5 in 'abc' }}
{{ 'a' in none }}
{{ none in [none] }} {{ (1, 2) in [(1, 2)] }} {{ 'x' not in d }} {{ '' in s }} {{ 1.0 in l }} {{ [1] in [[1]] }} {{ missing in [1] }}
{{ 5 | length }}
{{ none | length }}
{{ missing | length }} {{ d | length }} {{ (1, 2) | length }} {{ range(5) | length }}
{% for x in 5 %}{% endfor %}
{% for x in none %}{% endfor %}
{% for a, b in d.items() %}{{ a }}{{ b }}{% endfor %}{% for a, b in [[1, 2], (3, 4), 'xy'] %}{{ a }}{{ b }}{% endfor %}
{% for a, b in [[1]] %}{% endfor %}
{% for a, b in [[1, 2, 3]] %}{% endfor %}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (x, y) = [3, 4] %}{{ x }}{{ y }}
{% set a, b = [1] %}
{% set d.x = 1 %}
{% set ns = namespace(a=1) %}{% set ns.b = 2 %}{{ ns.a }}{{ ns.b }}{{ ns.c }}{% for i in l %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}
{% set ns = namespace({'a': 5}, b=6) %}{{ ns.a }}{{ ns.b }}
{% macro f(a, b='B', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ f(1) }}|{{ f(1, 2, 3) }}|{{ f(c=5, a=6) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(b=2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f() }}|{{ f(*[7]) }}|{{ f(**{'a': 8}) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(**5) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(*5) }}
{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}x{{ n }}{% endcall %}{% macro g() %}<{{ caller(1, 2) }}>{% endmacro %}{% call(a, b) g() %}{{ a }}{{ b }}{% endcall %}
{% call 5() %}x{% endcall %}
{{ f() }}
{{ s() }}
{{ s.nosuch() }}
{{ s.upper(1) }}
{{ s.replace('a') }}
{{ s | replace('a') }}
{{ s | upper(nosuch=1) }}
{{ s | default }}|{{ missing | default('d') }}|{{ e | default('d', true) }}|{{ nil | default('d') }}|{{ nil | default('d', boolean=true) }}|{{ missing.x | default('deep') }}
{% for x in l recursive %}{{ x }}{% if loop.depth < 3 and x == 1 %}({{ loop([5, 6]) }}){% endif %}{% endfor %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }} {% endfor %}
{% for x in l %}{{ loop([1]) }}{% endfor %}
{% for x in [] %}x{% else %}none{% endfor %}{% for x in l if x > 1 %}{{ x }}{% else %}no{% endfor %}{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if loop.last %}{% break %}{% endif %}{% endfor %}
{{ 'a b'.split() }} {{ 'a,b'.split(',', 0) }} {{ ' a b '.rsplit() }} {{ 'a b c'.rsplit(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ 'abc'.split('') }}
{{ 'a b c'.rsplit('', 1) }}
{{ 'abc'.index('z') }}
{{ ''.find('') }} {{ 'abc'.count('') }} {{ 'aaa'.count('aa') }} {{ 'abc'.replace('', '-') }} {{ 'é한'.replace('', '.') }} {{ 'abc'.replace('', '-', 2) }} {{ 'aaa'.replace('a', 'b', 0) }} {{ 'abc'.rfind('') }}
{{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('') }} {{ 'abc'.startswith(()) }}
{{ 'abc'.startswith() }}
{{ 'a\r\nb\rc\x0bd\x0ce\x1cf\u2028g'.splitlines() }} {{ 'a\n\nb\n'.splitlines() }} {{ 'a\nb\n'.splitlines(true) }} {{ ''.splitlines() }}
{{ ','.join(['a', 'b']) }} {{ ','.join([]) }} {{ ','.join('abc') }} {{ '-'.join(d) }}
{{ ','.join([1]) }}
{{ ','.join(5) }}
{{ 'abc'.isalnum() }} {{ '١'.isdigit() }} {{ '½²Ⅷ一'.isnumeric() }} {{ '½'.isdigit() }} {{ '²①'.isdigit() }} {{ '²'.isdecimal() }} {{ '½a'.isalnum() }} {{ '一'.isalpha() }} {{ 'aB'.isupper() }} {{ ' \t'.isspace() }}
{{ 'abc' is string }} {{ 5 is number }} {{ none is none }} {{ d is mapping }} {{ l is sequence }} {{ s is iterable }} {{ missing is undefined }} {{ true is boolean }} {{ 5 is integer }} {{ 5.0 is float }} {{ 6 is divisibleby 3 }} {{ 5 is odd }} {{ 'a' is lower }} {{ 'A' is upper }} {{ s is sameas s }} {{ 1 is eq 1 }} {{ 1 is ne 2 }} {{ 1 is lt 2 }} {{ 2 is ge 2 }} {{ 1 is in l }} {{ s is callable }} {{ range is callable }} {{ true is true }} {{ false is false }} {{ 1 is not string }}
{{ 5 is nosuchtest }}
{{ 'a' is divisibleby 2 }}
{{ 'x' is odd }}
{{ d.get('a') }} {{ d.get('z') }} {{ d.get('z', 5) }} {{ d.keys() | list }} {{ d.values() | list }} {{ d.items() | list }} {{ d.a }} {{ d['c']['k'] }}
{{ dict(a=1, b=2) }} {{ dict({'a': 1}, b=2) }} {{ dict([('x', 1)]) }} {{ list('ab') is defined }} {{ range(3) | list }} {{ range(1, 6, 2) | list }} {{ range(5, 0, -2) | list }} {{ lipsum is defined }}
{{ range(1, 2, 0) | list }}
{{ range('a') }}
{{ raise_exception('stop ' ~ n) }}
{{ "a" "b" }} {{ 'it''s' }} {{ 'a\'b' }} {{ "\u00e9\x41\101\n" }} {{ '\\' }} {{ 'tab\tx' }} {{ '\q' }}
{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_0.5 }} {{ .5 }}
{{ 1.e3 }}
{{ (1) }} {{ (1,) }} {{ () }} {{ [] }} {{ [1, 2,] }} {{ {'a': 1,} }} {{ ((1, 2), 3) }}
{{ n if yes }}|{{ n if no }}|{{ (n if no else z) + 1 }}|{{ 'a' if n > 5 else 'b' }}
{{ s | filesizeformat }}
{{ 'a' ~ 1 ~ 2.0 ~ none ~ [1] }} {{ 1 ~ 2 }} {{ ('a' ~ 'b') | upper }} {{ -1 ~ 'x' }} {{ not 1 ~ 2 }}
{% filter upper %}a{{ s }}{% endfilter %} {% filter replace('a', 'b') | upper %}aXa{% endfilter %}
{% set x %}block {{ n }}{% endset %}{{ x }} {{ x | length }} {% set y | upper %}abc{% endset %}{{ y }}
{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}
{% if false %}{% elif n == 7 %}seven{% else %}no{% endif %} {% if missing %}x{% elif nil %}y{% endif %}
{# comment #}{{ n }}{#- trim -#}  x  {%- if yes -%}  y  {%- endif -%}  z
{{ s | tojson }} {{ d | tojson }} {{ d | tojson(indent=2) }} {{ [1.0, none, true, 'é<'] | tojson }} {{ u | tojson(ensure_ascii=false) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ d | tojson(separators=(',', ':')) }}
{{ missing | tojson }}
{{ 'a b' | urlencode }} {{ '<a href="x">' | escape }} {{ 'abc def' | wordcount }} {{ 'abc' | center(7) }} {{ 'a\nb' | indent }} {{ 'a\nb' | indent(2, true) }} {{ 'a\n\nb' | indent(1, blank=true) }} {{ 'x y z' | truncate(3, true, '') }} {{ 'abc' | reverse }} {{ l | reverse | list }} {{ d | items | list }} {{ ' x ' | trim }} {{ 'x' | string }} {{ l | sort(reverse=true) }} {{ w | sort }} {{ w | sort(case_sensitive=true) }} {{ w | unique | list }}
{{ missing + 1 }}
{{ 1 + 'a' }}
{{ 'a' < 1 }}
{{ 1 // 0 }}
{{ l.append(4) }}
{{ d.update({'x': 1}) }}
{{ missing() }}
{{ s | nosuchfilter }}
{% if s %}
{{ s
{% nosuchtag %}
{% endfor %}
{{ 'open }}
{% for %}{% endfor %}
{{ }}
{% set 1 = 2 %}
{{ range(200000) | list | length }}
{{ d.a.b.c }}
{% break %}
{{ l | first(1, 2) }}
{{ nil + 1 }}
""".strip("\n").split("\n")
MULTI = [
    "{% for x in l %}\n    {% if x > 1 %}\n  item {{ x }}\n    {% endif %}\n{% endfor %}\nend\n",
    "a\n  {# c #}\nb\n{% if yes %}\n  c\n{% endif %}\n\n",
    "  {%+ if yes %}x{% endif %}\n  {% if yes +%}\ny{% endif %}\n",
    "line one\r\nline two {{ n }}\r\n{% if yes %}\r\nthree\r\n{% endif %}\r\n",
    "{{ n }}\n\n{{ s }}\n",
    "x   {%- if yes -%}   y   {%- endif -%}   z\n\n",
    "{% raw %}\n  {{ a }}\n{% endraw %}\nend",
    "{%- set a = 1 -%}\n\n  {{- a }}\n{{ a -}}\n  b",
    "<ul>\n{% for x in l %}\n  <li>{{ x }}</li>\n{% endfor %}\n</ul>",
    "{{ 'multi\nline' }}{% set x =\n  1 %}{{\n x }}",
    "{% macro a(x) %}\n  {{ x }}\n{% endmacro %}\n{{ a(1) }}|",
    "  {{ n }}  \n  {% set q = 1 %}  \nend",
    "{% if yes %}x{% endif %}  {% if yes %}y{% endif %}\n",
]


def case(template):
    out = {"template": template}
    try:
        compiled = chat_template_utils._compile_jinja_template(template)
        if "{% generation" in template:
            out["expected"], ranges = chat_template_utils._render_with_assistant_indices(
                compiled, V["m"], None, None, True, **{k: v for k, v in V.items() if k not in ("m", "add_generation_prompt")}, m=V["m"])
            text = out["expected"]
            out["generated"] = [[len(text[:a].encode()), len(text[:b].encode())] for a, b in ranges]
        else:
            out["expected"] = compiled.render(**V)
    except Exception as error:
        out["error"] = True
        print(f"{template[:60]!r}: {type(error).__name__}: {error}")
    return out


target = pathlib.Path(__file__).resolve().parent.parent / "data" / "jinja_cases.json"
cases = [case(t) for t in T + MULTI]
target.write_text(json.dumps({"variables": V, "cases": cases}, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
print(f"{target}: {len(cases)} cases")
