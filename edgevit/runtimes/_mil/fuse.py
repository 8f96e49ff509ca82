"""Run chains of elementwise operations piece by piece, so that a piece stays in the processor's cache.

Rounding to float16, activations, quantize and dequantize do little arithmetic for each element: one
after the other on whole tensors they wait for memory. A chain does them all on 256 KB at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from edgevit.runtimes._mil.call import call
from edgevit.runtimes._mil.kernel import Kernel
from edgevit.runtimes._mil.ops.quant import requantize
from edgevit.runtimes._mil.step import Stage, Step

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_PIECE: Final = 65536


def stage_of(step: Step, kernel: Kernel, parameter: str) -> Stage:
    """An elementwise operation with one run-time input, as a stage."""
    scalars = {k: v.reshape(()) if hasattr(v, "reshape") else v for k, v in step.fixed.items()}
    function = partial(call, step.operation, step.outputs[0].name, kernel.function)
    return Stage(partial(_called, function, parameter, scalars), bool(step.stages), step.operation, scalars)


def fuse(steps: list[Step], wanted: set[str]) -> list[Step]:
    """Join each elementwise step to the step that makes its input, if nothing else reads that."""
    readers = Counter(name for step in steps for name in step.reads())
    fused: list[Step] = []
    place: dict[str, int] = {}
    for step in steps:
        source = step.reads()[0]
        maker = place.get(source)
        if step.function is None and maker is not None and readers[source] == 1 and source not in wanted:
            before = fused[maker]
            fused[maker] = replace(before, outputs=step.outputs, stages=(*before.stages, *step.stages))
            place[step.outputs[0].name] = maker
            continue
        if len(step.outputs) == 1 and _holds_float(step.outputs[0].dtype):
            place[step.outputs[0].name] = len(fused)
        fused.append(step)
    return [replace(step, stages=_merged(step.stages)) for step in fused]


def through(value: Tensor, stages: tuple[Stage, ...], own: bool) -> Tensor:
    """The value after all stages.

    Args:
        value: float32 of any shape and layout.
        own: nothing else uses its memory, so that it may be overwritten.
    """
    import torch

    line = _in_memory_order(value)
    if line is None:
        value, own = value.contiguous(), True
        line = value.view(-1)
    result = value if own else torch.empty_like(value)
    written = line if own else _in_memory_order(result)
    assert written is not None
    for piece, target in zip(line.split(_PIECE), written.split(_PIECE), strict=True):
        for stage in stages:
            piece = piece.float()
            piece = piece if stage.function is None else stage.function(piece)
            piece = piece.half() if stage.rounds else piece
        target.copy_(piece)
    return result


def _called(function: Callable[..., Tensor], parameter: str, fixed: Mapping[str, Any], x: Tensor) -> Tensor:
    return function({parameter: x, **fixed})


def _holds_float(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point


def _merged(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """A dequantize right behind its quantize needs neither to add nor to subtract the zero point."""
    found: list[Stage] = []
    for stage in stages:
        before = found[-1] if found else None
        if before is not None and before.operation == "quantize" and stage.operation == "dequantize":
            assert before.fixed is not None and stage.fixed is not None
            function = requantize(before.fixed, stage.fixed)
            if function is not None:
                found[-1] = Stage(function, stage.rounds)
                continue
        found.append(stage)
    return tuple(found)


def _in_memory_order(value: Tensor) -> Tensor | None:
    """All elements as a vector in the order in which they lie in memory; None if there are gaps."""
    expected = 1
    for stride, size in sorted(zip(value.stride(), value.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return None
        expected *= size
    return value.as_strided((value.numel(),), (1,)) if value.numel() else None
