"""Every kind of plug-in, one line each: a new file in one of these folders, or an entry point of another package."""

from __future__ import annotations

from typing import Final

from edgevit.core.plugins import (
    Algorithm,
    Checker,
    Method,
    Metric,
    Observer,
    Rewrite,
    Runtime,
    SampleSource,
    Source,
    Target,
    Transport,
)
from edgevit.core.registry import Registry

SOURCES: Final = Registry("source", "edgevit.models", "SOURCE", Source, "edgevit.sources")
REWRITES: Final = Registry("rewrite", "edgevit.graph.rewrites", "REWRITE", Rewrite, "edgevit.rewrites")
METHODS: Final = Registry("pruning method", "edgevit.prune", "METHOD", Method, "edgevit.methods")
ALGORITHMS: Final = Registry(
    "algorithm", "edgevit.quant.algorithms", "ALGORITHM", Algorithm, "edgevit.algorithms"
)
RUNTIMES: Final = Registry("runtime", "edgevit.runtimes", "RUNTIME", Runtime, "edgevit.runtimes")
METRICS: Final = Registry("metric", "edgevit.validate.metrics", "METRIC", Metric, "edgevit.metrics")
TRANSPORTS: Final = Registry(
    "device", "edgevit.devices.transports", "TRANSPORT", Transport, "edgevit.devices"
)
TARGETS: Final = Registry("target", "converters", "TARGET", Target, "edgevit.targets")
OBSERVERS: Final = Registry("observer", "calibration.observers", "OBSERVER", Observer, "edgevit.observers")
SAMPLES: Final = Registry(
    "kind of samples", "calibration.samples", "SAMPLES", SampleSource, "edgevit.samples"
)
CHECKERS: Final = Registry("accelerator", "edgevit.accelerators", "CHECKER", Checker, "edgevit.accelerators")
