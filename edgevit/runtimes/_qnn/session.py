"""Sessions in which HTP executes the whole graph, or none.

The QNN execution provider takes what the backend validates and would leave the rest to ONNX Runtime's CPU provider;
with `session.disable_cpu_ep_fallback` such a file does not open instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final

from edgevit.core.disk.regular import regular_file
from edgevit.core.require import require
from edgevit.runtimes._qnn import host
from edgevit.runtimes._qnn.native_output import captured

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, OrtEpDevice, SessionOptions

PROVIDER: Final = "QNNExecutionProvider"
_ERRORS: Final = 3
VERBOSE: Final = 0


def htp_options(
    architecture: str,
    *,
    fallback: bool = False,
    severity: int = _ERRORS,
    provider: Mapping[str, str] | None = None,
) -> SessionOptions:
    """Options of a session on HTP.

    Args:
        architecture: `v75`; a device is what it is.
        fallback: let the CPU execute what HTP refuses.
        severity: of the log, 0 for everything.
        provider: further options of the execution provider.

    Raises:
        MissingDependencyError: the extra is not installed.
    """
    ort = require("onnxruntime", host.EXTRA)
    qnn = require(host.PACKAGE, host.EXTRA)
    if not _devices(ort):
        ort.register_execution_provider_library(PROVIDER, qnn.get_library_path())
    options: SessionOptions = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = severity
    if not fallback:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    own = {"backend_path": qnn.get_qnn_htp_path(), "offload_graph_io_quantization": "0"}
    if host.emulated():
        own["htp_arch"] = architecture.removeprefix("v")
    options.add_provider_for_devices(_devices(ort)[:1], {**own, **(provider or {})})
    return options


def start(model: bytes | Path, options: SessionOptions, path: Path) -> InferenceSession:
    """The session; raises whatever ONNX Runtime raises.

    Args:
        path: where weights beside the file are.
    """
    with captured():
        return _start(model, options, path)


def log_of(model: bytes | Path, options: SessionOptions, path: Path) -> str:
    """What is logged while such a session is made, whether it can be made or not."""
    with captured() as said, suppress(Exception):  # ONNX Runtime raises a dozen unrelated classes
        _start(model, options, path)
    return said()


def _start(model: bytes | Path, options: SessionOptions, path: Path) -> InferenceSession:
    ort = require("onnxruntime", host.EXTRA)
    if isinstance(model, bytes):
        folder = str(path.resolve().parent)
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    given = model if isinstance(model, bytes) else str(regular_file(model, "the ONNX file").resolve())
    session: InferenceSession = ort.InferenceSession(given, options)
    return session


def _devices(ort: ModuleType) -> list[OrtEpDevice]:
    return [device for device in ort.get_ep_devices() if device.ep_name == PROVIDER]
