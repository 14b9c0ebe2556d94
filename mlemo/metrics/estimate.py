r"""The variance of a metric, or of a difference of two, due to the test samples and to the seeds.

The value of run r on a test set is the sum of a random effect of the test set, one of the run, and one of both
together. The resamples estimate the variance of the first, V_samples; the values of the S runs give a variance between
runs, MS, which includes the third as well, and the resamples estimate its size (I, the part of a run's deviation from
its own value that the other runs do not share). A mean over S runs has the variance

    V = V_samples + V_seeds,  V_seeds = max(0, MS − I) / S,

and with S of 2 or 3 the estimate of the second term is poor. The quantiles are therefore those of Student's
distribution with the degrees of freedom of Satterthwaite (1946),

    ν = V² / ((MS / S)² / (S − 1)),

summed over both systems for a difference, and at least S − 1 of the system with the fewest runs, which is the bound of
Welch (1947) for variances that add: the subtraction of I can make V smaller than MS / S. Each end of the interval keeps
the shape of the resamples: with q the quantile of the resamples and z that of the normal distribution, the lower end is

    θ − (t_ν / z) √((θ − q)² + z² V_seeds),

which is the percentile q itself for one run. An end never crosses the value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from mlemo.metrics.pseudo_positives import Array

__all__ = ["Estimate", "estimate", "estimate_difference"]

#: Differences of metrics that are closer than this are equal up to rounding.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimate:
    """A value with the variances due to samples and seeds.

    Args:
        value: The metric, or the difference: the mean over the runs.
        resampled: ``(R,)`` ascending: the value on each resample, without those where it is not defined.
        seed_variance: V_seeds; 0 where each system has one run.
        degrees: Degrees of freedom ν; infinite where no system has several runs that differ.
    """

    value: float
    resampled: Array
    seed_variance: float
    degrees: float

    def interval(self, confidence: float) -> tuple[float, float, float]:
        """Compute the interval with equal tails.

        Args:
            confidence: Confidence level of the interval.

        Returns:
            ``(low, value, high)``; the ends are NaN where the metric is not defined.

        Raises:
            ValueError: ``confidence`` is not between 0 and 1.
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, found {confidence}")
        if np.isnan(self.value) or not len(self.resampled):
            return np.nan, self.value, np.nan
        tail = (1 - confidence) / 2
        return self.value - self._reach(tail, -1), self.value, self.value + self._reach(tail, 1)

    def p(self) -> float:
        """Compute the two-sided p-value of "the value is 0": the smallest α whose 1 − α interval excludes 0.

        It is at least 2 / (R + 1), the resolution of R resamples; NaN where the metric is not defined.
        """
        if np.isnan(self.value) or not len(self.resampled):
            return np.nan
        side = -1 if self.value > 0 else 1

        def margin(alpha: float) -> float:
            return abs(self.value) - self._reach(alpha / 2, side) - ROUNDING

        least, most = min(1.0, 2 / (len(self.resampled) + 1)), 1 - 1e-6
        if margin(most) <= 0:
            return 1.0
        if least >= most or margin(least) > 0:
            return least
        return float(optimize.brentq(margin, least, most))

    def _reach(self, tail: float, side: int) -> float:
        """Compute the distance from the value to the end of the interval below (−1) or above it (+1)."""
        count = len(self.resampled)
        position = (tail if side < 0 else 1 - tail) * (count + 1)  # Weibull's plotting positions
        quantile = float(np.interp(position, np.arange(1, count + 1), self.resampled))
        samples = max(0.0, side * (quantile - self.value))
        if np.isinf(self.degrees):
            return samples
        normal, student = -special.ndtri(tail), -special.stdtrit(self.degrees, tail)
        return float(student * np.sqrt((samples / normal) ** 2 + self.seed_variance))


def estimate(values: Array) -> Estimate:
    """Estimate the mean over the runs of one system.

    Args:
        values: ``(S, 1 + R)``, one row per run as from :func:`~mlemo.metrics.intervals.bootstrap_values`, from the same
            resamples.
    """
    return _combine(values.mean(axis=0), [(values, 1 / len(values))])


def estimate_difference(a: Array, b: Array) -> Estimate:
    """Estimate the difference of the means over the runs of two systems.

    A single run gives no variance between seeds. Compared with several runs of the other system, it is assigned their
    variance; where both have one run, the result does not include the variance between seeds.

    Args:
        a: ``(S, 1 + R)`` of the first system, as for :func:`estimate`.
        b: The same for the second system, from the same resamples; its number of runs may differ.
    """
    shares = 1 / len(a), 1 / len(b)
    if len(b) == 1:
        shares = shares[0] + shares[1], 0.0
    elif len(a) == 1:
        shares = 0.0, shares[0] + shares[1]
    return _combine(a.mean(axis=0) - b.mean(axis=0), [(a, shares[0]), (b, shares[1])])


def _combine(values: Array, systems: list[tuple[Array, float]]) -> Estimate:
    """Combine values ``(1 + R,)`` with each system's values ``(S, 1 + R)`` and the factor of its variance."""
    defined = ~np.isnan(values[1:])
    resampled = np.sort(values[1:][defined])
    seeds = uncertain = 0.0
    fewest = np.inf
    for runs, factor in systems:
        if len(runs) > 1 and factor and len(resampled):
            between = float(runs[:, 0].var(ddof=1))
            own = runs[:, 1:][:, defined] - runs[:, :1]
            seeds += factor * max(0.0, between - float(own.var(axis=0, ddof=1).mean()))
            uncertain += (factor * between) ** 2 / (len(runs) - 1)
            fewest = min(fewest, len(runs) - 1)
    total = seeds + (float(resampled.var()) if len(resampled) else 0.0)
    degrees = max(total**2 / uncertain, fewest) if total > 0 and uncertain > 0 else np.inf
    return Estimate(float(values[0]), resampled, seeds, degrees)
