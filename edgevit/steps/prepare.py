"""The step of a conversion that needs PyTorch: load, prune, export, calibrate, plan, simulate.

Runs in a worker; what later steps need is left in the work folder. Two halves: `float_model.py` ends with the graph and
what the float model gave, `planning/quantize.py` with the plans and what each costs.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import replace

from edgevit.core.cache.memory import Memory
from edgevit.core.process.memory import peak_bytes
from edgevit.core.progress import Emit, Warn
from edgevit.core.types import ModelSpec
from edgevit.steps.float_model import FloatModel, measure
from edgevit.steps.kept import array_digest
from edgevit.steps.messages import Prepared, PrepareRequest
from edgevit.steps.planning.quantize import Quantized, quantize
from edgevit.steps.samples import ReadImages


def prepare(asked: PrepareRequest, emit: Emit) -> Prepared:
    """Load, prune, export, calibrate, plan and simulate. Runs in a worker."""
    clock = _Clock()
    memory = Memory(asked.memory, lambda text: emit(Warn(text)))
    model = measure(asked, emit, clock.lap, memory)
    gc.collect()  # weights that rewrites replaced, as large as the graph's, hang in cycles
    clock.lap("export")
    quantized = quantize(asked, model, emit, clock.lap)
    return replace(_told(model, quantized, clock.seconds), recalled=tuple(memory.hits))


def _told(model: FloatModel, quantized: Quantized, seconds: dict[str, float]) -> Prepared:
    """What the parent process is told; warnings in the order in which a reader can act on them."""
    from edgevit.program.sites import total_macs

    calibrate, evaluate = model.images.calibrate, model.images.evaluate
    judged, diagnosis = model.images.judged, model.diagnosis
    return Prepared(
        spec=model.spec,
        macs=total_macs(model.graph),
        rewrites=model.graph.rewrites,
        calibrate=calibrate.described if calibrate is not None else None,
        evaluate=evaluate.described,
        images=len(judged.pixels),
        labelled=judged.labels is not None,
        fidelity_images=len(model.inputs),
        base=model.base,
        pruned=model.pruned,
        simulated=quantized.simulated,
        prune=model.prune,
        left_out=model.left_out,
        folds=quantized.folded,
        keep_float32=model.keep_float32,
        warnings=(
            *model.spec.warnings,
            *model.refolded,
            *(calibrate.warnings if calibrate is not None else ()),
            *evaluate.warnings,
            *quantized.unlike,
            *(doubt.text for doubt in diagnosis.doubts),
            *diagnosis.warnings,
            *quantized.constant,
        ),
        doubts=diagnosis.doubts,
        other_resize=model.other_resize,
        notes=(*model.graph.notes, *_about_heads(model.spec, evaluate)),
        graphs=quantized.graphs,
        first_image=array_digest(judged.pixels[:1]),
        timings_s=seconds,
        peak_bytes=peak_bytes(),
    )


def _about_heads(spec: ModelSpec, evaluate: ReadImages) -> Iterator[str]:
    """Which output the labels of the images were taken for, and what is told of the others."""
    if not spec.heads or evaluate.described is None:
        return
    if evaluate.labels is not None:
        yield f"the labels of the evaluation images are taken for those of the output {spec.outputs[0].name}"
    without = [head for head in spec.heads if head not in evaluate.head_labels]
    if without:
        yield (
            f"nothing says what the images show for {', '.join(without)}, so that only the agreement with the float "
            f"model is told: a .npz or a metadata.csv may hold labels_{without[0]} beside labels"
        )


class _Clock:
    """Seconds per stage, as they end."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
