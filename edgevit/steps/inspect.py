"""The steps that look into a model or a converted file."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgevit.core._plain import from_plain, to_plain
from edgevit.core.disk.artifact import artifact_size
from edgevit.core.errors import UnsupportedError
from edgevit.core.plugins import Head
from edgevit.core.progress import Emit
from edgevit.core.types import NOT_STATED
from edgevit.registries import REWRITES
from edgevit.steps.artifacts import contents_of, guess_precision
from edgevit.steps.messages import PrepareRequest
from edgevit.steps.output_kind import model_kind
from edgevit.steps.run_float import run_float
from edgevit.steps.samples import read_samples

if TYPE_CHECKING:
    from edgevit.core.types import Floats, TorchModel

_SAMPLES: Final = "synthetic:4"


def artifact(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Worker function: {path} -> what the file holds and what of it runs in integers.

    A file with operators that nothing here executes is looked into all the same, and they are named.
    """
    path = Path(request["path"])
    runtime, contents = contents_of(path)
    integer, warnings = None, []
    try:
        integer = runtime.integer_macs(path)
    except UnsupportedError as error:
        warnings = [error.message, *filter(None, (error.hint,))]
    return {
        "kind": "artifact",
        "precision": guess_precision(contents, integer),
        "size_bytes": artifact_size(path),
        "inputs": [to_plain(spec) for spec in contents.inputs],
        "outputs": [to_plain(spec) for spec in contents.outputs],
        "operators": dict(contents.operators),
        "max_rank": contents.max_rank,
        "weight_bytes": dict(contents.weight_bytes),
        "integer_macs": None if integer is None else to_plain(integer),
        "preprocess": None if contents.preprocess is None else to_plain(contents.preprocess),
        "labels": list(contents.labels),
        "output": None if contents.output is None else to_plain(contents.output),
        "metadata": dict(contents.metadata),
        "warnings": warnings,
    }


def model(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Worker function: PrepareRequest -> what the exported model consists of."""
    from edgevit.graph.export import export_model
    from edgevit.program.sites import list_sites, total_macs
    from edgevit.steps.open import load_model

    asked = from_plain(PrepareRequest, request, "request")
    loaded = load_model(asked.recipe, needs_preprocess=False)
    graph = export_model(
        loaded, {name: REWRITES.get(name) for name in REWRITES.names()}, asked.recipe.without
    )
    sites = list_sites(graph)
    output = model_kind(loaded.spec.output, graph.program, _probe(loaded))
    weights: Counter[str] = Counter()
    for tensor in {**graph.program.state_dict, **graph.program.constants}.values():
        if hasattr(tensor, "dtype"):
            weights[str(tensor.dtype).removeprefix("torch.")] += tensor.element_size() * math.prod(
                tensor.shape
            )
    spec = loaded.spec
    return {
        "kind": "model",
        "name": spec.name,
        "source": spec.source,
        "parameters": spec.parameters,
        "macs": total_macs(graph),
        "outputs": [to_plain(output) for output in spec.outputs],
        "operators": dict(Counter(site.kind for site in sites).most_common()),
        "max_rank": max((len(site.shape) for site in sites), default=0),
        "weight_bytes": dict(weights),
        "weights_sha256": spec.weights_sha256,
        "weights_origin": spec.weights_origin,
        "rewrites": list(graph.rewrites),
        "notes": list(graph.notes),
        "preprocess": None if spec.preprocess_origin == NOT_STATED else to_plain(spec.preprocess),
        "preprocess_origin": spec.preprocess_origin,
        "labels": list(spec.labels),
        "output": to_plain(output),
        "warnings": list(spec.warnings),
    }


def _probe(loaded: TorchModel) -> Floats:
    """The first output on a few synthetic images, float32 (N, ...)."""
    pixels, *_ = read_samples(
        _SAMPLES,
        Head(channels=loaded.spec.preprocess.channels),
        loaded.spec.preprocess,
        None,
        False,
        lambda n: None,
    )
    return next(iter(run_float(loaded, pixels).values()))
