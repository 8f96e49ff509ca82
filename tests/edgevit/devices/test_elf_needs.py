"""What libraries ask for: of ones made byte by byte, and of those that this Python has loaded."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest

from edgevit.devices.elf_needs import glibc_needed, version_needs
from tests._elf import library


def test_every_need_is_read() -> None:
    assert version_needs(library("GLIBC_2.17", "GLIBC_2.34", "GLIBC_PRIVATE")) == {
        "GLIBC_2.17",
        "GLIBC_2.34",
        "GLIBC_PRIVATE",
    }


def test_the_newest_counts_by_number_not_by_letters(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.so").write_bytes(library("GLIBC_2.9", "GLIBC_2.2.5"))
    (tmp_path / "deep/libb.so.1.2").write_bytes(library("GLIBC_2.28", "GLIBC_2.4"))
    (tmp_path / "c.so").write_bytes(library("GLIBCXX_3.4.30", of="libstdc++.so.6"))
    assert glibc_needed(tmp_path) == ((2, 28), "libb.so.1.2")


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"\xcf\xfa\xed\xfe" + b"\0" * 60, library("GLIBC_2.34")[:90], b"INPUT(-lc)"]
)
def test_what_is_no_whole_library_asks_for_nothing(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(data)
    assert glibc_needed(tmp_path) == ((), "")


def test_what_this_computer_has_loaded_fits_its_c_library() -> None:
    import numpy._core

    own = os.confstr("CS_GNU_LIBC_VERSION")
    assert own is not None
    version, file = glibc_needed(Path(numpy._core.__file__).parent)
    assert (2, 2) <= version <= tuple(map(int, own.split()[1].split(".")))
    assert file.endswith(sysconfig.get_config_var("EXT_SUFFIX"))
