"""Bind a MIL program's constants, and decide how each operation runs on many images at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevit.core.errors import InputError, UnsupportedError
from edgevit.formats.mlpackage import AGAIN
from edgevit.runtimes._mil.batch import broadcasts, with_images
from edgevit.runtimes._mil.call import call
from edgevit.runtimes._mil.fuse import fuse, stage_of
from edgevit.runtimes._mil.kernel import Kernel
from edgevit.runtimes._mil.read import MilProgram, constant, plain, type_name
from edgevit.runtimes._mil.step import Output, Program, Stage, Step, as_numbers
from edgevit.runtimes._mil.table import KERNELS

if TYPE_CHECKING:
    import torch
    from coremltools.converters.mil.mil import Operation, Var
    from torch import Tensor


_IN_FLOAT32 = ("fp16", "fp32", "int4", "int8", "uint1", "uint2", "uint3", "uint4", "uint6", "uint8")


def compile_program(file: MilProgram, taps: tuple[str, ...] = ()) -> Program:
    """Bind constants, run everything that does not depend on the input, join what runs elementwise.

    Raises:
        UnsupportedError: an operation with an input that is not covered.
        EdgevitError: whatever an operation on constants raises, see `call`.
        InputError: a tap that is no value of the program.
    """
    values: dict[str, Tensor] = {}
    types = dict(file.inputs)
    steps: list[Step] = []
    labelled = None
    for operation in file.operations:
        if operation.op_type == "const":
            (var,) = operation.outputs
            if var.name in file.outputs:
                values[var.name], types[var.name] = tensor_of(var), type_name(var)
            continue
        if operation.op_type == "classify":
            label, scores = (var.name for var in operation.outputs)
            labelled = (label, scores, operation.inputs["probabilities"].name)
            continue
        kernel = KERNELS[operation.op_type]
        step = bind(file.path, operation, values)
        types.update((output.name, output.type) for output in step.outputs)
        if step.operands:
            steps.append(_for_images(step, operation, kernel, types, values))
        else:
            values.update(computed(step))
    wanted = _wanted(file, taps, types, labelled)
    used = {name for step in steps for name in step.reads()} | set(wanted)
    return Program(
        inputs=file.inputs,
        steps=_with_deaths(fuse(steps, set(wanted)), set(wanted)),
        constants={name: value for name, value in values.items() if name in used},
        wanted=wanted,
        labelled=labelled,
    )


def _wanted(
    file: MilProgram, taps: tuple[str, ...], types: Mapping[str, str], labelled: tuple[str, str, str] | None
) -> dict[str, str]:
    unknown = [name for name in taps if name not in types]
    if unknown:
        raise InputError(
            f"{file.path} has no value {', '.join(unknown)} that can be tapped",
            "see the names with `edgevit inspect FILE`",
        )
    names = [name for name in file.outputs if labelled is None or name not in labelled[:2]]
    names += [labelled[2]] if labelled is not None else []
    return {name: types[name] for name in dict.fromkeys((*names, *taps))}


def bind(path: Path, operation: Operation, values: Mapping[str, Tensor]) -> Step:
    """The operation with its constants bound.

    Args:
        path: of the package, for messages.
        operation: coremltools' Operation.
        values: results of what depends on constants alone, by name.
    """
    kernel = KERNELS[operation.op_type]
    parameters = kernel.parameters()
    operands: dict[str, str | tuple[str, ...]] = {}
    fixed: dict[str, Any] = {}
    numbers: dict[str, bool] = {}
    for name, given in operation.inputs.items():
        if given is None:
            continue
        if name not in parameters:
            raise UnsupportedError(
                f"{path}: operation {operation.op_type!r} with the input {name!r}",
                "on macOS Core ML itself can run the file",
            )
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
            fixed[name] = [_plain(path, operation, var, values) for var in given]
        elif plain(given) is None and given.name not in values:
            operands[name] = given.name
            numbers[name] = "int" in type_name(given)
        else:
            fixed[name] = _plain(path, operation, given, values)
    missing = [name for name in kernel.required() if name not in operands and name not in fixed]
    if missing:
        raise InputError(f"{path}: operation {operation.name!r} lacks {', '.join(missing)}", AGAIN)
    outputs = tuple(_output(var) for var in operation.outputs)
    return Step(
        operation.op_type,
        kernel.function,
        operands,
        fixed,
        outputs,
        numbers=numbers,
        stages=_rounding(outputs, kernel),
    )


def _rounding(outputs: tuple[Output, ...], kernel: Kernel) -> tuple[Stage, ...]:
    """A float16 result is rounded, unless it is made of values that were."""
    return (Stage(None, True),) if outputs[0].type == "fp16" and not kernel.exact else ()


def _for_images(
    step: Step, operation: Operation, kernel: Kernel, types: Mapping[str, str], values: Mapping[str, Tensor]
) -> Step:
    """The step for inputs that have an axis of images in front."""
    if step.numbers or not step.operands.keys().isdisjoint(kernel.by_value):
        return replace(step, images="each")
    sources = {name: operation.inputs[name] for name in step.operands}
    several = {name: tuple(v) if isinstance(v, list | tuple) else (v,) for name, v in sources.items()}
    if any(var.name in values for found in several.values() for var in found):
        return step  # a constant in a list beside run-time values has no such axis
    ranks = {name: tuple(len(var.shape) for var in found) for name, found in several.items()}
    shape = tuple(operation.outputs[0].shape)
    if not kernel.pointwise:
        found = with_images(step.operation, kernel.function, step.fixed, ranks, shape)
        if found is None and step.operation == "matmul" and broadcasts(step.fixed, ranks, least=2):
            found = kernel.function, step.fixed
        return step if found is None else replace(step, function=found[0], fixed=found[1], images="together")
    sizes = [v.numel() for v in step.fixed.values() if hasattr(v, "numel")]
    (first, *others) = (var for found in several.values() for var in found)
    in_float = all(stored(kind).is_floating_point for kind in (types[first.name], step.outputs[0].type))
    if max(sizes, default=1) == 1 and not others and in_float and shape == tuple(first.shape):
        stage = stage_of(step, kernel, next(iter(ranks)))
        return replace(step, function=None, fixed={}, images="together", stages=(stage,))
    together = "axis" not in step.fixed and broadcasts(step.fixed, ranks)
    return replace(step, images="together" if together else "mapped")


def computed(step: Step) -> dict[str, Tensor]:
    """The results of a step that depends on constants alone."""
    assert step.function is not None
    result = call(step.operation, step.outputs[0].name, step.function, step.fixed)
    results = result if isinstance(result, tuple) else (result,)
    found = {}
    for output, value in zip(step.outputs, results, strict=True):
        typed = value.to(output.dtype)
        found[output.name] = typed.half().float() if step.stages else typed
    return found


def _keep_mixed(sources: tuple[Any, ...], tensors: list[Tensor | None], values: Mapping[str, Tensor]) -> None:
    """Constants that stand in a list beside run-time values are looked up by name like them."""
    assert isinstance(values, dict)
    for var, tensor in zip(sources, tensors, strict=True):
        if tensor is not None:
            values[var.name] = tensor


def _known(var: Var, values: Mapping[str, Tensor]) -> Tensor | None:
    """The tensor of a constant, None for a value of run time."""
    if var.name in values:
        return values[var.name]
    if var.op is None or var.op.op_type != "const":
        return None
    return tensor_of(var)


def tensor_of(var: Var) -> Tensor:
    """A constant in the tensor type that holds it; coremltools' Var with a value."""
    import torch

    return torch.from_numpy(_writable(constant(var))).to(stored(type_name(var)))


def _writable(array: Any) -> Any:
    import numpy as np

    wide = array.astype(np.int64) if array.dtype in (np.uint16, np.uint32, np.uint64) else array
    return wide if wide.flags.writeable else np.array(wide)


def _plain(path: Path, operation: Operation, var: Var, values: Mapping[str, Tensor]) -> Any:
    value = plain(var)
    if value is None and var.name in values:
        return as_numbers(values[var.name], "int" in type_name(var))
    if value is None:
        raise UnsupportedError(
            f"{path}: operation {operation.op_type!r} ({operation.name}) takes {var.name} at run time, "
            "where the reference evaluator wants a constant",
            "convert with fixed shapes",
        )
    return value


def stored(type_text: str) -> torch.dtype:
    """The tensor type that holds a MIL type."""
    import torch

    if type_text in _IN_FLOAT32:
        return torch.float32
    if type_text == "bool":
        return torch.bool
    if type_text in ("int16", "uint16", "int32", "uint32"):
        return torch.int32
    raise UnsupportedError(
        f"the reference evaluator has no tensors of the Core ML type {type_text}",
        "on macOS Core ML itself can run the file",
    )


def _output(var: Var) -> Output:
    type_text = type_name(var)
    return Output(var.name, type_text, stored(type_text))


def _with_deaths(steps: list[Step], keep: set[str]) -> tuple[Step, ...]:
    seen = set(keep)
    result = []
    for step in reversed(steps):
        touched = dict.fromkeys([*step.reads(), *(o.name for o in step.outputs)])
        last = tuple(name for name in touched if name not in seen)
        seen.update(last)
        result.append(replace(step, last=last))
    return tuple(reversed(result))
