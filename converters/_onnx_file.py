"""From the edited model to the bytes of the file: metadata, checks, one atomic write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core import files, preprocess_json
from edgevit.core.errors import UnsupportedError
from edgevit.core.types import ModelSpec

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

_PROTOBUF_LIMIT: Final = 2**31 - 1
_OLDEST_IR: Final = 10  # ONNX 1.16, enough for operator set 21; newer ones only where the operator set asks


def save(model: ir.Model, spec: ModelSpec, precision: str, out: Path) -> None:
    """Embed the metadata of `spec`, check the model, and write it to `out` in one step.

    The same model gives the same bytes.

    Raises:
        UnsupportedError: above 2 GB, or what was written is not valid ONNX (a fault of the converter).
        StorageError: `out` cannot be written.
    """
    import onnx
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    common.RemoveUnusedNodesPass()(model)  # the float constants that integers replaced
    model.producer_name, model.producer_version = "edgevit", ""
    model.metadata_props.update(_metadata(spec, precision))
    size = sum(
        value.const_value.nbytes
        for value in model.graph.initializers.values()
        if value.const_value is not None
    )
    if size > _PROTOBUF_LIMIT:
        raise UnsupportedError(
            f"the constants of {spec.name} in {precision} take {size / 1e9:.1f} GB, an ONNX file without "
            "external data ends at 2 GB",
            "choose a smaller precision (w8) or --to tflite,coreml",
        )
    proto = ir.to_proto(model)
    del proto.graph.value_info[:]  # shapes from before the edits make other tools fail
    proto.ir_version = max(_OLDEST_IR, min(proto.ir_version, _ir_version(proto)))
    try:
        onnx.checker.check_model(proto, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UnsupportedError(
            f"the ONNX model of {spec.name} in {precision} is not valid: {error}"
        ) from error
    files.write_atomic(out, proto.SerializeToString(deterministic=True))


def _metadata(spec: ModelSpec, precision: str) -> dict[str, str]:
    found = {
        "edgevit.preprocess": preprocess_json.dumps(spec.preprocess, "NCHW"),
        "edgevit.labels": json.dumps(list(spec.labels), ensure_ascii=False),
        "edgevit.model": spec.name,
        "edgevit.precision": precision,
    }
    optional = {"author": spec.author, "license": spec.license}
    return found | {key: text for key, text in optional.items() if text}


def _ir_version(proto: onnx.ModelProto) -> int:
    """The oldest file format that knows the model's operator sets."""
    import onnx

    return int(onnx.helper.find_min_ir_version_for(list(proto.opset_import), ignore_unknown=True))
