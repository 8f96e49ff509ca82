"""Open a file with the runtime that its suffix asks for: one image in, its outputs in the file's order out."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .feed import Feed, tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_X86 = ("x86_64", "amd64", "i386", "i686")
_DOT_PRODUCT = ("avx512_vnni", "avx_vnni", "avxvnni")


class Opened(NamedTuple):
    """A file that is ready to be executed.

    Attributes:
        prepare: some images, uint8 (N, height, width, channels), N at most the file's batch, to what `invoke` takes.
        invoke: execute once: what is timed.
        outputs: what the last execution gave, in the file's order.
        again: open it once more, with what the runtime keeps of the first time; None where it keeps nothing.
    """

    prepare: Callable[[NDArray[np.uint8]], Any]
    invoke: Callable[[Any], None]
    outputs: Callable[[], list[NDArray[np.generic]]]
    label: str
    again: Callable[[], object] | None = None


def open_file(path: str, feed: Feed, threads: int, unit: str = "all", classes: Sequence[str] = ()) -> Opened:
    """Open `path`.

    Args:
        threads: 0 for all cores.
        unit: compute unit of Core ML: all, cpu_only, cpu_and_gpu or cpu_and_ne.
        classes: labels of a Core ML classifier in index order.

    Raises:
        ImportError: the runtime is not installed.
        Exception: whatever the runtime raises for a file that it does not load.
    """
    suffix = path.rsplit(".", 1)[-1]
    if suffix == "onnx":
        return _onnx(path, feed, threads)
    if suffix == "tflite":
        return _tflite(path, feed, threads)
    if suffix == "mlpackage":
        return _coreml(path, feed, unit, classes)
    raise ValueError("no runtime executes a file called " + path)


def saturates(machine: str, cpuinfo: str) -> bool:
    """Whether 8-bit products of unsigned activations and signed weights can overflow on this CPU.

    x86 without the VNNI instructions adds two such products in 16 bits with saturation (VPMADDUBSW).
    ARM has no such instruction. Where the CPU's flags cannot be read, x86 counts as saturating:
    slower then, never wrong.

    Args:
        machine: as `platform.machine()` gives it.
        cpuinfo: text of /proc/cpuinfo, empty on systems without it.
    """
    if machine.lower() not in _X86:
        return False
    words = set(cpuinfo.split())
    return not any(flag in words for flag in _DOT_PRODUCT)


def exact_sums_needed() -> bool:
    """`saturates` for this machine."""
    try:
        with open("/proc/cpuinfo", errors="replace") as info:
            text = info.read()
    except OSError:
        text = ""
    return saturates(platform.machine(), text)


def onnx_options(threads: int, spinning: bool = True) -> Any:
    """Options of every ONNX Runtime session: threads inside an operator, none across, exact sums on every CPU.

    Args:
        threads: 0 for all cores.
        spinning: workers that busy-wait between operators, as ONNX Runtime does by default. Without
            it the machine stays free for others, and a latency would be too high: for accuracy only.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Workers that spin on after a run would slow whatever is timed beside them.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    # Softmax behind a mask of -100, as in Swin, gives denormals, and products with them took a third
    # of the whole model's time.
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if exact_sums_needed():
        options.add_session_config_entry("session.x64quantprecision", "1")
    return options


def onnx_label() -> str:
    """Version and provider; says where sums are kept exact at the price of speed (x86 without VNNI)."""
    import onnxruntime

    exact = " x64quantprecision=1" if exact_sums_needed() else ""
    return "onnxruntime " + str(onnxruntime.__version__) + " cpu" + exact


def litert_label() -> str:
    """Version and delegate."""
    return "litert " + installed("ai-edge-litert") + " xnnpack"


def coreml_label(unit: str) -> str:
    """Core ML is part of the system, so its version is that of macOS; and the compute unit."""
    return "Core ML macOS " + platform.mac_ver()[0] + " " + unit


def litert_threads(threads: int) -> int:
    """How many threads an interpreter gets: those asked for, or one for each core of this process."""
    if threads:
        return threads
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def installed(package: str) -> str:
    """Version of an installed package, "" where it is missing."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _onnx(path: str, feed: Feed, threads: int) -> Opened:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, onnx_options(threads), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    names = [value.name for value in session.get_outputs()]
    last: dict[str, Any] = {}

    def invoke(prepared: Any) -> None:
        last["values"] = session.run(names, prepared)

    return Opened(lambda pixels: {name: tensor(pixels, feed)}, invoke, lambda: last["values"], onnx_label())


def _tflite(path: str, feed: Feed, threads: int) -> Opened:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=litert_threads(threads))
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    ends = [detail["index"] for detail in interpreter.get_output_details()]

    def invoke(prepared: Any) -> None:
        interpreter.set_tensor(entry, prepared)
        interpreter.invoke()

    return Opened(
        lambda pixels: tensor(pixels, feed),
        invoke,
        lambda: [interpreter.get_tensor(index) for index in ends],
        litert_label(),
    )


def _coreml(path: str, feed: Feed, unit: str, classes: Sequence[str]) -> Opened:
    """Not run on a Mac yet: written after coremltools' documentation and tested against a stand-in for it.

    https://apple.github.io/coremltools/source/coremltools.models.html
    """
    import coremltools

    units = getattr(coremltools.ComputeUnit, unit.upper())
    model = coremltools.models.MLModel(path, compute_units=units)
    description = model.get_spec().description
    name = description.input[0].name
    names = [output.name for output in description.output]
    last: dict[str, Any] = {}

    def prepare(pixels: NDArray[np.uint8]) -> Any:
        if feed.layout != "image":
            return {name: tensor(pixels, feed)}
        from PIL import Image

        shown = pixels[0, ..., 0] if pixels.shape[3] == 1 else pixels[0]
        return {name: Image.fromarray(shown)}

    def invoke(prepared: Any) -> None:
        last["values"] = model.predict(prepared)

    def outputs() -> list[NDArray[np.generic]]:
        import numpy

        found = []
        for one in names:
            value = last["values"][one]
            if isinstance(value, dict):  # probabilities by class name
                value = [[value[label] for label in classes]]
            found.append(numpy.asarray(value))
        return found

    def again() -> object:  # without compiling it
        return coremltools.models.CompiledMLModel(model.get_compiled_model_path(), compute_units=units)

    return Opened(prepare, invoke, outputs, coreml_label(unit), again)
