"""TFLite, for LiteRT on phones and boards: NHWC RGB input, float or bytes, metadata and labels inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from converters import _float_macs
from converters._target import checked_conversion
from converters.tflite import activations, full_integer, integers, lower, metadata, quantize, tidy
from converters.tflite import flatbuffer as tfl
from converters.tflite import input as tflite_input
from converters.tflite import output as tflite_output
from converters.tflite import sites as tflite_sites
from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.disk.whole_files import write_atomic
from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.core.pixels import in_rgb
from edgevit.core.plugins import Target
from edgevit.core.precisions import Precision
from edgevit.core.runner import SiteTensors
from edgevit.core.types import Graph, ModelSpec

if TYPE_CHECKING:
    from converters.tflite.objects import Model
    from edgevit.core.plans import QuantPlan

_PRECISIONS: Final = (
    Precision.FP32,
    Precision.FP16,
    Precision.W8,
    Precision.W8A8,
    Precision.W8DA8,
    Precision.W4,
)
_BLOCK: Final = 32  # input channels of a linear layer that share a scale in w4


@dataclass(frozen=True, slots=True)
class FloatConversion:
    """The float conversion, made once: a model without metadata, and where the sites are in it.

    Attributes:
        input: type of the input in the files: float32, uint8 or int8.
        backend: what the files are made for.
        sites: of a backend without float arithmetic: tensor -> the site whose result it is.
    """

    model: Model
    places: tuple[tflite_sites.Place, ...]
    spec: ModelSpec
    input: str = "float32"
    backend: str = ""
    sites: Mapping[int, str] = field(default_factory=dict)


def capabilities(
    precision: Precision, options: Mapping[str, str] | None = None
) -> BackendCapabilities | None:
    """What LiteRT executes in integers with XNNPACK; None where nothing is quantized.

    w8a8: its static int8 kernels of FULLY_CONNECTED and the convolutions have int8 inputs and outputs; there
    is none for attention's products, LayerNorm, softmax and GELU in this form. Linear layers that
    `float_macs` spares quantize each token at run time. So do those of w8da8 and w4, since int4 weights have no
    fast kernel with float inputs; convolutions compute in float there, with int8 weights. Layer norm is written in
    operators of our own, which need not subtract the mean of a centred stream.

    Raises:
        UsageError: `float_macs` in `options` is no share, `output` no type, or one that the precision has not.
    """
    if (options or {}).get("backend") in integers.BACKENDS:
        return integers.capabilities(precision, options or {})
    outputs = _output(options or {})
    if outputs is not None and precision != Precision.W8A8:
        raise UsageError(
            f"tflite.output={outputs} needs static ranges, which w8a8 has and {precision} has not",
            "give --precision w8a8 alone, or leave tflite.output out",
        )
    share = 0.0
    stored = OpCapabilities("conv", None, None, "float32")
    dynamic = quantize.PER_TOKEN
    kinds: tuple[OpCapabilities, ...]
    if precision == Precision.W8:
        kinds = tuple(OpCapabilities(kind, None, None, "float32") for kind in lower.WEIGHTED)
    elif precision == Precision.W8A8:
        share = _float_macs.float_macs("tflite", options)
        kinds = tuple(
            OpCapabilities(
                kind,
                "int8",
                "int8",
                "int32",
                output_channels=True,
                fallback=dynamic if kind == "linear" else None,
            )
            for kind in lower.WEIGHTED
        )
    elif precision == Precision.W8DA8:
        kinds = (OpCapabilities("linear", None, None, "float32", dynamic=dynamic), stored)
    elif precision == Precision.W4:
        four = OpCapabilities(
            "linear", None, None, "float32", "int4", _BLOCK, dynamic=dynamic, scale_dtype="bfloat16"
        )
        kinds = (four, stored)
    else:
        return None
    folds: tuple[str, ...] = ("layernorm_to_rmsnorm", "patches_as_linear")
    if precision != Precision.W8:
        folds += ("smooth_activations",)
    return BackendCapabilities(
        "tflite", precision, "float32", kinds, float_macs=share, folds=folds, outputs=outputs
    )


def check_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for a value that is not offered."""
    if TARGET.backend_of(options) in integers.BACKENDS:
        integers.check_options(options)
    _input(options)
    _output(options)
    _float_macs.float_macs("tflite", options)


def _input(options: Mapping[str, str]) -> str:
    return _one_of("input", integers.with_ends(options), ("float32", "uint8", "int8"))


def _output(options: Mapping[str, str]) -> Literal["int8", "uint8"] | None:
    found = _one_of("output", integers.with_ends(options), ("float32", "int8", "uint8"))
    return None if found == "float32" else cast('Literal["int8", "uint8"]', found)


def _one_of(key: str, options: Mapping[str, str], allowed: tuple[str, ...]) -> str:
    found = options.get(key, allowed[0])
    if found not in allowed:
        raise UsageError(
            f"tflite.{key} must be {', '.join(allowed[:-1])} or {allowed[-1]}, not {found!r}",
            f"leave it out for {allowed[0]}",
        )
    return found


def prepare(graph: Graph, spec: ModelSpec, options: Mapping[str, str]) -> FloatConversion:
    """Convert to TFLite in float32, once. Input `image` (1, H, W, 3) RGB, outputs named as in `spec`.

    TFLite's metadata cannot say BGR. For a model trained on BGR the channels are reversed inside the
    file, so that it takes RGB like every other, and the embedded preprocessing (color, mean, std)
    describes the file's input: rgb.

    Raises:
        UsageError: an option that is not offered.
        UnsupportedError: the model is larger than the format allows (told before any conversion),
            litert-torch cannot convert it, or a site cannot be found in the result.
    """
    check_options(options)
    _refuse_above_limit(graph)
    dtype = _input(options)
    # Bytes are put in order where they come in.
    reverse = spec.preprocess.color == "bgr" and dtype == "float32"
    data, marked = lower.lower(graph, reverse)
    model = tfl.read(data)
    backend = TARGET.backend_of(options)
    without_float = backend in integers.BACKENDS
    further = integers.PASSES[backend] if without_float else ()
    places = tidy.tidy(model, tflite_sites.locate(model, marked), further)
    tfl.make_names_unique(model)
    found = activations.locate(model, graph, reverse) if without_float else {}
    _name_interface(model, spec)
    tfl.make_names_unique(model)
    return FloatConversion(model, places, spec, dtype, backend, found)


def write(
    prepared: object,
    precision: Precision,
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
    backend = prepared.backend if isinstance(prepared, FloatConversion) else ""
    # the float file of a backend is what its integer files are held against
    offered = (*TARGET.precisions_for(backend), Precision.FP32)
    known = capabilities(precision, {"backend": backend} if backend else {})
    conversion = checked_conversion(prepared, FloatConversion, "tflite", precision, offered, plan, known)
    model = tfl.duplicate(conversion.model)
    if plan is not None and plan.capabilities.activations is not None:
        sites = full_integer.quantize(model, conversion.places, plan, conversion.sites)
    elif plan is not None:
        sites = quantize.quantize(model, conversion.places, plan)
    else:
        sites = quantize.float_tensors(model, conversion.places)
        if precision == Precision.FP16:
            quantize.to_half(model, conversion.places, keep_float32)
    spec, renamed = conversion.spec, dict[str, str]()
    if plan is not None and plan.outputs:
        renamed |= tflite_output.give_integers(model, plan.outputs)
    real = None
    if conversion.input != "float32":
        renamed |= tflite_input.take_pixels(model, spec.preprocess, conversion.input)
        real = tflite_input.real_input(in_rgb(spec.preprocess))
    if precision != Precision.FP32 or real is not None:
        # The converter's statement is about its own operators; ours need a newer runtime.
        model.metadata = [m for m in model.metadata or () if tfl.text(m.name) != "min_runtime_version"]
    made_for = backend if plan is not None and backend in integers.BACKENDS else ""
    metadata.embed(model, spec, precision, in_rgb(spec.preprocess), real, made_for)
    tfl.compact(model)
    model.description = b"edgevit"
    data = tfl.pack(model)
    metadata.append_labels(data, spec)
    write_atomic(out, data)
    return tuple(
        SiteTensors(s.site, *(renamed.get(name, name) for name in (s.input, s.output, s.rhs))) for s in sites
    )


def _refuse_above_limit(graph: Graph) -> None:
    """All files are made from the float file, so that its size counts for 8-bit weights too."""
    held = {*graph.program.state_dict.values(), *graph.program.constants.values()}
    size = sum(4 * t.numel() for t in held if hasattr(t, "is_floating_point") and t.is_floating_point())
    if size > tfl.LIMIT:
        raise UnsupportedError(
            f"the model's weights take {size} bytes as float32, a .tflite file ends at {tfl.LIMIT}",
            "leave tflite out of --to: 8-bit TFLite files are made from the float file",
        )


def _name_interface(model: Model, spec: ModelSpec) -> None:
    """Name input and outputs, in the signature too, which is what applications ask for."""
    part = tfl.graph(model)
    (signature,) = model.signatureDefs
    part.tensors[int(part.inputs[0])].name = b"image"
    signature.inputs[0].name = b"image"
    if len(signature.outputs) != len(spec.outputs):
        raise UnsupportedError(
            f"the file has {len(signature.outputs)} outputs, the model {len(spec.outputs)}",
            "return each output once, or leave tflite out of --to",
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
    backends=integers.BACKENDS,
    usual_backend="xnnpack",
    options={
        "backend": "xnnpack (default), full-int8: no float operator, or ethos-u: full-int8 in forms that Vela maps",
        "input": "float32 (default): the normalised image; uint8 or int8: the camera's bytes, the rest is inside",
        "output": "float32 (default), int8 or uint8, with scale and zero point in the file; w8a8 alone",
        "float_macs": _float_macs.HELP,
    },
    check_options=check_options,
    modules=("litert_torch", "ai_edge_litert", "flatbuffers"),
    capabilities=capabilities,
    prepare=prepare,
    write=write,
    half="stored",
    float_limit_bytes=tfl.LIMIT,
)
