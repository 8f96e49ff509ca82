"""What litert-torch converts to other values than PyTorch's, without a word: refused before it can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from edgevit.core.errors import UnsupportedError
from edgevit.program import diagnostics

if TYPE_CHECKING:
    from torch.export import ExportedProgram

# Operator -> which uses of it edgevit rewrites before the conversion, and the rewrite.
_WRONG: Final = {
    "aten.grid_sampler": ("bilinear, with zeros or the border as padding", "sample_by_gather"),
    "aten.grid_sampler_2d": ("bilinear, with zeros or the border as padding", "sample_by_gather"),
    "aten.grid_sampler_3d": ("of images, not of volumes", "sample_by_gather"),
    "aten.upsample_bicubic2d": ("any", "resize_as_products"),
}


def refuse_wrong_values(program: ExportedProgram) -> None:
    """Stop at an operator that would be converted wrongly.

    Raises:
        UnsupportedError: naming the operator, its module and its line.
    """
    for node in program.graph_module.graph.nodes:
        if node.op == "call_function" and (known := _WRONG.get(diagnostics.operator_name(node))):
            uses, rewrite = known
            raise UnsupportedError(
                f"litert-torch gives wrong values for {diagnostics.describe(node)}",
                f"edgevit's rewrite {rewrite} replaces it in these forms: {uses}; "
                "use one of them, or leave tflite out of --to",
            )
