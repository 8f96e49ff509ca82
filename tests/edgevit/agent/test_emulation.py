"""The kernel's links as they are on a real device, and as qemu, Rosetta and Box64 leave them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevit.agent.emulation import emulated


def proc(folder: Path, **links: str) -> str:
    for name, program in links.items():
        (folder / name.replace("_", "-")).mkdir(parents=True)
        (folder / name.replace("_", "-") / "exe").symlink_to(program)
    return str(folder)


@pytest.mark.parametrize(
    ("program", "called"),
    [
        ("/usr/bin/qemu-aarch64-static", "qemu user mode"),
        ("/usr/libexec/qemu-binfmt/arm-binfmt-P", "qemu user mode"),
        ("/run/rosetta/rosetta", "Rosetta"),
        ("/usr/local/bin/box64", "Box64"),
        ("/opt/newer/bin/blink", "blink"),
        ("/usr/bin/FEXInterpreter", "FEX"),
    ],
)
def test_the_link_that_an_emulator_forgets_names_it(tmp_path: Path, program: str, called: str) -> None:
    # As seen by `python3` in an arm64 chroot below qemu 7.2.
    assert emulated(proc(tmp_path, self="/usr/bin/python3.11", thread_self=program)) == called


def test_both_links_agree_on_a_real_device(tmp_path: Path) -> None:
    assert emulated(proc(tmp_path, self="/usr/bin/python3.11", thread_self="/usr/bin/python3.11")) == ""


def test_no_proc_and_old_kernels_are_no_emulation(tmp_path: Path) -> None:
    assert emulated(str(tmp_path)) == ""
    assert emulated(proc(tmp_path, self="/usr/bin/python3.8")) == ""


def test_this_computer_runs_on_its_own_processor() -> None:
    assert emulated() == ""
