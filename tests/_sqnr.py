"""How tests compare two results; written apart from the product's own metric."""

from __future__ import annotations

import numpy as np


def sqnr(reference: object, candidate: object) -> float:
    """Signal to noise in dB; two arrays or tensors of equal size."""
    wanted, found = (np.asarray(v, np.float64).ravel() for v in (reference, candidate))
    return float(10 * np.log10(np.square(wanted).sum() / max(np.square(wanted - found).sum(), 1e-300)))
