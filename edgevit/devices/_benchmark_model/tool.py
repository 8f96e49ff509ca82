"""The program: what it was built for, and which flags it has."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Final, Literal

from edgevit.core.disk.regular import regular_file
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import DeviceError, InputError
from edgevit.core.foreign import printable
from edgevit.core.place import Place
from edgevit.devices._benchmark_model.store import put_once
from edgevit.devices._benchmark_model.types import Tool
from edgevit.devices._shell import quoted, run

# e_machine of ELF, https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html, and Android's word for it.
_ABIS: Final = {183: "arm64-v8a", 40: "armeabi-v7a", 62: "x86_64", 3: "x86", 243: "riscv64"}
# A line of the usage: tab, name and default, tab, type. (`Flags::Usage` in tflite/tools/command_line_flags.cc)
_FLAG: Final = re.compile(r"^\t--(\w+)=.*?\t(?:u?int32|int64|float|bool|string)\t", re.MULTILINE)
_NEEDED: Final = ("graph", "num_runs", "min_secs", "num_threads")
_HELP_SECONDS: Final = 60.0


def built_for(program: Path) -> str:
    """ABI that a program was built for, in Android's words; "" for a script.

    Raises:
        InputError: it is missing, or neither an ELF program nor a script.
    """
    with regular_file(program, "runner").open("rb") as file:
        head = file.read(20)
    if head[:2] == b"#!":
        return ""
    if head[:4] != b"\x7fELF" or len(head) < 20:
        raise InputError(
            f"{program} is no program of Android or Linux", "give Google's benchmark_model for android_arm64"
        )
    number = int.from_bytes(head[18:20], "little" if head[5] == 1 else "big")
    return _ABIS.get(number, f"ELF machine {number}")


def prepare(place: Place, program: Path, abis: Collection[str]) -> Tool:
    """Put the program there and ask it for its flags.

    Args:
        abis: what the device executes, in Android's words; empty where it does not say.

    Raises:
        InputError: it is no program.
        DeviceError: it was built for another processor, does not start, or is no benchmark_model.
        DeviceLostError: the connection broke.
    """
    abi = built_for(program)
    if abi and abis and abi not in abis:
        raise DeviceError(
            f"{program.name} was built for {abi}; {place.where} executes {', '.join(map(printable, sorted(abis)))}",
            f"take the benchmark_model that was built for {printable(next(iter(abis)))}",
        )
    path = put_once(place, program, "benchmark_model")
    # it ends with an error after --help, on purpose (`BenchmarkModel::ParseFlags`)
    said = run(place, f"{quoted([path, '--help'])} 2>&1", _HELP_SECONDS).stdout
    flags = frozenset(_FLAG.findall(said))
    missing = [name for name in _NEEDED if name not in flags]
    if missing:
        last = printable(said.strip().splitlines()[-1][:200]) if said.strip() else "it prints nothing"
        raise DeviceError(
            f"{program.name} on {place.where} does not list the flags of benchmark_model: {last}",
            "give Google's benchmark_model for the phone's processor, see docs/devices.md",
        )
    kind: Literal["interpreter", "compiled model"] = (
        "interpreter" if "enable_op_profiling" in flags else "compiled model"
    )
    return Tool(path, sha256_of(program), flags, kind)
