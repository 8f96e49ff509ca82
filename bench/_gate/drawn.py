"""Bundles whose answers are drawn instead of computed: all that `edgevit gate` reads, and files of a few bytes.

The gate reads them as it reads any bundle, with its manifest, report and answers, so that what is simulated is the
whole of it and not its formulas.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevit.core._plain import to_plain
from edgevit.core.disk import manifest
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.outputs import OutputKind
from edgevit.core.precisions import Precision
from edgevit.core.results import outcomes as o
from edgevit.core.results import report as r
from edgevit.core.types import Preprocess, TensorSpec
from edgevit.core.version import SCHEMA_VERSION

SIX = ("onnx/fp16", "onnx/w8a8", "tflite/fp16", "tflite/w8a8", "coreml/fp16", "coreml/w8")
SIZE = 1000  # bytes of a file
PREPROCESS = Preprocess(8, 8, (8, 8))
Answers = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Drawn:
    """What a bundle holds.

    Attributes:
        labels, reference: class indices, (N,); files: name -> the same, or dB of SQNR, floats (N,), without classes.
        names: of the images; margins: of the float model, logits.
        changed: file -> fields of its ArtifactReport that are other than usual.
        content: of all files, so that two builds differ in their bytes or do not.
        pictures: what the digest of the images is made from.
    """

    labels: Answers | None
    reference: Answers | None
    files: Mapping[str, NDArray[Any]]
    classes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    margins: NDArray[np.floating[Any]] | None = None
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    content: str = "one"
    weights: str = "aa" * 32
    model: str = "drawn"
    pictures: str = "photos"
    path: str = "photos/val"
    preprocess: Preprocess = PREPROCESS
    skipped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    heads: Mapping[str, Drawn] = field(default_factory=dict)


def write(folder: Path, drawn: Drawn) -> Path:
    """Write the bundle in the place of one that may be there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    outcomes = _outcomes(drawn)
    (folder / o.FILE_NAME).write_text(json.dumps(to_plain(outcomes)))
    artifacts = tuple(_artifact(folder, drawn, name) for name in drawn.files)
    top1 = None if drawn.labels is None else 100 * float((drawn.reference == drawn.labels).mean())
    report = r.Report(
        model=r.ModelSummary(
            drawn.model,
            f"python:{drawn.model}.py:build",
            1000,
            2000,
            drawn.weights,
            drawn.preprocess,
            len(drawn.classes),
            output=OutputKind() if drawn.reference is not None else OutputKind("features"),
        ),
        samples=r.SampleSets(
            None,
            r.SampleSet(
                outcomes.path,
                outcomes.count,
                outcomes.digest,
                drawn.labels is not None,
                (),
                outcomes.pictures,
            ),
        ),
        reference=r.Reference(top1, None, outcomes.count),
        artifacts=artifacts,
        timings_s=r.Timings(1.0, 2.0),
        environment=r.Environment({}, "Linux", "a processor", 2),
        outcomes=r.OutcomesFile(o.FILE_NAME, sha256_of(folder / o.FILE_NAME)),
    )
    (folder / "report.json").write_text(json.dumps(to_plain(report)))
    plans = [
        {
            "target": name.split("/")[0],
            "precision": name.split("/")[1],
            "skipped": [[site, "measured"] for site in sites],
        }
        for name, sites in drawn.skipped.items()
    ]
    (folder / "plan.json").write_text(
        json.dumps({"schema_version": SCHEMA_VERSION, "made_with": None, "plans": plans})
    )
    return seal(folder)


def seal(folder: Path) -> Path:
    """Write the manifest of what is there now."""
    described = manifest.build(
        folder, "edgevit 0.1.0", manifest.ManifestModel("drawn", "drawn", "aa" * 32), {}
    )
    (folder / manifest.FILE_NAME).write_text(json.dumps(manifest.to_json(described)))
    return folder


def _artifact(folder: Path, drawn: Drawn, name: str) -> r.ArtifactReport:
    target, precision = name.split("/")
    suffix = {"onnx": "onnx", "tflite": "tflite"}.get(target, "bin")
    path = folder / name / f"model.{suffix}"
    path.parent.mkdir(parents=True)
    given = dict(drawn.changed.get(name, {}))
    path.write_text(f"{name} {drawn.content}".ljust(given.get("size_bytes") or SIZE))
    values = drawn.files[name]
    accuracy = None
    if drawn.reference is not None:
        top1 = None if drawn.labels is None else 100 * float((values == drawn.labels).mean())
        agreement = 100 * float((values == drawn.reference).mean())
        accuracy = r.Accuracy(top1, None, None, agreement, len(values), None)
    found = r.ArtifactReport(
        target=target,
        precision=Precision(precision),
        verdict="pass",
        path=path.relative_to(folder).as_posix(),
        size_bytes=SIZE,
        sha256=sha256_of(path),
        executed_by=f"{target} 1.0",
        integer_mac_fraction=0.9 if precision == "w8a8" else 0.0,
        total=r.Total(30.0, 1.0),
        accuracy=accuracy,
        inputs=(TensorSpec("image", (1, 3, 8, 8), "float32"),),
        outputs=(TensorSpec("logits", (1, 10), "float32"),),
        requires=("opset ai.onnx 17",),
    )
    return replace(found, **given)


def _outcomes(drawn: Drawn) -> o.Outcomes:
    values = next(iter(drawn.files.values()))
    count = len(values)
    names = drawn.names or tuple(f"{index:05d}.jpg" for index in range(count))
    margins = np.ones(count) if drawn.margins is None else drawn.margins
    labels = drawn.labels

    def answers(found: NDArray[Any] | None, target: str = "", precision: str = "") -> o.Answers:
        if drawn.reference is None:
            return o.Answers(
                target=target, precision=precision, sqnr_db=None if found is None else o.pack_floats(found)
            )
        assert found is not None
        correct = None if labels is None else o.pack_bits(found == labels)
        return o.Answers(
            target=target,
            precision=precision,
            answer=o.pack_indices(found),
            correct=correct,
            top5=correct,
            margin=o.pack_floats(margins),
        )

    return o.Outcomes(
        path=drawn.path,
        digest=f"{drawn.pictures} labelled",
        pictures=drawn.pictures,
        count=count,
        names=o.pack_names(names),
        labels=None if labels is None else o.pack_indices(labels),
        classes=o.pack_names(drawn.classes) if drawn.classes else None,
        reference=answers(drawn.reference),
        artifacts=tuple(answers(found, *name.split("/")) for name, found in drawn.files.items()),
        heads=tuple(_head(name, head) for name, head in drawn.heads.items()),
    )


def _head(name: str, drawn: Drawn) -> o.HeadAnswers:
    found = _outcomes(drawn)
    assert found.classes is not None
    return o.HeadAnswers(
        name=name,
        labels=found.labels,
        classes=found.classes,
        reference=found.reference,
        artifacts=found.artifacts,
    )


def a_model(random: np.random.Generator, n: int, classes: int = 10, accuracy: float = 0.8) -> Drawn:
    """A float model that is right on a share of the images, and six files that agree with it on 98 %."""
    labels = np.sort(random.integers(0, classes, n))
    reference = np.where(
        random.random(n) < accuracy, labels, (labels + 1 + random.integers(0, classes - 1, n)) % classes
    )
    files = {
        name: np.where(random.random(n) < 0.98, reference, random.integers(0, classes, n)) for name in SIX
    }
    names = tuple(f"camera{index % 4}/class{label}/{index:05d}.jpg" for index, label in enumerate(labels))
    return Drawn(
        labels, reference, files, tuple(f"class {i}" for i in range(classes)), names, random.exponential(2, n)
    )


def changed(
    random: np.random.Generator, answers: Answers, labels: Answers, lost: float, gained: float
) -> Answers:
    """Answers of which a share of all images is `lost` and another `gained`, wherever that is possible."""
    right, n = answers == labels, len(labels)
    found, draw = answers.copy(), random.random(n)
    losing = right & (draw < lost / max(float(right.mean()), 1e-9))
    gaining = ~right & (draw < gained / max(float((~right).mean()), 1e-9))
    found[losing] = (labels[losing] + 1) % (int(labels.max()) + 1)
    found[gaining] = labels[gaining]
    return found
