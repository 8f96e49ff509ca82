"""A Runner on LiteRT: pixels through the file's own normalisation to its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from edgevit.core import preprocess_json
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.pixels import normalise
from edgevit.core.reading import executing, reads
from edgevit.core.runner import RunOptions
from edgevit.core.types import Preprocess
from edgevit.runtimes import _images, _litert_file, _litert_session
from edgevit.runtimes._litert_file import TfliteFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels


@dataclass(frozen=True, slots=True)
class LitertRunner:
    """See `edgevit.core.runner.Runner`.

    Attributes:
        input: index of the input tensor.
        outputs: (name, index) of what is read after an execution: outputs, then tapped tensors.
        taps_of_input: tapped names that are the model's input itself.
    """

    path: Path
    interpreter: Any
    preprocess: Preprocess
    input: int
    outputs: tuple[tuple[str, int], ...]
    taps_of_input: tuple[str, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close: the interpreter goes with its last reference."""

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        """Execute image by image; uint8 (N, height, width, 3) to {name: (N, ...)}."""
        _images.check_images(pixels, (self.preprocess.height, self.preprocess.width), self.path)
        rows: dict[str, list[NDArray[np.generic]]] = {name: [] for name, _ in self.outputs}
        rows |= {name: [] for name in self.taps_of_input}
        for index in range(len(pixels)):
            prepared = self.prepare(pixels[index : index + 1])
            self.invoke(prepared)
            for name, tensor in self.outputs:
                with executing(self.path, "LiteRT"):
                    rows[name].append(self.interpreter.get_tensor(tensor))
            for name in self.taps_of_input:
                rows[name].append(prepared)
        return _images.stack(rows)

    def prepare(self, pixels: Pixels) -> NDArray[np.generic]:
        """One image, uint8 (1, height, width, 3) RGB, to the file's input, float32 of the same shape.

        Raises:
            InputError: another type or size than the file's own preprocessing asks for.
        """
        _images.check_images(pixels, (self.preprocess.height, self.preprocess.width), self.path, 1)
        return normalise(pixels, self.preprocess, "NHWC")

    def invoke(self, prepared: object) -> None:
        """Execute once."""
        with executing(self.path, "LiteRT"):
            self.interpreter.set_tensor(self.input, prepared)
            self.interpreter.invoke()


@reads("TFLite file", _litert_file.AGAIN)
def open_runner(path: Path, options: RunOptions) -> LitertRunner:
    """Load the file, with `options.taps` as further outputs of a copy in memory.

    Raises:
        InputError: not a loadable TFLite file with one image input, or no preprocessing in it and none given.
        UsageError: a tap that is not in the file.
    """
    file = _litert_file.read(path)
    if len(file.inputs) != 1:
        raise InputError(f"{path} must take one image, it takes {len(file.inputs)} tensors")
    entry = file.tensors[file.inputs[0]]
    if entry.dtype != "float32" or len(entry.shape) != 4 or entry.shape[0] != 1 or entry.shape[3] != 3:
        raise InputError(
            f"{path} must take float32 (1, height, width, 3), it takes {entry.dtype} {entry.shape}"
        )
    preprocess = _preprocess(file, options)
    inner = list(dict.fromkeys(name for name in options.taps if name != entry.name))
    content, taps = _litert_file.with_outputs(file, inner) if inner else (file.raw, {})
    outputs = dict(zip(file.names_of_outputs(), file.outputs, strict=True)) | taps
    return LitertRunner(
        path=path,
        interpreter=_litert_session.open_interpreter(content, options.threads, path),
        preprocess=preprocess,
        input=entry.index,
        outputs=tuple(outputs.items()),
        taps_of_input=(entry.name,) if entry.name in options.taps else (),
    )


def _preprocess(file: TfliteFile, options: RunOptions) -> Preprocess:
    text = file.metadata.get("edgevit.preprocess")
    if text is not None:
        preprocess, layout = preprocess_json.loads(text)
        if layout != "NHWC":
            raise UnsupportedError(f"{file.path} asks for the layout {layout!r}, its input is NHWC")
    elif options.preprocess is None:
        raise InputError(
            f"{file.path} does not say how images become its input",
            "give the model that it was made from with --reference",
        )
    else:
        preprocess = options.preprocess
    size = file.tensors[file.inputs[0]].shape[1:3]
    if size != (preprocess.height, preprocess.width):
        raise InputError(
            f"{file.path} takes {size[0]}x{size[1]} images, but its preprocessing gives "
            f"{preprocess.height}x{preprocess.width}"
        )
    return preprocess
