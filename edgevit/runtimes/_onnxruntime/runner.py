"""A Runner on ONNX Runtime: pixels through the file's own normalisation to its outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from edgevit.agent.feed import Feed, tensor
from edgevit.core import metadata_keys
from edgevit.core.disk.reading import executing, reads
from edgevit.core.errors import InputError, UnsupportedError
from edgevit.core.pixels import feed_of
from edgevit.core.runner import DeviceFile, DeviceOutput, RunOptions
from edgevit.core.types import Preprocess
from edgevit.formats import preprocess_json
from edgevit.runtimes import _images
from edgevit.runtimes._onnxruntime import diagnostics
from edgevit.runtimes._onnxruntime import session as ort_session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    from edgevit.core.types import Pixels

_INPUTS = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}


@dataclass(frozen=True, slots=True)
class OrtRunner:
    """See `edgevit.core.runner.Runner`.

    Attributes:
        outputs: names that the session computes: the file's outputs, then the tapped tensors.
        taps_of_input: tapped names that are the model's input itself.
        feed: how an image becomes the input; its batch is 1 for a file that takes any number of images.
        tapped: whether intermediate tensors are read, in which the batch may lie on any axis.
        by: what executes it, for messages.
    """

    path: Path
    session: InferenceSession
    preprocess: Preprocess
    feed: Feed
    input_name: str
    outputs: tuple[str, ...]
    taps_of_input: tuple[str, ...]
    tapped: bool = False
    by: str = "ONNX Runtime"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close: the session goes with its last reference."""

    def run(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        """Execute as many images at once as the file takes; uint8 (N, height, width, 3) to {name: (N, ...)}.

        Raises:
            InputError: no image, or images of another size than the file's.
        """
        _images.check_images(pixels, _images.size_of(self.preprocess), self.path)
        rows: dict[str, list[NDArray[np.generic]]] = {
            name: [] for name in (*self.outputs, *self.taps_of_input)
        }
        together = 1 if self.tapped else self.feed.batch
        for start in range(0, len(pixels), together):
            some = pixels[start : start + together]
            feed = self._feed(some)
            with executing(self.path, self.by, self._blamed):
                values = self.session.run(list(self.outputs), feed)
            for name, value in zip(self.outputs, values, strict=True):
                rows[name] += self._each(value, len(some))
            for name in self.taps_of_input:
                rows[name] += self._each(feed[self.input_name], len(some))
        return _images.stack(rows)

    def _feed(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        return {self.input_name: tensor(pixels, self.feed)}

    def _each(self, value: NDArray[np.generic], count: int) -> list[NDArray[np.generic]]:
        """What belongs to each of the first `count` images, with a batch axis of 1 in front."""
        if self.feed.batch == 1:
            return [value]
        if self.tapped:
            return [_images.of_one(value, self.feed.batch)]
        return [value[index : index + 1] for index in range(count)]

    def prepare(self, pixels: Pixels) -> dict[str, NDArray[np.generic]]:
        """One image, uint8 (1, height, width, 3) RGB, to the feed of the session, as often as it takes images.

        Raises:
            InputError: another type or size than the file's own preprocessing asks for.
        """
        _images.check_images(pixels, _images.size_of(self.preprocess), self.path, 1)
        return self._feed(pixels)

    def _blamed(self, error: Exception) -> str:
        return diagnostics.blamed(str(error), ort_session.read_model(self.path))

    def invoke(self, prepared: object) -> None:
        """Execute once."""
        with executing(self.path, self.by, self._blamed):
            self.session.run(list(self.outputs), prepared)


def open_runner(path: Path, options: RunOptions) -> OrtRunner:
    """The file on the CPU provider; see `runner_on`."""
    settings = ort_session.session_options(options.threads, spinning=not options.taps)
    return runner_on(path, options, lambda model: ort_session.open_session(model, settings, path))


@reads("ONNX file", ort_session.AGAIN)
def runner_on(
    path: Path,
    options: RunOptions,
    opened: Callable[[bytes | Path], InferenceSession],
    by: str = "ONNX Runtime",
) -> OrtRunner:
    """Load the file, with `options.taps` as further outputs of a copy in memory.

    Args:
        opened: the session on what executes it.

    Raises:
        InputError: not a loadable ONNX file with one image input, or no preprocessing in it and none given.
        UsageError: a tap that is not in the file.
    """
    if options.taps:
        model = ort_session.read_model(path)
        inputs = {value.name for value in model.graph.input}
        inner = [name for name in options.taps if name not in inputs]
        data: bytes | Path = ort_session.with_outputs(model, inner, path)
    else:
        inputs, data = set(), path
    session = opened(data)
    taken = session.get_inputs()
    if len(taken) != 1 or taken[0].type not in _INPUTS or len(taken[0].shape) != 4:
        shown = ", ".join(f"{value.name}: {value.type} {value.shape}" for value in taken)
        raise InputError(
            f"{path} must take one image of rank 4, float or uint8, it takes {shown or 'nothing'}",
            "export a model that takes the image alone, as (N, C, H, W) or (N, H, W, C)",
        )
    preprocess, layout = _preprocess(
        path, session.get_modelmeta().custom_metadata_map, taken[0].shape, options
    )
    dtype = _INPUTS[taken[0].type]
    return OrtRunner(
        path=path,
        session=session,
        preprocess=preprocess,
        feed=feed_of(
            preprocess,
            layout,
            dtype,
            takes_pixels=dtype == "uint8",  # the normalisation is inside
            batch=taken[0].shape[0] if isinstance(taken[0].shape[0], int) else 1,
        ),
        input_name=taken[0].name,
        outputs=tuple(value.name for value in session.get_outputs()),
        taps_of_input=tuple(dict.fromkeys(name for name in options.taps if name in inputs)),
        tapped=bool(options.taps),
        by=by,
    )


def on_device(path: Path, options: RunOptions) -> DeviceFile:
    """How the agent feeds the file and what it reads; raises as `open_runner` does."""
    runner = open_runner(path, options)
    size = _images.size_of(runner.preprocess)
    return DeviceFile(runner.feed, size, tuple(DeviceOutput(name) for name in runner.outputs))


def _preprocess(
    path: Path, metadata: dict[str, str], shape: list[int | str], options: RunOptions
) -> tuple[Preprocess, Literal["NCHW", "NHWC"]]:
    text = metadata.get(metadata_keys.PREPROCESS)
    if text is not None:
        preprocess, layout, _ = preprocess_json.loads(text)
        if layout == "image":
            raise UnsupportedError(
                f"{path} asks for the layout {layout!r}, which an ONNX input cannot have",
                "write NCHW or NHWC into edgevit.preprocess of its metadata",
            )
    elif options.preprocess is None:
        raise InputError(
            f"{path} does not say how images become its input",
            "give the model that it was made from with --reference",
        )
    else:
        preprocess, layout = options.preprocess, "NCHW"
        if shape[3] == preprocess.channels and shape[1] != preprocess.channels:
            layout = "NHWC"
    _images.check_size((*shape[2:], shape[1]) if layout == "NCHW" else shape[1:], preprocess, path)
    return preprocess, layout
