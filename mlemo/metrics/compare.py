"""Tests of whether one system is better than another: paired on the same samples, or over data sets or seeds.

On one test set, :func:`compare` resamples the samples and adds the variance between runs. Over several data sets,
:func:`wilcoxon` uses one value per system and data set, as in the adaptive batch selection paper (its Table 3; Demšar
2006). :func:`holm` corrects the p-values of several comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from mlemo.metrics.estimate import ROUNDING, estimate_difference
from mlemo.metrics.intervals import annotated_samples, blocks, bootstrap_values
from mlemo.metrics.pseudo_positives import Array
from mlemo.metrics.weighted import Evaluate, MetricLike, evaluator

__all__ = [
    "Comparison",
    "SignedRanks",
    "compare",
    "holm",
    "mean_and_sd",
    "paired_bootstrap",
    "randomization_p",
    "wilcoxon",
]


@dataclass(frozen=True)
class Comparison:
    """Difference of a metric between two systems.

    Args:
        difference: Metric of the first minus metric of the second.
        low: Lower end of the paired interval of the difference.
        high: Upper end of it.
        p: Two-sided p-value of "no difference".
    """

    difference: float
    low: float
    high: float
    p: float


def compare(
    metric: MetricLike,
    a: Tensor,
    b: Tensor,
    targets: Tensor,
    mask: Tensor | None = None,
    *,
    method: Literal["bootstrap", "randomization"] = "bootstrap",
    resamples: int = 5000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two systems on the same samples.

    Both methods give the same interval: both systems are scored on the same resamples, and where a system has several
    runs, the variance between them is added, with Student's quantile in place of the normal one
    (:mod:`mlemo.metrics.estimate`). They differ in the p-value, R being the number of resamples:

    - ``bootstrap``: the smallest α for which the interval of confidence 1 − α excludes 0, at least 2 / (R + 1). It is
      below 1 − confidence where the interval excludes 0. For single runs it is twice the share of the resampled
      differences beyond 0.
    - ``randomization`` (Noreen 1989): p = (k + 1) / (R + 1), k = #{|Δ*| ≥ |Δ|}, where each Δ* comes from swapping the
      outputs of the two systems for each sample with probability 1/2. It tests whether the two are exchangeable and is
      valid for any number of samples.

    Args:
        metric: As for :func:`~mlemo.metrics.bootstrap_interval`.
        a: Decisions or probabilities of the first system, ``(N, C)``, or ``(S, N, C)`` for S runs of it (``bootstrap``
        only), whose means are compared.
        b: The same for the second system; its number of runs may differ. A single run compared with several is assigned
        their variance; where both systems have one run, the result does not include the variance between seeds.
        targets: ``(N, C)``, 0 or 1.
        mask: ``(N, C)`` bool, ``False`` = not annotated; ``None`` = all annotated.
        method: Method of the p-value.
        resamples: Number R of resamples, and of swaps.
        confidence: Confidence level of the interval.
        seed: Seed of the draws.

    Returns:
        Difference (first minus second), interval and p-value.

    Raises:
        ValueError: As for :func:`~mlemo.metrics.bootstrap_interval`, an unknown method, or several runs to swap.

    Example:
        >>> targets = torch.eye(3).repeat(10, 1)
        >>> result = compare("micro_f1", targets, targets.flip(1), targets, resamples=100)
        >>> round(result.difference, 4), result.p < 0.05
        (0.6667, True)
    """
    if method not in ("bootstrap", "randomization"):
        raise ValueError(f"method must be 'bootstrap' or 'randomization', found {method!r}")
    runs_a, some, some_mask = annotated_samples(a, targets, mask)
    runs_b, _, _ = annotated_samples(b, targets, mask)
    values = []
    for runs in (runs_a, runs_b):
        evaluates = [evaluator(metric, run, some, some_mask) for run in runs]
        values.append(np.concatenate([bootstrap_values(each, some.shape, resamples, seed) for each in evaluates]))
    result = paired_bootstrap(values[0], values[1], confidence)
    if method == "bootstrap":
        return result
    if len(runs_a) > 1 or len(runs_b) > 1:
        raise ValueError(
            f"randomization swaps the outputs of two single runs, found {len(runs_a)} and {len(runs_b)} runs; "
            f"the bootstrap compares several"
        )
    twice = None if some_mask is None else some_mask.repeat(2, 1)
    stacked = evaluator(metric, torch.cat([runs_a[0], runs_b[0]]), some.repeat(2, 1), twice)
    p = randomization_p(stacked, some.shape, resamples, seed)[0]
    return Comparison(result.difference, result.low, result.high, float(p))


def paired_bootstrap(a: Array, b: Array, confidence: float = 0.95) -> Comparison:
    """Compare two systems by their values on the same resamples.

    Args:
        a: Value on the samples and values on the resamples, as from :func:`~mlemo.metrics.intervals.bootstrap_values`:
            ``(1 + R,)`` for one run, ``(S, 1 + R)`` for S runs.
        b: The same for the second system, from the same seed.
        confidence: Confidence level of the interval.

    Returns:
        Difference, interval, and the p-value of :func:`compare` with ``bootstrap``; resamples where a value is NaN are
        ignored.
    """
    found = estimate_difference(np.atleast_2d(a), np.atleast_2d(b))
    low, difference, high = found.interval(confidence)
    return Comparison(difference, low, high, found.p())


def randomization_p(evaluate: Evaluate, shape: Sequence[int], resamples: int, seed: int) -> Array:
    """Compute the p-values of :func:`compare` with ``randomization`` for several metrics at once.

    Args:
        evaluate: Function from counts ``(R, 2 N)`` to values ``(K, R)``, over the N samples with the outputs of the
        first system followed by those of the second. A swap is a choice of N of these rows.
        shape: N and C; only the size of the blocks depends on C.
        resamples: Number R of swaps.
        seed: Seed of the draws.

    Returns:
        ``(K,)``; NaN where the value of a system is not defined. Swaps that give NaN are ignored.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, found {resamples}")

    samples, labels = shape

    def differences(swapped: Array) -> Array:
        first = np.concatenate([1 - swapped, swapped], axis=1).astype(np.int32)
        values: Array = evaluate(first) - evaluate(1 - first)
        return values

    observed = differences(np.zeros((1, samples), dtype=np.int32))
    generator = np.random.default_rng([seed, 0])
    found = [differences(generator.integers(0, 2, (size, samples))) for size in blocks(resamples, 2 * samples * labels)]
    swaps = np.concatenate(found, axis=1)
    as_large = (np.abs(swaps) >= np.abs(observed) - ROUNDING).sum(axis=1)
    p: Array = (as_large + 1) / ((~np.isnan(swaps)).sum(axis=1) + 1)
    return np.where(np.isnan(observed[:, 0]), np.nan, p)


@dataclass(frozen=True)
class SignedRanks:
    """Result of the Wilcoxon signed-rank test.

    Args:
        statistic: The smaller of the rank sums W⁺ and W⁻.
        p: Two-sided p-value.
        effect: Matched-pairs rank-biserial correlation (W⁺ − W⁻) / (W⁺ + W⁻): 1 where the first value is larger in
        every pair that differs, −1 where the second is (Kerby 2014).
        pairs: Number of pairs that differ.
    """

    statistic: float
    p: float
    effect: float
    pairs: int


def wilcoxon(a: Sequence[float], b: Sequence[float]) -> SignedRanks:
    """Test two systems over data sets (or other pairs ``a[i]``, ``b[i]``) with the Wilcoxon signed-rank test.

    Two-sided. Pairs without a difference are left out (Wilcoxon 1945), tied differences share their mean rank;
    differences are rounded to 10 digits first, so that 0.55 − 0.54 ties with 0.45 − 0.44. The p-value is exact for up
    to 50 pairs, with ties for up to 13; above that it is the normal approximation, corrected for ties. Values of seeds
    may be paired only where the seed determines something common to the runs of both systems, such as a split.

    Args:
        a: Values of the first system, one per data set.
        b: Values of the second system.

    Returns:
        Statistic, p-value, effect size and number of pairs. Without any difference p is 1 and the effect 0.

    Raises:
        ValueError: The values are not two non-empty lists of finite numbers of the same length.

    Example:
        >>> wilcoxon([0.81, 0.62, 0.7, 0.55, 0.9], [0.8, 0.6, 0.7, 0.56, 0.86])
        SignedRanks(statistic=1.5, p=0.375, effect=0.7, pairs=4)
    """
    first, second = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if first.ndim != 1 or first.shape != second.shape or not len(first):
        raise ValueError(f"expected two lists of the same length, found shapes {first.shape} and {second.shape}")
    if not np.isfinite([first, second]).all():
        raise ValueError(f"values must be finite, found {first.tolist()} and {second.tolist()}")
    differences = np.round(first - second, 10)
    differences = differences[differences != 0]
    pairs = len(differences)
    if not pairs:
        return SignedRanks(0.0, 1.0, 0.0, 0)
    ranks = stats.rankdata(np.abs(differences))
    plus, minus = float(ranks[differences > 0].sum()), float(ranks[differences < 0].sum())
    method: str | stats.PermutationMethod = "asymptotic"
    if len(np.unique(ranks)) == pairs and pairs <= 50:
        method = "exact"
    elif pairs <= 13:
        method = stats.PermutationMethod(n_resamples=2**pairs)  # all of them
    p = float(stats.wilcoxon(differences, method=method).pvalue)
    return SignedRanks(min(plus, minus), p, (plus - minus) / (plus + minus), pairs)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979), in the given order.

    The k-th smallest of m is multiplied by m − k + 1, is at least as large as the one before it, and at most 1.

    Args:
        p_values: P-values of one family of tests; NaN remains NaN and is not counted.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    if ((p < 0) | (p > 1)).any():
        raise ValueError(f"p-values must lie in [0, 1], found {list(p_values)}")
    corrected = np.full(len(p), np.nan)
    order = np.argsort(p)[: (~np.isnan(p)).sum()]  # NaN sorts last
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return [float(value) for value in corrected]


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Compute the mean and sample standard deviation (n − 1 in the denominator; NaN for one value) over seeds.

    Raises:
        ValueError: There is no value.

    Example:
        >>> mean_and_sd([0.5, 1.0])
        (0.75, 0.3535533905932738)
    """
    if not len(values):
        raise ValueError("no values to average, expected at least one")
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
