"""Bootstrap intervals against resamples that are drawn, scored with scikit-learn and sorted one by one."""

import math
import re
import time

import numpy as np
import pytest
import sklearn.metrics as sk
import torch

import mlemo.metrics.intervals
from mlemo.labels import LabelSpace
from mlemo.metrics import MultiLabelMetrics, bootstrap_interval, bootstrap_intervals
from mlemo.metrics.intervals import BUDGET, bootstrap_values, resamples_within_budget, with_few_positives
from mlemo.metrics.pseudo_positives import draw_pseudo_positives
from mlemo.metrics.weighted import evaluator


def outputs(seed=0, rows=50, labels=4):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows, labels, generator=generator) < 0.4
    probabilities = (torch.rand(rows, labels, generator=generator) * 0.6 + 0.4 * targets).mul(20).round() / 20
    return targets, probabilities


def quantiles(resampled, confidence):
    """Between the sorted values at the positions p (R + 1)."""
    ordered, tail = sorted(resampled), (1 - confidence) / 2
    ends = []
    for position in (tail * (len(ordered) + 1) - 1, (1 - tail) * (len(ordered) + 1) - 1):
        below, above = ordered[math.floor(position)], ordered[math.floor(position) + 1]
        ends.append(below + position % 1 * (above - below))
    return ends


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("micro_f1", lambda y, d: sk.f1_score(y, d, average="micro", zero_division=0)),
        ("jaccard", lambda y, d: sk.jaccard_score(y, d, average="samples", zero_division=1)),
        ("micro_auroc", lambda y, p: sk.roc_auc_score(y, p, average="micro")),
        ("micro_ap", lambda y, p: sk.average_precision_score(y, p, average="micro")),
    ],
)
def test_without_labels_to_average_it_is_the_percentile_interval_of_resamples(name, reference):
    targets, probabilities = outputs()
    given = probabilities if name in ("micro_auroc", "micro_ap") else probabilities > 0.5
    low, value, high = bootstrap_interval(name, given, targets, resamples=80, confidence=0.9, seed=3)
    drawn = np.random.default_rng(3).integers(0, 50, (80, 50))
    truth, scores = targets.int().numpy(), given.float().numpy()
    expected = quantiles([reference(truth[rows], scores[rows]) for rows in drawn], 0.9)
    assert value == pytest.approx(reference(truth, scores), abs=1e-6)
    assert (low, high) == pytest.approx(expected, abs=1e-6)
    assert low < value < high


def smoothed_mean(name, truth, scores, own, right, wrong):
    """A mean over labels, each with its pseudo-positives, label by label with scikit-learn."""
    found = []
    for label in range(truth.shape[1]):
        y, s, r, w = truth[:, label], scores[:, label], right[label], wrong[label]
        hits, positives = (y * s).sum(), y.sum()
        if name == "macro_recall":
            found.append((hits + r) / (positives + r + w))
        elif name == "macro_precision":
            found.append((hits + r) / (s.sum() + r + w))
        elif name == "macro_f1":
            found.append((hits + r) / ((positives + s.sum()) / 2 + r + w))
        elif name == "macro_ap":
            ap = min(1, max(0, 2 * own[label] - sk.average_precision_score(y, s)))
            found.append((positives * ap + r) / (positives + r + w))
        else:
            found.append((positives * sk.roc_auc_score(y, s) + r + w / 2) / (positives + r + w))
    return np.mean(found)


@pytest.mark.parametrize("name", ["macro_recall", "macro_precision", "macro_f1", "macro_ap", "macro_auroc"])
def test_means_over_labels_get_pseudo_positives(name):
    targets, probabilities = outputs()
    given = probabilities if name in ("macro_ap", "macro_auroc") else probabilities > 0.5
    low, value, high = bootstrap_interval(name, given, targets, resamples=80, confidence=0.9, seed=3)
    drawn, pseudo = np.random.default_rng(3).integers(0, 50, (80, 50)), draw_pseudo_positives(80, 4, 3)
    truth, scores = targets.int().numpy(), given.float().numpy()
    own = [sk.average_precision_score(truth[:, label], scores[:, label]) for label in range(4)]
    rows = zip(drawn, pseudo.right, pseudo.wrong)
    expected = [smoothed_mean(name, truth[some], scores[some], own, right, wrong) for some, right, wrong in rows]
    assert (low, high) == pytest.approx(quantiles(expected, 0.9), abs=1e-6)
    assert low < value < high


def test_pseudo_positives_leave_open_what_a_label_without_positives_does():
    pseudo = draw_pseudo_positives(20_000, 2, seed=0)
    assert (pseudo.right + pseudo.wrong).mean() == pytest.approx(0.5, abs=0.02)
    shares = pseudo.right / (pseudo.right + pseudo.wrong)
    assert np.quantile(shares, [0.025, 0.5, 0.975]) == pytest.approx([0, 0.5, 1], abs=0.05)
    assert np.corrcoef(shares.T)[0, 1] > 0.5  # rare labels are good or bad together
    targets, _ = outputs(rows=400)
    targets[:, 0] = False  # nothing is known of a quarter of the labels
    low, value, high = bootstrap_interval("macro_f1", targets, targets, resamples=2000)
    assert (low, value, high) == (pytest.approx(0.75, abs=0.01), 0.75, pytest.approx(1, abs=0.01))
    unknown = torch.ones(400, 4, dtype=torch.bool)
    unknown[:, 0] = False  # not annotated at all is not open, it is left out as in the collection
    assert bootstrap_interval("macro_f1", targets, targets, unknown, resamples=2000) == pytest.approx(
        (0.75,) * 3, abs=0.01
    )


def test_labels_with_few_positives_are_named():
    targets = torch.zeros(40, 4)
    for label, positives in enumerate((0, 9, 10, 20)):
        targets[:positives, label] = 1
    assert with_few_positives(targets, None, tuple("abcd")) == {"a": 0, "b": 9}
    mask = torch.ones(40, 4, dtype=torch.bool)
    mask[:, 0] = False
    mask[:15, 3] = False
    assert with_few_positives(targets, mask, tuple("abcd")) == {"b": 9, "d": 5}


def test_all_metrics_at_once_are_those_of_the_collection_and_of_each_alone():
    targets, probabilities = outputs(1)
    mask = torch.rand(50, 4, generator=torch.Generator().manual_seed(4)) < 0.8
    decisions = probabilities >= 0.4
    settings = {"resamples": 40, "seed": 5}
    intervals = bootstrap_intervals(probabilities, targets, decisions, mask, **settings)
    metrics = MultiLabelMetrics(LabelSpace(tuple("abcd")))
    metrics.update(probabilities, targets, decisions, mask)
    assert {name: value for name, (_, value, _) in intervals.items()} == pytest.approx(
        {name: value.item() for name, value in metrics.compute().items()}, abs=1e-6
    )
    for name, interval in intervals.items():
        for given in (decisions, probabilities):
            try:
                alone = bootstrap_interval(name, given, targets, mask, **settings)
            except ValueError:  # not the kind of outputs that the metric needs
                continue
            assert alone == pytest.approx(interval, abs=1e-12), name
            break
        else:
            pytest.fail(name)
    some = ("macro_f1", "jaccard")
    chosen = bootstrap_intervals(probabilities, targets, decisions, mask, metrics=some, **settings)
    assert list(chosen.items()) == [(name, intervals[name]) for name in some]
    with pytest.raises(ValueError, match="unknown metric 'jacard'; did you mean 'jaccard'"):
        bootstrap_intervals(probabilities, targets, metrics=["jacard"])
    default = bootstrap_intervals(probabilities, targets, resamples=40)
    assert default["jaccard"] == bootstrap_interval("jaccard", probabilities >= 0.5, targets, resamples=40)


@pytest.mark.parametrize("block", [1, 7 * 200, 10**9])
def test_the_size_of_the_blocks_changes_nothing(block, monkeypatch):
    targets, probabilities = outputs()
    expected = bootstrap_intervals(probabilities, targets, resamples=25)
    monkeypatch.setattr(mlemo.metrics.intervals, "BLOCK", block)
    found = bootstrap_intervals(probabilities, targets, resamples=25)
    np.testing.assert_allclose(list(found.values()), list(expected.values()), atol=1e-12)


def test_a_share_has_the_interval_of_the_normal_approximation():
    right = torch.rand(2000, 1, generator=torch.Generator().manual_seed(0)) < 0.7
    low, value, high = bootstrap_interval("subset_accuracy", right, torch.ones(2000, 1), seed=1)
    error = math.sqrt(value * (1 - value) / 2000)
    assert low == pytest.approx(value - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(value + 1.96 * error, abs=0.1 * error)
    narrow_low, _, narrow_high = bootstrap_interval("subset_accuracy", right, torch.ones(2000, 1), confidence=0.5)
    assert narrow_low == pytest.approx(value - 0.674 * error, abs=0.1 * error)
    assert narrow_high == pytest.approx(value + 0.674 * error, abs=0.1 * error)


def test_the_seed_decides():
    targets, probabilities = outputs()
    intervals = [bootstrap_interval("macro_ap", probabilities, targets, resamples=50, seed=s) for s in (1, 1, 2)]
    assert intervals[0] == intervals[1] != intervals[2]


def test_a_function_of_the_user():
    targets, probabilities = outputs()
    expected = bootstrap_interval("hamming_loss", probabilities > 0.5, targets, resamples=30)
    found = bootstrap_interval(lambda d, y: (d != y).float().mean(), probabilities > 0.5, targets, resamples=30)
    assert found == pytest.approx(expected, abs=1e-6)


def test_samples_without_an_annotated_label_are_left_out():
    targets, probabilities = outputs()
    mask = torch.ones(50, 4, dtype=torch.bool)
    mask[::3] = False
    mask[1, 2] = False
    kept = mask.any(1)
    for metric in ("jaccard", lambda d, y, m: ((d == y) & m).sum() / m.sum()):
        found = bootstrap_interval(metric, probabilities > 0.5, targets, mask, resamples=20)
        alone = bootstrap_interval(metric, (probabilities > 0.5)[kept], targets[kept], mask[kept], resamples=20)
        assert found == alone


def test_several_runs_add_the_chance_of_the_seeds():
    targets, _ = outputs(rows=400)
    generator = torch.Generator().manual_seed(0)
    runs = torch.stack([targets ^ (torch.rand(400, 4, generator=generator) < rate) for rate in (0.1, 0.2, 0.3)])
    one = bootstrap_interval("jaccard", runs[1], targets, resamples=1000)
    same = bootstrap_interval("jaccard", runs[1].expand(3, -1, -1), targets, resamples=1000)
    assert same == pytest.approx(one, abs=1e-12)
    low, value, high = bootstrap_interval("jaccard", runs, targets, resamples=1000)
    values = [bootstrap_interval("jaccard", run, targets, resamples=1)[1] for run in runs]
    assert value == pytest.approx(np.mean(values))
    # variance of the mean: that of the seeds over S, far above that of 400 samples, and Student's quantile with S − 1
    assert high - low > 4 * (one[2] - one[0])
    assert high - low == pytest.approx(2 * 4.30 * np.std(values, ddof=1) / math.sqrt(3), rel=0.05)


def test_what_is_not_defined():
    targets, probabilities = torch.zeros(30, 1), torch.linspace(0, 1, 30)[:, None]
    intervals = bootstrap_intervals(probabilities, targets, resamples=10)
    assert all(math.isnan(bound) for bound in intervals["macro_ap"])
    assert intervals["skipped_classes"] == (1, 1, 1)
    targets[20] = 1  # about a third of the resamples lose it
    values = bootstrap_values(evaluator("micro_auroc", probabilities, targets, None), (30, 1), 200, 0)[0]
    assert 0.2 < np.isnan(values).mean() < 0.5
    ends = bootstrap_interval("micro_auroc", probabilities, targets, resamples=200)[::2]
    assert ends == pytest.approx(quantiles(values[1:][~np.isnan(values[1:])], 0.95))
    assert bootstrap_interval("micro_auroc", probabilities, targets, resamples=200)[1] == pytest.approx(20 / 29)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resamples": 0}, "resamples must be at least 1, found 0"),
        ({"confidence": 95}, "confidence must lie between 0 and 1, found 95"),
        ({"mask": torch.zeros(2, 2, dtype=torch.bool)}, "at least one annotated entry, found none in 2 samples"),
        ({"decisions_or_probabilities": torch.ones(3, 2)}, "S runs, like the targets of shape (2, 2), found (3, 2)"),
        ({"decisions_or_probabilities": torch.ones(2)}, "like the targets of shape (2, 2), found (2,)"),
        ({"decisions_or_probabilities": torch.ones(0, 2, 2)}, "like the targets of shape (2, 2), found (0, 2, 2)"),
        ({"targets": torch.full((2, 2), 3)}, "targets must be 0 or 1, found 3 in row 0, column 0"),
        ({"metric": "f1"}, "unknown metric 'f1'"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    given = {"metric": "jaccard", "decisions_or_probabilities": torch.ones(2, 2), "targets": torch.ones(2, 2)}
    with pytest.raises(ValueError, match=re.escape(message)):
        bootstrap_interval(**(given | change))


def test_five_hundred_resamples_of_all_metrics_take_well_under_three_seconds():
    targets, probabilities = outputs(rows=3259, labels=11)
    start = time.process_time()
    bootstrap_intervals(probabilities, targets, resamples=500)
    assert time.process_time() - start < 3


@pytest.mark.parametrize(
    ("asked", "samples", "labels", "expected"),
    [
        (1000, 3259, 11, 1000),
        (1000, 2**10, 2**10, 1000),
        (1000, 2**11, 2**10, 512),
        (1000, 5000, 1024, 209),
        (1000, 5300, 1024, 0),  # 197 would fit
        (50, 5300, 1024, 50),  # fewer are asked for than an interval should have
        (50, 2**15, 2**10, 0),
    ],
)
def test_resamples_stay_within_the_budget_and_are_enough_or_none(asked, samples, labels, expected):
    found = resamples_within_budget(asked, samples, labels)
    assert found == expected
    assert found * samples * labels <= BUDGET
