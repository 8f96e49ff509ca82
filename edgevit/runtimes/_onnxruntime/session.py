"""Sessions of ONNX Runtime: options, taps, and foreign errors turned into ours."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.core.disk.regular import regular_file
from edgevit.core.errors import InputError, UnsupportedError, UsageError
from edgevit.core.foreign import brief
from edgevit.core.require import require
from edgevit.runtimes._onnxruntime.diagnostics import blamed
from edgevit.runtimes._onnxruntime.external import check_external

if TYPE_CHECKING:
    import onnx
    from onnxruntime import InferenceSession, SessionOptions

EXTRA: Final = "onnx"
AGAIN: Final = "convert the model again"
_LACKING: Final = (
    "its CPU provider has the operators of ONNX up to its own opset and those of com.microsoft, each for some types; "
    "libraries of custom operators are not loaded"
)
_X86: Final = ("x86_64", "amd64", "i386", "i686")
_DOT_PRODUCT: Final = ("avx512_vnni", "avx_vnni", "avxvnni")


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
    info = Path("/proc/cpuinfo")
    return saturates(platform.machine(), info.read_text(errors="replace") if info.exists() else "")


def session_options(threads: int, *, spinning: bool = True) -> SessionOptions:
    """Options of every session: threads inside an operator, none across, exact sums on every CPU.

    Args:
        threads: 0 for all cores.
        spinning: workers that busy-wait between operators, as ONNX Runtime does by default. Without
            it the machine stays free for others, and a latency would be too high: for accuracy only.
    """
    ort = require("onnxruntime", EXTRA)
    options = ort.SessionOptions()
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


def open_session(model: bytes | Path, options: SessionOptions, path: Path) -> InferenceSession:
    """A session on the CPU provider; `path` is for the messages, and where weights beside the file are.

    Raises:
        InputError: missing, not ONNX, or not consistent.
        UnsupportedError: an operator that ONNX Runtime does not have.
    """
    ort = require("onnxruntime", EXTRA)
    if isinstance(model, bytes):
        folder = str(path.resolve().parent)
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    given = model if isinstance(model, bytes) else str(regular_file(model, "the ONNX file"))
    try:
        return ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> InputError | UnsupportedError:
    """What ONNX Runtime does not load: an operator that it lacks, else a file that is wrong."""
    said = str(error)
    message = f"{brief(error)}{blamed(said, read_model(path))}"  # a file that is no ONNX at all says so here
    if (
        type(error).__name__ == "NotImplemented"
        or "is not a registered" in said
        or "No Op registered" in said
    ):
        return UnsupportedError(f"ONNX Runtime cannot execute {path}: {message}", _LACKING)
    return InputError(f"{path} is not an ONNX model that can be loaded: {message}", AGAIN)


def read_model(path: Path) -> onnx.ModelProto:
    """The file as a protobuf message; weights in a file beside it stay there.

    Raises:
        InputError: missing, not ONNX, or with weights in a place where they may not be.
    """
    model: onnx.ModelProto
    onnx = require("onnx", EXTRA)
    with _readable(path):
        model = onnx.load(str(regular_file(path, "the ONNX file")), load_external_data=False)
    if not model.graph.node or not model.opset_import:
        raise InputError(f"{path} holds no ONNX graph", "give a .onnx file")
    if not _is_text(model):
        raise InputError(f"{path} is damaged: a name in it is not valid Unicode", AGAIN)
    check_external(model, path)
    return model


def with_outputs(model: onnx.ModelProto, names: Sequence[str], path: Path) -> bytes:
    """The model with the tensors `names` as further outputs.

    Raises:
        UsageError: no node makes a tensor of that name.
    """
    onnx = require("onnx", EXTRA)
    made = {name for node in model.graph.node for name in node.output}
    present = {value.name for value in model.graph.output}
    for name in names:
        if name not in made:
            raise UsageError(
                f"{path} has no intermediate tensor {name!r}", "see the names with any ONNX viewer"
            )
        if name not in present:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
            present.add(name)
    return bytes(model.SerializeToString())


def _is_text(model: onnx.ModelProto) -> bool:
    """Whether all names and metadata are; protobuf gives bytes for a text field that is not UTF-8."""
    onnx = require("onnx", EXTRA)
    waiting: list[Any] = [model]
    while waiting:
        message = waiting.pop()
        if isinstance(message, onnx.TensorProto):  # its name alone: listing the fields would copy the numbers
            if not isinstance(message.name, str):
                return False
            continue
        for field, value in message.ListFields():
            several = value if not isinstance(value, str | bytes) and hasattr(value, "__len__") else (value,)
            if field.type == field.TYPE_STRING and not all(isinstance(text, str) for text in several):
                return False
            if field.type == field.TYPE_MESSAGE:
                waiting += several
    return True


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (InputError, UnsupportedError, UsageError):
        raise
    except Exception as error:  # protobuf and ONNX Runtime raise a dozen unrelated classes
        raise InputError(f"{path} is not an ONNX model that can be loaded: {brief(error)}", AGAIN) from error
