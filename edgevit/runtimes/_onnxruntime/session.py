"""Sessions of ONNX Runtime: options, taps, and foreign errors turned into ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.agent.opened import onnx_options
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


def session_options(threads: int, *, spinning: bool = True) -> SessionOptions:
    """Those of every session, here and on devices (`edgevit.agent.opened.onnx_options`)."""
    require("onnxruntime", EXTRA)
    options: SessionOptions = onnx_options(threads, spinning)
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
        raise refused(path, error) from error


def refused(path: Path, error: Exception) -> InputError | UnsupportedError:
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


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """What the file says of itself as a whole."""
    return {entry.key: entry.value for entry in model.metadata_props}


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
