"""Student's t over folds, for seeds with different test samples such as the folds of a cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan, sqrt

from scipy import stats

from mlemo.metrics.compare import Comparison, mean_and_sd

__all__ = ["compare_folds", "t_interval"]


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """Compute Student's interval of a mean: mean ± t_{n−1} · sd / √n; NaN for fewer than two values.

    Folds share training samples, so the interval is too narrow (Nadeau and Bengio 2003).

    Example:
        >>> [round(end, 4) for end in t_interval([1.0, 2.0, 3.0])]
        [-0.4841, 4.4841]
    """
    if len(values) < 2:
        return nan, nan
    mean, sd = mean_and_sd(values)
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * sd / sqrt(len(values))
    return mean - half, mean + half


def compare_folds(first: Mapping[int, float], second: Mapping[int, float]) -> Comparison | None:
    """Compare two systems over their common folds with the paired t-test.

    Args:
        first: A metric by fold.
        second: The same for the other system.

    Returns:
        First minus second; ``None`` with fewer than two common folds, or if a value is not defined.

    Example:
        >>> found = compare_folds({0: 0.5, 1: 0.7, 2: 0.6}, {0: 0.4, 1: 0.55, 2: 0.55})
        >>> round(found.difference, 4), round(found.p, 4)
        (0.1, 0.0742)
    """
    differences = [first[fold] - second[fold] for fold in first if fold in second]
    if len(differences) < 2 or not all(map(isfinite, differences)):
        return None
    mean, sd = mean_and_sd(differences)
    if sd < 1e-12:  # equal differences in all folds: no test
        return Comparison(mean, mean, mean, 1.0 if abs(mean) < 1e-12 else nan)
    return Comparison(mean, *t_interval(differences), p=float(stats.ttest_1samp(differences, 0.0).pvalue))
