"""Calibration error by loops over bins, and torchmetrics' own of a single label."""

import math

import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from mlemo.metrics import expected_calibration_error, reliability


def data(seed=0, rows=200, labels=4):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, labels, generator=generator)
    targets = torch.rand(rows, labels, generator=generator) < logits.sigmoid()
    probabilities = (2 * logits).sigmoid()
    probabilities[:6, 0] = torch.tensor([0.0, 1.0, 0.1, 0.5, 0.25, 0.75])  # edges of bins
    mask = torch.rand(rows, labels, generator=generator) < 0.7
    return probabilities, targets, mask


def by_loops(probabilities, targets, bins):
    """Counts, mean probabilities, frequencies and error of one label; lists."""
    members: list[list[tuple[float, float]]] = [[] for _ in range(bins)]
    for p, y in zip(probabilities, targets):
        members[max(b for b in range(bins) if b == 0 or p >= torch.tensor(b / bins).item())].append((p, y))
    means = [sum(p for p, _ in bin) / len(bin) if bin else math.nan for bin in members]
    shares = [sum(y for _, y in bin) / len(bin) if bin else math.nan for bin in members]
    gaps = [len(bin) / len(targets) * abs(mean - share) for bin, mean, share in zip(members, means, shares) if bin]
    return [len(bin) for bin in members], means, shares, sum(gaps)


@pytest.mark.parametrize("bins", [1, 4, 10, 15])
@pytest.mark.parametrize("masked", [False, True])
def test_bins_and_error_are_those_of_the_definition(bins, masked):
    probabilities, targets, mask = data()
    mask = mask if masked else torch.ones_like(mask)
    found = reliability(probabilities, targets, mask, bins)
    errors = expected_calibration_error(probabilities, targets, mask if masked else None, bins)
    for label in range(4):
        known = mask[:, label]
        expected = by_loops(probabilities[known, label].tolist(), targets[known, label].tolist(), bins)
        assert found.counts[label].tolist() == expected[0]
        assert found.probability[label].tolist() == pytest.approx(expected[1], nan_ok=True)
        assert found.frequency[label].tolist() == pytest.approx(expected[2], nan_ok=True)
        assert errors[label].item() == pytest.approx(expected[3])


@pytest.mark.parametrize("bins", [3, 10, 15])
def test_torchmetrics_agrees_on_each_label_below_one(bins):
    probabilities, targets, mask = data(seed=1)
    probabilities = probabilities.clamp(max=1 - 1e-6)
    errors = expected_calibration_error(probabilities, targets, mask, bins)
    for label in range(4):
        known = mask[:, label]
        expected = binary_calibration_error(probabilities[known, label], targets[known, label].long(), n_bins=bins)
        assert errors[label].item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_probability_of_one_is_in_the_last_bin():
    found = reliability(torch.tensor([[1.0], [0.95]]), torch.tensor([[1], [0]]))
    assert found.counts[0].tolist() == [0] * 9 + [2]


def test_what_is_not_annotated_does_not_matter():
    probabilities, targets, mask = data()
    expected = expected_calibration_error(probabilities, targets, mask)
    changed = torch.where(mask, probabilities, 1 - probabilities), torch.where(mask, targets.float(), torch.nan)
    assert torch.equal(expected_calibration_error(*changed, mask), expected)


def test_right_probabilities_have_no_error_and_a_label_without_annotation_has_no_value():
    probabilities = torch.tensor([[0.5, 0.2, 0.5], [0.5, 0.2, 1.0]])
    mask = torch.tensor([[True, True, False], [True, True, False]])
    errors = expected_calibration_error(probabilities, torch.tensor([[1, 0, 0], [0, 1, 0]]), mask)
    assert errors[:2].tolist() == pytest.approx([0.0, 0.3])
    assert errors[2].isnan()


def test_non_contiguous_and_half_precision_input():
    probabilities, targets, mask = data()
    expected = expected_calibration_error(probabilities.bfloat16().float(), targets, mask)
    found = expected_calibration_error(probabilities.bfloat16().T.contiguous().T, targets, mask)
    assert torch.equal(found, expected)


def test_wrong_input_is_refused():
    probabilities, targets, mask = data()
    with pytest.raises(ValueError, match="bins must be at least 1, found 0"):
        reliability(probabilities, targets, mask, bins=0)
    with pytest.raises(ValueError, match="logits need a sigmoid"):
        expected_calibration_error(probabilities * 2, targets)
    with pytest.raises(ValueError, match="targets have shape"):
        expected_calibration_error(probabilities, targets[:, :2])
