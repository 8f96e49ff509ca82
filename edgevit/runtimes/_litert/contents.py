"""What a .tflite file holds, read back from it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from edgevit.core import metadata_keys, outputs
from edgevit.core.disk.reading import reads
from edgevit.core.runner import Contents
from edgevit.core.types import TensorSpec
from edgevit.formats import preprocess_json, tflite_file
from edgevit.formats.labels import parse_labels
from edgevit.formats.tflite_file import AGAIN, Tensor, TfliteFile

_OWN: Final = (metadata_keys.PREPROCESS, metadata_keys.LABELS, metadata_keys.OUTPUT)
_BINARY: Final = "TFLITE_METADATA"


@reads("TFLite file", AGAIN)
def read(path: Path) -> Contents:
    """Parse the file; nothing is executed.

    Raises:
        InputError: not a TFLite file, or malformed metadata.
    """
    file = tflite_file.read(path)
    stored: dict[int, Tensor] = {}
    for tensor in file.tensors:
        if tensor.data is not None:
            stored.setdefault(tensor.buffer, tensor)  # tensors may share a buffer, which is stored once
    bytes_by_type: Counter[str] = Counter()
    for tensor in stored.values():
        bytes_by_type[tensor.dtype] += len(tensor.data)
    preprocess = file.metadata.get(metadata_keys.PREPROCESS)
    shown = {name: _shown(name, value) for name, value in sorted(file.metadata.items()) if name not in _OWN}
    return Contents(
        preprocess=preprocess_json.loads(preprocess)[0] if preprocess is not None else None,
        labels=parse_labels(file.metadata.get(metadata_keys.LABELS, b"[]"), path),
        weight_bytes=dict(bytes_by_type.most_common()),
        operators=tuple(Counter(operator.kind for operator in file.operators).most_common()),
        max_rank=max((len(tensor.shape) for tensor in file.tensors), default=0),
        inputs=tuple(_spec(file.tensors[index]) for index in file.inputs),
        outputs=tuple(_spec(file.tensors[index]) for index in file.outputs),
        output=outputs.loads(file.metadata.get(metadata_keys.OUTPUT), path),
        activation=_activation(file),
        metadata=shown | ({"description": file.description} if file.description else {}),
        requires=tuple(
            sorted({f"custom operator {operator.kind}" for operator in file.operators if operator.custom})
        ),
    )


def _activation(file: TfliteFile) -> outputs.Activation:
    makers = {o: (op.kind, op.inputs[0]) for op in file.operators if op.inputs for o in op.outputs}
    names = file.names_of_outputs()
    name = outputs.principal(names)
    return "none" if name is None else outputs.last_activation(file.outputs[names.index(name)], makers.get)


def _shown(name: str, value: bytes) -> str:
    if name == _BINARY:
        return f"TFLite Model Metadata, {len(value)} bytes"
    try:
        return value.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return f"{len(value)} bytes"


def _spec(tensor: Tensor) -> TensorSpec:
    integers = tensor.dtype != "float32"
    return TensorSpec(
        tensor.name,
        tensor.shape,
        tensor.dtype,
        tensor.scale if integers else None,
        tensor.zero_point if integers else None,
    )
