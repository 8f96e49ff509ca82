"""Read the program and the weights of an .mlpackage with coremltools' own reader."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgevit.core.disk.reading import reads
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.foreign import brief
from edgevit.core.require import require
from edgevit.formats import mil_weights
from edgevit.formats.mlpackage import AGAIN, Package, check_package
from edgevit.runtimes._mil.table import KERNELS, STRUCTURAL

if TYPE_CHECKING:
    import numpy as np
    from coremltools.converters.mil.mil import Function, Var
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MilInput:
    """The only input: an image, or a float tensor (1, channels, height, width); `color` is what its channels are."""

    name: str
    shape: tuple[int, ...]
    kind: Literal["image", "tensor"]
    color: Literal["rgb", "bgr", "gray", "bands"]


@dataclass(frozen=True, slots=True)
class MilProgram:
    """The main function of a package, whatever its inputs.

    Attributes:
        inputs: name -> element type.
        operations: in order (coremltools' Operation).
        outputs: names of the program's outputs in the order of the model description.
        classes: labels of the classify operation, empty without one.
        metadata: the user-defined strings.
        version: of the specification, which says the oldest system that loads it.
    """

    path: Path
    inputs: dict[str, str]
    operations: tuple[Any, ...]
    outputs: tuple[str, ...]
    classes: tuple[str, ...]
    metadata: dict[str, str]
    version: int


@dataclass(frozen=True, slots=True)
class MilFile(MilProgram):
    """A program whose only input can be fed from images."""

    input: MilInput


@reads("Core ML package", AGAIN)
def read_mil(path: Path) -> MilFile:
    """Open a package that takes images.

    Raises:
        InputError, UnsupportedError, MissingDependencyError: as `read_program`; UnsupportedError also
            for other inputs than one RGB image or one tensor.
    """
    program, spec, function = _read(path)
    fields = {field: getattr(program, field) for field in MilProgram.__slots__}
    return MilFile(**fields, input=_input(path, spec, function))


@reads("Core ML package", AGAIN)
def read_program(path: Path) -> MilProgram:
    """Open a package.

    Raises:
        InputError: not a package, or damaged.
        UnsupportedError: not an ML program, or an operation that is not covered (named).
        MissingDependencyError: coremltools is not installed.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[MilProgram, Any, Any]:
    """The program, coremltools' specification, and its main function."""
    package = check_package(path)
    with quiet():
        ct = require("coremltools", "coreml")
        try:
            spec = ct.utils.load_spec(str(package.model))
        except Exception as error:  # protobuf raises its own classes
            raise InputError(f"{path}: the model cannot be read: {brief(error)}", AGAIN) from error
        kind = spec.WhichOneof("Type")
        if kind is None:
            raise InputError(f"{path} is damaged: its model is of no kind", AGAIN)
        if kind != "mlProgram":
            raise UnsupportedError(
                f"{path} is a Core ML {kind}, only ML programs can run",
                "convert it again with convert_to='mlprogram'",
            )
        _check_operations(path, spec, package)
        loaded = _load(path, spec, package)
    name = spec.description.defaultFunctionName or "main"
    if name not in loaded.functions:
        raise InputError(f"{path}: the program has no function {name!r}", AGAIN)
    function = loaded.functions[name]
    program = MilProgram(
        path=path,
        inputs={name: type_name(var) for name, var in function.inputs.items()},
        operations=tuple(function.operations),
        outputs=tuple(output.name for output in spec.description.output),
        classes=_classes(function),
        metadata=dict(spec.description.metadata.userDefined),
        version=int(spec.specificationVersion),
    )
    return program, spec, function


def type_name(var: Var) -> str:
    """The element type of a value as the program spells it: fp16, fp32, int8, uint4, bool, string, ..."""
    from coremltools.converters.mil.mil import types

    if types.is_dict(var.sym_type):
        return "dict"
    return "list" if types.is_list(var.sym_type) else str(types.builtin_to_string(var.dtype))


def constant(var: Var) -> NDArray[np.generic]:
    """A constant's value; types below 8 bits as int8 or uint8."""
    import numpy as np

    name = type_name(var)
    if name.startswith(("int", "uint")) and int(name.lstrip("uint")) < 8:
        return np.asarray(var.val).astype(np.int8 if name.startswith("int") else np.uint8)
    return np.asarray(var.val)


def plain(var: Var) -> Any:
    """A constant's value as numbers, text, or lists of them."""
    import numpy as np

    value = var.val
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _check_operations(path: Path, spec: Any, package: Package) -> None:
    known = {*KERNELS, *STRUCTURAL}
    found, files = set(), set()
    for function in spec.mlProgram.functions.values():
        for operation in function.block_specializations[function.opset].operations:
            found.add(operation.type)
            values = [*operation.attributes.values()]
            values += [b.value for i in operation.inputs.values() for b in i.arguments if b.HasField("value")]
            files |= {v.blobFileValue.fileName.split("/")[-1] for v in values if v.HasField("blobFileValue")}
    unknown = sorted(found - known)
    if unknown:
        raise UnsupportedError(
            f"{path}: the reference evaluator does not know the operation {', '.join(unknown)}",
            "`edgevit list mil-ops` prints those it knows; on macOS Core ML itself can run the file",
        )
    missing = sorted(name for name in files if not (package.weights / name).is_file())
    if missing:
        raise InputError(f"{path}: the weights {', '.join(missing)} are missing", AGAIN)


def _load(path: Path, spec: Any, package: Package) -> Any:
    from coremltools.converters.mil.frontend.milproto.load import load

    try:
        with mil_weights.mapped():
            return load(spec, spec.specificationVersion, str(package.weights))
    except Exception as error:  # whatever a damaged program makes coremltools raise
        raise InputError(f"{path}: the program cannot be read: {brief(error)}", AGAIN) from error


def _input(path: Path, spec: Any, function: Function) -> MilInput:
    from coremltools.converters.mil.mil.types.symbolic import is_symbolic

    described = list(spec.description.input)
    if len(described) != 1 or described[0].name not in function.inputs:
        names = ", ".join(d.name for d in described)
        raise UnsupportedError(
            f"{path} has the inputs {names}; only a single image or tensor can be fed",
            "convert a model that takes the image alone",
        )
    name, feature = described[0].name, described[0].type
    if any(is_symbolic(n) for n in function.inputs[name].shape):
        raise UnsupportedError(
            f"{path}: the input {name} has a flexible shape, only one size can be fed",
            "convert the model with a fixed shape",
        )
    shape = tuple(int(n) for n in function.inputs[name].shape)
    kind = feature.WhichOneof("Type")
    if kind == "multiArrayType" and len(shape) == 4 and shape[0] == 1:
        return MilInput(name, shape, "tensor", "rgb" if shape[1] == 3 else "bands")
    space = feature.imageType.ColorSpace.Name(feature.imageType.colorSpace) if kind == "imageType" else kind
    colors: dict[str, Literal["rgb", "bgr", "gray"]] = {"RGB": "rgb", "BGR": "bgr", "GRAYSCALE": "gray"}
    if space not in colors:
        raise UnsupportedError(
            f"{path}: the input {name} is {space}, only RGB, BGR and GRAYSCALE images can be fed",
            "convert it again with one of these as the colour layout",
        )
    return MilInput(name, shape, "image", colors[space])


def _classes(function: Function) -> tuple[str, ...]:
    for operation in function.operations:
        if operation.op_type == "classify":
            return tuple(str(label) for label in operation.inputs["classes"].val)
    return ()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what coremltools prints while it is imported and reads."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
