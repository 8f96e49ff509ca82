"""Execute a compiled MIL program operation by operation, for many images at once.

The program is batch 1; the images are one more axis in front, which either the operation passes on
by itself or `torch.vmap` maps over, so that shapes, axes and constants stay what the file says. A
value typed float16 lives in a float32 tensor and is rounded after the operation that makes it;
integers up to 8 bits live in float32 too, which holds them exactly, so that quantize and dequantize
need no conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgevit.runtimes._mil_fuse import through
from edgevit.runtimes._mil_step import Program, Step

if TYPE_CHECKING:
    from torch import Tensor


def run(program: Program, images: Tensor) -> dict[str, Tensor]:
    """Run on images (N, 1, 3, height, width), values as the program's input takes them.

    Returns:
        Each wanted value, (N, ...) with the program's own batch axis still there; types of up to 16
        bits as float32 (integers of 16 bits as int32) tensors.
    """
    import torch

    with torch.inference_mode():
        live = {**program.constants, program.input: images}
        for step in program.steps:
            live.update(_execute(step, live, program.constants))
            for name in step.last:
                del live[name]
        return {
            name: live[name].expand(len(images), *live[name].shape)
            if name in program.constants
            else live[name]
            for name in program.wanted
        }


def _execute(step: Step, live: Mapping[str, Tensor], constants: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if step.function is None:
        value = live[step.reads()[0]]
        return {step.outputs[0].name: through(value, step.stages, own=False)}
    names = tuple(dict.fromkeys(step.reads()))
    given = [live[name] for name in names]
    if step.mapped:
        import torch

        axes = tuple(None if name in constants else 0 for name in names)
        result = torch.vmap(lambda *tensors: _call(step, dict(zip(names, tensors, strict=True))), axes)(
            *given
        )
    else:
        result = _call(step, dict(zip(names, given, strict=True)))
    results = result if isinstance(result, tuple) else (result,)
    found = {}
    for output, value in zip(step.outputs, results, strict=True):
        typed = value if value.dtype == output.dtype else value.to(output.dtype)
        found[output.name] = through(typed, step.stages, _is_new(typed, given)) if step.stages else typed
    return found


def _call(step: Step, values: Mapping[str, Tensor]) -> Any:
    function: Callable[..., Any] | None = step.function
    assert function is not None
    given: dict[str, Any] = {}
    for parameter, source in step.operands.items():
        given[parameter] = values[source] if isinstance(source, str) else tuple(values[n] for n in source)
    return function(**given, **step.fixed)


def _is_new(value: Tensor, given: list[Tensor]) -> bool:
    """Whether the memory is the operation's own, and not that of its inputs."""
    memory = value.untyped_storage().data_ptr()
    return all(tensor.untyped_storage().data_ptr() != memory for tensor in given)
