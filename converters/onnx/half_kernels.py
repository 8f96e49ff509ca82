"""What ONNX Runtime's float16 kernels compute wrong: a float16 file keeps it in float32.

On processors with half-precision arithmetic (ARMv8.2 and newer, `fphp asimdhp` in /proc/cpuinfo) ONNX Runtime
multiplies an Attention in float16, and gives zeros for the last four channels of each head where the size of a head
leaves a remainder of four by eight: seen with 1.23.2, 1.28.0 and 1.32.0, for sizes from 4 to 36. Other sizes are right,
and so are the same products as MatMul. Where it has no such arithmetic, as on x86, it computes Attention in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from converters.onnx.half import sites_of
from edgevit.core.results.report import KeptFloat32

if TYPE_CHECKING:
    import onnx_ir as ir

_LANES: Final = 8
_LEFT_OUT: Final = 4


def wrong_in_float16(model: ir.Model) -> tuple[KeptFloat32, ...]:
    """The attentions that it gets wrong, each under one of its sites."""
    found = []
    for node in model.graph:
        if node.op_type != "Attention":
            continue
        size = _head(node)
        sites = [site for site in sites_of(node) if site]
        if size is not None and size % _LANES == _LEFT_OUT and sites:
            reason = (
                f"ONNX Runtime on ARM gives 0 for {_LEFT_OUT} of the {size} channels of a head in float16"
            )
            found.append(KeptFloat32(sites[-1], reason))
    return tuple(found)


def _head(node: ir.Node) -> int | None:
    """Channels of a head of the values: (B, N, H*D), or (B, H, N, D)."""
    values = node.inputs[2]
    if values is None or values.shape is None:
        return None
    sizes = values.shape
    last = sizes[-1]
    if not isinstance(last, int):
        return None
    return last // node.attributes.get_int("kv_num_heads", 1) if len(sizes) == 3 else last
