"""Take operations above rank 4 down to it by joining axes that they treat alike.

Swin adds its masks at rank 5, others normalise or multiply windows there; TFLite and Core ML have fast kernels up to
rank 4 only. An operation looks at some axes and repeats itself over the others:

1. By element (add, mul, GELU, ...): looks at none. Neighbouring axes are joined where all its inputs have them in full
   or all broadcast along them: (2, 3, 4, 5, 6) + (1, 1, 4, 5, 6) becomes (6, 4, 5, 6) + (1, 4, 5, 6).
2. Matrix products look at the last two, linear layers, softmax and layer norm at the last axis: those stay.
3. Reductions over neighbouring axes: (before, reduced, behind), reduced along the middle.
4. Slices and concatenations along one axis: (before, axis, behind).

The inputs are reshaped, the operation is done at rank 4 or less, and its result is reshaped back. Exact: reshapes of
contiguous values move nothing. What does not fit stays as it is.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

from edgevit.core import metadata_keys
from edgevit.core.plugins import Rewrite
from edgevit.program import constants, edit
from edgevit.program.layout import MAX_RANK

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

# How many of the last axes an operation looks at; the others only repeat it.
_LAST_AXES = {"linear.default": 1, "layer_norm.default": 1, "matmul.default": 2}
_BY_ELEMENT = frozenset(
    {
        *("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "maximum.default", "minimum.default"),
        *("where.self", "pow.Tensor_Scalar", "neg.default", "exp.default", "log.default", "sqrt.default"),
        *("relu.default", "gelu.default", "silu.default", "sigmoid.default", "tanh.default", "erf.default"),
        *("rsqrt.default", "hardswish.default", "hardsigmoid.default", "clamp.default", "abs.default"),
        *("softplus.default", "elu.default", "leaky_relu.default", "square.default", "reciprocal.default"),
    }
)
_REDUCTIONS = frozenset({"amax.default", "amin.default", "mean.dim", "sum.dim_IntList"})
# Those that change one axis only.
_ALONG = frozenset({"slice.Tensor", "cat.default", "stack.default"})


def apply(program: ExportedProgram) -> int:
    """Reshape the inputs, operate at rank 4 or less, reshape the result back."""
    graph = program.graph_module.graph
    changed = 0
    for node in list(graph.nodes):
        if str(node.target).removeprefix("aten.") in _REDUCTIONS:
            changed += _reduce(program, node)
        elif node.op == "call_function" and edit.is_tensor(node) and len(edit.shape(node)) > MAX_RANK:
            changed += _lower(program, node)
    graph.eliminate_dead_code()
    return changed


def _lower(program: ExportedProgram, node: torch.fx.Node) -> bool:
    import torch

    name = str(node.target).removeprefix("aten.")
    shape = edit.shape(node)
    rank = len(shape)
    if name in _ALONG:
        return _along(program, node, name)
    if name in _BY_ELEMENT:
        kept, tensors = 0, [a for a in node.args if edit.is_tensor(a)]
    elif name == "matmul.default" or (name == "softmax.int" and _is_last(node.args[1], rank)):
        kept, tensors = _LAST_AXES.get(name, 1), [a for a in node.args if edit.is_tensor(a)]
    elif name in _LAST_AXES and (name != "layer_norm.default" or len(_list(node.args[1])) == 1):
        kept, tensors = 1, [node.args[0]]
    else:
        return False
    padded = {a: (1,) * (rank - len(edit.shape(a))) + edit.shape(a) for a in tensors}
    outer = rank - kept
    groups = _groups(shape[:outer], [p[:outer] for p in padded.values()], MAX_RANK - kept)
    if groups is None:
        return False

    def joined(full: tuple[int, ...]) -> list[int]:
        return [math.prod(full[i] for i in g) for g in groups] + list(full[rank - kept :])

    inputs = {a: _reshaped(program, node, a, joined(p)) for a, p in padded.items()}
    args = tuple(inputs.get(a, a) if isinstance(a, torch.fx.Node) else a for a in node.args)
    if name == "softmax.int":
        args = (args[0], -1, *args[2:])
    assert callable(node.target)
    made = edit.emit(node, node.target, args, role=_role(node), kwargs=node.kwargs)
    back = edit.emit(node, torch.ops.aten.reshape.default, (made, list(shape)))
    edit.replace(program, node, back)
    return True


def _reduce(program: ExportedProgram, node: torch.fx.Node) -> bool:
    """Reduce neighbouring axes as the middle one of three."""
    import torch

    given = edit.bound(node, ("input", "dim", "keepdim"))
    source = edit.shape(given["input"])
    axes = sorted(axis % len(source) for axis in given["dim"] or ())
    if (
        len(source) <= MAX_RANK
        or not axes
        or axes != list(range(axes[0], axes[0] + len(axes)))
        or given.get("dtype")
    ):
        return False
    parts = source[: axes[0]], source[axes[0] : axes[-1] + 1], source[axes[-1] + 1 :]
    flat = edit.emit(
        node, torch.ops.aten.reshape.default, (given["input"], [math.prod(part) for part in parts])
    )
    assert callable(node.target)
    made = edit.emit(node, node.target, (flat, [1]), role=_role(node))
    back = edit.emit(node, torch.ops.aten.reshape.default, (made, list(edit.shape(node))))
    edit.replace(program, node, back)
    return True


def _along(program: ExportedProgram, node: torch.fx.Node, name: str) -> bool:
    """Cut or join along the middle one of three axes, or the last of two: Twins cuts its qkv in windows."""
    import torch

    shape = edit.shape(node)
    given = edit.bound(node, ("input", "dim", "start", "end", "step"))
    given |= {"input": given.get("tensors", given.get("input"))}
    axis = int(given.get("dim") or 0) % len(shape)
    tensors = [given["input"]] if name == "slice.Tensor" else list(given["input"])
    own = 0 if name == "stack.default" else 1  # axes of an input between what is before and what is behind

    def joined(full: tuple[int, ...]) -> list[int]:
        front, behind = [math.prod(full[:axis]), *full[axis : axis + own]], full[axis + own :]
        return [*front, math.prod(behind)] if behind else front

    flat = [_reshaped(program, node, tensor, joined(edit.shape(tensor))) for tensor in tensors]
    rest = tuple(given[key] for key in ("start", "end", "step") if key in given)
    args = (flat[0], 1, *rest) if name == "slice.Tensor" else (flat, 1)
    assert callable(node.target)
    made = edit.emit(node, node.target, args, role=_role(node))
    edit.replace(program, node, edit.emit(node, torch.ops.aten.reshape.default, (made, list(shape))))
    return True


def _role(node: torch.fx.Node) -> str:
    return str((node.meta.get("custom") or {}).get(metadata_keys.ROLE, ""))


def _groups(shape: tuple[int, ...], inputs: list[tuple[int, ...]], most: int) -> list[list[int]] | None:
    """Neighbouring axes joined until `most` are left, those of size 1 first, outer before inner.

    Two axes can be joined if each input either has both in full or repeats along both.
    """
    groups = [[axis] for axis in range(len(shape))]

    def pattern(group: list[int]) -> tuple[bool, ...] | None:
        long = [axis for axis in group if shape[axis] > 1]
        return tuple(i[long[0]] > 1 for i in inputs) if long else None

    while len(groups) > most:
        patterns = [pattern(group) for group in groups]
        pairs = list(enumerate(itertools.pairwise(patterns)))
        units = [i for i, pair in pairs if None in pair]
        alike = [i for i, (first, second) in pairs if first == second]
        if not units and not alike:
            return None
        at = (units or alike)[0]
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
    return groups


def _reshaped(
    program: ExportedProgram, before: torch.fx.Node, tensor: torch.fx.Node, shape: list[int]
) -> torch.fx.Node:
    """The tensor in another shape; a constant is stored in it."""
    import torch

    if list(edit.shape(tensor)) == shape:
        return tensor
    constant = constants.value(program, tensor)
    if constant is None:
        return edit.emit(before, torch.ops.aten.reshape.default, (tensor, shape))
    name = constants.targets(program)[tensor.name]
    return constants.add(program, f"{name}_rank{len(shape)}", constant.reshape(shape))


def _is_last(axis: Any, rank: int) -> bool:
    return bool(axis % rank == rank - 1)


def _list(value: Any) -> list[Any]:
    return list(value)


REWRITE = Rewrite(
    summary="Arithmetic, normalisation, products, slices above rank 4 at rank 4 (TFLite, Core ML).",
    order=45,
    apply=apply,
)
