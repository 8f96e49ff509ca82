"""The apps' code is that of USAGE.md, which the script takes out of a bundle."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from edgevit.core.results import report as r
from edgevit.core.types import Preprocess
from edgevit.report import usage

FILES = (("tflite", "tflite"), ("coreml", "mlpackage"))


@pytest.fixture
def script(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "take_files", root / "examples" / "phone_app" / "take_files.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """What a conversion of the demo leaves, as far as the apps need it."""
    report = r.Report(
        model=r.ModelSummary("demo", "demo", 1, 1, "ab", Preprocess(128, 128, (128, 128)), 2),
        samples=r.SampleSets(),
        reference=r.Reference(None, None, 0),
        artifacts=tuple(
            r.ArtifactReport(name, "fp16", "pass", path=f"{name}/fp16/model.{suffix}")
            for name, suffix in FILES
        ),
        timings_s=r.Timings(0.0, 0.0),
        environment=r.Environment({}, "", "", 1),
    )
    (tmp_path / "USAGE.md").write_text(usage.render(report))
    for name, _ in FILES:
        (tmp_path / name / "fp16").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "tflite" / "fp16" / "model.tflite", "w") as file:
        file.writestr("labels.txt", "shirt\nshoe\n")
    (tmp_path / "coreml" / "fp16" / "model.mlpackage").mkdir()
    (tmp_path / "coreml" / "fp16" / "model.mlpackage" / "Manifest.json").write_text("{}")
    return tmp_path


def test_the_code_that_lies_there_is_that_of_the_demo(
    root: Path, script: ModuleType, bundle: Path, tmp_path: Path
) -> None:
    apps = tmp_path / "apps"
    script.take(bundle, apps)
    kept = root / "examples" / "phone_app"
    written = [path.relative_to(apps) for path in apps.rglob("*") if path.suffix in (".kt", ".swift")]
    assert sorted(path.name for path in written) == sorted(script.USED)
    for path in written:
        assert (apps / path).read_text() == (kept / path).read_text(), path
    assets = apps / script.ASSETS
    assert (assets / "labels.txt").read_text() == "shirt\nshoe\n" and (assets / "model.tflite").stat().st_size
    assert (apps / "ios" / "model.mlpackage" / "Manifest.json").exists()


def test_a_bundle_without_a_file_for_an_app_is_told(script: ModuleType) -> None:
    with pytest.raises(SystemExit, match="--to tflite,coreml"):
        script.chosen("# Using demo\n", "model.tflite")
