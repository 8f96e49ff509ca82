"""`edgevit profile`: how long one file takes."""

from __future__ import annotations

from pathlib import Path

from edgevit.core._plain import to_plain
from edgevit.core.errors import UnsupportedError, UsageError, nearest
from edgevit.core.process.scratch import WORK, scratch
from edgevit.core.progress import Progress
from edgevit.core.results.answer import Answer, Table
from edgevit.core.settings.recipe import Recipe
from edgevit.flows import _jobs
from edgevit.flows._environment import environment
from edgevit.registries import RUNTIMES, TRANSPORTS
from edgevit.steps.artifacts import one_artifact, runtime_for
from edgevit.steps.messages import Timed, TimeRequest


def profile(artifact: Path, device: str, runs: int, recipe: Recipe, progress: Progress) -> Answer:
    """Time `runs` executions after a warm-up, on one synthetic image; of `recipe` limits and threads count.

    Raises:
        UsageError: an unknown device.
        UnsupportedError: nothing here executes the file, or its time would say nothing about a device.
    """
    from edgevit.validate.latency import summarize

    word = device.partition(":")[0]
    if word not in TRANSPORTS.names():
        raise UsageError(f"unknown device {device!r}", nearest(word, TRANSPORTS.names()))
    found = one_artifact(artifact)
    artifact, runtime = found.path, runtime_for(found.target)
    if not RUNTIMES.get(runtime).has_latency:
        raise UnsupportedError(
            f"{artifact.name} is executed here by {runtime}, whose time says nothing about a device",
            "profile it on a Mac, where Core ML itself executes it",
        )
    with scratch(WORK) as work:
        request = TimeRequest(
            work=str(work),
            runtime=runtime,
            device=device,
            threads=recipe.threads,
            runs=runs,
            paths=(str(artifact.absolute()),),
        )
        progress.stage(f"timing {artifact.name}")
        step = f"timing {artifact.name}"
        job = _jobs.on_file(step, "time_files:measure", request, artifact, recipe, recipe.threads)
        (timing,) = _jobs.run(job, Timed).timings
    latency = summarize(timing)
    data = {
        "artifact": str(artifact),
        "device": device,
        "executed_by": RUNTIMES.get(runtime).label(),
        "latency": to_plain(latency),
        "runs_ms": list(timing.runs_ms),
        "environment": to_plain(environment()),
    }
    p90 = "too few runs" if latency.p90_ms is None else f"{latency.p90_ms:.3f} ms"
    rows = (
        ("p50", f"{latency.p50_ms:.3f} ms"),
        ("p90", p90),
        ("fastest", f"{min(timing.runs_ms):.3f} ms"),
        ("slowest", f"{max(timing.runs_ms):.3f} ms"),
        ("cold load", f"{latency.cold_load_ms:.1f} ms"),
        ("runs", str(latency.runs)),
        ("threads", str(latency.threads)),
    )
    return Answer(data, (Table(f"{artifact.name} on {device}", ("what", "value"), rows),))
