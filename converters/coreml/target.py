"""Core ML: an .mlpackage (ML program) for Xcode, the Neural Engine, GPU and CPU of Apple devices."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from converters import _float_macs
from converters._target import checked_conversion
from converters.coreml import edits, package, program, sites
from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import UnsupportedError, UsageError, nearest
from edgevit.core.plugins import Target
from edgevit.core.precisions import Precision
from edgevit.core.require import require
from edgevit.core.runner import SiteTensors
from edgevit.program.sites import kind_of

if TYPE_CHECKING:
    from edgevit.core.plans import QuantPlan
    from edgevit.core.types import Graph, ModelSpec

PRECISIONS: Final = (
    Precision.FP32,
    Precision.FP16,
    Precision.W8,
    Precision.W8A8,
    Precision.W4,
    Precision.LUT4,
    Precision.LUT6,
)
_KINDS: Final = ("linear", "conv")
# quantize and dequantize of activations came with iOS 17, scales in blocks and grouped palettes with iOS 18
_SINCE: Final = {"iOS16": PRECISIONS[:3], "iOS17": PRECISIONS[:4], "iOS18": PRECISIONS}


@dataclass(frozen=True, slots=True)
class _FloatConversion:
    """Core ML conversions differ from precision to precision, so only the question is kept.

    Attributes:
        deployment: as the user named it, None for the oldest that is usual for a precision.
    """

    graph: Graph
    spec: ModelSpec
    deployment: str | None


def capabilities(
    precision: Precision, options: Mapping[str, str] | None = None
) -> BackendCapabilities | None:
    """What Core ML executes in integers or unpacks itself: linear and conv, float16 elsewhere.

    w8a8: int8 in, float16 out; the two products of attention stay in float16, since softmax' small numbers
    lose most in int8, and take int8 with `attention=integer`. w4: int4 in blocks of 32 inputs in linear
    layers, int8 in convolutions. lut4, lut6: palettes of 16 output channels. Scales must be float16 numbers,
    since quantize and the weights' decompression take them in the type of the float tensor:
    https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html

    Raises:
        UsageError: `float_macs` in `options` is no share, `attention` neither float nor integer, `deployment` no
            system.
        UnsupportedError: files of the precision do not run on `deployment`.
    """
    deployment = _deployment(options or {})
    if deployment is not None:
        _refuse_too_old(precision, deployment)
    share = 0.0
    attention = _attention(options or {})
    if precision == Precision.W8:
        kinds = tuple(OpCapabilities(kind, None, None, "float32") for kind in _KINDS)
    elif precision == Precision.W8A8:
        share = _float_macs.float_macs("coreml", options)
        rounded = (*_KINDS, *(edits.PRODUCTS if attention == "integer" else ()))
        kinds = tuple(OpCapabilities(kind, "int8", None, "float32") for kind in rounded)
    elif precision == Precision.W4:
        kinds = (
            OpCapabilities("linear", None, None, "float32", "int4", 32),
            OpCapabilities("conv", None, None, "float32"),
        )
    elif precision == Precision.LUT4:
        kinds = tuple(OpCapabilities(kind, None, None, "float32", "lut4", group=16) for kind in _KINDS)
    elif precision == Precision.LUT6:
        kinds = tuple(OpCapabilities(kind, None, None, "float32", "lut6", group=16) for kind in _KINDS)
    else:
        return None
    folds = ("smooth_activations",) if precision == Precision.W8A8 else ()
    return BackendCapabilities("coreml", precision, "float16", kinds, "float16", share, folds)


def prepare(graph: Graph, spec: ModelSpec, options: Mapping[str, str]) -> _FloatConversion:
    """Check the options and that coremltools is there.

    Raises:
        UsageError: an unknown `deployment`.
        MissingDependencyError: coremltools is not installed.
    """
    deployment = _deployment(options)
    with package.quiet():
        require("coremltools", "coreml")
    return _FloatConversion(graph, spec, deployment)


def check_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for a value that is not offered."""
    _deployment(options)
    _attention(options)
    _float_macs.float_macs("coreml", options)


def _attention(options: Mapping[str, str]) -> str:
    attention = options.get("attention", "float")
    if attention not in ("float", "integer"):
        raise UsageError(
            f"coreml.attention must be float or integer, not {attention!r}", "leave it out for float"
        )
    return attention


def _deployment(options: Mapping[str, str]) -> str | None:
    deployment = options.get("deployment")
    if deployment is not None and deployment not in _SINCE:
        raise UsageError(f"coreml.deployment is {deployment!r}", nearest(deployment, _SINCE))
    return deployment


def write(
    prepared: object,
    precision: Precision,
    plan: QuantPlan | None,
    out: Path,
    keep_float32: frozenset[str] = frozenset(),
) -> tuple[SiteTensors, ...]:
    """Convert and save `out`, an .mlpackage, and confirm from the file where each site is.

    Args:
        keep_float32: sites that compute in float32 also where all others compute in float16.

    Raises:
        UsageError: `keep_float32` names what is no site of the graph.
        UnsupportedError: the deployment target, the plan or an operation rules it out.
        StepError: a site is missing in the file, or is there with other values.
        StorageError: the package cannot be written.
    """
    conversion = checked_conversion(
        prepared, _FloatConversion, "coreml", precision, PRECISIONS, plan, capabilities(precision)
    )
    deployment = conversion.deployment or _usual(precision)
    _refuse_too_old(precision, deployment)
    half = plan.compute == "float16" if plan is not None else precision == Precision.FP16
    nodes = edits.weighted_sites(conversion.graph.program)
    if plan is not None:
        products = edits.product_sites(conversion.graph.program)
        nodes |= {s.site: products[s.site] for s in plan.sites if s.site in products}
    # the operation came with iOS 18; integers and scores kept in float32 need the two products
    roles = {kind_of(site) for site in keep_float32}
    fused = deployment == "iOS18" and plan is None and roles.isdisjoint(("softmax", *edits.PRODUCTS))
    edited = program.edit(conversion.graph, conversion.spec, plan, fused, keep_float32)
    if unknown := sorted(keep_float32 - edited.handles.keys()):
        raise UsageError(f"{unknown[0]!r} is no site of this model", nearest(unknown[0], edited.handles))
    model = package.convert(edited, conversion.spec, deployment, half, keep_float32)
    handles = package.save(model, edited, conversion.spec, precision, deployment, out)
    del model
    found = sites.locate(out, edited, nodes, plan, handles, lambda site: half and site not in keep_float32)
    gc.collect()  # coremltools' programs are full of reference cycles, and as large as the model
    return found


def _refuse_too_old(precision: Precision, deployment: str) -> None:
    if precision not in _SINCE[deployment]:
        allowed = ", ".join(_SINCE[deployment])
        raise UnsupportedError(
            f"Core ML for {deployment} can do {allowed}, not {precision}",
            f"--option coreml.deployment={_usual(precision)}"
            if precision in PRECISIONS
            else "choose one of these",
        )


def _usual(precision: Precision) -> str:
    """The oldest system from iOS 17 on that runs files of a precision."""
    return next((d for d in ("iOS17", "iOS18") if precision in _SINCE[d]), "iOS17")


TARGET: Final = Target(
    summary="Core ML package for iOS and macOS: image input, classifier with logits",
    suffix="mlpackage",
    extra="coreml",
    precisions=PRECISIONS,
    runtimes=("coreml", "coreml_reference"),
    options={
        "deployment": "oldest system that runs the file: iOS16, iOS17 or iOS18 "
        "(default iOS17; w4, lut4 and lut6 need iOS18)",
        "float_macs": _float_macs.HELP,
        "attention": "the two products of attention in w8a8: float (default) or integer",
    },
    check_options=check_options,
    modules=("coremltools",),
    capabilities=capabilities,
    prepare=prepare,
    write=write,
)
