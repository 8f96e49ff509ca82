"""Execute any covered MIL program on arrays, whatever its inputs: what operators are proven with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from edgevit.core.errors import InputError
from edgevit.runtimes._mil.compile import bind, compile_program, computed, stored, tensor_of
from edgevit.runtimes._mil.read import read_program, type_name
from edgevit.runtimes._mil.run import run

if TYPE_CHECKING:
    import numpy as np
    from coremltools.converters.mil.mil import Operation
    from numpy.typing import NDArray
    from torch import Tensor


def evaluate(path: Path, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Run a package's main function.

    Args:
        inputs: name -> (N, *shape of that input), N times what the program takes.

    Returns:
        Each output (N, ...), float32, int32 or bool.

    Raises:
        InputError: other inputs than the program's.
        EdgevitError: as `read_program`, `compile_program` and `run`.
    """
    program = compile_program(read_program(path))
    if inputs.keys() != program.inputs.keys():
        raise InputError(
            f"{path} takes {', '.join(program.inputs)}, not {', '.join(inputs)}",
            "give each of its inputs, by its name",
        )
    given = {name: _tensor(inputs[name], kind) for name, kind in program.inputs.items()}
    return {name: value.numpy() for name, value in run(program, given).items()}


def _tensor(array: NDArray[np.generic], kind: str) -> Tensor:
    import torch

    tensor = torch.from_numpy(array.copy())
    return (tensor.half() if kind == "fp16" else tensor).to(stored(kind))


def fold(operation: Operation) -> tuple[NDArray[np.generic], ...]:
    """The results of one operation whose inputs have values that are known before it runs.

    Args:
        operation: coremltools' Operation.

    Raises:
        EdgevitError: as `compile_program`.
    """
    given = [v for g in operation.inputs.values() for v in (g if isinstance(g, list | tuple) else (g,))]
    known = {v.name: tensor_of(v) for v in given if v is not None and type_name(v) != "string"}
    return tuple(value.numpy() for value in computed(bind(Path(), operation, known)).values())
