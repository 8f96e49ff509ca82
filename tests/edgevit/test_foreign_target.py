"""A target outside the repository, built and installed as a package: `examples/target`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from edgevit import registries
from edgevit.core.errors import UsageError
from edgevit.core.plugins import Target
from edgevit.core.registry import Registry, _installed
from tests._command import edgevit


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what pip would install: the built wheel, unpacked."""
    folder = tmp_path_factory.mktemp("site")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "edgevit_torch_program.py"):
        (source / name).write_bytes((root / "examples" / "target" / name).read_bytes())
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "installed")
    return folder / "installed"


SMALL = ("timm:test_vit2", "--random-weights", "0", "--image-size", "64")
IMAGES = ("--evaluate", "synthetic:8")


@pytest.fixture(scope="module")
def bundle(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, written by that target."""
    out = tmp_path_factory.mktemp("bundle") / "out"
    done = edgevit(
        "convert", *SMALL, "--to", "program", "--precision", "fp32", *IMAGES, "-o", out, PYTHONPATH=site
    )
    assert done.returncode == 0, done.stderr
    return out


def test_its_file_is_executed_and_judged(bundle: Path) -> None:
    report = json.loads((bundle / "report.json").read_text())
    (program,) = report["artifacts"]
    assert program["verdict"] == "pass" and program["executed_by"] == f"torch {torch.__version__}"
    assert program["path"] == "program/fp32/model.ptz"
    # Against PyTorch's own answers, before the model was exported.
    assert program["accuracy"]["agreement"] == 100
    assert program["fidelity"]["sqnr_db"] > 100


def test_what_usage_md_shows_runs(bundle: Path) -> None:
    snippets = re.findall(r"```python\n(.*?)```", (bundle / "USAGE.md").read_text(), re.DOTALL)
    (code,) = [snippet for snippet in snippets if "torch.export.load" in snippet]
    defined: dict[str, Any] = {}
    exec("\n".join((snippets[0], code)).replace("program/fp32", f"{bundle}/program/fp32"), defined)
    photograph = bundle / "a.png"
    Image.new("RGB", (80, 60), (200, 30, 90)).save(photograph)
    (logits,) = defined["answer"](photograph).detach().numpy()
    assert logits.shape == (1000,) and np.isfinite(logits).all()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("list", "targets"), "the exported PyTorch program in a zip archive"),
        (("list", "runtimes"), "torch_program"),
        (("doctor",), "torch_program"),
    ],
)
def test_it_is_listed(site: Path, arguments: tuple[str, ...], told: str) -> None:
    done = edgevit(*arguments, PYTHONPATH=site)
    assert done.returncode == 0 and told in done.stdout, done.stderr


def test_its_file_is_known_where_the_package_is_installed(site: Path, bundle: Path) -> None:
    file = bundle / "program" / "fp32" / "model.ptz"
    done = edgevit("inspect", file, "--json", PYTHONPATH=site)
    assert done.returncode == 0 and json.loads(done.stdout)["metadata"]["edgevit.precision"] == "fp32"
    without = edgevit("validate", file, "--reference", "demo", *IMAGES)
    assert without.returncode == 2 and "holds no converted file" in without.stderr


def _registry(folder: Path, name: str, code: str, monkeypatch: pytest.MonkeyPatch) -> Registry[Target]:
    """One that sees a package whose entry point is broken."""
    (folder / f"{name}.py").write_text(code)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[edgevit.{name}]\nmine = {name}:TARGET\n")
    monkeypatch.syspath_prepend(folder)
    _installed.cache_clear()
    return Registry("target", "converters", "TARGET", Target, f"edgevit.{name}")


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        (
            "broken_import",
            "import nothing_of_that_name",
            "broken_import cannot be imported: ModuleNotFoundError",
        ),
        ("broken_type", "TARGET = 3", "package broken_type is no Target but int"),
        ("broken_name", "", "broken_name cannot be imported: AttributeError"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_package(
    name: str, code: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = _registry(tmp_path, name, code, monkeypatch)
    assert registry.names() == ("coreml", "mine", "onnx", "tflite")
    with pytest.raises(UsageError, match=told):
        registry.get("mine")
    assert registry.get("onnx").suffix == "onnx"


def test_one_that_cannot_be_used_is_no_hindrance_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = _registry(tmp_path, "broken_neighbour", "raise ImportError('no')", monkeypatch)
    assert tuple(registry.usable()) == registry.own() == ("coreml", "onnx", "tflite")


@pytest.mark.parametrize(("field", "value"), [("suffix", "prog.npz"), ("suffix", ""), ("runtimes", ())])
def test_what_would_be_found_out_after_the_work_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field[:-1]):
        replace(registries.TARGETS.get("onnx"), **{field: value})
