"""Execute a MIL program operation by operation, for many images at once.

The program is batch 1. `torch.vmap` maps it over the images, so shapes, axes and constants stay
what the file says. A value typed float16 lives in a float32 tensor and is rounded after the
operation that makes it; integers up to 8 bits live in float32 too, which holds them exactly, so that
quantize and dequantize need no conversion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.runtimes._mil_kernel import Kernel
from edgevit.runtimes._mil_read import MilFile, constant, plain, type_name
from edgevit.runtimes._mil_table import KERNELS

if TYPE_CHECKING:
    import torch
    from torch import Tensor


_IN_FLOAT32 = ("fp16", "fp32", "int4", "int8", "uint1", "uint2", "uint3", "uint4", "uint6", "uint8")


@dataclass(frozen=True, slots=True)
class Output:
    """A result: its name, its MIL type, the tensor type that holds it, and whether it is rounded to float16."""

    name: str
    type: str
    dtype: torch.dtype
    rounds: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One operation: constants bound, run-time inputs by name.

    Attributes:
        operands: parameter -> name of a value, or names where it takes several.
        fixed: parameter -> constant.
        last: values that nothing reads after this step.
    """

    operation: str
    kernel: Kernel
    operands: Mapping[str, str | tuple[str, ...]]
    fixed: Mapping[str, Any]
    outputs: tuple[Output, ...]
    last: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """A program ready to run.

    Attributes:
        steps: what depends on the input, in order.
        constants: every other value that a step or the caller reads.
        wanted: name -> type of what `run` returns.
        labelled: (label output, probabilities output, tensor) of a classify operation.
    """

    input: str
    input_type: str
    steps: tuple[Step, ...]
    constants: Mapping[str, Tensor]
    wanted: Mapping[str, str]
    labelled: tuple[str, str, str] | None


def compile_program(file: MilFile, taps: tuple[str, ...] = ()) -> Program:
    """Bind constants, run everything that does not depend on the input, and note when values die.

    Raises:
        UnsupportedError: an operation with an input that is not covered, or one that must be constant.
        InputError: a tap that is no value of the program.
    """
    values: dict[str, Tensor] = {}
    types: dict[str, str] = {file.input.name: "fp32"}
    steps: list[Step] = []
    labelled = None
    for operation in file.operations:
        if operation.op_type == "const":
            continue
        if operation.op_type == "classify":
            label, scores = (var.name for var in operation.outputs)
            labelled = (label, scores, operation.inputs["probabilities"].name)
            continue
        step = _bind(file, operation, values)
        types.update((output.name, output.type) for output in step.outputs)
        if step.operands:
            steps.append(step)
        else:
            values.update(_execute(step, {}))
    wanted = _wanted(file, taps, types, labelled)
    used = {name for step in steps for name in _names(step)} | set(wanted)
    return Program(
        input=file.input.name,
        input_type="fp32",
        steps=_with_deaths(steps, set(wanted)),
        constants={name: value for name, value in values.items() if name in used},
        wanted=wanted,
        labelled=labelled,
    )


def run(program: Program, images: Tensor) -> dict[str, Tensor]:
    """Run on images (N, 1, 3, height, width), values as the program's input takes them.

    Returns:
        Each wanted value, (N, ...) with the program's own batch axis still there; types of up to 16
        bits as float32 (integers of 16 bits as int32) tensors.
    """
    import torch

    def one(image: Tensor) -> dict[str, Tensor]:
        live = {**program.constants, program.input: image}
        for step in program.steps:
            live.update(_execute(step, live))
            for name in step.last:
                del live[name]
        return {name: live[name] for name in program.wanted}

    with torch.inference_mode():
        result: dict[str, Tensor] = torch.vmap(one)(images)
    return result


def _wanted(
    file: MilFile, taps: tuple[str, ...], types: Mapping[str, str], labelled: tuple[str, str, str] | None
) -> dict[str, str]:
    unknown = [name for name in taps if name not in types]
    if unknown:
        raise InputError(f"{file.path} has no value {', '.join(unknown)} that can be tapped")
    names = [name for name in file.outputs if labelled is None or name not in labelled[:2]]
    names += [labelled[2]] if labelled is not None else []
    return {name: types[name] for name in dict.fromkeys((*names, *taps))}


def _bind(file: MilFile, operation: Any, values: Mapping[str, Tensor]) -> Step:
    kernel = KERNELS[operation.op_type]
    parameters = kernel.parameters()
    operands: dict[str, str | tuple[str, ...]] = {}
    fixed: dict[str, Any] = {}
    for name, given in operation.inputs.items():
        if given is None:
            continue
        if name not in parameters:
            raise UnsupportedError(f"{file.path}: operation {operation.op_type!r} with the input {name!r}")
        several = isinstance(given, list | tuple)
        if parameters[name]:
            sources = tuple(given) if several else (given,)
            tensors = [_known(var, values) for var in sources]
            if all(tensor is not None for tensor in tensors):
                fixed[name] = tuple(tensors) if several else tensors[0]
            else:
                operands[name] = tuple(var.name for var in sources) if several else given.name
                _keep_mixed(sources, tensors, values)
        elif several:
            fixed[name] = [_plain(file, operation, var) for var in given]
        else:
            fixed[name] = _plain(file, operation, given)
    missing = [name for name in kernel.required() if name not in operands and name not in fixed]
    if missing:
        raise InputError(f"{file.path}: operation {operation.name!r} lacks {', '.join(missing)}")
    outputs = tuple(_output(var, kernel) for var in operation.outputs)
    return Step(operation.op_type, kernel, operands, fixed, outputs)


def _keep_mixed(sources: tuple[Any, ...], tensors: list[Tensor | None], values: Mapping[str, Tensor]) -> None:
    """Constants that stand in a list beside run-time values are looked up by name like them."""
    assert isinstance(values, dict)
    for var, tensor in zip(sources, tensors, strict=True):
        if tensor is not None:
            values[var.name] = tensor


def _known(var: Any, values: Mapping[str, Tensor]) -> Tensor | None:
    """The tensor of a constant, None for a value of run time."""
    import torch

    if var.name in values:
        return values[var.name]
    if var.op is None or var.op.op_type != "const":
        return None
    tensor = torch.from_numpy(_writable(constant(var)))
    return tensor.to(_stored(type_name(var)))


def _writable(array: Any) -> Any:
    import numpy as np

    wide = array.astype(np.int64) if array.dtype in (np.uint16, np.uint32, np.uint64) else array
    return np.array(wide)


def _plain(file: MilFile, operation: Any, var: Any) -> Any:
    value = plain(var)
    if value is None:
        raise UnsupportedError(
            f"{file.path}: operation {operation.op_type!r} ({operation.name}) takes {var.name} at run time, "
            "where the reference evaluator wants a constant",
            "convert with fixed shapes",
        )
    return value


def _stored(type_text: str) -> torch.dtype:
    """The tensor type that holds a MIL type."""
    import torch

    if type_text in _IN_FLOAT32:
        return torch.float32
    if type_text == "bool":
        return torch.bool
    if type_text in ("int16", "uint16", "int32", "uint32"):
        return torch.int32
    raise UnsupportedError(f"the reference evaluator has no tensors of the Core ML type {type_text}")


def _output(var: Any, kernel: Kernel) -> Output:
    type_text = type_name(var)
    return Output(var.name, type_text, _stored(type_text), type_text == "fp16" and not kernel.exact)


def _execute(step: Step, live: Mapping[str, Tensor]) -> dict[str, Tensor]:
    arguments = dict(step.fixed)
    for parameter, source in step.operands.items():
        arguments[parameter] = live[source] if isinstance(source, str) else tuple(live[n] for n in source)
    result = step.kernel.function(**arguments)
    results = result if isinstance(result, tuple) else (result,)
    found = {}
    for output, value in zip(step.outputs, results, strict=True):
        typed = value if value.dtype == output.dtype else value.to(output.dtype)
        found[output.name] = typed.half().float() if output.rounds else typed
    return found


def _names(step: Step) -> list[str]:
    sources = step.operands.values()
    return [name for source in sources for name in ((source,) if isinstance(source, str) else source)]


def _with_deaths(steps: list[Step], keep: set[str]) -> tuple[Step, ...]:
    from dataclasses import replace

    seen = set(keep)
    result = []
    for step in reversed(steps):
        touched = dict.fromkeys([*_names(step), *(o.name for o in step.outputs)])
        last = tuple(name for name in touched if name not in seen)
        seen.update(last)
        result.append(replace(step, last=last))
    return tuple(reversed(result))
