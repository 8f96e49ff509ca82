"""USAGE.md: how to load these very files in Python, Kotlin and Swift."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Literal

from edgevit.core.foreign import printable
from edgevit.core.outputs import OutputKind
from edgevit.core.pixels import in_rgb
from edgevit.core.results.figures import decibel
from edgevit.core.results.report import ArtifactReport, HeadSummary, Report
from edgevit.core.types import TensorSpec
from edgevit.report._answer import answer, threshold

InputDtype = Literal["float32", "uint8", "int8"]

FILE_NAME: Final = "USAGE.md"
_SUFFIXES: Final = ("onnx", "tflite", "mlpackage")  # of the files that the page has a section for
_PILLOW: Final = {"nearest": "NEAREST", "bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos": "LANCZOS"}


def input_dtype(artifact: ArtifactReport) -> InputDtype:
    """What an ONNX or TFLite file takes: normalised floats, or the pixels themselves (int8: less 128).

    A file that was not executed is taken to be one of floats.
    """
    found = artifact.inputs[0].dtype if artifact.inputs else ""
    return "uint8" if found == "uint8" else "int8" if found == "int8" else "float32"


def render(
    report: Report,
    dtype_of: Callable[[ArtifactReport], InputDtype] = input_dtype,
    sections: tuple[str, ...] = (),
) -> str:
    """The page for one bundle, with a section for each target that has a file.

    The snippets carry the model's own size, crop, mean, std and channel order as numbers, and the
    path of the first file that passed (of the first there is, if none did).

    Args:
        sections: Markdown for formats that the page does not know.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("edgevit.report"),
        autoescape=False,  # Markdown and code; what a user named goes through `plain` or `code`
        finalize=lambda value: printable(value) if isinstance(value, str) else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["plain"] = _plain
    environment.filters["code"] = _code
    environment.filters["source"] = _source
    preprocess = report.model.preprocess
    chosen = _chosen(report.artifacts)
    dtype = {name: dtype_of(a) for name, a in chosen.items() if a is not None and name in ("onnx", "tflite")}
    return environment.get_template("usage.md.j2").render(
        model=report.model,
        doubts=report.reference.doubts,
        p=preprocess,
        rgb=in_rgb(preprocess),
        pillow=_PILLOW[preprocess.interpolation],
        files=[a for a in report.artifacts if a.path is not None],
        chosen={name: a and a.path for name, a in chosen.items()},
        dtype=dtype,
        integer_kernels=_has_integer_kernels(chosen["onnx"]),
        dtypes=set(dtype.values()),
        steps=_steps(chosen["tflite"]),
        answer=answer(report.model.output),
        heads=[_head(head, chosen["tflite"]) for head in report.model.heads],
        readers={_reader(head.output): head.output for head in report.model.heads},
        answer_of=answer,
        reading="\n".join(line for head in report.model.heads for line in answer(head.output).kotlin),
        outputs=[spec.name for spec in chosen["tflite"].outputs] if chosen["tflite"] is not None else [],
        python=_python(report),
        labelled=bool(report.model.labels) and report.model.output.decides,
        resized=_resized(report),
        others=tuple(section.splitlines() for section in sections),
    )


def _python(report: Report) -> tuple[str, ...]:
    """The last lines of a snippet's function, which has the first output as the flat array `logits`."""
    lines = answer(report.model.output).python
    if report.model.labels:
        return tuple(line.replace("NAME", "labels") for line in lines)
    return tuple(re.sub(r"NAME\[(\w+)\]", r"\1", line) for line in lines)


def _head(head: HeadSummary, tflite: ArtifactReport | None) -> dict[str, object]:
    """A further output with class names, as the page tells and reads it."""
    specs = () if tflite is None else tflite.outputs
    return {
        "name": head.name,
        "labels": head.labels,
        "output": head.output,
        "words": answer(head.output).words,
        "threshold": threshold(head.output),
        "reader": _reader(head.output),
        "steps": next((s for s in specs if s.name == head.name and s.scale is not None), None),
    }


def _reader(kind: OutputKind) -> str:
    """What the Kotlin and Swift function is called that reads such an output, such as `singleLabelLogits`."""
    given = "logits" if kind.activation == "none" else kind.activation
    first, *others = f"{kind.task}-{given}".split("-")
    return first + "".join(map(str.capitalize, others))


def _resized(report: Report) -> str:
    """What was measured of another filter, in one sentence; "" where nothing was."""
    found, own = report.reference.other_resize, report.model.preprocess.interpolation
    if found is None:
        return ""
    words = f"{found.n} of the evaluation images were also resized with the {found.interpolation} filter"
    agree = (
        "" if found.agreement is None else f" gives the same answer on {found.agreement:.1f} % of them, and"
    )
    return (
        f"{words} instead of the {own} one: the float model{agree} differs by {decibel(found.sqnr_db)} dB (SQNR; 6 dB "
        "are one bit)."
    )


def _chosen(artifacts: tuple[ArtifactReport, ...]) -> dict[str, ArtifactReport | None]:
    """By suffix of the file: the one that the snippets load, None if there is no such file."""
    chosen: dict[str, ArtifactReport | None] = dict.fromkeys(_SUFFIXES)
    for artifact in sorted(artifacts, key=lambda a: a.verdict != "pass"):
        if artifact.path is not None:
            suffix = artifact.path.rsplit(".", 1)[-1]
            chosen[suffix] = chosen.get(suffix) or artifact
    return chosen


def _has_integer_kernels(artifact: ArtifactReport | None) -> bool:
    return artifact is not None and artifact.precision.quantizes_activations


def _steps(artifact: ArtifactReport | None) -> TensorSpec | None:
    """The first output, if it holds integers that stand for real numbers."""
    found = artifact.outputs[0] if artifact is not None and artifact.outputs else None
    return found if found is not None and found.scale is not None else None


def _plain(text: str) -> str:
    """Text of a user as one line of Markdown in which nothing is markup."""
    line = printable(" ".join(text.split()))
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|&" else c for c in line)


def _code(text: str) -> str:
    """Text of a user as code within a line or a cell of Markdown: no backtick ends it."""
    line = printable(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    return f"{'`' * (longest + 1)} {line} {'`' * (longest + 1)}" if longest else f"`{line}`"


def _source(text: str) -> str:
    """A string literal of Python: what `printable` writes are escapes of Python too."""
    return '"' + printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'
