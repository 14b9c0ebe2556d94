"""Counts of samples against the collection on the rows themselves, repeated as often as they count."""

import re

import numpy as np
import pytest
import torch

from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics
from mlemo.metrics.weighted import DECISION_METRICS, PROBABILITY_METRICS, WeightedMetrics, evaluator

NAMES = DECISION_METRICS + PROBABILITY_METRICS


def outputs(seed, rows=30, labels=5, masked=False):
    """Targets, mask, decisions, probabilities: ties, a rare label, one without and one with only positives."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows, labels, generator=generator) < 0.35
    probabilities = (torch.rand(rows, labels, generator=generator) * 0.7 + 0.3 * targets).mul(12).round() / 12
    mask = torch.rand(rows, labels, generator=generator) < (0.7 if masked else 2.0)
    if rows > 3 and labels > 3:
        targets[:, 0], targets[:, 1] = False, True
        targets[:, 2] = torch.arange(rows) == 3  # most resamples lose this one
        targets[0], targets[1] = False, True
        probabilities[0] = 0.0
        mask[1] |= True
        mask[4] &= not masked
    return targets.float(), mask, probabilities >= 0.6, probabilities


def collection(targets, mask, decisions, probabilities):
    metrics = MultiLabelMetrics(LabelSpace(tuple(f"label {label}" for label in range(targets.shape[1]))))
    metrics.update(probabilities, targets, decisions, mask)
    return {name: value.item() for name, value in metrics.compute().items()}


def draws(rows, count, seed=0):
    """Resamples, all samples once, one sample only, and swaps: each sample or not at all."""
    generator = np.random.default_rng(seed)
    resamples = generator.multinomial(rows, [1 / rows] * rows, size=count)
    ones, single = np.ones((1, rows)), np.eye(rows)[:2]
    return np.concatenate([resamples, ones, single, generator.integers(0, 2, (3, rows))]).astype(np.int32)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_row_of_counts_gives_what_the_collection_gives_on_these_rows(seed, masked):
    parts = outputs(seed, masked=masked)
    targets, mask, decisions, probabilities = parts
    counts = draws(len(targets), 8, seed)
    counts = counts[(counts @ mask.any(1).numpy()) > 0]
    values = WeightedMetrics(NAMES, targets, mask, decisions, probabilities)(counts)
    lost = 0
    for row, found in zip(counts, values.T):
        rows = torch.from_numpy(np.repeat(np.arange(len(targets)), row))
        expected = collection(*(part[rows] for part in parts))
        assert set(expected) == set(NAMES)
        assert dict(zip(NAMES, found)) == pytest.approx(expected, abs=2e-6, nan_ok=True)
        lost += expected["skipped_classes"] > 2
    assert lost  # a label had two values, and in some resamples one only


@pytest.mark.parametrize("shape", [(1, 3), (5, 1), (1, 1)])
def test_one_sample_or_one_label(shape):
    targets = (torch.arange(shape[0] * shape[1]).reshape(shape) % 2).float()
    probabilities = torch.linspace(0.2, 0.8, targets.numel()).reshape(shape)
    everything = torch.ones(shape, dtype=torch.bool)
    parts = (targets, everything, probabilities >= 0.5, probabilities)
    for factor in (1, 3):
        values = WeightedMetrics(NAMES, *parts)(np.full((1, shape[0]), factor))
        assert dict(zip(NAMES, values[:, 0])) == pytest.approx(collection(*parts), abs=1e-6, nan_ok=True)


def test_each_metric_alone_is_the_same_and_needs_its_own_outputs_only():
    targets, mask, decisions, probabilities = outputs(1, masked=True)
    counts = draws(len(targets), 4)
    together = WeightedMetrics(NAMES, targets, mask, decisions, probabilities)(counts)
    for name, expected in zip(NAMES, together):
        given = {"decisions": decisions} if name in DECISION_METRICS else {"probabilities": probabilities}
        alone = WeightedMetrics([name], targets, mask, **given)(counts)
        np.testing.assert_allclose(alone, [expected], atol=1e-12, err_msg=name)


def test_what_is_masked_may_hold_anything():
    targets, mask, decisions, probabilities = outputs(2, masked=True)
    counts = draws(len(targets), 4)
    expected = WeightedMetrics(NAMES, targets, mask, decisions, probabilities)(counts)
    other = (torch.where(mask, targets, torch.nan), mask, decisions ^ ~mask, torch.where(mask, probabilities, 0.77))
    np.testing.assert_array_equal(WeightedMetrics(NAMES, *other)(counts), expected)


def test_sums_stay_exact_where_there_are_many_entries():
    rows = 60_000
    generator = torch.Generator().manual_seed(0)
    targets = (torch.rand(rows, 2, generator=generator) < 0.5).float()
    probabilities = (torch.rand(rows, 2, generator=generator) + targets).mul(5).round() / 10  # large ties
    everything = torch.ones(rows, 2, dtype=torch.bool)
    parts = (targets, everything, probabilities >= 0.5, probabilities)
    names = ("micro_f1", "micro_ap", "micro_auroc", "macro_auroc")
    values = WeightedMetrics(names, *parts)(np.full((1, rows), 20))  # products of counts beyond 2³¹
    expected = collection(*parts)
    assert dict(zip(names, values[:, 0])) == pytest.approx({name: expected[name] for name in names}, abs=1e-5)


def test_a_function_sees_the_repeated_rows():
    targets, mask, decisions, probabilities = outputs(3, masked=True)
    counts = draws(len(targets), 3)[:-2]

    def jaccard(decisions, targets, mask):
        return collection(targets, mask, decisions, decisions.float())["jaccard"]

    found = evaluator(jaccard, decisions, targets, mask)(counts)
    expected = evaluator("jaccard", decisions, targets, mask)(counts)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    without = evaluator(lambda outputs, targets: outputs.sum(), probabilities, targets, None)(counts)
    np.testing.assert_allclose(without[0], counts @ probabilities.sum(1).numpy(), rtol=1e-5)


@pytest.mark.parametrize(
    ("metric", "outputs", "message"),
    [
        ("micro_f2", [[1, 0]], "unknown metric 'micro_f2'; did you mean 'micro_f1'? The metrics are micro_precision,"),
        (
            "jaccard",
            [[1, 0.4]],
            "jaccard is a metric of decisions, 0 or 1, found 0.4 in row 0, column 1; probabilities",
        ),
        (
            "macro_ap",
            [[True, False]],
            "macro_ap is a metric of probabilities, found torch.bool; decisions have no order",
        ),
        ("macro_ap", [[1, 0]], "macro_ap is a metric of probabilities, found torch.int64"),
        ("macro_ap", [[2.0, -1.0]], "probabilities must lie in [0, 1], found -1 to 2; logits need a sigmoid first"),
        ("macro_ap", [[0.5, 0.5, 0.5]], "macro_ap: outputs have shape (1, 3), the targets (1, 2)"),
        ("jaccard", [[torch.nan, 1.0]], "jaccard is a metric of decisions, 0 or 1, found nan in row 0, column 0"),
    ],
)
def test_wrong_outputs_are_refused(metric, outputs, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluator(metric, torch.tensor(outputs), torch.tensor([[1, 0]]), None)


def test_missing_outputs_are_named():
    targets = torch.tensor([[1, 0]])
    with pytest.raises(ValueError, match="jaccard is a metric of decisions, but decisions are not given"):
        WeightedMetrics(["macro_ap", "jaccard"], targets, probabilities=torch.zeros(1, 2))
    with pytest.raises(ValueError, match="macro_ap is a metric of probabilities, but probabilities are not given"):
        WeightedMetrics(["macro_ap", "jaccard"], targets, decisions=targets)
