"""Open a file on HTP as a whole, or say which operators stand in the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgevit.core.errors import EdgevitError, RefusedError
from edgevit.core.foreign import brief
from edgevit.core.require import require
from edgevit.core.results.lint import Finding
from edgevit.runtimes._onnxruntime import session as ort_session
from edgevit.runtimes._onnxruntime.diagnostics import module_of
from edgevit.runtimes._qnn import bisect, host, refusals
from edgevit.runtimes._qnn import session as htp
from edgevit.runtimes._qnn.refusals import Refusal

if TYPE_CHECKING:
    import onnx
    from onnxruntime import InferenceSession

_NAMED: Final = 3  # refused operators in the message; all are findings
# How ONNX Runtime says that there is an operator left over, and that the backend did not compile the rest.
_LEFT_OVER: Final = ("fallback to CPU EP has been explicitly disabled", "was not selected by that EP")
_NOT_COMPILED: Final = "Failed to finalize QNN graph"
_NOT_COMPILED_ALONE: Final = "HTP validates it and then does not compile it"


def open_whole(
    model: bytes | Path,
    path: Path,
    architecture: str,
    provider: Mapping[str, str] | None = None,
    entries: Mapping[str, str] | None = None,
) -> InferenceSession:
    """A session in which HTP executes all of `model`.

    Args:
        path: the file that `model` is or was made of, for messages.
        provider, entries: further options of the execution provider, and of the session.

    Raises:
        RefusedError: HTP takes only a part of it.
        InputError: no ONNX file, or one that is not consistent.
    """
    options = htp.htp_options(architecture, provider=provider)
    for key, value in (entries or {}).items():
        options.add_session_config_entry(key, value)
    try:
        return htp.start(model, options, path)
    except EdgevitError:
        raise
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
        said = str(error)
        if not any(text in said for text in (*_LEFT_OVER, _NOT_COMPILED)):
            raise ort_session.refused(path, error) from error
        raise _explained(model, path, architecture, brief(error)) from error


def backend(architecture: str) -> str:
    """As `edgevit lint --for` takes it."""
    return f"qnn-{architecture}"


def compiler(architecture: str) -> str:
    """As findings name their source."""
    return f"onnxruntime-qnn {host.version()} for HTP {architecture}"


def _explained(model: bytes | Path, path: Path, architecture: str, said: str) -> RefusedError:
    found = _findings(model, path, architecture)
    if not found:
        return RefusedError(f"HTP {architecture} does not compile {path}: {said}")
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    listed = "; ".join(one.sentence for one in found[:_NAMED])
    count = f"{len(found)} operator{'s' if len(found) > 1 else ''}"
    return RefusedError(
        f"HTP {architecture} does not take {path} as a whole, it refuses {count}: {listed}{more}",
        f"see all of them: edgevit lint {path} --for {backend(architecture)}",
        found,
    )


def _findings(model: bytes | Path, path: Path, architecture: str) -> tuple[Finding, ...]:
    """Why it does not open as a whole: asked once more, with the CPU as way out for what is refused."""
    loaded = _with_names(load(model, path))
    options = htp.htp_options(architecture, fallback=True, severity=htp.VERBOSE)
    said = htp.log_of(loaded.SerializeToString(), options, path)
    found = refusals.blamed(refusals.read_log(said), loaded)
    if not found:
        node = bisect.first_failing(loaded, path, architecture)
        found = () if node is None else ((Refusal(node.op_type, node.name, _NOT_COMPILED_ALONE), node),)
    return tuple(
        Finding(
            backend(architecture),
            refusal.operator,
            refusal.name,
            "" if node is None else module_of(node),
            "compiler",
            refusal.reason,
            compiler(architecture),
        )
        for refusal, node in found
    )


def load(model: bytes | Path, path: Path) -> onnx.ModelProto:
    """The model as a protobuf message; weights in a file beside it stay there."""
    if isinstance(model, Path):
        return ort_session.read_model(path)
    loaded: onnx.ModelProto = require("onnx", host.EXTRA).load_from_string(model)
    return loaded


def _with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Each node with a name, by which the log tells them apart."""
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}#{index}"
    return model
