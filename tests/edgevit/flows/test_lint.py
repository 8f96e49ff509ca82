"""`edgevit lint` on planted files: what is asked of which checker, what is told of it, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgevit
from edgevit import cli
from edgevit.core.errors import InputError, StepError, UsageError
from edgevit.core.plugins import Checker
from edgevit.core.precisions import Precision
from edgevit.core.progress import Silent
from edgevit.core.registry import Registry
from edgevit.core.results.answer import Answer
from edgevit.core.results.lint import Finding, LintReport, LintResult
from edgevit.core.results.report import (
    ArtifactReport,
    Environment,
    ModelSummary,
    Reference,
    Report,
    SampleSets,
    Timings,
    from_json,
    to_json,
)
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _lint_files
from edgevit.flows._lint_files import with_lint
from edgevit.flows.lint import lint, tables
from edgevit.registries import CHECKERS
from edgevit.steps import lint as step
from edgevit.steps.artifacts import plain_preprocess
from tests.edgevit.accelerators.test_litert_gpu import planted, reverse
from tests.edgevit.accelerators.test_nnapi import gelu

RECIPE = Recipe(model="file")
_FOUND = LintReport("", "qnn-v75", "compiler", "a compiler 1.0", {"htp": 2, "cpu": 0})


def bundle(folder: Path) -> Path:
    for precision, plant in (("fp32", gelu), ("w8a8", reverse)):
        (folder / "tflite" / precision).mkdir(parents=True)
        planted(folder / "tflite" / precision / "model.tflite", plant)
    return folder


@pytest.fixture
def qnn(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let a checker of .tflite files stand where a vendor's compiler would, in this process."""

    def install(check: Callable[[Path, str], LintReport], missing: str | None = None) -> None:
        plugin = Checker(
            summary="a compiler",
            syntax="qnn[-vNN]",
            accepts=lambda text: text.partition("-")[0] == "qnn",
            usual="qnn-v75",
            suffixes=("tflite",),
            kind="compiler",
            unavailable=lambda: missing,
            check=check,
            extra="qnn",
        )
        usable, get = Registry.usable, Registry.get
        monkeypatch.setattr(
            Registry, "usable", lambda self: {"qnn": plugin} if self is CHECKERS else usable(self)
        )
        monkeypatch.setattr(
            Registry,
            "get",
            lambda self, name: plugin if name == "qnn" and self is CHECKERS else get(self, name),
        )
        monkeypatch.setattr(_lint_files.worker, "run_many", here)

    def here(jobs: Any, parallel: int) -> tuple[Any, ...]:
        from edgevit.core._plain import from_plain, to_plain
        from edgevit.core.errors import EdgevitError

        found: list[Any] = []
        for job in jobs:
            try:
                found.append(
                    to_plain(step.lint(from_plain(step.LintRequest, job.request, ""), lambda e: None))
                )
            except EdgevitError as error:
                found.append(error)
        return tuple(found)

    return install


def ask(path: Path, *backends: str) -> Answer:
    return lint(path, backends, RECIPE)


def test_those_that_are_asked_for_answer_in_order(tmp_path: Path) -> None:
    answer = edgevit.lint(planted(tmp_path / "m.tflite", reverse), backends=["nnapi", "litert-gpu"])
    reports: Any = answer.data["reports"]
    assert [one["backend"] for one in reports] == ["nnapi", "litert-gpu"]
    assert [found["operator"] for one in reports for found in one["findings"]] == ["REVERSE_V2"] * 2
    assert answer.exit_code == 1


def test_a_bundle_is_looked_through_and_nothing_leaving_is_0(tmp_path: Path) -> None:
    answer = ask(bundle(tmp_path), "litert-gpu")
    reports: Any = answer.data["reports"]
    assert [(one["artifact"], one["operators"]) for one in reports] == [
        ("tflite/fp32/model.tflite", {"gpu": 4, "cpu": 0}),
        ("tflite/w8a8/model.tflite", {"gpu": 3, "cpu": 1}),
    ]
    assert answer.exit_code == 1
    assert ask(tmp_path / "tflite" / "fp32" / "model.tflite", "litert-gpu").exit_code == 0
    table = answer.tables[1]
    assert table.title.startswith("tflite/w8a8/model.tflite for litert-gpu: 3 gpu, 1 cpu")
    assert table.rows == (
        ("blocks.1.attn", "REVERSE_V2", "the GPU delegate does not know this operator", "rule, 1"),
    )


def test_blocks_that_differ_in_their_number_alone_share_a_row_of_a_long_table() -> None:
    modules = [f"blocks.{n}.{part}" for n in range(7) for part in ("attn", "mlp")]
    findings = tuple(
        Finding("qnn-v75", "ADD", "a", module, "rule", "because", "http://x") for module in modules
    )
    (table, _) = tables(LintResult((replace(_FOUND, findings=findings),), ()))
    assert table.rows == (
        ("blocks.*.attn (7)", "7 ADD", "because", "rule, 1"),
        ("blocks.*.mlp (7)", "7 ADD", "because", "rule, 1"),
    )
    (table, _) = tables(LintResult((replace(_FOUND, findings=findings[:4]),), ()))
    assert [row[0] for row in table.rows] == modules[:4]


def test_a_name_that_nobody_knows_and_a_format_that_does_not_fit(tmp_path: Path) -> None:
    path = planted(tmp_path / "m.tflite", gelu)
    with pytest.raises(UsageError, match="unknown accelerator 'litert-gpux'") as caught:
        ask(path, "litert-gpux")
    assert "litert-gpu" in caught.value.hint
    with pytest.raises(UsageError, match=r"coreml-ne takes \.mlpackage files") as caught:
        ask(path, "coreml-ne")
    assert "litert-gpu" in caught.value.hint


def test_a_damaged_file_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"\0\0\0\0TFL3" + b"\xff" * 64)
    with pytest.raises(InputError, match=r"m\.tflite is damaged"):
        ask(path, "litert-gpu")


def test_a_checker_that_is_asked_for_and_missing_is_3(tmp_path: Path, qnn: Callable[..., None]) -> None:
    path = planted(tmp_path / "m.tflite", gelu)
    qnn(lambda path, backend: _FOUND, "it is not installed")
    answer = ask(path, "qnn-v75")
    assert answer.exit_code == 3
    (one,) = answer.data["unanswered"]  # type: ignore[misc]
    assert one["why"] == "it is not installed; pip install 'edgevit[qnn]'" and one["failed"]
    assert ask(path).exit_code == 0  # nobody asked for it
    assert "it is not installed" in str(ask(path).tables)


def test_a_compiler_that_crashes_is_3_and_findings_of_others_are_1(
    tmp_path: Path, qnn: Callable[..., None]
) -> None:
    def check(path: Path, backend: str) -> LintReport:
        if backend == "qnn-v69":
            raise StepError("the compiler was ended by SIGSEGV", "try another version")
        finding = Finding(
            backend, "GELU", "x", "blocks.1.attn", "compiler", "op config failed: 3110", "a compiler 1.0"
        )
        return replace(_FOUND, backend=backend, findings=(finding,))

    path = planted(tmp_path / "m.tflite", gelu)
    qnn(check)
    assert ask(path, "qnn-v69").exit_code == 3
    both = ask(path, "qnn-v69", "qnn-v75")
    assert both.exit_code == 1 and "SIGSEGV" in str(both.data["unanswered"])
    row = both.tables[0].rows[0]
    assert row == ("blocks.1.attn", "GELU", "op config failed: 3110", "compiler, 1")


def test_an_architecture_that_the_checker_does_not_know(tmp_path: Path, qnn: Callable[..., None]) -> None:
    def check(path: Path, backend: str) -> LintReport:
        raise UsageError(f"{backend}: no such architecture", "v68 to v81 are known")

    qnn(check)
    with pytest.raises(UsageError, match="qnn-v99: no such architecture"):
        ask(planted(tmp_path / "m.tflite", gelu), "qnn-v99")


def converted() -> Report:
    return Report(
        model=ModelSummary("m", "demo", 1, 1, "0", plain_preprocess((8, 8, 3)), 0),
        samples=SampleSets(),
        reference=Reference(None, None, 0),
        artifacts=(
            ArtifactReport("tflite", Precision.W8A8, path="tflite/w8a8/model.tflite"),
            ArtifactReport("coreml", Precision.FP16, "error"),
        ),
        timings_s=Timings(0, 0),
        environment=Environment({}, "", "", 1),
    )


def test_a_conversion_puts_it_into_its_report(tmp_path: Path) -> None:
    bundle(tmp_path)
    made = converted()
    found = with_lint(made, tmp_path, replace(RECIPE, lint=("litert-gpu",)), Silent())
    (linted,) = found.artifacts[0].lint
    assert linted.artifact == "tflite/w8a8/model.tflite" and linted.findings[0].operator == "REVERSE_V2"
    assert found.artifacts[1] == made.artifacts[1] and found.not_done == ()
    assert with_lint(made, tmp_path, RECIPE, Silent()) is made
    assert from_json(to_json(found)) == found


def test_a_conversion_outlives_what_a_checker_refuses(qnn: Callable[..., None], tmp_path: Path) -> None:
    bundle(tmp_path)
    made = converted()

    def unknown(path: Path, backend: str) -> LintReport:
        raise UsageError("no HTP architecture is called 'v999'", "v75")

    qnn(unknown)
    lost = with_lint(made, tmp_path, replace(RECIPE, lint=("qnn-v999",)), Silent())
    assert lost.artifacts == made.artifacts
    (told,) = lost.not_done
    assert told.what == "holding tflite/w8a8/model.tflite against qnn-v999" and "'v999'" in told.why


def test_the_command_prints_json_and_leaves_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = planted(tmp_path / "m.tflite", reverse)
    with pytest.raises(SystemExit) as left:
        cli.main(["lint", str(path), "--for", "litert-gpu", "--json", "-q"])
    assert left.value.code == 1
    document = json.loads(capsys.readouterr().out)
    from jsonschema import validate

    from edgevit.report import _schemas

    validate(document, json.loads((_schemas.FOLDER / "lint.schema.json").read_text()))
    assert document["reports"][0]["findings"][0]["module"] == "blocks.1.attn"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("lint", "no-such.tflite"), "no-such.tflite"),
        (("lint", "no-such.tflite", "--for", "nnap"), "unknown accelerator 'nnap'"),
        (("convert", "demo", "--to", "onnx", "--lint", "litert-gpu"), "litert-gpu takes .tflite files"),
        (("convert", "demo", "--lint", "hexagon"), "unknown accelerator 'hexagon'"),
    ],
)
def test_what_cannot_be_asked_is_told_before_any_work(
    arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(list(arguments))
    assert left.value.code == 2 and told in capsys.readouterr().err
