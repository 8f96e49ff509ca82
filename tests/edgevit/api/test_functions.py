"""The functions at top level ask for what the commands ask for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgevit
from edgevit import cli
from edgevit.commands import convert, diff, doctor, profile, quantize, run, validate
from edgevit.core.progress import Silent
from edgevit.core.results.answer import Answer, Table

COMMANDS = {
    edgevit.convert: convert,
    edgevit.validate: validate,
    edgevit.quantize: quantize,
    edgevit.diff: diff,
    edgevit.run: run,
    edgevit.profile: profile,
    edgevit.doctor: doctor,
}
# Of a terminal, or of files that stand for arguments.
ALONE = {"json", "quiet", "verbose", "recipe", "save_recipe"}
ALONE |= {
    "setup",
    "setup_online",
}  # `edgevit.doctor` installs something on a device, by one argument for both flags


@pytest.mark.parametrize("function", COMMANDS, ids=lambda function: function.__name__)
def test_every_flag_is_an_argument(function: Callable[..., Any]) -> None:
    flags = set(inspect.signature(COMMANDS[function].command).parameters) - ALONE
    flags -= {"dry_run"} if function is edgevit.convert else set()  # another answer: what would be made
    assert flags <= set(inspect.signature(function).parameters)
    assert all(
        p.annotation is not inspect.Parameter.empty for p in inspect.signature(function).parameters.values()
    )
    assert "Raises:" in (function.__doc__ or "") and "edgevit.EdgevitError" in (function.__doc__ or "")


MODEL = (
    "timm:vit_tiny_patch16_224",
    "--random-weights",
    "0",
    "--model-arg",
    "depth=2",
    "--image-size",
    "64x96",
)
SAME = {"random_weights": 0, "model_arg": {"depth": 2}, "image_size": (64, 96)}


@pytest.mark.parametrize(
    ("module", "flags", "call"),
    [
        (
            "quantize",
            ("quantize", *MODEL, "--to", "onnx,tflite", "--option", "onnx.opset=20", "--dry-run"),
            lambda: edgevit.quantize(
                MODEL[0], **SAME, to=["onnx", "tflite"], option={"onnx": {"opset": "20"}}, dry_run=True
            ),
        ),
        (
            "diff",
            ("diff", "m.onnx", "--reference", *MODEL, "--evaluate", "demo", "--count", "3", "--threshold", "9",
             "--file-preprocess", "color=bgr"),
            lambda: edgevit.diff("m.onnx", reference=MODEL[0], **SAME, evaluate="demo", count=3, threshold=9.0,
                                 file_preprocess={"color": "bgr"}),
        ),
        (
            "run",
            ("run", "m.onnx", "a.png", "b.png", "--top", "2", "--threads", "1"),
            lambda: edgevit.run("m.onnx", ["a.png", Path("b.png")], top=2, threads=1),
        ),
        (
            "profile",
            ("profile", "m.onnx", "--runs", "7", "--timeout", "9"),
            lambda: edgevit.profile("m.onnx", runs=7, timeout=9),
        ),
        (
            "doctor_device",
            ("doctor", "--device", "ssh://pi@board", "--setup-online"),
            lambda: edgevit.doctor("ssh://pi@board", setup="device"),
        ),
        ("doctor", ("doctor",), lambda: edgevit.doctor()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_function_asks_for_what_its_command_asks_for(
    module: str, flags: tuple[str, ...], call: Callable[[], Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    answer = Answer({}, (Table("a <b>", ("x",), (("1 < 2 & 3",),)),))

    def flow(*arguments: object) -> Answer:
        asked.append(tuple(None if hasattr(a, "stage") else a for a in arguments))
        return answer

    monkeypatch.setattr(f"edgevit.flows.{module}.{module}", flow)
    with pytest.raises(SystemExit) as done:
        cli.main(list(flags))
    assert done.value.code == 0 and call() is answer
    ours, theirs = (tuple(a or None for a in one) for one in asked)
    assert ours == theirs
    assert "a &lt;b&gt;" in answer._repr_html_() and "<td>1 &lt; 2 &amp; 3</td>" in answer._repr_html_()


@pytest.mark.parametrize(
    ("call", "words", "hint"),
    [
        (lambda: edgevit.run("m.onnx", b"pixels"), "images takes a path, not int", "image.save"),  # type: ignore[arg-type]
        (lambda: edgevit.run("m.onnx", object()), "images takes a path, not object", "image.save"),  # type: ignore[arg-type]
        (lambda: edgevit.convert("demo", evaluate=[1]), "evaluate takes a path, not list", "numpy.savez"),  # type: ignore[arg-type]
        (lambda: edgevit.profile("m.onnx", threads=(1, 2)), "one number", "for n in"),  # type: ignore[arg-type]
        (lambda: edgevit.doctor("local", setup=True), "setup=True: unknown", "setup='here'"),  # type: ignore[arg-type]
        (lambda: edgevit.doctor(setup="here"), "none is named", "device="),
    ],
)
def test_what_lies_in_memory_is_told_how_to_become_a_file(
    call: Callable[[], object], words: str, hint: str
) -> None:
    with pytest.raises(edgevit.UsageError, match=words) as raised:
        call()
    assert hint in raised.value.hint


def test_the_errors_are_told_apart_at_top_level() -> None:
    with pytest.raises(edgevit.UsageError) as told:
        edgevit.convert("nonsense")
    assert isinstance(told.value, edgevit.EdgevitError) and told.value.exit_code == 2 and told.value.hint
    with pytest.raises(edgevit.InputError):
        edgevit.profile("missing.onnx", progress=Silent())
    with pytest.raises(edgevit.UsageError, match="nothing would be timed"):
        edgevit.profile("missing.onnx", runs=0)
    with pytest.raises(edgevit.UsageError, match="0 images"):
        edgevit.run("missing.onnx", [])
    for name in (
        "MissingDependencyError",
        "UnsupportedError",
        "StepError",
        "StepTimeoutError",
        "StorageError",
    ):
        assert issubclass(getattr(edgevit, name), edgevit.EdgevitError) and name in edgevit.__all__
