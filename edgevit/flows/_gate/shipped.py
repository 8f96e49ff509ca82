"""From a bundle, or a baseline file, to what the gate compares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core._plain import from_plain
from edgevit.core.disk.documents import read_json
from edgevit.core.disk.whole_files import sha256_of
from edgevit.core.errors import InputError
from edgevit.core.results import outcomes as o
from edgevit.core.results import report as reports
from edgevit.core.results.baseline import (
    Baseline,
    BaselineFile,
    BaselineImages,
    BaselineModel,
    Packed,
    PackedHead,
    RememberedLatency,
    check_figures,
    digest_of,
    pack_small,
    read,
)
from edgevit.core.results.fingerprint import Fingerprint
from edgevit.core.results.report import ArtifactReport, Report
from edgevit.core.settings.made_with import PLAN_BYTES, plan_file
from edgevit.core.version import SCHEMA_VERSION
from edgevit.flows._gate.consistent import AGAIN, check
from edgevit.flows.verify import verify
from edgevit.validate.gate.sides import MOST_CLASSES, Seen, Shipped, open_baseline

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_REPORT: Final = "report.json"
_REPORT_BYTES: Final = 256 << 20
_OUTCOMES_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A bundle whose files are what its manifest says.

    Attributes:
        facts: what a baseline file remembers of it.
        shipped: the same, unpacked.
        seen: its evaluation images.
    """

    path: Path
    report: Report
    facts: Baseline
    shipped: Shipped
    seen: Seen


def open_bundle(path: Path) -> OpenBundle:
    """Read a bundle and check that its parts belong together.

    Raises:
        InputError: no bundle, a changed one, one without answers of images, or one whose parts contradict each other.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise InputError(
            f"{path} {what}: the gate takes a bundle", "give the folder that edgevit convert wrote"
        )
    checked = verify(path)
    if checked.exit_code:
        first = checked.tables[0].rows[0][0]
        raise InputError(
            f"the bundle {path} was changed after it was made: {first}", "see edgevit verify; " + AGAIN
        )
    document = read_json(path / _REPORT, "the report", AGAIN, _REPORT_BYTES)
    if document.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"the report of {path} has schema_version {str(document.get('schema_version'))[:40]}, this edgevit reads "
            f"{SCHEMA_VERSION}",
            AGAIN,
        )
    report = reports.from_json(document)
    outcomes = _outcomes(path, report)
    check(path, report, outcomes)
    facts = _facts(report, outcomes, _in_float(path, report), str(checked.data["created_by"]))
    check_figures(facts, str(path), AGAIN)
    shipped = open_baseline(facts, str(path))
    return OpenBundle(path, report, facts, shipped, _seen(path, outcomes))


def open_either(path: Path) -> OpenBundle | Baseline:
    """WHAT of `--baseline`: a bundle, or a baseline file.

    Raises:
        InputError: neither; or as `open_bundle` and `edgevit.core.results.baseline.read`.
    """
    return open_bundle(path) if path.is_dir() else read(path)


def _outcomes(bundle: Path, report: Report) -> o.Outcomes:
    if report.outcomes is None:
        raise InputError(
            f"the bundle {bundle} holds no answers of images: it was made without --evaluate, or before they were kept",
            AGAIN,
        )
    if report.outcomes.path != o.FILE_NAME:
        raise InputError(f"the report of {bundle} names {report.outcomes.path!r} for the answers", AGAIN)
    file = bundle / o.FILE_NAME
    if sha256_of(file) != report.outcomes.sha256:
        raise InputError(f"{file} is not the file that the report was made with: its hash differs", AGAIN)
    return from_plain(o.Outcomes, read_json(file, "the answers", AGAIN, _OUTCOMES_BYTES), str(file))


def _seen(bundle: Path, outcomes: o.Outcomes) -> Seen:
    import numpy as np

    count = outcomes.count
    labels, margin = outcomes.labels, outcomes.reference.margin
    return Seen(
        names=o.unpack_names(outcomes.names, count, f"{bundle}: names"),
        labels=None if labels is None else o.unpack(labels, count, f"{bundle}: labels").astype(np.int64),
        margins=None if margin is None else o.unpack(margin, count, f"{bundle}: margins").astype(np.float32),
    )


def _in_float(bundle: Path, report: Report) -> dict[str, tuple[str, ...]]:
    """File -> the sites that its plan, or float16's range, left in float."""
    found = {a.name: [kept.site for kept in a.float32_kept] for a in report.artifacts}
    plans = read_json(plan_file(bundle), "the plan", AGAIN, PLAN_BYTES).get("plans")
    for plan in plans if isinstance(plans, list) else []:
        if isinstance(plan, dict) and isinstance(skipped := plan.get("skipped"), list):
            name = f"{plan.get('target')}/{plan.get('precision')}"
            names = [
                entry[0]
                for entry in skipped
                if isinstance(entry, list) and entry and isinstance(entry[0], str)
            ]
            if name in found:
                found[name] += names
    return {name: tuple(sorted(set(sites))) for name, sites in found.items()}


def _facts(
    report: Report, outcomes: o.Outcomes, in_float: dict[str, tuple[str, ...]], created_by: str
) -> Baseline:
    count = outcomes.count
    classes = () if outcomes.classes is None else o.unpack_text(outcomes.classes, MOST_CLASSES, "classes")
    labels = None if outcomes.labels is None else o.unpack(outcomes.labels, count, "labels")
    model = report.model
    files = sorted(
        (
            file
            for artifact in report.artifacts
            for file in _files(report, artifact, len(in_float[artifact.name]))
        ),
        key=lambda file: file.name,
    )
    return Baseline(
        created_by=created_by,
        model=BaselineModel(
            name=model.name,
            source=model.source,
            weights_sha256=model.weights_sha256,
            parameters=model.parameters,
            macs=model.macs,
            preprocess=model.preprocess,
            output=f"{model.output_name}: {model.output.task} {model.output.words}",
            top1=report.reference.top1,
        ),
        images=BaselineImages(
            path=outcomes.path,
            count=count,
            pictures=outcomes.pictures,
            labelled=labels is not None,
            by_index="" if labels is None else digest_of(labels.tolist()),
            by_name="" if labels is None else digest_of(_names(labels, classes)),
            # Names of the images of an array begin with its path, which may be another one elsewhere.
            names=digest_of(
                [name.removeprefix(outcomes.path) for name in o.unpack_names(outcomes.names, count, "names")]
            ),
        ),
        files=tuple(files),
        packed=Packed(
            classes=outcomes.classes,
            in_float={name: o.pack_names(sites) for name, sites in sorted(in_float.items()) if sites},
            reference=replace(outcomes.reference, margin=None),
            files=tuple(
                sorted(
                    (pack_small(answers, outcomes.reference, count) for answers in outcomes.artifacts),
                    key=lambda answers: (answers.target, answers.precision, answers.device),
                )
            ),
            heads=tuple(_head(head, count) for head in outcomes.heads),
        ),
    )


def _head(head: o.HeadAnswers, count: int) -> PackedHead:
    labels = None if head.labels is None else o.unpack(head.labels, count, head.name)
    classes = o.unpack_text(head.classes, MOST_CLASSES, head.name)
    return PackedHead(
        name=head.name,
        by_index="" if labels is None else digest_of(labels.tolist()),
        by_name="" if labels is None else digest_of(_names(labels, classes)),
        classes=head.classes,
        reference=replace(head.reference, margin=None),
        files=tuple(pack_small(answers, head.reference, count) for answers in head.artifacts),
    )


def _names(labels: NDArray[np.generic], classes: tuple[str, ...]) -> list[str]:
    return [classes[index] if index < len(classes) else str(index) for index in labels.tolist()]


def _files(report: Report, a: ArtifactReport, in_float: int) -> Iterator[BaselineFile]:
    """The file here, and the same file on each device."""
    here = _file(report, a, in_float)
    yield here
    known = {device.device: device.fingerprint for device in report.devices}
    for there in a.devices:
        latency = None
        if there.latency is not None and there.device in known:
            latency = RememberedLatency(
                p50_ms=there.latency.p50_ms,
                ratio_to_fp32=there.latency.ratio_to_fp32,
                device=Fingerprint.of_device(
                    known[there.device], str(there.executed_by), there.latency.threads
                ),
                peak_rss_bytes=there.peak_rss_bytes,
            )
        yield replace(
            here,
            device=there.device,
            verdict=there.verdict,
            executed_by=there.executed_by,
            top1=None if there.accuracy is None else there.accuracy.top1,
            agreement=None if there.accuracy is None else there.accuracy.agreement,
            sqnr_db=None if there.total is None else there.total.sqnr_db,
            integer_mac_fraction=there.integer_mac_fraction,
            latency=latency,
        )


def _file(report: Report, a: ArtifactReport, in_float: int) -> BaselineFile:
    latency = None
    if a.latency is not None:
        latency = RememberedLatency(
            p50_ms=a.latency.p50_ms,
            ratio_to_fp32=a.latency.ratio_to_fp32,
            device=Fingerprint.of(report.environment, str(a.executed_by), a.latency.threads),
        )
    accuracy = a.accuracy
    return BaselineFile(
        target=a.target,
        precision=str(a.precision),
        verdict=a.verdict,
        executed_by=a.executed_by,
        size_bytes=a.size_bytes,
        sha256=a.sha256,
        top1=None if accuracy is None else accuracy.top1,
        agreement=None if accuracy is None else accuracy.agreement,
        sqnr_db=None if a.total is None else a.total.sqnr_db,
        integer_mac_fraction=a.integer_mac_fraction,
        in_float=in_float,
        inputs=a.inputs,
        outputs=a.outputs,
        requires=a.requires,
        latency=latency,
    )
