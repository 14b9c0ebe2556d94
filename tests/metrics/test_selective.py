"""Risk–coverage curves against loops over decisions and over the orders of equally certain ones."""

import itertools

import pytest
import torch

from mlemo.metrics import risk_coverage
from mlemo.thresholds import FixedThreshold


def data(seed=0, rows=60, labels=3, steps=None):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, labels, generator=generator) * 2
    targets = torch.rand(rows, labels, generator=generator) < logits.sigmoid()
    mask = torch.rand(rows, labels, generator=generator) < 0.8
    probabilities = logits.sigmoid() if steps is None else (logits.sigmoid() * steps).round() / steps
    return probabilities, targets, mask


def entries(probabilities, decisions, targets, mask):
    """Certainty and error of each annotated entry."""
    found = []
    for p, on, truth, known in zip(*(part.flatten().tolist() for part in (probabilities, decisions, targets, mask))):
        if known:
            found.append((p if on else 1 - p, on != truth))
    return found


def curve_by_loops(pairs):
    errors = [wrong for _, wrong in sorted(pairs, key=lambda pair: -pair[0])]
    return [sum(errors[:k]) / k for k in range(1, len(errors) + 1)]


@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_each_curve_is_the_share_of_errors_among_the_most_certain(threshold):
    probabilities, targets, mask = data()
    decisions = FixedThreshold(threshold).predict(probabilities)
    found = risk_coverage(probabilities, decisions, targets, mask)
    for label in range(3):
        column = [part[:, label] for part in (probabilities, decisions, targets, mask)]
        expected = curve_by_loops(entries(*column))
        curve = found.risk[label]
        assert curve[: len(expected)].tolist() == pytest.approx(expected)
        assert curve[len(expected) :].isnan().all()
        assert found.area()[label].item() == pytest.approx(sum(expected) / len(expected))
        assert found.at(1.0)[label].item() == pytest.approx(expected[-1])
        half = (len(expected) + 1) // 2
        assert found.at(0.5)[label].item() == pytest.approx(expected[half - 1])
    pooled = risk_coverage(probabilities, decisions, targets, mask, pooled=True)
    expected = curve_by_loops(entries(probabilities, decisions, targets, mask))
    assert pooled.risk[0, : len(expected)].tolist() == pytest.approx(expected)
    assert pooled.risk.shape == (1, 180)


def test_ties_have_the_mean_over_their_orders():
    probabilities = torch.tensor([0.75, 0.75, 0.25, 0.75, 0.125, 1.0])[:, None]
    targets = torch.tensor([1, 0, 1, 1, 0, 0])[:, None].bool()
    decisions = probabilities > 0.5
    found = risk_coverage(probabilities, decisions, targets)
    errors = (decisions != targets)[:, 0].tolist()
    orders = [[5, 4, *order] for order in itertools.permutations([0, 1, 2, 3])]
    curves = [[sum(errors[row] for row in order[:k]) / k for k in range(1, 7)] for order in orders]
    assert found.risk[0].tolist() == pytest.approx([sum(values) / len(values) for values in zip(*curves)])


def test_the_order_of_rows_and_what_is_masked_do_not_matter():
    probabilities, targets, mask = data(steps=8)
    decisions = probabilities >= 0.5
    found = risk_coverage(probabilities, decisions, targets, mask)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    shuffled = risk_coverage(*(part[order] for part in (probabilities, decisions, targets, mask)))
    garbage = risk_coverage(probabilities, decisions, torch.where(mask, targets.float(), torch.nan), mask)
    for other in (shuffled, garbage):
        torch.testing.assert_close(other.risk, found.risk, equal_nan=True)


def test_calibrated_probabilities_leave_the_errors_to_the_end():
    probabilities, targets, _ = data(rows=4000)
    curve = risk_coverage(probabilities, probabilities >= 0.5, targets)
    assert (curve.at(0.5) < 0.6 * curve.at(1.0)).all()
    assert (curve.area() < 0.7 * curve.at(1.0)).all()


def test_a_label_without_annotation_has_no_risk():
    probabilities, targets, mask = data()
    mask[:, 1] = False
    found = risk_coverage(probabilities, probabilities >= 0.5, targets, mask)
    assert found.area().isnan().tolist() == [False, True, False]
    assert found.at(0.3).isnan().tolist() == [False, True, False]


def test_wrong_input_is_refused():
    probabilities, targets, _ = data()
    with pytest.raises(ValueError, match=r"decisions must be bool of shape \(60, 3\), found torch.int64 of \(60, 3\)"):
        risk_coverage(probabilities, targets.long(), targets)
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        risk_coverage(probabilities * 2, targets, targets)
    for coverage in (0.0, 1.1):
        with pytest.raises(ValueError, match=rf"coverage must lie in \(0, 1\], found {coverage}"):
            risk_coverage(probabilities, targets, targets).at(coverage)
