"""What Qualcomm's HTP computes of an ONNX file, by way of ONNX Runtime's QNN execution provider.

Whatever stands between QuantizeLinear and DequantizeLinear in one width is an integer kernel: activations in uint8 or
uint16, weights in int8 with a scale for each output channel, a bias in int32. There is no float between them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from converters import _float_macs
from edgevit.core.capabilities import BackendCapabilities, OpCapabilities
from edgevit.core.errors import UsageError
from edgevit.core.plugins import Backend
from edgevit.core.precisions import Precision
from edgevit.formats.htp import DEFAULT, architecture

NAME: Final = "qnn"
OPSET: Final = 21  # the first whose QuantizeLinear has 16 bits
FOLDS: Final = ("npu_operators", "smooth_activations")

# An 8-bit softmax over 197 tokens is 38 of 255 steps off where attention is flat (`python -m bench.npu_operators`).
WIDE_KINDS: Final = ("softmax",)
# Measured in the emulator (v75), one operator at a time, against ONNX Runtime's CPU kernels; docs/npu.md has the list.
KERNEL_STEPS: Final = (
    ("", 8),
    ("softmax", 200),
    ("qk", 32),
    ("av", 32),
    ("matmul", 32),
    ("gelu", 32),
    ("div", 16),
    ("sqrt", 80),
    ("rsqrt", 240),
    ("pow", 240),
)

BACKEND: Final = Backend(
    summary="Qualcomm's Hexagon NPU (HTP), every operator in integers",
    precisions=(Precision.W8A8, Precision.W8A16),
    runtimes=("qnn",),
)


def capabilities(precision: Precision, options: Mapping[str, str]) -> BackendCapabilities | None:
    """w8a8: activations in uint8, those that do not bear it in uint16; w8a16: all of them in uint16.

    `float_macs` is here the share of multiply-accumulates that may have 16-bit activations in w8a8.
    """
    if precision not in BACKEND.precisions:
        return None
    narrow = precision == Precision.W8A8
    activations: Final = "uint8" if narrow else "uint16"
    return BackendCapabilities(
        "onnx",
        precision,
        "float32",
        tuple(OpCapabilities(kind, activations, activations, "int32") for kind in ("linear", "conv")),
        float_macs=float_macs(options) if narrow else 0.0,
        folds=FOLDS,
        backend=NAME,
        activations=activations,
        wide="uint16",
        wide_kinds=WIDE_KINDS,
        kernel_steps=KERNEL_STEPS,
        narrow_steps=2,  # x sigmoid(x), which HTP fuses
    )


def float_macs(options: Mapping[str, str]) -> float:
    """The share of multiply-accumulates that may have 16-bit activations in w8a8.

    Raises:
        UsageError: no share.
    """
    return _float_macs.float_macs("onnx", options, _float_macs.WIDE_DEFAULT, 1.0)


def htp_arch(options: Mapping[str, str]) -> str:
    """The generation of the NPU that `options` name.

    Raises:
        UsageError: onnxruntime-qnn knows none of that name.
    """
    return architecture(options.get("htp_arch", DEFAULT))


def check_options(options: Mapping[str, str]) -> None:
    """Raise UsageError for options of the CPU's files, and for an unknown architecture."""
    htp_arch(options)
    float_macs(options)
    for name, allowed in (
        ("attention", "split"),
        ("stem", "integer"),
        ("saturation_free", "false"),
        ("batch", "1"),
    ):
        if options.get(name, allowed) != allowed:
            raise UsageError(
                f"onnx.{name}={options[name]} does not go with onnx.backend=qnn", f"leave onnx.{name} out"
            )
    if (opset := options.get("opset")) is not None and opset.isdecimal() and int(opset) < OPSET:
        raise UsageError(
            f"onnx.backend=qnn needs operator set {OPSET}, whose QuantizeLinear has 16 bits, not {opset}",
            "leave onnx.opset out",
        )
