"""What the device is: numbers of two runs are compared only where this is the same for both."""

from __future__ import annotations

import os
import platform
import re
import sys
from typing import Any, Dict

from .opened import installed
from .state import output, read

Fingerprint = Dict[str, Any]

# Words of /proc/cpuinfo that matter for a file's speed, under the names that the instructions go by.
_FEATURES = {
    "asimddp": "dotprod",
    "asimdhp": "fp16",
    "i8mm": "i8mm",
    "bf16": "bf16",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
    "avx2": "avx2",
    "avx512f": "avx512",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "amx_int8": "amx_int8",
}
_MAC_FEATURES = {"FEAT_DotProd": "dotprod", "FEAT_FP16": "fp16", "FEAT_I8MM": "i8mm", "FEAT_BF16": "bf16"}
# Arm's part numbers: MIDR_EL1 in the reference manual of each core.
_PARTS = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd04"): "Cortex-A35",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd0d"): "Cortex-A77",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd44"): "Cortex-X1",
    ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710",
    ("0x41", "0xd48"): "Cortex-X2",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4d"): "Cortex-A715",
    ("0x41", "0xd4e"): "Cortex-X3",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x41", "0xd80"): "Cortex-A520",
    ("0x41", "0xd81"): "Cortex-A720",
    ("0x41", "0xd82"): "Cortex-X4",
    ("0x41", "0xd84"): "Neoverse-V3",
    ("0x41", "0xd85"): "Cortex-X925",
    ("0x41", "0xd87"): "Cortex-A725",
    ("0x41", "0xd8e"): "Neoverse-N3",
    ("0x41", "0xd06"): "Cortex-A65",
    ("0x41", "0xd4a"): "Neoverse-E1",
    ("0x41", "0xd4b"): "Cortex-A78C",
    ("0x41", "0xd4c"): "Cortex-X1C",
    ("0x46", "0x001"): "A64FX",
    ("0x4e", "0x003"): "Denver 2",
    ("0x4e", "0x004"): "Carmel",
    ("0x51", "0x001"): "Oryon",
    ("0x51", "0x800"): "Kryo 2xx Gold",
    ("0x51", "0x801"): "Kryo 2xx Silver",
    ("0x51", "0x802"): "Kryo 3xx Gold",
    ("0x51", "0x803"): "Kryo 3xx Silver",
    ("0x51", "0x804"): "Kryo 4xx Gold",
    ("0x51", "0x805"): "Kryo 4xx Silver",
    ("0x61", "0x022"): "M1 Icestorm",
    ("0x61", "0x023"): "M1 Firestorm",
    ("0x61", "0x032"): "M2 Blizzard",
    ("0x61", "0x033"): "M2 Avalanche",
    ("0xc0", "0xac3"): "Ampere-1",
}


def fingerprint(root: str = "/") -> Fingerprint:
    """Model, system, processor, memory and runtimes of this device.

    Args:
        root: where /proc, /sys and /etc are, for tests.

    Returns:
        `model`, `system`, `machine`, `cpu` (cores by name, for example "4x Cortex-A72"), `features`, `cores`,
        `memory_bytes`, `libc`, `python`, `runtimes` (package -> version). Unknown words are "".
    """
    info = read(os.path.join(root, "proc/cpuinfo"))
    memory = re.search(r"MemTotal:\s+(\d+) kB", read(os.path.join(root, "proc/meminfo")))
    mac = sys.platform == "darwin"
    packages = ("onnxruntime", "ai-edge-litert", "coremltools", "numpy")
    return {
        "model": output("sysctl", "-n", "hw.model") if mac else _model(root, info),
        "system": _system(root),
        "machine": platform.machine(),
        "cpu": output("sysctl", "-n", "machdep.cpu.brand_string") if mac else cpu_names(info),
        "features": mac_features(output("sysctl", "hw.optional.arm")) if mac else cpu_features(info),
        "cores": os.cpu_count() or 1,
        "memory_bytes": int(memory.group(1)) * 1024 if memory else _mac_memory(mac),
        "libc": " ".join(platform.libc_ver()).strip(),
        "python": platform.python_version(),
        "runtimes": {name: version for name in packages for version in (installed(name),) if version},
    }


def cpu_names(info: str) -> str:
    """Which cores a text of /proc/cpuinfo lists, with their number; "" where it does not say."""
    x86 = re.findall(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    if x86:
        return str(x86[0]).strip()
    makers = re.findall(r"^CPU implementer\s*:\s*(\S+)$", info, re.MULTILINE)
    parts = re.findall(r"^CPU part\s*:\s*(\S+)$", info, re.MULTILINE)
    counts: dict[str, int] = {}
    for pair in zip(makers, parts):
        name = _PARTS.get(pair, f"implementer {pair[0]} part {pair[1]}")
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(f"{count}x {name}" for name, count in counts.items())


def cpu_features(info: str) -> list[str]:
    """Those that every core of a text of /proc/cpuinfo has, of the ones that matter here; sorted."""
    cores = re.findall(r"^(?:Features|flags)\s*:\s*(.+)$", info, re.MULTILINE)
    if not cores:
        return []
    common = set.intersection(*(set(words.split()) for words in cores))
    return sorted(name for word, name in _FEATURES.items() if word in common)


def _model(root: str, info: str) -> str:
    """The board's own name: the device tree's, or that of the firmware."""
    device_tree = ("proc/device-tree/model", "sys/firmware/devicetree/base/model")
    for path in (*device_tree, "sys/devices/virtual/dmi/id/product_name"):
        text = read(os.path.join(root, path)).strip("\0")
        if text:
            return text
    named = re.search(r"^Model\s*:\s*(.+)$", info, re.MULTILINE)
    return named.group(1).strip() if named else ""


def _system(root: str) -> str:
    named = re.search(r'^PRETTY_NAME="?([^"\n]+)', read(os.path.join(root, "etc/os-release")), re.MULTILINE)
    if named:
        return f"{named.group(1)}, {platform.system()} {platform.release()}"
    return platform.platform()


def mac_features(said: str) -> list[str]:
    """The same of what `sysctl hw.optional.arm` prints; nothing on a Mac without an ARM processor."""
    present = re.findall(r"^hw\.optional\.arm\.(\w+): 1$", said, re.MULTILINE)
    return sorted(name for key, name in _MAC_FEATURES.items() if key in present)


def _mac_memory(mac: bool) -> int:
    text = output("sysctl", "-n", "hw.memsize") if mac else ""
    return int(text) if text.isdigit() else 0
