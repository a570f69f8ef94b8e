"""The main loop of a kernel in a compiler's assembly, and the cycles that it costs on a chip's units.

    main_loop(row, chip) -> Loop, of a row of survey_kernels with VKFT_STATISTICS=code, or None

A scheduler's units work side by side when it has enough subgroups to choose from, so an iteration costs what the busiest unit needs: vector
arithmetic with matrix instructions (they share the units on AMD), integer arithmetic where it has units of its own, special functions, shared
memory, memory, issue. A unit's cycles are the sum over the instructions of the loop, each once. The share of peak is the cycles that the
multiply-adds alone would need, over those. Where the subgroups that fit are too few to hide the latency of memory, the share falls in
proportion.

Rates are the makers' public numbers, for one scheduler: a SIMD of AMD, a quarter of an SM, an EU.
"""

import collections
import re

# lanes: f32 operations a cycle; dual: cycles of a wave64 instruction that can be issued twice at once; lds, memory: bytes a cycle of the group of
# schedulers that shares the path; sharers: how many share it; matrix: f16 multiply-adds a cycle with f32 sums; latency: of memory, in cycles; l2: bytes a cycle of the second cache for the
# group (measured by others; coarse)
Rates = collections.namedtuple("Rates", "lanes dual lds memory sharers matrix latency l2")

RATES = {
    "gcn": Rates(16, False, 128, 64, 4, 0, 500, 16),
    "rdna1": Rates(32, False, 128, 128, 2, 0, 500, 25),
    "rdna2": Rates(32, False, 128, 128, 2, 0, 500, 25),
    "rdna3": Rates(32, True, 128, 128, 2, 128, 500, 32),
    "rdna4": Rates(32, True, 128, 128, 2, 256, 500, 32),
    "volta": Rates(16, False, 128, 128, 4, 128, 500, 32),
    "turing": Rates(16, False, 128, 64, 4, 64, 500, 32),
    "ampere": Rates(32, False, 128, 128, 4, 64, 500, 24),
    "gen9": Rates(8, False, 64, 64, 8, 0, 500, 64),
    "xehpg": Rates(8, False, 128, 128, 16, 64, 500, 32),
    "xe2": Rates(16, False, 128, 128, 8, 128, 500, 40),
}

Instruction = collections.namedtuple("Instruction", "op text")


class Loop:
    """One loop: cycles of each unit in an iteration, cycles of its multiply-adds at peak, and which kind these are."""

    def __init__(self, instructions, machine, inner=0):
        self.instructions, self.inner = instructions, inner
        self.units = collections.Counter()
        self.peak = collections.Counter()  # "f32", "dot" or "matrix": cycles at peak rate
        for i in instructions:
            machine.count(i, self.units, self.peak)
        traffic = self.units.pop("traffic", 0)
        self.kind = next((kind for kind in ("matrix", "dot") if self.peak[kind]), "f32")
        self.useful = self.peak[self.kind]
        self.bound = max(self.units.values(), default=0)
        # bytes a cycle that a group of schedulers asks its caches for, at peak speed
        self.traffic = traffic * machine.rates.sharers / self.bound if self.bound else 0
        self.busiest = max(self.units, key=self.units.get) if self.units else ""
        self.l2 = machine.rates.l2
        self.subgroups = machine.subgroups
        waiting = machine.rates.latency if self.units["memory"] else 0
        self.hidden = min(1.0, self.subgroups * self.bound / (self.bound + waiting)) if self.bound else 0

    def share(self):
        return self.useful / self.bound * self.hidden if self.bound else 0


class Machine:
    """How a compiler's assembly reads, and what an instruction costs."""

    def __init__(self, row, rates):
        self.rates = rates
        self.statistics = row["statistics"]
        self.subgroup = row["subgroup_size"]
        self.subgroups = 1


class Amd(Machine):
    DUAL = re.compile(r"v_((fma|fmac|fmaak|fmamk|mul|add|sub|subrev|max|min)_f32|mov_b32|cndmask_b32|dot2c?_f32_f16|dot2acc_f32_f16|add_nc_u32|"
                      r"lshlrev_b32|and_b32)(_e32|_e64)?$")
    SLOW = re.compile(r"v_(exp|log|rcp|rsq|sqrt|sin|cos)_|v_mul_(lo|hi)_|v_(lshlrev|lshrrev|ashrrev)_b64|v_mad_(co_)?[iu]64")
    MULTIPLY_ADD = re.compile(r"v_(fma|fmac|mac|mad|fmaak|fmamk|madak|madmk)_(legacy_)?f32")

    def __init__(self, row, rates):
        super().__init__(row, rates)
        self.subgroups = max(1, self.statistics["Subgroups per SIMD"])
        self.issue = 4 if rates.lanes == 16 else 1

    def parse(self, code):
        for line in code.split("\n"):
            line = line.split(";")[0].rstrip()
            label = re.match(r"(BB\d+):", line)
            if label:
                yield "label", label.group(1)
                continue
            words = line.split()
            if not words:
                continue
            for part in line.strip().split(" :: "):  # of a dual instruction
                yield "instruction", Instruction(part.split()[0], part)
            target = re.match(r"s_(c?)branch\S* (BB\d+)", line.strip())
            if target:
                yield "branch", (target.group(2), bool(target.group(1)))
            elif words[0] == "s_endpgm":
                yield "branch", (None, False)

    def bytes(self, op):
        m = re.search(r"dwordx(\d)", op)
        if m:
            return 4 * int(m.group(1))
        m = re.search(r"_[bui](8|16|32|64|96|128)\b", op.replace("_d16", "").replace("_hi", ""))
        size = max(4, int(m.group(1)) // 8) if m else 4
        return size * (2 if "2addr" in op or op.startswith(("ds_read2", "ds_write2")) else 1)

    def count(self, i, units, peak):
        r, op = self.rates, i.op
        wave = self.subgroup / r.lanes
        if op.startswith("v_wmma") or op.startswith("v_swmmac"):
            shape = re.search(r"(\d+)x(\d+)x(\d+)", op)
            cycles = int(shape.group(1)) * int(shape.group(2)) * int(shape.group(3)) / r.matrix
            units["vector"] += cycles
            peak["matrix"] += cycles
        elif op.startswith("v_dual_"):
            units["vector"] += wave / 2
            if re.match(r"v_dual_(fmac|fmaak|fmamk)", op):
                peak["f32"] += wave / 2
        elif op.startswith("v_"):
            cycles = wave
            if self.SLOW.match(op):
                units["special"] += 4 * wave
            elif r.dual and self.subgroup == 64 and self.DUAL.match(op):
                cycles = wave / 2
            units["vector"] += cycles
            if self.MULTIPLY_ADD.match(op):
                peak["f32"] += wave / 2 if r.dual else wave
            elif re.match(r"v_dot2", op):
                peak["dot"] += wave / 2 if r.dual else wave
        elif op.startswith("ds_"):
            units["shared memory"] += self.bytes(op) * self.subgroup / r.lds * r.sharers
        elif op.startswith(("global_", "flat_", "buffer_", "scratch_")):
            units["memory"] += self.bytes(op) * self.subgroup / r.memory * r.sharers
            units["traffic"] += self.bytes(op) * self.subgroup
        elif op.startswith(("s_load", "s_buffer_load")):
            units["scalar"] += self.issue
        elif op.startswith("s_") and not re.match(r"s_(delay_alu|waitcnt|wait_|nop|clause|sleep|barrier)", op):
            units["scalar"] += self.issue


class Nvidia(Machine):
    def __init__(self, row, rates):
        super().__init__(row, rates)
        self.subgroups = max(1, self.statistics["Max warps/SM"] / 4)

    def parse(self, code):
        for line in code.split("\n"):
            line = line.split("//")[0].rstrip()
            block = re.match(r"block\S* \d+ (L\d+) ", line)
            if block:
                yield "label", block.group(1)
                continue
            if not line.startswith((" ", "@")) or not line.strip():
                continue
            text = re.sub(r"^@!?u?p\d+\s+", "", line.strip())
            text = text.split(" = ", 1)[-1].strip()
            yield "instruction", Instruction(text.split()[0], line.strip())
            target = re.match(r"bra (\S+) (L\d+)", text)
            if target:
                yield "branch", (target.group(2), line.startswith("@") or target.group(1) != "pT")
            elif text.startswith("exit"):
                yield "branch", (None, line.startswith("@"))

    def bytes(self, op):
        m = re.search(r"\.[bu](8|16|32|64|128)\b", op)
        return max(4, int(m.group(1)) // 8) if m else 4

    def count(self, i, units, peak):
        r, op = self.rates, i.op
        units["issue"] += 1
        uniform = re.match(r"(ur|up)\d", i.text)
        fp = 32 / r.lanes
        if uniform:
            units["uniform"] += 2
        elif op.startswith(("hmma", "imma")):
            shape = re.search(r"\.?m?(16)n?x?(8)k?x?(4|8|16|32)", op)
            volume = int(shape.group(1)) * int(shape.group(2)) * int(shape.group(3)) if shape else 2048
            units["matrix"] += volume / r.matrix
            peak["matrix"] += volume / r.matrix
        elif op.startswith(("ffma", "fmul", "fadd", "imad", "hfma", "hadd", "hmul", "fmnmx")):
            units["vector"] += fp
            if op.startswith("ffma"):
                peak["f32"] += fp
        elif op.startswith(("mufu", "i2f", "f2i", "f2f", "popc", "flo")):
            units["special"] += 8
        elif op.startswith(("ld.shared", "st.shared", "lds", "sts", "ldsm", "atoms")):
            units["shared memory"] += self.bytes(op) * 32 / r.lds * r.sharers * (4 if ".x4" in op else 2 if ".x2" in op else 1)
        elif op.startswith(("ld", "st", "atom")) and not op.startswith("ldc"):
            units["memory"] += self.bytes(op) * 32 / r.memory * r.sharers
            units["traffic"] += self.bytes(op) * 32
        elif op.startswith("shfl"):
            units["shared memory"] += 4
        elif op.startswith(("bra", "bar", "nop", "bssy", "bsync", "bclear", "exit", "warpsync", "ldc")):
            pass
        else:
            units["integer"] += 2
            if r.lanes == 32:  # half of the lanes of f32 compute integers too
                units["vector"] += 1


class Intel(Machine):
    def __init__(self, row, rates):
        super().__init__(row, rates)
        self.subgroups = 8
        self.register = 64 if rates.lanes == 16 else 32

    def parse(self, code):
        for line in code.split("\n"):
            label = re.match(r"(LABEL\d+):", line)
            if label:
                yield "label", label.group(1)
                continue
            text = re.sub(r"^\([^)]*\)\s*", "", line)
            m = re.match(r"([a-z][\w.]*)\s?\((\d+)\)", text)
            if m:
                yield "instruction", Instruction(m.group(1), text)
                if m.group(1) == "while":
                    yield "branch", (re.search(r"JIP:\s+(LABEL\d+)", line).group(1), True)
            elif re.match(r"\s+(slm|ugm|tgm|urb|dp data|untyped|sampler|hdc|gateway|const)", line):
                yield "instruction", Instruction("message", line)

    def count(self, i, units, peak):
        r, op, text = self.rates, i.op, i.text
        if op == "message":
            lengths = dict(re.findall(r"(dst_len|src1_len|rlen|mlen)\s*[= ]\s*(\d+)", text))
            moved = max(int(lengths.get("dst_len", lengths.get("rlen", 0))), int(lengths.get("src1_len", 0))) * self.register
            unit = "shared memory" if "slm" in text else "memory"
            if "gateway" not in text and "fence" not in text:
                units[unit] += moved / (r.lds if unit == "shared memory" else r.memory) * r.sharers
                if unit == "memory":
                    units["traffic"] += moved
            return
        size = int(re.search(r"\((\d+)\)", text).group(1))
        cycles = max(1, size / r.lanes)
        units["issue"] += 0.5  # two, of different subgroups
        if op.startswith("dpas"):
            m = re.match(r"dpas\w*\.(\d+)x(\d+)", op)
            depth, rows = (int(m.group(1)), int(m.group(2))) if m else (8, 8)
            volume = size * depth * 2 * rows
            units["matrix"] += volume / r.matrix
            peak["matrix"] += volume / r.matrix
        elif op.startswith(("send", "sync", "while", "if", "else", "endif", "break", "cont", "nop", "halt", "jmpi")):
            pass
        elif op.startswith("math"):  # shares its port with integers
            units["integer"] += 4 * cycles
        elif re.match(r"\w[\w.]*\s*\(\d+\)\s+\S+>?H?F\b", text) or re.search(r">(F|HF)\s", text.split("{")[0][:48]):
            half = 2 if re.search(r">HF\s", text[:48]) and op.startswith(("mad", "add", "mul")) else 1
            units["vector"] += cycles / half
            if op.startswith("mad"):
                peak["f32"] += cycles / half
        else:
            wide = 4 if op.startswith(("mul", "mach", "macl", "mad")) else 1
            units["integer"] += cycles * wide
            if r.lanes == 8 and r.sharers == 8:  # older chips: one set of units for both
                units["vector"] += cycles * wide


MACHINES = {"radeon": Amd, "nouveau": Nvidia, "intel": Intel}


class Graph:
    """The blocks of a program: their instructions, and where each goes on."""

    def __init__(self, items):
        self.blocks, self.next = [[]], [set()]
        labels, jumps, falls = {}, [], True
        for kind, value in items:
            if kind == "instruction":
                self.blocks[-1].append(value)
                continue
            if kind == "branch":
                jumps.append((len(self.blocks) - 1, value[0]))
                falls = value[1]
            if falls:
                self.next[-1].add(len(self.blocks))
            falls = True
            self.blocks.append([])
            self.next.append(set())
            if kind == "label":
                labels[value] = len(self.blocks) - 1
        for block, label in jumps:
            if label in labels:
                self.next[block].add(labels[label])
        self.next[-1].clear()
        self.previous = [set() for _ in self.blocks]
        for block, following in enumerate(self.next):
            for n in following:
                self.previous[n].add(block)

    def reaches(self, start, goal, around):
        """Whether a way leads from start to goal that does not pass `around`."""
        seen, waiting = {start, around}, [start] if start != around else []
        while waiting:
            block = waiting.pop()
            if block == goal:
                return True
            waiting += self.next[block] - seen
            seen |= self.next[block]
        return False

    def loops(self):
        """{first block: set of blocks} of the loops: the ways back to a block that every way to them passes."""
        found = {}
        for block, following in enumerate(self.next):
            for first in following if self.reaches(0, block, None) else ():
                if not self.reaches(0, block, first):
                    body, waiting = found.setdefault(first, {first}), [block]
                    while waiting:
                        b = waiting.pop()
                        if b not in body:
                            body.add(b)
                            waiting += self.previous[b]
        return found


def main_loop(row, chip):
    """The loop with the most multiply-adds of its own; of two the one with fewer loops inside it, for a product's other loop is its branch's.
    Loops inside it count once (`inner` says how many there are), because nothing tells how often they run: the share is then an upper bound."""
    if chip.icd not in MACHINES or not row.get("code"):
        return None
    machine = MACHINES[chip.icd](row, RATES[chip.rates])
    graph = Graph(machine.parse(row["code"]))
    loops = graph.loops()
    best, most = None, (0, 0)

    def instructions(blocks):
        return [i for b in sorted(blocks) for i in graph.blocks[b]]

    for first, body in loops.items():
        inner = [b for f, b in loops.items() if f != first and b < body]
        own = Loop(instructions(body.difference(*inner)), machine).useful
        if own and (own, -len(inner)) > most:
            best, most = Loop(instructions(body), machine, len(inner)), (own, -len(inner))
    return best
