"""The steps that look into a model or a converted file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from edgevit.core.disk.artifact import artifact_size
from edgevit.core.errors import UnsupportedError
from edgevit.core.outputs import OutputKind
from edgevit.core.plugins import Head
from edgevit.core.precisions import Precision
from edgevit.core.process.sandbox import Isolation
from edgevit.core.progress import Emit
from edgevit.core.runner import IntegerMacs
from edgevit.core.types import NOT_STATED, Preprocess, TensorSpec
from edgevit.registries import REWRITES
from edgevit.steps.artifacts import contents_of, guess_precision
from edgevit.steps.messages import PrepareRequest
from edgevit.steps.output_kind import model_kind
from edgevit.steps.run_float import run_float
from edgevit.steps.samples import read_samples

if TYPE_CHECKING:
    from edgevit.core.types import Floats, TorchModel

_SAMPLES: Final = "synthetic:4"


@dataclass(frozen=True, slots=True)
class ArtifactRequest:
    """Path of a converted file."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFacts:
    """What a converted file holds, and what of it runs in integers; the fields are those of `edgevit inspect --json`.

    Attributes:
        weight_bytes: bytes by type of number.
        isolation: what held the step back.
    """

    kind: Literal["artifact"] = "artifact"
    precision: Precision
    size_bytes: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int]
    max_rank: int
    weight_bytes: Mapping[str, int]
    integer_macs: IntegerMacs | None
    preprocess: Preprocess | None
    labels: tuple[str, ...]
    output: OutputKind | None
    metadata: Mapping[str, str]
    warnings: tuple[str, ...]
    isolation: Isolation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What a model consists of; the fields are those of `edgevit inspect --json`.

    Attributes:
        macs: multiply-accumulates for one image.
        weight_bytes: bytes by type of number.
        isolation: what held the step back; None for a model that was not loaded in a sandbox.
    """

    kind: Literal["model"] = "model"
    name: str
    source: str
    parameters: int
    macs: int
    outputs: tuple[TensorSpec, ...]
    operators: Mapping[str, int]
    max_rank: int
    weight_bytes: Mapping[str, int]
    weights_sha256: str
    weights_origin: str
    rewrites: tuple[str, ...]
    notes: tuple[str, ...]
    preprocess: Preprocess | None
    preprocess_origin: str
    labels: tuple[str, ...]
    output: OutputKind
    warnings: tuple[str, ...]
    isolation: Isolation | None = None


def artifact(asked: ArtifactRequest, emit: Emit) -> ArtifactFacts:
    """Look into a converted file. Runs in a worker.

    A file with operators that nothing here executes is looked into all the same, and they are named.
    """
    path = Path(asked.path)
    runtime, contents = contents_of(path)
    integer = None
    warnings: tuple[str, ...] = ()
    try:
        integer = runtime.integer_macs(path)
    except UnsupportedError as error:
        warnings = (error.message, *filter(None, (error.hint,)))
    return ArtifactFacts(
        precision=guess_precision(contents, integer),
        size_bytes=artifact_size(path),
        inputs=contents.inputs,
        outputs=contents.outputs,
        operators=dict(contents.operators),
        max_rank=contents.max_rank,
        weight_bytes=contents.weight_bytes,
        integer_macs=integer,
        preprocess=contents.preprocess,
        labels=contents.labels,
        output=contents.output,
        metadata=contents.metadata,
        warnings=warnings,
    )


def model(asked: PrepareRequest, emit: Emit) -> ModelFacts:
    """Export a model and count what it consists of. Runs in a worker."""
    from edgevit.graph.export import export_model
    from edgevit.program.sites import list_sites, total_macs
    from edgevit.steps.open import load_model

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
    return ModelFacts(
        name=spec.name,
        source=spec.source,
        parameters=spec.parameters,
        macs=total_macs(graph),
        outputs=spec.outputs,
        operators=dict(Counter(site.kind for site in sites).most_common()),
        max_rank=max((len(site.shape) for site in sites), default=0),
        weight_bytes=dict(weights),
        weights_sha256=spec.weights_sha256,
        weights_origin=spec.weights_origin,
        rewrites=graph.rewrites,
        notes=graph.notes,
        preprocess=None if spec.preprocess_origin == NOT_STATED else spec.preprocess,
        preprocess_origin=spec.preprocess_origin,
        labels=spec.labels,
        output=output,
        warnings=spec.warnings,
    )


def _probe(loaded: TorchModel) -> Floats:
    """The first output on a few synthetic images, float32 (N, ...)."""
    images = read_samples(
        _SAMPLES,
        Head(channels=loaded.spec.preprocess.channels),
        loaded.spec.preprocess,
        None,
        False,
        lambda n: None,
    )
    return next(iter(run_float(loaded, images.pixels).values()))
