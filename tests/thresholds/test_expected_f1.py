"""Largest expected F1 against enumeration of every decision and every truth."""

import itertools
import time

import numpy as np
import pytest
import torch

import mlemo.thresholds.expected_f1
from mlemo.thresholds import Calibrated, ExpectedF1
from mlemo.thresholds.expected_f1 import _reciprocals, expected_f1


def f1(on, truth):
    total = sum(on) + sum(truth)
    return 1.0 if total == 0 else 2 * sum(o and t for o, t in zip(on, truth)) / total


def value_of(decision, probabilities):
    """Expected F1 of a decision over all truths."""
    value = 0.0
    for truth in itertools.product([False, True], repeat=len(probabilities)):
        chance = 1.0
        for p, y in zip(probabilities, truth):
            chance *= p if y else 1 - p
        value += chance * f1(decision, truth)
    return value


def samples(seed, labels, rows=4):
    """Random probabilities, tenths with ties, and rows with zeros and ones."""
    generator = torch.Generator().manual_seed(seed)
    smooth = torch.rand(rows, labels, generator=generator)
    extreme = torch.where(torch.rand(rows, labels, generator=generator) < 0.4, smooth.round(), smooth)
    return torch.cat([smooth, (smooth * 10).round() / 10, extreme, smooth**4])


@pytest.mark.parametrize("labels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("seed", range(3))
def test_no_decision_has_a_larger_expected_f1(seed, labels):
    probabilities = samples(seed, labels)
    decisions = ExpectedF1().predict(probabilities)
    for row, decided in zip(probabilities.double().tolist(), decisions.tolist()):
        values = {decision: value_of(decision, row) for decision in itertools.product([False, True], repeat=labels)}
        best = max(values.values())
        assert values[tuple(decided)] == pytest.approx(best, abs=1e-9)
        assert sum(decided) == max(sum(decision) for decision, value in values.items() if value > best - 1e-12)


@pytest.mark.parametrize("labels", [1, 3, 5])
def test_the_values_are_those_of_the_most_probable_labels(labels):
    probabilities = samples(7, labels)
    for row, values in zip(probabilities.double().tolist(), expected_f1(probabilities).tolist()):
        ordered = sorted(row, reverse=True)
        expected = [value_of([place < k for place in range(labels)], ordered) for k in range(labels + 1)]
        assert values == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("labels", [30, 120])
def test_many_labels_agree_with_sums_over_both_counts(labels):
    """P(S = s) and P(R = r) by convolution, and the double sum as it stands in the definition."""
    probabilities = torch.rand(1, labels, generator=torch.Generator().manual_seed(labels)) ** 3
    ordered = np.sort(probabilities[0].double().numpy())[::-1]
    expected = [float(np.prod(1 - ordered))]
    for k in range(1, labels + 1):
        chosen, others = np.ones(1), np.ones(1)
        for p in ordered[:k]:
            chosen = np.convolve(chosen, [1 - p, p])
        for p in ordered[k:]:
            others = np.convolve(others, [1 - p, p])
        hits, missed = np.arange(k + 1)[:, None], np.arange(labels - k + 1)[None]
        expected.append(float((chosen[:, None] * others * 2 * hits / (k + hits + missed)).sum()))
    assert expected_f1(probabilities)[0].tolist() == pytest.approx(expected, abs=1e-12)
    assert ExpectedF1().predict(probabilities).sum().item() == int(np.argmax(expected))


def by_recursion(probabilities):
    """P(S_k = s) and E[2 / (a + R_k)] one label after another (Ye et al. 2012, algorithm 1), O(C²)."""
    p = np.sort(probabilities.double().numpy(), axis=1)[:, ::-1]
    rows, labels = p.shape
    relevant = np.zeros((labels + 1, rows, labels + 1))
    relevant[0, :, 0] = 1
    for k in range(1, labels + 1):
        relevant[k] = relevant[k - 1] * (1 - p[:, k - 1, None])
        relevant[k, :, 1:] += relevant[k - 1, :, :-1] * p[:, k - 1, None]
    values = np.zeros((rows, labels + 1))
    values[:, 0] = relevant[labels, :, 0]
    gain = np.tile(2 / np.arange(1, 2 * labels + 1), (rows, 1))
    for k in range(labels, 0, -1):
        values[:, k] = (np.arange(1, k + 1) * relevant[k, :, 1 : k + 1] * gain[:, k : 2 * k]).sum(1)
        gain = (1 - p[:, k - 1, None]) * gain[:, :-1] + p[:, k - 1, None] * gain[:, 1:]
    return values


@pytest.mark.parametrize("labels", [1, 7, 28, 48, 49, 150, 600])
@pytest.mark.parametrize("power", [0, 1, 4, 30])
def test_the_values_are_those_of_the_recursion_over_all_counts(labels, power):
    """Also where every label is as good as on, all are alike, or nearly nothing is on."""
    generator = torch.Generator().manual_seed(labels)
    smooth = torch.rand(5, labels, generator=generator) ** power / (1 if power else 2)
    probabilities = torch.cat([smooth, smooth.round(), 1 - smooth / 1000])
    np.testing.assert_allclose(expected_f1(probabilities).numpy(), by_recursion(probabilities), rtol=0, atol=1e-12)


@pytest.mark.parametrize("labels", [1, 2, 28, 48, 49, 374, 10_000])
def test_every_reciprocal_that_can_occur_is_a_sum_of_powers(labels):
    nodes, weights = map(np.array, _reciprocals(labels))
    assert (weights > 0).all()
    assert len(nodes) < 70
    numbers = np.unique(np.geomspace(1, 2 * labels, 2000).round())
    sums = (weights * np.exp(numbers[:, None] * np.log(nodes))).sum(1)
    np.testing.assert_allclose(sums * numbers, 1, rtol=0, atol=5e-13)


def test_ten_thousand_labels_are_decided_in_milliseconds():
    """Of equal probabilities all are on or none; the values of a sample with few of them are known."""
    probabilities = torch.zeros(20, 10_000)
    probabilities[:, ::100] = 0.4
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.process_time()
        decisions = ExpectedF1().predict(probabilities)
        assert time.process_time() - start < 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(decisions, probabilities > 0)
    values = expected_f1(probabilities[:1])[0]
    assert values[:101].tolist() == pytest.approx(by_recursion(probabilities[:1, ::100])[0], abs=1e-12)


def test_certain_labels_are_decided_as_they_are():
    certain = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    assert torch.equal(ExpectedF1().predict(certain), certain.bool())


def test_a_single_label_is_on_from_one_half():
    assert ExpectedF1().predict(torch.tensor([[0.499], [0.5], [0.501]])).tolist() == [[False], [True], [True]]


def test_what_is_on_depends_on_the_other_labels():
    decisions = ExpectedF1().predict(torch.tensor([[0.4, 0.9, 0.1], [0.4, 0.4, 0.1], [0.4, 0.1, 0.1]]))
    assert decisions.tolist() == [[False, True, False], [True, True, False], [False, False, False]]


@pytest.mark.parametrize("steps", [4, 10])
def test_equal_probabilities_are_decided_alike(steps):
    probabilities = torch.rand(2000, 6, generator=torch.Generator().manual_seed(steps)).mul(steps).round() / steps
    decisions = ExpectedF1().predict(probabilities)
    lowest_on = probabilities.masked_fill(~decisions, 2).amin(1)
    highest_off = probabilities.masked_fill(decisions, -1).amax(1)
    assert (lowest_on > highest_off).all()


def test_chunks_do_not_change_anything(monkeypatch):
    probabilities = torch.rand(50, 6, generator=torch.Generator().manual_seed(0))
    expected = ExpectedF1().predict(probabilities)
    for table in (1, 200):
        monkeypatch.setattr(mlemo.thresholds.expected_f1, "TABLE", table)
        assert torch.equal(ExpectedF1().predict(probabilities), expected)


def test_overconfident_probabilities_lose_and_calibration_wins_back():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4000, 6, generator=generator) - 1
    targets = torch.rand(4000, 6, generator=generator) < logits.sigmoid()

    def score(decisions, truth):
        total = decisions.sum(1) + truth.sum(1)
        return torch.where(total > 0, 2 * (decisions & truth).sum(1) / total.clamp(min=1), 1.0).mean().item()

    sharp = (4 * logits).sigmoid()
    truth = targets[2000:]
    oracle = score(ExpectedF1().predict(logits[2000:].sigmoid()), truth)
    repaired = score(Calibrated(ExpectedF1()).fit(sharp[:2000], targets[:2000]).predict(sharp[2000:]), truth)
    assert score(ExpectedF1().predict(sharp[2000:]), truth) < oracle - 0.02
    assert repaired == pytest.approx(oracle, abs=0.005)


def test_a_large_corpus_takes_seconds():
    probabilities = torch.rand(50_000, 28, generator=torch.Generator().manual_seed(0)) ** 4
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        start = time.process_time()
        ExpectedF1().predict(probabilities)
        assert time.process_time() - start < 3
    finally:
        torch.set_num_threads(threads)
