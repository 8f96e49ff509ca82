"""A Runner on LiteRT: pixels through the file's own normalisation to its outputs.

What a file of integers takes, its own scale and zero point say: the normalised image is rounded to them. A file of
ours says that it takes pixels, which then go in as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from edgevit.agent.feed import Feed, tensor
from edgevit.core import metadata_keys
from edgevit.core.disk.reading import executing, reads
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.pixels import feed_of
from edgevit.core.runner import DeviceFile, DeviceOutput, RunOptions
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json, tflite_file
from edgevit.formats.tflite_file import Tensor, TfliteFile
from edgevit.runtimes import _images
from edgevit.runtimes._litert import session

if TYPE_CHECKING:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter
    from numpy.typing import NDArray

    from edgevit.core.types import Pixels

_INPUTS: Final = ("float32", "uint8", "int8", "int16")
_OF_PIXELS: Final = ("uint8", "int8")


@dataclass(frozen=True, slots=True)
class LitertRunner:
    """See `edgevit.core.runner.Runner`.

    Attributes:
        feed: how an image becomes the input tensor.
        input: the input tensor.
        outputs: (name, tensor) of what is read after an execution: outputs, then tapped tensors.
        real: names of outputs that hold integers and are given as the real numbers that these stand for.
        taps_of_input: tapped names that are the model's input itself.
    """

    path: Path
    interpreter: Interpreter
    preprocess: Preprocess
    feed: Feed
    input: Tensor
    outputs: tuple[tuple[str, Tensor], ...]
    real: frozenset[str]
    taps_of_input: tuple[str, ...]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close: the interpreter goes with its last reference."""

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        """Execute image by image; uint8 (N, height, width, 3) to {name: (N, ...)}."""
        _images.check_images(pixels, _images.size_of(self.preprocess), self.path)
        rows: dict[str, list[NDArray[np.generic]]] = {name: [] for name, _ in self.outputs}
        rows |= {name: [] for name in self.taps_of_input}
        for index in range(len(pixels)):
            prepared = self.prepare(pixels[index : index + 1])
            self.invoke(prepared)
            for name, end in self.outputs:
                with executing(self.path, "LiteRT"):
                    value = self.interpreter.get_tensor(end.index)
                rows[name].append(_dequantized(value, end) if name in self.real else value)
            for name in self.taps_of_input:
                rows[name].append(prepared)
        return _images.stack(rows)

    def prepare(self, pixels: Pixels) -> NDArray[np.generic]:
        """One image, uint8 (1, height, width, 3) RGB, to the file's input, of its type and the same shape.

        Raises:
            InputError: another type or size than the file's own preprocessing asks for.
        """
        _images.check_images(pixels, _images.size_of(self.preprocess), self.path, 1)
        return tensor(pixels, self.feed)

    def invoke(self, prepared: object) -> None:
        """Execute once."""
        with executing(self.path, "LiteRT"):
            self.interpreter.set_tensor(self.input.index, prepared)
            self.interpreter.invoke()


@reads("TFLite file", tflite_file.AGAIN)
def open_runner(path: Path, options: RunOptions) -> LitertRunner:
    """Load the file, with `options.taps` as further outputs of a copy in memory.

    Raises:
        InputError: not a loadable TFLite file with one image input, or no preprocessing in it and none given.
        UsageError: a tap that is not in the file.
    """
    file = tflite_file.read(path)
    if len(file.inputs) != 1:
        raise InputError(
            f"{path} must take one image, it takes {len(file.inputs)} tensors",
            "convert a model with the image as its only input",
        )
    entry = file.tensors[file.inputs[0]]
    if entry.dtype not in _INPUTS or len(entry.shape) != 4 or entry.shape[0] != 1:
        raise InputError(
            f"{path} must take one image (1, height, width, channels) as {', '.join(_INPUTS[:-1])} or {_INPUTS[-1]}, "
            f"it takes {entry.dtype} {entry.shape}",
            "convert it again with one image as its input",
        )
    preprocess, takes_pixels = _preprocess(file, options)
    _check_integers(entry, takes_pixels, path)
    inner = list(dict.fromkeys(name for name in options.taps if name != entry.name))
    content, taps = tflite_file.with_outputs(file, inner) if inner else (file.raw, {})
    found = [file.tensors[index] for index in file.outputs]
    outputs = {tensor.name: tensor for tensor in found}
    outputs |= {name: file.tensors[index] for name, index in taps.items()}
    real = {t.name for t in found if t.dtype != "float32" and t.scale is not None} - set(options.taps)
    return LitertRunner(
        path=path,
        interpreter=session.open_interpreter(file, content, options.threads),
        preprocess=preprocess,
        feed=_feed(preprocess, entry, takes_pixels),
        input=entry,
        outputs=tuple(outputs.items()),
        real=frozenset(real),
        taps_of_input=(entry.name,) if entry.name in options.taps else (),
    )


def on_device(path: Path, options: RunOptions) -> DeviceFile:
    """How the agent feeds the file and what it reads; raises as `open_runner` does."""
    runner = open_runner(path, options)
    outputs = tuple(
        DeviceOutput(name, end.scale, end.zero_point or 0) if name in runner.real else DeviceOutput(name)
        for name, end in runner.outputs
    )
    return DeviceFile(runner.feed, _images.size_of(runner.preprocess), outputs)


def _feed(preprocess: Preprocess, entry: Tensor, takes_pixels: bool) -> Feed:
    feed = feed_of(preprocess, "NHWC", entry.dtype, takes_pixels)
    if takes_pixels or entry.dtype == "float32":
        return feed
    assert entry.scale is not None and entry.zero_point is not None, "checked before"
    return replace(feed, scale=entry.scale, zero_point=entry.zero_point)


def _preprocess(file: TfliteFile, options: RunOptions) -> tuple[Preprocess, bool]:
    """What images go through, and whether the file takes their bytes."""
    text, takes_pixels = file.metadata.get(metadata_keys.PREPROCESS), False
    if text is not None:
        preprocess, layout, takes_pixels = preprocess_json.loads(text)
        if layout != "NHWC":
            raise UnsupportedError(
                f"{file.path} asks for the layout {layout!r}, its input is NHWC",
                "write NHWC into edgevit.preprocess of its metadata, or convert it again",
            )
    elif options.preprocess is None:
        raise InputError(
            f"{file.path} does not say how images become its input",
            "give the model that it was made from with --reference",
        )
    else:
        preprocess = options.preprocess
    size = file.tensors[file.inputs[0]].shape[1:]
    _images.check_size(size, preprocess, file.path)
    return preprocess, takes_pixels


def _check_integers(entry: Tensor, takes_pixels: bool, path: Path) -> None:
    """Raise InputError where bytes do not fit the input, or its integers do not say what they stand for."""
    if takes_pixels and entry.dtype not in _OF_PIXELS:
        raise InputError(
            f"{path} says in its metadata that it takes the bytes of an image, but its input is {entry.dtype}",
            "convert it again with the option tflite.input=uint8, or leave that out of its metadata",
        )
    if takes_pixels or entry.dtype == "float32" or entry.scale:
        return
    raise InputError(
        f"{path} takes {entry.dtype} without one scale and zero point, so that nothing says which numbers its "
        "integers stand for",
        "convert it again with a quantized input, or with a float one",
    )


def _dequantized(value: NDArray[np.generic], tensor: Tensor) -> NDArray[np.generic]:
    """The real numbers, float32, that integers stand for."""
    import numpy as np

    assert tensor.scale is not None and tensor.zero_point is not None, "only such outputs are asked for"
    return ((value.astype(np.int32) - tensor.zero_point) * np.float32(tensor.scale)).astype(np.float32)
