"""What the float model and each file answered for each image, from the outputs that the steps left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core._plain import to_plain
from edgevit.core.disk.whole_files import sha256_of, write_atomic
from edgevit.core.precisions import Variant
from edgevit.core.results.outcomes import FILE_NAME, Answers, HeadAnswers, Outcomes, pack_indices, pack_names
from edgevit.core.results.report import OutcomesFile
from edgevit.flows._devices.execute import OneDevice
from edgevit.steps import messages, named_outputs
from edgevit.steps.messages import Executed, Prepared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.outputs import OutputKind
    from edgevit.core.types import Floats, ModelSpec


@dataclass(frozen=True, slots=True)
class _Executed:
    """What one file gave somewhere: `outputs` in the work folder, the first of which is `kind`."""

    variant: Variant
    device: str
    outputs: str
    kind: OutputKind


def write(
    folder: Path,
    prepared: Prepared,
    executed: Mapping[Variant, Executed],
    work: Path,
    devices: Sequence[OneDevice] = (),
) -> OutcomesFile | None:
    """Put `outcomes.json` into `folder`; None where there were no images to evaluate on.

    Args:
        executed: what the execution of each file gave here.
        work: the folder with the outputs.
        devices: what other devices gave.
    """
    import numpy as np

    if prepared.evaluate is None:
        return None
    labels = np.load(work / messages.LABELS) if prepared.labelled else None
    reference = named_outputs.first(named_outputs.load(work / messages.REFERENCE))
    kind = prepared.output_kind
    files = sorted(
        _all(executed, devices, kind, len(reference)),
        key=lambda f: (f.variant.target, f.variant.precision, f.device),
    )
    found = Outcomes(
        path=prepared.evaluate.path,
        digest=prepared.evaluate.digest,
        pictures=prepared.evaluate.pictures,
        count=prepared.evaluate.count,
        names=pack_names(json.loads((work / messages.NAMES).read_text())),
        labels=None if labels is None else pack_indices(labels),
        classes=pack_names(prepared.spec.labels) if prepared.spec.labels else None,
        reference=_answers(reference, reference, labels, kind, kind, None),
        artifacts=tuple(
            _answers(
                reference, named_outputs.first(named_outputs.load(work / f.outputs)), labels, kind, f.kind, f
            )
            for f in files
        ),
        heads=tuple(_heads(prepared.spec, files, work)),
    )
    path = folder / FILE_NAME
    write_atomic(path, json.dumps(to_plain(found), indent=1) + "\n")
    return OutcomesFile(FILE_NAME, sha256_of(path))


def _all(
    executed: Mapping[Variant, Executed], devices: Sequence[OneDevice], kind: OutputKind, images: int
) -> Iterator[_Executed]:
    """Every file that was executed on all the images."""
    for variant, done in executed.items():
        if done.outputs is not None and done.error is None and done.images in (None, images):
            yield _Executed(variant, "", done.outputs, done.output or kind)
    for one in devices:
        for variant, there in one.files.items():
            here = executed.get(variant)
            if there.outputs is not None:
                own = None if here is None else here.output
                yield _Executed(variant, one.where, there.outputs, own or kind)


def _heads(spec: ModelSpec, files: Sequence[_Executed], work: Path) -> Iterator[HeadAnswers]:
    """Of the further outputs with class names; a head decides by its own scores in every file."""
    labels = named_outputs.load(work / messages.HEAD_LABELS) if spec.heads else {}
    reference = named_outputs.load(work / messages.REFERENCE)
    for name, head in spec.heads.items():
        known, wanted = labels.get(name), reference[name]
        classes = None if known is None else known.astype("int64")
        yield HeadAnswers(
            name=name,
            labels=None if classes is None else pack_indices(classes),
            classes=pack_names(head.labels),
            reference=_answers(wanted, wanted, classes, head.output, head.output, None),
            artifacts=tuple(
                _answers(
                    wanted, named_outputs.load(work / f.outputs)[name], classes, head.output, head.output, f
                )
                for f in files
            ),
        )


def _answers(
    reference: Floats,
    outputs: Floats,
    labels: NDArray[np.int64] | None,
    kind: OutputKind,
    own: OutputKind,
    file: _Executed | None,
) -> Answers:
    """Of a file, or of the float model where there is none; `own` is what its output is, `kind` the model's."""
    from edgevit.validate.outcomes import class_answers, feature_answers

    if kind.decides and own.decides:
        found = class_answers(outputs, labels, own)
    else:
        found = feature_answers(reference, None if file is None else outputs)
    if file is None:
        return found
    return replace(found, target=file.variant.target, precision=file.variant.precision, device=file.device)
