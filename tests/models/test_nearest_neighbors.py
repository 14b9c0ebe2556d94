"""ML-kNN, against an implementation by loops as in Figure 1 of the paper."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from mlemo.models import NearestNeighbors
from mlemo.nn.logistic_regression import CERTAIN

from .fitted_tester import LABELS, problem


def distance(a: list[float], b: list[float], cosine: bool) -> float:
    if not cosine:
        return math.dist(a, b)
    return -sum(x * y for x, y in zip(a, b)) / math.hypot(*a) / math.hypot(*b)


def by_loops(features: Tensor, labels: Tensor, mask: Tensor, new: Tensor, k: int, s: float, cosine: bool) -> Tensor:
    """Probabilities of each label by itself, among the rows that are annotated for it."""
    result = torch.empty(len(new), labels.shape[1])
    for label in range(labels.shape[1]):
        kept = [row for row in range(len(features)) if mask[row, label]]
        x = [features[row].tolist() for row in kept]
        y = [int(labels[row, label]) for row in kept]

        def count(point: list[float], others: list[int], x: Any = x, y: Any = y) -> int:
            nearest = sorted(others, key=lambda row: distance(point, x[row], cosine))[:k]
            return sum(y[row] for row in nearest)

        kappa = {value: [0] * (k + 1) for value in (0, 1)}
        for row, point in enumerate(x):
            kappa[y[row]][count(point, [other for other in range(len(x)) if other != row])] += 1
        present = (s + sum(y)) / (2 * s + len(y))
        for row, point in enumerate(new.tolist()):
            found = count(point, list(range(len(x))))
            given = {value: (s + kappa[value][found]) / (s * (k + 1) + sum(kappa[value])) for value in (0, 1)}
            joint = present * given[1]
            result[row, label] = joint / (joint + (1 - present) * given[0])
    return result


def fitted(features: Tensor, labels: Tensor, mask: Tensor, cosine: bool = False, **settings: Any) -> NearestNeighbors:
    model = NearestNeighbors(LABELS, **settings)
    if not cosine:
        model.features = None  # as for a tabular corpus
    model.build(features.shape[1], labels)
    model.fit(features, labels, mask)
    return model.eval()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("cosine", "sparse"), [(False, False), (True, False), (True, True)])
def test_probabilities_are_those_of_the_paper(cosine: bool, sparse: bool, masked: bool) -> None:
    features, labels, mask = problem()
    mask = mask if masked else torch.ones_like(mask)
    new = torch.randn(20, 5, generator=torch.Generator().manual_seed(1))
    for k, s in ((1, 1.0), (5, 0.5), (10, 1.0)):
        given = features.to_sparse() if sparse else features
        model = fitted(given, labels, mask, cosine, neighbors=k, smoothing=s)
        expected = by_loops(features, labels, mask, new, k, s, cosine)
        torch.testing.assert_close(model({"features": new}).sigmoid(), expected, atol=1e-6, rtol=0)
        assert expected.std(0).min() > 0.05


def test_more_neighbors_than_annotated_rows() -> None:
    features, labels, mask = problem(8)
    mask[:] = True
    mask[3:, 1] = False
    labels *= mask
    model = fitted(features, labels, mask, neighbors=10)
    expected = by_loops(features, labels, mask, features, 10, 1.0, False)
    torch.testing.assert_close(model({"features": features}).sigmoid(), expected, atol=1e-6, rtol=0)


def test_labels_without_two_values_are_finite() -> None:
    features, labels, mask = problem()
    mask[:] = True
    labels[:, 0], labels[:, 1], mask[:, 2] = 0, 1, False
    logits = fitted(features, labels, mask)({"features": features})
    assert (logits[:, 0] < -3).all()
    assert (logits[:, 1] > 3).all()
    assert logits[:, 2].tolist() == [-CERTAIN] * 60
    assert logits.isfinite().all()


def test_a_vector_of_zeros_has_a_probability() -> None:
    features, labels, mask = problem()
    features[4] = 0
    for given in (features, features.to_sparse()):
        model = fitted(given, labels, mask, cosine=True)
        assert model({"features": torch.zeros(1, 5)}).isfinite().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neighbors": 0}, "NearestNeighbors.neighbors must be at least 1, found 0"),
        ({"smoothing": 0.0}, "NearestNeighbors.smoothing must be positive, found 0.0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NearestNeighbors(LABELS, **settings)
