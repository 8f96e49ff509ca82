"""TFLite, for LiteRT on phones and boards: NHWC RGB float input, metadata and labels inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from converters import (
    _float_share,
    _tflite_lower,
    _tflite_metadata,
    _tflite_quantize,
    _tflite_sites,
    _tflite_tidy,
)
from converters import _tflite_model as tfl
from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.core.files import write_atomic
from edgevit.core.plans import KindPlacement, Placement
from edgevit.core.plugins import Target
from edgevit.core.types import Graph, ModelSpec, Preprocess

if TYPE_CHECKING:
    from edgevit.core.plans import QuantPlan
    from edgevit.core.runner import SiteTensors

_PRECISIONS: Final = ("fp32", "fp16", "w8", "w8a8", "w8da8", "w4")
_BLOCK: Final = 32  # input channels of a linear layer that share a scale in w4


@dataclass(frozen=True, slots=True)
class Prepared:
    """The float conversion, made once: a model without metadata, and where the sites are in it."""

    model: Any
    places: tuple[_tflite_sites.Place, ...]
    spec: ModelSpec


def placement(precision: str, options: Mapping[str, str] | None = None) -> Placement | None:
    """What LiteRT executes in integers with XNNPACK; None where nothing is quantized.

    w8a8: its static int8 kernels of FULLY_CONNECTED and the convolutions have int8 inputs and outputs; there
    is none for attention's products, LayerNorm, softmax and GELU in this form. Linear layers that
    `float_share` spares quantize each token at run time. So do those of w8da8 and w4, since int4 weights have no
    fast kernel with float inputs; convolutions compute in float there, with int8 weights. Layer norm is written in
    operators of our own, which need not subtract the mean of a centred stream.

    Raises:
        UsageError: `float_share` in `options` is no share.
    """
    share = 0.0
    stored = KindPlacement("conv", None, None, "float32")
    dynamic = _tflite_quantize.PER_TOKEN
    kinds: tuple[KindPlacement, ...]
    if precision == "w8":
        kinds = tuple(KindPlacement(kind, None, None, "float32") for kind in _tflite_lower.WEIGHTED)
    elif precision == "w8a8":
        share = _float_share.float_share("tflite", options)
        kinds = tuple(
            KindPlacement(
                kind,
                "int8",
                "int8",
                "int32",
                output_channels=True,
                spared=dynamic if kind == "linear" else None,
            )
            for kind in _tflite_lower.WEIGHTED
        )
    elif precision == "w8da8":
        kinds = (KindPlacement("linear", None, None, "float32", dynamic=dynamic), stored)
    elif precision == "w4":
        four = KindPlacement(
            "linear", None, None, "float32", "int4", _BLOCK, dynamic=dynamic, scale_dtype="bfloat16"
        )
        kinds = (four, stored)
    else:
        return None
    folds: tuple[str, ...] = ("centre_streams", "patches_as_linear")
    if precision != "w8":
        folds += ("layernorm_fold",)
    return Placement("tflite", precision, "float32", kinds, float_share=share, folds=folds)


def check_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for a value that is not offered."""
    if options.get("input", "float32") != "float32":
        raise UsageError(f"tflite.input must be float32, not {options['input']!r}", "leave it out")
    _float_share.float_share("tflite", options)


def prepare(graph: Graph, spec: ModelSpec, options: Mapping[str, str]) -> Prepared:
    """Convert to TFLite in float32, once. Input `image` (1, H, W, 3) float32 RGB, outputs named as in `spec`.

    TFLite's metadata cannot say BGR. For a model trained on BGR the channels are reversed inside the
    graph, so that the file takes RGB like every other, and the embedded preprocessing (color, mean, std)
    describes the file's input: rgb.

    Raises:
        UsageError: an option that is not offered.
        UnsupportedError: the model is larger than the format allows (told before any conversion),
            litert-torch cannot convert it, or a site cannot be found in the result.
    """
    check_options(options)
    _refuse_above_limit(graph)
    data, fenced = _tflite_lower.lower(graph, spec.preprocess.color == "bgr")
    model = tfl.read(data)
    places = _tflite_tidy.tidy(model, _tflite_sites.locate(model, fenced))
    _name_interface(model, spec)
    tfl.make_names_unique(model)
    return Prepared(model, places, spec)


def write(
    prepared: object,
    precision: str,
    plan: QuantPlan | None,
    out: Path,
    keep_float32: frozenset[str] = frozenset(),
) -> tuple[SiteTensors, ...]:
    """Write one file; returns the tensors of each site of the plan, without a plan of each weighted site.

    Args:
        keep_float32: sites whose constants a fp16 file holds in float32; LiteRT computes in it anyway.

    Raises:
        UnsupportedError: the precision, a site that cannot be placed, a model above 2 GiB.
        StorageError: `out` cannot be written; an earlier file stays as it was.
    """
    if not isinstance(prepared, Prepared):
        raise TypeError("write needs what prepare returned")
    if precision not in _PRECISIONS:
        raise UnsupportedError(f"tflite cannot write {precision}", f"it can: {', '.join(_PRECISIONS)}")
    if (plan is None) != (placement(precision) is None):
        raise TypeError(f"precision {precision} {'needs a' if plan is None else 'takes no'} plan")
    model = tfl.duplicate(prepared.model)
    if plan is not None:
        sites = _tflite_quantize.quantize(model, prepared.places, plan)
    else:
        sites = _tflite_quantize.float_tensors(model, prepared.places)
        if precision == "fp16":
            _tflite_quantize.to_half(model, prepared.places, keep_float32)
    if precision != "fp32":
        # The converter's statement is about its own operators; ours need a newer runtime.
        model.metadata = [m for m in model.metadata or () if tfl.text(m.name) != "min_runtime_version"]
    spec = prepared.spec
    _tflite_metadata.embed(model, spec, _in_rgb(spec.preprocess))
    tfl.compact(model)
    model.description = b"edgevit"
    data = tfl.pack(model)
    _tflite_metadata.append_labels(data, spec.labels)
    write_atomic(out, data)
    return sites


def _refuse_above_limit(graph: Graph) -> None:
    """All files are made from the float file, so that its size counts for 8-bit weights too."""
    held = {*graph.program.state_dict.values(), *graph.program.constants.values()}
    size = sum(4 * t.numel() for t in held if hasattr(t, "is_floating_point") and t.is_floating_point())
    if size > tfl.LIMIT:
        raise UnsupportedError(
            f"the model's weights take {size} bytes as float32, a .tflite file ends at {tfl.LIMIT}",
            "leave tflite out of --to: 8-bit TFLite files are made from the float file",
        )


def _in_rgb(preprocess: Preprocess) -> Preprocess:
    if preprocess.color == "rgb":
        return preprocess
    mean, std = preprocess.mean, preprocess.std
    return replace(preprocess, color="rgb", mean=(mean[2], mean[1], mean[0]), std=(std[2], std[1], std[0]))


def _name_interface(model: object, spec: ModelSpec) -> None:
    """Name input and outputs, in the signature too, which is what applications ask for."""
    part = tfl.graph(model)
    (signature,) = model.signatureDefs  # type: ignore[attr-defined]
    part.tensors[int(part.inputs[0])].name = b"image"
    signature.inputs[0].name = b"image"
    if len(signature.outputs) != len(spec.outputs):
        raise UnsupportedError(
            f"the file has {len(signature.outputs)} outputs, the model {len(spec.outputs)}"
        )
    for entry, output in zip(signature.outputs, spec.outputs, strict=True):
        entry.name = output.name.encode()
        part.tensors[int(entry.tensorIndex)].name = output.name.encode()


TARGET: Final = Target(
    summary="TFLite, executed by LiteRT",
    suffix="tflite",
    extra="tflite",
    precisions=_PRECISIONS,
    runtimes=("litert",),
    options={"input": "type of the input; float32 is the only one so far", "float_share": _float_share.HELP},
    check_options=check_options,
    modules=("litert_torch", "ai_edge_litert", "flatbuffers"),
    placement=placement,
    prepare=prepare,
    write=write,
    half="stored",
    float_limit_bytes=tfl.LIMIT,
)
