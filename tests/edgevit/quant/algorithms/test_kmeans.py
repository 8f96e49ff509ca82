"""Palettes against scikit-learn's k-means."""

from __future__ import annotations

import torch
from sklearn.cluster import KMeans

from edgevit.quant.algorithms import kmeans
from tests.edgevit.quant.algorithms.test_gptq import correlated


def test_values_lose_no_more_than_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(2000, generator=generator, dtype=torch.float64) ** 3
    counts = torch.rand(2000, generator=generator, dtype=torch.float64) + 0.01
    values = kmeans.fit(weights, counts, 16)
    assert values.shape == (16,) and (values.diff() >= 0).all()
    lost = (counts * (weights[:, None] - values).square().amin(1)).sum()
    theirs = KMeans(16, n_init=10, random_state=0).fit(weights[:, None].numpy(), sample_weight=counts.numpy())
    assert float(lost) < 1.1 * theirs.inertia_


def test_as_many_values_as_weights_lose_nothing() -> None:
    weights = torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=torch.float64)
    assert kmeans.fit(weights, torch.ones(4, dtype=torch.float64), 4).tolist() == [-1.0, 0.0, 0.5, 2.0]


def test_each_weight_takes_the_nearest_value_of_its_rows_list() -> None:
    weights = torch.tensor([[[0.1, 0.9, -5.0], [0.1, 0.9, 8.0]]], dtype=torch.float64)
    lists = torch.tensor([[[0.0, 1.0], [0.5, 4.0]]], dtype=torch.float64)
    assert kmeans.assign(weights, lists, None).tolist() == [[[0, 1, 0], [0, 0, 1]]]


def test_with_measured_inputs_the_layers_output_is_closer() -> None:
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(1, 8, 48, generator=generator, dtype=torch.float64)
    lists = kmeans.fit(weight.flatten(), torch.ones(8 * 48, dtype=torch.float64), 16).expand(1, 8, 16)
    hessian = correlated(48)

    def lost(indices: torch.Tensor) -> float:
        wrong = weight - lists.gather(2, indices.long())
        return float((wrong @ hessian * wrong).sum())

    assert lost(kmeans.assign(weight, lists, hessian)) < 0.7 * lost(kmeans.assign(weight, lists, None))
