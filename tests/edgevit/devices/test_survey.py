"""The script of `doctor`, run on the files and programs of real devices, and what is read from its answer."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edgevit.core.results.device import Battery
from edgevit.devices import _python
from edgevit.devices._survey_script import script
from edgevit.devices.ask import MAC_MODULES, read_survey
from edgevit.devices.checks import Check, needed
from edgevit.devices.disturbances import disturbances
from edgevit.devices.survey import Survey, Zone
from edgevit.devices.transports.local import LocalPlace
from tests import _boards
from tests._boards import Board

TOOLS = (
    "cat",
    "cut",
    "df",
    "dirname",
    "du",
    "grep",
    "head",
    "mkdir",
    "readlink",
    "sed",
    "sort",
    "tail",
    "tr",
)
INSTALL = "edgevit doctor --device ssh://board --setup"


def answer(board: Board, folder: Path, shell: str = "sh") -> Survey:
    """What the device says: the script's /proc, /sys and /etc are the board's, and it has no other programs."""
    board.build(folder)
    for tool in TOOLS:
        (folder / "tools" / tool).symlink_to(str(shutil.which(tool)))
    place = LocalPlace(str(folder / "home/it's mine/edgevit-device"), python="")
    asked = script(place.root, _python.search(place), MAC_MODULES)
    for top in ("proc", "sys", "etc"):
        asked = asked.replace(f"/{top}/", f"{folder}/{top}/")
    path = {"PATH": str(folder / "tools")}
    done = subprocess.run(
        [str(shutil.which(shell)), "-c", asked], capture_output=True, text=True, env=path, timeout=30
    )
    return read_survey("Welcome to the board!\n" + done.stdout)


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def python_3_8(packages: dict[str, str], broken: dict[str, str]) -> str:
    """A program that says what a Python 3.8 of a board has."""
    told = {
        "bits": 64,
        "tag": "cpython-38",
        "packages": packages,
        "broken": broken,
        "modules": [],
        "in_use": False,
    }
    return (
        f"case \"$2\" in *version_info*) echo new 3.8.10 ;; *) cat <<'EOF'\n{json.dumps(told)}\nEOF\n;; esac"
    )


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_raspberry_pi(shell: str, tmp_path: Path) -> None:
    found = answer(_boards.RASPBERRY_PI_5, tmp_path, shell)
    assert (found.kernel, found.machine, found.bits) == ("Linux", "aarch64", 64)
    assert (
        found.system == "Debian GNU/Linux 12 (bookworm)" and found.model == "Raspberry Pi 5 Model B Rev 1.0"
    )
    assert (found.cpu, found.features, found.cores) == ("4x Cortex-A76", ("dotprod", "fp16"), 4)
    assert (found.memory_bytes, found.memory_free_bytes) == (8245520 * 1024, 7650000 * 1024)
    assert found.libc == ("glibc", (2, 36)) and found.emulated == "" and found.load == 0.08
    assert found.governors == (("ondemand", "cpufreq-dt"),)
    assert found.zones == (Zone("cpu-thermal", 50.5, None),)
    assert found.throttled == (), "it was held down earlier, but is not now"
    assert found.folder == str(tmp_path) and found.writable, "the nearest one that there is"
    assert found.free_bytes is not None
    assert abs(found.free_bytes - shutil.disk_usage(tmp_path).free) < 1 << 30
    assert found.python is None and found.old_pythons == ()
    state = by_name(disturbances(found))
    assert state["governor"].level == "note" and state["heat"].level == "ok" and state["load"].level == "ok"


def test_a_32_bit_system_with_a_weak_power_supply(tmp_path: Path) -> None:
    found = answer(_boards.RASPBERRY_PI_4_32BIT, tmp_path)
    processor = by_name(needed(found, INSTALL))["processor"]
    assert (
        processor.level == "missing" and "32-bit programs" in processor.found and "64-bit" in processor.mend
    )
    state = by_name(disturbances(found))
    assert state["throttled"].found == "undervoltage, throttled" and "power supply" in state["throttled"].mend
    assert state["governor"].level == "warning" and "echo performance" in state["governor"].mend
    assert state["heat"].level == "warning" and state["heat"].found.startswith("81 °C")
    assert state["load"].level == "warning"


def test_a_jetson_with_an_older_c_library(tmp_path: Path) -> None:
    broken = "ImportError: /lib/aarch64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found"
    python = python_3_8({"numpy": "1.24.4", "ai-edge-litert": "2.3.0"}, {"ai-edge-litert": broken})
    board = replace(
        _boards.JETSON_ORIN, programs={**_boards.JETSON_ORIN.programs, "python3": python, "python": "exit 1"}
    )
    found = answer(board, tmp_path)
    assert (found.model, found.cpu) == ("NVIDIA Orin Nano Developer Kit", "6x Cortex-A78AE")
    assert found.python is not None and found.python.version == (3, 8, 10)
    assert found.throttled == ("thermal-cpufreq-0 at step 4",) and found.power_mode == "7W"
    assert Zone("GPU-therm", 45.0, 99.0) in found.zones
    checks = by_name(needed(found, INSTALL))
    assert checks["C library"].level == "ok", (
        "what says that it needs a newer one is installed, and tells it itself"
    )
    assert checks["ai-edge-litert"].level == "missing" and "GLIBC_2.34" in checks["ai-edge-litert"].found
    assert checks["ai-edge-litert"].mend == checks["onnxruntime"].mend == INSTALL
    assert by_name(disturbances(found))["power mode"].mend.endswith("nvpmodel -m 0")


def test_the_c_library_is_told_before_anything_is_installed(tmp_path: Path) -> None:
    board = replace(
        _boards.JETSON_ORIN, programs={**_boards.JETSON_ORIN.programs, "python3": python_3_8({}, {})}
    )
    library = by_name(needed(answer(board, tmp_path), INSTALL))["C library"]
    assert (
        library.level == "note"
        and "2.31" in library.found
        and "ai-edge-litert 2.3.0 needs 2.34" in library.found
    )


def test_a_phone_without_python(tmp_path: Path) -> None:
    found = answer(_boards.ANDROID_PHONE, tmp_path)
    assert found.android and found.system == "Android 14" and found.model == "Google Pixel 8"
    assert found.cpu == "4x Cortex-A510, 4x Cortex-A715, 1x Cortex-X3"
    assert found.features == ("bf16", "dotprod", "fp16", "i8mm", "sve", "sve2")
    assert found.battery == Battery(18, charging=False)
    python = by_name(needed(found, INSTALL))["Python"]
    assert python.level == "missing" and "--runner" in python.mend and "Termux" in python.mend
    state = by_name(disturbances(found))
    assert state["battery"].level == "warning"
    assert state["heat"].found == "36 °C (skin, slows down at 37): near the limit"


def test_powersave_of_intel_is_no_slow_clock(tmp_path: Path) -> None:
    found = answer(_boards.X86_LAPTOP, tmp_path)
    assert found.cpu == "12th Gen Intel(R) Core(TM) i7-1260P" and found.features == ("avx2", "avx_vnni")
    assert found.zones == (Zone("x86_pkg_temp", 52.0, 100.0),) and found.throttled == ()
    assert found.battery == Battery(80, charging=True)
    assert by_name(disturbances(found))["governor"].level == "note"


def test_musl_has_no_runtimes(tmp_path: Path) -> None:
    found = answer(_boards.ALPINE, tmp_path)
    assert found.libc == ("musl", (1, 2, 4))
    checks = by_name(needed(found, INSTALL))
    assert checks["C library"].level == "missing" and "musl 1.2.4" in checks["C library"].found
    assert checks["Python"].mend == "there: sudo apk add python3"


def test_a_mac(tmp_path: Path) -> None:
    found = answer(_boards.MAC, tmp_path)
    assert found.mac and found.system == "macOS 14.5" and (found.model, found.cpu) == ("Mac14,2", "Apple M2")
    assert found.features == ("dotprod", "fp16", "i8mm") and found.cores == 8
    assert found.memory_bytes == 16 << 30 and found.load == 0.52
    assert found.throttled == ("speed limit 70 %",) and found.battery == Battery(64, charging=False)
    checks = by_name(needed(found, INSTALL))
    assert checks["C library"].level == "ok" and checks["Python"].mend == "there: brew install python"


def test_an_emulator_shows_by_the_link_that_it_forgets(tmp_path: Path) -> None:
    for name, program in (("self", "/usr/bin/readlink"), ("thread-self", "/usr/bin/qemu-aarch64-static")):
        (tmp_path / "proc" / name).mkdir(parents=True)
        (tmp_path / "proc" / name / "exe").symlink_to(program)
    found = answer(_boards.RASPBERRY_PI_5, tmp_path)
    assert found.emulated == "qemu user mode"
    assert by_name(disturbances(found))["emulation"].level == "warning"


@pytest.mark.parametrize(
    "said", ["", "\x01kernel", "\x01kernel\nPlan9\n\x01heat\nx\ty\n\x01python\n[1]", "\x01\x01"]
)
def test_nonsense_is_a_device_that_has_nothing(said: str) -> None:
    found = read_survey(said)
    assert found.python is None and found.zones == () and found.libc == ("", ())
    missing = {check.name for check in needed(found, INSTALL) if check.level == "missing"}
    assert {"system", "processor", "Python"} <= missing


@pytest.mark.parametrize(
    ("free", "writable", "level", "words"),
    [
        (10 << 20, True, "missing", "10 MB free, a run takes up to"),
        (200 << 20, True, "warning", "210 MB free"),
        (8 << 30, True, "ok", "8.6 GB free"),
        (8 << 30, False, "missing", "may not write"),
    ],
)
def test_room_and_permission(free: int, writable: bool, level: str, words: str) -> None:
    found = replace(read_survey(""), folder="/mnt/a b", free_bytes=free, writable=writable)
    folder = by_name(needed(found, INSTALL))["folder"]
    assert folder.level == level and words in folder.found
    assert level == "ok" or "'/mnt/a b'" in folder.mend
