"""The exported program as Core ML is given it: normalisation, integers of the plan, probabilities.

Nothing here changes the caller's program: a copy of its graph is edited, the weights are shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from converters.coreml.attention import join_attention
from converters.coreml.edits import (
    add_constant,
    call,
    copied,
    product_sites,
    rebuilt,
    weighted_sites,
)
from converters.coreml.quantize import quantize
from converters.coreml.values import Shapes, number_sites, result_shapes
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.outputs import class_count
from edgevit.program.sites import named

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from edgevit.core.plans import QuantPlan
    from edgevit.core.types import Graph, ModelSpec, Preprocess

NORMALIZE = ("edgevit_scale", "edgevit_shift")
PROBABILITIES = "probabilities"
MAX_RANK = 5


@dataclass(frozen=True, slots=True)
class Edited:
    """What coremltools converts.

    Attributes:
        program: the edited copy.
        handles: site -> the number that coremltools carries along with the site's operation
            (`debug_handle`).
        shapes: site -> shape of each of its results.
        classifier: whether the second output is `probabilities`.
    """

    program: ExportedProgram
    handles: dict[str, int]
    shapes: dict[str, Shapes]
    classifier: bool


def edit(
    graph: Graph,
    spec: ModelSpec,
    plan: QuantPlan | None,
    fused_attention: bool = False,
    keep_float32: frozenset[str] = frozenset(),
) -> Edited:
    """Copy the program and edit the copy.

    Pixels in, 0 to 255 in the model's channel order: `image * 1/(255 std) - mean/std` per channel comes first, where
    Core ML has images of so many channels. A site of the plan gets its packed weight and its corrected bias, and where
    it has an input grid, its input goes through a quantize and a dequantize, one pair per tensor and grid.

    Args:
        fused_attention: attention becomes one operation, where its form allows it.
        keep_float32: sites that compute in float32 though the plan computes in float16.

    Raises:
        UnsupportedError: a tensor of rank 6 or more; a plan that Core ML's capabilities rules out, or
            whose numbers float16 does not hold.
        InputError: as many labels as classes are needed.
    """
    program = copied(graph.program)
    _check_ranks(program)
    handles, shapes = number_sites(program), result_shapes(program)
    _spell_out_alpha(program)
    if fused_attention:
        join_attention(program)
    if takes_image(spec.preprocess):
        _normalize(program, spec.preprocess)
    if plan is not None:
        sites = weighted_sites(program) | product_sites(program)
        quantize(program, plan, sites, keep_float32)
    if spec.labels:
        _add_probabilities(program, spec)
    program.graph_module.graph.lint()
    return Edited(rebuilt(program), handles, shapes, bool(spec.labels))


def takes_image(preprocess: Preprocess) -> bool:
    """Whether Core ML has an image for it, of colours or grey; else the file takes the normalised tensor."""
    return preprocess.channels in (1, 3)


def _check_ranks(program: ExportedProgram) -> None:
    for node in program.graph_module.graph.nodes:
        rank = len(getattr(node.meta.get("val"), "shape", ()))
        if rank > MAX_RANK:
            raise UnsupportedError(
                f"Core ML takes tensors of at most rank {MAX_RANK}, {named(node) or node.name} has rank {rank}",
                "rewrite that reshape or permute with fewer axes, or leave coreml out of --to",
            )


def _spell_out_alpha(program: ExportedProgram) -> None:
    """Write x + alpha y as two operations: coremltools 9 overlooks `alpha` in exported programs."""
    import torch

    aten = torch.ops.aten
    for node in tuple(program.graph_module.graph.nodes):
        alpha = node.kwargs.get("alpha", 1)
        if node.target in (aten.add.Tensor, aten.sub.Tensor) and alpha != 1:
            x, y = node.args
            value = y.meta["val"] if isinstance(y, torch.fx.Node) else node.meta["val"]
            node.args = (x, call(node, aten.mul.Tensor, (y, alpha), f"{node.name}_alpha", value))
            node.kwargs = {}


def _normalize(program: ExportedProgram, preprocess: Preprocess) -> None:
    import torch

    (name,) = program.graph_signature.user_inputs
    image = next(n for n in program.graph_module.graph.nodes if n.name == name)
    std = torch.tensor(preprocess.std, dtype=torch.float64)
    mean = torch.tensor(preprocess.mean, dtype=torch.float64)
    scale = add_constant(program, f"{NORMALIZE[0]}_by", (1 / (255 * std)).float().reshape(1, -1, 1, 1))
    shift = add_constant(program, f"{NORMALIZE[1]}_by", (mean / std).float().reshape(1, -1, 1, 1))
    readers = tuple(image.users)
    first = next(n for n in program.graph_module.graph.nodes if n.op != "placeholder")
    scaled = call(first, torch.ops.aten.mul.Tensor, (image, scale), NORMALIZE[0], image.meta["val"])
    shifted = call(first, torch.ops.aten.sub.Tensor, (scaled, shift), NORMALIZE[1], image.meta["val"])
    for reader in readers:
        reader.replace_input_with(image, shifted)


def _add_probabilities(program: ExportedProgram, spec: ModelSpec) -> None:
    """Add what the classifier chooses from as second output: one probability per class name, (1, labels).

    Nothing is applied twice: a model that ends in a softmax or a sigmoid gets a clamp to 0..1, since the
    classifier needs a tensor of its own. One number becomes those of both classes, 1 - p and p.
    """
    import torch
    from torch.export.graph_signature import OutputKind, OutputSpec, TensorArgument

    aten = torch.ops.aten
    output = next(n for n in program.graph_module.graph.nodes if n.op == "output")
    first, *others = output.args[0]
    kind, given = spec.output, first.meta["val"]
    columns = 1 if given.ndim == 1 else given.shape[-1]
    if given.ndim > 2 or class_count(kind, columns) != len(spec.labels):
        raise InputError(
            f"{len(spec.labels)} labels were given, the model's first output has shape {tuple(given.shape)}",
            "give one label per class, in index order",
        )
    if kind.activation in ("softmax", "sigmoid"):
        operation: tuple[Any, ...] = (aten.clamp.default, 0.0, 1.0)
    elif kind.task == "single-label":  # of log-probabilities: the probabilities again
        operation = (aten.softmax.int, -1)
    else:
        operation = (aten.sigmoid.default,)
    target, *settings = operation
    if kind.task == "binary":
        column, value = first, given.reshape(1, 1)
        if given.ndim == 1:
            column = call(output, aten.unsqueeze.default, (first, 1), f"{PROBABILITIES}_column", value)
        high = call(output, target, (column, *settings), f"{PROBABILITIES}_second", value)
        low = call(output, aten.rsub.Scalar, (high, 1.0), f"{PROBABILITIES}_first", value)
        joined = given.new_empty(1, 2)
        made = call(output, aten.cat.default, ([low, high], 1), PROBABILITIES, joined)
    else:
        made = call(output, target, (first, *settings), PROBABILITIES, given)
    output.args = ((first, made, *others),)
    added = OutputSpec(OutputKind.USER_OUTPUT, TensorArgument(made.name), None)
    program.graph_signature.output_specs.insert(1, added)
