"""`--setup` by the real pip, from a folder of small wheels, onto a device that is a folder with a Python of its own."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from edgevit.core.errors import DeviceError, StepError
from edgevit.core.progress import Silent
from edgevit.devices import _wheels
from edgevit.devices._wheels import Wanted
from edgevit.devices.ask import survey
from edgevit.devices.setup import setup
from edgevit.devices.transports.local import LocalPlace
from tests._elf import library

TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"
PLATFORM = f"manylinux_2_17_{os.uname().machine}"
# An import that fails, as it does where the C library is too old.
TOO_NEW = 'raise ImportError("libc.so.6: version `GLIBC_2.99\' not found (required by lib.so)")'


def wheel(folder: Path, name: str, version: str, code: str = "", needs: str = "GLIBC_2.17") -> None:
    """A wheel that says manylinux_2_17, whatever its library asks for."""
    module = {"ai-edge-litert": "ai_edge_litert"}.get(name, name)
    stem = f"{module}-{version}"
    files = {
        f"{module}/__init__.py": code.encode(),
        f"{module}/interpreter.py": b"",
        f"{module}/lib.so": library(needs),
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\nTag: {TAG}-{TAG}-{PLATFORM}\n".encode(),
    }
    digest = {
        path: base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        for path, data in files.items()
    }
    record = "".join(f"{path},sha256={digest[path]},{len(data)}\n" for path, data in files.items())
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{stem}-{TAG}-{TAG}-{PLATFORM}.whl", "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
        archive.writestr(f"{stem}.dist-info/RECORD", f"{record}{stem}.dist-info/RECORD,,\n")


class Notes(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalPlace:
    """This computer with a Python that has no packages, and pip with the folder `wheels` for its index."""
    venv.create(tmp_path / "system", with_pip=False)
    monkeypatch.setenv("PATH", f"{tmp_path}/system/bin:/usr/bin:/bin")
    for name, value in {
        "CONFIG_FILE": "/dev/null",
        "NO_INDEX": "1",
        "FIND_LINKS": str(tmp_path / "wheels"),
    }.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    return LocalPlace(str(tmp_path / "home/it's mine"), python="")


def left(device: LocalPlace) -> list[str]:
    root = Path(device.root)
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def test_the_newest_version_whose_libraries_fit_is_installed_once(tmp_path: Path, device: LocalPlace) -> None:
    wheels = tmp_path / "wheels"
    for name, version, needs in (
        ("numpy", "2.0.0", "GLIBC_2.17"),
        ("onnxruntime", "1.9.0", "GLIBC_2.17"),
        ("ai-edge-litert", "1.2.0", "GLIBC_2.17"),
        ("ai-edge-litert", "2.3.0", "GLIBC_2.99"),
    ):
        wheel(wheels, name, version, needs=needs)
    told = Notes()
    assert setup(device, "here", told) == ("numpy 2.0.0", "onnxruntime 1.9.0", "ai-edge-litert 1.2.0")
    assert "taking ai-edge-litert 1.2.0: ai-edge-litert 2.3.0 needs glibc 2.99 (lib.so)" in told.notes
    assert left(device) == ["venv"]
    found = survey(device).python
    assert found is not None and found.path == f"{device.root}/venv/bin/python" and found.broken == {}
    assert found.packages == {"numpy": "2.0.0", "onnxruntime": "1.9.0", "ai-edge-litert": "1.2.0"}
    before = Path(device.root, "venv/pyvenv.cfg").stat().st_ino
    assert setup(device, "here", told) == ()
    assert Path(device.root, "venv/pyvenv.cfg").stat().st_ino == before


@pytest.mark.family  # the real pip, several times
def test_the_devices_own_pip_is_asked_for_older_ones(tmp_path: Path, device: LocalPlace) -> None:
    for name in ("numpy", "onnxruntime"):
        wheel(tmp_path / "wheels", name, "2.0.0")
    wheel(tmp_path / "wheels", "ai-edge-litert", "1.2.0")
    wheel(tmp_path / "wheels", "ai-edge-litert", "2.3.0", code=TOO_NEW)
    told = Notes()
    assert setup(device, "device", told) == ("numpy 2.0.0", "onnxruntime 2.0.0", "ai-edge-litert 1.2.0")
    assert any(note.startswith("ai-edge-litert 2.3.0 does not fit") for note in told.notes)
    assert left(device) == ["venv"]


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Package -> the code of its module: what this computer's pip would have downloaded, without pip."""
    packages: dict[str, str] = {}

    def newest(package: str, want: Wanted, folder: Path) -> tuple[str, str]:
        return ("1.0", "") if package in packages else ("", f"{package} has no version for it")

    def install(wanted: tuple[str, ...], want: Wanted, wheels: Path, site: Path) -> None:
        for name in (each.partition("==")[0] for each in wanted):
            module = name.replace("-", "_")
            (site / f"{module}-1.0.dist-info").mkdir(parents=True)
            (site / f"{module}-1.0.dist-info/METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
            (site / module).mkdir()
            (site / module / "__init__.py").write_text(packages[name])
            (site / module / "interpreter.py").write_text("")

    monkeypatch.setattr(_wheels, "newest_fitting", newest)
    monkeypatch.setattr(_wheels, "install", install)
    packages["numpy"] = ""
    return packages


def test_a_runtime_without_a_version_for_it_is_left_out(
    device: LocalPlace, downloads: dict[str, str]
) -> None:
    downloads["onnxruntime"] = ""
    told = Notes()
    assert setup(device, "here", told) == ("numpy 1.0", "onnxruntime 1.0")
    assert "without ai-edge-litert: ai-edge-litert has no version for it" in told.notes
    assert setup(device, "here", told) == (), "what is there is all that there is"


def test_what_cannot_be_imported_there_leaves_nothing(device: LocalPlace, downloads: dict[str, str]) -> None:
    downloads["onnxruntime"] = "raise ImportError('libstdc++.so.6: no such file')"
    with pytest.raises(DeviceError, match=r"cannot import onnxruntime 1\.0: ImportError: libstdc\+\+"):
        setup(device, "here", Silent())
    assert left(device) == []


def test_a_broken_environment_is_replaced(device: LocalPlace, downloads: dict[str, str]) -> None:
    downloads["onnxruntime"] = ""
    setup(device, "here", Silent())
    broken = next(Path(device.root).glob("venv/lib/python3*/site-packages/onnxruntime/__init__.py"))
    broken.write_text("raise ImportError('half of it')")
    assert setup(device, "here", Silent()) == ("numpy 1.0", "onnxruntime 1.0")
    assert left(device) == ["venv"]
    assert survey(device).python.broken == {}  # type: ignore[union-attr]


def test_no_runtime_at_all_and_no_space_are_told_before_anything_is_pushed(
    tmp_path: Path, device: LocalPlace, downloads: dict[str, str]
) -> None:
    with pytest.raises(DeviceError, match="no version of any runtime fits Python"):
        setup(device, "here", Silent())
    downloads["onnxruntime"] = ""
    df = tmp_path / "system/bin/df"
    for kilobytes, said in ((1000, "folder: .*1 MB free"), (65536, r"the runtimes need \d+ MB")):
        df.write_text(f"#!/bin/sh\necho '/dev/mmcblk0p2 100 100 {kilobytes} 50% /'\n")
        df.chmod(0o755)
        with pytest.raises(DeviceError, match=said):
            setup(device, "here", Silent())
    assert left(device) == []


def test_without_the_module_venv_one_is_made_by_hand(
    tmp_path: Path, device: LocalPlace, downloads: dict[str, str]
) -> None:
    # As Debian and OpenWrt split Python into packages.
    downloads["onnxruntime"] = ""
    hidden = next((tmp_path / "system").glob("lib/python3*/site-packages"))
    hide = "u.find_spec = lambda n, *a, f=u.find_spec: None if n == 'venv' else f(n, *a)"
    (hidden / "hide.pth").write_text(f"import importlib.util as u; {hide}\n")
    assert setup(device, "here", Silent()) == ("numpy 1.0", "onnxruntime 1.0")
    assert "include-system-site-packages = false" in Path(device.root, "venv/pyvenv.cfg").read_text()
    assert left(device) == ["venv"]


def test_pips_own_words_are_told_where_it_finds_nothing(tmp_path: Path, device: LocalPlace) -> None:
    (tmp_path / "wheels").mkdir()
    want = Wanted((3, 11), ("manylinux_2_17_aarch64",), (2, 17))
    with pytest.raises(StepError, match="pip found no set of packages with nothing-such==1"):
        _wheels.install(("nothing-such==1",), want, tmp_path / "wheels", tmp_path / "site")
