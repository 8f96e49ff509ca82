"""Count the multiply-accumulates that HTP executes in integers, by the width of their factors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edgevit.core.disk.reading import reads
from edgevit.core.runner import IntegerMacs
from edgevit.runtimes._onnxruntime import session as ort_session
from edgevit.runtimes._onnxruntime.integer import images_at_once
from edgevit.runtimes._qnn import program
from edgevit.runtimes._qnn.architecture import architecture_of


@reads("ONNX file", ort_session.AGAIN)
def count(path: Path) -> IntegerMacs:
    """MACs for one image, and every operation of QNN's graph; those that compute in float have `float` behind.

    Raises:
        InputError: not a loadable ONNX file.
        RefusedError: HTP takes only a part of it.
    """
    model = ort_session.read_model(path)
    operations = program.read(path, path, architecture_of(ort_session.metadata(model), path))
    by_bits: Counter[int] = Counter()
    for operation in operations:
        if operation.mac_bits is not None:
            by_bits[operation.mac_bits] += operation.macs
    images = images_at_once(model)
    by_bits = Counter({bits: macs // images for bits, macs in by_bits.items()})
    found = Counter(f"{o.kind} float" if o.in_float else o.kind for o in operations)
    return IntegerMacs(
        static=by_bits.total(),
        dynamic=0,
        source="runtime",
        operators=tuple(found.most_common()),
        static_by_bits=tuple(sorted(by_bits.items())),
        in_float=tuple(sorted({o.kind for o in operations if o.in_float})),
    )
