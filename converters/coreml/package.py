"""From an edited program to an .mlpackage on disk: coremltools, metadata, reproducible bytes."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import re
import shutil
import sys
import tempfile
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.coreml import weights
from converters.coreml.program import NORMALIZE, PROBABILITIES, Edited, takes_image
from converters.coreml.values import Handles, named_values
from edgevit.core import metadata_keys, outputs
from edgevit.core.errors import StorageError, UnsupportedError
from edgevit.core.require import require
from edgevit.formats import preprocess_json
from edgevit.formats.labels import dump_heads
from edgevit.program import diagnostics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from coremltools.converters.mil.mil import Operation, Program
    from coremltools.models import MLModel

    from edgevit.core.types import ModelSpec, Preprocess

# These passes merge arithmetic of neighbouring operations, change a plan's zero points, or move
# quantize operations. The graph has had its rewrites; from here on what the plan and the simulation
# round must be what the file rounds.
_LEFT_OUT = {
    "common::divide_to_multiply",
    "common::fuse_matmul_weight_bias",
    "common::fuse_linear_bias",
    "common::fuse_conv_scale",
    "common::fuse_conv_bias",
    "common::fuse_conv_batchnorm",
    "common::fuse_elementwise_to_batchnorm",
    "common::int_op_canonicalization",
    "common::nullify_redundant_quantization_zero_point",
    "common::dequantize_quantize_pair_elimination",
    "common::distributive_quantized_binary_op_scale_normalization",
}
_DATE = "com.github.apple.coremltools.conversion_date"
_MAPPING = "executorch_debug_handle_mapping.json"
_NAMESPACE = uuid.UUID("6d7f1f9e-6f0b-5b0a-9a51-0c8f5f0f3d11")


def convert(
    edited: Edited, spec: ModelSpec, deployment: str, half: bool, keep_float32: frozenset[str]
) -> object:
    """Convert with coremltools; `half` computes in float16 from behind the normalisation on.

    Args:
        keep_float32: sites that compute in float32 also with `half`.

    Returns:
        The coremltools MLModel, not loaded into any runtime.

    Raises:
        UnsupportedError: coremltools cannot convert an operation; its own words are in the message.
    """
    import numpy as np

    kept = frozenset(edited.handles[site] for site in keep_float32)
    with quiet():
        ct = require("coremltools", "coreml")
        _register_gelu()
        weights.register()
        pipeline = ct.PassPipeline.DEFAULT
        pipeline.remove_passes(_LEFT_OUT)
        names = [o.name for o in spec.outputs]
        if edited.classifier:
            names.insert(1, PROBABILITIES)
        image = _input(ct, spec.preprocess)
        options = {
            "minimum_deployment_target": getattr(ct.target, deployment),
            "skip_model_load": True,
        }
        try:
            program = ct.convert(
                edited.program,
                inputs=[image],
                outputs=[ct.TensorType(name=name, dtype=np.float32) for name in names],
                convert_to="milinternal",
                compute_precision=ct.transform.FP16ComputePrecision(
                    op_selector=partial(_computes_in_half, kept)
                )
                if half
                else ct.precision.FLOAT32,
                pass_pipeline=pipeline,
                **options,
            )
            _name_in_order(program)
            # a classifier's outputs are others than those that were given types above
            program.functions["main"].output_types = None
            return ct.convert(
                program,
                convert_to="mlprogram",
                classifier_config=_classifier(ct, spec) if edited.classifier else None,
                compute_precision=ct.precision.FLOAT32,
                pass_pipeline=ct.PassPipeline.EMPTY,
                **options,
            )
        except Exception as error:  # coremltools raises many unrelated classes for one reason
            words = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UnsupportedError(
                f"coremltools cannot convert {spec.name}: {words.strip()[:300]}"
                f"{diagnostics.suffix(error, edited.program.graph.nodes)}",
                "write that line with other operators, or leave coreml out of --to",
            ) from error


def save(
    model: MLModel, edited: Edited, spec: ModelSpec, precision: str, deployment: str, out: Path
) -> Handles:
    """Write the package with its metadata; the same model gives the same bytes.

    Built beside `out` and renamed into place.

    Returns:
        debug handle -> (operator, name of its output) of the operations that carry it.

    Raises:
        StorageError: the disk is full or the place is read-only.
    """
    _describe(model, spec, precision, deployment)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent) as folder:
            package = Path(folder) / "model.mlpackage"
            with quiet():
                model.save(str(package))
            handles = _take_mapping(package)
            _finish(package, edited, handles)
            _make_readable(package)
            if out.exists():
                shutil.rmtree(out)
            package.rename(out)
    except OSError as error:
        reason = error.strerror or error
        raise StorageError(f"cannot write {out}: {reason}", "free some space or choose another -o") from error
    return handles


def class_labels(labels: tuple[str, ...]) -> list[str]:
    """Labels as Core ML takes them: its classes are keys, so a repeated name gets its index behind it."""
    return [f"{label} ({i})" if label in labels[:i] else label for i, label in enumerate(labels)]


def _register_gelu() -> None:
    """Replace coremltools 9's own gelu, which overlooks `approximate="tanh"` in exported programs."""
    from coremltools.converters.mil import Builder, register_torch_op

    @register_torch_op(override=True)  # type: ignore[untyped-decorator]
    def gelu(context: Any, node: Any) -> None:
        (tanh,) = (node.kwinputs or {}).get("approximate", node.inputs[1:2] or ("none",))
        mode = "TANH_APPROXIMATION" if tanh == "tanh" else "EXACT"
        context.add(Builder.gelu(x=context[node.inputs[0]], mode=mode, name=node.name))


def _classifier(ct: ModuleType, spec: ModelSpec) -> Any:
    return ct.ClassifierConfig(class_labels(spec.labels), "classLabel", PROBABILITIES)


def _name_in_order(program: Program) -> None:
    """Number anew what coremltools numbered: its passes do so in the order of sets, which changes from run to run."""
    function = program.functions["main"]
    kept = {*function.inputs, *(output.name for output in function.outputs)}
    numbered = []
    for op in function.operations:
        for output in op.outputs:
            if output.name not in kept and re.fullmatch(rf"{op.op_type}_\d+(_\w+)?", output.name):
                numbered.append((op.op_type, output))
            else:
                kept.add(output.name)
    counts = {op_type: itertools.count() for op_type, _ in numbered}
    for op_type, output in numbered:
        output.name = next(name for i in counts[op_type] if (name := f"{op_type}_{i}") not in kept)
    for op in function.operations:
        op.name = op.outputs[0].name


def _computes_in_half(kept: frozenset[int], operation: Operation) -> bool:
    """Not the normalisation, so that the input is rounded once, behind it, and not what must be kept.

    What quantizes a result that is kept, or gives the probabilities of it, goes with it; what dequantizes
    or unpacks weights goes with its readers, so that no cast comes between it and their kernel.
    """
    from coremltools.converters.mil.mil.scope import ScopeSource

    if operation.name in NORMALIZE:
        return False
    judged = [operation]
    if operation.op_type == "dequantize":
        judged = [] if operation.input.val is not None else list(operation.outputs[0].child_ops)
    elif operation.op_type.startswith("constexpr_"):
        judged = list(operation.outputs[0].child_ops)
    elif operation.op_type == "quantize":
        judged = [operation.input.op]
    elif operation.name.startswith(PROBABILITIES) and operation.op_type != "const":
        read = operation.values if operation.op_type == "concat" else (operation.x, operation.inputs.get("y"))
        judged = [var.op for var in read if var is not None]
    return all(
        op is None or kept.isdisjoint(op.scopes.get(ScopeSource.EXIR_DEBUG_HANDLE) or ()) for op in judged
    )


def _input(ct: ModuleType, preprocess: Preprocess) -> Any:
    import numpy as np

    channels = preprocess.channels
    shape = (1, channels, preprocess.height, preprocess.width)
    if not takes_image(preprocess):
        return ct.TensorType("image", shape=shape, dtype=np.float32)
    layout = ct.colorlayout
    color = {"rgb": layout.RGB, "bgr": layout.BGR}.get(preprocess.color, layout.GRAYSCALE)
    bias = 0.0 if channels == 1 else [0.0] * channels
    return ct.ImageType("image", shape=shape, scale=1.0, bias=bias, color_layout=color)


def _describe(model: MLModel, spec: ModelSpec, precision: str, deployment: str) -> None:
    model.author = spec.author
    model.license = spec.license
    model.version = spec.weights_sha256[:12]
    kind = f"image classifier with {len(spec.labels)} classes" if spec.labels else "image model"
    model.short_description = f"{spec.name}: {kind}, {precision}"
    meta = model.user_defined_metadata
    if _DATE in meta:
        del meta[_DATE]
    meta[metadata_keys.PREPROCESS] = preprocess_json.dumps(
        spec.preprocess, "image" if takes_image(spec.preprocess) else "NCHW"
    )
    meta[metadata_keys.LABELS] = json.dumps(list(spec.labels), ensure_ascii=False)
    meta[metadata_keys.OUTPUT] = outputs.dumps(spec.output)
    if spec.heads:
        meta[metadata_keys.HEADS] = dump_heads(spec)
    meta[metadata_keys.PRECISION] = precision
    meta[metadata_keys.DEPLOYMENT] = deployment


def _take_mapping(package: Path) -> Handles:
    """Read, and remove, the table that coremltools puts beside the model for debuggers."""
    path = package / _MAPPING
    table = json.loads(path.read_text())["mapping"] if path.exists() else {}
    path.unlink(missing_ok=True)
    return {
        int(h): [(o[-1]["Operator"], o[-1]["Output"]) for o in found]
        for h, found in table.items()
        if h != "null"
    }


def _finish(package: Path, edited: Edited, handles: Handles) -> None:
    """Note the sites, sort the specification's maps, derive the manifest's identifiers from its paths."""
    from coremltools.proto import Model_pb2

    path = package / "Data" / "com.apple.CoreML" / "model.mlmodel"
    specification = Model_pb2.Model.FromString(path.read_bytes())
    sites = named_values(specification, handles, edited.handles, edited.shapes)
    specification.description.metadata.userDefined[metadata_keys.SITES] = json.dumps(sites)
    path.write_bytes(specification.SerializeToString(deterministic=True))
    manifest_path = package / "Manifest.json"
    manifest = json.loads(manifest_path.read_text())
    entries = manifest["itemInfoEntries"]
    renamed = {old: str(uuid.uuid5(_NAMESPACE, item["path"])).upper() for old, item in entries.items()}
    manifest["itemInfoEntries"] = {renamed[old]: item for old, item in entries.items()}
    manifest["rootModelIdentifier"] = renamed[manifest["rootModelIdentifier"]]
    manifest_path.write_text(json.dumps(manifest, indent=4, sort_keys=True) + "\n")


def _make_readable(package: Path) -> None:
    """coremltools leaves the model readable by its owner alone."""
    for path in (package, *package.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep stdout clean, and progress bars and notices off stderr; errors still arrive as exceptions."""
    with contextlib.redirect_stdout(sys.stderr), contextlib.redirect_stderr(io.StringIO()):
        yield
