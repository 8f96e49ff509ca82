"""From the edited model to its file: metadata, checks, an atomic write; above 1 GiB the weights beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from converters.onnx import external, older
from edgevit.core import metadata_keys, outputs
from edgevit.core.disk import whole_files
from edgevit.core.disk.artifact import weights_beside
from edgevit.core.errors import UnsupportedError
from edgevit.core.pixels import in_rgb
from edgevit.core.types import ModelSpec
from edgevit.formats import preprocess_json
from edgevit.formats.labels import dump_heads

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

# One ONNX message ends at 2 GiB. Making and reading one takes memory for it twice over, where a file beside
# it is written piece by piece and mapped, so that only what is easy to hold stays in one.
LARGEST_IN_ONE_FILE: Final = 1 << 30
_OLDEST_IR: Final = 10  # ONNX 1.16, enough for operator set 21; newer ones only where the operator set asks


def save(
    model: ir.Model,
    spec: ModelSpec,
    precision: str,
    out: Path,
    takes_pixels: bool = False,
    made_for: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Embed the metadata of `spec`, check the model, and write it to `out`.

    Args:
        takes_pixels: its input is uint8 (1, height, width, channels) in RGB, and not the normalised image.
        made_for: further metadata of a file that is not made for the CPU.

    The same model gives the same bytes. With more than LARGEST_IN_ONE_FILE bytes of constants they go into
    `OUT.data` in the same folder, which stands there whole before `out` names it.

    Raises:
        UnsupportedError: what would be written is not valid ONNX (a fault of the converter).
        StorageError: `out` cannot be written.
    """
    import onnx_ir as ir
    import onnx_ir.passes.common as common

    common.RemoveUnusedNodesPass()(model)  # the float constants that integers replaced
    model.producer_name, model.producer_version = "edgevit", ""
    model.metadata_props.update(_metadata(spec, precision, takes_pixels))
    model.metadata_props.update(made_for)
    _check(model, f"{spec.name} in {precision}")
    beside = weights_beside(out)
    size = sum(v.const_value.nbytes for v in model.graph.initializers.values() if v.const_value is not None)
    if size > LARGEST_IN_ONE_FILE:
        external.write(model, beside)
    proto = _finished(ir.to_proto(model))
    content = proto.SerializeToString(deterministic=True)
    del proto
    whole_files.write_atomic(out, content)
    if size <= LARGEST_IN_ONE_FILE:
        beside.unlink(missing_ok=True)  # of an earlier, larger model: it would count as this one's


def _check(model: ir.Model, what: str) -> None:
    """Hold the model against the operator sets."""
    import onnx
    import onnx_ir as ir

    try:
        onnx.checker.check_model(_finished(ir.to_proto(_light(model))), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UnsupportedError(
            f"the ONNX model of {what} is not valid: {error}",
            "try another --option onnx.opset, or leave onnx out of --to",
        ) from error


def _finished(proto: onnx.ModelProto) -> onnx.ModelProto:
    del proto.graph.value_info[:]  # shapes from before the edits make other tools fail
    oldest = _OLDEST_IR if proto.opset_import[0].version > older.OPSET else _ir_version(proto)
    proto.ir_version = max(oldest, min(proto.ir_version, _ir_version(proto)))
    return proto


def shapes_of(model: ir.Model) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors whose sizes are known, by name."""
    import onnx
    import onnx_ir as ir

    proto = onnx.shape_inference.infer_shapes(_finished(ir.to_proto(_light(model))), data_prop=True)
    known = (*proto.graph.input, *proto.graph.value_info, *proto.graph.output)
    found = {v.name: tuple(int(d.dim_value) for d in v.type.tensor_type.shape.dim) for v in known}
    return found | {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}


def _light(model: ir.Model) -> ir.Model:
    """A copy with large constants as inputs: nothing has to be copied."""
    light = model.clone()
    for name, value in list(light.graph.initializers.items()):
        if value.const_value is not None and value.const_value.nbytes >= external.SMALL:
            value.const_value = None
            del light.graph.initializers[name]
            light.graph.inputs.append(value)
    return light


def _metadata(spec: ModelSpec, precision: str, takes_pixels: bool) -> dict[str, str]:
    stated = preprocess_json.dumps(spec.preprocess, "NCHW")
    if takes_pixels:
        stated = preprocess_json.dumps(in_rgb(spec.preprocess), "NHWC", takes_pixels=True)
    found = {
        metadata_keys.PREPROCESS: stated,
        metadata_keys.LABELS: json.dumps(list(spec.labels), ensure_ascii=False),
        metadata_keys.OUTPUT: outputs.dumps(spec.output),
        metadata_keys.MODEL: spec.name,
        metadata_keys.PRECISION: precision,
    }
    heads = dump_heads(spec)
    optional = {"author": spec.author, "license": spec.license, metadata_keys.HEADS: heads}
    return found | {key: text for key, text in optional.items() if text}


def _ir_version(proto: onnx.ModelProto) -> int:
    """The oldest file format that knows the model's operator sets."""
    import onnx

    return int(onnx.helper.find_min_ir_version_for(list(proto.opset_import), ignore_unknown=True))
