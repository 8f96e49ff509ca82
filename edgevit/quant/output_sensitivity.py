"""Output sensitivity: what an error in one tensor does to the model's output, to first order.

For a small error d of a tensor t the output y moves by J d, with the Jacobian J = dy/dt of (outputs, elements of t).
J is never built. For random directions v of independent entries with variance 1

    E_v ((v^T J) . d)^2 = |J d|^2

(Hutchinson's estimator), and one backward pass from v gives v^T J for every tensor of the model at once. After that any
candidate error of any tensor costs one dot product. Per image:

1. Run the model in float on (N, 1, ...) with the wanted tensors kept in the autograd graph.
2. For each of 4 directions v: backward, gradients g = v^T J of the shape of each tensor.
3. For each candidate error d: add (g . d)^2.

The result is the mean over directions and images, divided by |y|^2 of each image: a relative squared error, 10^-3 for
30 dB of SQNR. Errors of several tensors add up where they are independent, which is how plans are compared.

Source of the estimator: Hutchinson 1990, https://doi.org/10.1080/03610919008812866.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core.types import Graph
from edgevit.program import constants
from edgevit.program.paired_run import apply
from edgevit.program.sites import site_of, total_macs

if TYPE_CHECKING:
    import torch

CHUNK = 4
# A backward pass keeps all activations of a chunk: those of a large model go through one image at a time.
CHUNK_MACS = 200e9
DIRECTIONS = 4


@dataclass(frozen=True, slots=True)
class Made:
    """The operation that makes a tensor, and its arguments for one image, (1, 1, ...) where they are no constants."""

    node: torch.fx.Node
    args: tuple[object, ...]


# From a tensor's value for one image (1, 1, ...) and what made it to its candidates' errors, each of the same shape.
# One image is what stays in the processor's cache while all candidates pass over it.
Errors = Callable[["torch.Tensor", Made], Iterator["torch.Tensor"]]


def output_errors(
    graph: Graph,
    images: torch.Tensor,
    errors: Mapping[str, Errors],
    seed: int,
    advance: Callable[[int], None] | None = None,
) -> dict[str, torch.Tensor]:
    """The mean squared error of the outputs that each candidate error of each tensor causes alone.

    Args:
        images: float32 (N, 3, height, width).
        errors: tensor (by the site that makes it) -> its candidates.
        advance: told the number of images after each chunk.

    Returns:
        tensor -> float64 (candidates,), relative to the mean square of the outputs.
    """
    import torch

    if not errors:  # a plan that leaves every site in float; autograd takes no empty list
        if advance is not None:
            advance(len(images))
        return {}
    generator = torch.Generator().manual_seed(seed)
    sums: dict[str, torch.Tensor] = {}
    for chunk in images.split(max(1, min(CHUNK, int(CHUNK_MACS / max(total_macs(graph), 1))))):
        values, made, outputs = _run(graph, chunk, errors)
        names = list(values)
        norms = [o.detach().square().flatten(1).sum(1).clamp(min=1e-30).sqrt() for o in outputs]
        gradients: dict[str, list[torch.Tensor]] = {name: [] for name in names}
        for index in range(DIRECTIONS):
            probes = [
                torch.randn(o.shape, generator=generator) / n.reshape(-1, *[1] * (o.ndim - 1))
                for o, n in zip(outputs, norms, strict=True)
            ]
            passed = torch.autograd.grad(
                outputs,
                [values[name] for name in names],
                probes,
                retain_graph=index + 1 < DIRECTIONS,
                allow_unused=True,
            )
            for name, gradient in zip(names, passed, strict=True):
                gradients[name].append(torch.zeros_like(values[name]) if gradient is None else gradient)
        with torch.no_grad():
            for name in names:
                stacked = torch.stack([g.flatten(1) for g in gradients.pop(name)], 1)
                for image, (value, directions) in enumerate(
                    zip(values[name].detach().split(1), stacked, strict=True)
                ):
                    found = [
                        (directions @ error.flatten()).double().square().sum()
                        for error in errors[name](value, made[name](image))
                    ]
                    moved = torch.stack(found)
                    sums[name] = sums[name] + moved if name in sums else moved
        if advance is not None:
            advance(len(chunk))
    return {name: total / (DIRECTIONS * len(images)) for name, total in sums.items()}


def _run(
    graph: Graph, images: torch.Tensor, wanted: Mapping[str, Any]
) -> tuple[dict[str, torch.Tensor], dict[str, Callable[[int], Made]], list[torch.Tensor]]:
    """The wanted tensors, what made them for each image, and the outputs, as parts of one autograd graph."""
    import torch
    from torch.utils._pytree import tree_map

    program = graph.program
    names = constants.targets(program)
    fixed: dict[torch.fx.Node, Any] = {}
    values: dict[torch.fx.Node, Any] = {}
    found: dict[str, torch.Tensor] = {}
    made: dict[str, Callable[[int], Made]] = {}

    def made_by(node: torch.fx.Node) -> Callable[[int], Made]:
        def of(image: int) -> Made:
            def one(source: torch.fx.Node) -> Any:
                if source in fixed:
                    return fixed[source]
                return tree_map(lambda value: value[image : image + 1], values[source])

            return Made(node, torch.fx.map_arg(node.args, one))

        return of

    with torch.enable_grad():
        for node in program.graph_module.graph.nodes:
            if node.op == "output":
                return found, made, [values[n] for n in node.args[0] if n in values]
            if node.op == "placeholder":
                if node.name in names:
                    fixed[node] = constants.value(program, node)
                    continue
                values[node] = images.unsqueeze(1).clone().requires_grad_(True)
            elif all(source in fixed for source in node.all_input_nodes):
                fixed[node] = apply(node, fixed, {})
                continue
            else:
                values[node] = apply(node, fixed, values)
            name = site_of(node)
            if name in wanted and isinstance(values[node], torch.Tensor) and values[node].requires_grad:
                found[name] = values[node]
                made[name] = made_by(node)
    raise AssertionError("a program without an output node")
