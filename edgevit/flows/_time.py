"""The step that times the files of one target beside its fp32 file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.types import Candidate
from edgevit.flows import _values
from edgevit.flows._values import Timed, TimeRequest
from edgevit.registries import RUNTIMES, TRANSPORTS


def measure(request: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Worker function: TimeRequest -> Timed, both as plain data."""
    import numpy as np

    asked = from_plain(TimeRequest, request, "request")
    emit({"stage": f"timing {len(asked.paths)} files"})
    runtime = RUNTIMES.get(asked.runtime)
    image = np.load(Path(asked.work) / _values.PIXELS, mmap_mode="r")[:1]
    files = tuple(Candidate(Path(path), runtime) for path in asked.paths)
    word = asked.device.partition(":")[0]
    timings = TRANSPORTS.get(word).measure(asked.device, files, np.array(image), asked.threads, asked.runs)
    return to_plain(Timed(timings))
