"""Classifier chains, against those of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain as Reference
from torch import Tensor

from mlemo.models import ClassifierChain, Linear
from mlemo.nn.logistic_regression import CERTAIN

from .fitted_tester import LABELS, problem


def correlated() -> tuple[Tensor, Tensor, Tensor]:
    """The third label is the exclusive or of the others, which only a chain can use."""
    features, labels, _ = problem()
    labels[:, 2] = (labels[:, 0] != labels[:, 1]).float()
    return features, labels, torch.ones(60, 3, dtype=torch.bool)


def fitted(features: Tensor, labels: Tensor, mask: Tensor, **settings: Any) -> ClassifierChain:
    torch.manual_seed(0)
    model = ClassifierChain(LABELS, **settings)
    model.build(features.shape[1])
    model.fit(features, labels, mask)
    return model.eval()


def solver() -> LogisticRegression:
    return LogisticRegression(C=2.0, tol=1e-8, max_iter=10_000)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("chains", [1, 4])
def test_probabilities_are_the_mean_of_chains_of_scikit_learn(chains: int, sparse: bool) -> None:
    features, labels, mask = correlated()
    model = fitted(features.to_sparse() if sparse else features, labels, mask, chains=chains, regularization=2.0)
    orders = model.order.tolist()
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    new = torch.randn(9, 5)
    expected = [
        Reference(solver(), order=order, chain_method="predict_proba")
        .fit(features.double().numpy(), labels.numpy())
        .predict_proba(new.double().numpy())
        for order in orders
    ]
    found = model({"features": new}).sigmoid()
    np.testing.assert_allclose(found.numpy(), np.mean(expected, 0), atol=2e-5)


def test_orders_are_drawn_for_each_chain_and_a_given_one_is_by_name() -> None:
    assert len({tuple(order) for order in fitted(*correlated(), chains=20).order.tolist()}) > 1
    model = fitted(*correlated(), chains=1, order=["anger", "joy", "fear"])
    assert model.order.tolist() == [[2, 0, 1]]
    assert (model.links[0] != 0).tolist() == [[False, False, True], [True, False, True], [False, False, False]]


def test_the_first_label_of_a_chain_is_that_of_linear() -> None:
    features, labels, mask = problem()
    model = fitted(features, labels, mask, chains=1, order=["fear", "anger", "joy"])
    linear = Linear(LABELS, regularization=1.0)
    linear.build(5)
    linear.fit(features, labels, mask)
    batch = {"features": features}
    torch.testing.assert_close(model(batch)[:, 1], linear(batch)[:, 1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model(batch)[:, 2], linear(batch)[:, 2], atol=1e-2)


def test_a_missing_label_is_predicted_for_the_labels_behind_it() -> None:
    features, labels, mask = problem()
    model = fitted(features, labels, mask, chains=1, order=["joy", "fear", "anger"], regularization=2.0)
    x, y = features.double().numpy(), labels.numpy()
    before = np.zeros((60, 0))
    for label in range(3):
        rows = mask[:, label].numpy()
        inputs = np.hstack([x, before])
        reference = solver().fit(inputs[rows], y[rows, label])
        given = np.where(rows, y[:, label], reference.predict_proba(inputs)[:, 1])
        before = np.hstack([before, given[:, None]])
    weights = [*model.weight[0, 2], *model.links[0, 2, :2], model.bias[0, 2]]
    np.testing.assert_allclose(weights, [*reference.coef_[0], *reference.intercept_], atol=1e-4)
    garbage = fitted(features, labels + ~mask * 1.0, mask, chains=1, order=["joy", "fear", "anger"], regularization=2.0)
    assert torch.equal(garbage.links, model.links)


def test_logits_are_finite_where_probabilities_round_to_one() -> None:
    features, labels, mask = problem()
    labels[:, 0], labels[:, 1] = 0, 1
    mask[:] = True
    model = fitted(features, labels, mask, chains=3)
    logits = model({"features": 1e4 * features})
    assert logits.isfinite().all()
    assert logits[:, 1].tolist() == pytest.approx([CERTAIN] * 60)
    model.bias[:, 2] = torch.tensor([-40.0, 30.0, 35.0])  # the mean of 0, 1 and 1
    model.weight.zero_()
    model.links.zero_()
    np.testing.assert_allclose(expit(model({"features": features}).numpy())[:, 2], 2 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 0}, "ClassifierChain.chains must be at least 1, found 0"),
        ({"order": ["joy", "fear", "anger"]}, "for a single chain; found .* for 10 chains"),
        ({"chains": 1, "order": ["joy", "fear", "fear"]}, "each label of .*'anger'.* once"),
        ({"regularization": 0.0}, "ClassifierChain.regularization must be positive"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassifierChain(LABELS, **settings)
