"""What a .tflite file says about itself: TFLite Model Metadata for other tools, and edgevit's own JSON.

The tables are written with the field numbers of the public schema, `metadata_schema.fbs` of
https://github.com/tensorflow/tflite-support (file identifier M001); a generated module for it comes only
with packages that weigh hundreds of megabytes. Associated files are a zip archive behind the flatbuffer.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from converters.tflite import flatbuffer as tfl
from edgevit.core import metadata_keys, outputs
from edgevit.core.require import require
from edgevit.core.types import ModelSpec, Preprocess
from edgevit.formats import preprocess_json
from edgevit.formats.labels import dump_heads

LABELS_FILE: Final = "labels.txt"
_IDENTIFIER: Final = b"M001"
_PARSER: Final = "1.0.0"
_NORMALIZATION_OPTIONS: Final = 1  # union ProcessUnitOptions
_IMAGE_PROPERTIES: Final = 2  # union ContentProperties
_UNKNOWN: Final = 0  # enum ColorSpaceType
_SPACES: Final = {3: 1, 1: 2}  # RGB, GRAYSCALE
_KINDS: Final = {3: "RGB", 1: "grey"}
_TENSOR_AXIS_LABELS: Final = 2  # enum AssociatedFileType
_STRING, _OFFSET, _BYTE = "string", "offset", "byte"

if TYPE_CHECKING:
    from converters.tflite.objects import Model


def embed(
    model: Model,
    spec: ModelSpec,
    precision: str,
    preprocess: Preprocess,
    real: Preprocess | None = None,
    backend: str = "",
) -> None:
    """Add the metadata buffers to `model`; `labels` then appends the archive to the packed bytes.

    Args:
        precision: of the file, for those who read it without its bundle.
        preprocess: of the model, told for RGB, which every file takes.
        real: of an input of bytes: with the mean and std that give its real values.
        backend: what the file was made for, "" for the usual one.
    """
    _add(model, "TFLITE_METADATA", _model_metadata(spec, real or preprocess))
    text = preprocess_json.dumps(preprocess, "NHWC", takes_pixels=real is not None)
    _add(model, metadata_keys.PREPROCESS, text.encode())
    _add(model, metadata_keys.PRECISION, precision.encode())
    _add(model, metadata_keys.LABELS, json.dumps(list(spec.labels)).encode())
    _add(model, metadata_keys.OUTPUT, outputs.dumps(spec.output).encode())
    heads = dump_heads(spec)
    for key, value in (
        (metadata_keys.AUTHOR, spec.author),
        (metadata_keys.LICENSE, spec.license),
        (metadata_keys.HEADS, heads),
        (metadata_keys.BACKEND, backend),
    ):
        if value:
            _add(model, key, value.encode())


def append_labels(data: bytearray, spec: ModelSpec) -> None:
    """Append labels.txt, and labels_NAME.txt of further outputs, as an uncompressed zip archive with a fixed date.

    Each has one name a line.
    """
    files = {LABELS_FILE: spec.labels, **{_file_of(name): head.labels for name, head in spec.heads.items()}}
    if not any(files.values()):
        return
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, labels in files.items():
            if not labels:
                continue
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, "".join(f"{' '.join(label.splitlines())}\n" for label in labels))
    data += out.getvalue()


def _file_of(output: str) -> str:
    return f"labels_{output}.txt"


def _add(model: Model, name: str, data: bytes) -> None:
    import numpy as np

    schema = tfl.schema()
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(data, np.uint8)
    model.buffers.append(buffer)
    entry.name, entry.buffer = name.encode(), len(model.buffers) - 1
    model.metadata = [*(model.metadata or ()), entry]


def _model_metadata(spec: ModelSpec, preprocess: Preprocess) -> bytes:
    builder = require("flatbuffers", tfl.EXTRA).Builder(1024)
    # Pixels are 0 to 255 for every reader of this metadata: (pixel - mean) / std.
    mean = builder.CreateNumpyVector(_float32([255 * value for value in preprocess.mean]))
    std = builder.CreateNumpyVector(_float32([255 * value for value in preprocess.std]))
    options = _table(builder, 2, {0: (_OFFSET, mean), 1: (_OFFSET, std)})
    unit = _table(builder, 2, {0: (_BYTE, _NORMALIZATION_OPTIONS), 1: (_OFFSET, options)})
    properties = _table(builder, 2, {0: (_BYTE, _SPACES.get(preprocess.channels, _UNKNOWN))})
    content = _table(builder, 3, {0: (_BYTE, _IMAGE_PROPERTIES), 1: (_OFFSET, properties)})
    kind = _KINDS.get(preprocess.channels, f"{preprocess.channels}-band")
    image = _table(
        builder,
        7,
        {
            0: (_STRING, "image"),
            1: (
                _STRING,
                f"{kind} image of {preprocess.height} x {preprocess.width} pixels, normalised",
            ),
            3: (_OFFSET, content),
            4: (_OFFSET, _vector(builder, [unit])),
        },
    )
    outputs = [_output(builder, spec, index) for index in range(len(spec.outputs))]
    subgraph = _table(
        builder, 10, {2: (_OFFSET, _vector(builder, [image])), 3: (_OFFSET, _vector(builder, outputs))}
    )
    fields: dict[int, tuple[str, object]] = {
        0: (_STRING, spec.name),
        3: (_OFFSET, _vector(builder, [subgraph])),
        7: (_STRING, _PARSER),
    }
    fields |= {key: (_STRING, value) for key, value in ((4, spec.author), (5, spec.license)) if value}
    builder.Finish(_table(builder, 8, fields), _IDENTIFIER)
    return bytes(builder.Output())


def _output(builder: Any, spec: ModelSpec, index: int) -> int:
    output = spec.outputs[index]
    fields: dict[int, tuple[str, object]] = {0: (_STRING, output.name)}
    head = spec.heads.get(output.name)
    labels, name = (spec.labels, LABELS_FILE) if head is None else (head.labels, _file_of(output.name))
    if (index == 0 or head is not None) and len(labels) == output.shape[-1]:  # not two names for one number
        file = _table(
            builder,
            5,
            {
                0: (_STRING, name),
                1: (_STRING, "class names in index order"),
                2: (_BYTE, _TENSOR_AXIS_LABELS),
            },
        )
        fields[6] = (_OFFSET, _vector(builder, [file]))
    return _table(builder, 7, fields)


def _table(builder: Any, size: int, fields: dict[int, tuple[str, object]]) -> int:
    """A table of `size` fields; strings must exist before the table is begun."""
    ready = {
        slot: (kind, builder.CreateString(value) if kind == _STRING else value)
        for slot, (kind, value) in fields.items()
    }
    builder.StartObject(size)
    for slot, (kind, value) in ready.items():
        if kind == _BYTE:
            builder.PrependInt8Slot(slot, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, value, 0)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _float32(values: Sequence[float]) -> Any:
    import numpy as np

    return np.asarray(values, np.float32)
