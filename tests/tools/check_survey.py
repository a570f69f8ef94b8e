#!/usr/bin/env python3
"""Tests of tools/survey that need no driver: what it finds wrong with a kernel, and how it counts a loop. Run by test_survey."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools")
SURVEY = os.path.join(TOOLS, "survey")
sys.dont_write_bytecode = True
sys.path.insert(0, TOOLS)
import survey_chips  # noqa: E402
import survey_code  # noqa: E402
import survey_report  # noqa: E402

loader = importlib.machinery.SourceFileLoader("survey", SURVEY)
survey = importlib.util.module_from_spec(importlib.util.spec_from_loader("survey", loader))
loader.exec_module(survey)
CHIP = {c.name: c for c in survey_chips.CHIPS}


def row(kernel="add", ms=3, **statistics):
    return {"kernel": kernel, "constants": [64], "operands": "F32", "compile_ms": ms, "subgroup_size": 64, "statistics": statistics}


class Rules(unittest.TestCase):
    def test_faults(self):
        self.assertEqual(survey.faults(row(**{"Spilled VGPRs": 0, "VGPRs": 96, "Scratch size": 0})), [])
        for driver in ("Spilled SGPRs", "Spilled VGPRs", "Scratch size", "Spills to memory", "Fills from memory", "SLM size", "STP Count",
                       "LDP Count", "Spills", "Fills", "Scratch Memory Size"):
            self.assertEqual(survey.faults(row(**{driver: 7})), [driver + " 7"])
        self.assertEqual(survey.faults(row(ms=2999)), [])
        self.assertEqual(survey.faults(row(ms=3100)), ["takes 3.1 s to compile"])
        self.assertEqual(survey.faults(row(**{"Max Waves Per Core": 0})), ["does not fit a core"])
        self.assertEqual(survey.faults({"compile_ms": 1, "error": "no luck"}), ["no luck"])

    def test_build(self):
        model = [row("matmul_nt_nf4_dq", 4000), row("add", 5000), dict(row("attention", 6000), head_size=128, softcap=False, relative=False)]
        others = [row("matmul_nt_nf4", 9000), row("grouped_nt_f32", 9000), row("expert_gated", 9000), dict(row("fill", 9000), operands="BF16"),
                  dict(row("attention", 9000), head_size=64), dict(row("attention", 9000), head_size=128, softcap=True)]
        self.assertEqual(survey.build_ms(model + others), 15000)
        slow = [row("add", 2900)] * 7
        self.assertEqual(survey.check(CHIP["navi31"], slow)[0], 1)

    def test_known(self):
        survey.KNOWN[:], before = [("ad.*", "navi31", "a reason")], survey.KNOWN[:]
        try:
            spilled = row(Spills=2)
            self.assertEqual(survey.check(CHIP["navi31"], [spilled]), (0, {("ad.*", "navi31", "a reason")}))
            self.assertEqual(survey.check(CHIP["navi21"], [spilled])[0], 1)
            self.assertEqual(survey.check(CHIP["navi31"], [row("fill", Spills=2)]), (1, set()))
            self.assertEqual(survey.check(CHIP["navi31"], [row()]), (0, set()))
        finally:
            survey.KNOWN[:] = before


class Program(unittest.TestCase):
    """The whole script, with a tree in which a driver and its stub seem to be, and whose loader only runs the program."""

    def run_survey(self, rows, *arguments):
        with open(os.path.join(self.root, "kernels"), "w") as f:
            f.write("#!/bin/sh\ncat <<'END'\n%s\nEND\n" % "\n".join(json.dumps(r) for r in [{"device": "card", "driver": "none"}] + rows))
        os.chmod(f.name, 0o755)
        run = subprocess.run([SURVEY, "--check", "--program", f.name] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, env=dict(os.environ, SURVEY_ROOT=self.root, SURVEY_SHIM_DIR=self.root))
        return run.returncode, run.stdout

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.root = self.directory.name
        for path in ("usr/lib", "lib64", "usr/share/vulkan/icd.d"):
            os.makedirs(os.path.join(self.root, path))

    def tearDown(self):
        self.directory.cleanup()

    def write(self, path, text):
        with open(os.path.join(self.root, path), "w") as f:
            f.write(text)
        os.chmod(f.name, 0o755)

    def test_nothing_installed(self):
        code, output = self.run_survey([], "navi31")
        self.assertEqual(code, 77, output)
        self.assertIn("install mesa-drm-shim", output)
        self.write("libamdgpu_noop_drm_shim.so", "")
        self.assertIn("install mesa-vulkan-drivers", self.run_survey([], "navi31")[1])
        self.assertIn("tools/survey-shims", self.run_survey([], "dg2")[1])

    def test_check(self):
        self.write("libamdgpu_noop_drm_shim.so", "")
        self.write("usr/share/vulkan/icd.d/radeon_icd.json", "{}")
        self.write("lib64/ld-linux-x86-64.so.2", '#!/bin/sh\nshift 4\nexec "$@"\n')
        code, output = self.run_survey([row()], "navi31")
        self.assertEqual(code, 0, output)
        self.assertIn("1 pipelines", output)
        code, output = self.run_survey([row(), row("fill", **{"Spilled VGPRs": 7})], "navi31")
        self.assertEqual(code, 1, output)
        self.assertIn("navi31: fill 64: Spilled VGPRs 7", output)
        left_out = dict(row("coop"), error="kernel coop is not in this build: its shader compiler was too old")
        code, output = self.run_survey([row(), left_out], "navi31")
        self.assertEqual(code, 0, output)
        self.assertIn("not in this build: coop", output)
        code, output = self.run_survey([row("matmul_tile_nt_f32")], "navi31")  # KNOWN is of other chips
        self.assertEqual(code, 0, output)
        code, output = self.run_survey([row()], "navi99")
        self.assertEqual(code, 1, output)
        self.assertIn("navi99: not a chip", output)


def coded(code, subgroup=64, **statistics):
    return dict(row(**statistics), code=code, subgroup_size=subgroup)


AMD = """BB0:
	v_mov_b32_e32 v0, 0 ; 7e000280
BB1:
	v_fma_f32 v1, v2, v3, v1 ; d6130001
	v_fma_f32 v4, v2, v3, v4 ; d6130001
	v_exp_f32_e32 v5, v5 ; 7e0a4b05
	s_add_u32 s1, s1, 4 ; 80018401
	ds_read_b128 v[8:11], v7 ; d9fe0000
	global_load_dwordx2 v[12:13], v[14:15], off ; dc380000
	s_waitcnt vmcnt(0) ; bf8c3f70
	s_cbranch_scc1 BB1 ; bf85fff0
	v_fma_f32 v1, v2, v3, v1 ; d6130001
	s_endpgm ; bf810000
"""

RDNA3 = """BB2:
	v_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7] ; cc404000
	v_xor_b32_e32 v30, v31, v32 ; 3a3c411f
	v_cvt_f16_f32_e32 v33, v34 ; 7e421522
	s_cbranch_scc1 BB2 ; bfa2fff0
"""

DUAL = """BB1:
	v_dual_fmac_f32 v0, v1, v2 :: v_dual_fmac_f32 v3, v4, v5 ; c8000000
	v_fmac_f32_e32 v6, v7, v8 ; 560c1107
	s_cbranch_scc0 BB1 ; bfa1ffff
"""

NESTED = """BB1:
	v_fma_f32 v1, v2, v3, v1
BB2:
	v_fma_f32 v1, v2, v3, v1
	v_fma_f32 v1, v2, v3, v1
	s_cbranch_scc1 BB2
	s_cbranch_scc1 BB1
"""

NAK = """block.u 0 L1 [] -> {
      r1       = mov rZ                                         // delay=1
} -> [1]
block.u 1 L2 [0, 1] -> {
      r1       = ffma.ftz r2 r3 r1                              // delay=1
      r4       = ffma.ftz r2 r3 r4                              // delay=1
      r5       = iadd3 r5 r6 rZ                                 // delay=1
      r7       = mufu.ex2 r7                                    // delay=1
      ur4      = uiadd3 ur4 0x1 urZ                             // delay=1
      r8..12   = ld.shared.b128 [r9]                            // delay=2
@!p0             bra pT L2                                      // delay=1
} -> [1, 2]
"""

GEN = """LABEL2:
mad(8)          g125<1>F        g95<8,8,1>F     g25<8,8,1>F     g103.0<0,1,0>F { align1 1Q };
mad(16)         g105<1>F        g104<8,8,1>F    g2<8,8,1>F      g103.1<0,1,0>F { align1 1H F@4 };
add(8)          g110<1>D        g11<1,1,0>D     g115<1,1,0>D    { align1 1Q I@4 compacted };
math.exp(8)     g3<1>F          g4<8,8,1>F      null<8,8,1>F    { align1 1Q };
send(8)         g1UD            g2UD            nullUD          0x04403580                0x00000000
                slm MsgDesc: ( load, a32, d32, V4, L1STATE_L3MOCS dst_len = 4, src0_len = 1, src1_len = 0 flat )  base_offset 0
(-f0.0) while(8) JIP:  LABEL2                                   { align1 1Q };
"""


class Loops(unittest.TestCase):
    def test_gcn(self):  # 64 lanes on 16: 4 cycles each, special functions 16
        loop = survey_code.main_loop(coded(AMD, **{"Subgroups per SIMD": 10}), CHIP["polaris10"])
        self.assertEqual(loop.useful, 8)
        self.assertEqual(dict(loop.units), {"vector": 12, "special": 16, "scalar": 8, "shared memory": 64 * 16 / 128 * 4, "memory": 64 * 8 / 64 * 4})
        self.assertEqual(loop.bound, 32)
        self.assertAlmostEqual(loop.hidden, 10 * 32 / 532)
        self.assertAlmostEqual(loop.share(), 8 / 32 * 320 / 532)

    def test_matrix(self):  # 4096 multiply-adds at 128 a cycle, and two vector instructions of 2 cycles, which use the same units
        loop = survey_code.main_loop(coded(RDNA3, **{"Subgroups per SIMD": 8}), CHIP["navi31"])
        self.assertEqual((loop.kind, loop.useful, loop.bound), ("matrix", 32, 36))
        self.assertAlmostEqual(loop.share(), 32 / 36)
        self.assertEqual(survey_code.main_loop(coded(RDNA3, **{"Subgroups per SIMD": 8}), CHIP["gfx1201"]).useful, 16)

    def test_dual(self):  # two at once in one cycle, then one alone; peak is two a cycle
        loop = survey_code.main_loop(coded(DUAL, 32, **{"Subgroups per SIMD": 8}), CHIP["navi31"])
        self.assertEqual((loop.useful, loop.units["vector"]), (1.5, 2))

    def test_dot(self):  # of two f16 with an f32 sum: as many cycles as one multiply-add of f32
        code = DUAL.replace("v_dual_fmac_f32 v0, v1, v2 :: v_dual_fmac_f32 v3, v4, v5", "v_dot2c_f32_f16 v0, v1, v2").replace(
            "v_fmac_f32_e32 v6, v7, v8", "v_xor_b32_e32 v6, v7, v8")
        loop = survey_code.main_loop(coded(code, **{"Subgroups per SIMD": 8}), CHIP["navi21"])
        self.assertEqual((loop.kind, loop.useful, loop.bound), ("dot", 2, 4))

    def test_nested(self):
        loop = survey_code.main_loop(coded(NESTED, **{"Subgroups per SIMD": 8}), CHIP["navi21"])
        self.assertEqual((loop.useful, loop.inner), (4, 0))  # the inner one has two, of 2 cycles
        loop = survey_code.main_loop(coded(NESTED.replace("BB1:", "BB1:" + "\n\tv_fma_f32 v1, v2, v3, v1" * 2),
                                           **{"Subgroups per SIMD": 8}), CHIP["navi21"])
        self.assertEqual((loop.useful, loop.inner), (10, 1))  # the outer one, with all that is in it

    def test_nvidia(self):
        loop = survey_code.main_loop(coded(NAK, 32, **{"Max warps/SM": 16}), CHIP["0x162"])
        self.assertEqual(loop.useful, 4)
        self.assertEqual(dict(loop.units), {"issue": 7, "vector": 4, "integer": 2, "special": 8, "uniform": 2, "shared memory": 16})
        self.assertEqual(survey_code.main_loop(coded(NAK, 32, **{"Max warps/SM": 16}), CHIP["0x172"]).useful, 2)

    def test_intel(self):
        loop = survey_code.main_loop(coded(GEN, 8), CHIP["dg2"])
        self.assertEqual(loop.useful, 3)
        self.assertEqual(dict(loop.units), {"issue": 3, "vector": 3, "integer": 5, "shared memory": 4 * 32 / 128 * 16})

    def test_blocks_between(self):  # what a loop leaves to may lie before its last branch
        code = NAK.replace("} -> [1, 2]", """} -> [2, 3]
block.u 2 L3 [1] -> {
      r1       = fadd r1 r1                                     // delay=1
                 exit                                           // delay=1
}
block.u 3 L4 [1] -> {
                 bra pT L2                                      // delay=1
} -> [1]""").replace("bra pT L2                                      // delay=1\n} -> [2, 3]", "bra pT L4                                      // delay=1\n} -> [2, 3]")
        loop = survey_code.main_loop(coded(code, 32, **{"Max warps/SM": 16}), CHIP["0x162"])
        self.assertEqual((loop.useful, loop.units["issue"]), (4, 8))

    def test_rotated(self):  # entered in the middle
        code = "\ts_branch BB2\nBB1:\n\tv_fma_f32 v1, v2, v3, v1\nBB2:\n\tv_fma_f32 v1, v2, v3, v1\n\ts_cbranch_scc1 BB1\n\ts_endpgm\n"
        self.assertEqual(survey_code.main_loop(coded(code, **{"Subgroups per SIMD": 8}), CHIP["navi21"]).useful, 4)

    def test_no_loop(self):
        self.assertIsNone(survey_code.main_loop(coded("BB0:\n\tv_fma_f32 v1, v2, v3, v1\n", **{"Subgroups per SIMD": 8}), CHIP["navi21"]))
        self.assertIsNone(survey_code.main_loop(row(), CHIP["navi21"]))


class Report(unittest.TestCase):
    def test_tables(self):
        device = {"device": "card", "driver": "radv Mesa 26.1.6-1", "subgroup_size": 64, "kernels": "00ff"}
        rows = [row("matmul_nn_nf4", VGPRs=40, **{"Subgroups per SIMD": 8, "Spilled VGPRs": 0}),
                row("matmul_nn_f32", 70, VGPRs=64, **{"Subgroups per SIMD": 6, "Spilled VGPRs": 3})]
        loop = survey_code.main_loop(coded(AMD, **{"Subgroups per SIMD": 10}), CHIP["polaris10"])
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "survey.md")
            survey_report.write(path, {CHIP["polaris10"]: (device, rows)}, {"polaris10": {"matmul_nn_nf4": loop}}, [64], survey.spills, survey.build_ms)
            with open(path, encoding="utf-8") as f:
                text = f.read()
        self.assertIn("| polaris10 | RX 480, 580 | 64 | 2 | 1 | 0.1 s | matmul_nn_f32 0.07 s |", text)
        self.assertIn("| matmul_nn_nf4 | f32 15 % (shared memory)", text)
        self.assertIn("| matmul_nn | 64, 6 **s** |", text)
        self.assertIn("Mesa 26.1.6", text)


if __name__ == "__main__":
    unittest.main()
