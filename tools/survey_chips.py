"""The chips of tools/survey: how each one's compiler is started without the chip, and what its units do in a cycle.

A chip is surveyed by a real Mesa driver on top of a stub of the kernel's driver (Mesa's drm-shim): the driver starts, reports the chip and
compiles for it; nothing is executed. RATES are public numbers of the makers, for one scheduler: what shares a stream of instructions.
"""

import collections
import glob
import os

# name: of the chip, as its stub takes it; maker: of the tables; card: a product with it; icd, shim, variable: how it is started;
# rates: key of RATES
Chip = collections.namedtuple("Chip", "name maker card icd shim variable rates")


def amd(name, card, rates):
    return Chip(name, "AMD (RADV)", card, "radeon", "amdgpu", ("AMDGPU_GPU_ID", name), rates)


def nvidia(chipset, card, rates):
    return Chip("0x" + chipset, "NVIDIA (NVK)", card, "nouveau", "nouveau", ("NOUVEAU_CHIPSET", chipset), rates)


def adreno(number, card):
    return Chip("adreno" + number, "Qualcomm (Turnip)", card, "freedreno", "freedreno", ("FD_GPU_ID", number), None)


def intel(name, card, rates):
    return Chip(name, "Intel (ANV)", card, "intel", "intel", ("INTEL_STUB_GPU_PLATFORM", name), rates)


CHIPS = [
    amd("polaris10", "RX 480, 580", "gcn"), amd("vega10", "RX Vega 64", "gcn"), amd("renoir", "Ryzen 4000", "gcn"),
    amd("navi10", "RX 5700", "rdna1"), amd("navi21", "RX 6800, 6900", "rdna2"), amd("navi31", "RX 7900", "rdna3"),
    amd("gfx1201", "RX 9070", "rdna4"),
    nvidia("140", "Titan V", "volta"), nvidia("162", "RTX 20", "turing"), nvidia("172", "RTX 30", "ampere"),
    nvidia("192", "RTX 40", "ampere"), nvidia("1b2", "RTX 50", "ampere"),
    adreno("660", "Snapdragon 888"), adreno("730", "Snapdragon 8 Gen 1"),
    intel("skl", "HD 530", "gen9"), intel("tgl", "Iris Xe", "gen9"), intel("dg2", "Arc A770", "xehpg"),
    intel("mtl", "Core Ultra 1", "gen9"), intel("bmg", "Arc B580", "xe2"), intel("lnl", "Core Ultra 2", "xe2"),
]

# Chips that the stub of Mesa does not know and one built by tools/survey-shims does.
EXTENDED = ("0x192", "0x1b2")


class Missing(Exception):
    """What a chip needs is not here; the text says what, and what to install."""


class System:
    """Where the drivers are: on this system, or in the tree of another one (SURVEY_ROOT), whose loader and libraries then run the program."""

    def __init__(self):
        self.root = os.environ.get("SURVEY_ROOT", "").rstrip("/")
        self.shims = os.environ.get("SURVEY_SHIM_DIR", "")
        self.libraries = [d for d in (self.root + "/usr/lib/x86_64-linux-gnu", self.root + "/usr/lib64", self.root + "/usr/lib")
                          if os.path.isdir(d)]

    def shim(self, chip):
        name = "lib%s_noop_drm_shim.so" % chip.shim
        for directory in [self.shims] + self.libraries:
            path = os.path.join(directory, name)
            if directory and os.path.exists(path):
                return path
        if chip.shim == "intel":
            raise Missing("no %s: Debian ships none; build it with tools/survey-shims DIR and set SURVEY_SHIM_DIR=DIR" % name)
        raise Missing("no %s: install mesa-drm-shim (Debian 13: from trixie-backports), or set SURVEY_ROOT to the tree of a system with it" % name)

    def icd(self, chip):
        found = sorted(glob.glob("%s/usr/share/vulkan/icd.d/%s_icd*.json" % (self.root, chip.icd)))
        if not found:
            raise Missing("no Vulkan driver %s_icd.json: install mesa-vulkan-drivers of the same version as mesa-drm-shim" % chip.icd)
        return found[0]

    def command(self, chip, arguments, cache):
        """The command line and the environment that run a program on top of the chip's stub. cache: an empty directory"""
        shim, icd = self.shim(chip), self.icd(chip)
        environment = dict(os.environ, VK_DRIVER_FILES=icd, VK_ICD_FILENAMES=icd, VKFT_CACHE_DIR=cache, XDG_CACHE_HOME=cache,
                           MESA_SHADER_CACHE_DISABLE="true", NVK_I_WANT_A_BROKEN_VULKAN_DRIVER="1")
        environment.pop("VKFT_DEVICE", None)
        environment[chip.variable[0]] = chip.variable[1]
        if not self.root:
            environment["LD_PRELOAD"] = shim
            return arguments, environment
        loader = [self.root + "/lib64/ld-linux-x86-64.so.2", "--library-path", ":".join(self.libraries), "--preload", shim]
        return loader + arguments, environment
