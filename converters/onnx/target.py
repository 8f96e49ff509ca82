"""ONNX, for ONNX Runtime on every system: standard operators only, one file, metadata inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from converters import _float_macs
from converters._target import checked_conversion
from converters.onnx import attention as onnx_attention
from converters.onnx import (
    batch,
    dynamic,
    export,
    file,
    half,
    half_kernels,
    integer_pixels,
    pixels,
    qnn,
    quantize,
    whole_graph,
)
from converters.onnx import older as older_opsets
from converters.onnx import pairs as weight_pairs
from edgevit.core import metadata_keys
from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import UnsupportedError, UsageError
from edgevit.core.plans import QuantPlan
from edgevit.core.plugins import Target
from edgevit.core.precisions import Precision
from edgevit.core.results.report import KeptFloat32
from edgevit.core.runner import SiteTensors
from edgevit.core.types import Graph, ModelSpec
from edgevit.formats.htp import ARCHITECTURES, DEFAULT

_PRECISIONS: Final = (
    Precision.FP32,
    Precision.FP16,
    Precision.W8,
    Precision.W8A8,
    Precision.W8DA8,
    Precision.W4,
)
_BLOCK: Final = 32  # input channels of a linear layer that share a scale in w4
_OPSETS: Final = range(17, 24)
# The first convolutions of a hybrid are thin, on large images: integers cost them more (a layout without blocks,
# rounding, residual sums in float between) than their products save. Above 24 they won in all that was measured.
_STEM_INTENSITY: Final = 20.0
_LARGEST_BATCH: Final = 4096
_DEFAULT_OPSET: Final = 23  # the first with attention as one operator; Gelu is one from 20 on


def capabilities(
    precision: Precision, options: Mapping[str, str] | None = None
) -> BackendCapabilities | None:
    """What ONNX Runtime's CPU kernels execute in integers; None where nothing is quantized.

    w8a8: convolutions need an integer output to run in integers at all; linear layers may keep a float
    one, which is more accurate and as fast; SiLU between integers stays in integers. The thin convolutions
    that a hybrid starts with are faster in float; `stem=integer` has them in integers for NPUs.
    w8da8: the inputs of linear layers are quantized at run time, convolutions compute in float, since their
    dynamic kernel is slower than float. w8 and w4 store integers and compute in float: nothing is lost but
    what rounding the weights loses.

    x86 without VNNI saturates in the kernels of w8a8 and w8da8; `saturation_free` limits the weights so that it
    cannot.

    Args:
        options: may hold what `prepare` takes, `stem` and `float_macs`.

    Raises:
        UsageError: `saturation_free` is neither true nor false, `stem` neither float nor integer, `float_macs` no
            share; an operator set, a form of attention or a batch that is not offered.
        UnsupportedError: the precision does not go with the operator set or the batch.
    """
    if (options or {}).get("backend") == qnn.NAME:
        return qnn.capabilities(precision, options or {})
    opset, _ = _forms(options or {})
    if precision == Precision.W4 and opset < quantize.FIRST_INT4_OPSET:
        raise UnsupportedError(
            f"ONNX has int4 from operator set {quantize.FIRST_INT4_OPSET} on, not in {opset}",
            f"add --option onnx.opset={quantize.FIRST_INT4_OPSET}, or leave onnx.opset out",
        )
    if precision == Precision.W8DA8 and _batch(options or {}) != 1:
        raise UnsupportedError(
            "onnx.batch does not go with w8da8: its kernel rounds all images of a batch by the widest range among them",
            "choose another precision, or leave onnx.batch out",
        )
    pairs = weight_pairs.LIMIT if _is_safe(options or {}) else None
    share = 0.0
    stem = _stem(options or {})
    stored = OpCapabilities("conv", None, None, "float32")
    kinds: tuple[OpCapabilities, ...]
    if precision == Precision.W8:
        kinds = (OpCapabilities("linear", None, None, "float32"), stored)
    elif precision == Precision.W8A8:
        share = _float_macs.float_macs("onnx", options)
        kinds = (
            OpCapabilities("linear", "uint8", None, "int32", saturation_limit=pairs),
            OpCapabilities(
                "conv",
                "uint8",
                "uint8",
                "int32",
                saturation_limit=pairs,
                sigmoid="uint8",
                min_intensity=_STEM_INTENSITY if stem == "float" else 0.0,
            ),
        )
    elif precision == Precision.W8DA8:
        per_token = dynamic.PER_TOKEN
        kinds = (
            OpCapabilities("linear", None, None, "float32", dynamic=per_token, saturation_limit=pairs),
            stored,
        )
    elif precision == Precision.W4:
        kinds = (
            OpCapabilities("linear", None, None, "float32", "int4", _BLOCK, scale_dtype="float16"),
            stored,
        )
    else:
        return None
    folds = ("smooth_activations",) if precision in (Precision.W8A8, Precision.W8DA8) else ()
    return BackendCapabilities("onnx", precision, "float32", kinds, float_macs=share, folds=folds)


def check_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for a value that is not offered."""
    if TARGET.backend_of(options) == qnn.NAME:
        qnn.check_options(options)
    else:
        _float_macs.float_macs("onnx", options)
        if "htp_arch" in options:
            raise UsageError(
                "onnx.htp_arch goes with onnx.backend=qnn alone", "add --option onnx.backend=qnn"
            )
    _forms(options)
    _is_safe(options)
    _stem(options)
    _batch(options)
    _takes_pixels(options)


def _batch(options: Mapping[str, str]) -> int | None:
    """Images in one execution, None for any number."""
    text = options.get("batch", "1")
    if text == "dynamic":
        return None
    if not (text.isascii() and text.isdecimal()) or not 1 <= int(text) <= _LARGEST_BATCH:
        raise UsageError(
            f"onnx.batch must be a whole number from 1 to {_LARGEST_BATCH} or dynamic, not {text!r}",
            "leave it out for 1",
        )
    return int(text)


def _takes_pixels(options: Mapping[str, str]) -> bool:
    text = options.get("input", "float32")
    if text not in ("float32", "uint8"):
        raise UsageError(f"onnx.input must be float32 or uint8, not {text!r}", "leave it out for float32")
    return text == "uint8"


def _stem(options: Mapping[str, str]) -> str:
    stem = options.get("stem", "float")
    if stem not in ("float", "integer"):
        raise UsageError(f"onnx.stem must be float or integer, not {stem!r}", "leave it out for float")
    return stem


def _is_safe(options: Mapping[str, str]) -> bool:
    text = options.get("saturation_free", "false")
    if text not in ("true", "false"):
        raise UsageError(
            f"onnx.saturation_free must be true or false, not {text!r}", "leave it out for false"
        )
    return text == "true"


def prepare(graph: Graph, spec: ModelSpec, options: Mapping[str, str]) -> export.FloatConversion:
    """Convert to ONNX in float32, once; `options` may hold those of TARGET.

    Raises:
        UsageError: one of them is not offered.
        UnsupportedError: torch.onnx cannot convert the model, or a site cannot be confirmed in it.
    """
    opset, attention = _forms(options)
    prepared = export.export(graph, spec, opset)
    if attention == "fused":
        onnx_attention.fuse(prepared.model)
    backend = TARGET.backend_of(options)
    return replace(
        prepared,
        batch=_batch(options),
        takes_pixels=_takes_pixels(options),
        backend=backend,
        htp_arch=qnn.htp_arch(options) if backend == qnn.NAME else "",
    )


def _forms(options: Mapping[str, str]) -> tuple[int, str]:
    """Operator set, and the form of attention."""
    npu = options.get("backend") == qnn.NAME
    text = options.get("opset", str(qnn.OPSET if npu else _DEFAULT_OPSET))
    if not text.isdecimal() or int(text) not in _OPSETS:
        raise UsageError(
            f"onnx.opset must be a whole number from {_OPSETS[0]} to {_OPSETS[-1]}, not {text!r}",
            f"leave it out for {_DEFAULT_OPSET}",
        )
    fused = int(text) >= onnx_attention.FIRST_OPSET and not npu
    attention = options.get("attention", "fused" if fused else "split")
    if attention not in ("fused", "split"):
        raise UsageError(f"onnx.attention must be fused or split, not {attention!r}", "leave it out")
    if attention == "fused" and int(text) < onnx_attention.FIRST_OPSET:
        raise UsageError(
            f"ONNX has attention as one operator from operator set {onnx_attention.FIRST_OPSET} on, not in {text}",
            f"add --option onnx.opset={onnx_attention.FIRST_OPSET}, or leave onnx.attention out",
        )
    return int(text), attention


def write(
    prepared: object,
    precision: Precision,
    plan: QuantPlan | None,
    out: Path,
    keep_float32: frozenset[str] = frozenset(),
) -> tuple[SiteTensors, ...]:
    """Write one file; returns the tensors of each site of the plan, without a plan of each weighted site.

    Args:
        keep_float32: sites that a fp16 file computes in float32.

    Raises:
        UnsupportedError: the precision, a site that cannot be placed.
        StorageError: `out` cannot be written; an earlier file stays as it was.
    """
    backend = prepared.backend if isinstance(prepared, export.FloatConversion) else ""
    # the float file of a backend is what its quantized files are held against
    offered = (*TARGET.precisions_for(backend), Precision.FP32)
    known = capabilities(precision, {"backend": backend} if backend else {})
    conversion = checked_conversion(prepared, export.FloatConversion, "onnx", precision, offered, plan, known)
    model = conversion.model.clone()
    if plan is not None and plan.capabilities.activations is not None:
        sites = whole_graph.quantize(model, conversion, plan)
    elif plan is not None:
        sites = quantize.quantize(model, conversion, plan)
    else:
        if precision == Precision.FP16:
            half.to_half(model, keep_float32)
        sites = quantize.site_tensors(model, conversion.weights)
    if conversion.takes_pixels and plan is not None and plan.capabilities.activations is not None:
        integer_pixels.take_pixels(model, conversion.spec.preprocess)
    elif conversion.takes_pixels:
        pixels.take_pixels(model, conversion.spec.preprocess)
        image = pixels.NORMALISED
        sites = tuple(replace(s, input=image) if s.input == "image" else s for s in sites)
    older = conversion.opset < export.FIRST_OPSET
    if older or conversion.batch != 1:
        shapes = file.shapes_of(model)
        if older:
            older_opsets.to_17(model, shapes)
        if conversion.batch != 1:
            batch.rebatch(model, shapes, conversion.batch)
    made_for = {}
    if plan is not None and backend in TARGET.backends:
        made_for = {metadata_keys.BACKEND: backend, metadata_keys.HTP_ARCH: conversion.htp_arch}
    file.save(model, conversion.spec, precision, out, conversion.takes_pixels, made_for)
    return sites


def wrong_in_float16(prepared: object) -> tuple[KeptFloat32, ...]:
    """What ONNX Runtime would compute wrong in float16 on some processors; `prepared` as of `prepare`."""
    assert isinstance(prepared, export.FloatConversion), "what `prepare` returned"
    return half_kernels.wrong_in_float16(prepared.model)


TARGET: Final = Target(
    summary="ONNX, executed by ONNX Runtime",
    suffix="onnx",
    extra="onnx",
    precisions=_PRECISIONS,
    runtimes=("onnxruntime",),
    backends={qnn.NAME: qnn.BACKEND},
    usual_backend="cpu",
    options={
        "backend": "cpu (default), or qnn: Qualcomm's Hexagon NPU, every operator in integers",
        "htp_arch": f"with qnn: {', '.join(ARCHITECTURES)}; {DEFAULT} if not given",
        "opset": f"ONNX operator set, {_OPSETS[0]} to {_OPSETS[-1]}; {_DEFAULT_OPSET} if not given",
        "input": "float32 (default): the normalised image, NCHW; uint8: the image itself, NHWC, the rest is inside",
        "batch": "images in one execution: a number, 1 if not given, or dynamic for any",
        "attention": "fused into one operator (the default from operator set 23 on), or split",
        "stem": "integer: a hybrid's first convolutions, of low arithmetic intensity, in integers too, for NPUs",
        "float_macs": f"{_float_macs.HELP}; with qnn {_float_macs.WIDE_DEFAULT:g}, in 16 bits",
        "saturation_free": "true: integer kernels are exact on x86 without VNNI too; costs 2 to 3 dB of the weights",
    },
    check_options=check_options,
    modules=("onnx", "onnxscript"),
    capabilities=capabilities,
    prepare=prepare,
    write=write,
    wrong_in_float16=wrong_in_float16,
    half_elsewhere=(
        "On ARM processors with half-precision arithmetic ONNX Runtime computes this file in float16, sums included, "
        "which it does not do here: a layer with sums of 384 terms keeps about 50 dB there, with 3,072 about 41 dB. "
        "--device measures it; fp32, w8a8 and TFLite's fp16 do not depend on that."
    ),
)
