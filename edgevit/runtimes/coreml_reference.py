"""Core ML reference evaluator: executes an .mlpackage on any system, operation by operation.

It follows the MIL operator set's definitions
(https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html) with
PyTorch kernels in float32; values that the program types float16 are rounded after each operation.
Its results are what the file says; Core ML on a device may order sums differently. Its time says
nothing about Core ML's.
"""

from __future__ import annotations

import importlib.util
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from edgevit.core.disk.reading import executing, reads
from edgevit.core.pixels import normalise
from edgevit.core.plugins import Runtime
from edgevit.core.process.cores import usable_cores
from edgevit.core.runner import RunOptions
from edgevit.formats.mlpackage import AGAIN
from edgevit.runtimes._images import check_images
from edgevit.runtimes._mil.compile import compile_program
from edgevit.runtimes._mil.inspect import contents, integer_macs, preprocess_of
from edgevit.runtimes._mil.read import MilFile, read_mil
from edgevit.runtimes._mil.run import run
from edgevit.runtimes._mil.step import Program
from edgevit.runtimes._mil.table import KERNELS, STRUCTURAL
from edgevit.runtimes._mil.values import read_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from edgevit.core.types import Pixels, Preprocess

VERSION: Final = "0.1.0"
_CHUNK: Final = 16


def operations() -> dict[str, tuple[str, ...]]:
    """The MIL operations that are covered, sorted by name, with the names of their inputs."""
    kernels = {name: tuple(kernel.parameters()) for name, kernel in KERNELS.items()}
    return dict(sorted({**kernels, **STRUCTURAL}.items()))


@dataclass(frozen=True, slots=True)
class ReferenceRunner:
    """An opened package; see `Runner`."""

    file: MilFile
    program: Program
    preprocess: Preprocess | None
    threads: int

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        """Execute on uint8 (N, height, width, 3) RGB; each output (N, ...) in the program's own type.

        A classifier gives its labels as text and its probabilities as float32 (N, classes).
        """
        import numpy as np

        size = max(1, min(_CHUNK, -(-len(pixels) // self.threads)))
        chunks = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        if len(chunks) < 2 or self.threads < 2:
            parts = [self._execute(self._images(chunk), self.threads) for chunk in chunks or [pixels]]
        else:
            # one thread per chunk scales better than many threads in each small operation
            with ThreadPoolExecutor(self.threads) as pool:
                parts = list(pool.map(lambda chunk: self._execute(self._images(chunk), 1), chunks))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def prepare(self, pixels: Pixels) -> object:
        """One image (1, height, width, 3) as the float32 tensor (1, 1, 3, height, width)."""
        return self._images(pixels)

    def invoke(self, prepared: object) -> None:
        """Execute once."""
        import torch

        assert isinstance(prepared, torch.Tensor)
        self._execute(prepared, self.threads)

    def _images(self, pixels: Pixels) -> Tensor:
        import numpy as np
        import torch

        check_images(pixels, (*self.file.input.shape[2:], self.file.input.shape[1]), self.file.path)
        if self.preprocess is not None:
            values = normalise(pixels, self.preprocess, "NHWC")
        else:
            values = np.ascontiguousarray(pixels[..., ::-1] if self.file.input.color == "bgr" else pixels)
        # only a view: convolutions are faster on channels-last memory
        return torch.from_numpy(values).permute(0, 3, 1, 2).float().unsqueeze(1)

    def _execute(self, images: Tensor, threads: int) -> dict[str, NDArray[np.generic]]:
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            with executing(self.file.path, "the reference evaluator"):
                values = run(self.program, {self.file.input.name: images})
        finally:
            torch.set_num_threads(before)
        return _outputs(self.program, self.file, values)


def _outputs(program: Program, file: MilFile, values: dict[str, Tensor]) -> dict[str, NDArray[np.generic]]:
    """Drop the file's batch axis, restore the program's types, and name the classes."""
    import numpy as np

    narrow: dict[str, type[np.generic]] = {
        "fp16": np.float16,
        "int8": np.int8,
        "uint8": np.uint8,
        "int16": np.int16,
        "uint16": np.uint16,
    }
    found: dict[str, NDArray[np.generic]] = {}
    for name, type_text in program.wanted.items():
        array = values[name].numpy()
        array = array[:, 0] if array.ndim > 1 and array.shape[1] == 1 else array
        found[name] = array.astype(narrow.get(type_text, array.dtype.type), copy=False)
    if program.labelled is not None:
        label, scores, tensor = program.labelled
        flat = found[tensor].reshape(len(found[tensor]), -1)
        found[scores] = flat
        found[label] = np.array(file.classes)[flat.argmax(1)]
    return found


@reads("Core ML package", AGAIN)
def open_package(path: Path, options: RunOptions) -> ReferenceRunner:
    """Read, check and compile a package.

    Raises:
        InputError, UnsupportedError, MissingDependencyError: as `read_mil`; InputError also for an
            unknown tap, and for a tensor input without preprocessing.
    """
    file = read_mil(path)
    preprocess = preprocess_of(file, options)
    threads = options.threads or usable_cores()
    return ReferenceRunner(file, compile_program(file, options.taps), preprocess, threads)


def _unavailable() -> str | None:
    for name in ("torch", "coremltools"):
        if importlib.util.find_spec(name) is None:
            return f"the Python package {name!r} is not installed: pip install 'edgevit[coreml]'"
    return None


RUNTIME: Final = Runtime(
    summary="executes Core ML packages on any system, operation by operation; no latency",
    suffix="mlpackage",
    extra="coreml",
    has_latency=False,
    unavailable=_unavailable,
    label=lambda: f"coreml-reference {VERSION}",
    open=open_package,
    integer_macs=integer_macs,
    contents=contents,
    values=read_values,
)
