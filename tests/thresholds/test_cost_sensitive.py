"""Costs of errors: thresholds against enumeration, and against the expected cost of each decision."""

import itertools

import pytest
import torch

from mlemo.thresholds import CostSensitive, FixedThreshold


def data(seed, rows=14, labels=3):
    """Scores with ties, in tenths; about a fifth is not annotated."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows, labels, generator=generator) < torch.rand(labels, generator=generator)
    probabilities = (torch.rand(rows, labels, generator=generator) * 0.7 + targets * 0.3).mul(10).round() / 10
    mask = torch.rand(rows, labels, generator=generator) < 0.8
    return probabilities, targets, mask


def cost_by_loops(cut, scores, truth, false_positive, false_negative):
    total = 0.0
    for score, positive in zip(scores, truth):
        if score >= cut and not positive:
            total += false_positive
        elif score < cut and positive:
            total += false_negative
    return total


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "costs", [(1.0, 1.0), (1.0, 7.5), (3.0, 0.4), ([1.0, 2.0, 9.0], 3.0), ([1.0, 2.0, 9.0], [4.0, 0.5, 2.0])]
)
def test_no_other_threshold_has_a_lower_cost_on_the_data_of_the_fit(seed, costs):
    probabilities, targets, mask = data(seed)
    rule = CostSensitive(*costs, method="empirical").fit(probabilities, targets, mask)
    for label, cut in enumerate(rule.thresholds().tolist()):
        known = mask[:, label]
        scores, truth = probabilities[known, label].tolist(), targets[known, label].tolist()
        own = [cost[label] if isinstance(cost, list) else cost for cost in costs]
        edges = [-0.1, *sorted(set(scores)), 1.1]
        cheapest = min(cost_by_loops((low + high) / 2, scores, truth, *own) for low, high in itertools.pairwise(edges))
        assert cost_by_loops(cut, scores, truth, *own) == pytest.approx(cheapest)


@pytest.mark.parametrize("costs", [(1.0, 1.0), (1.0, 4.0), (5.0, 0.5)])
def test_the_bayes_threshold_has_the_least_expected_cost_of_each_entry(costs):
    probabilities = torch.linspace(0, 1, 1001)[:, None]
    on = CostSensitive(*costs).predict(probabilities)
    expected = torch.where(on, (1 - probabilities) * costs[0], probabilities * costs[1])
    other = torch.where(on, probabilities * costs[1], (1 - probabilities) * costs[0])
    assert (expected <= other + 1e-6).all()


def test_common_costs_need_no_fit_and_equal_ones_are_one_half():
    probabilities = torch.rand(50, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(CostSensitive(3.0, 3.0).predict(probabilities), FixedThreshold(0.5).predict(probabilities))
    assert not CostSensitive().learns
    assert CostSensitive(method="empirical").learns
    assert CostSensitive(false_negative=3.0).thresholds().tolist() == [0.25]
    assert CostSensitive(false_negative=[3.0, 1.0]).thresholds().tolist() == [0.25, 0.5]
    fitted = CostSensitive(false_negative=3.0).fit(probabilities, probabilities > 0.7)
    assert fitted.thresholds().tolist() == [0.25] * 4


def test_only_the_ratio_of_costs_matters():
    probabilities, targets, mask = data(0, rows=60)
    for method in ("bayes", "empirical"):
        cuts = [
            CostSensitive(factor, 3 * factor, method).fit(probabilities, targets, mask).thresholds()
            for factor in (1e-9, 1.0, 1e9)
        ]
        assert all(torch.equal(cut, cuts[0]) for cut in cuts)


def test_dearer_misses_never_raise_a_threshold():
    probabilities, targets, mask = data(1, rows=200)
    for method in ("bayes", "empirical"):
        cuts = torch.stack([
            CostSensitive(1.0, cost, method).fit(probabilities, targets, mask).thresholds() for cost in (0.2, 1, 3, 20)
        ])  # fmt: skip
        assert (cuts.diff(dim=0) <= 0).all()


@pytest.mark.parametrize("method", ["bayes", "empirical"])
def test_costs_of_another_number_of_labels_are_refused(method):
    rule = CostSensitive([1.0, 2.0], method=method)
    with pytest.raises(ValueError, match="costs of 2 labels were given, found 3 columns"):
        rule.fit(*data(0))
    if method == "bayes":
        with pytest.raises(ValueError, match="costs of 2 labels were given, found 3 columns"):
            rule.predict(torch.zeros(1, 3))
