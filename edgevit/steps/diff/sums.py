"""Errors of tensors, summed up over images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.core.decibels import sqnr_db

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class Sums:
    """Sums over all elements of all images; `signal` of the reference, `noise` of the difference."""

    signal: float = 0.0
    noise: float = 0.0
    other: float = 0.0
    dot: float = 0.0
    largest: float = 0.0

    def add(self, reference: torch.Tensor, candidate: torch.Tensor) -> None:
        """Count one image in. A place that is infinite in both, as in a mask, is left out."""
        import torch

        first, second = reference.double().flatten(), candidate.double().flatten()
        finite = torch.isfinite(first)
        if not torch.equal(finite, torch.isfinite(second)):
            self.noise, self.largest = math.inf, math.inf
            return
        if not bool(finite.all()):
            first, second = first[finite], second[finite]
        if not first.numel():
            return
        difference = first - second
        self.signal += float(first.square().sum())
        self.other += float(second.square().sum())
        self.noise += float(difference.square().sum())
        self.dot += float((first * second).sum())
        self.largest = max(self.largest, float(difference.abs().max()))

    @property
    def db(self) -> float:
        """SQNR in dB, between -200 and 200: equal tensors give 200, as in the metric `sqnr`."""
        return sqnr_db(self.signal, self.noise)

    @property
    def cosine(self) -> float:
        """Cosine of the angle between both; 1 for two zeros, -1 where one is not finite."""
        if math.isinf(self.noise):
            return -1.0
        if self.noise == 0:
            return 1.0
        length = math.sqrt(self.signal) * math.sqrt(self.other)
        return 0.0 if length == 0 else max(-1.0, min(1.0, self.dot / length))

    @property
    def max_abs(self) -> float:
        """Largest absolute difference; the largest float32 where one is not finite."""
        return 3.4e38 if math.isinf(self.largest) else self.largest


def sqnr(reference: torch.Tensor, candidate: torch.Tensor) -> float:
    """SQNR of two tensors of as many elements, dB."""
    sums = Sums()
    sums.add(reference, candidate)
    return sums.db
