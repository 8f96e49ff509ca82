from __future__ import annotations

from importlib import metadata

import pytest

from edgevit.core.requirements import requirements
from edgevit.flows import doctor


def test_requirements_come_from_the_packaging_data() -> None:
    found = {(need.package, need.extra): need.minimum for need in requirements()}
    assert found["torch", ""] == "2.10"
    assert found["coremltools", "coreml"]
    assert not any(package == "edgevit" for package, _ in found)


def test_missing_and_old_packages_are_named_with_the_command_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = metadata.version

    def version(package: str) -> str:
        if package in ("coremltools", "keras"):
            raise metadata.PackageNotFoundError(package)
        return "1.20.9+local" if package == "onnx" else installed(package)

    monkeypatch.setattr(metadata, "version", version)
    data = doctor.doctor().data
    rows = {row["name"]: row for row in data["convert"]}  # type: ignore[attr-defined]
    assert rows["coreml"]["available"] is False
    assert rows["coreml"]["reason"] == "coremltools is not installed"
    assert rows["coreml"]["install"] == "pip install 'edgevit[coreml]'"
    assert rows["onnx"]["reason"] == "onnx 1.20.9+local is older than 1.21"
    assert rows["tflite"]["available"] is True
    sources = {row["name"]: row for row in data["load"]}  # type: ignore[attr-defined]
    assert sources["timm"]["available"] is True and sources["keras"]["available"] is False
    assert sources["keras"]["install"] == "pip install 'edgevit[keras]'"


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.10.1+cpu", (2, 10, 1)), ("9.0b1", (9, 0)), ("1.21.0.dev3", (1, 21, 0)), ("5", (5,))],
)
def test_release_numbers_of_a_version(version: str, numbers: tuple[int, ...]) -> None:
    assert doctor._numbers(version) == numbers
