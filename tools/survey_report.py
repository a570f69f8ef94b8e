"""Writes docs/survey.md from what tools/survey found."""

import datetime
import os
import re

import survey_code

HEAD = """# Survey: the kernels through the compilers of real GPUs

`tools/survey` compiles every kernel, with the constants that vkft chooses for the chip, through the real compilers of GPUs that are not here, and
writes this page. Nothing was executed: these are statements of compilers, not measurements.
*{date}, {drivers}, kernels {kernels}.*

## The chips

A pipeline is a kernel with its constants: attention for head sizes {heads}, with and without capped scores and biases;
products with f32, bf16 and f16 operands. *Spilled* are pipelines that keep registers in memory. *Build* is the CPU time to compile all pipelines that
a QLoRA run of a model without experts could use (weights in nf4, bf16 and f32; heads of 128): an upper bound of what one uses, on one core; vkft
builds on all. At most 3 s is allowed for a pipeline and 20 s for the build, which is 10 s on two cores.

| chip | card | subgroup | pipelines | spilled | build | longest |
|---|---|---:|---:|---:|---:|---|
"""

SHARES = """
## Shares of peak

How much of the chip's arithmetic the main loop of a kernel keeps busy: the cycles that its multiply-adds would need alone, over the cycles that an
iteration costs. *f32* is against the f32 rate, *dot* against the rate of dot products of two f16 with an f32 sum, which is twice that, *matrix* against
the rate of the matrix units for f16 with f32 sums. In brackets is the unit that is busiest. *!* marks loops that ask the second cache for more than it can give (bytes a cycle, asked for and there), if nothing of them is in the first.

{table}

**Method.** `tools/survey_code.py` finds the main loop in the assembly that the driver prints: the loop with the most multiply-adds, without the loops
inside it. It adds up, for each unit of a scheduler (a SIMD of AMD, a quarter of an SM of NVIDIA, an EU of Intel), the cycles of the loop's instructions
at the rates that the makers publish: vector arithmetic (on AMD with the matrix instructions, which use the same units), integers where they have units
of their own, special functions, shared memory, memory, scalars, issue. With enough subgroups the units work side by side, so an iteration costs what the
busiest one needs. Where the subgroups that fit the registers are too few to hide 500 cycles of memory latency, the share falls in proportion.
Of a kernel with several shapes the best is shown; *+* marks loops with loops inside them, which count once, so that their share is an upper bound.
Not in it: bank conflicts, waiting at barriers, the second cache and memory (hence the mark), clocks that fall, work outside the main loop. Both sides of a
branch inside the loop count. Multiply-adds that are no part of a product (in an exponential, say) count as useful; they are few. A real card
will be slower than this table; a kernel that is slow here cannot be fast there.
"""

REGISTERS = """
## Registers and occupancy

{legend} The worst of a family's pipelines; **s** marks spills.

"""

LEGENDS = {
    "AMD (RADV)": ("VGPRs", "Subgroups per SIMD", "Vector registers, and subgroups that fit a SIMD."),
    "NVIDIA (NVK)": ("Number of GPRs", "Max warps/SM", "Registers, and warps that fit an SM."),
    "Qualcomm (Turnip)": ("Registers used", "Max Waves Per Core", "Registers, and waves that fit a core."),
    "Intel (ANV)": ("Max live registers", "subgroup", "Live registers at most, and the width that the compiler chose."),
}
STORAGE = re.compile(r"_(nf4|nf4_dq|fp4|fp4_dq|fp8|bf16|f16|f32)$")

# Storage types that others stand for in the table of shares.
LEFT_OUT = re.compile(r"_(nf4_dq|fp4|fp4_dq|fp8|f16)$")


def family(kernel):
    return STORAGE.sub("", kernel)


def chip_line(chip, device, rows, spilled, build_ms):
    longest = max(rows, key=lambda r: r["compile_ms"])
    return "| %s | %s | %d | %d | %d | %.1f s | %s %.2f s |" % (
        chip.name, chip.card, device["subgroup_size"], len(rows), spilled,
        build_ms / 1000, longest["kernel"], longest["compile_ms"] / 1000)


def share_table(chips, shares):
    """shares: {kernel: {chip: Loop}}"""
    lines = ["| kernel | " + " | ".join(c.name for c in chips) + " |", "|---|" + "---|" * len(chips)]
    for kernel in sorted(shares):
        cells = []
        for c in chips:
            loop = shares[kernel].get(c.name)
            if not loop:
                cells.append("")
                continue
            over = ""
            if loop.traffic > loop.l2 and not kernel.startswith("attention"):  # whose rows share what they load
                over = " ! %.0f of %d" % (loop.traffic, loop.l2)
            cells.append("%s %.0f %%%s (%s)%s" % (loop.kind, 100 * loop.share(), "+" if loop.inner else "", loop.busiest, over))
        lines.append("| %s | %s |" % (kernel, " | ".join(cells)))
    return "\n".join(lines)


def register_table(chips, results, spills):
    register, waves, _ = LEGENDS[chips[0].maker]
    families = {}
    for c in chips:
        for row in results[c][1]:
            if "error" in row:
                continue
            cell = families.setdefault(family(row["kernel"]), {}).setdefault(c.name, [0, 10 ** 6, False])
            s = row["statistics"]
            cell[0] = max(cell[0], s[register])
            cell[1] = min(cell[1], row["subgroup_size"] if waves == "subgroup" else s[waves])
            cell[2] |= bool(spills(row))
    lines = ["| kernel | " + " | ".join(c.name for c in chips) + " |", "|---|" + "---|" * len(chips)]
    for name in sorted(families):
        cells = families[name]
        lines.append("| %s | %s |" % (name, " | ".join(
            "%d, %d%s" % (cells[c.name][0], cells[c.name][1], " **s**" if cells[c.name][2] else "") if c.name in cells else "" for c in chips)))
    return "\n".join(lines)


def shares_of(chip, rows):
    """{kernel with head size: Loop} of the rows, which have code. Of several pipelines of a kernel the best, but one without loops in its loop
    is better than one with them."""
    found = {}
    for row in rows:
        if "error" in row or row.get("softcap") or row.get("relative") or LEFT_OUT.search(row["kernel"]):
            continue
        loop = survey_code.main_loop(row, chip)
        name = row["kernel"] + (", head %d" % row["head_size"] if "head_size" in row else "")
        if loop and (name not in found or (-loop.inner, loop.share()) > (-found[name].inner, found[name].share())):
            found[name] = loop
    return found


def write(path, results, shares, heads, spills, build_ms):
    """results: {chip: (device, rows)}; shares: {chip name: {kernel: Loop}}; spills: of a row; build_ms: of a chip's rows"""
    chips = list(results)
    devices = [results[c][0] for c in chips]
    drivers = sorted({re.sub(r".*(Mesa [\d.]+).*", r"\1", d["driver"]) for d in devices})
    text = HEAD.format(date=datetime.date.today().isoformat(), drivers=", ".join(drivers), kernels=devices[0]["kernels"],
                       heads=", ".join(str(h) for h in heads))
    for c in chips:
        device, rows = results[c]
        text += chip_line(c, device, rows, sum(bool(spills(r)) for r in rows), build_ms(rows)) + "\n"
    by_kernel = {}
    for c in chips:
        for kernel, loop in shares.get(c.name, {}).items():
            by_kernel.setdefault(kernel, {})[c.name] = loop
    text += SHARES.format(table=share_table([c for c in chips if shares.get(c.name)], by_kernel))
    for maker in LEGENDS:
        of_maker = [c for c in chips if c.maker == maker]
        if of_maker:
            text += REGISTERS.replace("## Registers and occupancy", "## Registers and occupancy: " + maker).format(legend=LEGENDS[maker][2])
            text += register_table(of_maker, results, spills) + "\n"
    with open(path + ".tmp", "w", encoding="utf-8") as f:
        f.write(text)
    os.replace(path + ".tmp", path)
