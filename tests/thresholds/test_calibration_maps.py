"""Platt scaling, beta calibration and isotonic regression against scikit-learn, and what rare labels get."""

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from mlemo.thresholds import Calibrated, CostSensitive, FixedThreshold, PerClassThreshold

NEW = ["platt", "beta", "isotonic"]


def data(seed=0, rows=400, labels=3):
    """Probabilities of a model that is overconfident, has a wrong intercept, and another one for each label."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, labels, generator=generator) * 1.2
    targets = torch.rand(rows, labels, generator=generator) < (logits - 1).sigmoid()
    mask = torch.rand(rows, labels, generator=generator) < 0.8
    return (logits * 2 + torch.linspace(-0.5, 0.5, labels)).sigmoid(), targets, mask


def soft_logistic_regression(features, targets):
    """Coefficients and intercept for Platt's targets: each row as a positive and as a negative, with weights."""
    positives, negatives = targets.sum(), (~targets).sum()
    soft = np.where(targets, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    rows, halves = np.concatenate([features, features]), np.repeat([1, 0], len(targets))
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        rows, halves, np.concatenate([soft, 1 - soft])
    )
    return [*fitted.coef_[0], fitted.intercept_[0]]


def expected_map(method, scores, targets, new):
    """The calibrated probabilities of new scores, by scikit-learn."""
    if method == "isotonic":
        return IsotonicRegression(out_of_bounds="clip").fit(scores, targets).predict(new)
    if method == "platt":
        a, c = soft_logistic_regression(np.log(scores / (1 - scores))[:, None], targets)
        logits = a * np.log(new / (1 - new)) + c
    else:
        a, b, c = soft_logistic_regression(np.stack([np.log(scores), -np.log1p(-scores)], axis=1), targets)
        assert min(a, b) > 0, "the bounds of beta calibration must not matter for this comparison"
        logits = a * np.log(new) - b * np.log1p(-new) + c
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("method", NEW)
@pytest.mark.parametrize("per_class", [False, True])
def test_the_maps_are_those_of_scikit_learn_over_annotated_entries(method, per_class):
    probabilities, targets, mask = data()
    found = Calibrated(FixedThreshold(), per_class, method).fit(probabilities, targets, mask)
    new = torch.linspace(0.01, 0.99, 99)[:, None].expand(99, 3)
    calibrated = found.probabilities(new)
    columns = zip(probabilities.T, targets.T, mask.T) if per_class else [(probabilities, targets, mask)] * 3
    for label, (scores, truth, known) in enumerate(columns):
        expected = expected_map(
            method, scores[known].double().numpy(), truth[known].numpy(), new[:, 0].double().numpy()
        )
        np.testing.assert_allclose(calibrated[:, label].numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("method", NEW)
@pytest.mark.parametrize("seed", range(3))
def test_maps_never_decrease_and_stay_in_range(method, seed):
    probabilities, targets, mask = data(seed)
    targets = ~targets if seed == 2 else targets  # scores that contradict the targets: slopes of 0
    rule = Calibrated(FixedThreshold(), per_class=True, method=method).fit(probabilities, targets, mask)
    ends = torch.tensor([0.0, 1e-30, 1e-6, 1 - 1e-6, 1.0])
    found = rule.probabilities(torch.cat([torch.rand(50), ends]).sort().values[:, None].expand(55, 3))
    assert (found.diff(dim=0) >= 0).all()
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("method", NEW)
def test_calibration_improves_the_probabilities_of_new_rows(method):
    probabilities, targets, mask = data(rows=1500)
    rule = Calibrated(FixedThreshold(), per_class=True, method=method).fit(probabilities, targets, mask)
    new, truth, _ = data(seed=5, rows=3000)
    brier = [(part - truth.float()).square().mean().item() for part in (new, rule.probabilities(new))]
    temperature = Calibrated(FixedThreshold(), per_class=True).fit(probabilities, targets, mask).probabilities(new)
    assert brier[1] < (temperature - truth.float()).square().mean().item() - 0.01 < brier[0]


@pytest.mark.parametrize("method", NEW)
def test_a_label_with_few_positives_or_negatives_gets_the_map_of_all(method):
    probabilities, targets, mask = data(labels=5)
    mask[:] = True
    for label, (positives, value) in enumerate([(9, True), (9, False), (10, True), (10, False)]):
        targets[:, label] = not value
        targets[:positives, label] = value
    shared = Calibrated(FixedThreshold(), method=method).fit(probabilities, targets, mask)
    rule = Calibrated(FixedThreshold(), per_class=True, method=method).fit(probabilities, targets, mask)
    same = torch.isclose(rule.probabilities(probabilities), shared.probabilities(probabilities), atol=1e-6).all(dim=0)
    assert same.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("method", NEW)
@pytest.mark.parametrize("per_class", [False, True])
def test_too_few_entries_leave_probabilities_as_they_are(method, per_class):
    scores = torch.tensor([[0.9], [0.2], [0.6]])
    rule = Calibrated(FixedThreshold(), per_class, method).fit(scores, torch.tensor([[1], [0], [1]]))
    torch.testing.assert_close(
        rule.probabilities(torch.tensor([[0.0], [0.3], [0.9], [1.0]]))[1:3, 0], torch.tensor([0.3, 0.9])
    )


@pytest.mark.parametrize("method", ["platt", "beta"])
def test_separated_labels_have_finite_coefficients(method):
    scores = torch.linspace(0.01, 0.99, 40)[:, None]
    rule = Calibrated(FixedThreshold(), per_class=True, method=method).fit(scores, scores > 0.75)
    assert torch.tensor(rule.state_dict()["coefficients"]).abs().max() < 50
    soft = (10 * 11 / 12 + 30 * 1 / 32) / 40  # the mean of Platt's targets, which an intercept reproduces
    assert rule.probabilities(scores).mean().item() == pytest.approx(soft, abs=1e-4)


def test_tuned_thresholds_decide_the_same_after_a_strictly_increasing_map():
    probabilities, targets, mask = data()
    plain = PerClassThreshold().fit(probabilities, targets, mask).predict(probabilities)
    for method in ("platt", "beta"):
        rule = Calibrated(PerClassThreshold(), per_class=True, method=method).fit(probabilities, targets, mask)
        assert torch.equal(rule.predict(probabilities)[mask], plain[mask])


def test_the_bayes_threshold_costs_less_after_calibration():
    fitted, new = data(rows=1500), data(seed=5, rows=3000)

    def cost(rule):
        on = rule.fit(*fitted).predict(new[0])
        return ((on & ~new[1]).sum() + 5 * (~on & new[1]).sum()).item()

    costs = CostSensitive(false_negative=5.0)
    calibrated = [cost(Calibrated(costs, per_class=True, method=method)) for method in NEW]
    assert max(calibrated) < 0.99 * cost(costs)


def test_other_methods_have_no_temperatures():
    with pytest.raises(ValueError, match="calibrated by method 'platt', which has no temperatures"):
        Calibrated(FixedThreshold(), method="platt").fit(*data()).temperatures()


@pytest.mark.parametrize(
    ("method", "state", "message"),
    [
        ("platt", {"temperatures": [1.0]}, r"keys \['coefficients', 'rule'\], found \['rule', 'temperatures'\]"),
        ("beta", {"coefficients": [[1.0, 2.0]]}, "coefficients must be lists of 3 numbers"),
        ("beta", {"coefficients": [[1.0, 2.0, float("nan")]]}, "lists of finite numbers of the same length"),
        ("beta", {"coefficients": [[1.0, 2.0, 0.0], [1.0]]}, "lists of numbers of the same length"),
        ("beta", {"coefficients": "abc"}, "lists of numbers of the same length, found 'abc'"),
        ("isotonic", {"knots": [[0.0, 1.0]], "values": [[0.5, 0.4]]}, r"values must be ascending numbers in \[0, 1\]"),
        ("isotonic", {"knots": [[0.0, 2.0]], "values": [[0.5, 0.6]]}, r"knots must be ascending numbers in \[0, 1\]"),
        ("isotonic", {"knots": [[0.0, 1.0]], "values": [[0.5]]}, r"knots of shape \(1, 2\) and values of"),
    ],
)  # fmt: skip
def test_a_foreign_state_is_refused(method, state, message):
    with pytest.raises(ValueError, match=message):
        Calibrated(FixedThreshold(), method=method).load_state_dict({**state, "rule": {"thresholds": None}})
