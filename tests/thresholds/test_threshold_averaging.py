"""Threshold averaging against loops over samples and scores."""

import pytest
import torch

from mlemo.thresholds import GlobalThreshold, ThresholdAveraging


def data(seed, rows=12, labels=5):
    """Scores in eighths, which are exact, with many ties; some samples without positives, some wholly masked."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows, labels, generator=generator) < 0.3
    probabilities = torch.randint(0, 9, (rows, labels), generator=generator) / 8
    mask = torch.rand(rows, labels, generator=generator) < 0.8
    mask[0], targets[1], targets[2, 0], mask[2, 0] = False, False, True, True
    return probabilities, targets, mask


def f1_at(cut, scores, truth):
    on = [score >= cut for score in scores]
    return 2 * sum(o and t for o, t in zip(on, truth)) / (sum(on) + sum(truth))


def by_loops(probabilities, targets, mask):
    best = []
    for row, labels, known in zip(probabilities.tolist(), targets.tolist(), mask.tolist()):
        scores = [score for score, annotated in zip(row, known) if annotated]
        truth = [label for label, annotated in zip(labels, known) if annotated]
        if any(truth):
            top = max(f1_at(cut, scores, truth) for cut in scores)
            equal = [cut for cut in scores if f1_at(cut, scores, truth) == top]
            best.append(min(equal, key=lambda cut: (abs(cut - 0.5), -cut)))
    return sum(best) / len(best)


@pytest.mark.parametrize("seed", range(30))
def test_the_threshold_is_the_mean_of_the_samples_best_scores(seed):
    probabilities, targets, mask = data(seed)
    cuts = ThresholdAveraging().fit(probabilities, targets, mask).thresholds()
    assert cuts.tolist() == pytest.approx([by_loops(probabilities, targets, mask)] * 5, abs=1e-6)


def test_of_equally_good_scores_the_one_nearest_to_one_half_then_the_higher():
    # F1 is 2/3 at 0.875 and again at 0.25, where all four are on
    scores, truth = torch.tensor([[0.875, 0.75, 0.375, 0.25]]), torch.tensor([[1, 0, 0, 1]])
    assert ThresholdAveraging().fit(scores, truth).thresholds()[0] == 0.25
    scores = torch.tensor([[0.75, 0.625, 0.375, 0.25]])
    assert ThresholdAveraging().fit(scores, truth).thresholds()[0] == 0.75


def test_a_cut_inside_a_tie_does_not_exist():
    # both labels of the tie are on at 0.5, so that the F1 there is 2/3, as at 0.25 with 2 hits of 4
    scores, truth = torch.tensor([[0.5, 0.5, 0.25, 0.0]]), torch.tensor([[1, 0, 0, 0]])
    assert ThresholdAveraging().fit(scores, truth).thresholds()[0] == 0.5
    scores, truth = torch.tensor([[0.5, 0.5, 0.25, 0.25]]), torch.tensor([[1, 0, 1, 1]])
    assert ThresholdAveraging().fit(scores, truth).thresholds()[0] == 0.25


def test_samples_without_positives_do_not_count():
    scores, truth = torch.tensor([[0.75, 0.25], [0.5, 0.125]]), torch.tensor([[1, 0], [0, 0]])
    assert ThresholdAveraging().fit(scores, truth).thresholds().tolist() == [0.75, 0.75]


@pytest.mark.parametrize(("highest", "expected"), [(0.5, 0.75), (0.0, 0.5)])
def test_without_any_positive_nothing_is_predicted(highest, expected):
    scores = torch.tensor([[highest, 0.0], [0.0, 1.0]])
    mask = torch.tensor([[True, True], [True, False]])
    rule = ThresholdAveraging().fit(scores, torch.zeros(2, 2), mask)
    assert rule.thresholds().tolist() == [expected, expected]
    rule = ThresholdAveraging().fit(torch.ones(2, 2), torch.zeros(2, 2))
    assert not rule.predict(torch.ones(2, 2)).any()


def test_the_best_single_cut_for_the_f1_of_samples_is_never_worse():
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        targets = torch.rand(50, 6, generator=generator) < 0.3
        probabilities = torch.sigmoid(torch.randn(50, 6, generator=generator) + 2 * targets - 1)
        values = []
        for rule in (ThresholdAveraging(), GlobalThreshold("samples_f1")):
            on = rule.fit(probabilities, targets).predict(probabilities)
            total = on.sum(1) + targets.sum(1)
            values.append(torch.where(total > 0, 2 * (on & targets).sum(1) / total.clamp(min=1), 1.0).mean().item())
        assert values[0] <= values[1] + 1e-6
