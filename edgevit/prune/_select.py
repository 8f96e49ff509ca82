"""Which hidden neurons of an MLP to keep, and how those that stay take over the work of the others.

The second layer computes y = W h + b, W (outputs, hidden), from hidden activations h with mean m (hidden,) and
covariance C (hidden, hidden) over all tokens of the calibration images. With the set S kept, the best map of h_S is

    W' = W_S + W_R C_RS C_SS^-1      b' = b + W m - W' m_S      R: the removed neurons

and loses trace(W_R (C_RR - C_RS C_SS^-1 C_SR) W_R^T) of the output's variance.

1. S is found by backward elimination. With P the inverse covariance of those that remain and w_j the column with all
   folds so far, removing neuron j costs |w_j|^2 / P_jj (optimal brain surgeon, Hassibi and Stork 1993, equation 5). The
   cheapest goes; P and W are updated by one rank.
2. W' is solved for once more at the end, with a ridge towards the original columns against neurons that never vary.
3. The number kept is a multiple of 8 where that leaves any choice: kernels work in such blocks.

The affine fold is that of CORP (https://arxiv.org/abs/2602.05243); folding the mean alone is
https://arxiv.org/abs/2507.12988.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgevit.prune._moments import HiddenMoments

if TYPE_CHECKING:
    import torch

# Ridge as a fraction of the mean variance of the neurons: without it, neurons that never vary, or
# fewer tokens than neurons, leave the normal equations singular.
RIDGE = 1e-3


@dataclass(frozen=True, slots=True)
class Fold:
    """The next layer after the removal.

    Attributes:
        kept: sorted indices of the hidden neurons that stay, int64 (keep,).
        weight, bias: float64 (out, keep) and (out,).
        error: variance of the layer's output that is lost, as a fraction of all of it.
        error_unfolded: the same if the columns had only been dropped, mean folded into the bias.
    """

    kept: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    error: float
    error_unfolded: float


def keep_count(hidden: int, amount: float) -> int:
    """How many of `hidden` neurons stay: the multiple of 8 nearest to (1 - amount) of them, else the nearest count."""
    wanted = hidden * (1 - amount)
    keep = 8 * round(wanted / 8)
    return keep if 0 < keep < hidden else min(max(round(wanted), 1), hidden - 1)


def select(moments: HiddenMoments, weight: torch.Tensor, bias: torch.Tensor | None, keep: int) -> Fold:
    """Keep `keep` neurons so that an affine map of them comes close to the layer's output in least squares.

    Neurons go one by one, each time the one that the remaining ones replace best: with P the inverse
    covariance of those that remain and w_j the column of the weight with all folds so far, removing j
    raises the squared error by |w_j|^2 / P_jj (optimal brain surgeon, Hassibi and Stork 1993). The final
    weight is solved for once more, with ridge towards the original columns; the affine fold is that of
    CORP (arXiv 2602.05243), of which folding the mean (arXiv 2507.12988) is the first half.

    Args:
        weight: (out, hidden) of the layer that reads the neurons; bias: (out,) or None.
    """
    import torch

    weight = weight.detach().double()
    covariance = moments.covariance
    hidden = len(covariance)
    ridge = RIDGE * float(covariance.diagonal().mean()) or 1.0
    regular = covariance + ridge * torch.eye(hidden, dtype=torch.float64)
    kept = _eliminate(torch.cholesky_inverse(torch.linalg.cholesky(regular)), weight, keep)
    mask = torch.ones(hidden, dtype=torch.bool)
    mask[kept] = False
    gone = mask.nonzero().flatten()
    factor = torch.linalg.cholesky(regular[kept][:, kept])
    shares = torch.cholesky_solve(covariance[kept][:, gone], factor)  # (keep, gone)
    folded = weight[:, kept] + weight[:, gone] @ shares.T
    old = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.detach().double()
    lost, dropped = weight.clone(), weight.clone()
    lost[:, kept] -= folded
    dropped[:, kept] = 0
    return Fold(
        kept=kept,
        weight=folded,
        bias=old + weight @ moments.mean - folded @ moments.mean[kept],
        error=_variance(lost, covariance) / max(_variance(weight, covariance), 1e-300),
        error_unfolded=_variance(dropped, covariance) / max(_variance(weight, covariance), 1e-300),
    )


def _eliminate(inverse: torch.Tensor, weight: torch.Tensor, keep: int) -> torch.Tensor:
    """Backward elimination; the downdates of `inverse` are kept as vectors, O(hidden * removed) per step."""
    import torch

    hidden = len(inverse)
    current = weight.clone()
    diagonal = inverse.diagonal().clone()
    norms = current.square().sum(0)
    alive = torch.ones(hidden, dtype=torch.bool)
    vectors = torch.zeros(hidden - keep, hidden, dtype=torch.float64)
    for step in range(hidden - keep):
        cost = torch.where(alive, norms / diagonal, torch.inf)
        index = int(cost.argmin())
        column = inverse[:, index] - vectors[:step].T @ vectors[:step, index]
        root = column[index].sqrt()
        vector = torch.where(alive, column / root, 0.0)
        taken = current[:, index] / root
        norms = norms - 2 * vector * (taken @ current) + vector.square() * taken.square().sum()
        current.addr_(taken, vector, alpha=-1)
        diagonal = diagonal - vector.square()
        vectors[step] = vector
        alive[index] = False
    return alive.nonzero().flatten()


def _variance(weight: torch.Tensor, covariance: torch.Tensor) -> float:
    return float(((weight @ covariance) * weight).sum())
