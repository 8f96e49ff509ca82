"""Reshapes and transposes of a flatbuffer in the fewest steps.

The converter puts a change of layout around every convolution and a reshape around every matrix product;
with the model's own they make chains that amount to little or nothing.
"""

from __future__ import annotations

from typing import Any, Final

from converters.tflite.products import reshape, transpose
from converters.tflite.wires import Wires
from edgevit.program.layout import Layout, Step, identity, permuted, reshaped, steps

_LINKS: Final = ("RESHAPE", "TRANSPOSE", "SQUEEZE", "EXPAND_DIMS")


def shorten(wires: Wires) -> int:
    """Replace each chain by fewer operators that reorder the elements in the same way; returns how many."""
    changed = 0
    for operator in list(wires.operators):
        if wires.makers.get(operator.outputs[0]) is operator and _is_link(wires, operator):
            changed += _shorten(wires, operator)
    return changed


def _is_link(wires: Wires, operator: Any) -> bool:
    kind = wires.kind(operator)
    return kind in _LINKS and (kind != "TRANSPOSE" or wires.integers(operator.inputs[1]) is not None)


def _shorten(wires: Wires, last: Any) -> bool:
    """The longest part of the chain that ends in `last` and can be written with less."""
    best: tuple[int, tuple[Step, ...], int] | None = None
    part = [last]
    while True:
        source = part[-1].inputs[0]
        found = _steps(wires, source, part)
        if found is None:
            break
        gain = _cost(wires, part) - _cost_of(found)
        if gain > 0 and (best is None or gain > best[2]):
            best = (source, found, gain)
        maker = wires.makers.get(source)
        if maker is None or not _is_link(wires, maker):
            break
        part.append(maker)
    if best is None:
        return False
    return _write(wires, last, best[0], best[1])


def _steps(wires: Wires, source: int, chain: list[Any]) -> tuple[Step, ...] | None:
    layout: Layout | None = identity(wires.shape(source))
    for operator in reversed(chain):
        if layout is None:
            return None
        if wires.kind(operator) == "TRANSPOSE":
            layout = permuted(layout, wires.integers(operator.inputs[1]) or ())
        else:
            layout = reshaped(layout, wires.shape(operator.outputs[0]))
    return steps(wires.shape(source), layout, wires.shape(chain[0].outputs[0])) if layout else None


def _cost(wires: Wires, chain: list[Any]) -> int:
    """What goes away with the chain: not the first operator that others read too, nor all before it."""
    total = 0
    for index, operator in enumerate(chain):
        if index and wires.only_reader(operator.outputs[0]) is None:
            break
        axes = wires.integers(operator.inputs[1]) if wires.kind(operator) == "TRANSPOSE" else None
        total += _step_cost(axes)
    return total


def _cost_of(found: tuple[Step, ...]) -> int:
    return sum(_step_cost(value if kind == "permute" else None) for kind, value in found)


def _step_cost(axes: tuple[int, ...] | None) -> int:
    """A transpose moves data and counts more than a reshape; more yet if it tears rows apart."""
    if axes is None:
        return 2
    return 3 if axes[-1] == len(axes) - 1 else 4


def _write(wires: Wires, last: Any, source: int, found: tuple[Step, ...]) -> bool:
    end = last.outputs[0]
    if not found:
        if not wires.replace(end, source):
            return False
        wires.remove(last)
        wires.drop(last.inputs[0])
        return True
    current = source
    old = last.inputs[0]
    for index, (kind, value) in enumerate(found):
        shape = value if kind == "reshape" else tuple(wires.shape(current)[i] for i in value)
        target = end if index == len(found) - 1 else wires.add_like(end, shape)
        if kind == "reshape":
            reshape(wires, last, current, target)
        else:
            transpose(wires, last, current, value, target)
        current = target
    wires.remove(last)
    wires.drop(old)
    return True
