"""What each step of the plan contributes: w8a8 of each target in simulation, all steps but one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import real_models
from bench._quantization.peer_input import given, pixels_of
from edgevit.core.capabilities import BackendCapabilities
from edgevit.core.plugins import Clustering, Range, Rounding
from edgevit.core.types import Graph, Stats
from edgevit.registries import METRICS, REWRITES, TARGETS
from edgevit.steps import messages
from edgevit.steps.planning.algorithms import CLUSTERING, find
from edgevit.steps.planning.decide import measure_all
from edgevit.steps.planning.graph_variants import fold

if TYPE_CHECKING:
    import torch

    from edgevit.core.types import Floats

PRECISION: Final = "w8a8"
SCALES: Final = "smooth_activations"


@dataclass(frozen=True, slots=True)
class Step:
    """Everything that is on.

    Attributes:
        fold: scales of layer norms go into the next layers.
        own: folds that only some targets ask for.
        images: least squares and bias correction, which want what enters a layer.
        channels: scales for each output channel of a linear layer where they pay.
        spare: sites in float where rounding activations costs most.
    """

    name: str
    fold: bool = True
    own: bool = True
    ranges: str = "output_aware"
    images: bool = True
    rounding: str = "gptq"
    channels: bool = True
    spare: bool = True


_ALL_BUT_CHANNELS: Final = Step("all but scales for output channels", channels=False)
_ALL_BUT_OWN: Final = Step("all but streams without a mean and patches as linear layers", own=False)
STEPS: Final = (
    Step("all"),
    Step("all but the LayerNorm fold", fold=False),
    Step("all but output-aware ranges: min-max", ranges="minmax"),
    Step("all but GPTQ: round to nearest", rounding="nearest"),
    Step("all but GPTQ, least squares and bias correction", images=False, rounding="nearest"),
    _ALL_BUT_CHANNELS,
    _ALL_BUT_OWN,
    Step("all but the costly few in float", spare=False),
    Step("none", fold=False, ranges="minmax", images=False, rounding="nearest", channels=False, spare=False),
)


def ablation(name: str, cache: Path, calibration: int, images: int, target: str | None) -> str:
    """The table as Markdown; each row is kept in `cache` when it is made."""
    kept = cache / name / f"ablation-{calibration}-{images}.json"
    kept.parent.mkdir(parents=True, exist_ok=True)
    rows: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    wanted = [(t, step) for t in ([target] if target else TARGETS.names()) for step in _steps(t)]
    if any(f"{t}, {step.name}" not in rows for t, step in wanted):
        for (t, step), row in _measure_missing(name, cache, calibration, images, wanted, rows):
            rows[f"{t}, {step.name}"] = row
            kept.write_text(json.dumps(rows))
            print(f"{t}, {step.name}: {row}", flush=True)
    lines = [f"# {name}, {PRECISION}, simulated on {images} images, {calibration} for calibration\n"]
    lines += [
        "| target | steps of the plan | total dB | agreement % | seconds |",
        "| --- | --- | --- | --- | --- |",
    ]
    for t, step in wanted:
        row = rows[f"{t}, {step.name}"]
        lines.append(
            f"| {t} | {step.name} | {row['sqnr_db']:.1f} | {row['agreement']:.2f} | {row['seconds']:.0f} |"
        )
    return "\n".join([*lines, ""])


def _steps(target: str) -> tuple[Step, ...]:
    """Those that this target can take."""
    capabilities = TARGETS.get(target).capabilities(PRECISION)
    assert capabilities is not None
    unable = {
        _ALL_BUT_CHANNELS: not any(kind.output_channels for kind in capabilities.kinds),
        _ALL_BUT_OWN: capabilities.folds == (SCALES,),
    }
    return tuple(step for step in STEPS if not unable.get(step, False))


def _measure_missing(
    name: str,
    cache: Path,
    calibration: int,
    images: int,
    wanted: list[tuple[str, Step]],
    rows: dict[str, Any],
) -> Iterator[tuple[tuple[str, Step], dict[str, Any]]]:
    import torch

    from edgevit.core.pixels import normalise
    from edgevit.program.run import run

    model = given(name, cache, calibration)
    entered = torch.from_numpy(model.calibration)
    pixels, _ = pixels_of(model.spec, "demo:evaluation", images)
    judged = torch.from_numpy(normalise(pixels, model.spec.preprocess))
    missing = [(t, step) for t, step in wanted if f"{t}, {step.name}" not in rows]
    graph = _graph(name, cache)
    forms = fold(graph, entered, tuple(_capabilities(*each) for each in missing), cache / name, _silent)
    reference = run(graph, judged)[0][0].numpy()
    stats = measure_all(forms, entered, 0, _silent)
    for (t, step), capabilities in zip(missing, forms.backends, strict=True):
        begin = time.perf_counter()
        known = stats[forms.file_of(capabilities)]
        outputs = _simulated(forms.graph_of(capabilities), known, step, capabilities, entered, judged)
        told = {"sqnr_db": METRICS.get("sqnr").compute(reference, outputs, None)}
        told["agreement"] = METRICS.get("agreement").compute(reference, outputs, None)
        yield (t, step), {**told, "seconds": time.perf_counter() - begin}


def _graph(name: str, cache: Path) -> Graph:
    from edgevit.graph.export import export_model
    from edgevit.program import graph_file

    path = cache / name / messages.GRAPH
    if not path.exists():
        rewrites = {rewrite: REWRITES.get(rewrite) for rewrite in REWRITES.names()}
        graph_file.save(export_model(real_models.load(name, cache), rewrites), path)
    return graph_file.load(path)


def _capabilities(target: str, step: Step) -> BackendCapabilities:
    capabilities = TARGETS.get(target).capabilities(PRECISION)
    assert capabilities is not None
    folds = tuple(n for n in capabilities.folds if (step.fold if n == SCALES else step.own))
    return replace(capabilities, folds=folds, float_macs=capabilities.float_macs if step.spare else 0.0)


def _simulated(
    graph: Graph,
    stats: Stats,
    step: Step,
    capabilities: BackendCapabilities,
    images: torch.Tensor,
    judged: torch.Tensor,
) -> Floats:
    from edgevit.quant._site import Choices
    from edgevit.quant.plan import make_plan
    from edgevit.quant.simulate import simulate

    if not step.channels:
        values = {key: value for key, value in stats.values.items() if key[1] != "channel_sensitivity"}
        stats = replace(stats, values=values)
    choices = Choices(find(step.ranges, Range), find(step.rounding, Rounding), find(CLUSTERING, Clustering))
    plan = make_plan(graph, stats, images if step.images else None, capabilities, choices)
    found: Floats = simulate(graph, plan, judged)[0].numpy()
    return found


def _silent(event: dict[str, Any]) -> None:
    """Nothing is told."""
