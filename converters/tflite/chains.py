"""Reshapes and transposes of a flatbuffer in the fewest steps.

The converter puts a change of layout around every convolution and a reshape around every matrix product;
with the model's own they make chains that amount to little or nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from converters.tflite.products import reshape, transpose
from converters.tflite.use_def import UseDef
from edgevit.program.layout import Layout, Step, identity, permuted, reshaped, steps

_LINKS: Final = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS")

if TYPE_CHECKING:
    from converters.tflite.objects import Operator


def shorten(use_def: UseDef) -> int:
    """Replace each chain by fewer operators that reorder the elements in the same way; returns how many."""
    changed = 0
    for operator in list(use_def.operators):
        if use_def.makers.get(operator.outputs[0]) is operator and _is_link(use_def, operator):
            changed += _shorten(use_def, operator)
    return changed


def _is_link(use_def: UseDef, operator: Operator) -> bool:
    kind = use_def.kind(operator)
    return kind in _LINKS and (kind != "TRANSPOSE" or use_def.integers(operator.inputs[1]) is not None)


def _shorten(use_def: UseDef, last: Operator) -> bool:
    """The longest part of the chain that ends in `last` and can be written with less."""
    best: tuple[int, tuple[Step, ...], int] | None = None
    part = [last]
    while True:
        source = part[-1].inputs[0]
        found = _steps(use_def, source, part)
        if found is None:
            break
        gain = _cost(use_def, part) - _cost_of(found)
        if gain > 0 and (best is None or gain > best[2]):
            best = (source, found, gain)
        maker = use_def.makers.get(source)
        if maker is None or not _is_link(use_def, maker):
            break
        part.append(maker)
    if best is None:
        return False
    return _write(use_def, last, best[0], best[1])


def _steps(use_def: UseDef, source: int, chain: list[Operator]) -> tuple[Step, ...] | None:
    layout: Layout | None = identity(use_def.shape(source))
    for operator in reversed(chain):
        if layout is None:
            return None
        if use_def.kind(operator) == "TRANSPOSE":
            layout = permuted(layout, use_def.integers(operator.inputs[1]) or ())
        else:
            layout = reshaped(layout, use_def.shape(operator.outputs[0]))
    return steps(use_def.shape(source), layout, use_def.shape(chain[0].outputs[0])) if layout else None


def _cost(use_def: UseDef, chain: list[Operator]) -> int:
    """What goes away with the chain: not the first operator that others read too, nor all before it."""
    total = 0
    for index, operator in enumerate(chain):
        if index and use_def.only_reader(operator.outputs[0]) is None:
            break
        axes = use_def.integers(operator.inputs[1]) if use_def.kind(operator) == "TRANSPOSE" else None
        total += _step_cost(axes)
    return total


def _cost_of(found: tuple[Step, ...]) -> int:
    return sum(_step_cost(value if kind == "permute" else None) for kind, value in found)


def _step_cost(axes: tuple[int, ...] | None) -> int:
    """A transpose moves data and counts more than a reshape; more yet if it tears rows apart."""
    if axes is None:
        return 2
    return 3 if axes[-1] == len(axes) - 1 else 4


def _write(use_def: UseDef, last: Operator, source: int, found: tuple[Step, ...]) -> bool:
    end = last.outputs[0]
    if not found:
        if not use_def.replace(end, source):
            return False
        use_def.remove(last)
        use_def.drop(last.inputs[0])
        return True
    current = source
    old = last.inputs[0]
    for index, (kind, value) in enumerate(found):
        shape = value if kind == "reshape" else tuple(use_def.shape(current)[i] for i in value)
        target = end if index == len(found) - 1 else use_def.add_like(end, shape)
        if kind == "reshape":
            reshape(use_def, last, current, target)
        else:
            transpose(use_def, last, current, value, target)
        current = target
    use_def.remove(last)
    use_def.drop(old)
    return True
