"""The step that writes the files of one target, all its precisions in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.errors import EdgevitError
from edgevit.core.types import QuantPlan
from edgevit.flows import _values
from edgevit.flows._values import BuildRequest, Built, BuiltAll
from edgevit.registries import TARGETS


def build(request: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Worker function: BuildRequest -> BuiltAll, both as plain data.

    A precision that cannot be written is reported with its error; the others are still made.
    """
    from edgevit.graph import storage
    from edgevit.quant import storage as plans

    asked = from_plain(BuildRequest, request, "request")
    work = Path(asked.work)
    target = TARGETS.get(asked.target)
    known = plans.load(work / _values.PLANS)
    prepared: dict[str, object] = {}
    files = []
    for precision in asked.precisions:
        emit({"stage": f"{asked.target} {precision}"})
        begin = time.perf_counter()
        graph = asked.graphs[precision]
        plan: QuantPlan | None = plans.find(known, asked.target, precision)
        folder = Path(asked.folders[precision])
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"model.{target.suffix}"
        try:
            if graph not in prepared:
                prepared[graph] = target.prepare(storage.load(work / graph), asked.spec, asked.options)
            sites = target.write(prepared[graph], precision, plan, path)
        except EdgevitError as error:
            files.append(Built(asked.target, precision, time.perf_counter() - begin, error=error.message))
        else:
            files.append(Built(asked.target, precision, time.perf_counter() - begin, str(path), sites))
        emit({"built": to_plain(files[-1])})
    return to_plain(BuiltAll(tuple(files)))
