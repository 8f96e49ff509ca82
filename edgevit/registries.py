"""Every kind of plug-in, one line each. A new file in one of these folders is a new plug-in."""

from __future__ import annotations

from typing import Final

from edgevit.core.plugins import (
    Algorithm,
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

SOURCES: Final = Registry("source", "edgevit.models", "SOURCE", Source)
REWRITES: Final = Registry("rewrite", "edgevit.graph.rewrites", "REWRITE", Rewrite)
METHODS: Final = Registry("pruning method", "edgevit.prune", "METHOD", Method)
ALGORITHMS: Final = Registry("algorithm", "edgevit.quant.algorithms", "ALGORITHM", Algorithm)
RUNTIMES: Final = Registry("runtime", "edgevit.runtimes", "RUNTIME", Runtime)
METRICS: Final = Registry("metric", "edgevit.validate.metrics", "METRIC", Metric)
TRANSPORTS: Final = Registry("device", "edgevit.devices", "TRANSPORT", Transport)
TARGETS: Final = Registry("target", "converters", "TARGET", Target)
OBSERVERS: Final = Registry("observer", "calibration.observers", "OBSERVER", Observer)
SAMPLES: Final = Registry("kind of samples", "calibration.samples", "SAMPLES", SampleSource)
