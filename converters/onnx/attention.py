"""Attention as ONNX's own operator (operator set 23) where q, k and v come as tokens by channels.

Attention on (B, N, H*D) does the spreading over heads inside, which is where it gains: on operands
already of rank 4 it is as slow as its separate products, and those are left alone. So are those with a
mask such as Swin's -100: e^-100 is a denormal, which the operator multiplies even more slowly than MatMul.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeGuard

from edgevit.core import metadata_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

FIRST_OPSET: Final = 23
# The exponential of what lies between is above 0 and below the smallest normal float32.
_DENORMAL: Final = (-104.0, -87.0)
_TO_HEADS: Final = [0, 2, 1, 3]
_TO_HEADS_TRANSPOSED: Final = [0, 2, 3, 1]


@dataclass(frozen=True, slots=True)
class _Operand:
    """q, k or v before the heads: `tokens` (B, N, H*D), or part `index` of what `split` cuts (B, 3H, N, D)."""

    tokens: ir.Value
    heads: int
    split: ir.Node | None = None
    index: int = 0


def fuse(model: ir.Model) -> int:
    """Replace each softmax between two products, with what spreads heads around them; returns how many.

    The new node carries the site whose output it makes, and the names of all sites inside it.
    """
    cut: dict[ir.Node, list[ir.Value]] = {}
    found = [node for node in model.graph if node.op_type == "Softmax" and _fuse(model.graph, node, cut)]
    if found:
        import onnx_ir.passes.common as common

        common.RemoveUnusedNodesPass()(model)
    return len(found)


def _fuse(graph: ir.Graph, softmax: ir.Node, cut: dict[ir.Node, list[ir.Value]]) -> bool:
    import onnx_ir as ir

    rank = _rank(softmax.inputs[0])
    if rank != 4 or softmax.attributes.get_int("axis", -1) not in (-1, 3):
        return False
    scores, mask = _maker(softmax.inputs[0]), None
    if scores is not None and scores.op_type == "Add":
        product = next((i for i in (0, 1) if _is(_maker(scores.inputs[i]), "MatMul")), None)
        if product is None or _rank(scores.inputs[1 - product]) != 4:
            return False
        mask, scores = scores.inputs[1 - product], _maker(scores.inputs[product])
        if _makes_denormals(mask):
            return False
    after = _reader(softmax.outputs[0])
    if not _is(scores, "MatMul") or not _is(after, "MatMul") or after.inputs[0] is not softmax.outputs[0]:
        return False
    joined = _reader(after.outputs[0])
    out = _reader(joined.outputs[0]) if _is(joined, "Transpose") and _perm(joined) == _TO_HEADS else None
    q, scale = _scaled(scores.inputs[0])
    operands = (_operand(q, False), _operand(scores.inputs[1], True), _operand(after.inputs[1], False))
    if not _is(out, "Reshape") or _rank(out.outputs[0]) != 3 or any(o is None for o in operands):
        return False
    entering = [_tokens(graph, operand, cut) for operand in operands if operand is not None]
    heads = {operand.heads for operand in operands if operand is not None}
    if len(heads) != 1:
        return False
    (number,) = heads
    attributes = {"q_num_heads": number, "kv_num_heads": number, "scale": scale}
    inputs = [*entering, *([mask] if mask is not None else [])]
    node = ir.node("Attention", inputs, attributes, name=f"{out.name}/Attention")
    inside = (scores, softmax, after, out)
    node.metadata_props[metadata_keys.SITE] = out.metadata_props.get(metadata_keys.SITE, "")
    node.metadata_props[metadata_keys.SITES] = "\n".join(
        n.metadata_props.get(metadata_keys.SITE, "") for n in inside
    )
    new, old = node.outputs[0], out.outputs[0]
    new.name, new.type, new.shape = old.name, old.type, old.shape
    graph.insert_before(out, node)
    old.replace_all_uses_with(new, replace_graph_outputs=True)
    graph.remove(out, safe=True)
    return True


def _makes_denormals(mask: ir.Value | None) -> bool:
    """Whether it is a constant that pushes a softmax's exponentials among the denormals."""
    if mask is None or mask.const_value is None:
        return False
    values = mask.const_value.numpy()
    return bool(((values > _DENORMAL[0]) & (values < _DENORMAL[1])).any())


def _operand(value: ir.Value | None, turned: bool) -> _Operand | None:
    """What stands before the heads; `turned` for k, whose last two axes are swapped."""
    node = _maker(value)
    if node is None or value is None or _rank(value) != 4 or len(value.uses()) != 1:
        return None
    if turned and node.op_type == "Transpose" and _perm(node) == [0, 1, 3, 2]:
        return _operand(node.inputs[0], False)
    if not turned and node.op_type == "Split" and node.attributes.get_int("axis", 0) == 1:
        spread = _maker(node.inputs[0])
        behind = _before_heads(spread, _TO_HEADS)
        if behind is None or len(node.inputs) < 2 or value.shape is None:
            return None
        return _Operand(behind, int(value.shape.numpy()[1]), node, list(node.outputs).index(value))
    behind = _before_heads(node, _TO_HEADS_TRANSPOSED if turned else _TO_HEADS)
    if behind is None or value.shape is None:
        return None
    return _Operand(behind, int(value.shape.numpy()[1]))


def _before_heads(node: ir.Node | None, perm: Sequence[int]) -> ir.Value | None:
    """(B, N, H*D) of Transpose(Reshape(x, (B, N, H, D)), perm)."""
    if node is None or node.op_type != "Transpose" or _perm(node) != list(perm):
        return None
    reshape = _maker(node.inputs[0])
    if reshape is None or reshape.op_type != "Reshape":
        return None
    tokens, wide = reshape.inputs[0], reshape.outputs[0]
    if tokens is None or tokens.shape is None or wide.shape is None or _rank(tokens) != 3:
        return None
    return tokens if tuple(tokens.shape.numpy()[:2]) == tuple(wide.shape.numpy()[:2]) else None


def _tokens(graph: ir.Graph, operand: _Operand, cut: dict[ir.Node, list[ir.Value]]) -> ir.Value:
    """The operand as (B, N, H*D); a split along the heads is made again along the channels."""
    import onnx_ir as ir

    if operand.split is None:
        return operand.tokens
    if operand.split not in cut:
        split = operand.split
        whole = split.inputs[0]
        assert whole is not None and whole.shape is not None and operand.tokens.shape is not None
        batch, tokens, _ = operand.tokens.shape.numpy()
        depth = whole.shape.numpy()[3]
        sizes = [int(v.shape.numpy()[1]) * depth for v in split.outputs if v.shape is not None]
        name = f"split.{'.'.join(str(size) for size in sizes)}"
        if name not in graph.initializers:
            import numpy as np

            lengths = ir.val(name, const_value=ir.tensor(np.asarray(sizes, np.int64), name=name))
            graph.register_initializer(lengths)
        node = ir.node(
            "Split",
            [operand.tokens, graph.initializers[name]],
            {"axis": 2},
            num_outputs=len(sizes),
            name=f"{split.name}.channels",
        )
        node.metadata_props.update(split.metadata_props)
        for size, made, old in zip(sizes, node.outputs, split.outputs, strict=True):
            made.name, made.type, made.shape = (
                f"{old.name}.channels",
                old.type,
                ir.Shape([batch, tokens, size]),
            )
        graph.insert_before(split, node)
        cut[split] = list(node.outputs)
    return cut[operand.split][operand.index]


def _scaled(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    """q without its factor, and the factor, if it is one number."""
    node = _maker(value)
    if node is not None and node.op_type == "Mul" and len(node.outputs[0].uses()) == 1:
        for index in (0, 1):
            factor = node.inputs[index]
            if factor is not None and factor.const_value is not None and factor.const_value.size == 1:
                return node.inputs[1 - index], float(factor.const_value.numpy().reshape(()))
    return value, 1.0


def _maker(value: ir.Value | None) -> ir.Node | None:
    return None if value is None else value.producer()


def _reader(value: ir.Value) -> ir.Node | None:
    """The one node that reads it, if nothing else does."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None


def _rank(value: ir.Value | None) -> int | None:
    return None if value is None or value.shape is None else len(value.shape)


def _perm(node: ir.Node) -> list[int]:
    return list(node.attributes["perm"].as_ints())


def _is(node: ir.Node | None, kind: str) -> TypeGuard[ir.Node]:
    return node is not None and node.op_type == kind
