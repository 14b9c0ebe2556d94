"""Conformal risk control: the threshold by loops, its guarantee by simulation, and its monotony."""

import itertools

import pytest
import torch

from mlemo.thresholds import Calibrated, ConformalRiskControl


def draw(rows, generator, labels=5):
    """Labels that depend on each other, some samples without any, and scores that are far from calibrated."""
    common = torch.randn(rows, 1, generator=generator)
    scores = torch.randn(rows, labels, generator=generator) + common
    targets = torch.rand(rows, labels, generator=generator) < (2 * scores - 2).sigmoid()
    return (scores * 0.3 + 1).sigmoid(), targets


def false_negative_rates(cut, probabilities, targets, mask=None):
    """The rate of each sample with annotated positives, by loops."""
    rates = []
    for row, (scores, truth) in enumerate(zip(probabilities.tolist(), targets.tolist())):
        known = [True] * len(scores) if mask is None else mask[row].tolist()
        missed = [score < cut for score, positive, annotated in zip(scores, truth, known) if positive and annotated]
        if missed:
            rates.append(sum(missed) / len(missed))
    return rates


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.25, 0.6])
@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_the_largest_that_the_condition_allows(alpha, seed):
    generator = torch.Generator().manual_seed(seed)
    probabilities, targets = draw(40, generator)
    probabilities = probabilities.mul(50).round() / 50  # with ties
    mask = torch.rand(targets.shape, generator=generator) < 0.8
    cut = ConformalRiskControl(alpha).fit(probabilities, targets, mask).thresholds()[0].item()

    def bound(threshold):
        rates = false_negative_rates(threshold, probabilities, targets, mask)
        return sum(rates) / (len(rates) + 1) + 1 / (len(rates) + 1)

    assert bound(cut) <= alpha + 1e-9 or cut == 0
    higher = [score for score in probabilities.unique().tolist() if score > cut] + [1.1]
    assert all(bound(score) > alpha for score in higher)


@pytest.mark.parametrize(("rows", "alpha"), [(20, 0.3), (60, 0.1), (60, 0.4)])
def test_the_expected_false_negative_rate_is_at_most_alpha_and_not_far_below(rows, alpha):
    """Each draw fits on ``rows`` samples and is judged on fresh ones; the mean over draws is what is guaranteed."""
    generator = torch.Generator().manual_seed(rows)
    rates, counts = [], []
    for _ in range(800):
        probabilities, targets = draw(rows + 20, generator)
        rule = ConformalRiskControl(alpha).fit(probabilities[:rows], targets[:rows])
        missed = targets[rows:] & ~rule.predict(probabilities[rows:])
        positives = targets[rows:].sum(dim=1)
        rates.append((missed.sum(dim=1) / positives.clamp(min=1))[positives > 0].mean())
        counts.append((targets[:rows].sum(dim=1) > 0).sum())
    values = torch.stack(rates)
    values = values[~values.isnan()]
    error = 3 * values.std() / len(values) ** 0.5
    fewest = torch.stack(counts).min()
    assert values.mean() <= alpha + error
    assert values.mean() >= alpha - 2 / (fewest + 1) - error


def test_a_threshold_fitted_without_the_correction_misses_more_than_alpha():
    """The simulation can tell: the largest threshold with a mean of at most alpha on the fitted rows is too high."""
    generator = torch.Generator().manual_seed(3)
    excess = []
    for _ in range(600):
        probabilities, targets = draw(35, generator)
        n = int((targets[:5].sum(dim=1) > 0).sum())
        uncorrected = (0.3 * n + 1) / (n + 1)  # the condition becomes a mean of at most 0.3
        if n:
            rule = ConformalRiskControl(uncorrected).fit(probabilities[:5], targets[:5])
            rates = false_negative_rates(rule.thresholds()[0].item(), probabilities[5:], targets[5:])
            excess.append(sum(rates) / len(rates) - 0.3)
    values = torch.tensor(excess)
    assert values.mean() > 3 * values.std() / len(values) ** 0.5


def test_a_larger_alpha_never_lowers_the_threshold_and_more_labels_are_predicted_below_it():
    probabilities, targets = draw(200, torch.Generator().manual_seed(0))
    rules = [ConformalRiskControl(alpha / 20).fit(probabilities, targets) for alpha in range(1, 20)]
    cuts = torch.stack([rule.thresholds() for rule in rules])
    assert (cuts.diff(dim=0) >= 0).all()
    assert cuts[-1, 0] > cuts[0, 0]
    decisions = [rule.predict(probabilities) for rule in rules]
    assert all((low | ~high).all() for low, high in itertools.pairwise(decisions))


def test_samples_without_positives_change_nothing():
    probabilities, targets = draw(50, torch.Generator().manual_seed(1))
    some = targets.any(dim=1)
    assert not some.all()
    parts = (probabilities, targets), (probabilities[some], targets[some])
    found = [ConformalRiskControl().fit(*part).thresholds() for part in parts]
    assert torch.equal(*found)


@pytest.mark.parametrize("rows", [3, 4])
def test_too_few_samples_predict_everything(rows):
    probabilities = torch.full((rows, 2), 0.75)
    rule = ConformalRiskControl(0.2).fit(probabilities, torch.ones(rows, 2))  # 1 / 0.2 - 1 = 4
    assert rule.thresholds().tolist() == [0.0 if rows < 4 else 0.75] * 2
    rule = ConformalRiskControl(0.2).fit(probabilities, torch.zeros(rows, 2))
    assert rule.predict(torch.zeros(1, 2)).all()


def test_one_map_for_all_labels_changes_no_decision():
    probabilities, targets = draw(80, torch.Generator().manual_seed(2))
    plain = ConformalRiskControl(0.2).fit(probabilities, targets).predict(probabilities)
    calibrated = Calibrated(ConformalRiskControl(0.2), method="platt").fit(probabilities, targets)
    assert torch.equal(calibrated.predict(probabilities), plain)
