"""Means over runs and their differences against formulas by hand, and as tests of a null that holds."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from uncertainty_labels import RARE, coverage, draw_labels
from uncertainty_seeds import null_p_values

from mlemo.metrics import compare
from mlemo.metrics.estimate import Estimate, estimate, estimate_difference


def system(values, spread=0.02, resamples=4000, seed=0, own=0.0):
    """Runs with these values on the test set; resamples move all runs together, and each by ``own`` beside that."""
    generator = np.random.default_rng(seed)
    moved = generator.normal(0, spread, resamples) + generator.normal(0, own, (len(values), resamples))
    runs = np.array(values)[:, None]
    return np.concatenate([runs, runs + moved], axis=1)


def test_one_run_has_the_interval_of_its_resamples():
    values = system([0.5])
    assert estimate(values).interval(0.9) == pytest.approx(
        (np.quantile(values[0, 1:], 0.05, method="weibull"), 0.5, np.quantile(values[0, 1:], 0.95, method="weibull"))
    )


def test_the_spread_of_three_runs_counts_by_students_t():
    runs = [0.5, 0.53, 0.47]
    found = estimate(system(runs))
    samples, seeds = 0.02**2, np.var(runs, ddof=1) / 3
    degrees = (samples + seeds) ** 2 / (seeds**2 / 2)
    assert found.seed_variance == pytest.approx(seeds)
    assert found.degrees == pytest.approx(degrees, rel=0.1)
    half = stats.t.ppf(0.975, degrees) * math.sqrt(samples + seeds)
    assert found.interval(0.95) == pytest.approx((0.5 - half, 0.5, 0.5 + half), abs=0.005)


def test_what_resamples_move_in_each_run_alone_is_no_spread_of_the_seeds():
    spread = np.random.default_rng(1).normal(0, 0.02, 30)
    found = estimate(system(list(0.5 + spread), own=0.02))
    assert found.seed_variance < 0.3 * spread.var(ddof=1) / 30
    assert estimate(system(list(0.5 + spread))).seed_variance == pytest.approx(spread.var(ddof=1) / 30)


@pytest.mark.parametrize("count", [2, 3])
def test_the_degrees_of_freedom_are_never_fewer_than_those_of_the_seeds(count):
    """They fell to 0.01, and intervals of F1 reached from −1e98 to 1e98."""
    runs = system([0.5, 0.52, 0.51][:count], spread=0.001)
    runs[:2, 1:] += np.array([[1.0], [-1.0]]) * np.random.default_rng(2).normal(0, 0.02, runs.shape[1] - 1)
    found = estimate(runs)  # resamples move two runs in opposite directions, and their mean little
    assert found.seed_variance == 0
    assert found.degrees == count - 1
    low, _, high = found.interval(0.95)
    assert (high - low) / 2 == pytest.approx(stats.t.ppf(0.975, count - 1) * found.resampled.std(), rel=0.1)
    other = estimate_difference(runs, system([0.5, 0.52, 0.48, 0.5], spread=0.001, seed=1))
    assert other.degrees >= count - 1


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (2, 5), (1, 3), (4, 1)])
def test_p_is_below_alpha_where_the_interval_leaves_zero_out(shape):
    generator = np.random.default_rng(0)
    below = 0
    for seed in range(40):
        a, b = (
            system(generator.normal(0.5, 0.02, runs), seed=2 * seed + k, resamples=400) for k, runs in enumerate(shape)
        )
        a -= generator.normal(0, 0.03)
        found = estimate_difference(a, b)
        for alpha in (0.01, 0.05, 0.3):
            low, _, high = found.interval(1 - alpha)
            assert (found.p() < alpha) == (low > 0 or high < 0)
            below += found.p() < alpha
        back = estimate_difference(b, a)
        assert (back.value, back.p()) == pytest.approx((-found.value, found.p()))
        assert back.interval(0.95) == pytest.approx([-end for end in reversed(found.interval(0.95))])
    assert 10 < below < 110


def test_one_run_beside_several_gets_their_variance():
    several, single = system([0.5, 0.54, 0.46]), system([0.4], seed=1)
    found = estimate_difference(several, single)
    assert found.seed_variance == pytest.approx(np.var([0.5, 0.54, 0.46], ddof=1) * (1 / 3 + 1))
    assert estimate_difference(single, several).seed_variance == found.seed_variance
    assert estimate_difference(single, system([0.5], seed=2)).degrees == math.inf


def test_runs_that_are_all_the_same_add_nothing():
    assert estimate(system([0.5, 0.5, 0.5])).interval(0.95) == pytest.approx(estimate(system([0.5])).interval(0.95))
    still = np.full((3, 101), 0.5)
    assert estimate(still).interval(0.95) == (0.5, 0.5, 0.5)
    assert estimate_difference(still, still).p() == 1
    assert estimate_difference(still, still - 0.25).p() == 2 / 101
    spread_without_samples = still + np.array([[0.0], [0.1], [-0.1]])
    low, _, high = estimate(spread_without_samples).interval(0.95)
    assert (high - low) / 2 == pytest.approx(4.303 * 0.1 / math.sqrt(3), rel=1e-3)


def test_resamples_without_a_value_do_not_count_and_no_value_has_no_interval():
    values = system([0.5, 0.52], resamples=1000)
    with_gaps = values.copy()
    with_gaps[1, 501:] = np.nan
    found = estimate(with_gaps)
    assert len(found.resampled) == 500
    assert found.interval(0.95) == pytest.approx(estimate(values[:, :501]).interval(0.95))
    values[0, 0] = np.nan
    low, value, high = estimate(values).interval(0.95)
    assert np.isnan([low, value, high, estimate(values).p()]).all()


def test_an_end_never_crosses_the_value():
    above = Estimate(0.5, np.sort(np.random.default_rng(0).normal(0.7, 0.01, 200)), 0.0, math.inf)
    low, value, high = above.interval(0.95)
    assert (low, value) == (0.5, 0.5)
    assert high == pytest.approx(0.72, abs=0.01)


def test_a_difference_of_runs_is_that_of_their_means():
    targets = torch.rand(200, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    rates = (0.05, 0.1, 0.2, 0.3)
    generator = torch.Generator().manual_seed(1)
    runs = torch.stack([targets ^ (torch.rand(200, 3, generator=generator) < rate) for rate in rates])
    same = compare("jaccard", runs, runs, targets, resamples=500)
    assert (same.difference, same.p) == (0, 1)
    values = [compare("jaccard", run, ~targets, targets, resamples=1).difference for run in runs]
    few = compare("jaccard", runs[:2], runs[3], targets, resamples=50)
    assert few.difference == pytest.approx(np.mean(values[:2]) - values[3])


@pytest.mark.parametrize(("runs", "ratio"), [(2, 1.0), (3, 2.0)])
def test_with_two_or_three_seeds_five_percent_of_true_nulls_are_refused(runs, ratio):
    """The bootstrap over seeds refused .11 to .18 of them."""
    p = null_p_values(runs, ratio, repeats=250, resamples=120)
    assert np.mean(p <= 0.05) <= 0.08
    assert 0.3 <= np.mean(p <= 0.5) <= 0.6


def test_macro_f1_of_rare_labels_lies_in_its_interval():
    """The percentile interval held it in .1 to .5 of these test sets."""
    found = coverage("macro_f1", draw_labels(RARE, quality=0.55), rows=300, repeats=60, resamples=200)
    assert found.covered >= 0.88
    assert found.width < 0.4
