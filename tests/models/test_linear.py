"""Logistic regression per label, against scikit-learn and the conditions of the optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from mlemo.models import Linear
from mlemo.nn.logistic_regression import CERTAIN, as_matrix, logistic_regression

from .fitted_tester import LABELS, problem


def fitted(features: Tensor, labels: Tensor, mask: Tensor, **settings: Any) -> Linear:
    model = Linear(LABELS, **settings)
    model.build(features.shape[1])
    model.fit(features, labels, mask)
    return model.eval()


@pytest.mark.parametrize("sparse", [False, True])
def test_probabilities_are_those_of_scikit_learn_on_the_annotated_rows(sparse: bool) -> None:
    features, labels, mask = problem()
    model = fitted(features.to_sparse() if sparse else features, labels, mask, regularization=0.7)
    new = torch.randn(9, 5)
    for label in range(3):
        rows = mask[:, label]
        reference = LogisticRegression(C=0.7, tol=1e-8, max_iter=10_000)  # lbfgs
        reference.fit(features[rows].double().numpy(), labels[rows, label].numpy())
        expected = reference.predict_proba(new.double().numpy())[:, 1]
        found = model({"features": new})[:, label].sigmoid()
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_the_intercept_is_not_penalized_and_the_gradient_vanishes() -> None:
    features, labels, _ = problem()
    x, y = as_matrix(features), (labels[:, 2] > 0).numpy()
    assert isinstance(x, np.ndarray)
    weights, bias = logistic_regression(x, y, 0.1)
    errors = 1 / (1 + np.exp(-(x @ weights + bias))) - y
    np.testing.assert_allclose(weights + 0.1 * x.T @ errors, 0, atol=1e-4)
    assert errors.sum() == pytest.approx(0, abs=1e-4)


def test_mostly_empty_features_are_solved_as_sparse_ones() -> None:
    features, labels, mask = problem()
    wide = torch.cat([features, torch.zeros(60, 60)], 1)
    assert isinstance(as_matrix(wide), csr_matrix)
    assert isinstance(as_matrix(features), np.ndarray)
    np.testing.assert_allclose(as_matrix(wide.to_sparse()).toarray(), wide.numpy())
    narrow, same = fitted(features, labels, mask), fitted(wide, labels, mask)
    torch.testing.assert_close(same.weight[:, :5], narrow.weight, atol=1e-4, rtol=0)
    assert same.weight[:, 5:].abs().max() < 1e-6


def test_what_is_not_annotated_has_no_effect() -> None:
    features, labels, mask = problem()
    model, other = fitted(features, labels, mask), fitted(features, labels + (1 - labels) * ~mask, mask)
    assert torch.equal(model.weight, other.weight)
    everything = fitted(features, labels, torch.ones_like(mask))
    assert not torch.allclose(model.weight, everything.weight, atol=1e-2)


@pytest.mark.parametrize(("value", "annotated", "expected"), [(0, True, 0), (1, True, 1), (1, False, 0)])
def test_a_label_without_two_values_has_the_one_it_has(value: float, annotated: bool, expected: float) -> None:
    features, labels, mask = problem()
    labels[:, 1], mask[:, 1] = value, annotated
    logits = fitted(features, labels, mask)({"features": features})
    assert logits[:, 1].sigmoid().tolist() == pytest.approx([expected] * 60, abs=1e-8)
    assert logits[:, 1].abs().tolist() == [CERTAIN] * 60
    assert logits[:, 0].std() > 0.5


def test_logits_are_in_float32_under_autocast() -> None:
    features, labels, mask = problem()
    model = fitted(features, labels, mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model({"features": features}), model({"features": features}).float())
        found = model({"features": features})
    assert torch.equal(found, model({"features": features}))
    assert found.dtype == torch.float32


@pytest.mark.parametrize("wrong", [0.0, -1.0, (), (1.0, 0.0)])
def test_a_penalty_must_be_positive(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"Linear.regularization must be positive, one number or several, found"):
        Linear(LABELS, regularization=wrong)
