"""Comparisons against resamples and swaps that are made one by one, against enumeration, and under the null."""

import itertools
import re

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from mlemo.metrics import Comparison, compare, holm, mean_and_sd, wilcoxon

METHODS = ["bootstrap", "randomization"]


def systems(seed=0, rows=40, labels=3, errors=(0.2, 0.3)):
    """Targets and the decisions of two systems with their shares of wrong decisions."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.rand(rows, labels, generator=generator) < 0.4
    a, b = (targets ^ (torch.rand(rows, labels, generator=generator) < error) for error in errors)
    return a, b, targets


def macro_f1(decisions, targets):
    d, y = decisions.numpy().astype(bool), targets.numpy().astype(bool)
    labels = [(2 * sum(d[:, c] & y[:, c]), sum(d[:, c]) + sum(y[:, c])) for c in range(y.shape[1])]
    return sum(both / either if either else 0 for both, either in labels) / len(labels)


def micro_f1(decisions, targets):
    d, y = decisions.numpy().astype(bool), targets.numpy().astype(bool)
    return 2 * (d & y).sum() / (d.sum() + y.sum())


def micro_auroc(probabilities, targets):
    return roc_auc_score(targets, probabilities, average="micro")


@pytest.mark.parametrize("name", ["micro_f1", "micro_auroc"])
def test_bootstrap_scores_both_systems_on_the_same_resamples(name):
    a, b, targets = systems()
    reference = micro_f1
    if name == "micro_auroc":
        noise = torch.rand(2, 40, 3, generator=torch.Generator().manual_seed(1))
        a, b, reference = (a + noise[0]) / 2, (b + noise[1]) / 2, micro_auroc
    result = compare(name, a, b, targets, resamples=49, confidence=0.8, seed=7)
    differences = np.array(
        [
            reference(a[rows], targets[rows]) - reference(b[rows], targets[rows])
            for rows in np.random.default_rng(7).integers(0, 40, (49, 40))
        ]
    )
    assert result.difference == pytest.approx(reference(a, targets) - reference(b, targets), abs=1e-6)
    assert (result.low, result.high) == pytest.approx(np.quantile(differences, [0.1, 0.9], method="weibull"), abs=1e-6)
    beyond = min((differences <= 0).sum(), (differences >= 0).sum())
    assert 2 * beyond / 50 - 1e-6 <= result.p <= 2 * (beyond + 1) / 50 + 1e-6
    assert 0.04 < result.p < 1


@pytest.mark.parametrize("metric", ["macro_f1", macro_f1])
def test_randomization_swaps_whole_samples(metric):
    a, b, targets = systems(rows=25)
    result = compare(metric, a, b, targets, method="randomization", resamples=99, seed=7)
    observed = abs(macro_f1(a, targets) - macro_f1(b, targets))
    count = 0
    for swapped in np.random.default_rng([7, 0]).integers(0, 2, (99, 25)):
        swap = torch.from_numpy(swapped)[:, None] == 1
        first, second = torch.where(swap, b, a), torch.where(swap, a, b)
        count += abs(macro_f1(first, targets) - macro_f1(second, targets)) >= observed - 1e-9
    assert result.p == (count + 1) / 100
    assert 0.01 < result.p < 1
    bootstrap = compare(metric, a, b, targets, resamples=99, seed=7)
    assert (result.difference, result.low, result.high) == (bootstrap.difference, bootstrap.low, bootstrap.high)


def test_randomization_approaches_the_enumeration_of_all_swaps():
    a, b, targets = systems(seed=3, rows=8, errors=(0.1, 0.5))
    observed = macro_f1(a, targets) - macro_f1(b, targets)
    as_large = []
    for swapped in itertools.product([False, True], repeat=8):
        swap = torch.tensor(swapped)[:, None]
        difference = macro_f1(torch.where(swap, b, a), targets) - macro_f1(torch.where(swap, a, b), targets)
        as_large.append(abs(difference) >= abs(observed) - 1e-9)
    exact = np.mean(as_large)
    assert 0.02 < exact < 0.5
    found = compare("macro_f1", a, b, targets, method="randomization", resamples=8000).p
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 8000))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["jaccard", "micro_f1", "macro_f1", "hamming_loss"])
def test_the_order_of_the_systems_turns_the_sign(name, method):
    a, b, targets = systems(2)
    forth, back = (compare(name, *pair, targets, method=method, resamples=200) for pair in ((a, b), (b, a)))
    assert (back.difference, back.low, back.high) == pytest.approx((-forth.difference, -forth.high, -forth.low))
    assert back.p == pytest.approx(forth.p)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["jaccard", "micro_auroc"])
def test_a_system_does_not_differ_from_itself(name, method):
    a, _, targets = systems()
    a = a.float() * 0.9 if name == "micro_auroc" else a
    assert compare(name, a, a, targets, method=method, resamples=50) == Comparison(0, 0, 0, 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_clear_difference_has_the_smallest_p(method):
    _, _, targets = systems(rows=200)
    result = compare("micro_f1", targets, ~targets, targets, method=method, resamples=99)
    assert result == Comparison(1, 1, 1, 0.02 if method == "bootstrap" else 0.01)


@pytest.mark.parametrize("method", METHODS)
def test_under_the_null_five_percent_are_below_five_percent(method):
    p = np.array(
        [
            compare("micro_f1", *systems(seed, 60, errors=(0.3, 0.3)), method=method, resamples=99).p
            for seed in range(200)
        ]
    )
    assert 0.01 <= np.mean(p <= 0.05) <= 0.1
    assert 0.4 <= np.mean(p <= 0.5) <= 0.6


@pytest.mark.parametrize("method", METHODS)
def test_only_annotated_entries_count(method):
    a, b, targets = systems(4)
    mask = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)) < 0.8
    mask[::5] = False
    expected = compare("jaccard", a, b, targets, mask, method=method, resamples=60)
    assert compare("jaccard", a ^ ~mask, b, targets, mask, method=method, resamples=60) == expected
    kept = mask.any(1)
    parts = (part[kept] for part in (a, b, targets, mask))
    assert compare("jaccard", *parts, method=method, resamples=60) == expected

    def by_hand(decisions, targets, mask):
        inside, union = decisions & targets & mask, (decisions | targets) & mask
        return torch.where(union.any(1), inside.sum(1) / union.sum(1).clamp(min=1), 1.0).mean()

    found = compare(by_hand, a, b, targets, mask, method=method, resamples=60)
    assert (found.difference, found.low, found.high) == pytest.approx(
        (expected.difference, expected.low, expected.high), abs=1e-6
    )


def test_a_metric_that_is_not_defined_has_no_p():
    probabilities = torch.rand(10, 1, generator=torch.Generator().manual_seed(0))
    for method in METHODS:
        result = compare("macro_ap", probabilities, 1 - probabilities, torch.zeros(10, 1), method=method, resamples=9)
        assert np.isnan([result.difference, result.low, result.high, result.p]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "t-test"}, "method must be 'bootstrap' or 'randomization', found 't-test'"),
        ({"b": torch.ones(3, 3)}, "like the targets of shape (4, 3), found (3, 3)"),
        ({"a": torch.full((4, 3), 0.5)}, "jaccard is a metric of decisions, 0 or 1, found 0.5 in row 0, column 0"),
        (
            {"a": torch.ones(2, 4, 3), "method": "randomization"},
            "randomization swaps the outputs of two single runs, found 2 and 1 runs; the bootstrap compares several",
        ),
        ({"resamples": 0}, "resamples must be at least 1, found 0"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    given = {"metric": "jaccard", "a": torch.ones(4, 3), "b": torch.ones(4, 3), "targets": torch.ones(4, 3)}
    with pytest.raises(ValueError, match=re.escape(message)):
        compare(**(given | {"resamples": 20} | change))


def signed_ranks_by_enumeration(differences):
    """Exact two-sided p-value: the share of all signs whose smaller rank sum is at most the observed one."""
    ranks = stats.rankdata(np.abs(differences))
    signs = np.array(list(itertools.product([False, True], repeat=len(ranks))))
    plus = signs @ ranks
    smaller = np.minimum(plus, ranks.sum() - plus)
    observed = ranks[np.array(differences) > 0].sum()
    return np.mean(smaller <= min(observed, ranks.sum() - observed) + 1e-9)


@pytest.mark.parametrize(
    "differences",
    [
        [3, 1, -2, 4, 5.5, 7],
        [1, 1, 1, -1, 2, 2, -3],  # ties
        [0.2, -0.1, 0.4, 0.3, 0.25, -0.05, 0.6, 0.7, 0.8, 0.15],
        [0.5],
    ],
)
def test_signed_ranks_are_exact_also_with_ties(differences):
    second = np.linspace(0, 1, len(differences))
    result = wilcoxon(list(second + differences), list(second))
    assert result.p == pytest.approx(signed_ranks_by_enumeration(differences), abs=1e-12)
    ranks, signs = stats.rankdata(np.abs(differences)), np.sign(differences)
    assert result.effect == pytest.approx((ranks * signs).sum() / ranks.sum())
    assert result.statistic == pytest.approx(min(ranks[signs > 0].sum(), ranks[signs < 0].sum()))
    back = wilcoxon(list(second), list(second + differences))
    assert (back.p, back.statistic, back.effect) == pytest.approx((result.p, result.statistic, -result.effect))


def test_thirteen_wins_on_thirteen_data_sets_have_the_smallest_p_of_the_published_table():
    result = wilcoxon([0.5 + 0.01 * k for k in range(1, 14)], [0.5] * 13)
    assert round(result.p, 4) == 0.0002
    assert result.effect == 1
    assert result.pairs == 13
    tied = wilcoxon([0.6] * 8, [0.5] * 8)
    assert tied.p == pytest.approx(2 / 2**8)


def test_pairs_without_a_difference_are_left_out_and_rounding_does_not_break_ties():
    result = wilcoxon([0.55, 0.45, 0.3, 0.7, 0.2], [0.54, 0.44, 0.3, 0.72, 0.2])
    assert result.pairs == 3
    assert result.statistic == 3  # ranks 1.5, 1.5 and 3
    assert result.effect == 0
    assert wilcoxon([0.3, 0.4], [0.3, 0.4]) == wilcoxon([0.1], [0.1])
    assert (wilcoxon([0.3], [0.3]).p, wilcoxon([0.3], [0.3]).effect, wilcoxon([0.3], [0.3]).pairs) == (1, 0, 0)


@pytest.mark.parametrize("tied", [False, True])
def test_many_pairs_use_the_normal_approximation(tied):
    generator = np.random.default_rng(0)
    a, b = generator.random((2, 80 if not tied else 40))
    if tied:
        a, b = a.round(1), b.round(1)
    kept = np.round(a - b, 10)
    expected = stats.wilcoxon(kept[kept != 0], method="asymptotic").pvalue
    assert wilcoxon(list(a), list(b)).p == pytest.approx(expected)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [1.0, 2.0], "two lists of the same length, found shapes (1,) and (2,)"),
        ([], [], "two lists of the same length"),
        ([1.0, float("nan")], [1.0, 2.0], "values must be finite, found [1.0, nan]"),
    ],
)
def test_figures_that_cannot_be_paired_are_refused(a, b, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        wilcoxon(a, b)


def test_holm_rejects_what_the_step_down_procedure_rejects():
    generator = np.random.default_rng(0)
    for _ in range(50):
        p = generator.random(6) ** 2
        corrected = holm(list(p))
        for alpha in (0.05, 0.2, 0.6):
            rejected = set()
            for step, index in enumerate(np.argsort(p)):  # Holm's own description
                if p[index] > alpha / (6 - step):
                    break
                rejected.add(index)
            assert {index for index in range(6) if corrected[index] <= alpha} == rejected
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_holm_does_not_count_what_is_not_defined():
    corrected = holm([0.04, float("nan"), 0.01])
    assert corrected[::2] == holm([0.04, 0.01]) == [0.04, 0.02]
    assert np.isnan(corrected[1])
    with pytest.raises(ValueError, match=re.escape("p-values must lie in [0, 1], found [1.2]")):
        holm([1.2])


def test_mean_and_sd_over_seeds():
    mean, sd = mean_and_sd([0.5, 0.6, 0.8])
    assert mean == pytest.approx(1.9 / 3)
    assert sd == pytest.approx(np.sqrt(((np.array([0.5, 0.6, 0.8]) - 1.9 / 3) ** 2).sum() / 2))
    assert mean_and_sd([0.4])[0] == 0.4
    assert np.isnan(mean_and_sd([0.4])[1])
    with pytest.raises(ValueError, match="no values to average"):
        mean_and_sd([])
