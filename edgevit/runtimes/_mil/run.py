"""Execute a compiled MIL program operation by operation, for many images at once.

The program is batch 1; the images are one more axis in front, which the operation passes on by itself,
`torch.vmap` maps over, or a loop goes through, so that shapes, axes and constants stay what the file
says. A value typed float16 lives in a float32 tensor and is rounded after the operation that makes it;
integers up to 8 bits live in float32 too, which holds them exactly, so that quantize and dequantize
need no conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import UnsupportedError
from edgevit.runtimes._mil.call import call
from edgevit.runtimes._mil.fuse import through
from edgevit.runtimes._mil.step import Program, Step, as_numbers

if TYPE_CHECKING:
    from torch import Tensor


def run(program: Program, images: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Run on the program's inputs (N, ...), N images of each; values as the program's inputs take them.

    Returns:
        Each wanted value, (N, ...) with the program's own batch axis still there; types of up to 16
        bits as float32 (integers of 16 bits as int32) tensors.

    Raises:
        EdgevitError: whatever an operation raises, see `call`.
    """
    import torch

    count = next((len(value) for value in images.values()), 1)
    with torch.inference_mode():
        live = {**program.constants, **images}
        for step in program.steps:
            live.update(_execute(step, live, program.constants))
            for name in step.last:
                del live[name]
        return {
            name: live[name].expand(count, *live[name].shape) if name in program.constants else live[name]
            for name in program.wanted
        }


def _execute(step: Step, live: Mapping[str, Tensor], constants: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if step.function is None:
        value = live[step.reads()[0]]
        return {step.outputs[0].name: through(value, step.stages, own=False)}
    given = {name: live[name] for name in step.reads()}
    same = constants.keys() & given.keys()
    results = call(
        step.operation, step.outputs[0].name, _results, {"step": step, "given": given, "same": same}
    )
    found = {}
    for output, value in zip(step.outputs, results, strict=True):
        typed = value if value.dtype == output.dtype else value.to(output.dtype)
        own = _is_new(typed, list(given.values()))
        found[output.name] = through(typed, step.stages, own) if step.stages else typed
    return found


def _results(step: Step, given: Mapping[str, Tensor], same: set[str]) -> tuple[Tensor, ...]:
    """What the operation makes for all images; the values in `same` have no axis of images."""
    if step.images == "together":
        return _call(step, given)
    import torch

    if step.images == "mapped":
        names = tuple(given)
        axes = tuple(None if name in same else 0 for name in names)

        def one(*tensors: Tensor) -> tuple[Tensor, ...]:
            return _call(step, dict(zip(names, tensors, strict=True)))

        results: tuple[Tensor, ...] = torch.vmap(one, axes)(*given.values())
        return results
    count = next(len(value) for name, value in given.items() if name not in same)
    each = [
        _call(step, {name: value if name in same else value[i] for name, value in given.items()})
        for i in range(count)
    ]
    if any(a.shape != b.shape for results in each for a, b in zip(results, each[0], strict=True)):
        raise UnsupportedError("the result has another shape for each image", "run images one by one")
    return tuple(torch.stack(values) for values in zip(*each, strict=True))


def _call(step: Step, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    assert step.function is not None
    given: dict[str, Any] = {}
    for parameter, source in step.operands.items():
        if not isinstance(source, str):
            given[parameter] = tuple(values[name] for name in source)
        elif parameter in step.numbers:
            given[parameter] = as_numbers(values[source], step.numbers[parameter])
        else:
            given[parameter] = values[source]
    result = step.function(**given, **step.fixed)
    return result if isinstance(result, tuple) else (result,)


def _is_new(value: Tensor, given: list[Tensor]) -> bool:
    """Whether the memory is the operation's own, and not that of its inputs."""
    memory = value.untyped_storage().data_ptr()
    return all(tensor.untyped_storage().data_ptr() != memory for tensor in given)
